"""Cross-Stitch units (Misra et al., CVPR 2016), the paper's [12]. Written from its text alone."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from dclib.network import Method, per_task

OWN = 0.9  # what a column keeps of itself at the start; the others share the rest


class CrossStitch(nn.Module):
    """Connects T columns at one depth by learned linear combinations of their feature maps.

        y_t = sum_s alpha_ts * x_s

    Each row of alpha starts as 0.9 for the own column and 0.1 / (T - 1) for each other, a convex
    combination, which was best or tied for best in the original paper.

    Args:
        channels: feature maps of each column; all the same.
        per_channel: one T x T matrix per channel (default), or a single one for the layer.

    Raises:
        ValueError: when the columns differ in channels.
    """

    def __init__(self, channels: Sequence[int], per_channel: bool = True) -> None:
        super().__init__()
        if len(set(channels)) != 1:
            raise ValueError(f"Cross-Stitch needs columns with equal channels, not {channels}")
        tasks = len(channels)
        others = (1 - OWN) / (tasks - 1) if tasks > 1 else 0.0
        mix = torch.full((tasks, tasks), others).fill_diagonal_(OWN if tasks > 1 else 1.0)
        depth = channels[0] if per_channel else 1
        self.alpha = nn.Parameter(mix[:, :, None].repeat(1, 1, depth))  # (target, source, C or 1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps x_s (B, C, h, w) of all columns to their combinations, same shapes."""
        weights = self.alpha[..., None, None]  # (T, T, C or 1, 1, 1)
        return [
            torch.stack([a * x for a, x in zip(row, maps, strict=True)]).sum(dim=0)
            for row in weights
        ]


def _per_layer(channels: Sequence[int]) -> CrossStitch:
    return CrossStitch(channels, per_channel=False)


PER_CHANNEL = Method(
    "Cross-Stitch",
    source="misra2016",
    equation=r"y_t = \textstyle\sum_s \alpha_{ts} \odot x_s",
    columns=per_task,
    mixer=CrossStitch,
    unit_rate=10.0,
    units_decay=False,
)
PER_LAYER = replace(PER_CHANNEL, title="Cross-Stitch, per layer", mixer=_per_layer)
WIDENED = replace(PER_CHANNEL, title="Cross-Stitch, widened", widened=True)
SINGLE_FIRST = replace(PER_CHANNEL, title="Cross-Stitch from single-task nets", single_first=True)
