"""Columns side by side: equal layers of all columns as one, on maps (B, T C, h, w).

Where networks are small, a step is spent on starting operations rather than on arithmetic, and T
columns as T groups of one network start fewer by a factor of T. Parameters stay those of the
columns: each is a part of a larger tensor, and gets its part of the gradient.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from dclib.block import CollaborativeBlock
from dclib.fast import small_maps
from dclib.fast.alike import begin_with_weights, check, used_twice, watched
from dclib.fast.blocks import FastCollaborativeBlock
from dclib.fast.ways import Ways, plain, usual
from dclib.network import Apart, Network, SingleFirst

SMALL = 8  # sides of maps, in pixels, up to which single precision is computed together on a CPU

Layer = Callable[[Tensor], Tensor]


class Together:
    """Parameters of equal shape (D, ...) as parts of the one (T D, ...) that is computed with."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts = parts
        self.whole = torch.cat([part.detach() for part in parts]).requires_grad_()
        for part, place in zip(parts, self.whole.detach().chunk(len(parts)), strict=True):
            part.data = place
        self.whole.register_post_accumulate_grad_hook(self.hand_out)

    def hand_out(self, whole: Tensor) -> None:
        """Give each parameter its part of the gradient."""
        assert whole.grad is not None
        for part, gradient in zip(self.parts, whole.grad.chunk(len(self.parts)), strict=True):
            part.grad = gradient if part.grad is None else part.grad + gradient
        whole.grad = None


def _buffers_together(layers: Sequence[nn.Module], name: str) -> Tensor:
    whole = torch.stack([getattr(layer, name) for layer in layers])
    for layer, place in zip(layers, whole, strict=True):
        setattr(layer, name, place)
    return whole.flatten()


def stack(layers: Sequence[nn.Module], ways: Ways | None = None) -> Layer:
    """What T equal layers compute, one for each column, on stacked maps.

    Args:
        layers: one of each column.
        ways: of convolutions, where they were measured.

    Raises:
        ValueError: layers that differ or that cannot be stacked.
    """
    first = layers[0]
    check(layers)
    if isinstance(first, nn.Sequential):
        same = zip(*cast(Sequence[nn.Sequential], layers), strict=True)
        inner = [stack(one, ways) for one in same]
        return lambda x: _in_turn(inner, x)
    if isinstance(first, BasicBlock):
        return _residual(cast(Sequence[BasicBlock], layers), ways)
    if isinstance(first, nn.Conv2d):
        return _convolution(cast(Sequence[nn.Conv2d], layers), ways)
    if isinstance(first, nn.BatchNorm2d):
        return _norm(cast(Sequence[nn.BatchNorm2d], layers))
    return cast(Layer, first)


