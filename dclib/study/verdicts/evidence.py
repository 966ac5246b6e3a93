"""What bears out a claim: methods compared, draws of weights, the history of a run.

Removed features are in `removal`, cascades in `cascades`. Each function takes a claim and what
finds runs, and picks the setting by `dclib.study.analysis.comparison.settings`: of those with the
claim's own data, backbone and start that have all its methods, the one with the most training.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

import dclib.study.analysis.random_draws
from dclib.metrics import THRESHOLD
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison, at_shared_rate, fits, settings
from dclib.study.analysis.random_draws import FEWEST
from dclib.study.analysis.stats import (
    DECODERS,
    LENGTHS,
    LEVEL,
    Interval,
    Verdict,
    all_of,
    average,
    certainty,
    side,
    slope,
    spanned,
    verdict,
)
from dclib.study.paper import Claim, Metric
from dclib.study.verdicts.judgement import Judged, Runs, both, count, opposite, span

WEIGHTINGS = ("per_output", "per_task")  # the first is judged, the second stands beside
FLAT = 1.0  # points a doubling: "level" if the whole interval of a slope is nearer to zero


def described(group: Comparison) -> str:
    """A setting in words, and what its intervals take from elsewhere."""
    e = group.about
    (first, *_), *_ = group.tries.values()
    tries = sorted({len(own) for own in group.tries.values()})
    parts = [
        f"{e.train_faces or first.environment['trained_on']:,} faces, {e.epochs} epochs"
        f" ({100 * group.training:.0f} % of the paper's training)",
        f"width {e.width:g}, {e.resolution} px",
        count(tries[0]) if len(tries) == 1 else f"{tries[0]} to {tries[-1]} tries",
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


def shortly(group: Comparison) -> str:
    """The length of training of a setting, and its tries."""
    first, *_ = next(iter(group.tries.values()))
    e, most = group.about, max(map(len, group.tries.values()))
    return (
        f"{e.train_faces or first.environment['trained_on']:,} faces × {e.epochs} epochs,"
        f" {count(most)}"
    )


def best(groups: Iterable[Comparison], methods: Sequence[str]) -> Comparison | None:
    """The first setting, of those in `settings`' order, that has all of some methods."""
    return next((g for g in groups if {*methods} <= g.tries.keys()), None)


def of_claim(claim: Claim, records: Sequence[Record], weighting: str) -> list[Comparison]:
    """The settings that a claim is about, under one weighting."""
    found = [g for g in settings(records) if g.about.weighting == weighting]
    return [g for g in found if fits(claim, g.about)]


def lower(claim: Claim, runs: Runs) -> Judged:
    """Methods compared in pairs, on the same faces."""
    records = runs(claim.plan)
    methods = claim.methods
    groups = of_claim(claim, records, WEIGHTINGS[0])
    group = best(groups, methods)
    if group is None:
        there = [m for m in methods if groups and m in groups[0].tries]
        lacking = f"no setting has all of {', '.join(methods)}" if there else ""
        return Judged(measured=lacking)
    gaps = [group.gaps(*pair, claim.metric) for pair in claim.comparisons]
    lines = [
        f"{first} − {second}: {both(gap)}"
        for (first, second), gap in zip(claim.comparisons, gaps, strict=True)
    ]
    freedom = min(i.freedom for gap in gaps for i in gap.values())
    lines.append(f"t with at least {freedom:.0f} degrees of freedom")
    given, beside = group.judge(claim), []
    for name, other in _beside(claim, records, group, methods):
        told = other.judge(claim)
        beside.append(f"{name}: {told}")
        if {given, told} == {Verdict.SUPPORTED, Verdict.CONTRADICTED} and name == WEIGHTINGS[1]:
            given = Verdict.UNCLEAR
    used = [record for m in methods for record in group.tries[m]]
    margin = [group.gaps(*pair, claim.metric, claim.margin) for pair in claim.comparisons]
    judged = given in (Verdict.SUPPORTED, Verdict.CONTRADICTED)
    _, at = max((gap["bin"].value, at) for at, gap in enumerate(margin))
    first, second = claim.comparisons[at]
    _, slopes = moves(groups, group, (first, second), claim.metric)
    brief = (
        f"{first} − {second}: {span(gaps[at]['bin'])}",
        shortly(group),
        f"{span(slopes['bin'])}: {word(slopes)}" if slopes else "",
    )
    return Judged(
        given,
        "; ".join([*lines, *beside]),
        used,
        described(group),
        trend(groups, group, claim.comparisons, claim.metric),
        certainty(margin) if judged else 1.0,
        brief,
    )


