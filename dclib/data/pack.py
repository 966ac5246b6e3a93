"""A pack: a whole data set in one small file, for a machine with no archive and little network.

Faces are kept at 96 pixels, training faces with their margin, compressed as WebP. They are not the
pixels of the archive, so they have a fingerprint of their own: that of the source, `+pack` and the
digest of the compressed pixels.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from PIL import Image

from dclib.data import photo
from dclib.data.cache import describe, restore
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, margin_of
from dclib.data.progress import progress
from dclib.errors import DAMAGE, DataError
from dclib.files import disk, whole

RESOLUTION = 96
HALVES = ("train", "test")


def write(path: Path, faces: Faces, quality: int = 80) -> str:
    """Write a pack of faces of 96 pixels and return its fingerprint.

    Raises:
        ValueError: faces of another resolution.
        DataError: the disk is full.
    """
    arrays: dict[str, np.ndarray] = {}
    digest = hashlib.sha256()
    for half, of in zip(HALVES, faces, strict=True):
        if of.resolution != RESOLUTION:
            raise ValueError(f"a pack holds faces of {RESOLUTION} pixels, not {of.resolution}")
        coded = [_encode(image, quality) for image in progress(of.images, f"pack {half}", len(of))]
        arrays[f"{half} pixels"] = np.frombuffer(b"".join(coded), dtype=np.uint8)
        arrays[f"{half} ends"] = np.cumsum([len(code) for code in coded])
        arrays |= {f"{half} {name}": array for name, array in describe(of).items()}
        digest.update(arrays[f"{half} pixels"].tobytes())
    mark = f"{faces[0].fingerprint}+pack{digest.hexdigest()[:8]}"
    with disk(path), whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, fingerprint=np.array(mark), **arrays)
    return mark


def fingerprint(path: Path) -> str:
    """The fingerprint of the faces in a pack."""
    with _opened(path) as table:
        return str(table["fingerprint"])


def read(path: Path, resolution: int) -> Faces:
    """Training and test faces of a pack at any resolution up to its own."""
    if resolution > RESOLUTION:
        raise DataError(
            f"{path}: holds faces of {RESOLUTION} pixels, {resolution} are asked for; "
            "use the archive (unset DCLIB_MTFL_PACK) or a lower resolution"
        )
    with _opened(path) as table:
        train, test = (_half(table, half, resolution) for half in HALVES)
        mark = str(table["fingerprint"])
    return replace(train, fingerprint=mark), replace(test, fingerprint=mark)


def _half(table: NpzFile, half: str, resolution: int) -> FaceSet:
    arrays = {name.removeprefix(f"{half} "): table[name] for name in table.files if half in name}
    coded, ends = arrays.pop("pixels").tobytes(), arrays.pop("ends").tolist()
    landmarks, images = arrays["landmarks"], []
    for at, end in enumerate(progress(ends, f"unpack {half}", len(ends))):
        face = photo.read(coded[ends[at - 1] if at else 0 : end], f"face {at} of {half}")
        edge = (face.width - RESOLUTION) / 2
        square = (edge, edge, RESOLUTION)
        margin = margin_of(resolution) if edge else 0
        pixels, landmarks[at] = photo.crop(face, landmarks[at], square, resolution, margin)
        images.append(pixels)
    return restore(np.stack(images), arrays, resolution)


def _encode(image: np.ndarray, quality: int) -> bytes:
    """One face, uint8 (3, S, S), as WebP."""
    code = BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    picture.save(code, "webp", quality=quality, method=6)
    return code.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    try:
        with path.open("rb") as file, np.load(file) as table:
            yield table
    except DAMAGE as fault:
        raise DataError(f"{path}: not a whole pack ({fault}); make or copy it anew") from None
