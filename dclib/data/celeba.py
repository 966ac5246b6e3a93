"""CelebA, 202,599 photos with one annotated face each, which the paper's cascade also trains on.

Source: Liu et al., "Deep learning face attributes in the wild", ICCV 2015; for non-commercial
research only. The photos are those "in the wild", not the aligned ones: to them the boxes and the
five points of the lists belong. Others than the one person of a photo are not annotated.

The lists do not say whether their pixels count from 0 or 1; they are taken to count from 0, so half
a pixel is added to every point. Photos whose box has no width or no height are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dclib import paths
from dclib.data import lists
from dclib.data.archive import searched
from dclib.data.lists import Line
from dclib.data.photos import (
    Photos,
    PhotoSet,
    Report,
    lines_fingerprint,
    nothing,
    read_from,
    verified,
)
from dclib.errors import DataError

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
BOXES = "list_bbox_celeba.txt"
POINTS = "list_landmarks_celeba.txt"
PEOPLE = "identity_CelebA.txt"
PARTITION = "list_eval_partition.txt"
PHOTOS = "img_celeba"
HEADINGS = 2  # lines before the first photo in BOXES and POINTS: the number of photos, the columns
TRAINING, TEST = "0", "2"  # in PARTITION; 1 is validation, which is not used


def load() -> Photos:
    """The photos of the training and of the test partition, grouped by person.

    Raises:
        DataError: the lists or the folder of photos are nowhere to be found, or have a fault. A
            photo that cannot be read is told when it is asked for.
    """
    return _sets(_read(_Place.of(searched())))


def fingerprint() -> str:
    """Of all four lists.

    Raises:
        DataError: as `load`.
    """
    return _read(_Place.of(searched())).fingerprint


def prepare(source: Path | None = None) -> Report:
    """Find lists and photos, read every photo, and report what there is.

    Args:
        source: the folder that holds them; without it `DCLIB_MIRROR` and the data folder are
            searched.

    Raises:
        DataError: they cannot be had, or are not what they should be.
    """
    place = _Place.of(searched() if source is None else [source])
    told = _read(place)
    left_out = f"{told.empty:,} photos left out, whose box is empty"
    return verified(str(place.photos.parent), _sets(told), left_out)


@dataclass(frozen=True)
class _Place:
    """Where the lists and the photos are."""

    lists: dict[str, Path]
    photos: Path

    @staticmethod
    def of(places: Sequence[Path]) -> "_Place":
        """In the first folder that has one of them, as in the official Anno, Eval and Img."""
        for folder in (place / sub for place in places for sub in ("celeba", "CelebA", ".")):
            found = {
                name: path
                for name in (BOXES, POINTS, PEOPLE, PARTITION, PHOTOS)
                for path in (folder / sub / name for sub in ("Anno", "Eval", "Img", "."))
                if path.exists()
            }
            if found:
                break
        if missing := [n for n in (BOXES, POINTS, PEOPLE, PARTITION, PHOTOS) if n not in found]:
            raise DataError(
                f"CelebA: {', '.join(missing)} not in {' or '.join(map(str, places))}. Get the"
                f" lists and img_celeba.7z from {PAGE}, unpack this, and put all into"
                f" {paths.data() / 'celeba'}, or name the folder that holds it in DCLIB_MIRROR"
            )
        photos = found.pop(PHOTOS)
        return _Place(found, photos)


@dataclass(frozen=True, eq=False)
class _Told:
    """What the lists say of all photos with a box."""

    place: _Place
    lines: tuple[Line, ...]  # of BOXES
    boxes: np.ndarray  # float32 (N, 4)
    points: np.ndarray  # float32 (N, 5, 2)
    people: np.ndarray  # int64 (N,)
    partition: np.ndarray  # str (N,)
    fingerprint: str
    empty: int  # photos left out


def _read(place: _Place) -> _Told:
    told = {name: dict(_rows(path)) for name, path in place.lists.items()}
    for name, rows in told.items():
        if odd := rows.keys() ^ told[BOXES].keys():
            raise DataError(
                f"{place.lists[name]}: {min(odd)} is there or in {BOXES}, but not in both; get the"
                " official lists anew"
            )
    names = [name for name, line in told[BOXES].items() if (line.numbers(3, 5) > 0).all()]
    boxes = np.array([told[BOXES][name].numbers(1, 5) for name in names]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    points = np.array([told[POINTS][name].numbers(1, 11) for name in names]).reshape(-1, 5, 2)
    people = [told[PEOPLE][name].fields[1] for name in names]
    return _Told(
        place=place,
        lines=tuple(told[BOXES][name] for name in names),
        boxes=boxes.astype(np.float32),
        points=(points + 0.5).astype(np.float32),
        people=np.unique(people, return_inverse=True)[1],
        partition=np.array([told[PARTITION][name].fields[1] for name in names]),
        fingerprint=lines_fingerprint(
            told[name][photo] for name in (BOXES, POINTS, PEOPLE, PARTITION) for photo in names
        ),
        empty=len(told[BOXES]) - len(names),
    )


def _rows(path: Path) -> Iterator[tuple[str, Line]]:
    """The photos of a list and their lines."""
    lines, _ = lists.read(path)
    if path.name in (BOXES, POINTS):
        count, lines = lines[0], lines[HEADINGS:]
        if count.fields != (str(len(lines)),):
            count.fail(f"{len(lines)} photos follow, not {' '.join(count.fields)}")
    fields = {BOXES: 5, POINTS: 11}.get(path.name, 2)
    for line, name in lists.distinct(lines):
        line.expect(fields)
        if path.name == PARTITION and line.fields[1] not in ("0", "1", "2"):
            line.fail(f"a partition from 0 to 2 expected, not {line.fields[1]}")
        yield name, line


def _sets(told: _Told) -> Photos:
    training, test = (_set(told, np.flatnonzero(told.partition == p)) for p in (TRAINING, TEST))
    return training, test


def _set(told: _Told, chosen: np.ndarray) -> PhotoSet:
    lines = [told.lines[i] for i in chosen]
    names = tuple(line.photo() for line in lines)
    boxes = tuple(told.boxes[chosen, None])  # (1, 4) per photo
    return PhotoSet(
        name="celeba",
        fingerprint=told.fingerprint,
        names=names,
        boxes=boxes,
        points=tuple(told.points[chosen, None]),  # (1, 5, 2) per photo
        ignored=nothing(len(names)),
        groups=told.people[chosen],
        complete=False,
        read=read_from([told.place.photos / name for name in names], lines, boxes),
    )
