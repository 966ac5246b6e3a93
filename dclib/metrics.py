"""How a prediction is scored: landmark failure rate and its relatives (section 4.1 of the paper).

Every function is pure and takes whole arrays; `landmark_errors` works face by face, so scoring a
test set in batches and scoring it at once give the same numbers. Arrays, nested lists and torch
tensors (of any device) are all accepted.

A face's error is the mean distance between its predicted and true landmarks divided by its
interocular distance; 0.10 is the paper's "10%". A face that was not detected has the error `inf`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

THRESHOLD = 0.10  # of the interocular distance, section 4.1


def landmark_errors(pred: Any, truth: Any, eyes: tuple[int, int] = (0, 1)) -> Floats:
    """Mean landmark distance of each face as a share of its true interocular distance (§4.1).

    Args:
        pred: predicted points (N, L, 2), x then y, pixels. A face whose prediction is NaN
            throughout was not detected: its error is `inf`.
        truth: true points (N, L, 2) in the same isotropic frame, real-valued, not bin centres.
            A point that is NaN is not visible and does not count.
        eyes: the two landmarks between which the interocular distance lies.

    Returns:
        Errors (N,), float64.

    Raises:
        ValueError: shapes that do not match, a face whose eyes coincide or are not visible
            (`normalised_errors` takes another scale), a prediction that is NaN in part.

    Eyes 10 px apart; the left eye is predicted 5 px off (3 right, 4 down), the right eye exactly:

    >>> landmark_errors([[[3.0, 4.0], [10.0, 0.0]]], [[[0.0, 0.0], [10.0, 0.0]]])
    array([0.25])
    """
    return normalised_errors(pred, truth, interocular_distances(truth, eyes))


def landmark_failure_rate(
    pred: Any, truth: Any, eyes: tuple[int, int] = (0, 1), threshold: float = THRESHOLD
) -> float:
    """Share of faces whose error is greater than `threshold`, between 0 and 1 (§4.1).

    Args:
        pred, truth, eyes: as in `landmark_errors`, which also says what is refused.
        threshold: share of the interocular distance; an error equal to it is no failure.

    Two faces with eyes 10 px apart, the right eye predicted 1 px and 4 px off: errors 0.05, 0.2.

    >>> truth = [[[0.0, 0.0], [10.0, 0.0]], [[0.0, 0.0], [10.0, 0.0]]]
    >>> landmark_failure_rate([[[0.0, 0.0], [11.0, 0.0]], [[0.0, 0.0], [14.0, 0.0]]], truth)
    0.5
    """
    return failure_rate(landmark_errors(pred, truth, eyes), threshold)


def normalised_errors(pred: Any, truth: Any, scale: Any) -> Floats:
    """Mean landmark distance of each face divided by `scale`, one length in pixels per face.

    Args:
        pred, truth: (N, L, 2) as in `landmark_errors`.
        scale: (N,) or a single number.

    Returns:
        Errors (N,), float64.

    Raises:
        ValueError: shapes that do not match, a scale that is not positive, a face without a
            visible point, a prediction that is NaN in part.

    >>> normalised_errors([[[3.0, 4.0], [10.0, 0.0]]], [[[0.0, 0.0], [10.0, 0.0]]], 5.0)
    array([0.5])
    """
    predicted, true = _points(pred, "pred"), _points(truth, "truth")
    if predicted.shape != true.shape:
        raise ValueError(f"pred has shape {predicted.shape}, truth {true.shape}: must be equal")
    lengths = np.broadcast_to(_array(scale), true.shape[:1])
    _refuse(~(lengths > 0), "has a scale that is not positive")
    visible = ~np.any(np.isnan(true), axis=2)  # (N, L)
    _refuse(~np.any(visible, axis=1), "has no visible landmark")
    missing = np.any(np.isnan(predicted), axis=2)  # (N, L)
    undetected = np.all(missing, axis=1)
    _refuse(np.any(missing & visible, axis=1) & ~undetected, "is predicted in part (NaN)")

    offsets = np.where(visible[..., None] & ~missing[..., None], predicted - true, 0.0)
    distances = np.hypot(offsets[..., 0], offsets[..., 1])  # (N, L)
    # Mean first, division last: an error of exactly 0.10 then stays exactly 0.10.
    errors = distances.sum(axis=1) / visible.sum(axis=1) / lengths
    return np.where(undetected, np.inf, errors)


def interocular_distances(truth: Any, eyes: tuple[int, int] = (0, 1)) -> Floats:
    """Distance between the two eye centres of each face, in the units of `truth` (§4.1).

    Args:
        truth: points (N, L, 2).
        eyes: the two landmarks.

    Returns:
        Distances (N,).

    Raises:
        ValueError: an eye out of range, a face whose eyes coincide or are not visible.

    >>> interocular_distances([[[1.0, 1.0], [4.0, 5.0], [3.0, 9.0]]])
    array([5.])
    """
    true = _points(truth, "truth")
    distances = _apart(true, eyes)
    _refuse(np.isnan(distances), f"has an eye (landmarks {eyes}) that is not visible")
    _refuse(distances == 0, f"has both eyes (landmarks {eyes}) in one place")
    return distances


def box_sizes(truth: Any) -> Floats:
    """Square root of the area of each face's landmark box: a scale that shrinks less in profile.

    The interocular distance of a turned head shrinks, which inflates its error;
    `normalised_errors(pred, truth, box_sizes(truth))` is the check against that.

    Args:
        truth: points (N, L, 2), NaN where not visible.

    Returns:
        Sizes (N,), in the units of `truth`.

    Raises:
        ValueError: the visible landmarks of a face span no area.

    >>> box_sizes([[[0.0, 0.0], [8.0, 1.0], [4.0, 2.0]]])
    array([4.])
    """
    true = _points(truth, "truth")
    _refuse(np.all(np.any(np.isnan(true), axis=2), axis=1), "has no visible landmark")
    sizes = _box(true)
    _refuse(sizes == 0, "has landmarks that span no area")
    return sizes


def face_sizes(truth: Any, eyes: tuple[int, int] | None = (0, 1)) -> Floats:
    """What the errors of faces are shares of: the distance between the eyes, else `box_sizes`.

    The box stands in where the eyes are not among the landmarks, or where one of them is not
    visible. On a frontal face with five landmarks both are about the same.

    Args:
        truth: points (N, L, 2), NaN where not visible.
        eyes: the two landmarks between which the interocular distance lies, if there are any.

    Returns:
        Sizes (N,), in the units of `truth`; NaN where a face has too few landmarks for either.

    >>> face_sizes([[[1.0, 1.0], [4.0, 5.0]], [[1.0, 1.0], [float("nan"), 5.0]]])
    array([ 5., nan])
    """
    true = _points(truth, "truth")
    sizes = _box(true)
    if eyes is not None:
        apart = _apart(true, eyes)
        sizes = np.where(apart > 0, apart, sizes)
    return np.where(sizes > 0, sizes, np.nan)


def _apart(true: Floats, eyes: tuple[int, int]) -> Floats:
    """Distance (N,) between two points of each face; NaN where one is not visible."""
    if len(set(eyes)) != 2 or len(eyes) != 2:
        raise ValueError(f"eyes={eyes}: give the numbers of two landmarks")
    for eye in eyes:
        if eye not in range(true.shape[1]):
            raise ValueError(f"eyes={eyes}: there are {true.shape[1]} landmarks, numbered from 0")
    across = true[:, eyes[1]] - true[:, eyes[0]]  # (N, 2)
    return np.hypot(across[:, 0], across[:, 1])


def _box(true: Floats) -> Floats:
    """Square root (N,) of the area of the visible points' box; 0 where there is none."""
    highest = np.where(np.isnan(true), -np.inf, true).max(axis=1)  # (N, 2)
    lowest = np.where(np.isnan(true), np.inf, true).min(axis=1)
    return np.sqrt((highest - lowest).clip(0).prod(axis=1))


