"""What bears out the claims of section 4.5: cascades compared on the same faces, or photos."""

import math
from collections.abc import Sequence

from dclib.mtcnn.comparison import Cascades
from dclib.mtcnn.records import CascadeRecord
from dclib.paper import Claim
from dclib.stats import Interval, Verdict
from dclib.verdicts import evidence
from dclib.verdicts.judged import Judged, Runs, span

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


def compared(claim: Claim, runs: Runs) -> Judged:
    """Cascades in pairs: `claim.detail` names the metric, `claim.dataset` what they are scored on.

    A metric that depends on what becomes of missed faces has two readings, and both must agree.
    """
    group = on(claim.dataset, runs(claim.plan))
    (metric,), ((first, second),) = claim.detail, claim.comparisons
    missing = [method for method in (first, second) if method not in group.tries]
    if missing:
        words = f"no cascade yet of {' and '.join(missing)}" if group.tries else ""
        return Judged(measured=words)
    lines = [
        told(gap, UNITS[metric]) + (f", {reading}" if reading else "")
        for reading, gap in group.gaps(first, second, metric).items()
    ]
    words = (
        f"{first} − {second}: {'; '.join([*lines, evidence.tries(group.tries, (first, second))])}"
    )
    used = [*group.tries[first], *group.tries[second]]
    return Judged(group.verdict(first, second, metric), words, used)


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
    method: str, metric: str, runs: Runs, printed: float
) -> tuple[Interval, Verdict, list[CascadeRecord], str] | None:
    """What stands beside a number of section 4.5, in its unit; None where no cascade is there.

    Args:
        method, metric: as the ledger names them.
        runs: gives the cascades.
        printed: the number.

    Returns:
        Ours, the verdict on the comparison that it belongs to, the cascades, how it compares.
    """
    group, ours = on(FACES, runs(PLAN)), NAMES[method]
    if ours not in group.tries:
        return None
    name, parts = METRICS[metric]
    found = group.score(ours, name)
    value = Interval(*(part / parts for part in (found.value, found.low, found.high)))
    how = [f"verdict on {PAIR[0]} < {PAIR[1]}"]
    if name == "failure rate":
        left_out = group.score(ours, "failure rate of found faces")
        how.append(f"missed faces fail; {told(left_out, '%')} if they are left out")
    used = group.tries[ours]
    if group.about.preset == "paper":
        inside = value.low <= printed <= value.high
        how.append(f"the printed number lies {'inside' if inside else 'outside'} our interval")
    else:
        data = " + ".join(group.about.datasets)
        how.append(
            f"not comparable in size: preset {group.about.preset}, trained on {data} alone,"
            f" {evidence.tries(group.tries, [ours])}"
        )
    return value, group.verdict(*PAIR, name), used, "; ".join(how)
