"""How sure the paper's numbers can be: what its test faces leave to chance.

Nothing here is measured by us, but for `pairing`, which says what sharing test faces is worth.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import WIDE

RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)


def table1(ratio: float) -> "pd.Series[float]":
    """The failure rates of Table 1 at a share of training faces, by method."""
    rows = paper.reported("table1", condition=f"train_ratio={ratio}")
    return rows.set_index("method")["value"]


def faces(ratio: float) -> int:
    """How many of the paper's AFLW faces are tested on, at a share of training faces.

    >>> faces(0.9)
    211
    """
    count = paper.number("protocol", condition="faces with all landmarks visible")
    return round(count * (1 - ratio))


def half(first: float, second: float, count: int) -> float:
    """Half a 95 % interval of the difference of two failure rates in %, each of its own faces.

    The binomial bound: faces count once, however many tries there are, and it is as if the two
    methods had met different faces. That methods find the same faces hard makes the true interval
    narrower; that tries differ makes it wider.

    >>> round(half(50, 50, 100), 1)
    13.9
    """
    variance = sum(rate / 100 * (1 - rate / 100) for rate in (first, second)) / count
    return 100 * WIDE * math.sqrt(variance)


def printed_gaps() -> Iterator[tuple[str, str, str, float, float, int]]:
    """What the paper compares: where, on what, which pair, both failure rates, test faces."""
    test = int(paper.number("protocol", section="4.2", condition="test faces"))
    for on, short in (("AlexNet", "AN"), ("ResNet18", "RN")):
        for start, pretrained in (("from scratch", False), ("pre-trained", True)):
            pairs = [("DCNet", m) for m in (short, f"{short}x", "HF", "XS", "XSx")]
            for first, second in [*pairs, (f"{short}x", short)]:
                one, two = (paper.failure_rate(m, on, pretrained) for m in (first, second))
                if one is not None and two is not None:
                    yield "Fig. 3", f"{on}, {start}", f"{first} − {second}", one, two, test
    for ratio in RATIOS:
        rates = table1(ratio)
        for method in ("RN-S", "RN", "XS"):
            on = f"{100 * ratio:.0f} % to train on"
            pair = f"DCNet − {method}"
            yield "Table 1", on, pair, rates["DCNet"], rates[method], faces(ratio)
    block, plain = (
        paper.number("mtcnn", method=m, metric="landmark_failure_rate")
        for m in ("MTCNN + collaborative block", "MTCNN widened")
    )
    yield "§4.5", "MTFL", "MTCNN + block − MTCNN", block, plain, test


def chance(share: float = math.nan) -> pd.DataFrame:
    """One row per printed difference: how it compares with what the test faces leave to chance.

    Args:
        share: of the bound of `half` that remains where methods share their faces, such as
            `pairing` measures; NaN where nothing is known of it.
    """
    rows = []
    for where, what, pair, one, other, count in printed_gaps():
        gap, bound = one - other, half(one, other, count)
        paired = share * bound
        rows.append(
            {
                "where": where,
                "on": what,
                "difference": pair,
                "points": gap,
                "test faces": count,
                "bound": bound,
                "beyond the bound": "yes" if abs(gap) > bound else "no",
                "paired, about": paired,
                "beyond that": "–" if math.isnan(paired) else "yes" if abs(gap) > paired else "no",
            }
        )
    return pd.DataFrame(rows).set_index("where")


def pairing(groups: Sequence[Comparison], method: str = "DCNet") -> float:
    """Which share of the bound of `half` our paired intervals are, in the median; NaN without runs.

    Args:
        groups: runs that have this method and others.
    """
    shares = []
    for group in groups:
        for other in group.methods:
            if method in group.tries and other != method:
                gap = group.difference(method, other)
                rates = group.score(method).value, group.score(other).value
                count = group.scores(method, "failure rate", "bin").shape[1]
                shares.append((gap.high - gap.low) / 2 / half(*rates, count))
    return float(np.median(shares)) if shares else math.nan


def told(frame: pd.DataFrame) -> str:
    """How many printed differences are beyond chance, in words.

    Args:
        frame: of `chance`.
    """
    parts = []
    for where, own in frame.groupby(level=0, sort=False):
        beyond, paired = ((own[f"beyond {of}"] == "yes").sum() for of in ("the bound", "that"))
        known = own["paired, about"].notna().all()
        more = f", {paired} if intervals are as much narrower by pairing as ours" if known else ""
        parts.append(f"{where}: {beyond} of {len(own)}{more}")
    return f"Printed differences that lie beyond the bound: {'; '.join(parts)}."
