"""Sluice networks (Ruder et al., 2017): what halves of layers share, and which depths are read.

Written anew, after the paper and sebastianruder/sluice-networks (no licence: nothing is taken).
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from dclib.network import Channels, Columns, Method, Network, per_task
from dclib.tasks import Task

WEIGHT = 0.1  # of the penalty, from the authors' example
OWN = 0.9  # what a half keeps of itself, and the last depth of a task, at the start


def halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two subspaces of x along an axis, and what is left: the last channel of an odd number."""
    half = x.shape[axis] // 2
    first, second, rest = x.split([half, half, x.shape[axis] - 2 * half], dim=axis)
    return first, second, rest


class Sluice(nn.Module):
    """Connects T columns at one depth by learned linear combinations of halves of their maps.

        part_p = sum_q alpha_pq part_q

    The parts are the first and second half of the channels of task 1, those of task 2, and so on.
    With an odd number of channels the last one is in neither half and goes through unmixed. Alpha
    starts as 0.9 for a part itself and 0.1 / (2T - 1) for each other.

    Args:
        channels: feature maps of each column; all the same, at least two.

    Raises:
        ValueError: when the columns differ in channels, or have a single one.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        if len(set(channels)) != 1 or channels[0] < 2:
            raise ValueError(
                f"Sluice needs columns with equal channels, at least 2, not {channels}"
            )
        parts = 2 * len(channels)
        mix = torch.full((parts, parts), (1 - OWN) / (parts - 1)).fill_diagonal_(OWN)
        self.alpha = nn.Parameter(mix)  # (target part, source part)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps x_t (B, C, h, w) of all columns to the same shapes, their halves mixed."""
        first, second, rest = halves(torch.stack(list(maps)), axis=2)  # (T, B, C // 2, h, w) twice
        parts = torch.stack([first, second], dim=1)  # (T, 2, B, C // 2, h, w)
        mixed = torch.einsum("pq,q...->p...", self.alpha, parts.flatten(0, 1))
        first, second = mixed.unflatten(0, parts.shape[:2]).unbind(dim=1)
        return list(torch.cat([first, second, rest], dim=2))


def overlap(kernels: Tensor) -> Tensor:
    """||F_1 F_2^T||^2 for kernels (out, in, k, k): F_i are those of half i, each flattened."""
    first, second, _ = halves(kernels.flatten(1), axis=0)
    return (first @ second.T).square().sum()


class SluiceNetwork(Network):
    """A column per task, a `Sluice` after each block, and heads that read every depth.

    A head gets sum_d beta_d P_d x_d, with x_d the spatial mean of its column's maps at depth d. The
    linear P_d bring them to as many features as the last depth has, which is read as it is. Beta
    starts as 0.9 for the last depth and 0.1 / (D - 1) for each other, as in the authors' code.

    The penalty asks that the halves of every convolution look for different things: it is `overlap`
    summed over them. It reads the paper's ||F_1^T F_2||^2 with a kernel in each column: so each of
    one half is held against each of the other. The authors' code has units in rows under the same
    formula, which pairs the i-th of one half with the i-th of the other, though their order means
    nothing.
    """

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        super().__init__(tasks, columns, channels, Sluice)
        *earlier, last = channels[0]
        share = (1 - OWN) / len(earlier) if earlier else 0.0
        mix = torch.full((len(tasks), len(earlier) + 1), share)
        mix[:, -1] = OWN if earlier else 1.0
        self.beta = nn.Parameter(mix)  # (task, depth)
        self.projections = nn.ModuleList(
            nn.ModuleList(nn.Linear(c, last, bias=False) for c in earlier) for _ in tasks
        )

    def features(self, images: Tensor) -> list[Tensor]:
        """What each head gets (B, C): the mixture of all depths of its column."""
        pooled = [[x.mean(dim=(2, 3)) for x in maps] for maps in self.depths(images)]
        projections = cast(Sequence[nn.ModuleList], self.projections)
        mixtures = []
        for column, (beta, own) in enumerate(zip(self.beta, projections, strict=True)):
            *earlier, last = [depth[column] for depth in pooled]  # (B, C_d) each
            read = [project(x) for project, x in zip(own, earlier, strict=True)] + [last]
            weighted = [b * x for b, x in zip(beta, read, strict=True)]
            mixtures.append(torch.stack(weighted).sum(dim=0))
        return mixtures

    def penalty(self, features: Sequence[Tensor]) -> Tensor:
        layers = [m.weight for m in self.columns.modules() if isinstance(m, nn.Conv2d)]
        return torch.stack([overlap(kernels) for kernels in layers]).sum()


METHOD = Method(
    "Sluice network",
    source="ruder2017sluice",
    equation=r"y_p = \textstyle\sum_q \alpha_{pq} x_q, \quad"
    r" f_t = \textstyle\sum_d \beta_{td} P_{td} \bar{y}_{td}, \quad"
    r" \mathcal{L} + \lambda \textstyle\sum \lVert F_1 F_2^\top \rVert_F^2",
    columns=per_task,
    network=SluiceNetwork,
    units_decay=False,
    penalty=WEIGHT,
    penalties=(0.1 * WEIGHT, WEIGHT, 10 * WEIGHT),
)
