"""Section 4.3 in words: sentences that are made from the records, so that they hold for each."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis import random_draws as drawn
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.random_draws import Draw, Summary
from dclib.study.analysis.stats import DECODERS, Interval, side
from dclib.study.figures.scarcity import METHODS, OURS, by_ratio, printed, title
from dclib.study.figures.words import SMOKE, listed, rate
from dclib.study.plans.section4 import DRAWS, RATIOS


def paper_table1() -> str:
    """What Table 1 of the paper says, from its numbers."""
    others = [m for m in METHODS if m != OURS]
    leads = {p: [printed(p, other) - printed(p, OURS) for other in others] for p in RATIOS}
    ahead = {p: lead for p, lead in leads.items() if min(lead) > 0}
    behind = [p for p in RATIOS if p not in ahead]
    text = (
        f"DCNet fails least often at {listed([title(p) for p in ahead])}, by"
        f" {min(map(min, ahead.values())):.2f} to {max(map(max, ahead.values())):.2f} points, from"
        " the nearest other to the farthest"
    )
    for percent in behind:
        best = min(METHODS, key=lambda m: printed(percent, m))
        text += (
            f"; at {title(percent)} {best} does, and DCNet fails"
            f" {printed(percent, OURS) - printed(percent, best):.2f} points more often"
        )
    return text + "."


def table1(records: Sequence[Record]) -> str:
    """Which method fails least often at each ratio, and how often that is DCNet."""
    if not records:
        return "Nothing is run yet."
    lines, best = [], []
    for percent, group in by_ratio(records).items():
        if lacking := [m for m in METHODS if m not in group.tries]:
            lines.append(f"- {title(percent)}: not all run, {listed(lacking)} lacking")
            continue
        scores = {d: {m: group.score(m, decoder=d).value for m in METHODS} for d in DECODERS}
        best.append({d: min(METHODS, key=own.__getitem__) for d, own in scores.items()})
        lines.append(f"- {title(percent)}: {_least(group, best[-1])}")
    if best:
        told = [f"{sum(of[d] == OURS for of in best)} with the decoder {d}" for d in DECODERS]
        whole = f"{len(best)} ratio{'s' if len(best) > 1 else ''} with all four methods"
        lines += ["", f"Of {whole}, DCNet fails least often at {listed(told)}."]
    return "\n".join(["Least often fails", "", *lines, "", _tries(records)])


def _least(group: Comparison, best: dict[str, str]) -> str:
    text = f"{best['bin']}, {rate(group.score(best['bin']))}"
    if best["soft"] == best["bin"]:
        return text + ", under both decoders"
    return f"{text}; under the soft decoder {best['soft']}, " + rate(
        group.score(best["soft"], decoder="soft")
    )


def _tries(records: Sequence[Record]) -> str:
    counts = [len(own) for group in by_ratio(records).values() for own in group.tries.values()]
    if set(counts) == {1}:
        return "Each is one try: these intervals know of faces, not of how tries differ." + (
            f" {SMOKE}" if records[0].experiment.preset == "smoke" else ""
        )
    single = counts.count(1)
    if not single:
        return f"Each of the {len(counts)} cells is of {min(counts)} tries or more."
    return f"Of {len(counts)} cells {single} are of one try, the others of {max(counts)}."


def against(records: Sequence[Record]) -> str:
    """The verdicts on "DCNet fails less often", by other method: at which ratios which."""
    compared = by_ratio(records)
    if records and records[0].experiment.preset == "smoke":
        return SMOKE
    lines = []
    for other in METHODS:
        found: dict[str, list[str]] = {}
        for percent, group in compared.items():
            if other != OURS and {OURS, other} <= group.tries.keys():
                verdict = str(group.verdict(OURS, other))
                found.setdefault(verdict, []).append(title(percent))
        if found:
            parts = [f"{verdict} at {listed(ratios)}" for verdict, ratios in found.items()]
            lines.append(f"- against {other}: {'; '.join(parts)}")
    return "\n".join(lines) or "There is nothing yet to compare."


def slices(frame: pd.DataFrame) -> str:
    """At how many ratios DCNet fails less often than each other method, by kind of face.

    Args:
        frame: as `dclib.study.figures.scarcity_slices.sliced` makes it, not empty.
    """
    own = frame["bin"].unstack("train / test")  # method by (kind, ratio)
    lines = []
    for other in METHODS:
        if other == OURS or not {OURS, other} <= set(own.index):
            continue
        gaps = (own.loc[OURS].astype(float) - own.loc[other].astype(float)).dropna()
        counts = [
            f"{(gaps[kind] < 0).sum()} of {len(gaps[kind])} ({kind})"
            for kind in dict.fromkeys(gaps.index.get_level_values(0))
        ]
        lines.append(f"- than {other}: {', '.join(counts)}")
    if not lines:
        return "There is nothing yet to compare."
    return "\n".join(["Ratios at which DCNet fails less often, by kind of face:", "", *lines])


def paper_fig5() -> str:
    """What the paper says of Fig. 5, and how sure its own count makes it."""
    said = {name: paper.number("fig5", metric=f"{name}_improvement") for name in ("mean", "median")}
    better = int(paper.number("fig5", metric="times_better"))
    exact = drawn.share(better, 100)
    return (
        f"DCNet failed less often than Cross-Stitch in {better} of 100 draws (by that count alone"
        f" {exact.low:.0f} to {exact.high:.0f} %), by {said['mean']:.2f} points on average, with a"
        f" median of {said['median']:.2f} and a maximum of"
        f" {paper.number('fig5', metric='max_improvement'):.2f}."
    )


def fig5(draws: Sequence[Draw], preset: str) -> str:
    """In how many draws DCNet is better, by how much, and whether that is normally distributed."""
    lines = []
    for decoder in DECODERS:
        one = drawn.summary(draws, decoder)
        lines.append(
            f"- with the decoder {decoder}, DCNet fails less often in {one.better} of {one.draws}"
            f" draws, {_share(one.share)}. The improvement is {points(one.mean)} points on average,"
            f" {points(one.median)} in the median. Draws that are clear on their own:"
            f" {one.clearly_better} better, {one.clearly_worse} worse. {_normal(one)}"
        )
    lines += ["", "All of this is conditional on one split."]
    if len(draws) < DRAWS[preset]:
        lines[-1] += f" Of {DRAWS[preset]} draws {len(draws)} have both of their runs so far."
    if preset == "smoke":
        lines[-1] += f" {SMOKE}"
    return "\n".join(lines)


def _share(share: Interval) -> str:
    return f"{share.value:.0f} % ({share.low:.0f} to {share.high:.0f})"


def points(one: Interval) -> str:
    """Points with their interval, which is left out where there is none.

    >>> points(Interval(-1.5, -2.0, -1.0))
    '−1.50 (−2.00 to −1.00)'
    """
    text = f"{one.value:.2f}"
    if not np.isnan(one.low):
        text += f" ({one.low:.2f} to {one.high:.2f})"
    return text.replace("-", "−")


def _normal(one: Summary) -> str:
    if np.isnan(one.normality):
        return "For a test of normality there are too few."
    told = "do not look" if one.normality < 0.05 else "may well be"
    return f"The improvements {told} normally distributed (p = {one.normality:.2g})."


def dependence(draws: Sequence[Draw]) -> str:
    """Whether the improvement goes up or down with the weight of each related task."""
    found = {d: drawn.dependence(draws, d) for d in DECODERS}
    if any(np.isnan(one.low) for own in found.values() for one in own.values()):
        return "For a rank correlation there are too few draws."
    ways: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for task in found["bin"]:
        ways[side(found[d][task] for d in DECODERS)].append(task)
    told = {1: "grows with", -1: "falls with"}
    parts = [f"{told[way]} the weight of {listed(ways[way])}" for way in told if ways[way]]
    if unclear := ways[0]:
        parts.append(f"does not clearly depend on the weight of {listed(unclear)}")
    return f"What DCNet gains on Cross-Stitch {' and '.join(parts)}."
