"""Other people's networks, to be timed beside ours; their code comes from a folder of yours.

None of it is part of this project, and nothing is changed in it but the number of feature maps.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from dclib import underlying
from dclib.errors import RunError
from dclib.network import head
from dclib.tasks import Task


def authors(folder: Path, tasks: Sequence[Task], width: float = 1.0) -> nn.Module:
    """The authors' DCNet on ResNet18, from the folder that holds their `dcnet.py`.

    Raises:
        RunError: no such file there.
    """
    file = folder / "dcnet.py"
    if not file.exists():
        raise RunError(f"{file}: no such file; give the folder of a clone of the authors' code")
    spec = importlib.util.spec_from_file_location("authors_dcnet", file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def series(name: str, pretrained: bool) -> tuple[nn.Module, list[int]]:
        return nn.Sequential(*underlying.blocks(name, width)), underlying.channels(name, width)

    module.network_as_series_of_blocks = series
    net: nn.Module = module.DeepCollaborationNetwork("resnet18", [t.outputs for t in tasks], False)
    return net


def libmtl(folder: Path, tasks: Sequence[Task], width: float = 1.0) -> nn.Module:
    """LibMTL's Cross-Stitch on its ResNet18 with heads like ours, from the folder of a clone.

    At width 1 the encoder is its own `resnet18()`; else it is that with fewer feature maps.

    Raises:
        RunError: the folder is no such clone.
    """
    with _package(folder, "LibMTL", ("architecture", "model")):
        try:
            resnet = importlib.import_module("LibMTL.model.resnet")
            cross_stitch = importlib.import_module("LibMTL.architecture.Cross_stitch").Cross_stitch
        except ImportError as error:
            raise RunError(f"{folder}: no clone of LibMTL ({error}); give its folder") from error
    last = underlying.channels("resnet18", width)[-1]
    decoders = {
        task.name: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(last, task.outputs))
        for task in tasks
    }
    net: nn.Module = cross_stitch(
        task_name=list(decoders),
        encoder_class=resnet.resnet18 if width == 1 else lambda: _slim(resnet, width),
        decoders=nn.ModuleDict(decoders),
        rep_grad=False,
        multi_input=False,
        device=torch.device("cpu"),
    )
    return net


@contextmanager
def _package(folder: Path, name: str, parts: Sequence[str]) -> Iterator[None]:
    """Within it, modules of a package in a folder can be imported, and nothing else of it runs.

    A package runs all of its parts when it is imported, and these ask for packages that a network
    does without. So for a while the package and its parts are places on the disk and nothing more.
    """

    def taken_out() -> dict[str, ModuleType]:
        own = [key for key in sys.modules if key.partition(".")[0] == name]
        return {key: sys.modules.pop(key) for key in own}

    before = taken_out()
    for place in (name, *(f"{name}.{part}" for part in parts)):
        package = sys.modules[place] = ModuleType(place)
        package.__path__ = [str(folder.joinpath(*place.split(".")))]
    try:
        yield
    finally:
        taken_out()
        sys.modules.update(before)


def _slim(resnet: Any, width: float) -> nn.Module:
    """Their ResNet18 at a width multiplier, which it has no argument for."""

    class Slim(resnet.ResNet):
        def _make_layer(self, block: Any, planes: int, *rest: Any, **settings: Any) -> nn.Module:
            if planes == 64:  # the first stage: what stands before it is made slim as well
                self.inplanes = underlying.scaled(64, width)
                self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
                self.bn1 = nn.BatchNorm2d(self.inplanes)
            slim = underlying.scaled(planes, width)
            return super()._make_layer(block, slim, *rest, **settings)

    return Slim(resnet.BasicBlock, [2, 2, 2, 2])
