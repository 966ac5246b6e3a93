"""Tasks as classification (section 4.1): how a truth becomes a target, a loss and a prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

MISSING = -100  # the target that cross-entropy leaves out


class Task(Protocol):
    """What a network and the training loop need to know of a task.

    Other than with `Landmarks`, what is predicted is the number of the largest of its logits
    (B, outputs), and `encode` gives the right one (B,), negative where it is not known.
    """

    @property
    def name(self) -> str: ...

    @property
    def outputs(self) -> int:
        """Number of logits."""
        ...

    @property
    def cross_entropies(self) -> int:
        """How many cross-entropies the loss is the mean of."""
        ...

    def shape(self, logits: Tensor) -> Tensor: ...

    def encode(self, truth: Tensor) -> Tensor: ...

    def loss(self, logits: Tensor, target: Tensor) -> Tensor: ...


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over what is not missing; 0 when all of it is."""
    total = functional.cross_entropy(logits, target, ignore_index=MISSING, reduction="sum")
    return total / (target != MISSING).sum().clamp(min=1)


@dataclass(frozen=True)
class Landmarks:
    """L landmarks, each axis a classification into bins one pixel wide (section 4.1).

    Logits are (B, L, 2, bins), x before y. A point outside the image counts as in the nearest bin;
    a missing point (NaN) counts nowhere.
    """

    bins: int
    points: int = 5
    name: str = "landmarks"

    @property
    def outputs(self) -> int:
        return self.points * 2 * self.bins

    @property
    def cross_entropies(self) -> int:
        return self.points * 2

    def shape(self, logits: Tensor) -> Tensor:
        return logits.unflatten(1, (self.points, 2, self.bins))  # (B, L, 2, bins)

    def encode(self, truth: Tensor) -> Tensor:
        """Points (B, L, 2) in pixels to bins (B, L, 2): floor, clipped into the image."""
        bins = truth.nan_to_num().floor().clamp(0, self.bins - 1).long()
        return bins.masked_fill(truth.isnan(), MISSING)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy over faces, points and axes."""
        return _cross_entropy(logits.flatten(0, 2), target.flatten())

    def decode(self, logits: Tensor, decoder: str = "bin") -> Tensor:
        """Logits (B, L, 2, bins) to points (B, L, 2) in pixels.

        `bin` is the paper's decoder: the centre of the most probable bin. `soft` is an addition:
        the mean position in a window of two bins either side of it.
        """
        best = logits.argmax(dim=-1)  # (B, L, 2)
        if decoder == "bin":
            return best + 0.5
        if decoder != "soft":
            raise ValueError(f"decoder {decoder!r} is unknown; choose 'bin' or 'soft'")
        position = torch.arange(logits.shape[-1], device=logits.device)
        near = (position - best[..., None]).abs() <= 2  # (B, L, 2, bins)
        share = logits.float().masked_fill(~near, -torch.inf).softmax(dim=-1)
        return (share * (position + 0.5)).sum(dim=-1)


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


@dataclass(frozen=True)
class Classes:
    """A label with a few values, such as gender; logits are (B, classes)."""

    name: str
    classes: int

    @property
    def outputs(self) -> int:
        return self.classes

    @property
    def cross_entropies(self) -> int:
        return 1

    def shape(self, logits: Tensor) -> Tensor:
        return logits

    def encode(self, truth: Tensor) -> Tensor:
        """Labels (B,), -1 where missing, to targets (B,)."""
        return truth.masked_fill(truth < 0, MISSING)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy(logits, target)

    def decode(self, logits: Tensor) -> Tensor:
        """The most probable label (B,)."""
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class Angle:
    """A head angle in degrees, in bins 30 degrees wide between -limit and limit (section 4.1)."""

    name: str
    limit: float = 90.0
    width: float = 30.0

    @property
    def outputs(self) -> int:
        return round(2 * self.limit / self.width)

    @property
    def cross_entropies(self) -> int:
        return 1

    def shape(self, logits: Tensor) -> Tensor:
        return logits

    def encode(self, truth: Tensor) -> Tensor:
        """Degrees (B,), NaN where missing, to bins (B,); angles beyond the limit to the last."""
        bins = ((truth.nan_to_num() + self.limit) / self.width).floor()
        return bins.clamp(0, self.outputs - 1).long().masked_fill(truth.isnan(), MISSING)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy(logits, target)

    def decode(self, logits: Tensor) -> Tensor:
        """The centre (B,), in degrees, of the most probable bin."""
        return (logits.argmax(dim=-1) + 0.5) * self.width - self.limit


def mtfl_tasks(resolution: int) -> tuple[Task, ...]:
    """The five tasks of MTFL (section 4.2): landmarks, gender, smile, glasses, face profile."""
    return (
        Landmarks(resolution),
        Classes("gender", 2),
        Classes("smile", 2),
        Classes("glasses", 2),
        Classes("profile", 5),
    )


WEIGHTINGS = ("per_task", "per_output")


def task_weights(
    tasks: Sequence[Task], weighting: str, related: dict[str, float] | None = None
) -> dict[str, float]:
    """The weight of each task's loss; the paper leaves open which of the two it means.

    `per_task`: every task 1. `per_output`: every cross-entropy counts once, so that five landmarks,
    ten axes, weigh ten times a label. Both sum to the number of tasks.

    Args:
        related: factors on top, by task name: the lambdas of section 4.3.

    Raises:
        ValueError: unknown weighting or task, or a negative factor.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting {weighting!r} is unknown; choose from {list(WEIGHTINGS)}")
    related = related or {}
    if unknown := related.keys() - {task.name for task in tasks}:
        raise ValueError(f"weights for tasks that are not trained: {sorted(unknown)}")
    if any(not factor >= 0 for factor in related.values()):
        raise ValueError(f"task weights must not be negative: {related}")
    counts = [task.cross_entropies if weighting == "per_output" else 1 for task in tasks]
    unit = len(tasks) / sum(counts)
    return {
        task.name: count * unit * related.get(task.name, 1.0)
        for task, count in zip(tasks, counts, strict=True)
    }
