"""Section 4.3 in words: sentences that are made from the records, so that they hold for each."""

from collections.abc import Sequence

import numpy as np

from dclib.records.runs import Record
from dclib.study.analysis import random_draws as drawn
from dclib.study.analysis.random_draws import Draw
from dclib.study.analysis.stats import DECODERS, side
from dclib.study.figures.scarcity import METHODS, OURS, by_ratio, title
from dclib.study.figures.words import SMOKE, grouped, listed, spanned
from dclib.study.plans.section4 import DRAWS


def table1(records: Sequence[Record]) -> str:
    """At how many ratios DCNet fails least often, and how many tries stand behind a cell."""
    if not records:
        return "Nothing is run yet."
    groups = by_ratio(records).values()
    whole = [group for group in groups if set(METHODS) <= group.tries.keys()]
    told = []
    for d in DECODERS:
        best = [min(METHODS, key=lambda m: g.score(m, decoder=d).value) for g in whole]
        told.append(f"{best.count(OURS)} with the decoder {d}")
    counts = [len(own) for group in groups for own in group.tries.values()]
    text = (
        f"Of {len(whole)} ratio{'s' * (len(whole) != 1)} with all four methods, DCNet fails least"
        f" often at {listed(told)}."
    )
    if single := counts.count(1):
        text += (
            f" {single} of {len(counts)} cells are of one try: their intervals know of faces, not"
            " of how tries differ."
        )
    return f"{text} {SMOKE}" if records[0].experiment.preset == "smoke" else text


def against(records: Sequence[Record]) -> str:
    """The verdicts on "DCNet fails less often", by other method: at which ratios which."""
    if records and records[0].experiment.preset == "smoke":
        return SMOKE
    lines = []
    for other in METHODS:
        given = {
            title(percent): str(group.verdict(OURS, other))
            for percent, group in by_ratio(records).items()
            if other != OURS and {OURS, other} <= group.tries.keys()
        }
        if given:
            told = {verdict: f"{verdict} at" for verdict in given.values()}
            lines.append(f"- against {other}: {grouped(given, told, '; ')}")
    return "\n".join(lines) or "There is nothing yet to compare."


def fig5(draws: Sequence[Draw], preset: str) -> str:
    """In how many draws DCNet is better, and by how much."""
    found = {decoder: drawn.summary(draws, decoder) for decoder in DECODERS}
    better = [f"{one.better} ({decoder})" for decoder, one in found.items()]
    means = [
        f"{one.mean.value:.2f}" if np.isnan(one.mean.low) else spanned(one.mean, "")
        for one in found.values()
    ]
    text = (
        f"Of {len(draws)} draws, all conditional on one split, DCNet fails less often in"
        f" {listed(better)}. On average it gains {listed(means)} points on Cross-Stitch."
    )
    if len(draws) < DRAWS[preset]:
        text += f" Of {DRAWS[preset]} draws {len(draws)} have both of their runs so far."
    return f"{text} {SMOKE}" if preset == "smoke" else text


def dependence(draws: Sequence[Draw]) -> str:
    """Whether the improvement goes up or down with the weight of each related task."""
    found = {d: drawn.dependence(draws, d) for d in DECODERS}
    if any(np.isnan(one.low) for own in found.values() for one in own.values()):
        return "For a rank correlation there are too few draws."
    ways = {task: side(own[task] for own in found.values()) for task in found["bin"]}
    told = {
        1: "grows with the weight of",
        -1: "falls with the weight of",
        0: "does not clearly depend on the weight of",
    }
    return f"What DCNet gains on Cross-Stitch {grouped(ways, told)}."
