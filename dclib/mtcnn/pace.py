"""Detection beside the public package that has the same networks: same weights, same photos.

Both look for faces of 20 pixels or more on one core, in turn, so that both meet the same moods of
the machine. What each found is kept as well: the same numbers of faces, or the times mean nothing.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dclib import environment, measuring
from dclib.data.photos import load
from dclib.errors import RunError
from dclib.mtcnn import evaluate, public
from dclib.mtcnn.detect import Cascade, Settings
from dclib.mtcnn.reference import FACES, HELDOUT

KIND, NAME = "speed", "detection"  # of the record
OURS, THEIRS = "dclib", "facenet-pytorch"
CROPS, PHOTOS = 16, 8  # of the test crops, and of LFWNet's held-out photos


def photos() -> dict[str, list[np.ndarray]]:
    """What is looked at, uint8 (3, H, W), by kind."""
    crops, held_out = load(FACES)[1], load(HELDOUT)[1]
    shown = evaluate.pictures(FACES)
    return {
        FACES: [crops.read(number) for number in range(CROPS)],
        HELDOUT: [held_out.read(number) for number in range(PHOTOS)],
        **{name: [picture.pixels] for name, picture in shown.items()},
    }


def measure(folder: Path, rounds: int = 7) -> dict[str, Any]:
    """Seconds per photo of each kind, ours and theirs, one of each round.

    Args:
        folder: where the package lies, unpacked from its wheel: it holds `facenet_pytorch/`.

    Raises:
        RunError: it is not there, or cannot be imported.
        DataError: photos or weights are missing.
    """
    minimum = Settings().minimum
    theirs = _package(folder).MTCNN(min_face_size=int(minimum), keep_all=True)
    ours = Cascade(public.stages(folder / "facenet_pytorch" / "data"))
    looked_at = photos()
    found: dict[str, dict[str, int]] = {kind: {} for kind in looked_at}

    def see_ours(kind: str) -> None:
        found[kind][OURS] = sum(len(ours.detect(pixels)) for pixels in looked_at[kind])

    def see_theirs(kind: str) -> None:
        images = [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in looked_at[kind]]
        boxes = [theirs.detect(image)[0] for image in images]
        found[kind][THEIRS] = sum(0 if some is None else len(some) for some in boxes)

    steps = {
        (kind, who): (lambda see=see, kind=kind: see(kind))
        for kind in looked_at
        for who, see in ((OURS, see_ours), (THEIRS, see_theirs))
    }
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
        "minimum": minimum,
        "photos": {
            kind: {"count": len(some), "size": [some[0].shape[2], some[0].shape[1]]}
            for kind, some in looked_at.items()
        },
        "faces": found,
        "seconds": seconds,
    }


def _package(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("facenet_pytorch")
    except ImportError as error:
        raise RunError(
            f"{folder} holds no facenet-pytorch that can be imported ({error}): unpack its wheel"
            " there"
        ) from error
    finally:
        sys.path.remove(str(folder))


def write(record: dict[str, Any]) -> Path:
    """Keep a record in the committed results."""
    return measuring.write(KIND, record)


def read() -> dict[str, Any] | None:
    """The record; None where nothing was measured."""
    return measuring.read(KIND, NAME)


def ratios(record: dict[str, Any]) -> dict[str, float]:
    """How many times as fast ours is, by kind of photos: the median over rounds."""
    return {
        kind: float(np.median(np.array(times[THEIRS]) / np.array(times[OURS])))
        for kind, times in record["seconds"].items()
    }
