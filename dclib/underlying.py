"""Underlying networks, each as a series of blocks (section 3 of the paper)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.models import AlexNet, ResNet, get_model
from torchvision.models.resnet import BasicBlock


@dataclass(frozen=True)
class Underlying:
    """How to make one column.

    Attributes:
        title: the name in the paper's text.
        channels: feature maps after each block, at width 1.
        make: width -> the blocks, in order.
        cut: an official torchvision model -> the same blocks, for pre-trained weights.
        smallest: the least input side in pixels at which every block still has an output.
    """

    title: str
    channels: tuple[int, ...]
    make: Callable[[float], nn.ModuleList]
    cut: Callable[[nn.Module], nn.ModuleList]
    smallest: int


def scaled(channels: int, width: float) -> int:
    """Feature maps of a layer at a width multiplier: at least 8."""
    return max(8, round(width * channels))


# ResNet18: stem, then four stages of two residual blocks, as in Fig. 2.


def _residual_stage(incoming: int, channels: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or incoming != channels:
        shortcut = nn.Sequential(
            nn.Conv2d(incoming, channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(channels),
        )
    return nn.Sequential(
        BasicBlock(incoming, channels, stride, shortcut), BasicBlock(channels, channels)
    )


def _resnet18(width: float) -> nn.ModuleList:
    c1, c2, c3, c4 = (scaled(c, width) for c in (64, 128, 256, 512))
    stem = nn.Sequential(
        nn.Conv2d(3, c1, kernel_size=7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(c1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )
    blocks = nn.ModuleList(
        [
            stem,
            _residual_stage(c1, c1, 1),
            _residual_stage(c1, c2, 2),
            _residual_stage(c2, c3, 2),
            _residual_stage(c3, c4, 2),
        ]
    )
    for module in blocks.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision starts its ResNets
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return blocks


def _cut_resnet18(model: nn.Module) -> nn.ModuleList:
    assert isinstance(model, ResNet)
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    return nn.ModuleList([stem, model.layer1, model.layer2, model.layer3, model.layer4])


# AlexNet: the convolutional part, cut after each max-pooling (section 4.2).


def _alexnet(width: float) -> nn.ModuleList:
    c1, c2, c3, c4, c5 = (scaled(c, width) for c in (64, 192, 384, 256, 256))
    return nn.ModuleList(
        [
            nn.Sequential(
                nn.Conv2d(3, c1, kernel_size=11, stride=4, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(kernel_size=3, stride=2),
            ),
            nn.Sequential(
                nn.Conv2d(c1, c2, kernel_size=5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(kernel_size=3, stride=2),
            ),
            nn.Sequential(
                nn.Conv2d(c2, c3, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(c3, c4, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(c4, c5, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(kernel_size=3, stride=2),
            ),
        ]
    )


def _cut_alexnet(model: nn.Module) -> nn.ModuleList:
    assert isinstance(model, AlexNet)
    layers = list(model.features)
    return nn.ModuleList(nn.Sequential(*layers[a:b]) for a, b in ((0, 3), (3, 6), (6, 13)))


UNDERLYING = {
    "resnet18": Underlying("ResNet18", (64, 64, 128, 256, 512), _resnet18, _cut_resnet18, 1),
    "alexnet": Underlying("AlexNet", (64, 192, 256), _alexnet, _cut_alexnet, 63),
}


def blocks(
    name: str, width: float = 1.0, pretrained: bool = False, resolution: int | None = None
) -> nn.ModuleList:
    """One column: the underlying network `name` as its series of blocks.

    Args:
        name: a key of `UNDERLYING`.
        width: multiplies every number of feature maps (at least 8 remain).
        pretrained: start from torchvision's official ImageNet weights (width 1 only).
        resolution: the input side in pixels, checked if given.

    Raises:
        ValueError: unknown name, non-positive width, pre-trained weights at another width, or an
            input so small that a block would have no output.
    """
    if name not in UNDERLYING:
        raise ValueError(f"underlying network {name!r} is unknown; choose from {list(UNDERLYING)}")
    underlying = UNDERLYING[name]
    if not width > 0:
        raise ValueError(f"width={width}: the width multiplier must be positive")
    if resolution is not None and resolution < underlying.smallest:
        raise ValueError(
            f"{underlying.title} needs inputs of at least {underlying.smallest} px,"
            f" not {resolution}"
        )
    made = underlying.make(width)
    if pretrained:
        if width != 1.0:
            raise ValueError(
                f"pre-trained weights exist at width 1 only, not {width}: use pretrained=False"
            )
        official = get_model(name, weights="IMAGENET1K_V1")
        made.load_state_dict(underlying.cut(official).state_dict())
    return made


def channels(name: str, width: float = 1.0) -> list[int]:
    """Feature maps after each block of the underlying network `name`."""
    return [scaled(c, width) for c in UNDERLYING[name].channels]
