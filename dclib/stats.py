"""How sure a comparison is: intervals over faces and tries, McNemar's test, the verdict rule.

A method is described by a score matrix (tries, faces): for each try and test face the mean over
the last five epochs of that face's failure (0 or 1), or of its error. The mean of the matrix is the
number the paper reports: "the average over the last five epochs, averaged over three tries".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from dclib.metrics import THRESHOLD

RESAMPLES = 10_000
LEVEL = 0.95
WIDE = float(norm.ppf((1 + LEVEL) / 2))  # half a normal interval, in standard errors
DECODERS = ("bin", "soft")  # the paper's decoder and the windowed soft-argmax

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value and its percentile interval, in the units of the value."""

    value: float
    low: float
    high: float


def failures(errors: Any, threshold: float = THRESHOLD) -> Floats:
    """Score matrix of landmark failures: share of the epochs in which each face fails (§4.2).

    Args:
        errors: (tries, epochs, faces), as shares of the interocular distance.
        threshold: a greater error is a failure.

    Returns:
        Scores (tries, faces), between 0 and 1.

    Raises:
        ValueError: errors of another number of dimensions.

    >>> failures([[[0.05, 0.20], [0.10, 0.11], [0.30, 0.08], [0.02, 0.50]]])
    array([[0.25, 0.75]])
    """
    values = np.asarray(errors)
    if values.ndim != 3:
        raise ValueError(f"errors have shape {values.shape}: must be (tries, epochs, faces)")
    return np.asarray((values > threshold).mean(axis=1))


def bootstrap(scores: Any, *, seed: int = 0, level: float = LEVEL) -> Interval:
    """Percentile interval of a method's mean score over faces and tries.

    10,000 times the faces are drawn with replacement and, inside, the tries. Always show the tries
    beside it: with one try it knows nothing of how tries differ; with two or three it is too narrow
    where whole tries differ more than faces do (three values allow ten distinct draws), and a
    little too wide where tries only disagree about single faces (that noise is drawn twice).

    Args:
        scores: (tries, faces).
        seed: of the draws.
        level: share of the resampled values that the interval holds.

    Raises:
        ValueError: a matrix that is empty or not finite.

    >>> bootstrap([[1.0, 1.0, 1.0]])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    matrix = _matrix(scores)
    tries = np.random.default_rng([seed, 1])
    return percentiles(matrix.mean(), _resampled(matrix, seed, tries), level)


def paired_bootstrap(first: Any, second: Any, *, seed: int = 0, level: float = LEVEL) -> Interval:
    """Percentile interval of mean(first) - mean(second) over shared faces and own tries.

    Each of the 10,000 resamples draws one set of faces for both methods and, inside, the tries of
    each method on its own; what `bootstrap` says of few tries holds here too.

    Args:
        first, second: (tries, faces) of the same faces in the same order; the number of tries may
            differ.
        seed: of the draws.
        level: share of the resampled differences that the interval holds.

    Raises:
        ValueError: numbers of faces that differ, a matrix that is empty or not finite.

    >>> paired_bootstrap([[1.0, 0.0, 1.0]], [[1.0, 0.0, 1.0]])
    Interval(value=0.0, low=0.0, high=0.0)
    """
    one, other = _matrix(first), _matrix(second)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"{one.shape[1]} faces against {other.shape[1]}: must be the same faces")
    tries = np.random.default_rng([seed, 1])
    resampled = _resampled(one, seed, tries) - _resampled(other, seed, tries)
    return percentiles(one.mean() - other.mean(), resampled, level)


def resampled(scores: Any, *, seed: int = 0, stream: int = 1) -> Floats:
    """A mean score under each of the 10,000 draws of `bootstrap`, for what is made of several.

    Args:
        scores: (tries, faces).
        seed: of the draws; the same faces are drawn whatever the scores.
        stream: of the draws of tries; another one for another method.

    Returns:
        Means (10,000,).

    Raises:
        ValueError: a matrix that is empty or not finite.
    """
    return _resampled(_matrix(scores), seed, np.random.default_rng([seed, stream]))


def relative_change(before: Any, after: Any, *, seed: int = 0, level: float = LEVEL) -> Interval:
    """Percentile interval of mean(after) / mean(before) - 1 in %, over shared faces and tries.

    For one network before and after something was done to it (§4.4): each of the 10,000 resamples
    draws one set of faces and, inside, one set of tries, for both. Resamples without any failure
    before, which can only occur where there are few, are left out.

    Args:
        before, after: (tries, faces) of the same networks on the same faces, in the same order.
        seed: of the draws.
        level: share of the resampled changes that the interval holds.

    Raises:
        ValueError: shapes that differ, a matrix that is empty or not finite, a mean of zero before.

    >>> relative_change([[1.0, 1.0]], [[1.0, 1.0]])
    Interval(value=0.0, low=0.0, high=0.0)
    """
    one, other = _matrix(before), _matrix(after)
    if one.shape != other.shape:
        raise ValueError(f"scores have shapes {one.shape} and {other.shape}: must be the same")
    if not one.mean() > 0:
        raise ValueError("nothing fails before: there is no relative change")
    below, above = (_resampled(m, seed, np.random.default_rng([seed, 1])) for m in (one, other))
    some = below > 0
    changes = 100 * (above[some] / below[some] - 1)
    return percentiles(100 * (other.mean() / one.mean() - 1), changes, level)


def mcnemar(first: Any, second: Any) -> float:
    """Two-sided exact p-value that two methods fail on equally many faces: a check per try.

    Only faces on which the two differ count; if neither is better, each is as likely to be the one
    that fails.

    Args:
        first, second: (faces,) booleans, true where the method fails.

    Raises:
        ValueError: shapes that do not match.

    Five faces fail under the first method alone and none under the second alone: 2 · (1/2)^5.

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
    0.0625
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"shapes {one.shape} and {other.shape}: must both be (faces,)")
    alone, differing = int((one & ~other).sum()), int((one ^ other).sum())
    return float(binomtest(alone, differing).pvalue) if differing else 1.0


