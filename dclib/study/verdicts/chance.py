"""How sure the paper's numbers can be: what its test faces leave to chance.

Nothing here is measured by us, but for `pairing`, which says what sharing test faces is worth. The
differences that the paper prints, and their bounds, are data, in `dclib/study/chance.csv`;
`tests/test_arithmetic.py` works all of it out.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import WIDE
from dclib.study.paper import LEDGER

PRINTED = LEDGER.with_name("chance.csv")


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


def chance(share: float = math.nan) -> pd.DataFrame:
    """One row per printed difference: how it compares with what the test faces leave to chance.

    Args:
        share: of the bound of `half` that remains where methods share their faces, such as
            `pairing` measures; NaN where nothing is known of it.
    """
    frame = pd.read_csv(PRINTED, index_col="where")
    points, bound = frame["points"].abs(), frame["bound"]
    beyond = np.where(points > share * bound, "yes", "no") if not math.isnan(share) else "–"
    frame["beyond the bound"] = np.where(points > bound, "yes", "no")
    return frame.assign(**{"paired, about": share * bound, "beyond that": beyond})


def pairing(groups: Sequence[Comparison]) -> float:
    """Which share of the bound of `half` our paired intervals are, in the median; NaN without runs.

    Args:
        groups: runs that have DCNet and others.
    """
    shares = []
    for group in groups:
        for other in group.methods:
            if "DCNet" in group.tries and other != "DCNet":
                gap = group.difference("DCNet", other)
                rates = group.score("DCNet").value, group.score(other).value
                count = group.scores("DCNet", "failure rate", "bin").shape[1]
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
