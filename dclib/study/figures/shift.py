"""Failure rates with and without the shift that all methods share, drawn and in words."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import GREY, VERMILION, WIDTH
from dclib.study.figures.results import DECODER_NAMES, in_order
from dclib.study.verdicts.shift import METHOD

LOOKS = {"by the paper's measure": (GREY, "o"), "without the shift": (VERMILION, "D")}


def figure(found: dict[str, Any]) -> Figure:
    """One panel a decoder: each method's failure rate by the paper's measure, and without it.

    Args:
        found: of `dclib.study.verdicts.shift`, as in all that follows.
    """
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    panels = fig.subplots(1, len(DECODERS), sharey=True, sharex=True)
    for ax, decoder in zip(panels, DECODERS, strict=True):
        rows = found[decoder]
        methods = in_order(list(rows["by the paper's measure"]))
        for name, (colour, marker) in LOOKS.items():
            for y, method in enumerate(methods):
                value, low, high = rows[name][method]["rate"]
                at = y + (0.12 if marker == "o" else -0.12)
                ax.plot([low, high], [at, at], color=colour, linewidth=1.2)
                label = name if y == 0 else None
                ax.plot(value, at, marker, color=colour, markersize=4.5, label=label)
        ax.set_yticks(range(len(methods)), methods)
        ax.set_title(DECODER_NAMES[decoder])
        ax.set_xlabel("landmark failure rate, last epoch (%)")
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return fig


def table(found: dict[str, Any]) -> pd.DataFrame:
    """One row per other method: DCNet's failure rate minus its, in points, with and without."""
    rows = {}
    for method in in_order(list(found["bin"]["by the paper's measure"])):
        if method != METHOD:
            rows[method] = {
                f"{name}, {decoder}{end}": value
                for name in LOOKS
                for decoder in DECODERS
                for end, value in zip(
                    ("", " low", " high"), found[decoder][name][method]["gap"], strict=True
                )
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(f"{METHOD} minus")


def words(found: dict[str, Any]) -> str:
    """How large the shift is, and whether the ranking is the same without it."""
    right, down = np.mean(found["soft"]["shift"], axis=0)
    same = []
    for decoder in DECODERS:
        orders = []
        for name in LOOKS:
            rates = {m: own["rate"][0] for m, own in found[decoder][name].items()}
            orders.append(list(pd.Series(rates).sort_values().index))
        same.append(f"{'the same' if orders[0] == orders[1] else 'another'} ({decoder})")
    across = f"{abs(right):.2f} px to the {'right' if right > 0 else 'left'}"
    return (
        f"Of an input of {found['pixels']} px, the points are shifted by {across} and"
        f" {abs(down):.2f} px {'down' if down > 0 else 'up'} on average. Without it the order of"
        f" the methods is {' and '.join(same)}."
    )
