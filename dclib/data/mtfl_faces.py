"""From MTFL's lists and photos to faces: points, crops, groups and the fingerprint of it all.

A test photo is the square around a face box, which fills it; in a training photo the face is
smaller. So training crops are cut to the scale of the test photos, around the face boxes of Sun et
al., "Deep convolutional network cascade for facial point detection", CVPR 2013, whose photos these
are.

MTFL counts pixels from 1, so half a pixel is taken off every point. Evidence: the pupils of
frontal training faces, found as the axis of symmetry of the mean eye, lie 1.0 to 1.4 pixels left
of the annotation if pixel centres are counted from 0; and CVPR 2013's list of the same points is
lower by exactly 1. The test photos were annotated apart: there the points lie 1.5 pixels further
right and 1.0 further down (of 150), some 4 % of the inter-ocular distance. They are kept as they
are, because the paper measures against them.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dclib.data import lists, photo
from dclib.data.archive import Folder
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, Symmetry, group
from dclib.data.progress import progress
from dclib.errors import DataError

LISTS = ("training.txt", "testing.txt")
WORDS = {  # of the values of the labels, from MTFL's own description
    "gender": ("male", "female"),
    "smile": ("smiling", "not smiling"),
    "glasses": ("glasses", "no glasses"),
    "profile": ("left profile", "left", "frontal", "right", "right profile"),
}
SYMMETRY = Symmetry(points=(1, 0, 2, 4, 3), classes={"profile": (4, 3, 2, 1, 0)})
SIDE = 1.65  # width of a test photo in widths of its face box (median of the 2,995)
RIGHT, DOWN = 0.06, 0.04  # from the box's centre to the photo's, in widths of the box (medians)

Box = tuple[float, float, float]  # centre x, centre y, width, in pixels of the photo
Square = tuple[float, float, float]  # left, top, side


@dataclass(frozen=True)
class Annotations:
    """One annotation list, points already in the pixel convention of `dclib.data.faces`."""

    lines: tuple[lists.Line, ...]
    names: tuple[str, ...]
    landmarks: np.ndarray  # float64 (N, 5, 2), x then y, pixels of the photo
    labels: dict[str, np.ndarray]  # int64 (N,), from 0
    skipped: int  # blank lines


def read_annotations(path: Folder) -> Annotations:
    """Read training.txt or testing.txt: photo, x1 ... x5, y1 ... y5, four labels a line.

    Raises:
        DataError: a line is not like that, or names a photo twice or outside the folder.
    """
    lines, skipped = lists.read(path)
    names, points, labels = [], [], []
    for line, name in lists.distinct(lines):
        line.expect(15)
        names.append(name)
        points.append(line.numbers(1, 11).reshape(2, 5).T - 0.5)  # (5, 2)
        labels.append(
            [line.label(11 + at, most) for at, most in enumerate(map(len, WORDS.values()))]
        )
    columns = np.array(labels, dtype=np.int64).T  # (4, N)
    return Annotations(
        lines=tuple(lines),
        names=tuple(names),
        landmarks=np.array(points),
        labels=dict(zip(WORDS, columns, strict=True)),
        skipped=skipped,
    )


def read_boxes(path: Folder) -> dict[str, Box]:
    """Read the face boxes of trainImageList.txt: photo, left, right, top, bottom, ten more.

    Its pixels count from 0, and a box includes its last row and column.

    Raises:
        DataError: a line is not like that.
    """
    boxes = {}
    for line, name in lists.distinct(lists.read(path)[0]):
        line.expect(15)
        left, right, top, bottom = line.numbers(1, 5).tolist()
        if left >= right or top >= bottom:
            line.fail("the face box is empty")
        width = (right - left + bottom - top) / 2
        boxes[name] = ((left + right + 1) / 2, (top + bottom + 1) / 2, width)
    return boxes


def training_square(box: Box) -> Square:
    """The square of a training photo that shows the face as test photos do."""
    x, y, width = box
    side = SIDE * width
    return x + RIGHT * width - side / 2, y + DOWN * width - side / 2, side


def groups(names: Sequence[str], contents: Sequence[str]) -> np.ndarray:
    """Number (N,) the faces: those of one person, one photo or one content share a number.

    lfw_5590/PERSON_0001.jpg names the person. net_7876/PHOTO_FACE_0.jpg, AFLW/FACE-PHOTO.jpg and
    net_7876/_YAW_PHOTO_FACE.jpg name the photo; the last do so loosely, for some faces of one
    photo differ in yaw and some numbers name several photos: all of one number go together.
    """
    rules = {
        r"(lfw_5590/.+)_\d+\.jpg": r"\1",
        r"(net_7876/\d+)_\d+_\d+\.jpg": r"\1",
        r"(net_7876/_)-?\d+_(\d+)_\d+\.jpg": r"\1\2",
        r"(AFLW/)\d+-(.+)\.jpg": r"\1\2",
    }
    sources = list(names)
    for pattern, source in rules.items():
        sources = [re.sub(f"^{pattern}$", source, name) for name in sources]
    return group(sources, contents)


def build(folder: Folder, boxes: Folder, resolution: int, published: str) -> Faces:
    """Decode the training and the test faces.

    Args:
        folder: the top of MTFL's archive.
        boxes: the list of face boxes.
        published: the fingerprint that the content must have.

    Raises:
        DataError: a fault in a list or a photo, or the content is not the published one.
    """
    face_boxes = read_boxes(boxes)
    training, testing = (read_annotations(folder / name) for name in LISTS)
    margin = 2 * round(resolution / 8)
    train, train_photos = _decode(folder, training, face_boxes, resolution, margin)
    test, test_photos = _decode(folder, testing, None, resolution, 0)

    lines = training.lines + testing.lines
    fingerprint = _fingerprint(lines, train_photos + test_photos, face_boxes)
    if fingerprint != published:
        raise DataError(
            f"{folder}: the content is not that of the published MTFL (fingerprint {fingerprint}, "
            f"expected {published}); get the official archive and try again"
        )
    return replace(train, fingerprint=fingerprint), replace(test, fingerprint=fingerprint)


def content_fingerprint(folder: Folder, boxes: Folder) -> str:
    """The fingerprint of an archive's content: every line, box and photo, but nothing is decoded.

    Raises:
        DataError: a fault in a list, or a photo is missing.
    """
    lines = [line for name in LISTS for line in read_annotations(folder / name).lines]
    photos = [
        hashlib.sha256(line.content(folder / line.photo())).hexdigest()
        for line in progress(lines, "verify photos", len(lines))
    ]
    return _fingerprint(lines, photos, read_boxes(boxes))


def _fingerprint(lines: Sequence[lists.Line], photos: Sequence[str], boxes: dict[str, Box]) -> str:
    content = hashlib.sha256()
    for line, photo_digest in zip(lines, photos, strict=True):
        name, rest = line.photo(), " ".join(line.fields[1:])
        content.update(f"{name} {rest} {boxes.get(name)} {photo_digest}\n".encode())
    return content.hexdigest()[:16]


def _decode(
    folder: Folder, told: Annotations, boxes: dict[str, Box] | None, resolution: int, margin: int
) -> tuple[FaceSet, list[str]]:
    """Faces and the digests of their photos; without boxes every photo is a crop already."""
    size = resolution + margin
    images = np.empty((len(told.names), 3, size, size), dtype=np.uint8)
    landmarks = np.empty(told.landmarks.shape, dtype=np.float32)
    digests = []
    part = "decode test photos" if boxes is None else "decode training photos"
    for at, line in enumerate(progress(told.lines, part, len(images))):
        name, points = told.names[at], told.landmarks[at]
        content = line.content(folder / name)
        picture = photo.read(content, f"{line.where}: {name}", upright=False)
        if not ((points >= 0) & (points <= picture.size)).all():
            line.fail(f"a point lies outside {name}, {picture.width} x {picture.height} pixels")
        square = _square(line, name, picture.size, boxes)
        images[at], landmarks[at] = photo.crop(picture, points, square, resolution, margin)
        digests.append(hashlib.sha256(content).hexdigest())
    faces = FaceSet(
        images=images,
        landmarks=landmarks,
        labels=told.labels,
        names=told.names,
        groups=groups(told.names, digests),
        resolution=resolution,
        symmetry=SYMMETRY,
        fingerprint="",
    )
    return faces, digests


def _square(
    line: lists.Line, name: str, size: tuple[int, int], boxes: dict[str, Box] | None
) -> Square:
    if boxes is None:
        if size[0] != size[1]:
            line.fail(f"{name} is no square: {size[0]} x {size[1]} pixels")
        return 0.0, 0.0, float(size[0])
    if name not in boxes:
        line.fail(f"no face box is known for {name}")
    x, y, width = boxes[name]
    if not (width <= min(size) and 0 <= x <= size[0] and 0 <= y <= size[1]):
        line.fail(f"the face box of {name} does not lie in its photo")
    return training_square(boxes[name])
