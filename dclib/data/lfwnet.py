"""LFWNet, which the paper's cascade learns points from (section 4.5), and MTFL's test crops.

Source: Sun et al., "Deep convolutional network cascade for facial point detection", CVPR 2013; for
non-commercial research only. One face of each photo is annotated, by a detector's box and five
points; other people in the photo are not. The photos of its training list are those of MTFL's.

Its pixels count from 0, and a box includes its last row and column: so half a pixel is added to
every point, and a whole one to the right and the bottom of every box. MTFL's list of the same
points counts from 1; both come out the same (`dclib.data.mtfl_faces` says more).

The test crops are what a detector is measured on. A crop is `mtfl_faces.SIDE` widths of its face
box wide, in the median, so the box is taken to be in its middle and that much smaller.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dclib.data import lists, mtfl, mtfl_faces
from dclib.data.archive import Folder, Official, searched
from dclib.data.lists import Line
from dclib.data.photos import (
    Photos,
    PhotoSet,
    Read,
    Report,
    lines_fingerprint,
    nothing,
    read_from,
    verified,
)
from dclib.errors import DataError

LISTS = ("trainImageList.txt", "testImageList.txt")
PUBLISHED = "91af2a955bb4f126"  # fingerprint of both lists
TESTING = "e74c2eb99b443a7a"  # fingerprint of MTFL's list of test crops
CROP = 150  # pixels, width and height of a test crop


def load() -> Photos:
    """The photos of the training list and those of the test list.

    Groups are numbered through both: a person or a photo may be in both, with the same number.

    Raises:
        DataError: the lists or the photos are nowhere to be found, or the lists are not the
            published ones. A photo that cannot be read is told when it is asked for.
    """
    return _load(mtfl.BOXES.open(searched()), None)


def fingerprint() -> str:
    """Of both lists."""
    return PUBLISHED


def prepare(source: Path | None = None) -> Report:
    """Find lists and photos, read every photo, and report what there is.

    Args:
        source: train.zip, or a folder with the lists; without it `DCLIB_MIRROR` and the data
            folder are searched.

    Raises:
        DataError: they cannot be had, or are not what they should be.
    """
    folder = _archive(mtfl.BOXES, source)
    return verified(str(folder).rstrip("/"), _load(folder, source))


def load_test() -> Photos:
    """No photos, and MTFL's test crops as they are, 150 x 150 pixels, with a box and points each.

    Raises:
        DataError: MTFL is nowhere to be found, or its list of test crops is not the published one.
    """
    return _load_test(mtfl.ARCHIVE.open(searched()))


def fingerprint_test() -> str:
    """Of the list of test crops."""
    return TESTING


def prepare_test(source: Path | None = None) -> Report:
    """Find MTFL, read every test crop, and report what there is.

    Args:
        source: MTFL.zip, or a folder that has it or its content; without it `DCLIB_MIRROR` and the
            data folder are searched.

    Raises:
        DataError: it cannot be had, or is not what it should be.
    """
    folder = _archive(mtfl.ARCHIVE, source)
    return verified(str(folder).rstrip("/"), _load_test(folder))


def _archive(official: Official, source: Path | None) -> Folder:
    if source is None:
        return official.open(searched(), fetch=True)
    return official.open([source]) if source.is_dir() else official.top(source)


def read(path: Folder) -> tuple[list[Line], np.ndarray, np.ndarray]:
    """The lines of a list, their boxes (N, 4) and points (N, 5, 2), both float32.

    A line is: photo, left, right, top, bottom, then x and y of each point in turn.

    Raises:
        DataError: a line is not like that, or names a photo twice or outside the folder.
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
    return lines, np.array(boxes, np.float32), np.array(points, np.float32)


def _load(folder: Folder, near: Path | None) -> Photos:
    """Both sets by the lists in a folder, whose photos are there or in MTFL's archive."""
    told = [read(folder / name) for name in LISTS]
    mark = lines_fingerprint(line for lines, _, _ in told for line in lines)
    _published(folder, "lists", mark, PUBLISHED)
    top = folder
    if not (folder / told[0][0][0].photo()).exists():
        top = mtfl.ARCHIVE.open([*([near] if near else []), *searched()])
    names = [line.photo() for lines, _, _ in told for line in lines]
    numbers = mtfl_faces.groups(names, names)
    split = len(told[0][0])
    training, held_out = (
        _one_face_each("lfwnet", mark, top, *part, groups)
        for part, groups in zip(told, (numbers[:split], numbers[split:]), strict=True)
    )
    return training, held_out


def _load_test(folder: Folder) -> Photos:
    told = mtfl_faces.read_annotations(folder / mtfl_faces.LISTS[1])
    mark = lines_fingerprint(told.lines)
    _published(folder, "list of test crops", mark, TESTING)
    width = CROP / mtfl_faces.SIDE
    middle = CROP / 2 - width * np.array([mtfl_faces.RIGHT, mtfl_faces.DOWN])
    box = np.concatenate([middle - width / 2, middle + width / 2]).astype(np.float32)  # (4,)
    boxes = np.tile(box, (len(told.lines), 1))
    points = told.landmarks.astype(np.float32)
    groups = mtfl_faces.groups(told.names, told.names)
    crops = _one_face_each("mtfl-test", mark, folder, told.lines, boxes, points, groups)
    crops = replace(crops, read=partial(_square, crops.read, told.lines))
    return crops.subset([]), crops


def _square(read: Read, lines: Sequence[Line], number: int) -> np.ndarray:
    pixels = read(number)
    if pixels.shape != (3, CROP, CROP):
        lines[number].fail(f"the crop is not {CROP} x {CROP} pixels but {pixels.shape[1:]}")
    return pixels


def _one_face_each(
    name: str,
    mark: str,
    folder: Folder,
    lines: Sequence[Line],
    boxes: np.ndarray,
    points: np.ndarray,
    groups: np.ndarray,
) -> PhotoSet:
    each = tuple(boxes[:, None])  # (1, 4) per photo
    names = tuple(line.photo() for line in lines)
    return PhotoSet(
        name=name,
        fingerprint=mark,
        names=names,
        boxes=each,
        points=tuple(points[:, None]),  # (1, 5, 2) per photo
        ignored=nothing(len(lines)),
        groups=groups,
        complete=False,
        read=read_from([folder / photo for photo in names], lines, each),
    )


def _published(folder: Folder, what: str, mark: str, published: str) -> None:
    if mark != published:
        raise DataError(
            f"{folder}: not the published {what} (fingerprint {mark}, expected {published});"
            " get the official archive and try again"
        )
