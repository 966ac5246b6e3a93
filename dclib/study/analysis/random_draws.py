"""Fig. 5 in numbers: DCNet against Cross-Stitch at random weights of the related tasks (§4.3).

In each draw both are trained once, with the same weights and the same seed. All draws share their
training faces and their test faces, for there is one split. So whatever is said over draws is
conditional on that split: its intervals tell how another draw of weights and seeds would come out
on these very faces, and only `Summary.mean_over_faces` lets the test faces vary, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, rankdata, shapiro

from dclib.errors import RunError
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison, scores
from dclib.study.analysis.stats import (
    DECODERS,
    LEVEL,
    RESAMPLES,
    WIDE,
    Floats,
    Interval,
    average,
    percentiles,
)

OURS, THEIRS = "DCNet", "XS"
FEWEST = 10  # draws: of fewer there is no interval over draws, it would be too narrow


@dataclass(frozen=True, eq=False)
class Draw:
    """Both methods, trained with one draw of weights.

    Attributes:
        number: counts the draws from 0.
        weights: the factor on the loss of each related task.
        scores: decoder -> method -> on each test face (N,), the share of the last epochs in which
            it fails, in %.
    """

    number: int
    weights: dict[str, float]
    scores: dict[str, dict[str, Floats]]

    @property
    def rates(self) -> dict[str, dict[str, float]]:
        """Decoder -> method -> failure rate, in %."""
        return {
            decoder: {method: float(of.mean()) for method, of in own.items()}
            for decoder, own in self.scores.items()
        }

    @property
    def improvement(self) -> dict[str, float]:
        """Decoder -> Cross-Stitch's failure rate minus DCNet's, in points: positive is better."""
        return {decoder: float(self.gaps(decoder).mean()) for decoder in self.scores}

    def gaps(self, decoder: str) -> Floats:
        """What `improvement` is the mean of, face by face (N,)."""
        own = self.scores[decoder]
        return np.asarray(own[THEIRS] - own[OURS])

    def interval(self, decoder: str) -> Interval:
        """The improvement of this draw alone, and its paired interval over faces."""
        return average(self.gaps(decoder)[None])


@dataclass(frozen=True)
class Summary:
    """What all draws say, under one decoder; points, but for `share`, which is in %.

    With fewer than `FEWEST` draws the ends of intervals over draws, all but that of `share`, are
    NaN, and with fewer than three so is the test of normality.

    Attributes:
        draws: how many there are.
        better: in how many DCNet fails less often. Equally often is not better.
        clearly_better, clearly_worse: in how many the interval of the draw alone, over faces, lies
            above zero, or below.
        p_value: exact and two-sided, of the hypothesis that either is as likely to be the better
            one; draws in which they are equal are left out.
        share: `better` of `draws`, with the interval of Clopper and Pearson.
        mean, median: of the improvement, with percentile intervals over draws.
        mean_over_faces: the mean once more; the interval lets draws and test faces vary.
        maximum: the largest improvement.
        normality: p-value of Shapiro and Wilk's test that improvements are normally distributed.
    """

    draws: int
    better: int
    clearly_better: int
    clearly_worse: int
    p_value: float
    share: Interval
    mean: Interval
    median: Interval
    mean_over_faces: Interval
    maximum: float
    normality: float


def pairs(records: Sequence[Record]) -> list[Draw]:
    """The draws of which both runs are there, in the order of their numbers.

    Args:
        records: runs of DCNet and Cross-Stitch whose try is the number of the draw.

    Raises:
        RunError: they differ in more than method and weights, the two runs of a draw have other
            weights, or a run is there twice.
    """
    group = Comparison(records)
    own = {m: {r.experiment.try_: r for r in group.tries.get(m, ())} for m in (OURS, THEIRS)}
    return [_draw(n, own[OURS][n], own[THEIRS][n]) for n in sorted(own[OURS].keys() & own[THEIRS])]


def _draw(number: int, ours: Record, theirs: Record) -> Draw:
    weights = dict(ours.experiment.related)
    if weights != dict(theirs.experiment.related):
        raise RunError(
            f"draw {number}: runs {ours.id} and {theirs.id} have other weights; give the runs of"
            " one plan"
        )
    pair = {OURS: ours, THEIRS: theirs}
    failed = {
        decoder: {m: scores([run], "failure rate", decoder)[0] for m, run in pair.items()}
        for decoder in DECODERS
    }
    return Draw(number, weights, failed)


def summary(draws: Sequence[Draw], decoder: str = "bin") -> Summary:
    """The numbers that the paper gives of Fig. 5, and how sure they are.

    Raises:
        ValueError: no draw at all.
    """
    if not draws:
        raise ValueError("there is no draw with both of its runs")
    gains = _improvements(draws, decoder)
    alone = [draw.interval(decoder) for draw in draws]
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    again = _resampled(gains)
    mean = percentiles(gains.mean(), again.mean(axis=1))
    median = percentiles(float(np.median(gains)), np.median(again, axis=1))
    over_faces = average([draw.gaps(decoder) for draw in draws])
    if len(draws) < FEWEST:
        mean, median, over_faces = (_unknown(one.value) for one in (mean, median, over_faces))
    varied = len(draws) > 2 and np.ptp(gains) > 0
    return Summary(
        draws=len(draws),
        better=better,
        clearly_better=sum(one.low > 0 for one in alone),
        clearly_worse=sum(one.high < 0 for one in alone),
        p_value=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
        share=share(better, len(draws)),
        mean=mean,
        median=median,
        mean_over_faces=over_faces,
        maximum=float(gains.max()),
        normality=float(shapiro(gains).pvalue) if varied else np.nan,
    )


def share(better: int, draws: int) -> Interval:
    """So many of so many draws in %, with the interval of Clopper and Pearson.

    The paper's count:

    >>> found = share(86, 100)
    >>> round(found.low, 1), round(found.high, 1)
    (77.6, 92.1)
    """
    exact = binomtest(better, draws).proportion_ci(LEVEL, method="exact")
    return Interval(100 * better / draws, 100 * float(exact.low), 100 * float(exact.high))


def spread(draws: Sequence[Draw], decoder: str = "bin") -> dict[str, Interval]:
    """How much the failure rate of each method varies from draw to draw, and the difference.

    Standard deviations in points, with percentile intervals over draws, by method; and under
    "DCNet minus XS" the first minus the second, which is negative where DCNet is less sensitive to
    the weights. A draw also has a seed of its own, so chance of training is a part of both. With
    fewer than `FEWEST` draws the ends are NaN, and with fewer than two all is.
    """
    rates = {m: np.array([draw.rates[decoder][m] for draw in draws]) for m in (OURS, THEIRS)}
    gap = f"{OURS} minus {THEIRS}"
    if len(draws) < 2:
        return dict.fromkeys([*rates, gap], _unknown(np.nan))
    values = {m: float(own.std(ddof=1)) for m, own in rates.items()}
    values[gap] = values[OURS] - values[THEIRS]
    if len(draws) < FEWEST:
        return {name: _unknown(value) for name, value in values.items()}
    again = {m: _resampled(own).std(axis=1, ddof=1) for m, own in rates.items()}
    again[gap] = again[OURS] - again[THEIRS]
    return {name: percentiles(value, again[name]) for name, value in values.items()}


def dependence(draws: Sequence[Draw], decoder: str = "bin") -> dict[str, Interval]:
    """Spearman's rank correlation of the improvement with the weight of each related task.

    The interval is Bonett and Wright's, by Fisher's transformation. NaN where there are fewer than
    `FEWEST` draws.
    """
    if len(draws) < FEWEST:
        return {task: _unknown(np.nan) for draw in draws[:1] for task in draw.weights}
    gains = rankdata(_improvements(draws, decoder))
    found = {}
    for task in draws[0].weights:
        ranks = rankdata([draw.weights[task] for draw in draws])
        rho = float(np.corrcoef(ranks, gains)[0, 1])
        half = WIDE * np.sqrt((1 + rho**2 / 2) / (len(draws) - 3))
        middle = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
        low, high = np.tanh([middle - half, middle + half])
        found[task] = Interval(rho, float(low), float(high))
    return found


def _improvements(draws: Sequence[Draw], decoder: str) -> Floats:
    return np.array([draw.improvement[decoder] for draw in draws])


def _resampled(values: Floats) -> Floats:
    """The values of draws, drawn with replacement: (resamples, draws), the same draws each time."""
    picked = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    return np.asarray(values[picked])


def _unknown(value: float) -> Interval:
    return Interval(float(value), np.nan, np.nan)
