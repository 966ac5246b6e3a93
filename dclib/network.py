"""The network that all methods share: columns in step, mixers between them, a head per task.

A `Method` says what differs. Most give a mixer and nothing else; a method that reads features in
another way derives from `Network` in its own file in `dclib/methods`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from dclib.tasks import Task

Columns = Sequence[nn.ModuleList]  # underlying networks, each its series of blocks
Channels = Sequence[Sequence[int]]  # for each column, the feature maps after each of its blocks
Mixer = Callable[[Sequence[int]], nn.Module]  # channels of each column at a depth -> the module


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

    def __init__(self, channels: Sequence[int] = ()) -> None:
        super().__init__()

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return maps


class Network(nn.Module):
    """Columns run in step, joined by a mixer after every block, with one head per task.

    Args:
        tasks: what the heads predict, in order; the main one first.
        columns: underlying networks, each its series of blocks: one per task, or a single one that
            all heads share.
        channels: for each column, the feature maps after each of its blocks.
        mixer: makes what joins the columns at a depth from the channels that they have there.
        features: how many features each head gets; by default the maps of its column's last block.
    """

    stages = 1  # of training, each of them all epochs

    def __init__(
        self,
        tasks: Sequence[Task],
        columns: Columns,
        channels: Channels,
        mixer: Mixer = Apart,
        features: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.columns = nn.ModuleList(columns)
        self.mixers = nn.ModuleList(mixer(there) for there in zip(*channels, strict=True))
        shared = len(columns) == 1
        self.column_of = [0 if shared else t for t in range(len(tasks))]
        features = features or [channels[column][-1] for column in self.column_of]
        self.heads = nn.ModuleList(
            self.make_head(count, task.outputs) for task, count in zip(tasks, features, strict=True)
        )

    def make_head(self, features: int, outputs: int) -> nn.Module:
        """The head of a task: features (B, features) to logits (B, outputs)."""
        return head(features, outputs)

    def depths(self, images: Tensor) -> Iterator[list[Tensor]]:
        """The feature maps (B, C, h, w) of all columns after each block and what joins them."""
        maps = [images] * len(self.columns)
        columns = cast(Sequence[nn.ModuleList], self.columns)
        for blocks, mixer in zip(zip(*columns, strict=True), self.joins(), strict=True):
            maps = mixer([block(x) for block, x in zip(blocks, maps, strict=True)])
            yield maps

    def joins(self) -> Sequence[nn.Module]:
        """What joins the columns after each block."""
        return cast(Sequence[nn.Module], self.mixers)

    def last_maps(self, images: Tensor) -> list[Tensor]:
        """The feature maps (B, C, h, w) of all columns after the last block and its mixer."""
        (maps,) = deque(self.depths(images), maxlen=1)  # earlier ones are not held
        return maps

    def features(self, images: Tensor) -> list[Tensor]:
        """What each head gets (B, features): the spatial mean of its column's last maps."""
        maps = self.last_maps(images)
        pooled = [x.mean(dim=(2, 3)) for x in maps]  # (B, C) each
        return [pooled[column] for column in self.column_of]

    def logits(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Features of each task (B, features) to {task name: logits}."""
        return {
            task.name: task.shape(head(x))
            for task, head, x in zip(self.tasks, self.heads, features, strict=True)
        }

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised images (B, 3, R, R) to {task name: logits}; landmarks (B, L, 2, bins)."""
        return self.logits(self.features(images))

    def penalty(self, features: Sequence[Tensor]) -> Tensor | None:
        """What a method adds to the loss besides the tasks, before its weight; None if nothing."""
        return None

    def enter(self, stage: int) -> tuple[str, ...]:
        """Get ready for a stage of training, counted from 0; the names of the tasks trained in it.

        Training goes through all epochs in each of `stages` stages, with a new optimiser.
        """
        return tuple(task.name for task in self.tasks)


class SingleFirst(Network):
    """Columns trained twice: apart, each as a network of a single task, and then joined.

    They are joined unless the first stage of training was entered last.
    """

    stages = 2
    apart = False

    def joins(self) -> Sequence[nn.Module]:
        """Nothing in the first stage, then the mixers."""
        return [Apart()] * len(self.mixers) if self.apart else super().joins()

    def enter(self, stage: int) -> tuple[str, ...]:
        """Leave the mixers out in the first stage, so that they learn in the second only."""
        self.apart = stage == 0
        return super().enter(stage)


def shared(tasks: int) -> int:
    """One column for all tasks."""
    return 1


def per_task(tasks: int) -> int:
    """A column for each task."""
    return tasks


@dataclass(frozen=True)
class Method:
    """How a method differs from the others.

    Attributes:
        title: one line for tables.
        source: its paper, as a key of the bibliography.
        equation: what it computes, in TeX, for readers who compare methods.
        columns: number of tasks -> number of columns.
        mixer: makes what joins the columns at a depth.
        network: makes the network, with the arguments of `Network` up to `channels`; a class of the
            method's own where features reach the heads in another way.
        main_only: trains the main task, the first, alone.
        widened: columns widened until the whole has as many parameters as DCNet.
        single_first: columns are trained apart before they are joined.
        underlying: the one underlying network that the paper's name stands for, if it does.
        ablates: the method that this one is an ablation of: it takes that one's learning rates.
        unit_rate: the mixers' weights learn at this multiple of the base rate, unless another one
            is chosen.
        units_decay: weight decay acts on the mixers' weights too.
        penalty: the weight of what the method adds to the loss, unless another one is chosen.
        penalties: the weights that one is chosen from.
        stopped: history, weights of the tasks in the loss -> those that have ended, for good.
        revision: raised when the method changes its meaning, so that only its own old runs stop
            answering for it.
    """

    title: str
    source: str = "trottier2017"
    equation: str = ""
    columns: Callable[[int], int] = shared
    mixer: Mixer = Apart
    network: Callable[..., Network] = Network
    main_only: bool = False
    widened: bool = False
    single_first: bool = False
    underlying: str | None = None
    ablates: str = ""
    unit_rate: float = 1.0
    units_decay: bool = True
    penalty: float = 0.0
    penalties: tuple[float, ...] = ()
    stopped: Callable[[Sequence[dict[str, Any]], Mapping[str, float]], set[str]] | None = None
    revision: int = 0

    @property
    def has_units(self) -> bool:
        """Whether mixers with weights of their own join its columns."""
        return self.mixer is not Apart

    def assemble(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> Network:
        """The network of this method on given columns."""
        if self.network is not Network:
            return self.network(tasks, columns, channels)
        kind = SingleFirst if self.single_first else Network
        return kind(tasks, columns, channels, self.mixer)
