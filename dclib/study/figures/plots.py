"""The plots that pages share: intervals, curves and maps, and how tables show intervals.

A page says what is drawn, row by row: where it stands, whose it is (`series`), and in which of the
panels (`panel` from left to right, `row` from top to bottom, in the order in which they come). So a
new figure is a list of rows, the looks of each series, and a call. All plots take the height of the
figure in inches, what stands along its axes (`x`, `y`), and more for `panels`.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from dclib.study.analysis.stats import Interval
from dclib.study.figures import BLACK, BLUE, GREY, VERMILION, WIDTH

Looks = Mapping[str, Mapping[str, Any]]  # the style of a line for each series; `label`, if another
Rows = Sequence[Mapping[str, Any]]

MARK: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 4.5, "zorder": 3}
DIAMOND: dict[str, Any] = {"marker": "D", "markersize": 6, "markerfacecolor": "white"}
PRINTED = MARK | DIAMOND | {"markeredgecolor": BLACK, "label": "printed in the paper"}
EMPTY = "#f0f0f0"  # the ground of cells of a map that were not run
# So light that texts of both kinds can be read on every colour.
_ENDS = [0.53 * np.array(to_rgb(colour)) + 0.47 for colour in (BLUE, "white", VERMILION)]
HARM = LinearSegmentedColormap.from_list("harm", _ENDS, bad=EMPTY)
UNSURE = "#404040"


def entry(
    interval: Interval | None,
    series: str,
    at: str | float,
    panel: str = "",
    row: str = "",
    *,
    each: Any = (),
    printed: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """A row of `intervals`.

    Args:
        interval: the value; none where there is only a number of the paper, or a note.
        at: where it stands: names are evenly spaced, in their order.
        each: the value of each try.
        printed: the paper's number.
        note: what stands in its place, such as "not run".
    """
    value, low, high = (interval.value, interval.low, interval.high) if interval else [math.nan] * 3
    where = {"at": at, "series": series, "panel": panel, "row": row}
    ends = {"value": value, "low": low, "high": high, "each": list(each)}
    return where | ends | {"printed": math.nan if printed is None else printed, "note": note}


def intervals(
    rows: Rows,
    looks: Looks,
    height: float,
    *,
    x: str = "",
    y: str = "",
    up: bool = False,
    step: float = 0.34,
    zero: bool = False,
    single: str = "one try",
    more: Sequence[Line2D] = (),
    **layout: Any,
) -> Figure:
    """Values with their intervals, single tries and the paper's numbers, in one or more panels.

    Args:
        rows: of `entry`.
        up: values go up, not to the right.
        step: how far series lie apart, so that they do not hide each other.
        zero: whether there is a line at the value zero.
        single: what each of a value's ticks is.
        more: further entries of the legend.
    """
    if not rows:
        return nothing()
    frame = pd.DataFrame(rows)
    order = list(dict.fromkeys(frame["at"]))
    named = isinstance(order[0], str)
    places = list(range(len(order))) if named else order
    frame = frame.assign(at=frame["at"].map(dict(zip(order, places, strict=True))))
    layout = ({"sharex": "col", "sharey": "row"} if up else {"sharey": True}) | layout
    fig, each = panels(frame, height, x, y, **layout)
    for ax, own in each:
        points(ax, own, looks, up=up, step=step)
        axis = ax.xaxis if up else ax.yaxis
        axis.set_ticks(places, list(map(str, order)))
        axis.grid(False)
        if named:
            ends = -0.5, len(order) - 0.5
            ax.set(**({"xlim": ends} if up else {"ylim": ends[::-1]}))
        for place in [] if up else places[::2]:
            ax.axhspan(place - 0.5, place + 0.5, color="#f5f5f5", zorder=0)
        if zero:
            (ax.axhline if up else ax.axvline)(0, color=BLACK, linewidth=0.8)
    handles = _handles(frame, looks, MARK)
    if frame["each"].map(len).max() > 1:
        tick = "_" if up else "|"
        handles.append(Line2D([], [], color=GREY, marker=tick, linestyle="", label=single))
    if frame["printed"].notna().any():
        handles.append(Line2D([], [], **PRINTED))
    key(fig, [*handles, *more])
    return fig


def points(
    ax: Axes, frame: pd.DataFrame, looks: Looks, *, up: bool = False, step: float = 0.0
) -> None:
    """One panel of `intervals`. A series whose looks have a style of line is joined."""
    lines, tick = (ax.vlines, "_") if up else (ax.hlines, "|")

    def draw(at: Any, values: Any, **style: Any) -> None:
        ax.plot(*((at, values) if up else (values, at)), **style)

    for k, (name, look) in enumerate(looks.items()):
        own = frame[(frame["series"] == name) & frame["value"].notna()]
        at = own["at"] + step * (k - (len(looks) - 1) / 2)
        if len(own):
            lines(at, own["low"], own["high"], color=look["color"], linewidth=1.4)
            draw(at, own["value"], **{"label": name, **MARK, **look})
        tries: dict[str, Any] = {"color": look["color"], "markersize": 7, "markeredgewidth": 1}
        for place, each in zip(at, own["each"], strict=True):
            if len(each) > 1:
                draw([place] * len(each), each, marker=tick, linestyle="", **tries)
    printed = frame[frame["printed"].notna()].drop_duplicates("at")
    if len(printed):
        draw(printed["at"], printed["printed"], **PRINTED)
    style: dict[str, Any] = {"va": "center", "fontsize": "x-small", "style": "italic"}
    for _, one in frame[frame["note"] != ""].iterrows():
        ax.text(0.02, one["at"], one["note"], transform=ax.get_yaxis_transform(), **style)


def curves(
    rows: Rows | pd.DataFrame,
    looks: Looks,
    height: float,
    *,
    x: str = "",
    y: str = "",
    dashes: Looks | None = None,
    **layout: Any,
) -> Figure:
    """A line for each series, in one or more panels.

    Args:
        rows: a point of a line each, at `x` and `y`; with `dashes` also its `kind`.
        dashes: further looks of each kind; a series has a line for each.
    """
    fig, each = panels(pd.DataFrame(rows), height, x, y, **layout)
    kinds = dashes or {"": {}}
    for ax, own in each:
        for (name, look), (kind, style) in product(looks.items(), kinds.items()):
            line = own[(own["series"] == name) & (own["kind"] == kind if dashes else True)]
            if len(line):
                ax.plot(line["x"], line["y"], label=name, **{**look, **style})
    handles = _handles(pd.DataFrame(rows), looks, {})
    handles += [Line2D([], [], label=k, **{"color": GREY, **d}) for k, d in (dashes or {}).items()]
    key(fig, handles)
    return fig


def panels(
    frame: pd.DataFrame,
    height: float,
    x: str = "",
    y: str = "",
    *,
    wrap: int = 0,
    below: bool = False,
    **layout: Any,
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A figure with a panel for each `row` and `panel` of a frame, and the rows of each panel.

    Args:
        wrap: how many panels stand side by side; all by default.
        below: what `panel` says stands below the panels, not above.
        layout: more for `matplotlib.figure.Figure.subplots`.
    """
    frame = frame.assign(**{name: "" for name in ("row", "panel") if name not in frame})
    rows, columns = (list(dict.fromkeys(frame[name])) for name in ("row", "panel"))
    across = min(wrap or len(columns), len(columns))
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    down = len(rows) * math.ceil(len(columns) / across)
    grid = fig.subplots(down, across, squeeze=False, **layout)
    each = {}
    for ax, (row, column) in zip(grid.flat, product(rows, columns), strict=False):
        each[ax] = frame[(frame["row"] == row) & (frame["panel"] == column)]
        if below and row == rows[-1]:
            ax.set_xlabel(column)
        elif not below and row == rows[0]:
            ax.set_title(column, fontsize="small")
    for ax in grid.flat[len(each) :]:
        ax.set_axis_off()
    fig.supxlabel(x, fontsize="medium")
    fig.supylabel(y, fontsize="medium", multialignment="center")
    return fig, list(each.items())


