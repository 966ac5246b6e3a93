"""Page "How fast": pictures of what `dclib.study.speed.survey` and `cost` measured.

Whatever stands in one panel was computed in one process, all in turn.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from dclib.study.analysis.stats import Interval
from dclib.study.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    plots,
)
from dclib.study.figures.results import in_order
from dclib.study.figures.speed_tables import (
    convolutions,
    every_method,
    exponents,
    faster,
    races,
    spent,
)

LOOKS: plots.Looks = {  # of contenders
    "plain": {"color": GREY, "markerfacecolor": "none"},
    "authors": {"color": VERMILION, "marker": "s", "label": "authors' code"},
    "LibMTL": {"color": PURPLE, "marker": "s"},
    "ours": {"color": BLUE},
    "ours, bf16": {"color": ORANGE, "marker": "D"},
    "folded": {"color": BLUE},
    "onnxruntime": {"color": GREEN, "marker": "^"},
}
KINDS = {  # colour of the bars, and of the numbers in them
    "convolution": (BLUE, "white"),
    "normalisation": (SKY, BLACK),
    "mixing and sums": (GREEN, "white"),
    "optimiser": (ORANGE, BLACK),
    "rest": ("#b8b8b8", BLACK),
}
LEAST = 6  # % of a bar that can bear its number
SMALLEST, LARGEST = 12, 300  # area of a convolution's mark, for none and for all of the time
METHODS = {"DCNet": (GREEN, "o"), "XS": (ORANGE, "s"), "RN": (BLUE, "^")}
AXES = {
    "width": "width of the network",
    "resolution": "side of the images (px)",
    "tasks": "tasks",
    "batch": "images in a batch",
}
# By part of the record: what it is, and how many of its units are one of the axis.
QUANTITIES = {
    "seconds": ("time", "time of a step (ms)", 1e-3),
    "kept": ("kept", "kept for the way back (MB)", 1e6),
}


def setting(record: dict[str, Any], name: str) -> str:
    """A setting's name, and what it is."""
    about = record["settings"][name]
    return f"{name}: width {about['width']:g}, {about['resolution']} px, batch {about['batch']}"


def ratios(record: dict[str, Any], part: str = "steps") -> Figure:
    """How many times as fast as the plain one each contender is, by setting and method.

    Marks are ratios of the least times, lines the range of the ratios round by round, ticks single
    rounds. Where LibMTL's Cross-Stitch was measured, a second panel compares with that.

    Args:
        part: "steps" or "inference".
    """
    rows = [
        plots.entry(
            Interval(*one),
            str(contender),
            f"{method}\n{setting(record, name)}",
            f"times as fast as {against}",
            each=race[against] / race[contender],
        )
        for against in ("plain", "LibMTL")
        for (name, method), race in races(record[part]).items()
        if against in race
        for contender, one in faster(race, against).drop(index=against).iterrows()
        if (against, contender) != ("plain", "LibMTL")
    ]
    drawn = {row["series"] for row in rows}
    looks = {contender: look for contender, look in LOOKS.items() if contender in drawn}
    height = 0.5 * len({row["at"] for row in rows}) + 1.0
    fig = plots.intervals(rows, looks, height, below=True, step=0.2, single="one round")
    for ax in fig.axes:
        ax.axvline(1, color=BLACK, linewidth=0.8)
    return fig


def methods(record: dict[str, Any]) -> Figure:
    """A step of every method, plain and ours, and how many times as fast it is.

    Args:
        record: of `dclib.study.speed.cost`.
    """
    frame = every_method(record)
    panels = {
        "a training step (ms)": {"plain": frame["plain (ms)"], "ours": frame["ours (ms)"]},
        "ours: times as fast as plain": {"ours": frame["ratio"]},
    }
    rows = [
        plots.entry(Interval(value, value, value), series, str(method), panel)
        for panel, each in panels.items()
        for series, values in each.items()
        for method, value in values.items()
    ]
    looks = {contender: LOOKS[contender] for contender in ("plain", "ours")}
    layout: dict[str, Any] = {"below": True, "width_ratios": (3, 2)}
    fig = plots.intervals(rows, looks, 0.22 * len(frame) + 1.2, step=0, **layout)
    steps, ratio = fig.axes
    steps.set_xscale("log")
    plots.decades(steps.xaxis)
    ratio.axvline(1, color=BLACK, linewidth=0.8)
    return fig


def shares(record: dict[str, Any]) -> Figure:
    """Where a step's time goes by kind of work, in % of the plain step: two bars a setting.

    Parts that are wide enough bear their number.
    """
    frame = spent(record)
    plain = frame.xs("plain", level="contender").sum(axis=1)
    own = 100 * frame.div(plain, axis=0, level="setting")[[k for k in KINDS if k in frame]]
    own.index = pd.Index([f"{setting(record, name)}\n{contender}" for name, contender in own.index])
    fig = Figure(figsize=(WIDTH, 0.45 * len(own) + 1.0), layout="constrained")
    ax = fig.subplots()
    colours = [KINDS[kind][0] for kind in own]
    bars: dict[str, Any] = {"stacked": True, "width": 0.8, "edgecolor": "white", "legend": False}
    own.plot.barh(ax=ax, color=colours, **bars)
    for (kind, widths), parts in zip(own.items(), ax.containers, strict=True):
        told = [f"{width:.0f}" if width >= LEAST else "" for width in widths]
        ink = KINDS[str(kind)][1]
        ax.bar_label(parts, told, label_type="center", color=ink, size="small")  # type: ignore[arg-type]
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("% of the plain step's time")
    fig.legend(loc="outside lower center", ncols=len(colours), frameon=False)
    return fig


