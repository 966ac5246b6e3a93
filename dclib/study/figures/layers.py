"""What a module computes, read from the module itself: its layers in words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.resnet import BasicBlock

Shape = tuple[int, ...]

FOLLOWERS = {_BatchNorm: "BN", nn.ReLU: "ReLU"}  # in the paper's abbreviations


@dataclass(frozen=True)
class Step:
    """A layer, the lines that describe it, and what follows it without weights to speak of."""

    title: str
    lines: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()

    @property
    def text(self) -> tuple[str, ...]:
        """All lines below the title."""
        return (*self.lines, " · ".join(self.followers)) if self.followers else self.lines


@dataclass(frozen=True)
class Residual:
    """Steps whose result is added to their input, which takes a shortcut of its own steps."""

    steps: tuple[Step, ...]
    shortcut: tuple[Step, ...]


def parts(module: nn.Module) -> list[Step | Residual]:
    """What a module computes, in order; its layers must stand in the order of their use."""
    found: list[Step | Residual] = []
    for layer in _layers(module):
        last = found[-1] if found else None
        name = next((name for kind, name in FOLLOWERS.items() if isinstance(layer, kind)), None)
        if isinstance(layer, BasicBlock):
            main = nn.Sequential(layer.conv1, layer.bn1, layer.relu, layer.conv2, layer.bn2)
            shortcut = steps(layer.downsample) if layer.downsample else []
            found.append(Residual(tuple(steps(main)), tuple(shortcut)))
        elif name and isinstance(last, Step):
            found[-1] = replace(last, followers=(*last.followers, name))
        else:
            found.append(_step(layer))
    return found


def steps(module: nn.Module) -> list[Step]:
    """The same for a module without residual blocks."""
    return [part for part in parts(module) if isinstance(part, Step)]


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, BasicBlock) or not list(module.children()):
        yield module
    else:
        for child in module.children():
            yield from _layers(child)


def _step(layer: nn.Module) -> Step:
    if isinstance(layer, nn.Linear):
        return Step("FC", (f"{layer.in_features} → {layer.out_features}",))
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d):
        return Step(type(layer).__name__)
    kernel, stride = layer.kernel_size, layer.stride
    size = "×".join(map(str, (kernel, kernel) if isinstance(kernel, int) else kernel))
    most = stride if isinstance(stride, int) else max(stride)
    strides = (f"stride {most}",) if most > 1 else ()
    if isinstance(layer, nn.Conv2d):
        return Step(f"Conv {size}", (f"{layer.in_channels} → {layer.out_channels}", *strides))
    return Step("MaxPool", (size, *strides))


def by(shape: Shape) -> str:
    """A shape in words: maps, height, width."""
    return " × ".join(map(str, shape))
