"""MTFL, the data set of section 4.2: 10,000 faces to train on and 2,995 to test on.

Source: Zhang et al., "Facial landmark detection by deep multi-task learning", ECCV 2014; for
non-commercial research only.

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
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from dclib.data import lists, pack, photo
from dclib.data.archive import Folder, Official, searched
from dclib.data.cache import cached
from dclib.data.dataset import PREPARED, Faces, Report, Words
from dclib.data.faces import FaceSet, Symmetry, group, margin_of, mark
from dclib.data.photo import Cut, Square
from dclib.data.progress import progress
from dclib.errors import DataError

PUBLISHED = "f0c2ff2fcc2f1a0b"  # fingerprint of both lists, the photos they name, the face boxes
ARCHIVE = Official(
    name="MTFL.zip",
    marker="training.txt",
    also=("training.txt", "MTFL/training.txt", "mtfl/training.txt"),
    page="http://mmlab.ie.cuhk.edu.hk/projects/TCDCN.html",
    address="http://mmlab.ie.cuhk.edu.hk/projects/TCDCN/data/MTFL.zip",
)
BOXES = Official(
    name="train.zip",
    marker="trainImageList.txt",
    also=("trainImageList.txt", "cnn_facepoint/trainImageList.txt"),
    page="http://mmlab.ie.cuhk.edu.hk/archive/CNN_FacePoint.htm",
    address="http://mmlab.ie.cuhk.edu.hk/archive/CNN/data/train.zip",
)
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


@dataclass(frozen=True)
class Annotations:
    """One annotation list, points already in the pixel convention of `dclib.data.faces`."""

    lines: tuple[lists.Line, ...]
    names: tuple[str, ...]
    landmarks: np.ndarray  # float64 (N, 5, 2), x then y, pixels of the photo
    labels: dict[str, np.ndarray]  # int64 (N,), from 0
    skipped: int  # blank lines


@dataclass(frozen=True)
class Boxes:
    """One list of face boxes, pixels as in `dclib.data.faces`."""

    lines: tuple[lists.Line, ...]
    boxes: np.ndarray  # float64 (N, 4): left, top, right, bottom
    points: np.ndarray  # float64 (N, 5, 2)

    def by_name(self) -> dict[str, Box]:
        """The boxes as what training photos are cut around."""
        corners = zip(self.lines, self.boxes.tolist(), strict=True)
        return {
            line.photo(): ((x + right) / 2, (y + bottom) / 2, (right - x + bottom - y) / 2 - 1)
            for line, (x, y, right, bottom) in corners
        }


def read_annotations(path: Folder) -> Annotations:
    """Read training.txt or testing.txt: photo, x1 ... x5, y1 ... y5, four labels a line."""
    lines, skipped = lists.read(path)
    names, points, labels = [], [], []
    for line, name in lists.distinct(lines):
        line.expect(15)
        names.append(name)
        points.append(line.numbers(1, 11).reshape(2, 5).T - 0.5)  # (5, 2)
        labels.append([line.label(11 + at, len(words)) for at, words in enumerate(WORDS.values())])
    columns = np.array(labels, dtype=np.int64).T  # (4, N)
    return Annotations(
        lines=tuple(lines),
        names=tuple(names),
        landmarks=np.array(points),
        labels=dict(zip(WORDS, columns, strict=True)),
        skipped=skipped,
    )


def read_boxes(path: Folder) -> Boxes:
    """Read trainImageList.txt: photo, left, right, top, bottom, then x and y of five points a line.

    Its pixels count from 0, and a box includes its last row and column: so half a pixel is added to
    every point, and a whole one to the right and the bottom of every box.
    """
    lines, boxes, points = [], [], []
    for line, _ in lists.distinct(lists.read(path)[0]):
        line.expect(15)
        left, right, top, bottom = line.numbers(1, 5).tolist()
        if left >= right or top >= bottom:
            line.fail("the face box is empty")
        lines.append(line)
        boxes.append((left, top, right + 1, bottom + 1))
        points.append(line.numbers(5, 15).reshape(5, 2) + 0.5)
    return Boxes(tuple(lines), np.array(boxes), np.array(points))


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


@dataclass(frozen=True)
class Content:
    """All of MTFL, photos not decoded."""

    folder: Folder  # the top of its archive
    boxes: dict[str, Box]
    halves: tuple[Annotations, ...]  # training, test
    digests: tuple[list[str], ...]  # of the photos of each

    @cached_property
    def fingerprint(self) -> str:
        told = [
            f"{name} {' '.join(line.fields[1:])} {self.boxes.get(name)} {digest}\n"
            for half, digests in zip(self.halves, self.digests, strict=True)
            for line, name, digest in zip(half.lines, half.names, digests, strict=True)
        ]
        return mark("".join(told))

    def decode(self, resolution: int) -> Faces:
        """The training and the test faces; a fault in a photo is told before other content."""
        train, test = (self._half(test, resolution) for test in (False, True))
        if self.fingerprint != PUBLISHED:
            raise DataError(
                f"{self.folder}: the content is not that of the published MTFL (fingerprint"
                f" {self.fingerprint}, expected {PUBLISHED}); get the official archive"
            )
        return train, test

    def _half(self, test: bool, resolution: int) -> FaceSet:
        told, digests = self.halves[test], self.digests[test]
        faces = zip(told.lines, told.names, told.landmarks, strict=True)
        cut = (self._face(*face, test) for face in faces)
        margin = 0 if test else margin_of(resolution)
        what = "test photos" if test else "training photos"
        images, points = photo.crops(cut, (len(told.names), 5), resolution, margin, what)
        return FaceSet(
            images=images,
            landmarks=points,
            labels=told.labels,
            names=told.names,
            groups=groups(told.names, digests),
            resolution=resolution,
            symmetry=SYMMETRY,
            fingerprint=self.fingerprint,
        )

    def _face(self, line: lists.Line, name: str, points: np.ndarray, test: bool) -> Cut:
        """A photo, its points and the square that is cut: a test photo is a crop already."""
        picture = photo.read(
            line.content(self.folder / name), f"{line.where}: {name}", upright=False
        )
        across, down = picture.size
        if not ((points >= 0) & (points <= picture.size)).all():
            line.fail(f"a point lies outside {name}, {across} x {down} pixels")
        if test:
            if across != down:
                line.fail(f"{name} is no square: {across} x {down} pixels")
            return picture, points, (0, 0, across)
        if name not in self.boxes:
            line.fail(f"no face box is known for {name}")
        x, y, width = self.boxes[name]
        if not (width <= min(across, down) and 0 <= x <= across and 0 <= y <= down):
            line.fail(f"the face box of {name} does not lie in its photo")
        return picture, points, training_square(self.boxes[name])


def read(folder: Folder, boxes: Folder) -> Content:
    """Read all lists and photos.

    Args:
        folder: the top of MTFL's archive.
        boxes: the list of face boxes.
    """
    face_boxes = read_boxes(boxes).by_name()
    halves = tuple(read_annotations(folder / name) for name in LISTS)
    digests = tuple(
        [
            hashlib.sha256(line.content(folder / line.photo())).hexdigest()
            for line in progress(half.lines, "verify photos", len(half.lines))
        ]
        for half in halves
    )
    return Content(folder, face_boxes, halves, digests)


def tasks(resolution: int) -> tuple[Any, ...]:
    """Those of section 4.2: landmarks, gender, smile, glasses and profile."""
    from dclib.tasks import mtfl_tasks  # needs torch

    return mtfl_tasks(resolution)


def words() -> Words:
    """The words of each label, by its classes."""
    return WORDS


def prepare(source: Path | None = None) -> Report:
    """Verify MTFL.zip, or a folder that has it or its content, and decode its faces."""
    content = read(*_official(source, fetch=source is None))
    decode = partial(content.decode, PREPARED)
    if content.fingerprint != PUBLISHED:
        decode()  # raises, and says where the fault is
    faces = cached("mtfl", PREPARED, PUBLISHED, decode)
    skipped = sum(half.skipped for half in content.halves)
    where = f"MTFL from {str(content.folder).rstrip('/')}"
    return Report(where, *faces, WORDS, notes=(f"{skipped} blank lines skipped",))


def load(resolution: int) -> Faces:
    """The training and the test faces, or those of the pack that `DCLIB_MTFL_PACK` names."""

    def decode() -> Faces:
        packed = _packed()
        if packed:
            return pack.read(packed, resolution)
        return read(*_official()).decode(resolution)

    return cached("mtfl", resolution, fingerprint(), decode)


def fingerprint() -> str:
    """Which faces `load` gives: the published ones, or those of the pack that is named."""
    packed = _packed()
    return pack.fingerprint(packed) if packed else PUBLISHED


def _packed() -> Path | None:
    named = os.environ.get("DCLIB_MTFL_PACK")
    return Path(named).expanduser().resolve() if named else None


def _official(source: Path | None = None, fetch: bool = False) -> tuple[Folder, Folder]:
    """The top of MTFL's archive and the list of face boxes."""
    folder = ARCHIVE.find(source, fetch)
    near = [source if source.is_dir() else source.parent] if source else []
    return folder, BOXES.open([*near, *searched()], fetch) / BOXES.marker
