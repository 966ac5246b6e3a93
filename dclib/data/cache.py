"""Face sets decoded once: raw pixels, memory-mapped, beside a small table of everything else.

A cached data set is a folder `NAME-RESOLUTION-FINGERPRINT-vFORMAT` under `data()/cache` that
appears whole or not at all. A damaged one is noticed by its checksum and built again.
"""

import json
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dclib import paths
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, Symmetry
from dclib.errors import DataError
from dclib.files import make_folder

FORMAT = 1  # raise it whenever the cached pixels or their layout change
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def cached(name: str, resolution: int, fingerprint: str, build: Callable[[], Faces]) -> Faces:
    """Training and test faces from the cache, where `build` puts them if they are missing.

    Raises:
        DataError: the disk is full, or what `build` raises.
    """
    folder = paths.data() / "cache" / f"{name}-{resolution}-{fingerprint}-v{FORMAT}"
    faces = _read(folder)
    if faces is None:
        if folder.exists():
            print(f"{folder} is damaged: building it again", file=sys.stderr)
        make_folder(folder, lambda part: _write(part, build()), lambda: _read(folder) is not None)
        faces = _read(folder)
    if faces is None:
        raise DataError(f"{folder}: damaged as soon as written; check the disk or set DCLIB_DATA")
    return faces


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
    told = json.loads(str(arrays["told"]))
    symmetry = told["symmetry"]
    return FaceSet(
        images=images,
        landmarks=arrays["landmarks"],
        labels={name: arrays[f"label {name}"] for name in told["labels"]},
        names=tuple(arrays["names"].tolist()),
        groups=arrays["groups"],
        resolution=resolution or told["resolution"],
        symmetry=Symmetry(
            points=tuple(symmetry["points"]),
            classes={name: tuple(order) for name, order in symmetry["classes"].items()},
            negated=tuple(symmetry["negated"]),
            rolled=tuple(symmetry["rolled"]),
            mirror=symmetry.get("mirror", True),  # older caches and packs say neither this
        ),
        fingerprint=told["fingerprint"],
        eyes=told["eyes"] and tuple(told["eyes"]) if "eyes" in told else (0, 1),  # nor this
    )


def _write(folder: Path, faces: Faces) -> None:
    for part, half in zip(("train", "test"), faces, strict=True):
        np.save(folder / f"{part}.npy", half.images)
        table = {"checksum": _checksum(half.images), **describe(half)}
        np.savez(folder / f"{part}.npz", allow_pickle=False, **table)


def _read(folder: Path) -> Faces | None:
    """The cached faces, or None where there are none that are sound."""
    try:
        return _read_half(folder, "train"), _read_half(folder, "test")
    except DAMAGE:
        return None


def _read_half(folder: Path, part: str) -> FaceSet:
    images = np.load(folder / f"{part}.npy", mmap_mode="r")
    with (folder / f"{part}.npz").open("rb") as file, np.load(file) as table:
        arrays = dict(table)
    if arrays.pop("checksum") != _checksum(images):
        raise ValueError("the pixels are not those that were written")
    return restore(images, arrays)


def _checksum(images: np.ndarray) -> np.ndarray:
    return np.array(zlib.crc32(np.ascontiguousarray(images).data), dtype=np.uint32)
