"""AFLW, the data set of section 4.3: the test crops of MTFL with AFLW's 21 points and three angles.

The paper takes 2,111 faces from AFLW's own photos. These are others, 2,284 of MTFL's test crops,
which come from AFLW's photos, too: a stand-in that is like the paper's set, but not the paper's.
Faces of MTFL's test set are trained on here, so never score a network that was trained on one of
the two sets on the other. `aflw-10` trains on a tenth of the faces, `aflw-90` on nine. Training
faces have no margin, for a crop has no pixels beyond its border: augmentation repeats the outermost
ones.

The table has a row for each of the 2,995 crops. AFLW's annotations were brought onto them
afterwards, by a scale and a shift fitted to the five points that MTFL and AFLW both have;
`fit_rms_px` is how far these five then still lie apart. Who is in was chosen once, from the quality
of the annotation alone and before any training::

    2,995 rows, of which
    2,395 have points, and of each of them both eye centres, nose and corners of the mouth; so every
          error is a share of the distance between the eye centres.
      -23 whose points and angles were joined by their order alone (`row_alignment`).
      -80 whose `fit_rms_px` is above 0.10 of the distance between the eyes: by the paper's rule,
          MTFL's five points and AFLW's would be failures of each other.
       -8 of whose 21 points fewer than 11 are visible.
    2,284 remain, in 2,244 groups: no two are of one numbered photo, but some photos are in AFLW
          under two numbers (see `groups`).

A point that is not given is not visible: it is missing, and so is one outside the crop, mostly an
ear. Only 358 faces have all 21 points, so that is not demanded. Angles beyond 90 degrees (yaw) or
60 degrees (pitch, roll) fit no bin: two heads upside down and one outlier of the source have no
orientation, for the three angles are one rotation.

The table counts pixels as MTFL does, from 1, so half a pixel is taken off. Its points also lie
right of the face, as MTFL's do (see `dclib.data.mtfl`), and a mirror would send them to the left of
it: so 1.4 pixels are taken off. Evidence: the mean left eye and the mirrored mean right eye of the
805 faces that look ahead are most alike when shifted by 2.8 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dclib import paths
from dclib.data import lists, mtfl, photo
from dclib.data.archive import first, searched
from dclib.data.cache import cached
from dclib.data.dataset import PREPARED, Faces, Report, Words
from dclib.data.faces import FaceSet, hold_out, joined, mark, same
from dclib.errors import DataError
from dclib.tasks import Orientation, aflw_tasks

VERSION = 1  # raise it whenever the faces or their split change
PUBLISHED = "87371d12ec79f779"  # fingerprint of the table that the results stand on
TABLE = "mtfl_aflw_test_21pts_pose.csv"
FOLDER = "aflw21_pose"  # in which the table may lie
SEEN_AT = 48  # pixels of the crops in which photos that are there twice are sought
tasks = aflw_tasks
POINTS = (
    *("LeftBrowLeftCorner", "LeftBrowCenter", "LeftBrowRightCorner"),
    *("RightBrowLeftCorner", "RightBrowCenter", "RightBrowRightCorner"),
    *("LeftEyeLeftCorner", "LeftEyeCenter", "LeftEyeRightCorner"),
    *("RightEyeLeftCorner", "RightEyeCenter", "RightEyeRightCorner"),
    *("LeftEar", "NoseLeft", "NoseCenter", "NoseRight", "RightEar"),
    *("MouthLeftCorner", "MouthCenter", "MouthRightCorner", "ChinCenter"),
)
MIRROR = (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 16, 15, 14, 13, 12, 19, 18, 17, 20)
EYES = (7, 10)
FIVE = (7, 10, 14, 17, 19)  # MTFL's five among the points
ANGLES = {angle.name: angle for angle in Orientation().angles}
ALIGNMENTS = ("yaw", "yaw_tol", "order")  # how points and angles of a photo were joined
COLUMNS = (
    *("file", "n_visible21", "fit_rms_px", "row_alignment"),
    *(f"{angle}_deg" for angle in ANGLES),
    *(f"{axis}_{point}" for point in POINTS for axis in "xy"),
)
SIDE = 150  # pixels of a crop
OFF = (1.9, 0.5)  # pixels taken off every point
WORST_FIT = 0.10  # of the distance between the eye centres
LEAST_POINTS = 11
ALIKE = 0.93  # correlation from which two faces are one photo: 44 pairs, looked through
SYMMETRY = replace(mtfl.SYMMETRY, points=MIRROR, negated=("yaw", "roll"), rolled=("roll",))


@dataclass(frozen=True)
class Annotation:
    """One crop with points, in pixels of the crop in the convention of `dclib.data.faces`."""

    line: lists.Line
    name: str
    points: np.ndarray  # float64 (21, 2), NaN where not visible
    angles: np.ndarray  # float64 (3,): yaw, pitch, roll in degrees, NaN where not known
    fit: float  # residual of the table's fit, as a share of the distance between the eyes
    joined: str  # one of ALIGNMENTS

    @property
    def included(self) -> bool:
        """Whether the face is in, by the rules above."""
        visible = int((~np.isnan(self.points[:, 0])).sum())
        return self.joined != "order" and self.fit <= WORST_FIT and visible >= LEAST_POINTS


def read(path: Path) -> list[Annotation]:
    """The rows of the table that have points; none contradicts itself or another."""
    rows = lists.read_table(path, "; get the table anew or mend the line")
    if missing := [column for column in COLUMNS if column not in rows[0].cells]:
        raise DataError(f"{path}: there is no column {', '.join(missing)}; get the table anew")
    found = []
    for row, (_, name) in zip(rows, lists.distinct(rows), strict=True):
        points = np.array([row.values((f"x_{point}", f"y_{point}")) for point in POINTS]) - OFF
        given = int((~np.isnan(points[:, 0])).sum())
        told = row.value("n_visible21")
        if given != np.nan_to_num(told):
            row.fail(f"n_visible21 tells {told:g} points, {given} are given")
        if given:
            found.append(_annotation(row, name, points))
    return found


def _annotation(row: lists.Row, name: str, points: np.ndarray) -> Annotation:
    apart = float(np.linalg.norm(points[EYES[0]] - points[EYES[1]]))
    angles = np.array([row.value(f"{angle}_deg") for angle in ANGLES])
    fit, joined = row.value("fit_rms_px"), row.cells["row_alignment"]
    five = np.isnan(points[list(FIVE)]).any() or not apart
    for wrong, fault in (
        (five, "the eye centres, the nose and the corners of the mouth are not all given"),
        ((abs(angles) > 180).any(), "an angle lies beyond 180 degrees"),
        (not fit >= 0, "fit_rms_px is missing or negative"),
        (joined not in ALIGNMENTS, f"row_alignment is one of {ALIGNMENTS}, not {joined!r}"),
    ):
        if wrong:
            row.fail(fault)
    if not (abs(angles) <= [angle.limit for angle in ANGLES.values()]).all():
        angles[:] = np.nan
    outside = ((points < 0) | (points > SIDE)).any(axis=1, keepdims=True)
    return Annotation(row, name, np.where(outside, np.nan, points), angles, fit / apart, joined)


def build(rows: Sequence[Annotation], crops: FaceSet) -> FaceSet:
    """The faces of some rows, with the pixels, gender, glasses and profile of MTFL's test crops.

    The label `fit` is no truth about the face: it tells how well its points are known.
    """
    known = {name: at for at, name in enumerate(crops.names)}
    for row in rows:
        if row.name not in known:
            row.line.fail(f"{row.name} is not among MTFL's test photos")
    faces = crops.subset([known[row.name] for row in rows])
    angles = np.array([row.angles for row in rows], dtype=np.float32).reshape(-1, len(ANGLES))
    points = np.array([row.points for row in rows]).reshape(-1, len(POINTS), 2)
    return replace(
        faces,
        landmarks=(points * (crops.resolution / SIDE)).astype(np.float32),
        labels={
            **{name: faces.labels[name] for name in ("gender", "glasses", "profile")},
            **dict(zip(ANGLES, angles.T, strict=True)),
            "fit": np.array([row.fit for row in rows], dtype=np.float32),
        },
        symmetry=SYMMETRY,
        eyes=EYES,
    )


def groups(faces: FaceSet) -> np.ndarray:
    """Number (N,) the faces: those of one group of MTFL's, or that look alike, share a number.

    Some photos are in AFLW twice, under two numbers. Two faces are alike if the grey pixels of the
    square around their eyes, nose and mouth correlate above `ALIKE`.
    """
    five = faces.landmarks[:, list(FIVE)]
    seen = np.array([_patch(*face) for face in zip(faces.images, five, strict=True)])
    seen -= seen.mean(axis=1, keepdims=True)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True).clip(1e-9)
    return joined(len(faces), [*np.argwhere(seen @ seen.T > ALIKE), *same(faces.groups)])


def _patch(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The grey pixels (24 * 24,) of a square (side: four times the points' spread) about points."""
    middle = points.mean(axis=0)
    side = 4 * float(np.sqrt(((points - middle) ** 2).sum(axis=1).mean()))
    square = (float(middle[0]) - side / 2, float(middle[1]) - side / 2, side)
    pixels, _ = photo.crop(Image.fromarray(image.transpose(1, 2, 0)), points, square, 24, 0)
    return pixels.mean(axis=0).ravel()


