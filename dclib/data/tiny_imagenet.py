"""A subset of Tiny-ImageNet: small photos of 200 kinds of things, to pre-train columns on.

Tiny-ImageNet (Stanford's CS231n, 2015) is itself cut from ImageNet (Russakovsky et al., 2015), at
64 x 64 pixels, for non-commercial research and education. The subset has, of each class, the 60
training and the 10 validation photos with the lowest numbers: it stands in for ImageNet where that
is out of reach, under its own name, and is no substitute for it.

In the words of the rest of the library its photos are faces without landmarks, whose one label is
the kind of thing they show.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dclib.data import lists, photo
from dclib.data.archive import Folder, Official, content_of, contents
from dclib.data.cache import cached
from dclib.data.dataset import PREPARED, Faces, Report, Words
from dclib.data.faces import FaceSet, Symmetry, group, mark
from dclib.errors import DataError
from dclib.tasks import Classes

CLASSES = 200
COUNTS = {"train": 60, "val": 10}  # photos of each class that are used
SIDE = 64  # of a photo, pixels
LABEL = "object"
ARCHIVE = Official(
    name="tiny-imagenet-200.zip",
    marker="wnids.txt",
    also=("tiny-imagenet-200/wnids.txt", "tiny_imagenet/classes.txt", "wnids.txt", "classes.txt"),
    page="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    address="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
)
# train/CLASS/images/CLASS_7.JPEG in the official archive, without images/ in the bare subset;
# val/images/val_7.JPEG in the official archive, val/CLASS/val_7.JPEG in the bare subset
PHOTO = re.compile(r"(train|val)/(?:(n\d+)/)?(?:images/)?(?:n\d+|val)_(\d+)\.JPEG")


@dataclass(frozen=True)
class Photo:
    """Where a photo is and what it shows."""

    part: str  # "train" or "val"
    kind: str  # its class, as ImageNet numbers it
    number: int
    file: Folder

    @property
    def name(self) -> str:
        return f"{self.part}/{self.kind}/{self.file.name}"

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(content_of(self.file)).hexdigest()


def tasks(resolution: int) -> tuple[Classes]:
    """The one task: what a photo shows."""
    return (Classes(LABEL, CLASSES),)


def words() -> Words:
    """None: a class has its number in ImageNet only."""
    return {}


def prepare(source: Path | None = None) -> Report:
    """Decode the archive, or a folder that has it or its content."""
    faces = _load(find(source, fetch=source is None), PREPARED)
    return Report(f"Tiny-ImageNet's subset, {CLASSES} classes", *faces, {})


def load(resolution: int) -> Faces:
    """Training and validation photos, resized to `resolution`."""
    return _load(find(), resolution)


def fingerprint(photos: Sequence[Photo] | None = None) -> str:
    """Of the photos that `load` gives: their names, classes and content, however packed."""
    return mark("".join(f"{one.name} {one.digest}\n" for one in photos or find()))


def find(source: Path | None = None, fetch: bool = False) -> list[Photo]:
    """The photos of the subset: training before validation, by class and number."""
    folder = ARCHIVE.find(source, fetch)
    found: dict[tuple[str, str], list[Photo]] = {
        (part, kind): [] for part in COUNTS for kind in _kinds(folder)
    }
    for one in sorted(_photos(folder), key=lambda one: one.number):
        if (one.part, one.kind) not in found:
            raise DataError(f"{one.file}: its class {one.kind} is not listed; get it anew")
        found[one.part, one.kind].append(one)
    for (part, kind), those in found.items():
        if len(those) < COUNTS[part]:
            raise DataError(
                f"{folder}: {len(those)} photos in {part} of class {kind}, {COUNTS[part]} are"
                " needed; get the archive anew"
            )
    return [one for (part, _), those in found.items() for one in those[: COUNTS[part]]]


def _kinds(folder: Folder) -> list[str]:
    """The classes, in the order of their labels; further words on a line are their names."""
    path = folder / ("classes.txt" if (folder / "classes.txt").exists() else "wnids.txt")
    kinds = {line.fields[0] for line in lists.read(path)[0]}
    if len(kinds) != CLASSES:
        raise DataError(f"{path}: {len(kinds)} classes instead of {CLASSES}; get it anew")
    return sorted(kinds)


def _photos(folder: Folder) -> Iterator[Photo]:
    """All photos of the official archive, or of a folder with train.zip and val.zip."""
    parts = [folder / f"{part}.zip" for part in COUNTS]
    places: list[Folder] = [contents(p) for p in parts if isinstance(p, Path) and p.exists()]
    annotations = folder / "val" / "val_annotations.txt"
    rows = lists.read(annotations)[0] if annotations.exists() else []
    kind_of = {row.fields[0]: row.fields[1] for row in rows if len(row.fields) > 1}
    for place in places or [folder]:
        for name, file in _files(place):
            if match := PHOTO.fullmatch(name):
                part, kind, number = match.groups()
                yield Photo(part, kind or kind_of.get(file.name, "?"), int(number), file)


def _files(folder: Folder) -> Iterator[tuple[str, Folder]]:
    """Every file below a folder, and its path from there."""
    if isinstance(folder, Path):
        for file in folder.rglob("*.JPEG"):
            yield file.relative_to(folder).as_posix(), file
    else:  # zipfile.Path goes through all names for each folder, which takes long
        for name in folder.root.namelist():
            if name.startswith(folder.at):
                yield name.removeprefix(folder.at), zipfile.Path(folder.root, name)


def _whole(one: Photo) -> photo.Cut:
    picture = photo.read(content_of(one.file), str(one.file), upright=False)
    if picture.size != (SIDE, SIDE):
        raise DataError(f"{one.file}: not {SIDE} x {SIDE} pixels; get the archive anew")
    return picture, np.empty((0, 2), dtype=np.float32), (0, 0, SIDE)


def _load(photos: list[Photo], resolution: int) -> Faces:
    known = fingerprint(photos)
    labels = {kind: label for label, kind in enumerate(sorted({one.kind for one in photos}))}

    def half(part: str) -> FaceSet:
        own = [one for one in photos if one.part == part]
        images, landmarks = photo.crops(map(_whole, own), (len(own), 0), resolution, 0, part)
        return FaceSet(
            images=images,
            landmarks=landmarks,
            labels={LABEL: np.array([labels[one.kind] for one in own], dtype=np.int64)},
            names=tuple(one.name for one in own),
            groups=group([one.digest for one in own]),
            resolution=resolution,
            symmetry=Symmetry(points=(), classes={}),
            fingerprint=known,
            eyes=None,
        )

    return cached("tiny-imagenet", resolution, known, lambda: (half("train"), half("val")))
