"""Faster ways to compute the same networks: same parameters, same results, removable.

A module is given a class that computes what its own does in fewer steps; its parameters, its name
and its place stay. The fixed table `choose` says which form runs where, so that a run's numbers
depend on it and on nothing else; every record names it.
"""

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from dclib.block import CollaborativeBlock
from dclib.errors import RunError
from dclib.fast import stacked
from dclib.fast.tiny import FastConv2d
from dclib.fast.winograd import WinogradConv2d
from dclib.methods.cross_stitch import CrossStitch

FORMS = ("plain", "fast", "stacked", "winograd")
CHOICES = {
    "forms": FORMS,
    "optimiser": ("fused", "plain"),
    "compile": ("no", "yes"),
}


def choose(device: torch.device, width: float = 1.0, resolution: int = 64) -> dict[str, Any]:
    """How networks are computed on a device: from this table, unless `DCLIB_EXECUTION` says else.

    Stacking columns pays where a step is spent on starting operations: slim networks, and all on a
    GPU. Winograd's convolutions pay where it is spent on products: wide networks.

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
        how |= {"device": "cpu", "precision": "fp32", "forms": "stacked" if slim else "winograd"}
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
    return how | {name: environment.get(name, value) for name, value in earlier.items()}


def apply(net: nn.Module, forms: str) -> str:
    """Let a network compute in these forms from now on, and say in which it does.

    A network that cannot be stacked is computed in fast forms. One that is stacked may not be
    moved, converted or copied after that.

    Raises:
        ValueError: forms that do not exist.
    """
    if forms not in FORMS:
        raise ValueError(f"forms={forms!r}: choose from {list(FORMS)}")
    for module in net.modules():
        plain = PLAIN.get(type(module), type(module))
        module.__class__ = FASTER[forms].get(plain, plain)
        if isinstance(module, nn.Sequential):
            _rectify_in_place(list(module), forms != "plain")
    if forms == "stacked" and not stacked.stack_columns(net):
        return apply(net, "fast")
    return forms


def _rectify_in_place(layers: Sequence[nn.Module], in_place: bool) -> None:
    """A ReLU behind a BatchNorm, which does not need its own result again, may overwrite it."""
    for before, layer in pairwise(layers):
        if isinstance(before, nn.BatchNorm2d) and isinstance(layer, nn.ReLU):
            layer.inplace = in_place


class FastBasicBlock(BasicBlock):
    """A residual block that writes its sum and its ReLUs over what nobody needs any more."""

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = functional.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu_(y.add_(shortcut))


class FastCollaborativeBlock(CollaborativeBlock):
    """A collaborative block that does the same for Eq. 1."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if len({x.shape[-2:] for x in maps}) > 1:
            return super().forward(maps)
        z = self.central(torch.cat(list(maps), dim=1))  # (B, Z, h, w)
        outputs = []
        for x, aggregate in zip(maps, self.specific, strict=True):
            y = aggregate(torch.cat([x, z], dim=1)).add_(x)
            outputs.append(functional.relu_(y) if self.outer_relu else y)
        return outputs


class _Combinations(torch.autograd.Function):
    """y_t = sum_s alpha_ts * x_s of maps (B, C, h, w), added up in place."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        """Weights (target, source, C or 1) and maps to as many maps."""
        ctx.save_for_backward(alpha, *maps)
        return tuple(_combine(row, maps) for row in alpha)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, ...]:
        """The gradients of weights and maps, of their shapes."""
        alpha, *maps = ctx.saved_tensors
        of_maps = [_combine(column, above) for column in alpha.transpose(0, 1)]
        g, x = (
            torch.stack([m.transpose(0, 1).flatten(1) for m in of], dim=1) for of in (above, maps)
        )  # (C, T, B h w) each
        of_alpha = torch.bmm(g, x.mT).permute(1, 2, 0)  # (target, source, C)
        return of_alpha.sum_to_size(alpha.shape), *of_maps


def _combine(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, h, w), each by its weights (C or 1), added up."""
    scales = weights[:, :, None, None]  # (T, C or 1, 1, 1)
    y = scales[0] * maps[0]
    for scale, x in zip(scales[1:], maps[1:], strict=True):
        y.addcmul_(scale, x)
    return y


class FastCrossStitch(CrossStitch):
    """Cross-Stitch units that add their products up as they go."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if any(x.dtype != self.alpha.dtype or x.shape != maps[0].shape for x in maps):
            return super().forward(maps)
        return list(_Combinations.apply(self.alpha, *maps))


FAST: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: FastConv2d,
    BasicBlock: FastBasicBlock,
    CollaborativeBlock: FastCollaborativeBlock,
}
FASTER = {
    "plain": {},
    "fast": FAST,
    "stacked": FAST | {CrossStitch: FastCrossStitch},  # what is not stacked
    "winograd": FAST | {CrossStitch: FastCrossStitch, nn.Conv2d: WinogradConv2d},
}
PLAIN = {faster: plain for forms in FASTER.values() for plain, faster in forms.items()}
