"""A photo set: photos with boxes around their faces, and the five points of some of these faces.

Coordinates are as in `dclib.data.faces`: continuous, pixel i covers [i, i + 1). A box is (left,
top, right, bottom), its width right - left. The five points are left eye, right eye, nose, left and
right corner of the mouth, x before y, where left is left in the picture.

A photo set holds the annotations; photos are read one by one, when they are asked for. A set is a
module here with the functions `load` and `fingerprint`, and its line in `PHOTO_SETS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dclib.data import photo
from dclib.data.archive import Folder
from dclib.data.dataset import late
from dclib.data.lists import Line
from dclib.data.progress import progress
from dclib.errors import DataError

Each = Sequence[np.ndarray] | np.ndarray  # an array for each photo


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
    read: Callable[[int], np.ndarray]  # number of a photo -> uint8 (3, H, W), RGB
    source: str = ""  # where it was found, for a report

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

PHOTO_SETS = {  # the module of each, and what the names of its functions end in
    "lfwnet": ("lfwnet", ""),
    "mtfl-test": ("lfwnet", "_test"),
    "celeba": ("celeba", ""),
    "wider": ("wider", ""),
    "wider-two": ("wider", "_two"),
    "scenes": ("scenes", ""),
}


def _function(name: str, act: str) -> Callable[..., Any]:
    if name not in PHOTO_SETS:
        raise DataError(f"photo set {name!r} is unknown; choose from {[*PHOTO_SETS]}")
    module, ending = PHOTO_SETS[name]
    return late(module, act + ending)


def load(name: str, source: Path | None = None, fetch: bool = False) -> Photos:
    """Training and held-out photos; either set may be empty.

    Args:
        source: an archive or folder to take them from; without it `DCLIB_MIRROR` and the data
            folder are searched.
        fetch: download lists that are nowhere, where they may be.

    Raises:
        DataError: the name is unknown, or the data cannot be had or are not what they should be. A
            photo that cannot be read is told when it is asked for.
    """
    found: Photos = _function(name, "load")(source, fetch)
    return found


def fingerprint(name: str) -> str:
    """The fingerprint of the annotations that `load` gives, known without reading photos."""
    return str(_function(name, "fingerprint")())


def prepare(name: str, source: Path | None = None) -> "Report":
    """Find a photo set, read every photo of it, and report what it holds.

    Raises:
        DataError: as `load`; or a photo is missing, damaged, or wholly beside one of its boxes.
    """
    sets = load(name, source, fetch=source is None)
    for of in sets:
        for number in progress(range(len(of)), f"read {name}", len(of)):
            of.read(number)
    return Report(sets)


@dataclass(frozen=True)
class Report:
    """What `prepare` found; its text is for a terminal."""

    sets: Photos

    def __str__(self) -> str:
        one = self.sets[1]
        rows = [f"{one.name} from {one.source}: fingerprint {one.fingerprint}"]
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
        return "\n".join(rows)


def nothing(count: int) -> tuple[np.ndarray, ...]:
    """For each of `count` photos no box at all."""
    return (np.empty((0, 4), dtype=np.float32),) * count


def listed(
    name: str,
    fingerprint: str,
    folder: Folder,
    lines: Sequence[Line],
    boxes: Each,
    *,
    points: Each | None = None,
    ignored: Each | None = None,
    groups: np.ndarray | None = None,
    source: object = None,
) -> PhotoSet:
    """A set of the photos that lines of an official list name, below a folder.

    With `points` one face of each photo is annotated; without them all faces are, and no points.
    Reading a photo raises DataError if it is missing, damaged, or wholly beside one of its boxes.
    """
    nowhere = [np.full((len(of), 5, 2), np.nan, np.float32) for of in boxes]
    return PhotoSet(
        name=name,
        fingerprint=fingerprint,
        names=tuple(line.photo() for line in lines),
        boxes=tuple(boxes),
        points=tuple(nowhere if points is None else points),
        ignored=nothing(len(lines)) if ignored is None else tuple(ignored),
        groups=np.arange(len(lines)) if groups is None else groups,
        complete=points is None,
        read=partial(_read, folder, lines, boxes),
        source=str(source or folder).rstrip("/"),
    )


def _read(folder: Folder, lines: Sequence[Line], boxes: Each, number: int) -> np.ndarray:
    line = lines[number]
    file = folder / line.photo()
    picture = photo.read(line.content(file), f"{line.where}: {file}", upright=False)
    left, top, right, bottom = boxes[number].T
    inside = (left < picture.width) & (top < picture.height) & (right > 0) & (bottom > 0)
    if not inside.all():
        line.fail(f"a face box lies outside {file}, {picture.width} x {picture.height} pixels")
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)
