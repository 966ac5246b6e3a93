"""How sure a comparison is: intervals over faces and tries, McNemar's and Holm's tests, verdicts.

A method is described by a score matrix (tries, faces): for each try and test face the mean over
the last five epochs of that face's failure (0 or 1), or of its error. The mean of the matrix is the
number the paper reports: "the average over the last five epochs, averaged over three tries".
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, linregress, norm
from scipy.stats import t as student

RESAMPLES = 10_000
LEVEL = 0.95
WIDE = float(norm.ppf((1 + LEVEL) / 2))  # half a normal interval, in standard errors
LENGTHS = 3  # fewest settings that a trend is drawn through
DECODERS = ("bin", "soft")  # the paper's decoder and the windowed soft-argmax

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval, in the units of the value.

    Attributes:
        p: two-sided p-value that it is zero; NaN where it was not worked out.
        freedom: degrees of freedom of Student's t, where the interval is by it.
    """

    value: float
    low: float
    high: float
    p: float = field(default=math.nan, compare=False, repr=False)
    freedom: float = field(default=math.inf, compare=False, repr=False)

    @classmethod
    def by_t(cls, value: float, error: float, freedom: float, count: int = 1) -> "Interval":
        """By Student's t, from a standard error; `count` of them hold together (Bonferroni)."""
        half = float(student.ppf(1 - (1 - LEVEL) / 2 / count, freedom)) * error
        p = 2 * float(student.sf(abs(value) / error, freedom)) if error else float(value == 0)
        return cls(value, value - half, value + half, min(1.0, count * p), freedom)

    @property
    def error(self) -> float:
        """The standard error that the interval was made of."""
        return (self.high - self.low) / 2 / float(student.ppf((1 + LEVEL) / 2, self.freedom))

    def moved(self, by: float) -> "Interval":
        """The interval of the value plus a constant."""
        return Interval.by_t(self.value + by, self.error, self.freedom)


NOWHERE = Interval(math.nan, math.nan, math.nan)  # where nothing counts


@dataclass(frozen=True)
class Chance:
    """How much tries of a method differ, pooled over the methods of one setting.

    Attributes:
        total: variance of the mean scores of tries around that of their method.
        noise: what of it comes from single faces that fare differently from try to try, which
            the spread of a difference over faces already holds.
        freedom: degrees of freedom of both: tries less methods.
    """

    total: float
    noise: float
    freedom: int

    @classmethod
    def of(cls, matrices: Iterable[Any]) -> "Chance | None":
        """That of some methods' scores, (tries, faces) each; None where none has two tries."""
        several = [m for m in map(_matrix, matrices) if len(m) > 1]
        freedom = sum(len(m) - 1 for m in several)
        if not freedom:
            return None
        apart = [m - m.mean(axis=0) for m in several]  # from the mean of each face
        total = sum((a.mean(axis=1) ** 2).sum() for a in apart) / freedom
        own = sum(((a - a.mean(axis=1, keepdims=True)) ** 2).sum() for a in apart)
        faces = several[0].shape[1]
        return cls(float(total), float(own / freedom / max(faces - 1, 1) / faces), freedom)


def spanned(value: float, faces: Floats, tries: Iterable[tuple[float, Chance | None]]) -> Interval:
    """A value and its interval, by Student's t.

    Its variance is that over faces, as if others had been drawn, and for each method that over
    tries; degrees of freedom are Welch and Satterthwaite's. It is conditional on the training
    faces and their split, which all tries share, and it takes tries of all methods to vary alike.

    Args:
        value: what was measured, the mean of `faces` plus a constant.
        faces: what each face adds to it (N,), averaged over tries.
        tries: for each setting how much tries differ there, and the sum over its methods of one
            over their tries; None where nothing is known: the interval is then over faces alone.
    """
    known = [(share, chance) for share, chance in tries if chance]
    over_faces = float(faces.var(ddof=1)) / len(faces) if len(faces) > 1 else 0.0
    over_tries = [(share * max(c.total, c.noise), c.freedom) for share, c in known]
    alone = over_faces - sum(share * c.noise for share, c in known)
    variance = max(alone, 0.0) + sum(own for own, _ in over_tries)
    if not variance:
        return Interval(value, value, value, float(value == 0))
    uncertain = sum(own**2 / freedom for own, freedom in over_tries)
    uncertain += over_faces**2 / max(len(faces) - 1, 1)
    return Interval.by_t(value, variance**0.5, variance**2 / uncertain)


def average(scores: Any, chance: Chance | None = None) -> Interval:
    """A method's mean score with its interval, see `spanned`.

    Args:
        scores: (tries, faces), not empty, and finite.
        chance: of tries, by default that of these.
    """
    own = _matrix(scores)
    chance = chance or Chance.of([own])
    return spanned(float(own.mean()), own.mean(axis=0), [(1 / len(own), chance)])


def difference(first: Any, second: Any, chance: Chance | None = None) -> Interval:
    """mean(first) - mean(second) with its interval, faces paired, see `spanned`.

    Args:
        first, second: (tries, faces) of the same faces in the same order, tries of each its own.
        chance: of tries, by default that of both.
    """
    one, other = _matrix(first), _matrix(second)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"{one.shape[1]} faces against {other.shape[1]}: must be the same faces")
    chance = chance or Chance.of([one, other])
    gaps = one.mean(axis=0) - other.mean(axis=0)
    share = 1 / len(one) + 1 / len(other)
    return spanned(float(one.mean() - other.mean()), gaps, [(share, chance)])


