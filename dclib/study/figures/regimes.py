"""Chapter "Where the ranking holds": failure rates and DCNet's differences over the regimes."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dclib.study.analysis.regimes import METHOD, Point, Regimes
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import WIDTH, plots
from dclib.study.figures.plots import columns
from dclib.study.figures.results import DECODER_NAMES, in_order, look

NAMES = {"train_faces": "training faces", "epochs": "epochs", "width": "width"}
BASE: dict[str, Any] = {
    "color": "#e4e4e4",
    "linewidth": 9,
    "zorder": 0,
}  # the band at the setting of Fig. 3
INTERVALS = [f"{d}{end}" for d in DECODERS for end in ("", " low", " high")]


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
    rows = [
        plots.entry(regimes.rate(p, m, d), m, np.log2(getattr(p, axis)), axis, d, each=each)
        for d in DECODERS
        for axis, points in axes.items()
        for p, m in product(points, methods)
        if regimes.has(p, m)
        for each in [list(regimes.base_rates(m, d).values()) if p == regimes.base else []]
    ]
    looks = {m: {**look(m), "markersize": 4} for m in methods}
    for m in methods:
        if m.endswith("x"):  # whose colour others share
            looks[m]["markerfacecolor"] = "white"
    band = Line2D([], [], **BASE | {"linewidth": 5}, label="setting of §4.2")
    fig = plots.intervals(rows, looks, 5.6, up=True, step=0.05, below=True, more=[band])
    shown = list(dict.fromkeys(row["panel"] for row in rows))
    for ax, (decoder, axis) in zip(fig.axes, product(DECODERS, shown), strict=True):
        values = [getattr(point, axis) for point in axes[axis]]
        ax.axvline(np.log2(getattr(regimes.base, axis)), **BASE)
        ax.set_xticks(np.log2(values), [f"{value:g}" for value in values])
        ax.set_xlim(np.log2(values[0]) - 0.4, np.log2(values[-1]) + 0.4)
        if decoder == DECODERS[-1]:
            ax.set_xlabel(NAMES[axis] + ("\n(steps stay)" if axis == "train_faces" else ""))
        ax.set_ylabel(f"failure rate (%)\n{DECODER_NAMES[decoder]}" if axis == shown[0] else "")
    return fig


def grid(regimes: Regimes) -> Figure:
    """The map: DCNet's difference to each other method at every point, by both decoders.

    It is coloured where both decoders agree; where they do not, numbers stand in brackets.
    """
    axes, others = regimes.axes, order(regimes)
    heights = [len(points) for points in axes.values()]
    fig = Figure(figsize=(WIDTH, 0.33 * sum(heights) + 1.6), layout="constrained")
    panels = fig.subplots(
        len(axes), len(DECODERS), sharex=True, sharey="row", squeeze=False, height_ratios=heights
    )
    cells = [
        (
            np.array([[_gap(regimes, p, other, decoder) for other in others] for p in points]),
            np.array([[regimes.side(p, other) for other in others] for p in points], dtype=float),
        )
        for points in axes.values()
        for decoder in DECODERS
    ]
    limit = np.nanmax(np.concatenate([[1.0], *(abs(gaps).ravel() for gaps, _ in cells)]))
    for ax, (gaps, sides) in zip(panels.flat, cells, strict=True):
        texts = [list(map(_told, *row)) for row in zip(gaps, sides, strict=True)]
        sure = abs(sides) == 1
        plots.heat(ax, np.where(sides == 0, 0, gaps), texts, limit, sure=sure, size=8)
    for ax, (axis, points) in zip(panels[:, 0], axes.items(), strict=True):
        names = [called(p, axis) + (" = §4.2" if p == regimes.base else "") for p in points]
        ax.set_yticks(np.arange(len(points)) + 0.5, names)
    for ax, decoder in zip(panels[0], DECODERS, strict=True):
        ax.set_title(f"{METHOD} minus …\n{DECODER_NAMES[decoder]}", fontsize="small")
    for ax in panels[-1]:
        ax.set_xticks(np.arange(len(others)) + 0.5, others)
    plots.scale(fig, f"points; below 0 {METHOD} fails less often")
    return fig


def _gap(regimes: Regimes, point: Point, other: str, decoder: str) -> float:
    there = regimes.has(point, METHOD, other)
    return regimes.gap(point, other, decoder).value if there else np.nan


def _told(gap: float, side: float) -> str:
    """What stands in a cell: in brackets where the decoders do not agree, or are not clear."""
    if np.isnan(side):
        return "not run"
    return signed(gap, 1) if side else f"({signed(gap, 1)})"


def titles(regimes: Regimes) -> dict[Point, str]:
    """Every point once, the base first, each by what is varied."""
    found = {regimes.base: "§4.2's setting"}
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
        there = [m for m in regimes.methods if regimes.has(point, m)]
        for d in DECODERS:
            rates = sorted((regimes.rate(point, m, d).value, k) for k, m in enumerate(there))
            row[d] = ", ".join(f"{there[k]} {rate:.1f}" for rate, k in rates) or "not run"
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
            if regimes.has(point, METHOD, other):
                row |= columns({d: regimes.gap(point, other, d) for d in DECODERS})
                row["last five"] = regimes.gap(point, other, last=5).value
            rows.append(row)
    numbers = [*INTERVALS, "last five"]
    frame = pd.DataFrame(rows, columns=["point", f"{METHOD} minus", *numbers])
    return frame.astype(dict.fromkeys(numbers, float))


def trends(regimes: Regimes) -> pd.DataFrame:
    """One row per thing varied and other method: points of difference for each doubling."""
    rows = []
    for axis in regimes.axes:
        for other in order(regimes):
            trend = regimes.trend(axis, other)
            row: dict[str, Any] = {"varied": NAMES[axis], f"{METHOD} minus": other}
            row |= {"settings": trend.points} | columns(trend.slope) if trend else {"settings": 0}
            rows.append(row)
    frame = pd.DataFrame(rows, columns=["varied", f"{METHOD} minus", "settings", *INTERVALS])
    return frame.astype(dict.fromkeys(INTERVALS, float))
