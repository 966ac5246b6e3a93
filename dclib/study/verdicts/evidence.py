"""What bears out a claim: methods compared, draws of weights.

Removed features are in `removal`, cascades in `cascades`, curves of failures in `overfit`. Each
function takes a claim and what finds runs, and picks the setting: of those of
`dclib.study.analysis.comparison.settings` with the claim's own data, backbone and start that have
all its methods, the one with the most training.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study.analysis import random_draws
from dclib.study.analysis.comparison import Comparison, at_shared_rate, fits, settings
from dclib.study.analysis.random_draws import FEWEST, Draw
from dclib.study.analysis.stats import (
    DECODERS,
    LENGTHS,
    LEVEL,
    Interval,
    Verdict,
    side,
    slope,
    spanned,
)
from dclib.study.paper import Claim, Metric
from dclib.study.verdicts.judgement import Gaps, Judged, Runs, both, count, opposite, span

WEIGHTINGS = ("per_output", "per_task")  # the first is judged, the second stands beside
UNITS = {"failure rate": "points", "mean error": "% of the distance between the eyes"}
FLAT = 1.0  # points a doubling: "level" if the whole interval of a slope is nearer to zero
UNKNOWN = dict.fromkeys(DECODERS, Interval(0.0, -1.0, 1.0, 1.0))  # a difference that says nothing


def described(group: Comparison) -> str:
    """A setting in words, and what its intervals take from elsewhere."""
    e = group.about
    parts = [
        f"{group.faces:,} faces, {e.epochs} epochs"
        f" ({100 * group.training:.0f} % of the paper's training)",
        f"width {e.width:g}, {e.resolution} px",
        _tries(group),
    ]
    if e.pretrained and e.pretrained != "imagenet":
        parts.append(f"from weights `{e.pretrained}`, not torchvision's")
    if group.single and group.lender:
        lent = group.lender.about
        parts.append(
            f"variance over tries from {lent.dataset}, {lent.epochs} epochs,"
            f" {len(next(iter(group.lender.tries.values())))} tries"
        )
    return "; ".join([*parts, *group.limits])


def length(group: Comparison) -> str:
    """How long a setting trains, and how often, in short."""
    return f"{group.faces:,} faces × {group.about.epochs} epochs, {_tries(group)}"


def _tries(group: Comparison) -> str:
    fewest, *more = sorted({len(own) for own in group.tries.values()})
    return f"{fewest} to {more[-1]} tries" if more else count(fewest)


def best(groups: Iterable[Comparison], methods: Sequence[str]) -> Comparison | None:
    """The first setting, of those in `settings`' order, that has all of some methods."""
    return next((g for g in groups if {*methods} <= g.tries.keys()), None)


def of_claim(
    claim: Claim, records: Sequence[Record], weighting: str = WEIGHTINGS[0]
) -> list[Comparison]:
    """The settings that a claim is about, under one weighting."""
    found = [g for g in settings(records) if g.about.weighting == weighting]
    return [g for g in found if fits(claim, g.about)]


