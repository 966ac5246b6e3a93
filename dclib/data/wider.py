"""WIDER FACE, 16,106 photos with a box around every face, which the paper's cascade trains on.

Source: Yang et al., "WIDER FACE: a face detection benchmark", CVPR 2016; for non-commercial
research only. A box is (left, top, width, height) there, in pixels that count from 0. What is
marked as invalid, and what is lower than 10 pixels, where that paper's scale of small faces begins,
is neither face nor background. Boxes without width or height are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dclib import paths
from dclib.data import lists
from dclib.data.archive import Folder, Official, contents, searched
from dclib.data.lists import Line
from dclib.data.photos import Photos, PhotoSet, Report, lines_fingerprint, read_from, verified
from dclib.errors import DataError

PAGE = "http://shuoyang1213.me/WIDERFACE/"
LISTS = Official(
    name="wider_face_split.zip",
    marker="wider_face_train_bbx_gt.txt",
    also=tuple(
        f"{folder}wider_face_train_bbx_gt.txt"
        for folder in ("", "wider_face_split/", "wider_face/", "wider_face/wider_face_split/")
    ),
    page=PAGE,
    address="http://shuoyang1213.me/WIDERFACE/support/bbx_annotation/wider_face_split.zip",
)
PARTS = ("train", "val")
LOWEST = 10  # pixels, height of a face
INVALID = 7  # field of a box's line
TWO = "wider_face/images/boxes.txt"


@dataclass(frozen=True, eq=False)
class Annotated:
    """A photo of a list and its boxes."""

    line: Line  # that names the photo
    faces: np.ndarray  # float32 (K, 4)
    ignored: np.ndarray  # float32 (K', 4)


def load(present: bool = False) -> Photos:
    """The training and the validation photos.

    Args:
        present: take those that are there, where others are missing.

    Raises:
        DataError: the lists are nowhere to be found or have a fault, or photos are missing. A
            photo that cannot be read is told when it is asked for.
    """
    return _load(LISTS.open(searched()), searched(), present)


def fingerprint() -> str:
    """Of both lists.

    Raises:
        DataError: the lists are nowhere to be found.
    """
    return _fingerprint(LISTS.open(searched()))


def prepare(source: Path | None = None) -> Report:
    """Find lists and photos, read every photo, and report what there is.

    Args:
        source: the folder that holds them; without it `DCLIB_MIRROR` and the data folder are
            searched.

    Raises:
        DataError: they cannot be had, or are not what they should be.
    """
    places = searched() if source is None else [source]
    folder = LISTS.open(places, fetch=source is None)
    return verified(str(folder).rstrip("/"), _load(folder, places, present=False))


def load_two() -> Photos:
    """No photos, and two photos of WIDER FACE that may be at hand where the others are not.

    Their list has a line for each: photo, then left, top, right, bottom of each box.

    Raises:
        DataError: they are nowhere to be found, or the list has a fault.
    """
    return _load_two(_two(searched()))


def fingerprint_two() -> str:
    """Of their list.

    Raises:
        DataError: it is nowhere to be found.
    """
    return lines_fingerprint(lists.read(_two(searched()))[0])


def prepare_two(source: Path | None = None) -> Report:
    """Find the two photos, read them, and report what there is.

    Args:
        source: the folder that holds them; without it `DCLIB_MIRROR` and the data folder are
            searched.

    Raises:
        DataError: they are nowhere to be found, or not what they should be.
    """
    path = _two(searched() if source is None else [source])
    return verified(str(path.parent), _load_two(path))


def read(path: Folder) -> Iterator[Annotated]:
    """The photos of an official list: a line with the path, one with the number of boxes, a line
    for each box, and one with zeros where there is no box.

    Raises:
        DataError: a line is not like that, or a photo is named twice or outside the folder.
    """
    lines, _ = lists.read(path)
    heads, boxes, at = [], [], 0
    while at < len(lines):
        count = _count(lines, at)
        rows = lines[at + 2 : at + 2 + max(count, 1)]
        for row in rows:
            row.expect(10)
        heads.append(lines[at])
        boxes.append(rows[:count])
        at += 2 + len(rows)
    for (line, _), rows in zip(lists.distinct(heads), boxes, strict=True):
        yield _annotated(line, rows)


def _count(lines: Sequence[Line], at: int) -> int:
    """The number of boxes of the photo that line `at` names; as many lines follow."""
    lines[at].expect(1)
    if at + 1 == len(lines):
        lines[at].fail("the list ends before the number of boxes")
    told = lines[at + 1]
    if len(told.fields) != 1 or not told.fields[0].isdecimal():
        told.fail(f"the number of boxes expected, not {' '.join(told.fields)}")
    count = int(told.fields[0])
    if at + 2 + max(count, 1) > len(lines):
        told.fail(f"the list ends before {max(count, 1)} boxes have followed")
    return count


def _annotated(line: Line, rows: Sequence[Line]) -> Annotated:
    for row in rows:
        if row.fields[INVALID] not in ("0", "1"):
            row.fail(f"the mark of invalid faces is 0 or 1, not {row.fields[INVALID]}")
    boxes = np.array([row.numbers(0, 4) for row in rows]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return _sorted(line, boxes, np.array([row.fields[INVALID] == "1" for row in rows], bool))


def _sorted(line: Line, boxes: np.ndarray, invalid: np.ndarray) -> Annotated:
    """Boxes (K, 4) as faces, as what is neither face nor background, or as nothing."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    there = (width > 0) & (height > 0)
    face = there & ~invalid & (height >= LOWEST)
    boxes = boxes.astype(np.float32)
    return Annotated(line, boxes[face], boxes[there & ~face])


