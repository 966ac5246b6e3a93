"""MTFL, the data set of section 4.2: 10,000 faces to train on and 2,995 to test on.

Source: Zhang et al., "Facial landmark detection by deep multi-task learning", ECCV 2014; for
non-commercial research only. `dclib.data.mtfl_faces` says how its photos become faces.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dclib import paths
from dclib.data import pack
from dclib.data.archive import Folder, Official, searched
from dclib.data.cache import cached
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet
from dclib.data.mtfl_faces import LISTS, build, content_fingerprint, read_annotations

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


@dataclass(frozen=True)
class Report:
    """What `prepare` found; its text is for a terminal."""

    source: str
    train: FaceSet
    test: FaceSet
    skipped: int

    def __str__(self) -> str:
        rows = [f"MTFL from {self.source}: content verified, fingerprint {self.train.fingerprint}"]
        for part, faces in (("training", self.train), ("test", self.test)):
            rows.append(f"{len(faces):,} {part} faces in {len(np.unique(faces.groups)):,} groups")
            for name, column in faces.labels.items():
                rows.append(f"  {name}: {' / '.join(f'{n:,}' for n in np.bincount(column))}")
        rows.append(f"{self.skipped} blank lines skipped")
        rows.append(f"decoded for {self.train.resolution} pixels under {paths.data() / 'cache'}")
        return "\n".join(rows)


def prepare(source: Path | None = None, resolution: int = 48) -> Report:
    """Find the archive or download it, verify it, decode it, and report what it holds.

    Args:
        source: MTFL.zip, or a folder that has it or its content; without it `DCLIB_MIRROR` and
            the data folder are searched.
        resolution: of the faces that are put into the cache.

    Raises:
        DataError: it cannot be had, or is not what it should be.
    """
    folder, boxes = _official(source, fetch=source is None)
    decode = partial(build, folder, boxes, resolution, PUBLISHED)
    if content_fingerprint(folder, boxes) != PUBLISHED:
        decode()  # raises, and says where the fault is
    train, test = cached("mtfl", resolution, PUBLISHED, decode)
    skipped = sum(read_annotations(folder / name).skipped for name in LISTS)
    return Report(str(folder).rstrip("/"), train, test, skipped)


def load(resolution: int) -> Faces:
    """The training and the test faces, decoded once and memory-mapped from then on.

    Training faces have a margin of an eighth of `resolution` all round, for augmentation to find
    real pixels in. `DCLIB_MTFL_PACK` may name a pack (see `dclib.data.pack`) to take instead.

    Raises:
        DataError: the data are nowhere to be found, or not what they should be.
    """

    def decode() -> Faces:
        packed = _packed()
        if packed:
            return pack.read(packed, resolution)
        return build(*_official(None), resolution, PUBLISHED)

    return cached("mtfl", resolution, fingerprint(), decode)


def fingerprint() -> str:
    """Which faces `load` gives: the published ones, or those of the pack that is named."""
    packed = _packed()
    return pack.fingerprint(packed) if packed else PUBLISHED


def _packed() -> Path | None:
    named = os.environ.get("DCLIB_MTFL_PACK")
    return Path(named).expanduser().resolve() if named else None


def _official(source: Path | None, fetch: bool = False) -> tuple[Folder, Folder]:
    """The top of MTFL's archive and the list of face boxes."""
    if source is None:
        folder = ARCHIVE.open(searched(), fetch)
    elif source.is_dir():
        folder = ARCHIVE.open([source])
    else:
        folder = ARCHIVE.top(source)
    near = [] if source is None else [source if source.is_dir() else source.parent]
    return folder, BOXES.open([*near, *searched()], fetch) / BOXES.marker
