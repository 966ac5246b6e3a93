"""The weights of a public MTCNN in our stages, to check all of detection against that package.

The package is facenet-pytorch, whose weights are those of Zhang et al. It is not needed: its three
files are enough, for instance out of its wheel.
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from dclib.errors import DataError
from dclib.mtcnn.stages import Stage, build

FILES = {"P": "pnet.pt", "R": "rnet.pt", "O": "onet.pt"}
# The package's layers in order, a PReLU behind each but the heads.
CONVOLUTIONS = {
    "P": ("conv1", "conv2", "conv3"),
    "R": ("conv1", "conv2", "conv3"),
    "O": ("conv1", "conv2", "conv3", "conv4"),
}
HIDDEN = {"R": "dense4", "O": "dense5"}
HEADS = {
    "P": ("conv4_1", "conv4_2"),
    "R": ("dense5_1", "dense5_2"),
    "O": ("dense6_1", "dense6_2", "dense6_3"),
}
SIDES = {"R": 3, "O": 3}  # of the maps that the hidden layer gets


def stages(folder: Path) -> dict[str, Stage]:
    """The standard stages with the weights in a folder, facenet_pytorch/data of the package.

    Raises:
        DataError: a file is missing, cannot be read safely, or holds other weights.
    """
    return {name: _stage(name, folder / file) for name, file in FILES.items()}


def _stage(name: str, path: Path) -> Stage:
    net = build(name, "MTCNN", pooling="ceil")
    try:
        net.load_state_dict(_translated(name, torch.load(path, weights_only=True)))
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} is not facenet-pytorch's ({error}): take the folder facenet_pytorch/data of"
            " its wheel, version 2.6.0"
        ) from error
    return net.eval()


def _translated(name: str, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's weights under our names, and in our order."""
    ours = {}
    for at, layer in enumerate(CONVOLUTIONS[name]):
        for kind in ("weight", "bias"):
            ours[f"columns.0.{at}.0.{kind}"] = theirs[f"{layer}.{kind}"]
        ours[f"columns.0.{at}.1.weight"] = theirs[f"prelu{at + 1}.weight"]
    if name in HIDDEN:
        layer, side = HIDDEN[name], SIDES[name]
        weight = theirs[f"{layer}.weight"].unflatten(1, (side, side, -1))  # (D, w, h, C)
        ours["hidden.0.1.weight"] = weight.permute(0, 3, 2, 1).flatten(1)  # (D, C h w)
        ours["hidden.0.1.bias"] = theirs[f"{layer}.bias"]
        ours["hidden.0.2.weight"] = theirs[f"prelu{layer[-1]}.weight"]
    for at, layer in enumerate(HEADS[name]):
        for kind in ("weight", "bias"):
            values = theirs[f"{layer}.{kind}"]
            if at == 2:  # all x, then all y
                values = values.unflatten(0, (2, 5)).transpose(0, 1).flatten(0, 1)
            ours[f"heads.{at}.{kind}"] = values
    return ours
