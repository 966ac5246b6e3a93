"""Chapter "How fast": what half precision costs in accuracy, by runs that were trained in it."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.figures import BLACK, WIDTH
from dclib.study.figures.results import DECODER_NAMES, LOOKS, in_order
from dclib.study.figures.words import listed

PRECISION = "bf16"


def pairs(records: Sequence[Record]) -> list[Record]:
    """The runs of methods and tries that were trained both in bf16 and without being asked to."""
    asked: dict[tuple[str, int], dict[str | None, Record]] = {}
    for record in records:
        e = record.experiment
        if not e.related:
            asked.setdefault((e.method, e.try_), {})[e.precision] = record
    return [r for both in asked.values() if both.keys() >= {None, PRECISION} for r in both.values()]


def differences(records: Sequence[Record], decoder: str = "bin") -> dict[str, Interval]:
    """By method: failure rate in bf16 minus that in fp32, in points, and its paired interval."""
    group = Comparison(pairs(records))
    methods = in_order([e.experiment.method for e in pairs(records)])
    return {m: group.difference(f"{m} ({PRECISION})", m, decoder=decoder) for m in methods}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method: tries, failure rates in % by the paper's decoder, paired differences."""
    chosen = pairs(records)
    if not chosen:
        return pd.DataFrame()
    group, rows = Comparison(chosen), {}
    soft = differences(records, "soft")
    for method, hard in differences(records).items():
        rows[method] = {
            "tries": len(group.tries[method]),
            "fp32": group.score(method).value,
            PRECISION: group.score(f"{method} ({PRECISION})").value,
            "bin": hard.value,
            "bin low": hard.low,
            "bin high": hard.high,
            "soft": soft[method].value,
            "soft low": soft[method].low,
            "soft high": soft[method].high,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def words(records: Sequence[Record]) -> str:
    """Which methods fail more in bf16, or less, by an interval that does not hold zero.

    >>> words([])
    'With the paper’s decoder, the interval lies above zero for no method, and below for none.'
    """
    found = differences(records) if records else {}
    more = listed([method for method, gap in found.items() if gap.low > 0]) or "no method"
    less = listed([method for method, gap in found.items() if gap.high < 0]) or "none"
    return (
        f"With the paper’s decoder, the interval lies above zero for {more}, and below for {less}."
    )


def figure(records: Sequence[Record]) -> Figure:
    """Paired differences in failure rate, bf16 minus fp32, with 95 % intervals.

    Raises:
        ValueError: no method was trained in both.
    """
    if not pairs(records):
        raise ValueError("no method was trained in both precisions")
    found = {decoder: differences(records, decoder) for decoder in DECODERS}
    methods = list(found[DECODERS[0]])
    fig = Figure(figsize=(WIDTH, 0.4 * len(methods) + 1.3), layout="constrained")
    ax = fig.subplots()
    for decoder in DECODERS:
        colour, marker, offset = LOOKS[decoder]
        for y, gap in enumerate(found[decoder].values()):
            ax.plot([gap.low, gap.high], [y + offset] * 2, color=colour, linewidth=1.6)
            label = DECODER_NAMES[decoder] if y == 0 else None
            ax.plot(gap.value, y + offset, marker, color=colour, markersize=4.5, label=label)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("failure rate in bf16 minus in fp32 (points; right of zero, bf16 fails more)")
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    return fig
