"""Neural discriminative dimensionality reduction (Gao et al., NDDR-CNN, CVPR 2019).

Written anew, after the paper and ethanygao/NDDR-CNN (no licence, so nothing is taken from it).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from dclib.methods.sizes import resized
from dclib.network import Method, per_task

MOMENTUM = 0.05  # of BatchNorm's running statistics, as in the authors' code


def shares(tasks: int) -> tuple[float, float]:
    """What a column keeps of itself at the start, and what it takes of each other one.

    The published pairs are (0.9, 0.1) for two tasks and (0.8, 0.05) for five. Both sum to 1; so
    does the rule that joins them, which is ours: 0.8 for more than two, the others share the rest.
    """
    if tasks == 1:
        return 1.0, 0.0
    own = 0.9 if tasks == 2 else 0.8
    return own, (1 - own) / (tasks - 1)


class NDDR(nn.Module):
    """Connects T columns at one depth by learned 1x1 convolutions of all their feature maps.

        y_t = ReLU(BN(Conv1x1([x_1, ..., x_T])))

    Each convolution starts as a weighted sum of the columns, map by map: see `shares`. It has no
    bias, which BN would take away, so a layer has T (T C^2 + 2 C) parameters.

    Columns may differ in channels: a map is then at first added to those maps of other columns that
    have its number. Where they differ in size, each takes the others resized to its own.

    Args:
        channels: feature maps of each column.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        own, other = shares(len(channels))
        self.reductions = nn.ModuleList()
        for t, count in enumerate(channels):
            start = [
                (own if s == t else other) * torch.eye(count, source)
                for s, source in enumerate(channels)
            ]
            convolution = nn.Conv2d(sum(channels), count, kernel_size=1, bias=False)
            convolution.weight.data[:, :, 0, 0] = torch.cat(start, dim=1)  # (C_t, sum C_s)
            norm = nn.BatchNorm2d(count, momentum=MOMENTUM)
            self.reductions.append(nn.Sequential(convolution, norm))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps x_t (B, C_t, h_t, w_t) of all columns to y_t of the same shapes."""
        sizes = [tuple(x.shape[-2:]) for x in maps]
        together = {  # (B, sum C_t, h, w) at each size, mostly a single one
            size: torch.cat([resized(x, size) for x in maps], dim=1)
            for size in dict.fromkeys(sizes)
        }
        return [
            functional.relu(reduce(together[size]))
            for reduce, size in zip(self.reductions, sizes, strict=True)
        ]


# The authors' rate of these layers is 100 times 1e-3: the base rate here, hence the factor 1.
METHOD = Method(
    "NDDR",
    source="gao2019nddr",
    equation=r"y_t = \mathrm{ReLU}(\mathrm{BN}(W_t [x_1, \ldots, x_T]))",
    columns=per_task,
    mixer=NDDR,
    unit_rate=1.0,
)
SINGLE_FIRST = replace(METHOD, title="NDDR from single-task nets", single_first=True)
