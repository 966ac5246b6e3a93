"""What bears out a claim: methods compared, and draws of weights.

Removed features are in `removal`, cascades in `cascades`.

Each function takes a claim and what finds the runs of a plan, and ends in `dclib.stats.verdict`: an
interval on the claimed side of zero, with both decoders. `dclib.verdicts.rules` has the rules in
words.
"""

from collections.abc import Mapping, Sequence

import dclib.draws
from dclib.comparison import Comparison, fits
from dclib.draws import FEWEST
from dclib.paper import Claim
from dclib.stats import DECODERS, LEVEL, Floats, Interval, Verdict, paired_bootstrap, verdict
from dclib.verdicts.judged import Judged, Runs, both, opposite, shifted


def tries(found: Mapping[str, Sequence[object]], methods: Sequence[str]) -> str:
    """How many tries there are of each method, in words.

    >>> tries({"DCNet": [0, 1], "XS": [0]}, ["DCNet", "XS"])
    'tries: DCNet 2, XS 1'
    """
    counts = {m: len(found[m]) for m in methods if m in found}
    if set(counts.values()) == {1}:
        return "one try each"
    if len(set(counts.values())) > 1:
        return "tries: " + ", ".join(f"{m} {count}" for m, count in counts.items())
    return f"{next(iter(counts.values()), 0)} tries"


def lower(claim: Claim, runs: Runs) -> Judged:
    """Methods compared in pairs, on the same faces."""
    group = Comparison([r for r in runs(claim.plan) if fits(claim, r.experiment)])
    methods = list(dict.fromkeys(method for pair in claim.comparisons for method in pair))
    missing = [m for m in methods if m not in group.tries]
    there = [pair for pair in claim.comparisons if not {*pair} & {*missing}]
    lines = []
    for first, second in there:
        gaps = {d: group.difference(first, second, claim.metric, d) for d in DECODERS}
        lines.append(f"{first} − {second}: {both(gaps)}")
    if lines:
        compared = [m for m in methods if any(m in pair for pair in there)]
        lines.append(tries(group.tries, compared))
    if missing and group.tries:
        lines.append(f"no run yet of {', '.join(missing)}")
    used = [record for m in methods for record in group.tries.get(m, [])]
    return Judged(group.judge(claim), "; ".join(lines), used)


def gain(claim: Claim, runs: Runs) -> Judged:
    """Cross-Stitch's failure rate minus DCNet's, on one underlying network minus on another.

    The plans are those of `claim.detail`. Of each, tries that both methods have are paired.
    """
    groups = [Comparison(runs(plan)) for plan in claim.detail]
    if any(not {"DCNet", "XS"} <= group.tries.keys() for group in groups):
        return Judged(Verdict.NOT_RUN)
    used = [r for group in groups for m in ("DCNet", "XS") for r in group.tries[m]]
    if any(r.experiment.dataset != claim.dataset for r in used):
        return Judged(Verdict.NOT_RUN)

    def gains(group: Comparison, decoder: str) -> Floats:
        ours, theirs = (group.scores(m, "failure rate", decoder) for m in ("DCNet", "XS"))
        count = min(len(ours), len(theirs))
        return theirs[:count] - ours[:count]  # (tries, faces)

    # the second minus the first: below zero where the first improves more, as claimed
    gaps = {d: paired_bootstrap(*(gains(g, d) for g in reversed(groups))) for d in DECODERS}
    names = [group.about.underlying for group in groups]
    words = f"improvement on {names[0]} minus on {names[1]}: {both(opposite(gaps))}"
    return Judged(verdict(gaps, groups[0].about.preset), words, used)


def draws(claim: Claim, runs: Runs) -> Judged:
    """Draws of random weights: which property, `claim.detail` says."""
    records = [r for r in runs(claim.plan) if fits(claim, r.experiment)]
    found = dclib.draws.pairs(records)
    if not found:
        return Judged(Verdict.NOT_RUN)
    (what,) = claim.detail
    used = [r for r in records if r.experiment.try_ in {draw.number for draw in found}]
    told = {d: dclib.draws.summary(found, d) for d in DECODERS}
    preset = records[0].experiment.preset
    if len(found) < FEWEST:
        words = f"{len(found)} draw{'s' * (len(found) > 1)}, fewer than {FEWEST}; better in"
        counts = " and ".join(f"{told[d].better} ({d})" for d in DECODERS)
        return Judged(Verdict.INCONCLUSIVE, f"{words} {counts}", used)
    if what == "normal":
        p_values = [told[d].normality for d in DECODERS]
        words = " and ".join(f"p = {told[d].normality:.2g} ({d})" for d in DECODERS)
        both_sides = Interval(0, -1, 1)  # no sample shows that something is normally distributed
        refuted = Interval(1, 1, 1) if max(p_values) < 1 - LEVEL else both_sides
        gaps = dict.fromkeys(DECODERS, refuted)
        return Judged(verdict(gaps, preset), f"{words}, {len(found)} draws", used)
    if what == "majority":
        counts = " and ".join(f"{told[d].better} ({d})" for d in DECODERS)
        words = f"better in {counts} of {len(found)} draws"
        gaps = {d: shifted(told[d].share, -50) for d in DECODERS}
    elif what == "mean":
        gaps = {d: told[d].mean_over_faces for d in DECODERS}
        words = f"mean improvement {both(gaps)} points, {len(found)} draws"
    else:
        spreads = {d: dclib.draws.spread(found, d)["DCNet minus XS"] for d in DECODERS}
        gaps = opposite(spreads)
        words = f"spread of DCNet − spread of XS: {both(spreads)} points, {len(found)} draws"
    return Judged(verdict(opposite(gaps), preset), words, used)
