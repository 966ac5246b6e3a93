"""Section 4.3, Fig. 5: DCNet against Cross-Stitch at random weights, drawn from draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dclib.study import paper
from dclib.study.analysis import random_draws as drawn
from dclib.study.analysis.random_draws import Draw
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.figures import BLACK, BLUE, GREY, VERMILION, WIDTH, plots
from dclib.study.figures.plots import columns
from dclib.study.figures.words import listed, spanned
from dclib.study.plans.section4 import DRAWS

PRINTED = {
    "DCNet better": "times_better",
    "mean": "mean_improvement",
    "median": "median_improvement",
    "maximum": "max_improvement",
}
LOOKS = {
    "DCNet better": {"color": BLUE, "markersize": 3.5},
    "DCNet worse": {"color": VERMILION, "markersize": 3.5},
}
SOFT: dict[str, Any] = {"color": BLACK, "marker": "x", "markersize": 3, "linestyle": ""}


def fig5(draws: Sequence[Draw], preset: str) -> Figure:
    """Fig. 5: histogram of improvements at the left; at the right each draw, above its weights.

    Improvements are those of the paper's decoder, with intervals over faces; crosses are those of
    the soft one. Draws stand in the order of their improvement. Diamonds are the paper's mean,
    median and maximum; they do not stand beside drawn faces, those of the preset `smoke`.
    """
    if not draws:
        return plots.nothing("No draw with both of its runs yet.")
    fig = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    grid = fig.add_gridspec(2, 2, width_ratios=[1, 1.6], height_ratios=[2, 1])
    left, top = fig.add_subplot(grid[:, 0]), fig.add_subplot(grid[0, 1])
    bottom = fig.add_subplot(grid[1, 1], sharex=top)
    ordered = sorted(draws, key=lambda draw: draw.improvement["bin"])
    _histogram(left, np.array([draw.improvement["bin"] for draw in ordered]))
    if preset != "smoke":
        highest = left.get_ylim()[1]
        for name in ("mean", "median", "maximum"):
            value = paper.number("fig5", metric=PRINTED[name])
            left.plot(value, highest * 1.05, **plots.PRINTED)
    alone = [draw.interval("bin") for draw in ordered]
    rows = [
        plots.entry(one, "DCNet better" if one.value > 0 else "DCNet worse", at)
        for at, one in enumerate(alone)
    ]
    plots.points(top, pd.DataFrame(rows), LOOKS, up=True)
    top.plot([draw.improvement["soft"] for draw in ordered], **SOFT, mew=0.6, zorder=4)
    top.axhline(0, color=BLACK, linewidth=0.8)
    top.set_ylabel("improvement (points)")
    top.grid(axis="x", visible=False)
    top.tick_params(labelbottom=False)
    _weights(fig, bottom, ordered)
    handles = [Line2D([], [], label=name, **plots.MARK | style) for name, style in LOOKS.items()]
    handles.append(Line2D([], [], **SOFT, label="soft-argmax, our addition"))
    plots.key(fig, [*handles, Line2D([], [], **plots.PRINTED)])
    return fig


def _histogram(ax: Axes, gains: np.ndarray) -> None:
    """How often which improvement, those below zero in another colour; mean and median."""
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


def words(draws: Sequence[Draw], preset: str) -> str:
    """In how many draws DCNet is better, and by how much."""
    found = {decoder: drawn.summary(draws, decoder) for decoder in DECODERS}
    better = [f"{one.better} ({decoder})" for decoder, one in found.items()]
    means = [
        f"{one.mean.value:.2f}" if np.isnan(one.mean.low) else spanned(one.mean, "")
        for one in found.values()
    ]
    return (
        f"Of {len(draws)} draws with both of their runs, {DRAWS[preset]} are planned, DCNet fails"
        f" less often in {listed(better)}. On average it gains {listed(means)} points on"
        " Cross-Stitch."
    )


def numbers(draws: Sequence[Draw]) -> pd.DataFrame:
    """What the paper says of Fig. 5, and what these draws say: counts, points, p-values.

    *low* and *high* are ends of intervals; "faces vary" is the mean with the interval that lets
    the test faces vary, too.
    """
    said = {name: paper.number("fig5", metric=metric) for name, metric in PRINTED.items()}
    better = said.pop("DCNet better")
    found: dict[str, dict[str, Any]] = {
        "paper": {"draws": 100, "DCNet better": int(better), "DCNet better (%)": better} | said
    }
    for decoder in DECODERS:
        own = _found(draws, decoder) if draws else {}
        ends = {name: one for name, one in own.items() if isinstance(one, Interval)}
        found[decoder] = own | {name: one.value for name, one in ends.items()}
        found[f"{decoder} low"] = {name: one.low for name, one in ends.items()}
        found[f"{decoder} high"] = {name: one.high for name, one in ends.items()}
    rows = list(dict.fromkeys([*found["bin"], *found["paper"]]))
    return pd.DataFrame(
        {name: [own.get(row, np.nan) for row in rows] for name, own in found.items()},
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
    found = {decoder: drawn.dependence(draws, decoder) for decoder in DECODERS}
    rows = [
        {"weight of": task} | columns({decoder: of[task] for decoder, of in found.items()})
        for task in found[DECODERS[0]]
    ]
    return plots.table(rows, "weight of")


def every_draw(draws: Sequence[Draw]) -> pd.DataFrame:
    """One row per draw: its weights, both failure rates and the improvement, by decoder."""
    rows = []
    for draw in draws:
        row: dict[str, Any] = {"draw": draw.number} | draw.weights
        for decoder in DECODERS:
            row |= {f"{method}, {decoder}": of for method, of in draw.rates[decoder].items()}
            row |= columns({decoder: draw.interval(decoder)})
        rows.append(row)
    return pd.DataFrame(rows)