def _read_two(path: Path) -> Iterator[Annotated]:
    for line, _ in lists.distinct(lists.read(path)[0]):
        count = len(line.fields) - 1
        if count % 4:
            line.fail(f"four numbers for each box expected, {count} found")
        boxes = line.numbers(1, count + 1).reshape(-1, 4)
        yield _sorted(line, boxes, np.zeros(len(boxes), bool))


def _two(places: Sequence[Path]) -> Path:
    for place in places:
        if (place / TWO).is_file():
            return place / TWO
    raise DataError(
        f"{TWO} is not in {' or '.join(map(str, places))}. It lists two photos of WIDER FACE beside"
        f" it, and is no official download: all of WIDER FACE is to be had from {PAGE}"
    )


def _load_two(path: Path) -> Photos:
    mark = lines_fingerprint(lists.read(path)[0])
    two = _set("wider-two", mark, list(_read_two(path)), path.parent)
    return two.subset([]), two


def _lists(folder: Folder) -> list[Folder]:
    return [folder / f"wider_face_{part}_bbx_gt.txt" for part in PARTS]


def _fingerprint(folder: Folder) -> str:
    return lines_fingerprint(line for path in _lists(folder) for line in lists.read(path)[0])


def _load(folder: Folder, places: Sequence[Path], present: bool) -> Photos:
    mark = _fingerprint(folder)
    training, held_out = (
        _known(list(read(path)), _photos(part, places), present, mark)
        for part, path in zip(PARTS, _lists(folder), strict=True)
    )
    return training, held_out


def _photos(part: str, places: Sequence[Path]) -> Folder:
    """The folder, or the one in an archive, from which the paths of a list go."""
    name = f"WIDER_{part}"
    for folder in (place / sub for place in places for sub in (".", "wider_face")):
        if (folder / name / "images").is_dir():
            return folder / name / "images"
        if (folder / f"{name}.zip").is_file():
            return contents(folder / f"{name}.zip") / name / "images"
    raise DataError(
        f"{name}.zip is not in {' or '.join(map(str, places))}. Get it from {PAGE} and put it into"
        f" {paths.data()}, or name the folder that holds it in DCLIB_MIRROR"
    )


def _known(told: list[Annotated], folder: Folder, present: bool, mark: str) -> PhotoSet:
    """The photos that are there, if `present`; else all."""
    there = [one for one in told if (folder / one.line.photo()).exists()]
    if len(there) < len(told) and not present:
        first = next(one for one in told if one not in there)
        raise DataError(
            f"{first.line.where}: {len(told) - len(there):,} of {len(told):,} photos are not in"
            f" {folder}, such as {first.line.photo()}; get all from {PAGE}, or load what is present"
        )
    return _set("wider", mark, there, folder)


def _set(name: str, mark: str, told: Sequence[Annotated], folder: Folder) -> PhotoSet:
    names = tuple(one.line.photo() for one in told)
    faces = tuple(one.faces for one in told)
    return PhotoSet(
        name=name,
        fingerprint=mark,
        names=names,
        boxes=faces,
        points=tuple(np.full((len(boxes), 5, 2), np.nan, np.float32) for boxes in faces),
        ignored=tuple(one.ignored for one in told),
        groups=np.arange(len(told)),
        complete=True,
        read=read_from([folder / photo for photo in names], [one.line for one in told], faces),
    )
