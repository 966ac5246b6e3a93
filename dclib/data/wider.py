"""WIDER FACE, 16,106 photos with a box around every face, which the paper's cascade trains on.

Source: Yang et al., "WIDER FACE: a face detection benchmark", CVPR 2016; for non-commercial
research only. A box is (left, top, width, height) there, in pixels that count from 0. What is
marked as invalid, and what is lower than 10 pixels, where that paper's scale of small faces begins,
is neither face nor background. Boxes without width or height are left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from dclib.data import lists
from dclib.data.archive import Folder, Official, absent, contents, first, searched
from dclib.data.lists import Line
from dclib.data.photos import Photos, PhotoSet, listed
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
    address=f"{PAGE}support/bbx_annotation/wider_face_split.zip",
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

    @classmethod
    def of(cls, line: Line, boxes: np.ndarray, invalid: np.ndarray | bool) -> "Annotated":
        """Boxes (K, 4) sorted into faces, what is neither face nor background, and nothing."""
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        there = (width > 0) & (height > 0)
        face = there & ~np.asarray(invalid) & (height >= LOWEST)
        boxes = boxes.astype(np.float32)
        return cls(line, boxes[face], boxes[there & ~face])


def load(source: Path | None = None, fetch: bool = False) -> Photos:
    """The training and the validation photos (see `dclib.data.photos.load`)."""
    places = searched(source)
    told = _lists(places, fetch)
    mark = _fingerprint(told)
    training, held_out = (
        _set("wider", mark, list(read(path)), _photos(part, places))
        for part, path in zip(PARTS, told, strict=True)
    )
    return training, held_out


def fingerprint(source: Path | None = None) -> str:
    """Of both lists."""
    return _fingerprint(_lists(searched(source)))


def load_two(source: Path | None = None, fetch: bool = False) -> Photos:
    """No photos, and two photos of WIDER FACE that may be at hand where the others are not.

    Their list has a line for each: photo, then left, top, right, bottom of each box.
    """
    path = _two(source)
    two = _set("wider-two", fingerprint_two(source), list(_read_two(path)), path.parent)
    return two.subset([]), two


def fingerprint_two(source: Path | None = None) -> str:
    """Of their list."""
    return _fingerprint([_two(source)])


def read(path: Folder) -> Iterator[Annotated]:
    """The photos of an official list: a line with the path, one with the number of boxes, a line
    for each box, and one with zeros where there is no box.
    """
    lines = iter(lists.read(path)[0])
    heads, boxes = [], []
    for head in lines:
        head.expect(1)
        told = next(lines, None)
        if told is None:
            head.fail("the list ends before the number of boxes")
        if len(told.fields) != 1 or not told.fields[0].isdecimal():
            told.fail(f"the number of boxes expected, not {' '.join(told.fields)}")
        count = int(told.fields[0])
        rows = list(islice(lines, max(count, 1)))
        if len(rows) < max(count, 1):
            told.fail(f"the list ends before {max(count, 1)} boxes have followed")
        for row in rows:
            row.expect(10)
            if row.fields[INVALID] not in ("0", "1"):
                row.fail(f"the mark of invalid faces is 0 or 1, not {row.fields[INVALID]}")
        heads.append(head)
        boxes.append(rows[:count])
    for (line, _), rows in zip(lists.distinct(heads), boxes, strict=True):
        corners = np.array([row.numbers(0, 4) for row in rows]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        yield Annotated.of(line, corners, np.array([r.fields[INVALID] == "1" for r in rows], bool))


def _read_two(path: Path) -> Iterator[Annotated]:
    for line, _ in lists.distinct(lists.read(path)[0]):
        count = len(line.fields) - 1
        if count % 4:
            line.fail(f"four numbers for each box expected, {count} found")
        yield Annotated.of(line, line.numbers(1, count + 1).reshape(-1, 4), invalid=False)


def _two(source: Path | None) -> Path:
    places = searched(source)
    if found := first(places, [TWO]):
        return found
    raise DataError(
        f"{TWO} is not in {' or '.join(map(str, places))}. It lists two photos of WIDER FACE beside"
        f" it, and is no official download: all of WIDER FACE is to be had from {PAGE}"
    )


def _lists(places: Sequence[Path], fetch: bool = False) -> list[Folder]:
    folder = LISTS.open(places, fetch)
    return [folder / f"wider_face_{part}_bbx_gt.txt" for part in PARTS]


def _fingerprint(paths: Iterable[Folder]) -> str:
    return lists.fingerprint(line for path in paths for line in lists.read(path)[0])


def _photos(part: str, places: Sequence[Path]) -> Folder:
    """The folder, or the one in an archive, from which the paths of a list go."""
    name = f"WIDER_{part}"
    for folder in (place / sub for place in places for sub in (".", "wider_face")):
        if (folder / name / "images").is_dir():
            return folder / name / "images"
        if (folder / f"{name}.zip").is_file():
            return contents(folder / f"{name}.zip") / name / "images"
    raise DataError(absent(f"{name}.zip is", places, PAGE))


def _set(name: str, mark: str, told: Sequence[Annotated], folder: Folder) -> PhotoSet:
    lines = [one.line for one in told]
    missing = [line for line in lines if not (folder / line.photo()).exists()]
    if missing:
        raise DataError(
            f"{missing[0].where}: {len(missing):,} of {len(told):,} photos are not in {folder},"
            f" such as {missing[0].photo()}; get all from {PAGE}"
        )
    faces, ignored = [one.faces for one in told], [one.ignored for one in told]
    return listed(name, mark, folder, lines, faces, ignored=ignored)
