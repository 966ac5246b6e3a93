"""How many faces have at most a given error: the whole of what a failure rate is one point of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dclib import metrics
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import BLACK, GREY, WIDTH
from dclib.study.figures.results import in_order, look


def ced(
    groups: Mapping[str, Sequence[Record]], decoder: str = "bin", limit: float = 0.20
) -> Figure:
    """Cumulative error distribution of each method, over its tries and last epochs.

    Args:
        groups: runs by the title of their panel; those without runs have none.
        decoder: whose landmarks.
        limit: the largest error shown, as a share of the interocular distance.

    Raises:
        ValueError: there is no run at all.
    """
    shown = {name: Comparison(records) for name, records in groups.items() if records}
    if not shown:
        raise ValueError("there is no run to be shown")
    across = min(len(shown), 2)
    down = -(-len(shown) // across)
    fig = Figure(figsize=(WIDTH, 3.4 * down), layout="constrained")
    grid = fig.subplots(down, across, sharey=True, squeeze=False)
    at, threshold = np.linspace(0, limit, 401), 100 * metrics.THRESHOLD
    for ax, (name, group) in zip(grid.flat, shown.items(), strict=False):
        for method in in_order(group.methods):
            errors = np.stack([r.outcomes.errors[decoder] for r in group.tries[method]])
            ax.plot(100 * at, 100 * metrics.ced(errors, at), label=method, **look(method))
        ax.axvline(threshold, color=BLACK, linewidth=0.8)
        beside: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "bottom", "color": GREY}
        ax.text(threshold, 2, "failure threshold", fontsize="small", **beside)
        ax.set_title(name)
        ax.set(xlim=(0, 100 * limit), ylim=(0, 100))
        ax.set_xlabel("error (% of interocular distance)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(loc="lower right", fontsize="small")
    for ax in grid[:, 0]:
        ax.set_ylabel("faces with at most this error (%)")
    for ax in grid.flat[len(shown) :]:
        ax.set_axis_off()
    return fig