def failure_rate(errors: Any, threshold: float = THRESHOLD) -> float:
    """Share of the errors that are greater than `threshold`, strictly; between 0 and 1 (§4.1).

    Args:
        errors: any shape.
        threshold: in the unit of the errors.

    Raises:
        ValueError: no error at all, one that is NaN, or a threshold that is none.

    >>> round(failure_rate([0.02, 0.05, 0.12]), 4)
    0.3333
    >>> failure_rate([0.10])
    0.0
    """
    return float(np.mean(_errors(errors) > _limit(threshold, "threshold")))


def mean_error(errors: Any) -> float:
    """Mean error of the detected faces; `missed_faces` says how many were not detected (§4.5).

    Args:
        errors: any shape.

    Raises:
        ValueError: no face was detected, or an error is NaN.

    >>> round(mean_error([0.02, 0.05, 0.12, float("inf")]), 5)
    0.06333
    """
    values = _errors(errors)
    detected = values[np.isfinite(values)]
    if detected.size == 0:
        raise ValueError("no face was detected: there is no mean error")
    return float(detected.mean())


def missed_faces(errors: Any) -> int:
    """Number of faces that were not detected (§4.5).

    >>> missed_faces([0.02, float("inf")])
    1
    """
    return int(np.isinf(_errors(errors)).sum())