def _in_turn(layers: Sequence[Layer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _convolution(layers: Sequence[nn.Conv2d], ways: Ways | None) -> Layer:
    one, tasks = layers[0], len(layers)
    weight = Together([layer.weight for layer in layers])
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = Together(biases) if biases else None
    settings: dict[str, Any] = {
        "stride": one.stride,
        "padding": one.padding,
        "dilation": one.dilation,
    }
    stride = one.stride[0]
    if ways is not None and usual(one):
        return lambda x: ways.convolve(
            x, weight.whole, 1 if x.shape[1] == one.in_channels else tasks, stride
        )
    simple = one.kernel_size == (3, 3) and one.padding == one.dilation == (1, 1)
    simple = simple and one.stride in ((1, 1), (2, 2)) and bias is None

    def convolve(x: Tensor) -> Tensor:
        groups = 1 if x.shape[1] == one.in_channels else tasks  # all columns read one image
        if simple and groups == tasks and small_maps.tiny(x, one.out_channels, stride):
            kind = torch.get_autocast_dtype(x.device.type) if _mixed(x) else x.dtype
            return small_maps.convolve(x.to(kind), weight.whole.to(kind), tasks, stride)
        return functional.conv2d(
            x, weight.whole, None if bias is None else bias.whole, groups=groups, **settings
        )

    return convolve


def _mixed(x: Tensor) -> bool:
    return torch.is_autocast_enabled(x.device.type)


def _large(x: Tensor) -> bool:
    """Whether columns with such maps are computed apart."""
    return x.device.type == "cpu" and not _mixed(x) and max(x.shape[-2:]) > SMALL


def _norm(layers: Sequence[nn.BatchNorm2d]) -> Layer:
    one = layers[0]
    weight = Together([layer.weight for layer in layers])
    bias = Together([layer.bias for layer in layers])
    mean, variance, batches = (
        _buffers_together(layers, name)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    )

    def normalise(x: Tensor) -> Tensor:
        if one.training:
            batches.add_(1)
        return functional.batch_norm(
            x, mean, variance, weight.whole, bias.whole, one.training, one.momentum or 0.0, one.eps
        )

    return normalise


def _residual(layers: Sequence[BasicBlock], ways: Ways | None) -> Layer:
    conv1, bn1, conv2, bn2 = (
        stack([getattr(layer, name) for layer in layers], ways)
        for name in ("conv1", "bn1", "conv2", "bn2")
    )
    shortcuts = [layer.downsample for layer in layers if layer.downsample is not None]
    if len(shortcuts) not in (0, len(layers)):
        raise ValueError("columns differ")
    shortcut = stack(shortcuts, ways) if shortcuts else None

    def compute(x: Tensor) -> Tensor:
        y = functional.relu_(bn1(conv1(x)))
        y = bn2(conv2(y))
        return functional.relu_(y.add_(x if shortcut is None else shortcut(x)))

    return compute


def collaborate(block: CollaborativeBlock, ways: Ways | None = None) -> Layer:
    """A collaborative block on stacked maps (B, T C, h, w), which are its concatenation already.

    The first convolution of F_t, on [x_t, z], is the sum of one on x_t and one on z.

    Raises:
        ValueError: columns with different channels, or aggregations that differ.
    """
    if len(set(block.channels)) > 1:
        raise ValueError("columns differ in channels")
    own, tasks = block.channels[0], len(block.channels)
    parts = cast(Sequence[nn.Sequential], block.specific)
    check(parts)
    weight = Together([cast(nn.Conv2d, part[0]).weight for part in parts])
    norm1, norm2 = (stack([part[k] for part in parts]) for k in (1, 4))
    convolve = stack([part[3] for part in parts], ways)
    mix = plain if ways is None else ways.convolve

    def compute(x: Tensor) -> Tensor:
        z = block.central(x)
        y = mix(x, weight.whole[:, :own], tasks, 1)
        y.add_(mix(z, weight.whole[:, own:], 1, 1))
        y = convolve(functional.relu_(norm1(y)))
        y = norm2(y).add_(x)
        return functional.relu_(y) if block.outer_relu else y

    return compute


def mix(mixer: nn.Module, tasks: int, ways: Ways | None = None) -> Layer:
    """Any mixer on stacked maps."""
    if not watched(mixer):
        if type(mixer) is Apart:
            return lambda x: x
        if type(mixer) is FastCollaborativeBlock:
            with suppress(ValueError):
                return collaborate(mixer, ways)
    return lambda x: torch.cat(mixer(list(x.chunk(tasks, dim=1))), dim=1)


class StackedNetwork(Network):
    """A network of equal columns whose layers are computed together.

    While maps are large, a CPU computes them apart: maps of one column fit into its cache, of all
    they do not. Mixed precision converts each weight anew in every step, and pays to start with.
    """

    steps: list[tuple[Layer, Layer]]
    together: Collection[int] | None  # depths; None for those of small maps
    place: int  # in memory, of the first parameter

    def depths(self, images: Tensor) -> Iterator[list[Tensor]]:
        here = torch.compiler.is_compiling() or _place(self) == self.place
        if not here:  # it would compute with the numbers of before
            raise RuntimeError(
                "a stacked network was copied, moved or converted: give it forms again, by"
                " dclib.fast.apply"
            )
        maps: list[Tensor] = [images] * len(self.columns)
        x: Tensor | None = images  # which all columns read
        columns = zip(*cast(Sequence[nn.ModuleList], self.columns), strict=True)
        numbered = enumerate(zip(columns, self.joins(), self.steps, strict=True))
        for depth, (same, mixer, (blocks, mix)) in numbered:
            if _large(maps[0]) if self.together is None else depth not in self.together:
                maps, x = [block(one) for block, one in zip(same, maps, strict=True)], None
                maps = mixer(maps)
            else:
                x = blocks(torch.cat(maps, dim=1) if x is None else x)  # (B, T C, h, w)
                x = x if type(mixer) is Apart else mix(x)
                maps = list(x.chunk(len(self.columns), dim=1))
            yield maps


def _place(net: Network) -> int:
    return next(net.columns.parameters()).untyped_storage()._cdata


class StackedSingleFirst(SingleFirst, StackedNetwork):
    """The same of columns that are trained apart before they are joined."""


STACKED: dict[type[nn.Module], type[StackedNetwork]] = {
    Network: StackedNetwork,
    SingleFirst: StackedSingleFirst,
}


def stack_columns(
    net: nn.Module, ways: Ways | None = None, together: Collection[int] | None = None
) -> bool:
    """Let a network compute its columns together; False, and nothing done, where they differ.

    Args:
        net: in fast or in measured forms.
        ways: of convolutions, where they were measured.
        together: the depths that are computed so; by default those of small maps.
    """
    if type(net) not in STACKED or len(cast(Network, net).columns) < 2:
        return False
    stacked = cast(StackedNetwork, net)
    try:
        same = list(zip(*cast(Sequence[nn.ModuleList], stacked.columns), strict=True))
        for blocks in same:
            check(blocks)
    except ValueError:
        return False
    if not begin_with_weights(same[0][0]) or used_twice(net):
        return False
    stacked.steps = [
        (stack(blocks, ways), mix(mixer, len(stacked.columns), ways))
        for blocks, mixer in zip(same, stacked.mixers, strict=True)
    ]
    stacked.together, stacked.place = together, _place(stacked)
    stacked.__class__ = STACKED[type(net)]
    return True


def unstack(net: nn.Module) -> None:
    """Let a network compute its columns apart again; their numbers stay what they are."""
    for kind, stacked in STACKED.items():
        if type(net) is stacked:
            del net.steps, net.together, net.place
            net.__class__ = kind  # type: ignore[assignment]
