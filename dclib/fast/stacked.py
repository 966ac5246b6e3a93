"""Columns side by side: equal layers of all columns as one, on maps (B, T C, h, w).

Where networks are small, a step is spent on starting operations rather than on arithmetic, and T
columns as T groups of one network start fewer by a factor of T. Parameters stay those of the
columns: each is a part of a larger tensor, and gets its part of the gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from dclib.block import CollaborativeBlock
from dclib.columns import Apart, Network
from dclib.fast import tiny

SMALL = 8  # sides of maps, in pixels, up to which single precision is computed together on a CPU

Layer = Callable[[Tensor], Tensor]
WITHOUT_WEIGHTS = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Identity)


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


def stack(layers: Sequence[nn.Module]) -> Layer:
    """What T equal layers compute, one for each column, on stacked maps.

    Raises:
        ValueError: layers that differ or that cannot be stacked.
    """
    first = layers[0]
    if len({type(layer) for layer in layers}) > 1:
        raise ValueError("columns differ")
    if isinstance(first, nn.Sequential):
        inner = [stack(same) for same in zip(*cast(Sequence[nn.Sequential], layers), strict=True)]
        return lambda x: _in_turn(inner, x)
    if isinstance(first, BasicBlock):
        return _residual(cast(Sequence[BasicBlock], layers))
    if isinstance(first, nn.Conv2d) and first.groups == 1 and first.padding_mode == "zeros":
        return _convolution(cast(Sequence[nn.Conv2d], layers))
    if isinstance(first, nn.BatchNorm2d):
        return _norm(cast(Sequence[nn.BatchNorm2d], layers))
    if isinstance(first, WITHOUT_WEIGHTS):
        return first
    raise ValueError(f"{type(first).__name__} cannot be stacked")


def _in_turn(layers: Sequence[Layer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _convolution(layers: Sequence[nn.Conv2d]) -> Layer:
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
    usual = one.kernel_size == (3, 3) and one.padding == one.dilation == (1, 1)
    usual = usual and one.stride in ((1, 1), (2, 2)) and bias is None

    def convolve(x: Tensor) -> Tensor:
        groups = 1 if x.shape[1] == one.in_channels else tasks  # all columns read one image
        if usual and groups == tasks and tiny.tiny(x, one.out_channels, stride):
            kind = torch.get_autocast_dtype(x.device.type) if _mixed(x) else x.dtype
            return tiny.convolve(x.to(kind), weight.whole.to(kind), tasks, stride)
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


def _residual(layers: Sequence[BasicBlock]) -> Layer:
    conv1, bn1, conv2, bn2 = (
        stack([getattr(layer, name) for layer in layers])
        for name in ("conv1", "bn1", "conv2", "bn2")
    )
    shortcuts = [layer.downsample for layer in layers if layer.downsample is not None]
    shortcut = stack(shortcuts) if shortcuts else None

    def compute(x: Tensor) -> Tensor:
        y = functional.relu_(bn1(conv1(x)))
        y = bn2(conv2(y))
        return functional.relu_(y.add_(x if shortcut is None else shortcut(x)))

    return compute


def collaborate(block: CollaborativeBlock) -> Layer:
    """A collaborative block on stacked maps (B, T C, h, w), which are its concatenation already.

    The first convolution of F_t, on [x_t, z], is the sum of one on x_t and one on z.

    Raises:
        ValueError: columns with different channels.
    """
    if len(set(block.channels)) > 1:
        raise ValueError("columns differ in channels")
    own, tasks = block.channels[0], len(block.channels)
    parts = cast(Sequence[nn.Sequential], block.specific)
    weight = Together([cast(nn.Conv2d, part[0]).weight for part in parts])
    norm1, norm2 = (stack([part[k] for part in parts]) for k in (1, 4))
    convolve = stack([part[3] for part in parts])

    def compute(x: Tensor) -> Tensor:
        z = block.central(x)
        y = functional.conv2d(x, weight.whole[:, :own], groups=tasks)
        y.add_(functional.conv2d(z, weight.whole[:, own:]))
        y = convolve(functional.relu_(norm1(y)))
        y = norm2(y).add_(x)
        return functional.relu_(y) if block.outer_relu else y

    return compute


def mix(mixer: nn.Module, tasks: int) -> Layer:
    """Any mixer on stacked maps."""
    if isinstance(mixer, Apart):
        return lambda x: x
    if isinstance(mixer, CollaborativeBlock):
        return collaborate(mixer)
    return lambda x: torch.cat(mixer(list(x.chunk(tasks, dim=1))), dim=1)


class StackedNetwork(Network):
    """A network of equal columns whose layers are computed together.

    While maps are large, a CPU computes them apart: maps of one column fit into its cache, of all
    they do not. Mixed precision converts each weight anew in every step, and pays to start with.
    """

    steps: list[tuple[Layer, Layer]]

    def depths(self, images: Tensor) -> Iterator[list[Tensor]]:
        maps: list[Tensor] = [images] * len(self.columns)
        x: Tensor | None = images  # which all columns read
        columns = zip(*cast(Sequence[nn.ModuleList], self.columns), strict=True)
        for same, mixer, (blocks, mix) in zip(columns, self.mixers, self.steps, strict=True):
            if _large(maps[0]):
                maps, x = [block(one) for block, one in zip(same, maps, strict=True)], None
                maps = mixer(maps) if self.joined else maps
            else:
                x = blocks(torch.cat(maps, dim=1) if x is None else x)  # (B, T C, h, w)
                x = mix(x) if self.joined else x
                maps = list(x.chunk(len(self.columns), dim=1))
            yield maps


def stack_columns(net: nn.Module) -> bool:
    """Let a network compute its columns together; False where it has but one, or they differ."""
    if type(net) is not Network or len(net.columns) < 2:
        return False
    blocks = zip(*cast(Sequence[nn.ModuleList], net.columns), strict=True)
    try:
        steps = [
            (stack(same), mix(mixer, len(net.columns)))
            for same, mixer in zip(blocks, net.mixers, strict=True)
        ]
    except ValueError:
        return False
    stacked = cast(StackedNetwork, net)
    stacked.__class__ = StackedNetwork
    stacked.steps = steps
    return True
