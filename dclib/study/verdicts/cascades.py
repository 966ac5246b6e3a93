"""What bears out the claims of section 4.5: cascades compared on the same faces, or photos."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dclib.mtcnn.records import CascadeRecord
from dclib.study.analysis.cascades import Cascades, paired
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.paper import Claim
from dclib.study.verdicts.evidence import best, described, length, of_claim
from dclib.study.verdicts.judgement import Gaps, Judged, Runs, both, count, span

PLAN = "mtcnn"
FACES = "mtfl-test"  # what the paper scores cascades on
PAIR = ("DC-MTCNN", "MTCNNx")  # what it compares
METRICS = {  # of the ledger: ours, and how many of ours make one of its units
    "landmark_failure_rate": ("failure rate", 1),
    "mean_error": ("mean error", 100),
    "missed_faces": ("missed faces", 1),
}
UNITS = {
    "failure rate": "points",
    "mean error": "% of the interocular distance",
    "missed faces": "faces",
    "unfound": "points",
}


def on(photos: str, made: Sequence[CascadeRecord]) -> Cascades:
    """The cascades that were scored on a photo set: on its faces, or on its held-out photos."""
    return Cascades([r for r in made if photos in (r.findings.faces, r.findings.heldout)])


def setting(group: Cascades, methods: Sequence[str]) -> str:
    """What cascades were trained on, and how often, in words."""
    tries = count(min(len(group.tries[m]) for m in methods))
    photos = " + ".join(group.about.datasets)
    return f"width {group.about.width:g}, trained on {photos} alone; {tries}"


def compared(claim: Claim, runs: Runs) -> Judged:
    """Cascades in pairs: `claim.detail` names the metric, `claim.dataset` what they are scored on.

    A metric that depends on what becomes of missed faces has two readings, and both must agree.
    """
    (metric,) = claim.detail
    group = on(claim.dataset, runs(PLAN))
    methods = [m for m in claim.methods if m != "DCNet"]
    if missing := [m for m in methods if m not in group.tries]:
        there = bool(group.tries)
        return Judged(words=[f"no cascade yet of {' and '.join(missing)}"] if there else [])
    if metric == "against":
        return _against(claim, runs, group)
    ((first, second),) = claim.comparisons
    readings = group.gaps(first, second, metric)
    lines = [
        told(gap, UNITS[metric]) + (f", {reading}" if reading else "")
        for reading, gap in readings.items()
    ]
    return Judged(
        gaps=[] if group.drawn else [paired(readings)],
        words=[f"{first} − {second}: {'; '.join(lines)}"],
        records=[*group.tries[first], *group.tries[second]],
        setting=setting(group, methods),
        limited=group.chance(metric) is None,
        brief=(f"{first} − {second}: {lines[0]}", setting(group, methods), ""),
        pair=(first, second),
    )


def _against(claim: Claim, runs: Runs, group: Cascades) -> Judged:
    """DCNet's failure rate less that of cascades, as if each had met its own faces."""
    faces = replace(claim, dataset="mtfl")
    networks = best(of_claim(faces, runs(claim.plan)), ["DCNet"])
    if networks is None:
        return Judged()
    gaps: list[Gaps] = []
    words, cascades = [], [cascade for _, cascade in claim.comparisons]
    for cascade in cascades:
        for metric in ("failure rate", "failure rate of found faces"):
            rate = group.score(cascade, metric)
            gap = {d: _less(networks.score("DCNet", decoder=d), rate) for d in DECODERS}
            gaps.append(gap)
            words.append(f"DCNet − {cascade}, {metric}: {both(gap)}")
    nearest = max(range(len(gaps)), key=lambda k: gaps[k]["bin"].value)
    used: list[Any] = [*networks.tries["DCNet"]]
    return Judged(
        gaps=[] if group.drawn or networks.drawn else gaps,
        words=words,
        records=used + [r for cascade in cascades for r in group.tries[cascade]],
        setting=f"DCNet: {described(networks)}; cascades: {setting(group, cascades)}",
        brief=(words[nearest].partition(" bin")[0] + " points", length(networks), ""),
        limited=bool(networks.limits) or group.chance("failure rate") is None,
    )


def _less(one: Interval, other: Interval) -> Interval:
    """The difference of two values that were measured apart."""
    error, freedom = math.hypot(one.error, other.error), min(one.freedom, other.freedom)
    return Interval.by_t(one.value - other.value, error, freedom)


def told(interval: Interval, unit: str) -> str:
    """An interval in words.

    >>> told(Interval(-1.5, -2.0, -1.0), "points")
    '−1.50 (−2.00 to −1.00) points'
    """
    return "no face counts" if math.isnan(interval.value) else f"{span(interval)} {unit}"