def _beside(
    claim: Claim, records: Sequence[Record], group: Comparison, methods: Sequence[str]
) -> Iterable[tuple[str, Comparison]]:
    """The same methods under the other weighting, and at one shared rate, where they were run."""
    like = best(of_claim(claim, records, WEIGHTINGS[1]), methods)
    if like:
        same = like.about.epochs == group.about.epochs and like.training == group.training
        yield WEIGHTINGS[1] if same else f"{WEIGHTINGS[1]} ({described(like)})", like
    shared = at_shared_rate(records, group)
    if {*methods} <= shared.tries.keys() and any(
        {r.id for r in shared.tries[m]} != {r.id for r in group.tries[m]} for m in methods
    ):
        yield "one rate for all", shared


def trend(
    groups: Sequence[Comparison],
    chosen: Comparison,
    pairs: Sequence[tuple[str, str]],
    metric: Metric = "failure rate",
) -> str:
    """How differences move with each doubling of training, in words; "" of few lengths."""
    told = []
    for first, second in pairs:
        lengths, slopes = moves(groups, chosen, (first, second), metric)
        if slopes:
            told.append(
                f"{first} − {second}: {both(slopes)} points a doubling of training,"
                f" {lengths} lengths: {word(slopes)}"
            )
    return "; ".join(told)


def word(slopes: Mapping[str, Interval]) -> str:
    """What slopes, by decoder, say up to the longest training; no word on longer ones."""
    sign = side(slopes.values())
    if sign:
        return "still falling" if sign < 0 else "still rising"
    flat = all(i.low > -FLAT and i.high < FLAT for i in slopes.values())
    return "level" if flat else "unclear"


def moves(
    groups: Sequence[Comparison], chosen: Comparison, pair: tuple[str, str], metric: Metric
) -> tuple[int, dict[str, Interval]]:
    """The slope of a difference by decoder, and of how many lengths; none of fewer than `LENGTHS`.

    Of settings as long as each other, that with the most faces counts. A straight line by least
    squares over the binary logarithm of faces times epochs.
    """

    def like(e: Experiment) -> tuple[object, ...]:
        return e.width, e.resolution, e.batch, e.pretrained, e.dataset, e.underlying

    same = [g for g in groups if like(g.about) == like(chosen.about)]
    lengths: dict[float, Comparison] = {}
    for group in sorted(same, key=lambda g: g.about.train_faces or 10_000):
        if {*pair} <= group.tries.keys():
            lengths[round(float(np.log2(group.training)), 1)] = group
    if len(lengths) < LENGTHS:
        return len(lengths), {}
    doublings = [float(np.log2(g.training)) for g in lengths.values()]
    return len(lengths), {
        d: slope(doublings, [g.difference(*pair, metric, d).value for g in lengths.values()])
        for d in DECODERS
    }


def gain(claim: Claim, runs: Runs) -> Judged:
    """Cross-Stitch's failure rate minus DCNet's, on one backbone of `claim.detail` minus another's.

    Test faces are the same, so they pair.
    """
    records = runs(claim.plan)
    groups = [
        best(of_claim(replace(claim, underlying=name), records, WEIGHTINGS[0]), ("DCNet", "XS"))
        for name in claim.detail
    ]
    one, other = groups
    if one is None or other is None:
        return Judged()
    gaps = {}
    for d in DECODERS:
        faces = [
            g.scores("XS", "failure rate", d).mean(axis=0)
            - g.scores("DCNet", "failure rate", d).mean(axis=0)
            for g in (other, one)
        ]
        gained = faces[0] - faces[1]  # below zero where the first improves more, as claimed
        chances = [
            (sum(1 / len(g.tries[m]) for m in ("DCNet", "XS")), g.chance(decoder=d))
            for g in (one, other)
        ]
        gaps[d] = spanned(float(gained.mean()), gained, chances)
    used = [r for group in (one, other) for m in ("DCNet", "XS") for r in group.tries[m]]
    limits = [*one.limits, *other.limits]
    given = Verdict.UNCLEAR if limits else verdict(gaps)
    names = [g.about.underlying for g in (one, other)]
    words = f"improvement on {names[0]} minus on {names[1]}: {both(opposite(gaps))}"
    where = "; ".join(f"{n}: {described(g)}" for n, g in zip(names, (one, other), strict=True))
    return Judged(given, words, used, where, p=1.0 if limits else certainty([gaps]))