def heat(
    ax: Axes, values: Any, texts: Any, limit: float, *, sure: Any = True, size: float = 7.0
) -> None:
    """A map: values as colours, from blue at -limit over white to orange at limit, and as text.

    Args:
        values: (R, C), NaN where there is none.
        texts: (R, C), what is written into each cell.
        limit: the value of the fullest colour.
        sure: (R, C), which cells are written in bold and black; the others in dark grey.
        size: of the letters.
    """
    values = np.asarray(values, dtype=float)
    ax.pcolormesh(values, cmap=HARM, vmin=-limit, vmax=limit, edgecolors="white", linewidth=1.5)
    dark = np.broadcast_to(sure, values.shape)
    for (r, c), told in np.ndenumerate(np.asarray(texts, dtype=object)):
        look: Any = {"color": BLACK, "weight": "bold"} if dark[r, c] else {"color": UNSURE}
        ax.text(c + 0.5, r + 0.5, told, ha="center", va="center", fontsize=size, **look)
    ax.set_ylim(len(values), 0)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def scale(fig: Figure, label: str) -> None:
    """The colour bar of all maps of a figure, which share one scale."""
    bar = fig.colorbar(fig.axes[0].collections[0], ax=fig.axes, aspect=30, pad=0.01)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _handles(frame: pd.DataFrame, looks: Looks, mark: Mapping[str, Any]) -> list[Any]:
    """Entries of the legend for what was drawn."""
    drawn = set(frame["series"])
    return [
        Line2D([], [], **{"label": name, **mark, **look})
        for name, look in looks.items()
        if name in drawn
    ]


def key(fig: Figure, handles: Sequence[Any]) -> None:
    """The legend of a figure: below it, or above where the label of its axis is below."""
    letters = sum(18 + len(str(handle.get_label())) for handle in handles)
    columns = math.ceil(len(handles) / math.ceil(letters / 150))  # so many fit a line
    place: Any = "outside upper center" if fig.get_supxlabel() else "outside lower center"
    fig.legend(handles=handles, loc=place, ncols=columns, frameon=False)


def decades(axis: Axis) -> None:
    """Numbers as one writes them on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter("")


def nothing(told: str = "Not run.") -> Figure:
    """A figure that says why it shows nothing, or how to make what it would show."""
    fig = Figure(figsize=(WIDTH, 1.2), layout="constrained")
    ax = fig.subplots()
    ax.set_axis_off()
    ax.text(0.5, 0.5, told, ha="center", va="center", color=GREY)
    return fig


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign, a true minus; what rounds to zero has no sign.

    >>> signed(-1.254, 2), signed(0.5), signed(-0.04)
    ('−1.25', '+0.5', '0')
    """
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"


# Tables


def columns(intervals: Mapping[str, Interval]) -> dict[str, float]:
    """Three columns of a table for each name: a value and the ends of its interval.

    >>> columns({"bin": Interval(2.0, 1.0, 3.0)})
    {'bin': 2.0, 'bin low': 1.0, 'bin high': 3.0}
    """
    found: dict[str, float] = {}
    for name, one in intervals.items():
        found |= {name: one.value, f"{name} low": one.low, f"{name} high": one.high}
    return found


def table(rows: Rows, *index: str) -> pd.DataFrame:
    """Rows as a table; without any it is empty."""
    return pd.DataFrame(rows).set_index(list(index)) if rows else pd.DataFrame()
