"""A pack: a whole data set in one small file, for a machine with no archive and little network.

Faces are kept at 96 pixels, training faces with their margin, compressed as WebP. They are not the
pixels of the archive, so they have a fingerprint of their own: that of the source, `+pack` and the
digest of the compressed pixels.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dclib.data import photo
from dclib.data.cache import DAMAGED, Faces, describe, restore
from dclib.data.faces import FaceSet
from dclib.data.progress import progress
from dclib.data.whole import disk
from dclib.errors import DataError

RESOLUTION = 96
HALVES = ("train", "test")


def write(path: Path, faces: Faces, quality: int = 80) -> str:
    """Write a pack of faces of 96 pixels and return its fingerprint.

    Raises:
        ValueError: faces of another resolution.
        DataError: the disk is full.
    """
    arrays = {}
    for half, of in zip(HALVES, faces, strict=True):
        if of.resolution != RESOLUTION:
            raise ValueError(f"a pack holds faces of {RESOLUTION} pixels, not {of.resolution}")
        coded = [_encode(image, quality) for image in progress(of.images, f"pack {half}", len(of))]
        arrays[f"{half} pixels"] = np.frombuffer(b"".join(coded), dtype=np.uint8)
        arrays[f"{half} ends"] = np.cumsum([len(code) for code in coded])
        arrays |= {f"{half} {name}": array for name, array in describe(of).items()}
    digest = hashlib.sha256(b"".join(arrays[f"{half} pixels"].tobytes() for half in HALVES))
    mark = f"{faces[0].fingerprint}+pack{digest.hexdigest()[:8]}"
    part = path.with_name(path.name + ".part")
    with disk(path), part.open("wb") as file:
        np.savez_compressed(file, fingerprint=np.array(mark), **arrays)
    os.replace(part, path)
    return mark
