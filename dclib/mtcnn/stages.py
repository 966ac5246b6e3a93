"""The networks of MTCNN's stages, as they are and as columns joined by collaborative blocks.

Layers and their numbers of channels are those of Zhang et al., "Joint face detection and alignment
using multitask cascaded convolutional networks", 2016: no padding, and a PReLU behind every
convolution and hidden layer. As in the code that the paper built on, DFace, there is no dropout,
and pooling rounds the size of maps down; the original's rounds it up.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from dclib.block import CollaborativeBlock
from dclib.network import Apart, Network, count_parameters
from dclib.tasks import Task

SIZES = {"P": 12, "R": 24, "O": 48}  # side of the crops, in pixels
TASKS = {"P": ("face", "box"), "R": ("face", "box"), "O": ("face", "box", "landmarks")}
OUTPUTS = {"face": 2, "box": 4, "landmarks": 10}
METHODS = ("MTCNN", "MTCNNx", "DC-MTCNN")
POOLING = ("floor", "ceil")


class Layout(NamedTuple):
    """The layers of a stage."""

    kernels: tuple[int, ...]  # side of each convolution's kernel
    channels: tuple[int, ...]  # feature maps that each makes
    pools: tuple[int, ...]  # side of the pooling behind each, with stride 2; 0: none
    hidden: int  # width of the fully connected layer; 0 in P, which is convolutional throughout


LAYOUTS = {
    "P": Layout((3, 3, 3), (10, 16, 32), (2, 0, 0), 0),
    "R": Layout((3, 3, 2), (28, 48, 64), (3, 3, 0), 128),
    "O": Layout((3, 3, 3, 2), (32, 64, 64, 128), (3, 3, 2, 0), 256),
}


@dataclass(frozen=True)
class Output:
    """What a head says: two logits (no face, face), four offsets of the box, or five points.

    Offsets are those of `dclib.mtcnn.boxes`; points (5, 2), x before y, are shares of the square.
    """

    name: str

    @property
    def outputs(self) -> int:
        return OUTPUTS[self.name]

    def shape(self, values: Tensor) -> Tensor:
        return values.unflatten(1, (5, 2)) if self.name == "landmarks" else values


class Stage(Network):
    """One stage of the cascade.

    Args:
        name: "P", "R" or "O".
        columns: how many; a single one is shared by all tasks, one per task are joined by
            collaborative blocks behind every convolution and its pooling.
        width, pooling, kernel: as for `build`.
    """

    def __init__(self, name: str, columns: int, width: float, pooling: str, kernel: int) -> None:
        layout = LAYOUTS[name]
        channels = [_scaled(width, count) for count in layout.channels]
        hidden = _scaled(width, layout.hidden) if layout.hidden else 0
        self.convolutional = not hidden
        tasks = [cast(Task, Output(task)) for task in TASKS[name]]  # only what it has is used
        series, sides = zip(
            *(_convolutions(layout, channels, pooling, SIZES[name]) for _ in range(columns)),
            strict=True,
        )
        super().__init__(
            tasks,
            series,
            [channels] * columns,
            Apart if columns == 1 else partial(CollaborativeBlock, kernel=kernel),
            features=[hidden or channels[-1]] * len(tasks),
        )
        self.name, self.size = name, SIZES[name]
        self.local = columns == 1 or kernel == 1  # nothing is padded anywhere
        incoming = channels[-1] * sides[0] ** 2
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Flatten(), nn.Linear(incoming, hidden), nn.PReLU(hidden))
            if hidden
            else nn.Identity()
            for _ in range(columns)
        )
        for part in (self.columns, self.hidden, self.heads):
            part.apply(_initialise)

    def make_head(self, features: int, outputs: int) -> nn.Module:
        """A linear layer; in P one for each place of the maps."""
        if self.convolutional:
            return nn.Conv2d(features, outputs, kernel_size=1)
        return nn.Linear(features, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """What each head gets: its column's hidden layer (B, hidden), or P's maps (B, C, h, w)."""
        found = [layer(x) for layer, x in zip(self.hidden, self.last_maps(images), strict=True)]
        return [found[column] for column in self.column_of]

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """P on normalised images of any size: {task: maps (B, outputs, h, w)}.

        Row y and column x are about the square whose corner is 2 y pixels down and 2 x right.
        """
        return super().forward(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised crops (B, 3, size, size) to "face" (B, 2), "box" (B, 4) and in O "landmarks".

        Those are (B, 5, 2). P also takes larger images, and then gives the maps of `maps`.
        """
        found = super().forward(images)
        single = self.convolutional and images.shape[-2:] == (self.size, self.size)
        return {task: x.flatten(1) for task, x in found.items()} if single else found


