"""Landmarks in finer bins with soft labels: not in the paper, but what became of its idea."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dclib.tasks import MISSING, Landmarks


@dataclass(frozen=True)
class SimCC(Landmarks):
    """The modern form of the paper's landmarks (Li et al., "SimCC", ECCV 2022): finer, soft bins.

    Each axis has `split` bins a pixel, and the label is a Gaussian over bins around the rounded
    position instead of a single bin. Logits are (B, L, 2, split * bins).
    """

    split: int = 2
    sigma: float = 6.0  # in bins; 0 for hard labels

    @property
    def outputs(self) -> int:
        return self.points * 2 * self.bins * self.split

    def shape(self, logits: Tensor) -> Tensor:
        return logits.unflatten(1, (self.points, 2, self.bins * self.split))

    def encode(self, truth: Tensor) -> Tensor:
        """Points (B, L, 2) in pixels to bins (B, L, 2): split times as many, rounded."""
        bins = (truth.nan_to_num() * self.split).round().clamp(0, self.bins * self.split - 1)
        return bins.long().masked_fill(truth.isnan(), MISSING)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean divergence of the predicted from the Gaussian distribution, over known axes."""
        if not self.sigma:
            return super().loss(logits, target)
        known = target != MISSING
        position = torch.arange(logits.shape[-1], device=logits.device)
        label = (-((position - target[..., None]) ** 2) / (2 * self.sigma**2)).softmax(dim=-1)
        gap = functional.kl_div(logits.log_softmax(dim=-1), label, reduction="none").sum(dim=-1)
        return (gap * known).sum() / known.sum().clamp(min=1)

    def decode(self, logits: Tensor, decoder: str = "bin") -> Tensor:
        """Logits (B, L, 2, split * bins) to points in pixels; bins are positions, not intervals."""
        return (super().decode(logits, decoder) - 0.5) / self.split
