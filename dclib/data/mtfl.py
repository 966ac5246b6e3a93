"""MTFL, the faces of section 4.2: 10,000 photos to train on, 2,995 face crops to test on.

Source: Zhang et al., "Facial landmark detection by deep multi-task learning", ECCV 2014. A test
photo is the square around a face box, which fills it; in a training photo a face is smaller. So
training crops are cut to the scale of the test photos, around the face boxes of Sun et al., "Deep
convolutional network cascade for facial point detection", CVPR 2013, whose photos these are.

The lists count pixels from 1, so half a pixel is taken off every point. Evidence: the mean darkest
spot of 4,119 frontal training faces' eyes lies 1.0 pixels left of the annotation if pixel centres
are counted from 0, and CVPR 2013's list of the same points is lower by exactly 1. The annotations
of the test photos, made by others, lie 1.5 pixels further right and 1.0 further down (of 150): a
property of the data, kept as it is.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dclib import paths
from dclib.data import archive, lists, pack, photo
from dclib.data.cache import Faces, cached
from dclib.data.faces import FaceSet, Symmetry, group
from dclib.data.progress import progress
from dclib.errors import DataError

FINGERPRINT = "f0c2ff2fcc2f1a0b"  # of both lists, the photos they name and the face boxes
PAGE, ADDRESS = (
    "http://mmlab.ie.cuhk.edu.hk/projects/TCDCN.html",
    "http://mmlab.ie.cuhk.edu.hk/projects/TCDCN/data/MTFL.zip",
)
BOXES_PAGE, BOXES_ADDRESS = (
    "http://mmlab.ie.cuhk.edu.hk/archive/CNN_FacePoint.htm",
    "http://mmlab.ie.cuhk.edu.hk/archive/CNN/data/train.zip",
)
CLASSES = {"gender": 2, "smile": 2, "glasses": 2, "profile": 5}
SYMMETRY = Symmetry(points=(1, 0, 2, 4, 3), classes={"profile": (4, 3, 2, 1, 0)})
SIDE = 1.65  # width of a test photo in widths of its face box (median of the 2,995)
RIGHT, DOWN = 0.06, 0.04  # from the box's centre to the photo's, in widths of the box (medians)

Square = tuple[float, float, float]  # left, top, side, in pixels of a photo


@dataclass(frozen=True)
class Annotations:
    """One annotation list, points already in the pixel convention of `dclib.data.faces`."""

    lines: tuple[lists.Line, ...]
    names: tuple[str, ...]
    landmarks: np.ndarray  # float64 (N, 5, 2), x then y, pixels of the photo
    labels: dict[str, np.ndarray]  # int64 (N,), from 0
    skipped: int  # blank lines


@dataclass(frozen=True)
class Report:
    """What `prepare` found."""

    source: str
    boxes: str
    resolution: int
    train: FaceSet
    test: FaceSet
    skipped: int

    def __str__(self) -> str:
        rows = [
            f"MTFL from {self.source}",
            f"face boxes from {self.boxes}",
            f"content verified, fingerprint {self.train.fingerprint}",
            f"{self.skipped} blank lines skipped",
        ]
        for part, faces in (("training", self.train), ("test", self.test)):
            rows.append(f"{len(faces):,} {part} faces, {faces.images.shape[-1]} px")
            for name, column in faces.labels.items():
                rows.append(f"  {name}: {' / '.join(f'{n:,}' for n in np.bincount(column))}")
        rows.append(f"decoded for {self.resolution} px under {paths.data() / 'cache'}")
        return "\n".join(rows)


def load(resolution: int) -> Faces:
    """The training and the test faces, decoded once and memory-mapped from then on.

    Training faces have a margin of an eighth of `resolution` all round, for augmentation to find
    real pixels in. `DCLIB_MTFL_PACK` may name a pack (see `dclib.data.pack`) to take instead.

    Raises:
        DataError: the data are nowhere to be found, or not what they should be.
    """
    if packed := os.environ.get("DCLIB_MTFL_PACK"):
        path = Path(packed).expanduser()
        return cached(
            "mtfl", resolution, pack.fingerprint(path), lambda: pack.read(path, resolution)
        )
    return cached("mtfl", resolution, FINGERPRINT, lambda: build(*sources(), resolution))


def fingerprint() -> str:
    """The fingerprint of the faces that `load` gives."""
    packed = os.environ.get("DCLIB_MTFL_PACK")
    return pack.fingerprint(Path(packed).expanduser()) if packed else FINGERPRINT


def prepare(source: Path | None = None, resolution: int = 48) -> Report:
    """Find the archive, or download it; verify it; decode it; report what it holds.

    Args:
        source: MTFL.zip, or a folder with it or its content; else `DCLIB_MIRROR` and the data
            folder are searched. What is named here is verified and decoded even if that was
            done before.

    Raises:
        DataError: it cannot be had, or is not what it should be.
    """
    try:
        content, boxes = sources(source)
    except FileNotFoundError:
        ...
    faces = cached(
        "mtfl",
        resolution,
        FINGERPRINT,
        lambda: build(content, boxes, resolution),
        renew=source is not None,
    )
    skipped = sum(read_annotations(content / f"{part}.txt").skipped for part in PARTS)
    return Report(str(content), str(boxes), resolution, *faces, skipped)
