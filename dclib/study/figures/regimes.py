"""Chapter "Where the ranking holds": failure rates and DCNet's differences over the regimes."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from dclib.study.analysis.regimes import METHOD, Point, Regimes
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import BLACK, BLUE, GREY, VERMILION, WIDTH
from dclib.study.figures.results import DECODER_NAMES, in_order, look

NAMES = {"train_faces": "training faces", "epochs": "epochs", "width": "width"}
BETTER = LinearSegmentedColormap.from_list("better", [BLUE, "white", VERMILION])
EMPTY = "#f0f0f0"  # the ground of cells that were not run


def called(point: Point, axis: str) -> str:
    """A point by what is varied.

    >>> called(Point(2000, 40, 0.25), "train_faces"), called(Point(2000, 40, 0.25), "width")
    ('2,000 faces', 'width 0.25')
    """
    value = getattr(point, axis)
    named = {"train_faces": f"{value:,} faces", "epochs": f"{value} epochs"}
    return named.get(axis, f"width {value:g}")


def signed(points: float, digits: int = 2) -> str:
    """A difference with its sign, a true minus; nothing is below zero that rounds to it.

    >>> signed(-1.254), signed(0.5, 1), signed(-0.04, 1)
    ('−1.25', '+0.5', '+0.0')
    """
    return f"{round(points, digits) + 0.0:+.{digits}f}".replace("-", "−")


def order(regimes: Regimes) -> list[str]:
    """The methods other than DCNet, as in Fig. 3."""
    return in_order(regimes.others)


def curves(regimes: Regimes) -> Figure:
    """Failure rates over each thing that is varied: a column for each, a row for each decoder.

    Raises:
        ValueError: there is no run at all.
    """
    if not regimes.records:
        raise ValueError("there is no run to be shown")
    axes, methods = regimes.axes, in_order(regimes.methods)
    fig = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    panels = fig.subplots(len(DECODERS), len(axes), sharey="row", sharex="col", squeeze=False)
    for row, decoder in zip(panels, DECODERS, strict=True):
        for ax, (axis, points) in zip(row, axes.items(), strict=True):
            _panel(ax, regimes, axis, points, decoder)
        row[0].set_ylabel(f"failure rate (%)\n{DECODER_NAMES[decoder]}")
    for ax, axis in zip(panels[-1], axes, strict=True):
        ax.set_xlabel(f"{NAMES[axis]}\n(steps stay)" if axis == "train_faces" else NAMES[axis])
    marks = [Line2D([], [], label=m, **look(m), **_mark(m)) for m in methods]
    marks += [
        Line2D([], [], color=GREY, marker="_", linestyle="", markersize=7, label="further tries"),
        Line2D([], [], color="#d0d0d0", linewidth=5, label="setting of Fig. 3"),
    ]
    fig.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    return fig


def _mark(method: str) -> dict[str, Any]:
    """Dots, open ones for widened networks, whose colour others share."""
    filled = {"markerfacecolor": "white"} if method.endswith("x") else {}
    return {"marker": "o", "markersize": 4, **filled}


def _panel(ax: Axes, regimes: Regimes, axis: str, points: Sequence[Point], decoder: str) -> None:
    """Failure rates of all methods over one axis, by one decoder."""
    methods = in_order(regimes.methods)
    ax.axvline(getattr(regimes.base, axis), color="#e4e4e4", linewidth=9, zorder=0)
    for k, method in enumerate(methods):
        own = [p for p in points if regimes.has(p, method)]
        shift = 1.035 ** (k - (len(methods) - 1) / 2)  # so that intervals lie side by side
        at = [getattr(p, axis) * shift for p in own]
        rates = [regimes.rate(p, method, decoder) for p in own]
        style = look(method)
        ax.plot(at, [r.value for r in rates], **style, **_mark(method))
        lows, highs = [r.low for r in rates], [r.high for r in rates]
        ax.vlines(at, lows, highs, color=style["color"], linewidth=1)
        tries = [rate for try_, rate in regimes.base_rates(method, decoder).items() if try_]
        here = [getattr(regimes.base, axis) * shift] * len(tries)
        ax.plot(here, tries, "_", color=style["color"], markersize=6, markeredgewidth=1)
    ax.set_xscale("log", base=2)
    values = [getattr(p, axis) for p in points]
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{v:g}" for v in values])
    ax.set_xlim(min(values) / 1.3, max(values) * 1.3)
    ax.grid(axis="x", visible=False)


def grid(regimes: Regimes) -> Figure:
    """The map: DCNet's difference to each other method at every point, by both decoders."""
    others = order(regimes)
    rows = [(axis, point) for axis, points in regimes.axes.items() for point in points]
    breaks = [k for k in range(1, len(rows)) if rows[k][0] != rows[k - 1][0]]
    heights = [k + 0.6 * sum(b <= k for b in breaks) for k in range(len(rows))]
    limit = _limit(regimes)
    fig = Figure(figsize=(WIDTH, 0.33 * (heights[-1] + 1) + 1.1), layout="constrained")
    panels = fig.subplots(1, len(DECODERS), sharey=True)
    for ax, decoder in zip(panels, DECODERS, strict=True):
        for y, (_, point) in zip(heights, rows, strict=True):
            for x, other in enumerate(others):
                _cell(ax, (x, y), regimes, point, other, decoder, limit)
        ax.set_xlim(-0.5, len(others) - 0.5)
        ax.set_ylim(heights[-1] + 0.5, -0.5)
        ax.set_xticks(range(len(others)), others)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.grid(visible=False)
        for side in ax.spines.values():
            side.set_visible(False)
        ax.set_title(f"{METHOD} minus …   ({DECODER_NAMES[decoder]})", fontsize="small")
    names = [called(p, a) + (" = Fig. 3" if p == regimes.base else "") for a, p in rows]
    panels[0].set_yticks(heights, names)
    marks = [
        Rectangle((0, 0), 1, 1, color=BETTER(0.1), label=f"{METHOD} fails less often"),
        Rectangle((0, 0), 1, 1, color=BETTER(0.9), label=f"{METHOD} fails more often"),
        Rectangle(
            (0, 0), 1, 1, facecolor="white", edgecolor="#d8d8d8", label="in brackets: neither"
        ),
    ]
    fig.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False)
    return fig


