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

from dclib import stacked
from dclib.block import CollaborativeBlock
from dclib.errors import RunError

FORMS = ("plain", "fast", "stacked")
CHOICES = {"forms": FORMS, "precision": ("fp32", "bf16")}
TINY = 2  # sides of maps, in pixels, up to which a convolution is a sum of matrix products
DEEP = 96  # and the least number of channels, where maps are more than a pixel

Region = tuple[int, int, tuple[slice, slice], tuple[slice, slice]]


def choose(device: torch.device, width: float = 1.0, resolution: int = 64) -> dict[str, Any]:
    """How networks are computed on a device: from this table, unless `DCLIB_EXECUTION` says else.

    Stacking columns pays where a step is spent on starting operations: slim networks, small images.

    The variable holds settings like "forms=plain,precision=bf16". On a CPU bf16 pays where it has
    instructions for it, and costs accuracy, so nobody gets it unasked.

    Raises:
        RunError: a setting that does not exist.
    """
    how = {"threads": 1, "layout": "channels_last"}
    if device.type == "cuda":
        how |= {"device": "cuda", "precision": "bf16", "forms": "plain"}
    else:
        small = width <= 0.125 or (width <= 0.25 and resolution <= 32)
        how |= {"device": "cpu", "precision": "fp32", "forms": "stacked" if small else "fast"}
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
    return how | {"forms": environment.get("forms", "plain")}


def apply(net: nn.Module, forms: str) -> str:
    """Let a network compute in these forms from now on, and say in which it does.

    A network that cannot be stacked is computed in fast forms. One that is stacked may not be
    moved, converted or copied after that.

    Raises:
        ValueError: forms that do not exist.
    """
    if forms not in FORMS:
        raise ValueError(f"forms={forms!r}: choose from {list(FORMS)}")
    fast = forms != "plain"
    for module in net.modules():
        for plain, faster in FASTER.items():
            if type(module) is (plain if fast else faster):
                module.__class__ = faster if fast else plain
        if isinstance(module, nn.Sequential):
            _rectify_in_place(list(module), fast)
    if forms == "stacked" and not stacked.stack_columns(net):
        return "fast"
    return forms


def _rectify_in_place(layers: Sequence[nn.Module], in_place: bool) -> None:
    """A ReLU behind a BatchNorm, which does not need its own result again, may overwrite it."""
    for before, layer in pairwise(layers):
        if isinstance(before, nn.BatchNorm2d) and isinstance(layer, nn.ReLU):
            layer.inplace = in_place


# Convolutions of tiny maps: nine matrix products, one for each place of the kernel, without those
# products that would only meet the zeros around the map. A 2 x 2 map needs 16 of 36.


def _regions(height: int, width: int) -> list[Region]:
    """Row and column in the kernel, and the parts of output and input that they join."""
    found: list[Region] = []
    for row in range(3):
        for column in range(3):
            shifts = ((row - 1, height), (column - 1, width))
            if all(abs(shift) < side for shift, side in shifts):
                out = [slice(max(0, -s), min(n, n - s)) for s, n in shifts]
                into = [slice(max(0, s), min(n, n + s)) for s, n in shifts]
                found.append((row, column, (out[0], out[1]), (into[0], into[1])))
    return found


class _TinyConvolution(torch.autograd.Function):
    """3x3 convolution, stride 1, padding 1, without bias, of maps (B, C, h, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Maps (B, C, h, w) and weight (D, C, 3, 3) to (B, D, h, w)."""
        batch, channels, height, width = x.shape
        inside = x.permute(2, 3, 0, 1).contiguous()  # (h, w, B, C)
        kernel = weight.permute(2, 3, 0, 1)  # (3, 3, D, C)
        y = inside.new_zeros(height, width, batch, weight.shape[0])
        for row, column, out, into in _regions(height, width):
            part = inside[into]
            product = part.reshape(-1, channels) @ kernel[row, column].t()
            y[out] += product.view(*part.shape[:3], -1)
        ctx.save_for_backward(inside, weight)
        return y.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of maps and weight, of their shapes."""
        inside, weight = ctx.saved_tensors
        height, width, _, channels = inside.shape
        above = gradients[0].permute(2, 3, 0, 1).contiguous()  # (h, w, B, D)
        kernel = weight.permute(2, 3, 0, 1)
        of_weight = torch.zeros_like(weight)
        of_kernel = of_weight.permute(2, 3, 0, 1)
        of_inside = torch.zeros_like(inside)
        for row, column, out, into in _regions(height, width):
            g = above[out].reshape(-1, weight.shape[0])
            part = inside[into]
            of_inside[into] += (g @ kernel[row, column]).view(*part.shape)
            torch.mm(g.t(), part.reshape(-1, channels), out=of_kernel[row, column])
        back = of_inside.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)
        return back, of_weight


class FastConv2d(nn.Conv2d):
    """A convolution that is a sum of matrix products where maps are tiny and channels many."""

    def forward(self, x: Tensor) -> Tensor:
        if self._tiny(x):
            return _TinyConvolution.apply(x, self.weight)
        return super().forward(x)

    def _tiny(self, x: Tensor) -> bool:
        return (
            self.kernel_size == (3, 3)
            and self.stride == self.padding == self.dilation == (1, 1)
            and self.groups == 1
            and self.bias is None
            and self.padding_mode == "zeros"
            and max(x.shape[-2:]) <= (TINY if self.in_channels >= DEEP else 1)
            and x.dtype == self.weight.dtype
            and not torch.is_autocast_enabled(x.device.type)
        )


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


FASTER: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: FastConv2d,
    BasicBlock: FastBasicBlock,
    CollaborativeBlock: FastCollaborativeBlock,
}