def relative_change(before: Any, after: Any) -> Interval:
    """mean(after) / mean(before) - 1 in %, with its interval over shared faces and tries.

    For one network before and after something was done to it (§4.4). The ratio is linearised: what
    a face, or a try, adds to it is its score after less the ratio times its score before.

    Args:
        before, after: (tries, faces) of the same networks on the same faces, in the same order.

    Raises:
        ValueError: shapes that differ, a mean of zero before.
    """
    one, other = _matrix(before), _matrix(after)
    if one.shape != other.shape:
        raise ValueError(f"scores have shapes {one.shape} and {other.shape}: must be the same")
    if not one.mean() > 0:
        raise ValueError("nothing fails before: there is no relative change")
    ratio = other.mean() / one.mean()
    added = 100 * (other - ratio * one) / one.mean()
    tries = [(1 / len(one), Chance.of([added]))]
    return spanned(float(100 * (ratio - 1)), added.mean(axis=0), tries)


def _matrix(scores: Any) -> Floats:
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"scores have shape {matrix.shape}: must be (tries, faces), not empty")
    if not np.isfinite(matrix).all():
        raise ValueError("scores must be finite: average errors over detected faces first")
    return matrix


def slope(x: Sequence[float], y: Sequence[float]) -> Interval:
    """The slope of a straight line by least squares, and its interval by Student's t.

    Args:
        x, y: (n,), of at least three points.

    >>> slope([0, 1, 2], [1, 3, 5]).value
    2.0
    """
    line = linregress(x, y)
    return Interval.by_t(float(line.slope), float(np.nan_to_num(line.stderr)), len(x) - 2)


def bootstrap(statistic: Callable[..., Any], *samples: Floats) -> Interval:
    """A statistic, and the interval that holds the middle `LEVEL` of it over resamples.

    Args:
        statistic: along the last axis of what stands in for the samples, (n,) or (resamples, n).
        samples: (n,) each, drawn with replacement together, and alike at each call.
    """
    count = len(samples[0])
    picked = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    again = statistic(*(sample[picked] for sample in samples))
    low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p = min(1.0, 2 * float(min((again <= 0).mean(), (again >= 0).mean())))
    return Interval(float(statistic(*samples)), float(low), float(high), p)


def mcnemar(first: Any, second: Any) -> float:
    """Two-sided exact p-value that two methods fail on equally many faces: a check per try.

    Only faces on which the two differ count; if neither is better, each is as likely to be the one
    that fails.

    Args:
        first, second: (faces,) booleans, true where the method fails.

    Five faces fail under the first method alone, none under the second alone:

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
    0.0625
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"shapes {one.shape} and {other.shape}: must both be (faces,)")
    alone, differing = int((one & ~other).sum()), int((one ^ other).sum())
    return float(binomtest(alone, differing).pvalue) if differing else 1.0


def holm(p_values: Iterable[float]) -> list[float]:
    """p-values corrected for how many they are, by Holm's steps.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.array(list(p_values))
    order = np.argsort(values)
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()


def side(intervals: Iterable[Interval]) -> int:
    """Where all of some intervals lie: -1 below zero, 1 above, else 0.

    >>> side([Interval(-3, -5, -1), Interval(-2, -4, -1)])
    -1
    """
    ends = [(i.low, i.high) for i in intervals]
    below, above = all(high < 0 for _, high in ends), all(low > 0 for low, _ in ends)
    return int(above) - int(below)


class Verdict(StrEnum):
    """What runs say about a claim; see `verdict` for the rule."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNCLEAR = "unclear"
    NOT_TESTED = "not tested"
    NOT_TESTABLE = "not testable"


def verdict(differences: Mapping[str, Interval]) -> Verdict:
    """The verdict rule: does a measured difference bear out "the first is lower than the second"?

    The intervals of both decoders below zero: *supported*. Both above: *contradicted*. Anything
    else, also decoders that disagree: *unclear*. With a decoder missing: *not tested*.

    >>> print(verdict({"bin": Interval(-3, -5, -1), "soft": Interval(-2, -4, -1)}))
    supported
    """
    if any(d not in differences for d in DECODERS):
        return Verdict.NOT_TESTED
    where = side(differences[decoder] for decoder in DECODERS)
    return {-1: Verdict.SUPPORTED, 1: Verdict.CONTRADICTED, 0: Verdict.UNCLEAR}[where]


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Verdict on a claim that needs every one of several comparisons ("the lowest of all").

    One comparison in the opposite direction refutes the claim; otherwise one that was not tested
    leaves it *not tested*, one that is unclear leaves it *unclear*. No comparison is *not tested*.

    >>> print(all_of([Verdict.SUPPORTED, Verdict.UNCLEAR]))
    unclear
    """
    given = set(verdicts) or {Verdict.NOT_TESTED}
    strongest_first = Verdict.CONTRADICTED, Verdict.NOT_TESTED, Verdict.UNCLEAR, Verdict.SUPPORTED
    return next(kind for kind in strongest_first if kind in given)


def certainty(comparisons: Sequence[Mapping[str, Interval]]) -> float:
    """p-value of the verdict on a claim that needs all of some comparisons, for `holm`.

    *Supported* is as sure as the least sure comparison and decoder. *Contradicted* as the surest
    opposite comparison, times their number. *Unclear* has 1.
    """
    given = [verdict(c) for c in comparisons]
    least = [max(i.p for i in c.values()) for c in comparisons]
    if all_of(given) == Verdict.SUPPORTED:
        return max(least)
    opposite = [p for p, v in zip(least, given, strict=True) if v == Verdict.CONTRADICTED]
    return min(1.0, min(opposite) * len(given)) if opposite else 1.0