def ced(errors: Any, at: Any) -> Floats:
    """Cumulative error distribution: share of faces with an error of at most `at`.

    Args:
        errors: any shape.
        at: any shape, which is also that of the result.

    >>> ced([0.02, 0.05, 0.12, float("inf")], at=[0.01, 0.05, 0.20])
    array([0.  , 0.5 , 0.75])
    """
    values = np.sort(_errors(errors), axis=None)
    places = _array(at)
    if _absent(places).any():
        raise ValueError("at: an error at which the distribution is asked for is NaN")
    return np.asarray(np.searchsorted(values, places, side="right") / values.size)


def auc(errors: Any, limit: float = THRESHOLD) -> float:
    """Area under the cumulative error distribution up to `limit`, as a share of the limit.

    Between 0 and 1, and exact, not summed on a grid: each face adds what lies right of its error
    e, so the area is the mean of max(0, 1 - e / limit).

    Raises:
        ValueError: no error at all, one that is NaN, or a limit that is not positive.

    >>> round(auc([0.02, 0.05, 0.12]), 5)
    0.43333
    """
    if not _limit(limit, "limit"):
        raise ValueError("limit=0: there is no area below it")
    return float(np.mean(np.maximum(0.0, 1.0 - _errors(errors) / limit)))


def accuracy(pred: Any, truth: Any) -> float:
    """Share of labels predicted correctly among those that are known (truth not negative).

    Args:
        pred, truth: integer classes of one shape.

    Raises:
        ValueError: shapes that do not match, or no label that is known.

    >>> accuracy([0, 1, 1, 4], [0, 1, 0, -1]) == 2 / 3
    True
    """
    predicted, true = _array(pred), _array(truth)
    if predicted.shape != true.shape:
        raise ValueError(f"pred has shape {predicted.shape}, truth {true.shape}: must be equal")
    known = true >= 0
    if not known.any():
        raise ValueError("no label is known: there is no accuracy")
    return float(np.mean(predicted[known] == true[known]))


def _array(values: Any) -> Floats:
    if hasattr(values, "detach"):  # a torch tensor, maybe on a GPU, maybe bfloat16
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)


def _points(values: Any, name: str) -> Floats:
    points = _array(values)
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"{name} has shape {points.shape}: must be (faces, landmarks, 2)")
    return points


def _errors(values: Any) -> Floats:
    errors = _array(values)
    if errors.size == 0:
        raise ValueError("there is no face to score")
    if _absent(errors).any():
        raise ValueError(f"{int(_absent(errors).sum())} of {errors.size} errors are NaN")
    if (errors < 0).any():
        raise ValueError(f"{int((errors < 0).sum())} of {errors.size} errors are negative")
    return errors


def _limit(value: float, name: str) -> float:
    if not 0 <= value < np.inf:
        raise ValueError(f"{name}={value}: give a share of the scale, not negative and finite")
    return value


def _absent(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values), dtype=np.bool_)


def _refuse(faces: NDArray[np.bool_], reason: str) -> None:
    if faces.any():
        raise ValueError(f"face {int(np.flatnonzero(faces)[0])} {reason}")