def _limit(regimes: Regimes) -> float:
    """The difference at which colours are fullest, in points: the largest one, at least 1."""
    found = [
        abs(regimes.gap(p, other, decoder).value)
        for points in regimes.axes.values()
        for p in points
        for other in regimes.others
        for decoder in DECODERS
        if regimes.has(p, METHOD, other)
    ]
    return max([1.0, *found])


def _cell(
    ax: Axes,
    at: tuple[float, float],
    regimes: Regimes,
    point: Point,
    other: str,
    decoder: str,
    limit: float,
) -> None:
    """One cell of the map: coloured where both decoders agree, else a number in brackets."""
    x, y = at
    side = regimes.side(point, other)
    ground: Any = EMPTY
    text, colour = "not run", GREY
    if side is not None:
        value = regimes.gap(point, other, decoder).value
        ground = BETTER(0.5 + 0.42 * value / limit) if side else "white"
        text = signed(value, 1) if side else f"({signed(value, 1)})"
        colour = BLACK if side else GREY
    ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=ground, edgecolor="#d8d8d8"))
    ax.text(x, y, text, ha="center", va="center", color=colour, fontsize="small")


def titles(regimes: Regimes) -> dict[Point, str]:
    """Every point once, the base first, each by what is varied."""
    found = {regimes.base: "Fig. 3"}
    for axis, points in regimes.axes.items():
        for point in points:
            found.setdefault(point, called(point, axis))
    return found


def ranking(regimes: Regimes) -> pd.DataFrame:
    """One row per point: its setting, and the methods from the lowest failure rate, by decoder."""
    rows = []
    for point, title in titles(regimes).items():
        row = {
            "point": title,
            "faces": point.train_faces,
            "epochs": point.epochs,
            "width": f"{point.width:g}",
            "steps": regimes.steps(point),
        }
        for decoder in DECODERS:
            rates = {
                m: regimes.rate(point, m, decoder).value
                for m in regimes.methods
                if regimes.has(point, m)
            }
            best = sorted(rates, key=lambda m: rates[m])
            row[decoder] = ", ".join(f"{m} {rates[m]:.1f}" for m in best) or "not run"
        rows.append(row)
    return pd.DataFrame(rows)


def differences(regimes: Regimes) -> pd.DataFrame:
    """One row per point and other method: DCNet's difference by decoder, in points.

    The column "last five" is the paper's decoder averaged over the last five epochs, as in Fig. 3.
    """
    rows = []
    for point, title in titles(regimes).items():
        for other in order(regimes):
            row: dict[str, object] = {"point": title, f"{METHOD} minus": other}
            for decoder in DECODERS if regimes.has(point, METHOD, other) else ():
                gap = regimes.gap(point, other, decoder)
                row |= {decoder: gap.value, f"{decoder} low": gap.low, f"{decoder} high": gap.high}
            if regimes.has(point, METHOD, other):
                row["last five"] = regimes.gap(point, other, last=5).value
            rows.append(row)
    columns = [
        *("point", f"{METHOD} minus"),
        *(f"{d}{end}" for d in DECODERS for end in ("", " low", " high")),
        "last five",
    ]
    numbers = dict.fromkeys(columns[2:], float)
    return pd.DataFrame(rows, columns=columns).astype(numbers)


def trends(regimes: Regimes) -> pd.DataFrame:
    """One row per thing varied and other method: points of difference for each doubling."""
    rows = []
    for axis in regimes.axes:
        for other in order(regimes):
            trend = regimes.trend(axis, other)
            row: dict[str, object] = {"varied": NAMES[axis], f"{METHOD} minus": other}
            for decoder, slope in trend.slope.items() if trend else ():
                row |= {
                    decoder: slope.value,
                    f"{decoder} low": slope.low,
                    f"{decoder} high": slope.high,
                }
            rows.append(row | {"settings": trend.points if trend else 0})
    columns = [
        *("varied", f"{METHOD} minus", "settings"),
        *(f"{d}{end}" for d in DECODERS for end in ("", " low", " high")),
    ]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], float))
