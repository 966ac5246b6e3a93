"""What columns may start from: weights learned on photos of things, before any face is seen.

The paper starts its pre-trained networks from ImageNet, and does not say from which weights.
"imagenet" is torchvision's official ones, at width 1. "imagenet-mlnet" is other ones of ResNet18,
which a package of Microsoft's ML.NET carries: `data_scripts/imagenet_mlnet.py` makes them from it.
Where columns are slim, or the network is AlexNet, "tiny-imagenet" stands in: weights that this
library trains itself, like any other run, on a subset of Tiny-ImageNet.
"""

import hashlib
import json
import pickle
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from dclib import paths
from dclib.errors import RunError
from dclib.names import WEIGHTS

OFFICIAL = "IMAGENET1K_V1"
MLNET = "Microsoft.ML.DnnImageFeaturizer.ResNet18 0.23.1"
MLNET_FILE = "imagenet_resnet18/resnet18.safetensors"
MLNET_DIGEST = "b0ef7070d5253b425359b63ed9f46a434ddfe41897db753f179bf626ab9c8b4a"


def state(
    name: str, width: float, pretrained: str, cut: Callable[[nn.Module], nn.ModuleList]
) -> dict[str, Tensor]:
    """What the blocks of one column start from: their state dict, new at each call.

    Args:
        name: the underlying network.
        width: its width multiplier.
        pretrained: one of `WEIGHTS`.
        cut: the official torchvision model of that name -> the blocks.

    Raises:
        ValueError: there are no such weights, or not for that network or width.
        RunError: they are not on this machine and cannot be fetched, or are damaged.
    """
    if pretrained == "imagenet":
        return _official(name, width, cut)
    if pretrained == "imagenet-mlnet":
        return _mlnet(name, width, cut)
    if pretrained == "tiny-imagenet":
        return _own(name, width)
    raise ValueError(f"pretrained={pretrained!r}: choose False or from {list(WEIGHTS)}")


def _official(
    name: str, width: float, cut: Callable[[nn.Module], nn.ModuleList]
) -> dict[str, Tensor]:
    """torchvision's weights, from the cache of torch.hub or the network."""
    if width != 1:
        raise ValueError(
            f"ImageNet weights exist at width 1 only, not {width:g}: use pretrained=False or"
            " 'tiny-imagenet'"
        )
    try:
        weights = get_model_weights(name)[OFFICIAL]
    except (ValueError, KeyError):
        raise ValueError(
            f"torchvision has no ImageNet weights ({OFFICIAL}) of {name!r}: use pretrained=False"
        ) from None
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[1])
    try:
        # first the file alone, by the safe loader: get_model would unpickle whatever it holds
        weights.get_state_dict(check_hash=True, weights_only=True)
        with torch.random.fork_rng(devices=[]):  # the draws of heads and mixers stay the same
            model = get_model(name, weights=weights)
    except (OSError, HTTPException) as fault:
        raise RunError(
            f"{file.name} cannot be fetched ({fault}): get {weights.url} elsewhere and put it into"
            f" {file.parent}"
        ) from None
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as fault:
        reason = str(fault).partition("\n")[0]
        raise RunError(f"{file}: damaged ({reason}): get {weights.url} anew") from None
    return dict(cut(model).state_dict())


def _mlnet(name: str, width: float, cut: Callable[[nn.Module], nn.ModuleList]) -> dict[str, Tensor]:
    """The weights that came with ML.NET, under torchvision's names."""
    if (name, width) != ("resnet18", 1):
        raise ValueError(
            f"'imagenet-mlnet' weights are of resnet18 at width 1, not of {name} at {width:g}: use"
            " pretrained=False or 'tiny-imagenet'"
        )
    places = [place / MLNET_FILE for place in (paths.data(), paths.mirror()) if place]
    file = next((file for file in places if file.exists()), None)
    if file is None:
        raise RunError(
            f"{places[0]} is missing: `python data_scripts/imagenet_mlnet.py PACKAGE {places[0]}`"
            f" makes it from the package {MLNET}"
        )
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as fault:
        raise RunError(f"{file}: damaged ({fault}): make it again from {MLNET}") from None
    if _digest(state) != MLNET_DIGEST:
        raise RunError(f"{file} does not hold the weights of {MLNET}: make it again")
    with torch.random.fork_rng(devices=[]):  # the draws of heads and mixers stay the same
        model = get_model(name, weights=None)
    model.load_state_dict(state, strict=False)  # without fc, and counters of batches
    return dict(cut(model).state_dict())


def _digest(state: dict[str, Tensor]) -> str:
    """sha256 of weights, whatever the order that a file has them in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def file_name(name: str, width: float) -> str:
    """The file of the stand-in's weights."""
    return f"tiny-imagenet-{name}-w{width:g}.safetensors"


def places() -> tuple[Path, Path]:
    """Where the stand-in's weights are looked for, first the committed ones."""
    return paths.results() / "weights", paths.store() / "weights"


def origin(name: str, width: float, pretrained: str) -> str:
    """Which weights these are: torchvision's name of them, or the run that made them."""
    if pretrained == "imagenet":
        return OFFICIAL
    if pretrained == "imagenet-mlnet":
        return MLNET
    with safe_open(_found(name, width), framework="pt") as file:
        return str(json.loads(file.metadata()["about"])["run"])


def _own(name: str, width: float) -> dict[str, Tensor]:
    file = _found(name, width)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as fault:
        command = f"`python -m dclib pretrain {name} --width {width:g}`"
        raise RunError(f"{file}: damaged ({fault}): remove it, {command} makes it anew") from None


def _found(name: str, width: float) -> Path:
    files = [place / file_name(name, width) for place in places()]
    command = f"`python -m dclib pretrain {name} --width {width:g}`"
    found = next((file for file in files if file.exists()), None)
    if found is None:
        raise RunError(
            f"{files[0].name} is neither in {files[0].parent} nor in {files[1].parent}:"
            f" {command} makes it"
        )
    return found
