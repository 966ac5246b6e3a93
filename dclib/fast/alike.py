"""Whether columns may be computed together: what has to be the same, and nobody may be watching."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock

from dclib.fast.blocks import FastBasicBlock
from dclib.fast.ways import FastConv2d

WITHOUT_WEIGHTS = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Identity)
CONVOLUTIONS = (nn.Conv2d, FastConv2d)
STACKABLE = (nn.Sequential, FastBasicBlock, nn.BatchNorm2d, *CONVOLUTIONS, *WITHOUT_WEIGHTS)


def check(layers: Sequence[nn.Module]) -> None:
    """Whether T layers, one of each column, differ in nothing but their numbers.

    Raises:
        ValueError: they do, or they are of a kind that cannot be stacked.
    """
    first = layers[0]
    if type(first) not in STACKABLE:
        raise ValueError(f"{type(first).__name__} cannot be stacked")
    if any(_about(layer) != _about(first) for layer in layers):
        raise ValueError("columns differ")
    if any(watched(layer) for layer in layers):
        raise ValueError("what watches a layer would not see it")
    if isinstance(first, nn.Conv2d) and (first.groups > 1 or first.padding_mode != "zeros"):
        raise ValueError("convolutions of this kind cannot be stacked")
    if isinstance(first, nn.BatchNorm2d) and (
        not (first.affine and first.track_running_stats) or first.momentum is None
    ):
        raise ValueError("BatchNorms of this kind cannot be stacked")
    if isinstance(first, BasicBlock) and type(first.relu) is not nn.ReLU:
        raise ValueError("blocks without a ReLU cannot be stacked")
    for same in zip(*(filter(None, layer._modules.values()) for layer in layers), strict=True):
        check(same)


def _about(layer: nn.Module) -> tuple[Any, ...]:
    """All of a layer itself that its numbers do not tell."""
    settings = {name: value for name, value in vars(layer).items() if name[0] != "_"}
    numbers = {**layer._parameters, **layer._buffers}
    kinds = {n: t is not None and (t.shape, t.dtype, t.device) for n, t in numbers.items()}
    return type(layer), settings, kinds, [n for n, m in layer._modules.items() if m]


def watched(layer: nn.Module) -> bool:
    """Whether somebody hooked on to a layer, or trains its parameters in another way."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    own = [p for p in layer._parameters.values() if p is not None]
    return any(getattr(layer, kind) for kind in kinds) or any(
        not p.requires_grad or p._backward_hooks or p._post_accumulate_grad_hooks for p in own
    )


def begin_with_weights(block: nn.Module) -> bool:
    """Whether the first layer makes maps of each column's own of the images that all read."""
    while type(block) in (nn.Sequential, FastBasicBlock):
        inner = [layer for layer in block.children() if type(layer) not in WITHOUT_WEIGHTS]
        if type(block) is FastBasicBlock and block.downsample is None:
            return False
        if not inner:
            return False
        block = inner[0]
    return type(block) in CONVOLUTIONS


def used_twice(net: nn.Module) -> bool:
    """Whether two layers share numbers, or one layer is in two places."""
    numbers = [
        *(t for _, t in net.named_parameters(remove_duplicate=False)),
        *(t for _, t in net.named_buffers(remove_duplicate=False)),
    ]
    return len({id(t) for t in numbers}) < len(numbers)
