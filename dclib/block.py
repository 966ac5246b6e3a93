"""The collaborative block: Eq. 1-3 of the paper, and nothing else."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def central_aggregation(incoming: int, central: int, kernel: int = 3) -> nn.Sequential:
    """H of Eq. 2: all tasks' features become `central` global feature maps."""
    return nn.Sequential(
        nn.Conv2d(incoming, central, kernel_size=1, bias=False),
        nn.BatchNorm2d(central),
        nn.ReLU(),
        nn.Conv2d(central, central, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(central),
        nn.ReLU(),
    )


def task_specific_aggregation(incoming: int, channels: int, kernel: int = 3) -> nn.Sequential:
    """F_t of Eq. 3: a task's own features and the global ones become `channels` maps."""
    return nn.Sequential(
        nn.Conv2d(incoming, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
    )


class CollaborativeBlock(nn.Module):
    """Connects T task-specific CNNs at one depth (Eq. 1).

        z   = H([x_1, ..., x_T])
        y_t = ReLU(x_t + F_t([x_t, z]))

    H divides the total number of feature maps by 4, rounding down (section 3). Columns may differ
    in channels and in spatial size: H then works at the smallest size present, to which larger maps
    are average-pooled, and z is enlarged bilinearly to each column's size. With equal columns both
    steps do nothing.

    Args:
        channels: feature maps of each column, one entry per task.
        outer_relu: the ReLU of Eq. 1; the authors' first code, of 2017, did without it.
        kernel: side of the second convolutions' kernels, odd; the paper's is 3.

    Raises:
        ValueError: when a column has no channels, or all together have fewer than 4, or for an even
            kernel.
    """

    def __init__(self, channels: Sequence[int], outer_relu: bool = True, kernel: int = 3) -> None:
        super().__init__()
        if not channels or min(channels) < 1 or sum(channels) < 4:
            raise ValueError(
                f"channels={list(channels)}: give one positive number per column, at least 4 in all"
                " (the central aggregation divides their sum by 4)"
            )
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}: give an odd number, for maps keep their size")
        self.channels = tuple(channels)
        self.outer_relu = outer_relu
        total = sum(channels)
        central = total // 4
        self.central = central_aggregation(total, central, kernel)
        self.specific = nn.ModuleList(
            task_specific_aggregation(c + central, c, kernel) for c in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps x_t (B, C_t, h_t, w_t) of all columns to y_t of the same shapes."""
        if len(maps) != len(self.channels):
            raise ValueError(
                f"{len(maps)} feature maps for a block of {len(self.channels)} columns"
            )
        h = min(x.shape[-2] for x in maps)
        w = min(x.shape[-1] for x in maps)
        together = torch.cat([_shrink(x, h, w) for x in maps], dim=1)  # (B, sum C_t, h, w)
        z = self.central(together)  # (B, Z, h, w)
        outputs = []
        for x, aggregate in zip(maps, self.specific, strict=True):
            both = torch.cat([x, _enlarge(z, x.shape[-2], x.shape[-1])], dim=1)  # (B, C_t + Z, ...)
            y = x + aggregate(both)  # (B, C_t, h_t, w_t)
            outputs.append(functional.relu(y) if self.outer_relu else y)
        return outputs


def _shrink(x: Tensor, h: int, w: int) -> Tensor:
    return x if x.shape[-2:] == (h, w) else functional.adaptive_avg_pool2d(x, (h, w))


def _enlarge(z: Tensor, h: int, w: int) -> Tensor:
    if z.shape[-2:] == (h, w):
        return z
    return functional.interpolate(z, size=(h, w), mode="bilinear", align_corners=False)