def overfit(claim: Claim, runs: Runs) -> Judged:
    """Training loss falls while failure on faces not trained on rises, over the epochs kept."""
    group = best(of_claim(claim, runs(claim.plan), WEIGHTINGS[0]), claim.detail)
    if group is None:
        return Judged()
    comparisons, words = [], []
    for method in claim.detail:
        own = group.tries[method]
        losses = [[row["loss.landmarks"] for row in r.history] for r in own]
        kept = own[0].outcomes.errors["bin"].shape[0]
        falls = all(loss[-1] < loss[-kept] for loss in losses)
        rises = {}
        for d in DECODERS:
            failed = [100.0 * (r.outcomes.errors[d] > THRESHOLD) for r in own]
            rises[d] = average([f[0] - f[-1] for f in failed])  # below zero where failure rises
        words.append(f"{method}: {both(opposite(rises))} points over the last {kept} epochs")
        zero = Interval(0.0, -1.0, 1.0, 1.0)
        comparisons.append(rises if falls else dict.fromkeys(DECODERS, zero))
    told = Verdict.UNCLEAR if group.limits else all_of(verdict(c) for c in comparisons)
    used = [r for m in claim.detail for r in group.tries[m]]
    return Judged(told, "; ".join(words), used, described(group))


def draws(claim: Claim, runs: Runs) -> Judged:
    """Draws of random weights: which property, `claim.detail` says."""
    drawn = [r for r in runs(claim.plan) if any(w for _, w in r.experiment.related)]
    records = [r for r in drawn if fits(claim, r.experiment)]
    found = dclib.study.analysis.random_draws.pairs(records)
    if not found:
        return Judged()
    (what,) = claim.detail
    used = [r for r in records if r.experiment.try_ in {draw.number for draw in found}]
    told = {d: dclib.study.analysis.random_draws.summary(found, d) for d in DECODERS}
    group = Comparison(records)
    where = f"a try a draw: {described(group)}"
    if len(found) < FEWEST:
        counts = " and ".join(f"{told[d].better} ({d})" for d in DECODERS)
        words = f"{len(found)} draws, fewer than {FEWEST}; better in {counts}"
        return Judged(Verdict.UNCLEAR, words, used, where)
    if what == "normal":
        p_values = [told[d].normality for d in DECODERS]
        words = " and ".join(f"p = {told[d].normality:.2g} ({d})" for d in DECODERS)
        # no sample shows that something is normally distributed
        refuted = Interval(1, 1, 1) if max(p_values) < 1 - LEVEL else Interval(0, -1, 1)
        gaps = dict.fromkeys(DECODERS, refuted)
    elif what == "majority":
        counts = " and ".join(f"{told[d].better} ({d})" for d in DECODERS)
        words = f"better in {counts} of {len(found)} draws"
        gaps = opposite(
            {
                d: Interval(s.value - 50, s.low - 50, s.high - 50, told[d].p_value)
                for d in DECODERS
                for s in [told[d].share]
            }
        )
    elif what == "mean":
        words = f"mean improvement {both({d: told[d].mean_over_faces for d in DECODERS})} points"
        gaps = opposite({d: told[d].mean_over_faces for d in DECODERS})
    else:
        gaps = {
            d: dclib.study.analysis.random_draws.spread(found, d)["DCNet minus XS"]
            for d in DECODERS
        }
        words = f"spread of DCNet − spread of XS: {both(gaps)} points"
    short = group.too_short
    given = Verdict.UNCLEAR if short else verdict(gaps)
    return Judged(given, words, used, where, p=1.0 if short else certainty([gaps]))
