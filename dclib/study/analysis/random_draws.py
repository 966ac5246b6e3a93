"""Fig. 5 in numbers: DCNet against Cross-Stitch at random weights of the related tasks (§4.3).

In each draw both are trained once, with the same weights and the same seed. All draws share their
training faces and their test faces, for there is one split. So whatever is said over draws is
conditional on that split: its intervals tell how another draw of weights and seeds would come out
on these very faces, and only `Summary.mean_over_faces` lets the test faces vary, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import binomtest, rankdata, shapiro

from dclib.errors import RunError
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison, scores
from dclib.study.analysis.stats import (
    DECODERS,
    LEVEL,
    WIDE,
    Floats,
    Interval,
    average,
    bootstrap,
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

    With fewer than `FEWEST` draws the ends of intervals, but that of `share`, are NaN; with fewer
    than three so is `normality`.

    Attributes:
        draws: how many there are.
        better: in how many DCNet fails less often. Equally often is not better.
        clearly_better, clearly_worse: in how many it is, by the interval of the draw alone.
        p_value: exact and two-sided, that either is as likely to be better; equal ones left out.
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
    tries = Comparison(records).tries
    ours, theirs = ({r.experiment.try_: r for r in tries.get(m, ())} for m in (OURS, THEIRS))
    found = []
    for number in sorted(ours.keys() & theirs):
        pair = {OURS: ours[number], THEIRS: theirs[number]}
        weights, other = (dict(run.experiment.related) for run in pair.values())
        if weights != other:
            raise RunError(
                f"draw {number}: runs {' and '.join(r.id for r in pair.values())} have other"
                " weights; give the runs of one plan"
            )
        failed = {
            d: {m: scores([run], "failure rate", d)[0] for m, run in pair.items()} for d in DECODERS
        }
        found.append(Draw(number, weights, failed))
    return found


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
    over_faces = average([draw.gaps(decoder) for draw in draws])
    varied = len(draws) > 2 and np.ptp(gains) > 0
    return Summary(
        draws=len(draws),
        better=better,
        clearly_better=sum(one.low > 0 for one in alone),
        clearly_worse=sum(one.high < 0 for one in alone),
        p_value=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
        share=share(better, len(draws)),
        mean=_over_draws(np.mean, gains),
        median=_over_draws(np.median, gains),
        mean_over_faces=over_faces if len(draws) >= FEWEST else _unknown(over_faces.value),
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
    ours, theirs = (np.array([draw.rates[decoder][m] for draw in draws]) for m in (OURS, THEIRS))
    gap = f"{OURS} minus {THEIRS}"
    if len(draws) < 2:
        return dict.fromkeys((OURS, THEIRS, gap), _unknown(np.nan))
    deviation = partial(np.std, ddof=1)

    def apart(one: Floats, other: Floats, axis: int) -> Any:
        return deviation(one, axis=axis) - deviation(other, axis=axis)

    return {
        OURS: _over_draws(deviation, ours),
        THEIRS: _over_draws(deviation, theirs),
        gap: _over_draws(apart, ours, theirs),
    }


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


def _over_draws(statistic: Callable[..., Any], *samples: Floats) -> Interval:
    """A statistic of samples (draws,), with its percentile interval where there are enough."""
    found = bootstrap(partial(statistic, axis=-1), *samples)
    return found if len(samples[0]) >= FEWEST else _unknown(found.value)


def _unknown(value: float) -> Interval:
    return Interval(float(value), np.nan, np.nan)
