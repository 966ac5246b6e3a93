"""What bears out the claims of section 4.5: cascades compared on the same faces, or photos."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dclib.mtcnn.records import CascadeRecord
from dclib.study.analysis.cascades import Cascades, paired
from dclib.study.analysis.stats import (
    DECODERS,
    Interval,
    Verdict,
    all_of,
    certainty,
    student,
    verdict,
)
from dclib.study.paper import Claim
from dclib.study.verdicts.evidence import WEIGHTINGS, best, described, of_claim
from dclib.study.verdicts.judgement import Judged, Runs, both, count, span

PLAN = "mtcnn"
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
        return Judged(measured=f"no cascade yet of {' and '.join(missing)}" * bool(group.tries))
    if metric == "against":
        return _against(claim, runs, group)
    ((first, second),) = claim.comparisons
    gaps = group.gaps(first, second, metric)
    lines = [
        told(gap, UNITS[metric]) + (f", {reading}" if reading else "")
        for reading, gap in gaps.items()
    ]
    given = group.verdict(first, second, metric)
    unclear = given not in (Verdict.SUPPORTED, Verdict.CONTRADICTED)
    return Judged(
        given,
        f"{first} − {second}: {'; '.join(lines)}",
        [*group.tries[first], *group.tries[second]],
        setting(group, methods),
        p=1.0 if unclear else certainty([paired(gaps)]),
    )


def _against(claim: Claim, runs: Runs, group: Cascades) -> Judged:
    """DCNet's failure rate less that of cascades, as if each had met its own faces."""
    faces = replace(claim, dataset="mtfl")
    networks = best(of_claim(faces, runs(claim.plan), WEIGHTINGS[0]), ["DCNet"])
    if networks is None:
        return Judged()
    gaps, lines = [], []
    used: list[Any] = [*networks.tries["DCNet"]]
    for _, cascade in claim.comparisons:
        used += group.tries[cascade]
        for metric in ("failure rate", "failure rate of found faces"):
            rate = group.score(cascade, metric)
            gap = {d: _less(networks.score("DCNet", decoder=d), rate) for d in DECODERS}
            gaps.append(gap)
            lines.append(f"DCNet − {cascade}, {metric}: {both(gap)}")
    limited = networks.limits or group.chance("failure rate") is None
    given = Verdict.UNCLEAR if limited else all_of(map(verdict, gaps))
    cascades = setting(group, [c for _, c in claim.comparisons])
    where = f"DCNet: {described(networks)}; cascades: {cascades}"
    return Judged(given, "; ".join(lines), used, where)


def _less(one: Interval, other: Interval) -> Interval:
    """The difference of two values that were measured apart."""
    freedom, value = min(one.freedom, other.freedom), one.value - other.value
    wide = float(student.ppf(0.975, freedom))
    errors = [(i.high - i.low) / 2 / float(student.ppf(0.975, i.freedom)) for i in (one, other)]
    half = wide * math.hypot(*errors)
    return Interval(value, value - half, value + half, freedom=freedom)


def told(interval: Interval, unit: str) -> str:
    """An interval in words.

    >>> told(Interval(-1.5, -2.0, -1.0), "points")
    '−1.50 (−2.00 to −1.00) points'
    """
    return "no face counts" if math.isnan(interval.value) else f"{span(interval)} {unit}"


FACES = "mtfl-test"  # what the paper scores cascades on
PAIR = ("DC-MTCNN", "MTCNNx")  # what it compares
NAMES = {"MTCNN widened": "MTCNNx", "MTCNN + collaborative block": "DC-MTCNN"}  # in the ledger
METRICS = {  # of the ledger: ours, and how many of ours make one of its units
    "landmark_failure_rate": ("failure rate", 1),
    "mean_error": ("mean error", 100),
    "missed_faces": ("missed faces", 1),
}


def beside(
    method: str, metric: str, runs: Runs
) -> tuple[Interval, list[CascadeRecord], str] | None:
    """What stands beside a number of section 4.5, in its unit; None where no cascade is there.

    Args:
        method, metric: as the ledger names them.
        runs: gives the cascades.

    Returns:
        Ours, the cascades, how they were made.
    """
    group, ours = on(FACES, runs(PLAN)), NAMES[method]
    if ours not in group.tries:
        return None
    name, parts = METRICS[metric]
    found = group.score(ours, name)
    value = Interval(*(part / parts for part in (found.value, found.low, found.high)))
    how = [setting(group, [ours])]
    if name == "failure rate":
        left_out = group.score(ours, "failure rate of found faces")
        how.insert(0, f"missed faces fail; {told(left_out, '%')} if they are left out")
    return value, group.tries[ours], "; ".join(how)