def roofline(record: dict[str, Any]) -> Figure:
    """Each convolution of DCNet under the roof that matrix products and memory make.

    A mark's area grows with its share of all convolutions' time; a thin line joins the plain and
    our form of one convolution. Short lines at the right are whole steps.
    """
    every = convolutions(record)
    every["panel"] = [setting(record, name) for name in every["setting"]]
    gemm, copy = record["limits"]["gemm"]["fp32"] / 1e9, record["limits"]["copy"] / 1e9
    edge = gemm / copy  # FLOP a byte where the roof bends
    ends = min(every["intensity"].min(), edge) / 2, 3 * max(every["intensity"].max(), edge)
    at = np.array([ends[0], edge, ends[1]])
    shared = {"sharex": True, "sharey": True}
    fig, each = plots.panels(every, 3.8, "FLOP a byte", "GFLOP/s", **shared)
    for ax, own in each:
        ax.plot(at, np.minimum(gemm, copy * at), color=BLACK, linewidth=1.2)
        _under_roof(ax, own)
        ax.set(xscale="log", yscale="log", xlim=ends)
        ax.tick_params(labelsize="x-small")
        plots.decades(ax.xaxis)
        plots.decades(ax.yaxis)
    drawn = every["contender"].unique()
    marks = [Line2D([], [], **{"label": c, **plots.MARK, **LOOKS[c]}) for c in drawn]
    marks.append(Line2D([], [], color=BLACK, label=f"roof: {gemm:,.0f} GFLOP/s, {copy:,.0f} GB/s"))
    marks.append(Line2D([], [], color=GREY, linewidth=2.2, label="at the right: the whole step"))
    plots.key(fig, marks)
    return fig


def _under_roof(ax: Axes, own: pd.DataFrame) -> None:
    """The convolutions of one setting, and its whole steps."""
    for _, pair in own.groupby("name", sort=False):
        ax.plot(pair["intensity"], pair["GFLOP/s"], color=GREY, linewidth=0.6, zorder=2)
    for contender, some in own.groupby("contender", sort=False):
        look = LOOKS[str(contender)]
        sizes = SMALLEST + (LARGEST - SMALLEST) * some["share"]
        face = look.get("markerfacecolor", look["color"])
        style = {"facecolors": face, "edgecolors": look["color"], "alpha": 0.75, "zorder": 3}
        ax.scatter(some["intensity"], some["GFLOP/s"], s=sizes, **style)
        ax.axhline(some["whole"].iloc[0], 0.88, 1, color=look["color"], linewidth=2.2)


def growth(record: dict[str, Any], quantity: str = "seconds") -> Figure:
    """How a step grows along each axis, log–log, with the lines that are fitted.

    The key names the exponents, with standard errors where there are more than two points.

    Args:
        quantity: "seconds", or "kept" for the memory that a step fills on the way forward.
    """
    name, words, unit = QUANTITIES[quantity]
    every = pd.DataFrame(record["scaling"])
    every["measured"] = every[quantity].map(np.min) / unit
    every["panel"] = every["axis"].map(AXES)
    fits = exponents(record)
    height = 2.4 * math.ceil(every["axis"].nunique() / 2)
    fig, each = plots.panels(every, height, y=words, wrap=2, below=True, sharey=True)
    low, high = every["measured"].min(), every["measured"].max()
    for ax, own in each:
        for method in reversed(in_order(list(own["method"]))):
            fit = fits.loc[(own["axis"].iloc[0], method)]
            _fitted(ax, own[own["method"] == method].sort_values("value"), fit, name)
        # leaves room for the keys
        ax.set(xscale="log", yscale="log", ylim=(0.7 * low, high * (high / low) ** 0.45))
        plots.decades(ax.xaxis)
        plots.decades(ax.yaxis)
        ax.xaxis.set_major_locator(FixedLocator(sorted(set(own["value"]))))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.legend(loc="upper left", fontsize="small", handletextpad=0.3)
    return fig


def _fitted(ax: Axes, own: pd.DataFrame, fit: pd.Series, name: str) -> None:
    """The points of a method and, where there are several, the line through their middle."""
    label = str(own["method"].iloc[0])
    colour, marker = METHODS[label]
    values, measured = own["value"].to_numpy(float), own["measured"].to_numpy()
    slope, error = fit[name], fit[f"{name} ±"]
    if np.isfinite(slope):
        label += f": {slope:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")
        middle = np.log(measured).mean() - slope * np.log(values).mean()
        ax.plot(values, np.exp(middle + slope * np.log(values)), color=colour, linewidth=1.0)
    ax.plot(values, measured, marker, color=colour, markersize=5, label=label)
