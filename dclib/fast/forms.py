"""Faster ways to compute the same networks: same parameters, same results, removable.

A module is given a class that computes what its own does in fewer steps; its parameters, its name
and its place stay. A run's numbers depend on the forms and, where these are measured, on the ways
of its convolutions; its record names both, and to compute it again they are taken from there.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from dclib.block import CollaborativeBlock
from dclib.errors import RunError
from dclib.fast import depths, stacked
from dclib.fast.blocks import FastBasicBlock, FastCollaborativeBlock, FastCrossStitch
from dclib.fast.ways import TABLES, FastConv2d, Measured, Ways
from dclib.methods.cross_stitch import CrossStitch
from dclib.splitting.watching import private

FORMS = ("plain", "fast", "stacked", "winograd", "measured")
CHOICES = {
    "forms": FORMS,
    "optimiser": ("fused", "plain"),
    "compile": ("no", "yes"),
}


def choose(
    device: torch.device, width: float = 1.0, resolution: int = 64, precision: str | None = None
) -> dict[str, Any]:
    """How networks are computed on a device, unless `DCLIB_EXECUTION` says else.

    On a CPU, the form of each convolution is measured once a network is there (`settle`). In bf16,
    compiled and on a GPU this table holds: stacking columns pays where a step is spent on starting
    operations, Winograd's convolutions where it is spent on products, in wide networks.

    The variable holds settings like "forms=plain,optimiser=plain". Precision is none of them: it
    costs accuracy, so where it is not this table's it is a field of the experiment.

    Raises:
        RunError: a setting that does not exist.
    """
    how = {"threads": 1, "layout": "channels_last", "optimiser": "fused", "compile": "no"}
    if device.type == "cuda":
        how |= {"device": "cuda", "precision": "bf16", "forms": "stacked"}
    else:
        slim = width <= 0.25 or (width <= 0.5 and resolution <= 32)
        forms = "stacked" if slim else "winograd"
        how |= {"device": "cpu", "precision": "fp32"}
        compiled = "compile=yes" in os.environ.get("DCLIB_EXECUTION", "")
        how["forms"] = forms if precision == "bf16" or compiled else "measured"
    for setting in filter(None, os.environ.get("DCLIB_EXECUTION", "").split(",")):
        name, _, value = setting.partition("=")
        if value not in CHOICES.get(name, ()):
            known = "; ".join(f"{n}={' or '.join(v)}" for n, v in CHOICES.items())
            raise RunError(f"DCLIB_EXECUTION: {setting!r} is no setting: there are {known}")
        how[name] = value
    return how


def recorded(environment: dict[str, Any]) -> dict[str, Any] | None:
    """How a finished run was computed, to do it again; None where its device is not here."""
    if environment["device"] == "cuda" and not torch.cuda.is_available():
        return None
    how = {name: environment[name] for name in ("device", "threads", "precision", "layout")}
    earlier = {"forms": "plain", "optimiser": "plain", "compile": "no"}
    how |= {name: environment.get(name, value) for name, value in earlier.items()}
    return how | ({"ways": environment["ways"]} if "ways" in environment else {})


def settle(net: nn.Module, how: Mapping[str, Any], batch: int, side: int) -> dict[str, Any]:
    """Let a network compute as chosen or recorded; what is to be measured is, once.

    Args:
        net: on the device where it stays.
        how: as `choose` or `recorded` say.
        batch: images in a step.
        side: of the images, in pixels.

    Returns:
        "forms", in which it computes, and the "ways" of its convolutions where they were measured.
    """
    forms = how.get("forms", "plain")
    if forms != "measured":
        return {"forms": apply(net, forms)}
    ways = how["ways"] if "ways" in how else _measured(net, batch, side)
    return {"forms": apply(net, forms, ways), "ways": dict(ways)}


def apply(net: nn.Module, forms: str, ways: Mapping[str, str] | None = None) -> str:
    """Let a network compute in these forms from now on, and say in which it does.

    A network that cannot be stacked is computed in fast forms. One that is stacked raises
    RuntimeError once it was moved, converted or copied, until it is given forms again.

    Args:
        net: in any forms.
        forms: one of `FORMS`.
        ways: for "measured" ones, as `settle` found them; by default PyTorch's own.

    Raises:
        ValueError: forms that do not exist.
    """
    if forms not in FORMS:
        raise ValueError(f"forms={forms!r}: choose from {list(FORMS)}")
    stacked.unstack(net)
    measured = ways if isinstance(ways, Ways) else Ways(ways or {})
    found = TABLES.get(forms, measured)
    for module in net.modules():
        plain = PLAIN.get(type(module), type(module))
        module.__class__ = FASTER[forms].get(plain, plain)
        vars(module).pop("ways", None)
        if isinstance(module, FastConv2d):
            module.ways = found
        if isinstance(module, nn.Sequential):
            _rectify_in_place(list(module), forms != "plain")
    if forms == "measured" and found.together:
        stacked.stack_columns(net, found, found.together)
    if forms == "stacked" and not stacked.stack_columns(net):
        return apply(net, "fast")
    return forms


def _measured(net: nn.Module, batch: int, side: int) -> Ways:
    """The fastest ways on this machine, depth by depth, then convolution by convolution."""
    own = next(net.parameters())
    with torch.random.fork_rng():
        twin, found = private(net)[0].train(), Measured()
        images = torch.randn(batch, 3, side, side, dtype=own.dtype, device=own.device)
        images = images.contiguous(memory_format=torch.channels_last)
        apply(twin, "measured", found)
        if stacked.stack_columns(twin, found):
            assert isinstance(twin, stacked.StackedNetwork)
            twin.together = depths.faster_together(twin, images, found.best)
            found.clear()
            found["together"] = " ".join(map(str, twin.together))
        with torch.no_grad():
            twin(images)  # which meets all that is still to be measured
        found.keep()
    return Ways(found)


def _rectify_in_place(layers: Sequence[nn.Module], in_place: bool) -> None:
    """A ReLU behind a BatchNorm, which does not need its own result again, may overwrite it."""
    for before, layer in pairwise(layers):
        if isinstance(before, nn.BatchNorm2d) and isinstance(layer, nn.ReLU):
            layer.inplace = in_place


FAST: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: FastConv2d,
    BasicBlock: FastBasicBlock,
    CollaborativeBlock: FastCollaborativeBlock,
}
UNITS: dict[type[nn.Module], type[nn.Module]] = FAST | {CrossStitch: FastCrossStitch}
FASTER = {"plain": {}, "fast": FAST} | dict.fromkeys(("stacked", "winograd", "measured"), UNITS)
PLAIN = {faster: plain for plain, faster in UNITS.items()}
