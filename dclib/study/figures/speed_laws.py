"""Page "How fast": what a step's time follows, the roof above it and its growth, as pictures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dclib.study.figures import BLACK, BLUE, GREEN, GREY, ORANGE, WIDTH
from dclib.study.figures.results import in_order
from dclib.study.figures.speed import named, numbers, setting
from dclib.study.figures.speed_tables import convolutions, exponents

LOOKS = {"DCNet": (GREEN, "o"), "XS": (ORANGE, "s"), "RN": (BLUE, "^")}
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
SMALLEST, LARGEST = 12, 300  # area of a convolution's mark, for none and for all of the time


def roofline(record: dict[str, Any]) -> Figure:
    """Each convolution of DCNet under the roof that matrix products and memory make.

    A mark's area grows with its share of all convolutions' time; a thin line joins the plain and
    our form of one convolution. Short lines at the right are whole steps.
    """
    every = convolutions(record)
    names = [name for name in record["settings"] if name in set(every["setting"])]
    gemm, copy = record["limits"]["gemm"]["fp32"] / 1e9, record["limits"]["copy"] / 1e9
    edge = gemm / copy  # FLOP a byte where the roof bends
    ends = min(every["intensity"].min(), edge) / 2, 3 * max(every["intensity"].max(), edge)
    fig = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    grid = fig.subplots(1, len(names), squeeze=False, sharex=True, sharey=True)[0]
    for ax, name in zip(grid, names, strict=True):
        at = np.array([ends[0], edge, ends[1]])
        ax.plot(at, np.minimum(gemm, copy * at), color=BLACK, linewidth=1.2)
        _under_roof(ax, every[every["setting"] == name])
        ax.set(xscale="log", yscale="log", xlim=ends, xlabel="FLOP a byte")
        about = setting(record, name)
        ax.set_title(about if len(names) < 3 else about.replace(": ", "\n"), fontsize="small")
    for ax in grid:
        numbers(ax.xaxis)
        numbers(ax.yaxis)
    grid[0].set_ylabel("GFLOP/s")
    marks = [_mark(contender) for contender in dict.fromkeys(every["contender"])]
    marks.append(Line2D([], [], color=BLACK, label=f"roof: {gemm:,.0f} GFLOP/s, {copy:,.0f} GB/s"))
    marks.append(Line2D([], [], color=GREY, linewidth=2.2, label="at the right: the whole step"))
    fig.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)
    return fig


def _under_roof(ax: Axes, own: pd.DataFrame) -> None:
    """The convolutions of one setting, and its whole steps."""
    for _, pair in own.groupby("name", sort=False):
        ax.plot(pair["intensity"], pair["GFLOP/s"], color=GREY, linewidth=0.6, zorder=2)
    for contender, some in own.groupby("contender", sort=False):
        colour, marker, _ = named(str(contender))
        ax.scatter(
            some["intensity"],
            some["GFLOP/s"],
            s=SMALLEST + (LARGEST - SMALLEST) * some["share"],
            marker=marker,
            facecolors="none" if contender == "plain" else colour,
            edgecolors=colour,
            alpha=0.75,
            zorder=3,
        )
        whole = some["whole"].iloc[0]
        ax.axhline(whole, 0.88, 1, color=colour, linewidth=2.2)


def _mark(contender: str) -> Line2D:
    colour, marker, words = named(contender)
    face = "none" if contender == "plain" else colour
    looks: dict[str, Any] = {"color": colour, "marker": marker, "markerfacecolor": face}
    return Line2D([], [], **looks, linestyle="", label=words)


def growth(record: dict[str, Any], quantity: str = "seconds") -> Figure:
    """How a step grows along each axis, log–log, with the lines that are fitted.

    The key names the exponents, with standard errors where there are more than two points.

    Args:
        quantity: "seconds", or "kept" for the memory that a step fills on the way forward.
    """
    name, words, unit = QUANTITIES[quantity]
    every = pd.DataFrame(record["scaling"])
    every["measured"] = every[quantity].map(np.min) / unit
    fits = exponents(record)
    axes = [axis for axis in AXES if axis in set(every["axis"])]
    rows = -(-len(axes) // 2)
    fig = Figure(figsize=(WIDTH, 2.4 * rows), layout="constrained")
    grid = fig.subplots(rows, 2, squeeze=False, sharey=True)
    for ax, axis in zip(grid.flat, axes, strict=False):
        own = every[every["axis"] == axis].sort_values("value")
        for method in reversed(in_order(list(own["method"]))):
            _fitted(ax, own[own["method"] == method], fits.loc[(axis, method)], name)
        ax.set(xscale="log", yscale="log", xlabel=AXES[axis])
        ax.xaxis.set_major_locator(FixedLocator(sorted(set(own["value"]))))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.legend(loc="upper left", fontsize="small", handletextpad=0.3)
    low, high = every["measured"].min(), every["measured"].max()
    grid[0, 0].set_ylim(0.7 * low, high * (high / low) ** 0.45)  # leaves room for the keys
    for ax in grid.flat[: len(axes)]:
        numbers(ax.yaxis)
    for ax in grid.flat[len(axes) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel(words)
    return fig


def _fitted(ax: Axes, own: pd.DataFrame, fit: pd.Series, name: str) -> None:
    """The points of a method and, where there are several, the line through their middle."""
    label = str(own["method"].iloc[0])
    colour, marker = LOOKS.get(label, (BLACK, "v"))
    values, measured = own["value"].to_numpy(float), own["measured"].to_numpy()
    slope, error = fit[name], fit[f"{name} ±"]
    if np.isfinite(slope):
        label += f": {slope:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")
        middle = np.log(measured).mean() - slope * np.log(values).mean()
        ax.plot(values, np.exp(middle + slope * np.log(values)), color=colour, linewidth=1.0)
    ax.plot(values, measured, marker, color=colour, markersize=5, label=label)
