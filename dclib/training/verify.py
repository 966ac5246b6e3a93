"""Whether a record says what its raw predictions say, recomputed where the data are."""

import numpy as np

from dclib import metrics
from dclib.data.faces import FaceSet
from dclib.records.outcomes import ERROR_UNITS, OFFSET_UNITS, Outcomes
from dclib.records.runs import Record
from dclib.tasks import label_tasks
from dclib.training.judging import accuracies, face_sizes, true_points


def verify(record: Record) -> list[str]:
    """Recompute every outcome from raw predictions and the truth; what differs, in words.

    Landmark errors under the paper's decoder are recomputed for all kept epochs, those of the
    soft decoder for the last one (its offsets are kept for that one only), labels for all.

    Raises:
        DataError: the data set is not here, or not the one that the run used.
    """
    from dclib import data
    from dclib.training.batches import face_sets

    e, outcomes = record.experiment, record.outcomes
    _, _, scored = face_sets(e)
    there = (len(scored), scored.landmarks.shape[1] if outcomes.errors else 0)
    if outcomes.bins.shape[1:3] != there:
        return ["numbers of faces and of points"]
    wrong = _landmarks(outcomes, scored) if outcomes.errors else []
    for task in label_tasks(data.find(e.dataset).tasks(e.resolution)):
        if task.name not in outcomes.classes:
            continue
        right = accuracies(outcomes.classes[task.name], scored, task)
        if not np.allclose(right, outcomes.accuracy[task.name], 0, 1e-9, equal_nan=True):
            wrong.append(f"{task.name} labels")
    return wrong


def _landmarks(outcomes: Outcomes, scored: FaceSet) -> list[str]:
    truth, sizes = true_points(scored), face_sizes(scored)
    wrong = []
    step = 0.5 / ERROR_UNITS + 1e-6
    for epoch, bins in enumerate(outcomes.bins):
        errors = metrics.normalised_errors(bins + 0.5, truth, sizes)
        stored = outcomes.errors["bin"][epoch]
        other_side = (errors > metrics.THRESHOLD) != (stored > metrics.THRESHOLD)
        if (abs(errors - stored) > step).any() or other_side.any():
            wrong.append(f"landmark errors (bin) of kept epoch {epoch}")
    soft = metrics.normalised_errors(outcomes.points("soft"), truth, sizes)
    rounding = np.sqrt(2) * 0.5 / OFFSET_UNITS / sizes
    if (abs(soft - outcomes.errors["soft"][-1]) > step + rounding).any():
        wrong.append("landmark errors (soft) of the last epoch")
    return wrong
