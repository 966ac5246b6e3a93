"""Underlying networks, each as a series of blocks (section 3 of the paper)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision import models
from torchvision.models import AlexNet, Inception3, ResNet, get_model, list_models
from torchvision.models.resnet import BasicBlock

from dclib.pretrained import state
from dclib.splitting.proof import unshared
from dclib.splitting.series import shapes, split
from dclib.splitting.watching import private


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
        # as torchvision starts its ResNets; where there are no values, drawing them takes long
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
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


# TCDCN: four convolutions on small grey images; the maps are 18, 8, 3 and 2 pixels wide after them.

TCDCN_CHANNELS, TCDCN_SIDE = (16, 48, 64, 64), 40  # feature maps at width 1; pixels of the input


class SmallGrey(nn.Module):
    """Colour images of any size (B, 3, H, W) to grey ones of 40 px (B, 1, 40, 40)."""

    def forward(self, images: Tensor) -> Tensor:
        red, green, blue = images.split(1, dim=1)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue  # luma of ITU-R BT.601
        size = (TCDCN_SIDE, TCDCN_SIDE)
        return interpolate(grey, size, mode="bilinear", align_corners=False, antialias=True)


class AbsoluteTanh(nn.Module):
    """The absolute value of tanh, the paper's activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh().abs()


def _tcdcn(width: float) -> nn.ModuleList:
    c1, c2, c3, c4 = (scaled(c, width) for c in TCDCN_CHANNELS)
    return nn.ModuleList(
        [
            nn.Sequential(SmallGrey(), nn.Conv2d(1, c1, 5), AbsoluteTanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(c1, c2, 3), AbsoluteTanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(c2, c3, 3), AbsoluteTanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(c3, c4, 2), AbsoluteTanh()),
        ]
    )


def _cut_tcdcn(model: nn.Module) -> nn.ModuleList:
    raise ValueError("TCDCN has no pre-trained weights: use pretrained=False")


UNDERLYING = {
    "resnet18": Underlying("ResNet18", (64, 64, 128, 256, 512), _resnet18, _cut_resnet18, 1),
    "alexnet": Underlying("AlexNet", (64, 192, 256), _alexnet, _cut_alexnet, 63),
    "tcdcn": Underlying("TCDCN", TCDCN_CHANNELS, _tcdcn, _cut_tcdcn, 1),
}


# What else may be underlying: torchvision's networks by name, modules, functions that make them.

CNN = str | nn.Module | Callable[[], nn.Module]
WIDEST, LARGEST = 100, 10_000  # width and pixels, beyond which memory is not even asked for
DEFAULT = 224  # pixels: the size of images at which networks are cut, unless they are given theirs
AUXILIARY = ("googlenet", "inception_v3")  # these have classifiers half way up, which are left out


def title(network: CNN) -> str:
    """A name for messages."""
    if isinstance(network, str):
        return network
    return getattr(network, "__name__", type(network).__name__)


def by_name(name: str, pretrained: str | bool = False) -> nn.Module:
    """A classification network of torchvision, its weights drawn anew.

    Raises:
        ValueError: torchvision has none of this name.
    """
    known = list_models(module=models)
    if name not in known:
        raise ValueError(
            f"underlying network {name!r} is unknown; choose from {list(UNDERLYING)}, one of"
            f" torchvision's networks ({', '.join(known[:3])}, ...), or give an nn.Module"
        )
    extra = {}
    if name in AUXILIARY:
        official = pretrained == "imagenet"  # whose weights expect images normalised otherwise
        extra = {"aux_logits": False, "init_weights": True, "transform_input": official}
    return get_model(name, weights=None, **extra)


def _cut(model: nn.Module) -> nn.ModuleList:
    if isinstance(model, Inception3):
        model.AuxLogits, model.aux_logits = None, False
    return split(model, check=False).blocks


def _make(network: CNN, pretrained: str | bool, resolution: int) -> nn.ModuleList:
    if isinstance(network, str):  # cut at one resolution, so that weights always fit
        return _cut(by_name(network, pretrained))
    made = private(network)[0] if isinstance(network, nn.Module) else network()
    if not isinstance(made, nn.Module):
        raise ValueError(f"{title(network)} must make an nn.Module, not {type(made).__name__}")
    return unshared(split(made, resolution).blocks, resolution)


def blocks(
    network: CNN,
    width: float = 1.0,
    pretrained: str | bool = False,
    resolution: int | None = None,
) -> nn.ModuleList:
    """One column: an underlying network as its series of blocks.

    Args:
        network: a key of `UNDERLYING`; any classification CNN of torchvision by name; a module, of
            which a copy is taken, so that columns start with its weights and thus identical; or a
            function that makes one, called for each column. All but the first are cut by
            `dclib.splitting.series.split`, which says how.
        width: multiplies every number of feature maps (at least 8 remain), for keys of
            `UNDERLYING` only.
        pretrained: start from "imagenet" or "tiny-imagenet" weights; by name only.
        resolution: the input side in pixels, checked if given.

    Raises:
        ValueError: unknown name, a width that is not positive or not to be had, pre-trained weights
            that do not exist, a network that cannot be split, or an input so small that a block
            would have no output.
    """
    if not 0 < width <= WIDEST:
        raise ValueError(f"width={width}: the width multiplier is positive, and {WIDEST} at most")
    if resolution is not None and not 0 < resolution <= LARGEST:
        raise ValueError(f"resolution={resolution}: give a number of pixels, {LARGEST} at most")
    if pretrained and not isinstance(network, str):
        raise ValueError(
            f"pretrained={pretrained!r} is for networks by name; {title(network)} has its own"
        )
    if isinstance(network, str) and network in UNDERLYING:
        underlying = UNDERLYING[network]
        if resolution is not None and resolution < underlying.smallest:
            raise ValueError(
                f"{underlying.title} needs inputs of at least {underlying.smallest} px,"
                f" not {resolution}"
            )
        made, cut = underlying.make(width), underlying.cut
    else:
        if width != 1:
            raise ValueError(
                f"{title(network)} has no width multiplier: width={width:g} is for"
                f" {list(UNDERLYING)} only"
            )
        made, cut = _make(network, pretrained, resolution or DEFAULT), _cut
        if resolution is not None:
            shapes(made, resolution, title(network))
    if pretrained:
        made.load_state_dict(state(str(network), width, str(pretrained), cut))
    return made


def columns(
    networks: Sequence[CNN],
    width: float = 1.0,
    pretrained: str | bool = False,
    resolution: int | None = None,
) -> list[nn.ModuleList]:
    """The `blocks` of each column; a network that comes again is not cut again."""
    made: list[nn.ModuleList] = []
    for network in networks:
        first = networks.index(network)
        own = isinstance(network, str) and network in UNDERLYING
        if first == len(made) or own or not isinstance(network, (str, nn.Module)):
            made.append(blocks(network, width, pretrained, resolution))
            continue
        again = cast(nn.ModuleList, private(made[first])[0])
        if isinstance(network, str) and not pretrained:  # other weights, by their names in it
            drawn = by_name(network, False).state_dict()
            again.load_state_dict({k: drawn[k.partition(".")[2]] for k in again.state_dict()})
        made.append(again)
    return made


def channels(network: CNN, width: float = 1.0) -> list[int]:
    """Feature maps after each block of an underlying network."""
    if isinstance(network, str) and network in UNDERLYING:
        return [scaled(c, width) for c in UNDERLYING[network].channels]
    with torch.random.fork_rng(devices=[]):  # what is drawn later stays the same
        made = blocks(network, width)
    return [c for c, _, _ in shapes(made, DEFAULT, title(network))]
