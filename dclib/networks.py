"""Every multi-column network from one loop, and the registry of methods by the paper's names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from dclib import underlying as underlying_networks
from dclib.block import CollaborativeBlock
from dclib.methods.cross_stitch import CrossStitch
from dclib.tasks import Task


def count_parameters(net: nn.Module) -> int:
    """Number of trained parameters (BatchNorm's running statistics are not among them)."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def head(channels: int, outputs: int) -> nn.Sequential:
    """What turns pooled features (B, channels) into logits (B, outputs).

    The hidden width, half of input and output together, is that of the authors' code.
    """
    hidden = (channels + outputs) // 2
    return nn.Sequential(
        nn.Linear(channels, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


class Apart(nn.Module):
    """The mixer of columns that share nothing at a depth."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return maps


class Network(nn.Module):
    """Columns run in step, joined by a mixer after every block, with one head per task.

    Args:
        tasks: what the heads predict, in order.
        columns: copies of the underlying network, each its series of blocks: one per task, or a
            single one that all heads share.
        mixers: one per depth, each from a list of feature maps to a list of feature maps.
        channels: feature maps of each column's last block.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        columns: Sequence[nn.ModuleList],
        mixers: Sequence[nn.Module],
        channels: Sequence[int],
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.columns = nn.ModuleList(columns)
        self.mixers = nn.ModuleList(mixers)
        shared = len(columns) == 1
        self.column_of = [0 if shared else t for t in range(len(tasks))]
        self.heads = nn.ModuleList(
            head(channels[column], task.outputs)
            for task, column in zip(tasks, self.column_of, strict=True)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised images (B, 3, R, R) to {task name: logits}; landmarks (B, L, 2, bins)."""
        maps = [images] * len(self.columns)
        columns = cast(Sequence[nn.ModuleList], self.columns)
        for blocks, mixer in zip(zip(*columns, strict=True), self.mixers, strict=True):
            maps = mixer([block(x) for block, x in zip(blocks, maps, strict=True)])
        pooled = [x.mean(dim=(2, 3)) for x in maps]  # (B, C) each
        return {
            task.name: task.shape(head(pooled[column]))
            for task, column, head in zip(self.tasks, self.column_of, self.heads, strict=True)
        }


@dataclass(frozen=True)
class Method:
    """How a method differs from the others.

    Attributes:
        title: one line for tables.
        mixer: channels of each column at a depth -> the module that joins them; None where all
            tasks share one column.
        main_only: trains the main task, the first, alone.
        widened: columns widened until the whole has as many parameters as DCNet.
        underlying: the one underlying network that the paper's name stands for, if it does.
        unit_rate: the mixers' weights learn at a multiple of the base rate, without weight decay.
    """

    title: str
    mixer: Callable[[Sequence[int]], nn.Module] | None = None
    main_only: bool = False
    widened: bool = False
    underlying: str | None = None
    unit_rate: bool = False


def _cross_stitch_per_layer(channels: Sequence[int]) -> CrossStitch:
    return CrossStitch(channels, per_channel=False)


METHODS = {
    "RN-S": Method("single task", main_only=True, underlying="resnet18"),
    "RN-Sx": Method("single task, widened", main_only=True, widened=True, underlying="resnet18"),
    "RN": Method("hard sharing", underlying="resnet18"),
    "RNx": Method("hard sharing, widened", widened=True, underlying="resnet18"),
    "AN-S": Method("single task", main_only=True, underlying="alexnet"),
    "AN-Sx": Method("single task, widened", main_only=True, widened=True, underlying="alexnet"),
    "AN": Method("hard sharing", underlying="alexnet"),
    "ANx": Method("hard sharing, widened", widened=True, underlying="alexnet"),
    "XS": Method("Cross-Stitch", CrossStitch, unit_rate=True),
    "XS-layer": Method("Cross-Stitch, per layer", _cross_stitch_per_layer, unit_rate=True),
    "XSx": Method("Cross-Stitch, widened", CrossStitch, widened=True, unit_rate=True),
    "DCNet": Method("Deep Collaboration", CollaborativeBlock),
}


def build(
    method: str,
    *,
    tasks: Sequence[Task],
    underlying: str | None = None,
    resolution: int = 112,
    width: float = 1.0,
    pretrained: bool = False,
) -> Network:
    """Make a network by the paper's name of its method.

    Args:
        method: a key of `METHODS`.
        tasks: the tasks, the main one first, e.g. `mtfl_tasks(resolution)`.
        underlying: the underlying network: what the method's name stands for, else "resnet18".
        resolution: side of the input in pixels.
        width: multiplies the feature maps of the underlying network; a widened method is widened
            until it has as many parameters as DCNet at this width.
        pretrained: columns start as identical copies of the official ImageNet weights.

    Raises:
        ValueError: unknown names, a method on an underlying network that its name excludes, or an
            argument out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    chosen = METHODS[method]
    underlying = underlying or chosen.underlying or "resnet18"
    if chosen.underlying not in (None, underlying):
        raise ValueError(
            f"{method} is the paper's name for {chosen.title} on {chosen.underlying}, not on"
            f" {underlying}"
        )
    if not tasks:
        raise ValueError("tasks is empty: a network needs at least one task")
    if chosen.widened:
        if pretrained:
            raise ValueError(f"{method} is widened, so pre-trained weights do not fit its columns")
        width, _ = matched_width(method, tuple(tasks), underlying, width)
    return _assemble(chosen, tasks, underlying, width, pretrained, resolution)


def _assemble(
    method: Method,
    tasks: Sequence[Task],
    underlying: str,
    width: float,
    pretrained: bool = False,
    resolution: int | None = None,
) -> Network:
    tasks = tasks[:1] if method.main_only else tasks
    count = len(tasks) if method.mixer else 1
    columns = [
        underlying_networks.blocks(underlying, width, pretrained, resolution) for _ in range(count)
    ]
    channels = underlying_networks.channels(underlying, width)
    mixers = [method.mixer([c] * count) if method.mixer else Apart() for c in channels]
    return Network(tasks, columns, mixers, [channels[-1]] * count)


@lru_cache(maxsize=256)
def matched_width(
    method: str, tasks: tuple[Task, ...], underlying: str, width: float
) -> tuple[float, float]:
    """The width at which `method` has as many parameters as DCNet has at `width`.

    Bisection between `width` and 8 times it; counting needs no memory for the weights.

    Returns:
        The width, and the relative difference that remains, since layers have whole channels.

    Raises:
        ValueError: when more than 2 % of difference remain.
    """

    def size(name: str, at: float) -> int:
        with torch.device("meta"):
            return count_parameters(_assemble(METHODS[name], tasks, underlying, at))

    target = size("DCNet", width)
    low, high = width, 8 * width
    differences = {w: size(method, w) / target - 1 for w in (low, high)}
    while high - low > 1e-4 * width and min(map(abs, differences.values())) > 0.0005:
        middle = (low + high) / 2
        differences[middle] = size(method, middle) / target - 1
        low, high = (middle, high) if differences[middle] < 0 else (low, middle)
    best, difference = min(differences.items(), key=lambda found: abs(found[1]))
    if abs(difference) > 0.02:
        raise ValueError(
            f"{method} cannot be widened to DCNet's {target:,} parameters at width {width}:"
            f" {100 * difference:+.1f} % remain"
        )
    return best, difference
