"""MTFL, the data set of section 4.2: 10,000 faces to train on and 2,995 to test on.

Source: Zhang et al., "Facial landmark detection by deep multi-task learning", ECCV 2014; for
non-commercial research only. `dclib.data.mtfl_faces` says how its photos become faces.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

from dclib.data import pack
from dclib.data.archive import Folder, Official, searched
from dclib.data.cache import cached
from dclib.data.dataset import Faces, Report, Words
from dclib.data.mtfl_faces import WORDS, Content, read
from dclib.errors import DataError

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


def tasks(resolution: int) -> tuple[Any, ...]:
    """Those of section 4.2: landmarks, gender, smile, glasses and profile."""
    from dclib.tasks import mtfl_tasks  # needs torch

    return mtfl_tasks(resolution)


def words() -> Words:
    """The words of each label, by its classes."""
    return WORDS


def prepare(source: Path | None = None, resolution: int = 48) -> Report:
    """Verify MTFL.zip, or a folder that has it or its content, and decode its faces."""
    content = read(*_official(source, fetch=source is None))
    decode = partial(_decode, content, resolution)
    if content.fingerprint != PUBLISHED:
        decode()  # raises, and says where the fault is
    faces = cached("mtfl", resolution, PUBLISHED, decode)
    skipped = sum(half.skipped for half in content.halves)
    where = f"MTFL from {str(content.folder).rstrip('/')}"
    return Report(where, *faces, WORDS, notes=(f"{skipped} blank lines skipped",))


def load(resolution: int) -> Faces:
    """The training and the test faces, or those of the pack that `DCLIB_MTFL_PACK` names."""

    def decode() -> Faces:
        packed = _packed()
        if packed:
            return pack.read(packed, resolution)
        return _decode(read(*_official()), resolution)

    return cached("mtfl", resolution, fingerprint(), decode)


def _decode(content: Content, resolution: int) -> Faces:
    """The faces of the published content; a fault in a photo is told before any other."""
    faces = content.decode(resolution)
    if content.fingerprint != PUBLISHED:
        raise DataError(
            f"{content.folder}: the content is not that of the published MTFL (fingerprint"
            f" {content.fingerprint}, expected {PUBLISHED}); get the official archive and try again"
        )
    return faces


def fingerprint() -> str:
    """Which faces `load` gives: the published ones, or those of the pack that is named."""
    packed = _packed()
    return pack.fingerprint(packed) if packed else PUBLISHED


def _packed() -> Path | None:
    named = os.environ.get("DCLIB_MTFL_PACK")
    return Path(named).expanduser().resolve() if named else None


def _official(source: Path | None = None, fetch: bool = False) -> tuple[Folder, Folder]:
    """The top of MTFL's archive and the list of face boxes."""
    folder = ARCHIVE.find(source, fetch)
    near = [source if source.is_dir() else source.parent] if source else []
    return folder, BOXES.open([*near, *searched()], fetch) / BOXES.marker