def lower(claim: Claim, runs: Runs) -> Judged:
    """Methods compared in pairs, on the same faces."""
    records, methods, pairs = runs(claim.plan), claim.methods, claim.comparisons
    groups = of_claim(claim, records)
    group = best(groups, methods)
    if group is None:
        some = groups and not groups[0].tries.keys().isdisjoint(methods)
        return Judged(words=[f"no setting has all of {', '.join(methods)}"] if some else [])
    gaps = [group.gaps(*pair, claim.metric) for pair in pairs]
    words = [f"{a} − {b}: {both(gap)}" for (a, b), gap in zip(pairs, gaps, strict=True)]
    freedom = min(i.freedom for gap in gaps for i in gap.values())
    words.append(f"t with at least {freedom:.0f} degrees of freedom")
    given, turned = group.judge(claim), False
    for name, other in _beside(claim, records, group):
        told = other.judge(claim)
        words.append(f"{name}: {told}")
        opposed = {given, told} == {Verdict.SUPPORTED, Verdict.CONTRADICTED}
        turned = turned or (opposed and name == WEIGHTINGS[1])
    trends = [moves(groups, group, pair, claim.metric) for pair in pairs]
    judged = [group.gaps(*pair, claim.metric, claim.margin) for pair in pairs]
    at = max(range(len(pairs)), key=lambda k: (judged[k]["bin"].value, k))  # what decides
    _, slopes = trends[at]
    return Judged(
        gaps=[] if group.drawn else judged,
        words=words,
        records=[record for m in methods for record in group.tries[m]],
        setting=described(group),
        limited=turned or bool(group.limits),
        trend="; ".join(
            f"{a} − {b}: {both(slopes)} points a doubling of training,"
            f" {lengths} lengths: {word(slopes)}"
            for (a, b), (lengths, slopes) in zip(pairs, trends, strict=True)
            if slopes
        ),
        brief=(
            f"{' − '.join(pairs[at])}: {span(gaps[at]['bin'])} {UNITS[claim.metric]}",
            length(group),
            f"{span(slopes['bin'])}: {word(slopes)}" if slopes else "",
        ),
        pair=pairs[at],
    )


def _beside(
    claim: Claim, records: Sequence[Record], group: Comparison
) -> Iterable[tuple[str, Comparison]]:
    """The same methods under the other weighting, and at one shared rate, where they were run."""
    like = best(of_claim(claim, records, WEIGHTINGS[1]), claim.methods)
    if like:
        same = like.about.epochs == group.about.epochs and like.training == group.training
        yield WEIGHTINGS[1] if same else f"{WEIGHTINGS[1]} ({described(like)})", like
    shared = at_shared_rate(records, group)
    if {*claim.methods} <= shared.tries.keys() and any(
        {r.id for r in shared.tries[m]} != {r.id for r in group.tries[m]} for m in claim.methods
    ):
        yield "one rate for all", shared


def word(slopes: Gaps) -> str:
    """What slopes, by decoder, say up to the longest training; no word on longer ones."""
    if sign := side(slopes.values()):
        return "still falling" if sign < 0 else "still rising"
    flat = all(i.low > -FLAT and i.high < FLAT for i in slopes.values())
    return "level" if flat else "unclear"


def alike(
    groups: Iterable[Comparison], chosen: Comparison, pair: tuple[str, str]
) -> list[Comparison]:
    """The settings with both methods that differ from a chosen one in faces and epochs alone."""

    def like(e: Experiment) -> tuple[object, ...]:
        return e.width, e.resolution, e.batch, e.pretrained, e.dataset, e.underlying

    return [g for g in groups if like(g.about) == like(chosen.about) and {*pair} <= g.tries.keys()]


def moves(
    groups: Sequence[Comparison], chosen: Comparison, pair: tuple[str, str], metric: Metric
) -> tuple[int, Gaps]:
    """The slope of a difference by decoder, and of how many lengths; none of fewer than `LENGTHS`.

    Of settings as long as each other, that with the most faces counts. A straight line by least
    squares over the binary logarithm of faces times epochs.
    """
    same = sorted(alike(groups, chosen, pair), key=lambda g: g.faces)
    lengths = {round(float(np.log2(g.training)), 1): g for g in same}
    if len(lengths) < LENGTHS:
        return len(lengths), {}
    doublings = [float(np.log2(g.training)) for g in lengths.values()]
    gaps = [g.gaps(*pair, metric) for g in lengths.values()]
    return len(lengths), {d: slope(doublings, [gap[d].value for gap in gaps]) for d in DECODERS}


