"""Page "How fast": pictures of what `dclib.study.speed` and `dclib.study.speed.cost` measured.

Whatever stands in one panel was computed in one process, all in turn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from dclib.study.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WIDTH
from dclib.study.figures.speed_tables import Races, every_method, faster, races, spent

# By contender: colour, marker, name; in the order in which they stand.
CONTENDERS = {
    "plain": (GREY, "o", "plain"),
    "authors": (VERMILION, "s", "authors' code"),
    "LibMTL": (PURPLE, "s", "LibMTL"),
    "ours": (BLUE, "o", "ours"),
    "ours, bf16": (ORANGE, "D", "ours, bf16"),
    "folded": (BLUE, "o", "folded"),
    "onnxruntime": (GREEN, "^", "onnxruntime"),
}
KINDS = {
    "convolution": BLUE,
    "normalisation": SKY,
    "mixing and sums": GREEN,
    "optimiser": ORANGE,
    "rest": "#b8b8b8",
}
ROW = 0.24  # inches
LEAST = 6  # % of a bar that can bear its number

Line = tuple[str, str, str]  # setting, method, contender


def named(contender: str) -> tuple[str, str, str]:
    """Colour, marker and name; what is not known goes by its own name."""
    return CONTENDERS.get(contender, (BLACK, "v", contender))


def setting(record: dict[str, Any], name: str) -> str:
    """A setting's name, and what it is."""
    about = record["settings"][name]
    return f"{name}: width {about['width']:g}, {about['resolution']} px, batch {about['batch']}"


def ratios(record: dict[str, Any], part: str = "steps") -> Figure:
    """How many times as fast as the plain one each contender is, setting by setting.

    Marks are ratios of the least times, lines the range of the ratios round by round, ticks single
    rounds. Where LibMTL's Cross-Stitch was measured, a second panel compares with that.

    Args:
        part: "steps" or "inference".
    """
    found = races(record[part])
    panels = {against: _lines(found, against) for against in ("plain", "LibMTL")}
    panels = {against: lines for against, lines in panels.items() if lines}
    slots = [len(lines) + len({name for name, *_ in lines}) for lines in panels.values()]
    fig = Figure(figsize=(WIDTH, ROW * sum(slots) + 0.6 * len(slots)), layout="constrained")
    grid = fig.subplots(len(panels), 1, squeeze=False, height_ratios=slots, sharex=True)[:, 0]
    for ax, (against, lines) in zip(grid, panels.items(), strict=True):
        _race(ax, record, found, lines, against)
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(f"times as fast as {named(against)[2]}")
    return fig


def _lines(found: Races, against: str) -> list[Line]:
    """What stands in a panel, from top to bottom: all that took turns with one of them."""
    order = list(CONTENDERS)
    return [
        (name, method, contender)
        for (name, method), race in found.items()
        if against in race.index
        for contender in sorted(race.index, key=lambda c: order.index(c) if c in order else 99)
        if contender != against and (against, contender) != ("plain", "LibMTL")
    ]


