"""AFLW, the data set of section 4.3: the test crops of MTFL with AFLW's 21 points and three angles.

The paper takes 2,111 faces from AFLW's own photos. These are others, 2,284 of MTFL's test crops,
which come from AFLW's photos, too: a stand-in that is like the paper's set, but not the paper's.
Who is in and why, `dclib.data.aflw_faces` says. Faces of MTFL's test set are trained on here, so
never score a network that was trained on one of the two sets on the other.

There is a name for each train / test ratio: `aflw-10` trains on a tenth of the faces, `aflw-90` on
nine. Training faces have no margin, for a crop has no pixels beyond its border: augmentation
repeats the outermost ones, as it does beyond the border of MTFL's photos.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dclib import paths
from dclib.data import lists, mtfl
from dclib.data.aflw_faces import Annotation, build, divide, groups, read
from dclib.data.archive import searched
from dclib.data.cache import cached
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet
from dclib.data.mtfl_faces import WORDS
from dclib.errors import DataError
from dclib.tasks import Orientation

VERSION = 1  # raise it whenever the faces or their split change
PUBLISHED = "87371d12ec79f779"  # fingerprint of the table that the results stand on
TABLE = "mtfl_aflw_test_21pts_pose.csv"
FOLDER = "aflw21_pose"  # in which the table may lie
SEEN_AT = 48  # pixels of the crops in which photos that are there twice are sought
ANGLES = {angle.name: angle for angle in Orientation().angles}


@dataclass(frozen=True)
class Report:
    """What `prepare` found; its text is for a terminal."""

    table: Path
    train: FaceSet
    test: FaceSet

    def __str__(self) -> str:
        rows = [f"AFLW from {self.table}: content verified, fingerprint {self.train.fingerprint}"]
        for part, faces in (("training", self.train), ("test", self.test)):
            visible = (~np.isnan(faces.landmarks[..., 0])).sum(axis=1).mean()
            rows.append(f"{len(faces):,} {part} faces in {len(np.unique(faces.groups)):,} groups")
            rows.append(
                f"  points: {visible:.1f} of {faces.landmarks.shape[1]} visible, on average"
            )
            for name in words():
                rows.append(f"  {name}: {' / '.join(f'{n:,}' for n in _counts(faces, name))}")
        rows.append(f"cut for {self.train.resolution} pixels under {paths.data() / 'cache'}")
        return "\n".join(rows)


def prepare(percent: int, source: Path | None = None, resolution: int = 48) -> Report:
    """Find the table, verify it, join it with MTFL's test crops, and report what they hold.

    Args:
        percent: of the faces, to train on.
        source: the table, or a folder that has it; without it `DCLIB_MIRROR` and the data folder
            are searched.
        resolution: of the faces that are put into the cache.

    Raises:
        DataError: the table or MTFL cannot be had, or is not what it should be.
    """
    path = _table(source)
    rows = _verified(path)
    made = partial(_build, percent, resolution, rows)
    return Report(path, *cached(f"aflw-{percent}", resolution, fingerprint(percent), made))


def load(percent: int, resolution: int) -> Faces:
    """The faces to train on, so many percent of all, and the test faces.

    Beside the tasks' labels they have MTFL's `profile`, and `fit`: how far MTFL's and AFLW's
    points lie apart, as a share of the distance between the eyes. No task is made of these two.

    Raises:
        DataError: the table or MTFL is nowhere to be found, or not what it should be.
    """

    def decode() -> Faces:
        return _build(percent, resolution, _verified(_table()))

    return cached(f"aflw-{percent}", resolution, fingerprint(percent), decode)


def fingerprint(percent: int) -> str:
    """Which faces `load` gives: by the published table, MTFL, and the share to train on."""
    told = f"aflw {VERSION} {PUBLISHED} {mtfl.fingerprint()} {percent}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def words() -> dict[str, tuple[str, ...]]:
    """The words of each label, by its classes; of an angle the degrees that each bin holds."""
    classes = {name: WORDS[name] for name in ("gender", "glasses", "profile")}
    return classes | {name: angle.ranges for name, angle in ANGLES.items()}


def _counts(faces: FaceSet, name: str) -> list[int]:
    """How many faces have each value of a label, or lie in each bin of an angle."""
    values = faces.labels[name]
    if name in ANGLES:
        values = ANGLES[name].encode(torch.from_numpy(np.array(values))).numpy()
    return np.bincount(values[values >= 0], minlength=len(words()[name])).tolist()


def _table(source: Path | None = None) -> Path:
    """Where the table is."""
    if source is not None and source.is_file():
        return source
    places = [source] if source is not None else searched()
    for place in places:
        for path in (place / FOLDER / TABLE, place / TABLE):
            if path.is_file():
                return path
    raise DataError(
        f"{TABLE} is not in {' or '.join(str(place) for place in places)}. It gives AFLW's own"
        " annotations in the pixels of MTFL's test crops: it is for non-commercial use only, and no"
        " official download. Who has it puts it into the folder that DCLIB_MIRROR names, or into"
        f" {paths.data()}. MTFL is needed, too: `python -m dclib data mtfl` says from where"
    )


def _verified(path: Path) -> list[Annotation]:
    """The rows of the table.

    Raises:
        DataError: a fault in a line, or it is another table than the published one.
    """
    rows = read(path)
    told = content_fingerprint(path)
    if told != PUBLISHED:
        raise DataError(
            f"{path}: the content is not that of the table that the results stand on (fingerprint"
            f" {told}, expected {PUBLISHED}); get that one and try again"
        )
    return rows


def content_fingerprint(path: Path) -> str:
    """The fingerprint of the table's lines, whatever ends them."""
    lines = [",".join(line.fields) for line in lists.read(path)[0]]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _build(percent: int, resolution: int, rows: list[Annotation]) -> Faces:
    _, crops = mtfl.load(SEEN_AT)
    build(rows, crops)  # so that an unknown photo is told, included or not
    included = [row for row in rows if row.included]
    numbers = groups(build(included, crops))
    if resolution != SEEN_AT:
        _, crops = mtfl.load(resolution)
    faces = replace(build(included, crops), groups=numbers, fingerprint=fingerprint(percent))
    return divide(faces, percent)
