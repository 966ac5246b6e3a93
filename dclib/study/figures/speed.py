"""Page "How fast": pictures of what `dclib.study.speed.survey` and `cost` measured.

Whatever stands in one panel was computed in one process, all in turn.
"""

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
KINDS = {  # colour of the bars, and of the numbers in them
    "convolution": (BLUE, "white"),
    "normalisation": (SKY, BLACK),
    "mixing and sums": (GREEN, "white"),
    "optimiser": (ORANGE, BLACK),
    "rest": ("#b8b8b8", BLACK),
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
        ax.axvline(1, color=BLACK, linewidth=0.8)
        y, ticks, before = -1, {}, ""
        for name, method, contender in lines:
            if name != before:  # a row for the name of the setting
                y, before = y + 1, name
                _heading(ax, y, setting(record, name))
            y += 1
            ticks[y] = f"{method}, {named(contender)[2]}"
            _mark(ax, y, found[name, method], contender, against)
        ax.set_yticks(list(ticks), list(ticks.values()))
        ax.set_ylim(y + 0.5, -0.5)
        ax.grid(axis="y", visible=False)
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


def _heading(ax: Axes, y: float, words: str) -> None:
    ax.axhspan(y - 0.5, y + 0.5, color="#f0f0f0", zorder=3)
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "zorder": 4}
    ax.annotate(words, (0.01, y), va="center", fontsize="small", **place)


def _mark(ax: Axes, y: float, race: pd.DataFrame, contender: str, against: str) -> None:
    colour, marker, _ = named(contender)
    one, each = faster(race, against).loc[contender], race.loc[against] / race.loc[contender]
    ax.plot([one["low"], one["high"]], [y, y], color=colour, linewidth=1.6)
    ax.plot(each, [y] * len(each), "|", color=colour, markersize=7, markeredgewidth=1.0)
    ax.plot(one["ratio"], y, marker, color=colour, markersize=5, zorder=3)


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
    """Where a step's time goes by kind of work, in % of the plain step: two bars a setting.

    Parts that are wide enough bear their number.
    """
    frame = spent(record)
    frame = frame[sorted(frame, key=lambda k: list(KINDS).index(k) if k in KINDS else 99)]
    names = list(dict.fromkeys(frame.index.get_level_values("setting")))
    slots = len(frame) + 1.2 * len(names)
    fig = Figure(figsize=(WIDTH, 0.32 * slots + 0.8), layout="constrained")
    ax = fig.subplots()
    y, ticks = 0.0, {}
    for name in names:
        ax.text(0, y, setting(record, name), fontsize="small", va="center")
        own = 100 * frame.loc[name] / frame.loc[name, "plain"].sum()
        for contender, row in own.iterrows():
            y += 1
            ticks[y] = named(str(contender))[2]
            left = row.cumsum() - row
            for kind, width in row.items():
                colour, ink = KINDS.get(kind, (BLACK, "white"))
                bar = ax.barh(y, width, 0.8, left=left[kind], color=colour, edgecolor="white")
                if width >= LEAST:
                    ax.bar_label(
                        bar, [f"{width:.0f}"], label_type="center", color=ink, size="small"
                    )
        y += 1.2
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.set_ylim(y - 0.6, -0.6)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("% of the plain step's time")
    key = [Patch(color=KINDS.get(kind, (BLACK, ""))[0], label=kind) for kind in frame]
    fig.legend(handles=key, loc="outside lower center", ncols=len(key), frameon=False)
    return fig
