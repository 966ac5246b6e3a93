"""Tasks as classification (section 4.1): how a truth becomes a target, a loss and a prediction."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dclib.names import WEIGHTINGS as WEIGHTINGS

MISSING = -100  # the target that cross-entropy leaves out


class Task(Protocol):
    """What a network and the training loop need to know of a task.

    Other than with `Landmarks` and `Orientation`, what is predicted is the number of the largest of
    its logits (B, outputs), and `encode` gives the right one (B,), negative where it is not known;
    `label_tasks` takes an orientation apart into such tasks.
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


def _demand(task: object, possible: bool, rule: str) -> None:
    if not possible:
        raise ValueError(f"{task}: {rule}")


@dataclass(frozen=True)
class Landmarks:
    """L landmarks, each axis a classification into bins one pixel wide (section 4.1).

    Logits are (B, L, 2, bins), x before y. A point outside the image counts as in the nearest bin;
    a missing point (NaN) counts nowhere.
    """

    bins: int
    points: int = 5
    name: str = "landmarks"

    def __post_init__(self) -> None:
        _demand(self, self.bins >= 1 and self.points >= 1, "give a bin and a point, or more")

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


class _Label:
    """A task of a single cross-entropy, whose logits are (B, outputs)."""

    cross_entropies = 1

    def shape(self, logits: Tensor) -> Tensor:
        return logits

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy(logits, target)


@dataclass(frozen=True)
class Classes(_Label):
    """A label with a few values, such as gender; logits are (B, classes)."""

    name: str
    classes: int

    def __post_init__(self) -> None:
        _demand(self, self.classes >= 2 and self.classes % 1 == 0, "give two classes or more")

    @property
    def outputs(self) -> int:
        return self.classes

    def encode(self, truth: Tensor) -> Tensor:
        """Labels (B,), -1 where missing, to targets (B,)."""
        return truth.masked_fill(truth < 0, MISSING)

    def decode(self, logits: Tensor) -> Tensor:
        """The most probable label (B,)."""
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class Angle(_Label):
    """A head angle in degrees, in bins 30 degrees wide between -limit and limit (section 4.1)."""

    name: str
    limit: float = 90.0
    width: float = 30.0

    def __post_init__(self) -> None:
        sound = 0 < self.width < math.inf and self.width <= self.limit < math.inf
        even = sound and math.isclose(2 * self.limit / self.width, self.outputs)
        _demand(self, even, "give a limit, and a width that parts twice the limit evenly")

    @property
    def outputs(self) -> int:
        return round(2 * self.limit / self.width)

    def encode(self, truth: Tensor) -> Tensor:
        """Degrees (B,), NaN where missing, to bins (B,); angles beyond the limit to the last."""
        bins = ((truth.nan_to_num() + self.limit) / self.width).floor()
        return bins.clamp(0, self.outputs - 1).long().masked_fill(truth.isnan(), MISSING)

    def decode(self, logits: Tensor) -> Tensor:
        """The centre (B,), in degrees, of the most probable bin."""
        return (logits.argmax(dim=-1) + 0.5) * self.width - self.limit

    @property
    def ranges(self) -> tuple[str, ...]:
        """The degrees that each bin holds, in words."""
        ends = [self.width * at - self.limit for at in range(self.outputs + 1)]
        return tuple(f"{low:g}° to {high:g}°" for low, high in pairwise(ends))