def _scaled(width: float, count: int) -> int:
    return max(2, round(width * count))  # two columns of two make the four maps that blocks need


def _convolutions(
    layout: Layout, channels: list[int], pooling: str, side: int
) -> tuple[nn.ModuleList, int]:
    """The convolutions of a column, each with its PReLU and pooling, and the side of its maps."""
    blocks, before = nn.ModuleList(), 3
    for kernel, after, pool in zip(layout.kernels, channels, layout.pools, strict=True):
        layers: list[nn.Module] = [nn.Conv2d(before, after, kernel), nn.PReLU(after)]
        side, before = side - kernel + 1, after
        if pool:
            layers.append(nn.MaxPool2d(pool, stride=2, ceil_mode=pooling == "ceil"))
            side = (side - pool + (pooling == "ceil")) // 2 + 1
        blocks.append(nn.Sequential(*layers))
    return blocks, side


def _initialise(layer: nn.Module) -> None:
    """As in DFace: no BatchNorm keeps the layers of a column from fading away."""
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.constant_(cast(Tensor, layer.bias), 0.1)


def build(
    stage: str, method: str, *, width: float = 1.0, pooling: str = "floor", kernel: int = 1
) -> Stage:
    """Make one stage of a cascade.

    Args:
        stage: "P", "R" or "O".
        method: "MTCNN", one column that all tasks share; "DC-MTCNN", a column for each task, joined
            by collaborative blocks; "MTCNNx", the one column, widened until the stage has as many
            parameters as in DC-MTCNN at this width.
        width: multiplies all feature maps and the hidden layer.
        pooling: how the size of maps is rounded: "floor" (DFace) or "ceil" (the original).
        kernel: of the second convolutions of P's blocks, which are 3 x 3 everywhere else. P is
            trained on 12-pixel crops, at whose border 3 x 3 kernels see zeros, and used on whole
            photos, where they would see what is there: with 1 x 1 both are the same.

    Raises:
        ValueError: an unknown name, or a width that is not above 0.
    """
    for word, value, known in (
        ("stage", stage, tuple(SIZES)),
        ("method", method, METHODS),
        ("pooling", pooling, POOLING),
    ):
        if value not in known:
            raise ValueError(f"{word} {value!r} is unknown; choose from {list(known)}")
    if not width > 0:
        raise ValueError(f"width={width}: give a number above 0")
    kernel = kernel if stage == "P" else 3
    if method == "DC-MTCNN":
        return Stage(stage, len(TASKS[stage]), width, pooling, kernel)
    if method == "MTCNNx":
        width = matched_width(stage, width, pooling, kernel)
    return Stage(stage, 1, width, pooling, kernel)


@lru_cache(maxsize=64)
def matched_width(stage: str, width: float, pooling: str = "floor", kernel: int = 1) -> float:
    """The width of MTCNNx: where one column has as many parameters as DC-MTCNN has at `width`.

    Raises:
        ValueError: more than 2 % of difference remain, since layers have whole channels.
    """

    def size(columns: int, at: float) -> int:
        with torch.device("meta"):  # counting needs no memory for the weights
            return count_parameters(Stage(stage, columns, at, pooling, kernel))

    target = size(len(TASKS[stage]), width)
    low, high = width, 8 * width
    while high - low > 1e-4 * width:
        middle = (low + high) / 2
        low, high = (middle, high) if size(1, middle) < target else (low, middle)
    best = min((low, high), key=lambda at: abs(size(1, at) - target))
    if abs(size(1, best) / target - 1) > 0.02:
        raise ValueError(
            f"stage {stage} cannot be widened to the {target:,} parameters of DC-MTCNN at width"
            f" {width:g}: {100 * (size(1, best) / target - 1):+.1f} % remain"
        )
    return best


def parameters(method: str, **settings: Any) -> dict[str, int]:
    """How many trained parameters each stage has; arguments and errors as for `build`."""
    with torch.device("meta"):
        return {stage: count_parameters(build(stage, method, **settings)) for stage in SIZES}


def normalise(pixels: Tensor) -> Tensor:
    """Values of a photo, from 0 to 255, to those that the stages take, about -1 to 1."""
    return (pixels - 127.5) / 128
