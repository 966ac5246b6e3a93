"""A photo set: photos with boxes around their faces, and the five points of some of these faces.

Coordinates are as in `dclib.data.faces`: continuous, pixel i covers [i, i + 1). A box is (left,
top, right, bottom), its width right - left. The five points are left eye, right eye, nose, left and
right corner of the mouth, x before y, where left is left in the picture.

A photo set holds the annotations; photos are read one by one, when they are asked for.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dclib.data import photo
from dclib.data.archive import Folder
from dclib.data.dataset import late
from dclib.data.lists import Line
from dclib.data.progress import progress
from dclib.errors import DataError

Read = Callable[[int], np.ndarray]  # number of a photo -> uint8 (3, H, W), RGB


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """P photos with K boxes each, where K differs from photo to photo and may be 0."""

    name: str
    fingerprint: str  # of the annotations
    names: tuple[str, ...]  # of the photos, distinct
    boxes: tuple[np.ndarray, ...]  # per photo float32 (K, 4)
    points: tuple[np.ndarray, ...]  # per photo float32 (K, 5, 2), NaN where not annotated
    ignored: tuple[np.ndarray, ...]  # per photo float32 (K', 4): neither face nor background
    groups: np.ndarray  # int64 (P,): photos of one person or one source share a number
    complete: bool  # whether every face of every photo has a box
    read: Read

    def __post_init__(self) -> None:
        count = len(self.names)
        columns = (self.boxes, self.points, self.ignored, self.groups)
        if len(set(self.names)) != count or any(len(column) != count for column in columns):
            raise ValueError(f"{count} photos need as many distinct names and annotations")
        for boxes, points, ignored in zip(self.boxes, self.points, self.ignored, strict=True):
            shapes = boxes.shape, points.shape, ignored.shape
            if shapes != ((len(boxes), 4), (len(boxes), 5, 2), (len(ignored), 4)):
                raise ValueError(f"boxes, points and ignored regions cannot be {shapes}")

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, index: Sequence[int] | np.ndarray) -> "PhotoSet":
        """The photos of `index`, in its order."""
        chosen = np.asarray(index, dtype=np.int64)
        read = self.read
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            boxes=tuple(self.boxes[i] for i in chosen),
            points=tuple(self.points[i] for i in chosen),
            ignored=tuple(self.ignored[i] for i in chosen),
            groups=self.groups[chosen],
            read=lambda number: read(int(chosen[number])),
        )


Photos = tuple[PhotoSet, PhotoSet]  # training, held out


@dataclass(frozen=True)
class Source:
    """A photo set that can be had by its name."""

    name: str
    description: str
    load: Callable[[], Photos]
    identify: Callable[[], str]
    prepare: Callable[[Path | None], object]  # from an archive or folder; prints as a report


def _source(name: str, module: str, ending: str, description: str) -> Source:
    found = (
        late(f"dclib.data.{module}", act + ending) for act in ("load", "fingerprint", "prepare")
    )
    return Source(name, description, *found)


PHOTO_SETS = {
    source.name: source
    for source in (
        _source("lfwnet", "lfwnet", "", "LFWNet: 13,466 photos, a face with points in each"),
        _source("mtfl-test", "lfwnet", "_test", "MTFL's 2,995 test crops, a face in each"),
        _source("celeba", "celeba", "", "CelebA: 202,599 photos, a face with points in each"),
        _source("wider", "wider", "", "WIDER FACE: 16,106 photos, a box around every face"),
        _source("wider-two", "wider", "_two", "two photos of WIDER FACE, a box around every face"),
        _source("scenes", "scenes", "", "drawn heads on clutter, a box and points for each"),
    )
}


def find(name: str) -> Source:
    """A photo set by its name.

    Raises:
        DataError: the name is unknown.
    """
    if name not in PHOTO_SETS:
        raise DataError(f"photo set {name!r} is unknown; choose from {[*PHOTO_SETS]}")
    return PHOTO_SETS[name]


def load(name: str) -> Photos:
    """Training and held-out photos; either set may be empty.

    Raises:
        DataError: the name is unknown, or the data cannot be had or are not what they should be.
    """
    return find(name).load()


def fingerprint(name: str) -> str:
    """The fingerprint of the annotations that `load` gives, known without reading photos.

    Raises:
        DataError: the name is unknown, or the lists of annotations cannot be had.
    """
    return find(name).identify()


def prepare(name: str, source: Path | None = None) -> object:
    """Find a photo set, read every photo of it, and report what it holds.

    Args:
        source: an archive or folder to take it from; without it `DCLIB_MIRROR` and the data folder
            are searched.

    Raises:
        DataError: the name is unknown, or the data cannot be had or are not what they should be.
    """
    return find(name).prepare(source)


def nothing(count: int) -> tuple[np.ndarray, ...]:
    """For each of `count` photos no box at all."""
    return (np.empty((0, 4), dtype=np.float32),) * count


def read_from(files: Sequence[Folder], lines: Sequence[Line], boxes: Sequence[np.ndarray]) -> Read:
    """Reads the photos of some files, each annotated by a line and with boxes that lie in it.

    What it gives raises DataError if a photo is missing, damaged, or wholly beside one of its
    boxes.
    """
    return partial(_read, files, lines, boxes)


def _read(
    files: Sequence[Folder], lines: Sequence[Line], boxes: Sequence[np.ndarray], number: int
) -> np.ndarray:
    file, line = files[number], lines[number]
    pixels = np.asarray(
        photo.read(line.content(file), f"{line.where}: {file}", upright=False)
    )  # (H, W, 3)
    height, width = pixels.shape[:2]
    if len(boxes[number]):
        left, top, right, bottom = boxes[number].T
        if not ((left < width) & (top < height) & (right > 0) & (bottom > 0)).all():
            line.fail(f"a face box lies outside {file}, {width} x {height} pixels")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def lines_fingerprint(lines: Iterable[Line]) -> str:
    """The fingerprint of annotation lines, whatever ends them and separates their fields."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update((" ".join(line.fields).replace("\\", "/") + "\n").encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Report:
    """What `prepare` found; its text is for a terminal."""

    source: str
    sets: Photos
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        training = self.sets[0]
        rows = [f"{training.name} from {self.source}: fingerprint {training.fingerprint}"]
        for part, photos in zip(("training", "held-out"), self.sets, strict=True):
            if not len(photos):
                continue
            faces = sum(len(boxes) for boxes in photos.boxes)
            pointed = sum(int((~np.isnan(p).any((1, 2))).sum()) for p in photos.points)
            ignored = sum(len(boxes) for boxes in photos.ignored)
            rows.append(
                f"{len(photos):,} {part} photos in {len(np.unique(photos.groups)):,} groups:"
                f" {faces:,} faces, {pointed:,} of them with points; {ignored:,} regions ignored"
            )
        return "\n".join([*rows, *self.notes])


def verified(source: str, sets: Photos, *notes: str) -> Report:
    """A report on photo sets of which every photo has been read.

    Raises:
        DataError: a photo is missing, damaged, or wholly beside one of its boxes.
    """
    for photos in sets:
        for number in progress(range(len(photos)), f"read {photos.name}", len(photos)):
            photos.read(number)
    return Report(source, sets, notes)
