"""Chapter "How fast": what half precision costs in accuracy, by runs that were trained in it."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import Interval
from dclib.study.figures import plots
from dclib.study.figures.results import LOOKS, in_order

PRECISION = "bf16"


def pairs(records: Sequence[Record]) -> list[Record]:
    """The runs of methods and tries that were trained both in bf16 and without being asked to."""
    asked: dict[tuple[str, int], dict[str | None, Record]] = {}
    for record in records:
        e = record.experiment
        if not e.related:
            asked.setdefault((e.method, e.try_), {})[e.precision] = record
    return [r for both in asked.values() if both.keys() >= {None, PRECISION} for r in both.values()]


def differences(group: Comparison) -> dict[str, dict[str, Interval]]:
    """By method and decoder: failure rate in bf16 minus that in fp32, in points, paired."""
    methods = in_order([e.experiment.method for own in group.tries.values() for e in own])
    return {m: group.gaps(f"{m} ({PRECISION})", m) for m in methods}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method: tries, failure rates in % by the paper's decoder, paired differences."""
    group = Comparison(pairs(records))
    rows = [
        {
            "method": method,
            "tries": len(group.tries[method]),
            "fp32": group.score(method).value,
            PRECISION: group.score(f"{method} ({PRECISION})").value,
            **plots.columns(gaps),
        }
        for method, gaps in differences(group).items()
    ]
    return plots.table(rows, "method")


def figure(records: Sequence[Record]) -> Figure:
    """Paired differences in failure rate, bf16 minus fp32, with 95 % intervals.

    Raises:
        ValueError: no method was trained in both.
    """
    rows = [
        plots.entry(gap, decoder, method)
        for method, gaps in differences(Comparison(pairs(records))).items()
        for decoder, gap in gaps.items()
    ]
    if not rows:
        raise ValueError("no method was trained in both precisions")
    x = "failure rate in bf16 minus in fp32 (points; right of zero, bf16 fails more)"
    return plots.intervals(rows, LOOKS, 0.2 * len(rows) + 1.3, x=x, zero=True)
