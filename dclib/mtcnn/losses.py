"""What a stage of a cascade is trained to make small, and what else is told of its training."""

import math

from torch import Tensor
from torch.nn import functional

from dclib.mtcnn.samples import NEGATIVE, POSITIVE
from dclib.mtcnn.views import Batch

# of the losses: those of Zhang et al. 2016; and those of DFace, which takes the mean of the 4 or 10
# squares that are added up here
WEIGHTS = {
    "MTCNN": {
        "P": {"face": 1.0, "box": 0.5},
        "R": {"face": 1.0, "box": 0.5},
        "O": {"face": 1.0, "box": 0.5, "landmarks": 1.0},
    },
    "DFace": {
        "P": {"face": 1.0, "box": 0.5 / 4},
        "R": {"face": 1.0, "box": 0.5 / 4},
        "O": {"face": 0.8, "box": 0.6 / 4, "landmarks": 1.5 / 10},
    },
}


def losses(
    outputs: dict[str, Tensor], batch: Batch, online: float | None = None
) -> dict[str, Tensor]:
    """The loss of each task on those samples that tell something about it.

    Negatives and positives tell of "face" (cross-entropy), all but negatives of "box" and faces
    with known points of "landmarks": the squared Euclidean distances of Zhang et al. 2016, between
    vectors of 4 offsets and of 10 coordinates. Each loss is the mean over its samples.
    """
    told = (batch.kind == NEGATIVE) | (batch.kind == POSITIVE)
    truth = (batch.kind[told] == POSITIVE).long()
    each = functional.cross_entropy(outputs["face"][told], truth, reduction="none")
    if online is not None:
        each = each.topk(math.ceil(online * len(each))).values
    found = {"face": _mean(each)}
    for task, target in (("box", batch.offsets), ("landmarks", batch.points)):
        if task in outputs:
            known = target.flatten(1).isfinite().all(dim=1)
            squares = (outputs[task][known] - target[known]).square().flatten(1)
            found[task] = _mean(squares.sum(dim=1))
    return found


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 where there is nothing."""
    return values.sum() / max(values.numel(), 1)


def accuracy(outputs: dict[str, Tensor], batch: Batch) -> float:
    """The share of negatives and positives that are told rightly."""
    told = (batch.kind == NEGATIVE) | (batch.kind == POSITIVE)
    right = outputs["face"][told].argmax(dim=1) == (batch.kind[told] == POSITIVE)
    return _mean(right.float()).item()


def landmark_error(outputs: dict[str, Tensor], batch: Batch) -> float:
    """The mean distance of the known points, as a share of that between the eyes."""
    known = batch.points.flatten(1).isfinite().all(dim=1)
    truth = batch.points[known]
    eyes = (truth[:, 0] - truth[:, 1]).norm(dim=1)
    distances = (outputs["landmarks"][known] - truth).norm(dim=2).mean(dim=1)
    return _mean(distances / eyes).item()
