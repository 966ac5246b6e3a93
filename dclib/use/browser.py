"""A DCNet as a file of weights for the book's live page (its script: `_static/live/dcnet.js`)."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from dclib.block import CollaborativeBlock
from dclib.data.augment import IMAGENET_MEAN, IMAGENET_STD
from dclib.errors import RunError
from dclib.fast.folding import fold
from dclib.network import Network
from dclib.tasks import describe
from dclib.underlying import UNDERLYING

NAME = "LIVE"  # of the variable that the file sets


def layers(net: Network, resolution: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of all layers by name, in half precision, BatchNorms folded into them.

    Raises:
        RunError: the network is no DCNet on ResNet18, which is all that the script computes, or a
            number is too large for half precision.
    """
    blocks = len(UNDERLYING["resnet18"].channels)
    if len(net.mixers) != blocks or not all(isinstance(m, CollaborativeBlock) for m in net.mixers):
        raise RunError("the live page computes DCNet on ResNet18 only: give such a run")
    found = {}
    for name, layer in fold(net, resolution).named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert layer.bias is not None  # of its BatchNorm, or its own
            both = [p.detach().numpy().astype(np.float16) for p in (layer.weight, layer.bias)]
            if not all(np.isfinite(part).all() for part in both):
                raise RunError(f"{name} has numbers beyond half precision")
            found[name] = (both[0], both[1])
    return found


def script(net: Network, resolution: int, about: Mapping[str, Any]) -> str:
    """The file's content: one assignment, so that a page opened from a disk can load it, too.

    Args:
        about: what the page tells of the network, JSON values.

    Raises:
        RunError: as `layers`.
    """
    places: dict[str, dict[str, Any]] = {}
    numbers: list[np.ndarray] = []
    at = 0
    for name, (weight, bias) in layers(net, resolution).items():
        places[name] = {"shape": weight.shape, "at": at}
        numbers += [weight.ravel(), bias]
        at += weight.size + bias.size
    content = {
        "tasks": describe(net.tasks),
        "depths": list(range(1, len(net.mixers) + 1)),
        "resolution": resolution,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        **about,
        "layers": places,
        "numbers": base64.b64encode(np.concatenate(numbers).astype("<f2").tobytes()).decode(),
    }
    return f"const {NAME} = {json.dumps(content)};\n"