def divide(faces: FaceSet, percent: int) -> tuple[FaceSet, FaceSet]:
    """The first so many percent of the faces to train on, and the rest.

    There is one order of the groups, by a hash of their first names and so without regard to their
    sizes: smaller training sets lie within larger ones. No group is on both sides: one that the
    cut would divide is in the test.
    """
    members: dict[int, list[int]] = {}
    for face in sorted(range(len(faces)), key=faces.names.__getitem__):
        members.setdefault(int(faces.groups[face]), []).append(face)
    together = list(members.values())
    named = [faces.names[own[0]] for own in together]
    shuffled = hold_out(named, np.arange(len(named)), len(named), purpose="aflw")  # all of them
    order = [face for at in shuffled for face in together[at]]
    cut = round(percent / 100 * len(faces))
    while 0 < cut < len(order) and faces.groups[order[cut - 1]] == faces.groups[order[cut]]:
        cut -= 1
    if cut in (0, len(order)):
        raise DataError(f"{len(faces)} faces are too few for {percent} % of them to train on")
    return faces.subset(order[:cut]), faces.subset(order[cut:])


def prepare(percent: int, source: Path | None = None) -> Report:
    """Verify the table, which `source` is or has, and join it with MTFL's test crops."""
    path = find(source)
    made = partial(_build, percent, PREPARED, _verified(path))
    faces = cached(f"aflw-{percent}", PREPARED, fingerprint(percent), made)
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
    known = {name: mtfl.WORDS[name] for name in ("gender", "glasses", "profile")}
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
    if found := first(places, (f"{FOLDER}/{TABLE}", TABLE)):
        return found
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
