"""Section 4.3, Fig. 5: DCNet against Cross-Stitch at random weights, drawn from draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from dclib.study import paper
from dclib.study.analysis import random_draws as drawn
from dclib.study.analysis.random_draws import Draw
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.figures import BLACK, BLUE, GREY, VERMILION, WIDTH
from dclib.study.figures.results import DIAMOND

PRINTED = {
    "DCNet better": "times_better",
    "mean": "mean_improvement",
    "median": "median_improvement",
    "maximum": "max_improvement",
}


def fig5(draws: Sequence[Draw], preset: str) -> Figure:
    """Fig. 5: histogram of improvements at the left; at the right each draw, above its weights.

    Improvements are those of the paper's decoder, with intervals over faces; crosses are those of
    the soft one. Draws stand in the order of their improvement. Diamonds are the paper's mean,
    median and maximum; they do not stand beside drawn faces, those of the preset `smoke`.
    """
    fig = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    grid = fig.add_gridspec(2, 2, width_ratios=[1, 1.6], height_ratios=[2, 1])
    left = fig.add_subplot(grid[:, 0])
    top = fig.add_subplot(grid[0, 1])
    bottom = fig.add_subplot(grid[1, 1], sharex=top)
    if not draws:
        for ax in fig.axes:
            ax.set_axis_off()
        left.text(0, 0.5, "No draw with both of its runs yet.", va="center")
        return fig
    ordered = sorted(draws, key=lambda draw: draw.improvement["bin"])
    _histogram(left, ordered)
    if preset != "smoke":
        _printed(left)
    _improvements(top, ordered)
    _weights(fig, bottom, ordered)
    soft: dict[str, Any] = {"marker": "x", "color": BLACK, "markersize": 4, "linestyle": ""}
    handles = [
        Patch(color=BLUE, label="DCNet better"),
        Patch(color=VERMILION, label="DCNet worse"),
        Line2D([], [], **soft, label="soft-argmax, our addition"),
        Line2D([], [], linestyle="", label="printed in the paper", **DIAMOND),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return fig


def _histogram(ax: Axes, draws: Sequence[Draw]) -> None:
    """How often which improvement, those below zero in another colour; mean and median."""
    gains = np.array([draw.improvement["bin"] for draw in draws])
    step = 1.0 if np.ptp(gains) > 4 else 0.25
    edges = np.arange(np.floor(gains.min() / step), np.ceil(gains.max() / step) + 1.5) * step
    counts, _ = np.histogram(gains, edges)
    colours = [BLUE if start >= 0 else VERMILION for start in edges[:-1]]
    ax.bar(edges[:-1], counts, step, align="edge", color=colours, edgecolor="white")
    ax.set(xlabel="improvement (points)", ylabel="draws")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.axvline(0, color=BLACK, linewidth=0.8)
    for value, dashes in ((gains.mean(), "-"), (np.median(gains), ":")):
        ax.axvline(value, color=GREY, linestyle=dashes, linewidth=1.5)


def _printed(ax: Axes) -> None:
    highest = ax.get_ylim()[1]
    for name in ("mean", "median", "maximum"):
        value = paper.number("fig5", metric=PRINTED[name])
        ax.plot(value, highest * 1.05, linestyle="", **DIAMOND)


def _improvements(ax: Axes, draws: Sequence[Draw]) -> None:
    """A point for each draw, with its interval over faces; a cross for the other decoder."""
    for x, draw in enumerate(draws):
        one = draw.interval("bin")
        colour = BLUE if one.value > 0 else VERMILION
        ax.plot([x, x], [one.low, one.high], color=colour, linewidth=1, alpha=0.6)
        ax.plot(x, one.value, "o", color=colour, markersize=3.5)
    soft = [draw.improvement["soft"] for draw in draws]
    ax.plot(range(len(draws)), soft, "x", color=BLACK, markersize=3, markeredgewidth=0.6)
    ax.axhline(0, color=BLACK, linewidth=0.8)
    ax.set_ylabel("improvement (points)")
    ax.grid(axis="x", visible=False)
    ax.tick_params(labelbottom=False)


def _weights(fig: Figure, ax: Axes, draws: Sequence[Draw]) -> None:
    """The logarithms of the weights, a row for each task and a column for each draw."""
    tasks = list(draws[0].weights)
    logs = np.log10([[draw.weights[task] for draw in draws] for task in tasks])
    shown = ax.imshow(logs, aspect="auto", cmap="cividis", vmin=-4, vmax=0, interpolation="none")
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set_xlabel("draws, by improvement")
    ax.set_xticks([])
    ax.grid(visible=False)
    fig.colorbar(shown, ax=ax, label="log10 of weight", ticks=[-4, -2, 0], pad=0.02)


def numbers(draws: Sequence[Draw]) -> pd.DataFrame:
    """What the paper says of Fig. 5, and what these draws say: counts, points, p-values.

    *low* and *high* are ends of intervals; "faces vary" is the mean with the interval that lets
    the test faces vary, too.
    """
    said = {name: paper.number("fig5", metric=metric) for name, metric in PRINTED.items()}
    columns: dict[str, dict[str, Any]] = {
        "paper": {
            "draws": 100,
            "DCNet better": int(said["DCNet better"]),
            "DCNet better (%)": float(said["DCNet better"]),
        }
        | {name: said[name] for name in ("mean", "median", "maximum")}
    }
    for decoder in DECODERS:
        found = _found(draws, decoder) if draws else {}
        columns[decoder] = {
            name: one.value if isinstance(one, Interval) else one for name, one in found.items()
        }
        ends = {name: one for name, one in found.items() if isinstance(one, Interval)}
        columns[f"{decoder} low"] = {name: one.low for name, one in ends.items()}
        columns[f"{decoder} high"] = {name: one.high for name, one in ends.items()}
    rows = list(dict.fromkeys([*columns["bin"], *columns["paper"]]))
    return pd.DataFrame(
        {name: [own.get(row, np.nan) for row in rows] for name, own in columns.items()},
        index=pd.Index(rows, name="DCNet against XS"),
        dtype=object,  # counts are whole, p-values text
    )


def _found(draws: Sequence[Draw], decoder: str) -> dict[str, Any]:
    one = drawn.summary(draws, decoder)
    spread = {f"spread, {who}": of for who, of in drawn.spread(draws, decoder).items()}
    return {
        "draws": one.draws,
        "DCNet better": one.better,
        "DCNet better (%)": one.share,
        "clearly better alone": one.clearly_better,
        "clearly worse alone": one.clearly_worse,
        "p, either as likely": f"{one.p_value:.2g}",
        "mean": one.mean,
        "mean, faces vary": one.mean_over_faces,
        "median": one.median,
        "maximum": one.maximum,
        "p, normal": "–" if np.isnan(one.normality) else f"{one.normality:.2g}",
        **spread,
    }


def dependence(draws: Sequence[Draw]) -> pd.DataFrame:
    """One row per related task: rank correlation of its weight with the improvement, by decoder."""
    columns: dict[str, dict[str, float]] = {}
    for decoder in DECODERS:
        found = drawn.dependence(draws, decoder)
        columns[decoder] = {task: one.value for task, one in found.items()}
        columns[f"{decoder} low"] = {task: one.low for task, one in found.items()}
        columns[f"{decoder} high"] = {task: one.high for task, one in found.items()}
    return pd.DataFrame(columns).rename_axis("weight of")


def every_draw(draws: Sequence[Draw]) -> pd.DataFrame:
    """One row per draw: its weights, both failure rates and the improvement, by decoder."""
    rows = []
    for draw in draws:
        row: dict[str, Any] = {"draw": draw.number} | draw.weights
        for decoder in DECODERS:
            row |= {f"{method}, {decoder}": of for method, of in draw.rates[decoder].items()}
            one = draw.interval(decoder)
            row |= {decoder: one.value, f"{decoder} low": one.low, f"{decoder} high": one.high}
        rows.append(row)
    return pd.DataFrame(rows)