def side(intervals: Iterable[Interval]) -> int:
    """Where all of some intervals lie: -1 below zero, 1 above, else 0.

    >>> side([Interval(-3, -5, -1), Interval(-2, -4, -1)])
    -1
    """
    ends = [(i.low, i.high) for i in intervals]
    below, above = all(high < 0 for _, high in ends), all(low > 0 for low, _ in ends)
    return int(above) - int(below)


class Verdict(StrEnum):
    """What a run says about a claim of the paper; see `verdict` for the rule."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    SUPPORTED = "direction supported"
    CONTRADICTED = "direction contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


def verdict(differences: Mapping[str, Interval], preset: str) -> Verdict:
    """The verdict rule: does a measured difference bear out "the first is lower than the second"?

    - Both intervals lie below zero: the direction the paper claims. Both lie above zero: the
      opposite direction. Anything else, also decoders that disagree: *inconclusive*.
    - At `paper`, the paper's own protocol, the claimed direction is *reproduced* and the opposite
      *not reproduced*. At `cpu`, a smaller protocol on the same faces, they are only *direction
      supported* and *direction contradicted*.
    - At `smoke` (synthetic faces, seconds of training), or with a decoder missing: *not run*.

    The rule was fixed before any network was evaluated on test faces.

    Args:
        differences: by decoder ("bin", "soft") the interval of first - second in failure rate, from
            `paired_bootstrap`.
        preset: the preset it was measured at.

    >>> print(verdict({"bin": Interval(-3, -5, -1), "soft": Interval(-2, -4, -1)}, "cpu"))
    direction supported
    """
    claimed_and_opposite = {
        "cpu": (Verdict.SUPPORTED, Verdict.CONTRADICTED),
        "paper": (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED),
    }
    if preset not in claimed_and_opposite or any(d not in differences for d in DECODERS):
        return Verdict.NOT_RUN
    claimed, opposite = claimed_and_opposite[preset]
    where = side(differences[decoder] for decoder in DECODERS)
    return {-1: claimed, 1: opposite, 0: Verdict.INCONCLUSIVE}[where]


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Verdict on a claim that needs every one of several comparisons ("the lowest of all").

    One comparison in the opposite direction refutes the claim; otherwise one that was not run
    leaves it *not run*, one that is inconclusive leaves it *inconclusive*. No comparison at all is
    *not run*.

    >>> print(all_of([Verdict.SUPPORTED, Verdict.INCONCLUSIVE]))
    inconclusive
    """
    strongest_first = (
        Verdict.NOT_REPRODUCED,
        Verdict.CONTRADICTED,
        Verdict.NOT_RUN,
        Verdict.INCONCLUSIVE,
        Verdict.SUPPORTED,
        Verdict.REPRODUCED,
    )
    present = set(verdicts) or {Verdict.NOT_RUN}
    return next(kind for kind in strongest_first if kind in present)


def _matrix(scores: Any) -> Floats:
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"scores have shape {matrix.shape}: must be (tries, faces), not empty")
    if not np.isfinite(matrix).all():
        raise ValueError("scores must be finite: average errors over detected faces first")
    return matrix


@lru_cache(maxsize=2)  # the draw of faces is the same for every pair of methods of a table
def _face_counts(faces: int, seed: int) -> NDArray[np.float32]:
    """How often each resample drew each face: (resamples, faces), each row summing to `faces`."""
    rng = np.random.default_rng([seed, 0])
    rows = np.arange(RESAMPLES // 100)[:, None] * faces
    counts = [
        np.bincount(
            (rows + rng.integers(faces, size=(len(rows), faces))).ravel(),
            minlength=rows.size * faces,
        )
        for _ in range(100)
    ]
    return np.concatenate(counts).reshape(RESAMPLES, faces).astype(np.float32)


@lru_cache(maxsize=256)  # the tables and figures of a page ask for the same scores many times
def _resampled_tries(scores: bytes, tries: int, seed: int) -> NDArray[np.float32]:
    """Mean score of each try under every resample of faces: (resamples, tries)."""
    matrix = np.frombuffer(scores, dtype=np.float64).reshape(tries, -1)  # (tries, faces)
    counts = _face_counts(matrix.shape[1], seed)
    return counts @ matrix.T.astype(np.float32) / np.float32(matrix.shape[1])


def _resampled(matrix: Floats, seed: int, tries: np.random.Generator) -> Floats:
    """Mean score under every resample of faces and, inside, of tries: (resamples,)."""
    per_try = _resampled_tries(matrix.tobytes(), len(matrix), seed)
    drawn = tries.integers(len(matrix), size=per_try.shape)  # (resamples, tries)
    return np.take_along_axis(per_try, drawn, axis=1).mean(axis=1, dtype=np.float64)


def percentiles(value: float, resampled: Floats, level: float = LEVEL) -> Interval:
    """A value, and the interval that holds the middle `level` of its resampled values."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))
