"""Progressive networks (Rusu et al., 2016): each column is trained on what those before it know.

Written from the paper's text alone.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dclib.methods.sizes import resized
from dclib.network import Channels, Columns, Method, Network, per_task
from dclib.tasks import Task

SMALL = 0.01  # where the learned scalars start


class Lateral(nn.Module):
    """What one column takes of all earlier ones at a depth: U ReLU(V [a_1 x_1, ..., a_j x_j]).

    Args:
        channels: of each earlier column.
        count: of this column; V leads to as many, which is the original's width.
    """

    def __init__(self, channels: Sequence[int], count: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((len(channels),), SMALL))  # a
        self.reduce = nn.Conv2d(sum(channels), count, kernel_size=1, bias=False)  # V
        self.give = nn.Conv2d(count, count, kernel_size=1, bias=False)  # U

    def forward(self, maps: Sequence[Tensor], size: torch.Size) -> Tensor:
        """Maps x_j (B, C_j, h_j, w_j) to (B, count, h, w), resized where they differ."""
        scaled = [a * resized(x, size) for a, x in zip(self.scale, maps, strict=True)]
        return self.give(functional.relu(self.reduce(torch.cat(scaled, dim=1))))


class Laterals(nn.Module):
    """What columns take, at one depth, from those that were trained before them (Eq. 2).

        y_k = ReLU(x_k + U_k ReLU(V_k [a_k1 x_1, ..., a_k(k-1) x_(k-1)]))

    V and U are 1x1 convolutions, the a learned scalars, small at the start. The first column stays
    as it is.

    In the original U is part of the next layer, which is ReLU(W_k x_k + U_k ReLU(...)). Here the
    sum is formed before the next block, whose first layer applies W_k to all of it: W_k after the
    1x1 U is a kernel again, so as much can be learned, and blocks of any network stay whole.

    Args:
        channels: feature maps of each column, in the order in which columns are trained.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        later = [Lateral(channels[:k], channels[k]) for k in range(1, len(channels))]
        self.into = nn.ModuleList([nn.Identity(), *later])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps x_k (B, C_k, h_k, w_k) of all columns, or of the first ones only, to y_k."""
        outputs = list(maps[:1])
        for k in range(1, len(maps)):
            outputs.append(functional.relu(maps[k] + self.into[k](maps[:k], maps[k].shape[-2:])))
        return outputs


class Progressive(Network):
    """Columns trained in sequence: the auxiliary tasks' first, the main task's last.

    In each of T stages one column is trained, with its laterals and its head, on its own task. All
    before it are frozen, BatchNorm's statistics too, so that nothing learned is lost; those after
    it are not computed. Outside training all are, whatever the stage. Nothing is frozen before the
    first `enter`.
    """

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        order = [*range(1, len(tasks)), 0]  # columns by the time of their training
        super().__init__(tasks, columns, channels, lambda c: Laterals([c[k] for k in order]))
        self.order = order
        self.stages = len(tasks)
        self.stage: int | None = None

    def enter(self, stage: int) -> tuple[str, ...]:
        """Leave trainable the column, the laterals and the head whose turn it is."""
        self.stage = stage
        for at in range(self.stages):
            for part in self.parts(at):
                part.requires_grad_(at == stage)
        self.train(self.training)
        return (self.tasks[self.order[stage]].name,)

    def parts(self, stage: int) -> list[nn.Module]:
        """What is trained in a stage."""
        k = self.order[stage]
        return [
            self.columns[k],
            *(cast(Laterals, mixer).into[stage] for mixer in self.mixers),
            self.heads[k],
        ]

    def train(self, mode: bool = True) -> "Progressive":
        """Training mode for what is trained; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.stage is not None:
            for at in range(self.stages):
                for part in self.parts(at):
                    part.train(mode and at == self.stage)
        return self

    @property
    def reached(self) -> list[int]:
        """The columns that are computed, by the time of their training."""
        if self.training and self.stage is not None:
            return self.order[: self.stage + 1]
        return self.order

    def depths(self, images: Tensor) -> Iterator[list[Tensor]]:
        """The maps (B, C, h, w) of all columns, in training of those reached, after each block."""
        reached = self.reached
        columns = [cast(nn.ModuleList, self.columns[k]) for k in reached]
        maps = [images] * len(reached)
        for blocks, mixer in zip(zip(*columns, strict=True), self.mixers, strict=True):
            maps = mixer([block(x) for block, x in zip(blocks, maps, strict=True)])
            yield [maps[reached.index(k)] for k in sorted(reached)]

    def features(self, images: Tensor) -> list[Tensor]:
        """What each head gets (B, features), in training the heads of those reached."""
        return [x.mean(dim=(2, 3)) for x in self.last_maps(images)]

    def logits(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Features (B, features) to {task name: logits}, in training of the tasks reached."""
        made = {}
        for k, x in zip(sorted(self.reached), features, strict=True):
            made[self.tasks[k].name] = self.tasks[k].shape(self.heads[k](x))
        return made


METHOD = Method(
    "Progressive",
    source="rusu2016",
    equation=r"y_k = \mathrm{ReLU}(x_k + U_k \, \mathrm{ReLU}(V_k"
    r" [a_{k1} x_1, \ldots, a_{k,k-1} x_{k-1}]))",
    columns=per_task,
    network=Progressive,
    revision=1,
)
