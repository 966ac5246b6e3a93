"""LFWNet, which the paper's cascade learns points from (section 4.5), and MTFL's test crops.

Source: Sun et al., "Deep convolutional network cascade for facial point detection", CVPR 2013; for
non-commercial research only. One face of each photo is annotated, by a detector's box and five
points; other people in the photo are not. The photos of its training list are those of MTFL's,
whose list of the same points counts pixels from 1; both come out the same.

The test crops are what a detector is measured on. A crop is `mtfl.SIDE` widths of its face
box wide, in the median, so the box is taken to be in its middle and that much smaller.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dclib.data import lists, mtfl
from dclib.data.archive import Folder, searched
from dclib.data.lists import Line
from dclib.data.photos import Photos, PhotoSet, listed
from dclib.errors import DataError

LISTS = ("trainImageList.txt", "testImageList.txt")
PUBLISHED = "91af2a955bb4f126"  # fingerprint of both lists
TESTING = "e74c2eb99b443a7a"  # fingerprint of MTFL's list of test crops
CROP = 150  # pixels, width and height of a test crop


def load(source: Path | None = None, fetch: bool = False) -> Photos:
    """The photos of the training list and of the test list (see `dclib.data.photos.load`).

    Groups are numbered through both: a person or a photo may be in both, with the same number.
    """
    folder = mtfl.BOXES.find(source, fetch)
    told = [mtfl.read_boxes(folder / name) for name in LISTS]
    lines = [line for part in told for line in part.lines]
    _demand(folder, "lists", lines, PUBLISHED)
    top = folder  # the photos are there or in MTFL's archive
    if not (folder / lines[0].photo()).exists():
        top = mtfl.ARCHIVE.open([*dict.fromkeys([*searched(source), *searched()])])
    boxes = np.concatenate([part.boxes for part in told])
    points = np.concatenate([part.points for part in told])
    both = _one_face_each("lfwnet", PUBLISHED, top, lines, boxes, points)
    both = replace(both, source=str(folder).rstrip("/"))
    split = len(told[0].lines)
    return both.subset(range(split)), both.subset(range(split, len(both)))


def fingerprint() -> str:
    """Of both lists."""
    return PUBLISHED


def load_test(source: Path | None = None, fetch: bool = False) -> Photos:
    """No photos, and MTFL's test crops as they are, with a box and points each."""
    folder = mtfl.ARCHIVE.find(source, fetch)
    told = mtfl.read_annotations(folder / mtfl.LISTS[1])
    _demand(folder, "list of test crops", told.lines, TESTING)
    width = CROP / mtfl.SIDE
    middle = CROP / 2 - width * np.array([mtfl.RIGHT, mtfl.DOWN])
    box = np.concatenate([middle - width / 2, middle + width / 2])  # (4,)
    boxes = np.tile(box, (len(told.lines), 1))
    crops = _one_face_each("mtfl-test", TESTING, folder, told.lines, boxes, told.landmarks)
    crops = replace(crops, read=partial(_square, crops, told.lines))
    return crops.subset([]), crops


def fingerprint_test() -> str:
    """Of the list of test crops."""
    return TESTING


def _square(crops: PhotoSet, lines: Sequence[Line], number: int) -> np.ndarray:
    pixels = crops.read(number)
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
) -> PhotoSet:
    """Photos with a box (N, 4) and five points (N, 5, 2) each."""
    boxes, points = boxes[:, None].astype(np.float32), points[:, None].astype(np.float32)
    names = [line.photo() for line in lines]
    groups = mtfl.groups(names, names)
    return listed(name, mark, folder, lines, boxes, points=points, groups=groups)


def _demand(folder: Folder, what: str, lines: Sequence[Line], published: str) -> None:
    mark = lists.fingerprint(lines)
    if mark != published:
        raise DataError(
            f"{folder}: not the published {what} (fingerprint {mark}, expected {published});"
            " get the official archive and try again"
        )
