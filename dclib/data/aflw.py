"""AFLW, the data set of section 4.3: the test crops of MTFL with AFLW's 21 points and three angles.

The paper takes 2,111 faces from AFLW's own photos. These are others, 2,284 of MTFL's test crops,
which come from AFLW's photos, too: a stand-in that is like the paper's set, but not the paper's.
Who is in and why, `dclib.data.aflw_faces` says. Faces of MTFL's test set are trained on here, so
never score a network that was trained on one of the two sets on the other.

There is a name for each train / test ratio: `aflw-10` trains on a tenth of the faces, `aflw-90` on
nine. Training faces have no margin, for a crop has no pixels beyond its border: augmentation
repeats the outermost ones, as it does beyond the border of MTFL's photos.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dclib import paths
from dclib.data import lists, mtfl
from dclib.data.aflw_faces import ANGLES, Annotation, build, divide, groups, read
from dclib.data.archive import searched
from dclib.data.cache import cached
from dclib.data.dataset import Faces, Report, Words
from dclib.data.faces import FaceSet, mark
from dclib.data.mtfl_faces import WORDS
from dclib.errors import DataError
from dclib.tasks import aflw_tasks

VERSION = 1  # raise it whenever the faces or their split change
PUBLISHED = "87371d12ec79f779"  # fingerprint of the table that the results stand on
TABLE = "mtfl_aflw_test_21pts_pose.csv"
FOLDER = "aflw21_pose"  # in which the table may lie
SEEN_AT = 48  # pixels of the crops in which photos that are there twice are sought
tasks = aflw_tasks


def prepare(percent: int, source: Path | None = None, resolution: int = 48) -> Report:
    """Verify the table, which `source` is or has, and join it with MTFL's test crops."""
    path = find(source)
    made = partial(_build, percent, resolution, _verified(path))
    faces = cached(f"aflw-{percent}", resolution, fingerprint(percent), made)
    return Report(f"AFLW from {path}", *faces, words(), classes)


def load(percent: int, resolution: int) -> Faces:
    """The faces to train on, so many percent of all, and the test faces.

    Beside the tasks' labels they have MTFL's `profile`, and `fit`: how far MTFL's and AFLW's
    points lie apart, as a share of the distance between the eyes. No task is made of these two.
    """

    def decode() -> Faces:
        return _build(percent, resolution, _verified(find()))

    return cached(f"aflw-{percent}", resolution, fingerprint(percent), decode)


def fingerprint(percent: int) -> str:
    """Which faces `load` gives: by the published table, MTFL, and the share to train on."""
    return mark(f"aflw {VERSION} {PUBLISHED} {mtfl.fingerprint()} {percent}")


def words() -> Words:
    """The words of each label, by its classes; of an angle the degrees that each bin holds."""
    known = {name: WORDS[name] for name in ("gender", "glasses", "profile")}
    return known | {name: angle.ranges for name, angle in ANGLES.items()}


def classes(faces: FaceSet, name: str) -> np.ndarray:
    """The values (N,) of a label, or the bins of an angle, negative where not known."""
    values = faces.labels[name]
    if name not in ANGLES:
        return values
    return np.asarray(ANGLES[name].encode(torch.from_numpy(np.array(values))))


def find(source: Path | None = None) -> Path:
    """Where the table is: the file or in the folder that is named, or where data are searched."""
    if source is not None and source.is_file():
        return source
    places = searched(source)
    for place in places:
        for path in (place / FOLDER / TABLE, place / TABLE):
            if path.is_file():
                return path
    raise DataError(
        f"{TABLE} is not in {' or '.join(map(str, places))}. It gives AFLW's own annotations in the"
        " pixels of MTFL's test crops: it is for non-commercial use only, and no official download."
        f" Who has it puts it into the folder that DCLIB_MIRROR names, or into {paths.data()}. MTFL"
        " is needed, too: `python -m dclib data mtfl` says from where"
    )


def _verified(path: Path) -> list[Annotation]:
    """The rows of the table, if it is the published one."""
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
    return mark("\n".join(",".join(line.fields) for line in lists.read(path)[0]))


def _build(percent: int, resolution: int, rows: list[Annotation]) -> Faces:
    _, crops = mtfl.load(SEEN_AT)
    build(rows, crops)  # so that an unknown photo is told, included or not
    included = [row for row in rows if row.included]
    numbers = groups(build(included, crops))
    if resolution != SEEN_AT:
        _, crops = mtfl.load(resolution)
    faces = replace(build(included, crops), groups=numbers, fingerprint=fingerprint(percent))
    return divide(faces, percent)