def gain(claim: Claim, runs: Runs) -> Judged:
    """Cross-Stitch's failure rate minus DCNet's, on one backbone of `claim.detail` minus another's.

    Test faces are the same, so they pair.
    """
    records, methods = runs(claim.plan), ("XS", "DCNet")
    found = [
        best(of_claim(replace(claim, underlying=name), records), methods) for name in claim.detail
    ]
    groups = [group for group in found if group]
    if len(groups) < len(claim.detail):
        return Judged()
    gaps = {}
    for d in DECODERS:
        each = [[g.scores(m, "failure rate", d).mean(axis=0) for m in methods] for g in groups]
        one, other = (stitch - ours for stitch, ours in each)  # gains, face by face
        tries = [(sum(1 / len(g.tries[m]) for m in methods), g.chance(decoder=d)) for g in groups]
        gaps[d] = spanned(float((other - one).mean()), other - one, tries)
    first, second = claim.detail
    wheres = zip(claim.detail, map(described, groups), strict=True)
    return Judged(
        gaps=[gaps],
        words=[f"improvement on {first} minus on {second}: {both(opposite(gaps))}"],
        records=[r for group in groups for m in methods[::-1] for r in group.tries[m]],
        setting="; ".join(f"{name}: {where}" for name, where in wheres),
        brief=(
            f"improvement on {first} − on {second}: {span(opposite(gaps)['bin'])} points",
            "; ".join(f"{name}: {length(g)}" for name, g in zip(claim.detail, groups, strict=True)),
            "",
        ),
        limited=any(group.limits for group in groups),
    )


def drawn(claim: Claim, runs: Runs) -> list[Record]:
    """The runs at random weights that a claim is about."""
    every = [r for r in runs(claim.plan) if any(weight for _, weight in r.experiment.related)]
    return [r for r in every if fits(claim, r.experiment)]


def draws(claim: Claim, runs: Runs) -> Judged:
    """Draws of random weights: which property, `claim.detail` says."""
    records = drawn(claim, runs)
    found = random_draws.pairs(records)
    if not found:
        return Judged()
    group = Comparison(records)
    if len(found) < FEWEST:
        gaps: Gaps = UNKNOWN
        words = f"{len(found)} draws, fewer than {FEWEST}; better in {_better(found)}"
    else:
        gaps, words = DRAWS[claim.detail[0]](found)
    return Judged(
        gaps=[gaps],
        words=[words],
        records=[r for r in records if r.experiment.try_ in {draw.number for draw in found}],
        setting=f"a try a draw: {described(group)}",
        brief=(words, length(group), ""),
        limited=group.too_short or len(found) < FEWEST,
    )


def _better(found: Sequence[Draw]) -> str:
    counts = {d: random_draws.summary(found, d).better for d in DECODERS}
    return " and ".join(f"{better} ({d})" for d, better in counts.items())


def _majority(found: Sequence[Draw]) -> tuple[Gaps, str]:
    gaps = {}
    for d in DECODERS:
        told = random_draws.summary(found, d)
        share = told.share
        gaps[d] = Interval(50 - share.value, 50 - share.high, 50 - share.low, told.p_value)
    return gaps, f"better in {_better(found)} of {len(found)} draws"


def _mean(found: Sequence[Draw]) -> tuple[Gaps, str]:
    means = {d: random_draws.summary(found, d).mean_over_faces for d in DECODERS}
    return opposite(means), f"mean improvement {both(means)} points"


def _normal(found: Sequence[Draw]) -> tuple[Gaps, str]:
    """No sample shows that something is normally distributed; one may refute it."""
    p_values = {d: random_draws.summary(found, d).normality for d in DECODERS}
    refuted = max(p_values.values()) < 1 - LEVEL
    words = " and ".join(f"p = {p:.2g} ({d})" for d, p in p_values.items())
    return dict.fromkeys(DECODERS, Interval(1, 1, 1)) if refuted else UNKNOWN, words


def _sensitivity(found: Sequence[Draw]) -> tuple[Gaps, str]:
    gaps = {d: random_draws.spread(found, d)["DCNet minus XS"] for d in DECODERS}
    return gaps, f"spread of DCNet − spread of XS: {both(gaps)} points"


DRAWS = {  # what each claim on draws is about: a difference, and words
    "majority": _majority,
    "mean": _mean,
    "normal": _normal,
    "sensitivity": _sensitivity,
}
