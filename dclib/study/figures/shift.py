"""Failure rates with and without the shift that all methods share."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.figures import GREY, VERMILION, plots
from dclib.study.figures.results import DECODER_NAMES, in_order
from dclib.study.verdicts.shift import METHOD

LOOKS = {
    "without the shift": {"color": VERMILION, "marker": "D"},
    "by the paper's measure": {"color": GREY},
}


def figure(found: dict[str, Any]) -> Figure:
    """One panel a decoder: each method's failure rate by the paper's measure, and without it.

    Args:
        found: of `dclib.study.verdicts.shift`, as in all that follows.
    """
    rows = [
        plots.entry(Interval(*found[d][name][method]["rate"]), name, method, panel)
        for d, panel in DECODER_NAMES.items()
        for method in in_order(list(found[d]["by the paper's measure"]))
        for name in LOOKS
    ]
    x = "landmark failure rate, last epoch (%)"
    return plots.intervals(rows, LOOKS, 3.2, x=x, step=0.24, sharex=True)


def table(found: dict[str, Any]) -> pd.DataFrame:
    """One row per other method: DCNet's failure rate minus its, in points, with and without."""
    index = f"{METHOD} minus"
    rows = [
        {index: method}
        | plots.columns(
            {
                f"{measure}, {decoder}": Interval(*found[decoder][measure][method]["gap"])
                for measure in reversed(LOOKS)
                for decoder in DECODERS
            }
        )
        for method in in_order(list(found["bin"]["by the paper's measure"]))
        if method != METHOD
    ]
    return plots.table(rows, index)
