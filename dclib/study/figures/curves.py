"""How many faces have at most a given error: the whole of what a failure rate is one point of."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dclib import metrics
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import BLACK, GREY, plots
from dclib.study.figures.results import in_order, look


def ced(groups: Mapping[str, Sequence[Record]]) -> Figure:
    """Cumulative error distribution of each method, over its tries and last epochs.

    Curves lie close together, so a second panel shows how far each lies above DCNet's.

    Args:
        groups: runs by the title of their panel; those without runs have none.

    Raises:
        ValueError: there is no run at all.
    """
    tries = {name: Comparison(records).tries for name, records in groups.items() if records}
    if not tries:
        raise ValueError("there is no run to be shown")
    errors = {
        name: {m: np.stack([r.outcomes.errors["bin"] for r in each]) for m, each in own.items()}
        for name, own in tries.items()
    }
    looks = {m: look(m) for m in in_order([m for own in tries.values() for m in own])}
    return cumulative(errors, looks, 0.20, "faces with at most this error (%)", minus="DCNet")


def cumulative(
    errors: Mapping[str, Mapping[str, Any]],
    looks: plots.Looks,
    limit: float,
    y: str,
    minus: str | None = None,
) -> Figure:
    """Cumulative error distributions.

    Args:
        errors: by panel and series, as shares of the interocular distance; infinite where a face
            was missed.
        looks: of each series.
        limit: the largest error shown.
        y: what the vertical axis shows.
        minus: the series that a second panel shows the differences to, beside each first one.
    """
    at = np.linspace(0, limit, round(2000 * limit) + 1)
    lines = []
    for of, each in errors.items():
        shares = {name: 100 * metrics.ced(own, at) for name, own in each.items()}
        panels: dict[str, Any] = {of: 0.0}
        if minus in shares:
            panels[f"{of}: points above {minus}"] = shares[minus]
        lines += [
            pd.DataFrame({"x": 100 * at, "y": share - base, "series": name, "panel": panel})
            for panel, base in panels.items()
            for name, share in shares.items()
        ]
    frame = pd.concat(lines)
    titles = list(frame["panel"].unique())
    told: dict[str, Any] = {
        "x": "error (% of interocular distance)",
        "y": y,
        "wrap": 2,
        "sharey": titles == list(errors),
    }
    fig = plots.curves(frame, looks, 3.6 * math.ceil(len(titles) / 2), **told)
    threshold = 100 * metrics.THRESHOLD
    beside: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "bottom", "color": GREY}
    for ax, title in zip(fig.axes, titles, strict=False):
        ax.axvline(threshold, color=BLACK, linewidth=0.8)
        ax.set_xlim(0, 100 * limit)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if title in errors:
            ax.set_ylim(0, 100)
            ax.text(threshold, 2, "failure threshold", fontsize="small", **beside)
    return fig