def _race(
    ax: Axes, record: dict[str, Any], found: Races, lines: Sequence[Line], against: str
) -> None:
    """A row for each line, and one above the first of each setting for its name."""
    ax.axvline(1, color=BLACK, linewidth=0.8)
    y, ticks, before = -1.0, {}, ""
    for name, method, contender in lines:
        if name != before:
            y, before = y + 1, name
            ax.axhspan(y - 0.5, y + 0.5, color="#f0f0f0", zorder=3)
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "zorder": 4}
            ax.annotate(setting(record, name), (0.01, y), va="center", fontsize="small", **place)
        y += 1
        colour, marker, words = named(contender)
        ticks[y] = f"{method}, {words}"
        race = found[name, method]
        one, each = faster(race, against).loc[contender], race.loc[against] / race.loc[contender]
        ax.plot([one["low"], one["high"]], [y, y], color=colour, linewidth=1.6)
        ax.plot(each, [y] * len(each), "|", color=colour, markersize=7, markeredgewidth=1.0)
        ax.plot(one["ratio"], y, marker, color=colour, markersize=5, zorder=3)
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.set_ylim(y + 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def methods(record: dict[str, Any]) -> Figure:
    """A step of every method, plain and ours, and how many times as fast it is.

    Args:
        record: of `dclib.study.speed.cost`; without "ours" in it, plain steps are all there is to
            see.
    """
    frame = every_method(record)
    at = np.arange(len(frame))
    fig = Figure(figsize=(WIDTH, 0.22 * len(frame) + 1.2), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for ax in (left, right):
        for y in at[::2]:
            ax.axhspan(y - 0.5, y + 0.5, color="#f5f5f5", zorder=0)
        ax.grid(axis="y", visible=False)
    left.hlines(at, frame["ours (ms)"], frame["plain (ms)"], color=BLUE, linewidth=0.8)
    for contender in ("plain", "ours"):
        colour, marker, words = named(contender)
        face = "white" if contender == "plain" else colour
        steps = frame[f"{contender} (ms)"]
        left.plot(steps, at, marker, color=colour, markerfacecolor=face, markersize=5, label=words)
    left.set(xscale="log", xlabel="a training step (ms)")
    left.legend(loc="best", fontsize="small")
    above = left.twiny()  # the same points, read the other way round
    above.set(xscale="log", xlabel="images a second")
    above.set_xlim([1e3 * record["batch"] / x for x in left.get_xlim()])
    above.grid(visible=False)
    numbers(left.xaxis)
    numbers(above.xaxis)
    left.set_yticks(at, frame.index)
    left.set_ylim(len(frame) - 0.5, -0.5)
    right.axvline(1, color=BLACK, linewidth=0.8)
    right.plot(frame["ratio"], at, "o", color=BLUE, markersize=5)
    right.set_xlabel("ours: times as fast as plain")
    return fig


def numbers(axis: Axis) -> None:
    """Numbers as one writes them on a logarithmic axis, some more of them where it is short."""

    def written(value: float) -> str:
        return f"{value:,.0f}" if value >= 1000 else f"{value:g}"

    low, high = sorted(axis.get_view_interval())
    first = "235" if high < 12 * low else "25" if high < 60 * low else ""
    between = FuncFormatter(lambda v, _: written(v) if f"{v:e}"[0] in first else "")
    axis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))
    axis.set_minor_formatter(between if first else NullFormatter())


def shares(record: dict[str, Any]) -> Figure:
    """Where a step's time goes by kind of work, in % of the plain step: two bars a setting."""
    frame = spent(record)
    names = list(dict.fromkeys(frame.index.get_level_values("setting")))
    slots = len(frame) + 1.2 * len(names)
    fig = Figure(figsize=(WIDTH, 0.32 * slots + 0.8), layout="constrained")
    ax = fig.subplots()
    y, ticks = 0.0, {}
    for name in names:
        own = frame.loc[name]
        ax.text(0, y, setting(record, name), fontsize="small", va="center")
        for contender, row in own.iterrows():
            y += 1
            ticks[y] = named(str(contender))[2]
            _bar(ax, y, 100 * row / own.loc["plain"].sum())
        y += 1.2
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.set_ylim(y - 0.6, -0.6)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("% of the plain step's time")
    key = [Patch(color=KINDS.get(kind, BLACK), label=kind) for kind in _in_order(frame.columns)]
    fig.legend(handles=key, loc="outside lower center", ncols=len(key), frameon=False)
    return fig


def _in_order(kinds: Sequence[str]) -> list[str]:
    """Those of `KINDS` first, in their order."""
    return [*(k for k in KINDS if k in kinds), *(k for k in kinds if k not in KINDS)]


def _bar(ax: Axes, y: float, parts: pd.Series) -> None:
    """One bar; parts that are wide enough bear their number."""
    left = 0.0
    for kind in _in_order(list(parts.index)):
        width, middle = parts[kind], left + parts[kind] / 2
        ax.barh(y, width, 0.8, left=left, color=KINDS.get(kind, BLACK), edgecolor="white")
        if width >= LEAST:
            ink = BLACK if kind in ("normalisation", "optimiser", "rest") else "white"
            ax.text(
                middle, y, f"{width:.0f}", color=ink, ha="center", va="center", fontsize="small"
            )
        left += width
