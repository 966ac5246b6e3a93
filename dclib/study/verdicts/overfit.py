"""Whether networks over-fit (section 4.3): the curves of loss and failures in their histories."""

from collections.abc import Sequence

import numpy as np

from dclib.metrics import THRESHOLD
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.paper import Claim
from dclib.study.verdicts.evidence import UNKNOWN, best, described, of_claim
from dclib.study.verdicts.judgement import Judged, Runs, both, opposite


def overfitted(claim: Claim, runs: Runs) -> Judged:
    """From some epoch on training loss falls while failure on faces not trained on rises."""
    group = best(of_claim(claim, runs(claim.plan)), claim.detail)
    if group is None:
        return Judged()
    gaps, words = [], []
    for method in claim.detail:
        rises = risen(group, method)
        surest = max(rises, key=lambda n: min(i.low for i in rises[n].values()), default=None)
        if surest is None:
            words.append(f"{method}: loss falls from no epoch on of which failures are known")
            gaps.append(UNKNOWN)
        else:
            words.append(f"{method}: {both(rises[surest])} points from epoch {surest + 1} on")
            gaps.append(opposite(rises[surest]))
    return Judged(
        gaps=gaps,
        words=words,
        records=[r for m in claim.detail for r in group.tries[m]],
        setting=described(group),
        limited=bool(group.limits),
    )


def risen(group: Comparison, method: str) -> dict[int, dict[str, Interval]]:
    """How far the failure rate rises from an epoch to the last ones, in points, by decoder.

    For each epoch before these of which failures are known, and from which on every try's loss
    falls. Faces of an epoch are counted and not kept one by one, so that the interval is as if
    those of the last epochs were others, which makes it wider; and by Bonferroni's correction all
    intervals hold together, since the surest rise is looked for. Tries count as in a difference.
    """
    own = group.tries[method]
    losses = _curves(own, "loss.landmarks")
    curves = {d: _curves(own, f"failure.{d}") for d in DECODERS}
    kept, faces = own[0].outcomes.errors[DECODERS[0]].shape
    known = np.all([np.isfinite(curve).all(axis=0) for curve in curves.values()], axis=0)
    falls = (losses[:, -1:] < losses).all(axis=0)
    epochs = [int(n) for n in np.flatnonzero(known & falls) if n < losses.shape[1] - kept]
    found: dict[int, dict[str, Interval]] = {n: {} for n in epochs}
    for d in DECODERS:
        last = float(np.mean([(r.outcomes.errors[d] > THRESHOLD).mean() for r in own]))
        chance = group.chance(decoder=d)
        over_tries = 2 / len(own) * max(chance.total, chance.noise) if chance else 0.0
        for n in epochs:
            before = float(curves[d][:, n].mean())
            over_faces = 1e4 * sum(p * (1 - p) for p in (before, last)) / faces
            uncertain = over_faces**2 / (faces - 1)
            uncertain += over_tries**2 / chance.freedom if chance else 0.0
            variance = over_faces + over_tries
            freedom = variance**2 / uncertain if uncertain else np.inf
            rise = 100 * (last - before)
            found[n][d] = Interval.by_t(rise, variance**0.5, freedom, len(epochs))
    return found


def _curves(records: Sequence[Record], name: str) -> np.ndarray:
    """A column of histories (tries, epochs), NaN where an epoch has none."""
    return np.array([[row.get(name, np.nan) for row in r.history] for r in records])
