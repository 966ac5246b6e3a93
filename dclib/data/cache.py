"""What is made once and kept under `data()/cache`: a folder that appears whole or not at all.

A face set is kept as raw pixels, memory-mapped, beside a small table of everything else, in a
folder `NAME-RESOLUTION-FINGERPRINT-vFORMAT`. What is damaged is noticed and made again.
"""

import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np

from dclib import paths
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, Symmetry
from dclib.errors import DAMAGE, DataError
from dclib.files import make_folder

FORMAT = 1  # raise it whenever the cached pixels or their layout change
Kept = TypeVar("Kept")


def kept(name: str, write: Callable[[Path], None], read: Callable[[Path], Kept]) -> Kept:
    """What `read` finds in a folder of the cache, which `write` fills if need be."""
    folder = paths.data() / "cache" / name

    def found() -> Kept | None:
        try:
            return read(folder)
        except DAMAGE:
            return None

    there = found()
    if there is None:
        if folder.exists():
            print(f"{folder} is damaged: building it again", file=sys.stderr)
        make_folder(folder, write, lambda: found() is not None)
        there = found()
    if there is None:
        raise DataError(f"{folder}: damaged as soon as written; check the disk or set DCLIB_DATA")
    return there


def cached(name: str, resolution: int, fingerprint: str, build: Callable[[], Faces]) -> Faces:
    """Training and test faces from the cache, where `build` puts them if they are missing."""
    folder = f"{name}-{resolution}-{fingerprint}-v{FORMAT}"
    return kept(folder, lambda part: _write(part, build()), _read)


def describe(faces: FaceSet) -> dict[str, np.ndarray]:
    """Everything of a face set but its pixels, as arrays that need no pickle."""
    told = {
        "labels": list(faces.labels),
        "resolution": faces.resolution,
        "symmetry": asdict(faces.symmetry),
        "fingerprint": faces.fingerprint,
        "eyes": faces.eyes,
    }
    arrays = {"landmarks": faces.landmarks, "groups": faces.groups, "names": np.array(faces.names)}
    labels = {f"label {name}": column for name, column in faces.labels.items()}
    return {**arrays, **labels, "told": np.array(json.dumps(told))}


def restore(
    images: np.ndarray, arrays: dict[str, np.ndarray], resolution: int | None = None
) -> FaceSet:
    """The face set of some pixels and of what `describe` said, `resolution` excepted if given."""
    # older caches and packs say neither `eyes` nor `mirror`
    told = {"eyes": (0, 1)} | json.loads(str(arrays["told"]))
    symmetry = told["symmetry"]
    fixed = {name: tuple(symmetry[name]) for name in ("points", "negated", "rolled")}
    classes = {name: tuple(order) for name, order in symmetry["classes"].items()}
    return FaceSet(
        images=images,
        landmarks=arrays["landmarks"],
        labels={name: arrays[f"label {name}"] for name in told["labels"]},
        names=tuple(arrays["names"].tolist()),
        groups=arrays["groups"],
        resolution=resolution or told["resolution"],
        symmetry=Symmetry(**symmetry | fixed | {"classes": classes}),
        fingerprint=told["fingerprint"],
        eyes=told["eyes"] and tuple(told["eyes"]),
    )


def _write(folder: Path, faces: Faces) -> None:
    for part, half in zip(("train", "test"), faces, strict=True):
        np.save(folder / f"{part}.npy", half.images)
        table = {"checksum": _checksum(half.images), **describe(half)}
        np.savez(folder / f"{part}.npz", allow_pickle=False, **table)


def _read(folder: Path) -> Faces:
    return _read_half(folder, "train"), _read_half(folder, "test")


def _read_half(folder: Path, part: str) -> FaceSet:
    images = np.load(folder / f"{part}.npy", mmap_mode="r")
    with (folder / f"{part}.npz").open("rb") as file, np.load(file) as table:
        arrays = dict(table)
    if arrays.pop("checksum") != _checksum(images):
        raise ValueError("the pixels are not those that were written")
    return restore(images, arrays)


def _checksum(images: np.ndarray) -> np.ndarray:
    return np.array(zlib.crc32(np.ascontiguousarray(images).data), dtype=np.uint32)
