"""Detection beside public packages that have the same networks: same weights, same photos.

All look for faces of 20 pixels or more on one core, in turn, so that all meet the same moods of
the machine. What each found is kept as well: the same numbers of faces, or the times mean nothing.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from dclib import environment
from dclib.data.photos import load
from dclib.errors import RunError
from dclib.mtcnn import evaluate, public
from dclib.mtcnn.detect import Cascade, Settings
from dclib.mtcnn.reference import FACES, HELDOUT
from dclib.study.speed import measuring

KIND, NAME = "speed", "detection"  # of the record
OURS = "dclib"
WEIGHTS = "facenet-pytorch"  # the package whose weights all of them have
CROPS, PHOTOS = 16, 8  # of the test crops, and of LFWNet's held-out photos

Count = Callable[[np.ndarray], int]  # of the faces that are found in a photo (3, H, W)


def facenet_pytorch(package: ModuleType) -> Count:
    """How facenet-pytorch counts the faces in a photo."""
    network = package.MTCNN(min_face_size=int(Settings().minimum), keep_all=True)

    def count(pixels: np.ndarray) -> int:
        boxes, _ = network.detect(Image.fromarray(pixels.transpose(1, 2, 0)))
        return 0 if boxes is None else len(boxes)

    return count


def mtcnn(package: ModuleType) -> Count:
    """How mtcnn counts them; its own threshold for O is another, 0.8."""
    threading = importlib.import_module("tensorflow").config.threading
    threading.set_intra_op_parallelism_threads(1)
    threading.set_inter_op_parallelism_threads(1)
    settings = Settings()
    names = ("threshold_pnet", "threshold_rnet", "threshold_onet")
    detect = partial(
        package.MTCNN(device="CPU:0").detect_faces,
        min_face_size=int(settings.minimum),
        scale_factor=settings.factor,
        **dict(zip(names, settings.thresholds, strict=True)),
    )
    return lambda pixels: len(detect(np.ascontiguousarray(pixels.transpose(1, 2, 0))))


PACKAGES: dict[str, tuple[str, Callable[[ModuleType], Count]]] = {  # and their modules
    WEIGHTS: ("facenet_pytorch", facenet_pytorch),
    "mtcnn": ("mtcnn", mtcnn),
}


def photos() -> dict[str, list[np.ndarray]]:
    """What is looked at, uint8 (3, H, W), by kind."""
    crops, held_out = load(FACES)[1], load(HELDOUT)[1]
    return {
        FACES: [crops.read(number) for number in range(CROPS)],
        HELDOUT: [held_out.read(number) for number in range(PHOTOS)],
        **{name: [picture.pixels] for name, picture in evaluate.pictures(FACES).items()},
    }


def measure(folders: Sequence[Path], rounds: int = 7) -> dict[str, Any]:
    """Seconds per photo of each kind, ours and theirs, one of each round.

    Args:
        folders: where packages lie, unpacked or installed: one holds `facenet_pytorch/`, and with
            it the weights; another may hold `mtcnn/` and what that needs.

    Raises:
        RunError: facenet-pytorch is in none of them, or a package cannot be imported.
        DataError: photos or weights are missing.
    """
    there = {
        name: folder
        for name, (module, _) in PACKAGES.items()
        for folder in folders
        if any((folder / each).exists() for each in (module, f"{module}.py"))
    }
    if WEIGHTS not in there:
        named = ", ".join(map(str, folders))
        raise RunError(f"no facenet-pytorch in {named}: unpack its wheel, and name that folder")
    with _importable(there.values()):
        ours = Cascade(public.stages(there[WEIGHTS] / "facenet_pytorch" / "data"))
        counts: dict[str, Count] = {OURS: lambda pixels: len(ours.detect(pixels))}
        counts |= {name: _package(name, folder) for name, folder in there.items()}
        looked_at = photos()
        found: dict[str, dict[str, int]] = {kind: {} for kind in looked_at}

        def see(kind: str, who: str) -> None:
            found[kind][who] = sum(counts[who](pixels) for pixels in looked_at[kind])

        steps = {(kind, who): partial(see, kind, who) for kind in looked_at for who in counts}
        took = measuring.turns(steps, rounds)
    seconds: dict[str, dict[str, list[float]]] = {kind: {} for kind in looked_at}
    for (kind, who), times in took.items():
        seconds[kind][who] = [round(t / len(looked_at[kind]), 9) for t in times]
    return {
        "preset": NAME,
        **environment.code(),
        **environment.machine(),
        "threads": 1,
        "rounds": rounds,
        "minimum": Settings().minimum,
        "versions": {name: _version(name, folder) for name, folder in there.items()},
        "photos": {
            kind: {"count": len(some), "size": [some[0].shape[2], some[0].shape[1]]}
            for kind, some in looked_at.items()
        },
        "faces": found,
        "seconds": seconds,
    }


@contextmanager
def _importable(folders: Iterable[Path]) -> Iterator[None]:
    """Within it, what lies in these folders can be imported, unless it is installed here."""
    added = [str(folder) for folder in folders]
    sys.path.extend(added)
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def _package(name: str, folder: Path) -> Count:
    module, counting = PACKAGES[name]
    try:
        return counting(importlib.import_module(module))
    except ImportError as error:
        raise RunError(
            f"the package {name} in {folder} cannot be imported ({error}): install what it needs"
            " beside it, and name that folder"
        ) from error


def _version(name: str, folder: Path) -> str:
    """Of a package, from what its installation or wheel says; empty where that is not there."""
    return next((each.version for each in distributions(name=name, path=[str(folder)])), "")


# Keep a record; it, or None where nothing was measured.
write = partial(measuring.write, KIND)
read = partial(measuring.read, KIND, NAME)


def ratios(record: dict[str, Any]) -> dict[tuple[str, str], np.ndarray]:
    """How many times as fast ours is in each round, by kind of photos and by package."""
    return {
        (kind, who): np.array(theirs) / np.array(times[OURS])
        for kind, times in record["seconds"].items()
        for who, theirs in times.items()
        if who != OURS
    }
