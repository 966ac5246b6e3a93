"""The weights of a public MTCNN in our stages, to check all of detection against that package.

The package is facenet-pytorch, whose weights are those of Zhang et al. It is not needed: its three
files are enough, for instance out of its wheel.
"""

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from dclib.errors import DataError
from dclib.mtcnn.stages import Stage, build

FILES = {"P": "pnet.pt", "R": "rnet.pt", "O": "onet.pt"}
LAYER = re.compile(r"(conv|dense|prelu)([\d_]+)\.(weight|bias)")  # a PReLU behind each but heads
SIDE = 3  # of the maps that the hidden layer gets


def stages(folder: Path) -> dict[str, Stage]:
    """The standard stages with the weights in a folder, facenet_pytorch/data of the package.

    Raises:
        DataError: a file is missing, cannot be read safely, or holds other weights.
    """
    return {name: _stage(name, folder / file) for name, file in FILES.items()}


def _stage(name: str, path: Path) -> Stage:
    net = build(name, "MTCNN", pooling="ceil")
    try:
        net.load_state_dict(_translated(net, torch.load(path, weights_only=True)))
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} is not facenet-pytorch's ({error}): take the folder facenet_pytorch/data of"
            " its wheel, version 2.6.0"
        ) from error
    return net.eval()


def _translated(net: Stage, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's weights under our names, and in our order."""

    def place(name: str) -> tuple[str, bool, bool]:
        if not (parts := LAYER.fullmatch(name)):
            raise ValueError(f"it has {name}")
        return parts[2], parts[1] == "prelu", parts[3] == "bias"

    names = [
        f"{part}.{key}"
        for part in ("columns", "hidden", "heads")
        for key in getattr(net, part).state_dict()
    ]
    ours = dict(zip(names, (theirs[name] for name in sorted(theirs, key=place)), strict=True))
    for name, values in ours.items():
        if name == "hidden.0.1.weight":  # columns before rows, before channels
            maps = values.unflatten(1, (SIDE, SIDE, -1))  # (D, w, h, C)
            ours[name] = maps.permute(0, 3, 2, 1).flatten(1)  # (D, C h w)
        elif name.startswith("heads.2."):  # all x, then all y
            ours[name] = values.unflatten(0, (2, 5)).transpose(0, 1).flatten(0, 1)
    return ours
