"""What a run made of each face, from its raw predictions and the truth of the data."""

from typing import TYPE_CHECKING

import numpy as np

from dclib import metrics
from dclib.data.faces import FaceSet
from dclib.records.outcomes import Outcomes

if TYPE_CHECKING:
    from dclib.tasks import Task


def true_points(scored: FaceSet) -> np.ndarray:
    """True landmarks (N, L, 2) in pixels of the network's input."""
    return np.asarray(scored.landmarks) - (scored.images.shape[-1] - scored.resolution) / 2


def face_sizes(scored: FaceSet) -> np.ndarray:
    """What landmark errors (N,) are shares of, in pixels of the network's input."""
    return metrics.face_sizes(true_points(scored), scored.eyes)


def accuracies(predicted: np.ndarray, scored: FaceSet, task: "Task") -> np.ndarray:
    """Share (E,) of right labels among predicted ones (E, N), of the faces whose label is known.

    NaN where none is known.
    """
    import torch  # nobody who reads outcomes needs it

    labels = task.encode(torch.from_numpy(np.array(scored.labels[task.name]))).numpy()
    if not (labels >= 0).any():
        return np.full(len(predicted), np.nan)
    return np.array([metrics.accuracy(p, labels) for p in predicted])


def judge(
    last: list[dict[str, np.ndarray]], scored: FaceSet, tasks: "tuple[Task, ...]"
) -> Outcomes:
    """Outcomes from raw predictions, one dict per epoch: points by decoder, labels by task."""
    from dclib.tasks import Landmarks, label_tasks

    classes, accuracy, errors = {}, {}, {}
    bins = np.zeros((len(last), len(scored), 0, 2))
    offsets = bins[-1]
    if any(isinstance(task, Landmarks) for task in tasks):
        truth, sizes = true_points(scored), face_sizes(scored)
        for decoder in ("bin", "soft"):
            of = [metrics.normalised_errors(p[decoder], truth, sizes) for p in last]
            errors[decoder] = np.stack(of)
        bins = np.stack([np.floor(p["bin"]) for p in last])
        offsets = last[-1]["soft"] - last[-1]["bin"]
    for task in label_tasks(tasks):
        classes[task.name] = np.stack([p[task.name] for p in last])
        accuracy[task.name] = accuracies(classes[task.name], scored, task)
    return Outcomes(errors, classes, accuracy, bins.astype(np.uint16), offsets)