@dataclass(frozen=True)
class Orientation:
    """A head's three angles as one task (section 4.3), so that they share a column.

    The paper has bins 30 degrees wide, "14 bins in total": taken as 6 of yaw, up to 90 degrees to
    either side, and 4 each of pitch and roll, up to 60. Logits are (B, 14), angle after angle.
    """

    name: str = "orientation"
    angles: tuple[Angle, ...] = (Angle("yaw"), Angle("pitch", 60.0), Angle("roll", 60.0))

    @property
    def outputs(self) -> int:
        return sum(angle.outputs for angle in self.angles)

    @property
    def cross_entropies(self) -> int:
        return len(self.angles)

    def shape(self, logits: Tensor) -> Tensor:
        return logits

    def apart(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The logits of each angle."""
        return logits.split([angle.outputs for angle in self.angles], dim=1)

    def encode(self, truth: Tensor) -> Tensor:
        """Degrees (B, 3), NaN where missing, to bins (B, 3)."""
        pairs = zip(self.angles, truth.unbind(1), strict=True)
        return torch.stack([angle.encode(degrees) for angle, degrees in pairs], dim=1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean of the angles' cross-entropies."""
        pairs = zip(self.apart(logits), target.unbind(1), strict=True)
        return torch.stack([_cross_entropy(own, bins) for own, bins in pairs]).mean()

    def decode(self, logits: Tensor) -> Tensor:
        """The centres (B, 3), in degrees, of the most probable bins."""
        pairs = zip(self.angles, self.apart(logits), strict=True)
        return torch.stack([angle.decode(own) for angle, own in pairs], dim=1)


def truth_of(task: Task, landmarks: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """What a task encodes: points (B, L, 2), angles (B, 3), or a label (B,)."""
    if isinstance(task, Orientation):
        return torch.stack([labels[angle.name] for angle in task.angles], dim=1)
    return landmarks if isinstance(task, Landmarks) else labels[task.name]


def label_tasks(tasks: Sequence[Task]) -> list[Task]:
    """The tasks whose predictions are numbers (B,); an orientation is its angles."""
    parts = [task.angles if isinstance(task, Orientation) else (task,) for task in tasks]
    return [part for own in parts for part in own if not isinstance(part, Landmarks)]


def label_logits(tasks: Sequence[Task], logits: dict[str, Tensor]) -> dict[str, Tensor]:
    """The logits (B, outputs) of each of `label_tasks`, by name, from those of the tasks."""
    found: list[Tensor] = []
    for task in tasks:
        if not isinstance(task, Landmarks):
            own = logits[task.name]
            found += task.apart(own) if isinstance(task, Orientation) else [own]
    return dict(zip([task.name for task in label_tasks(tasks)], found, strict=True))


def mtfl_tasks(resolution: int) -> tuple[Task, ...]:
    """The five tasks of MTFL (section 4.2): landmarks, gender, smile, glasses, face profile."""
    return (
        Landmarks(resolution),
        Classes("gender", 2),
        Classes("smile", 2),
        Classes("glasses", 2),
        Classes("profile", 5),
    )


def aflw_tasks(resolution: int) -> tuple[Task, ...]:
    """The four tasks of AFLW (section 4.3): 21 landmarks, gender, glasses, head orientation."""
    return (
        Landmarks(resolution, points=21),
        Classes("gender", 2),
        Classes("glasses", 2),
        Orientation(),
    )


KINDS = (Landmarks, Classes, Angle, Orientation)  # those that a record can tell of


def describe(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Each task in values for JSON: its kind, name, number of logits, and what else it holds."""
    held: list[dict[str, Any]] = [
        asdict(t) if is_dataclass(t) and not isinstance(t, type) else {} for t in tasks
    ]
    return [
        {**values, "name": task.name, "kind": type(task).__name__, "outputs": task.outputs}
        for task, values in zip(tasks, held, strict=True)
    ]


def from_description(described: Sequence[dict[str, Any]]) -> tuple[Task, ...]:
    """The inverse of `describe`, for `KINDS`.

    Raises:
        ValueError: another kind, or values that it does not take.
    """
    kinds = {kind.__name__: kind for kind in KINDS}
    made = []
    for values in described:
        held: dict[str, Any] = {k: v for k, v in values.items() if k not in ("kind", "outputs")}
        if "angles" in held:
            held["angles"] = tuple(Angle(**angle) for angle in held["angles"])
        try:
            task = kinds[values["kind"]](**held)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{values} describes no task ({error})") from error
        if task.outputs != values["outputs"]:
            raise ValueError(f"{values} describes no task: it would have {task.outputs} outputs")
        made.append(task)
    return tuple(made)


def task_weights(
    tasks: Sequence[Task], weighting: str, related: dict[str, float] | None = None
) -> dict[str, float]:
    """The weight of each task's loss; the paper leaves open which of the two it means.

    `per_task`: every task 1. `per_output`: every cross-entropy counts once, so that five landmarks,
    ten axes, weigh ten times a label. Both sum to the number of tasks.

    Args:
        related: factors on top, by task name: the lambdas of section 4.3.

    Raises:
        ValueError: unknown weighting or task, or a factor that is negative or infinite.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting {weighting!r} is unknown; choose from {list(WEIGHTINGS)}")
    related = related or {}
    if unknown := related.keys() - {task.name for task in tasks}:
        raise ValueError(f"weights for tasks that are not trained: {sorted(unknown)}")
    if any(not 0 <= factor < math.inf for factor in related.values()):
        raise ValueError(f"task weights must not be negative, nor infinite: {related}")
    counts = [task.cross_entropies if weighting == "per_output" else 1 for task in tasks]
    unit = len(tasks) / sum(counts)
    return {
        task.name: count * unit * related.get(task.name, 1.0)
        for task, count in zip(tasks, counts, strict=True)
    }
