"""Should I use it? What each method gains over a single task, beside what it costs."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dclib import data
from dclib.network import count_parameters
from dclib.records.runs import Record
from dclib.study import verdicts
from dclib.study.analysis.comparison import REFERENCE, Comparison
from dclib.study.analysis.stats import DECODERS, Interval, side
from dclib.study.figures import GREY, plots, sizes
from dclib.study.figures.results import DECODER_NAMES, in_order, look
from dclib.study.figures.words import listed
from dclib.study.paper import Claim
from dclib.study.verdicts import evidence
from dclib.study.verdicts.judgement import number

CONTROL = "related 0"  # in labels of runs that nobody would use
ADDS, PARAMETERS = "multiply-adds (M)", "parameters (M)"
TIME = "minutes of training"
COSTS = {ADDS: "multiply-adds of an image (millions)", PARAMETERS: "parameters (millions)"}


HALVES = {  # what a setting must have of each backbone
    "resnet18": ("DCNet", "XS", "RNx", "RN", "RN-S"),
    "alexnet": ("DCNet", "XS", "ANx", "AN", "AN-S"),
}


def setting(underlying: str, preset: str = REFERENCE) -> Comparison | None:
    """The runs on MTFL from scratch with the most training that have what `HALVES` names."""
    groups = evidence.of_claim(Claim("", "", "", underlying), verdicts.runs_of(preset)("fig3"))
    return evidence.best(groups, HALVES[underlying])


def methods(group: Comparison) -> dict[str, list[Record]]:
    """The runs of each method that somebody may want to use, in the order of figures."""
    return {m: group.tries[m] for m in in_order(group.methods) if CONTROL not in m}


def single(group: Comparison) -> str | None:
    """The single-task method of these runs, which the others are compared with."""
    return next((m for m in methods(group) if m.endswith("-S")), None)


def gains(group: Comparison) -> pd.DataFrame:
    """One row per method: failure rate, and how much lower it is than the single task's, in points.

    Gains are paired and have intervals; both decoders.
    """
    base = single(group)
    rows: dict[str, dict[str, float]] = {}
    for method in methods(group):
        row = rows.setdefault(method, {})
        for d in DECODERS:
            row[d] = group.score(method, decoder=d).value
            if base:
                gap = group.difference(base, method, decoder=d)
                if method == base:  # which has no interval against itself
                    gap = Interval(gap.value, np.nan, np.nan)
                row |= plots.columns({f"gain {d}": gap})
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def costs(group: Comparison) -> pd.DataFrame:
    """One row per method: what a network of these runs costs, and what landmarks alone need of it.

    What landmarks do not need can be left out of a trained network without any change to them: the
    heads of the other tasks, and the last task-specific aggregations of their columns.
    """
    rows = {}
    for method, own in methods(group).items():
        e = own[0].experiment
        tasks = data.find(e.dataset).tasks(e.resolution)
        net = sizes.on_meta(e.method, tasks, e.underlying, e.resolution, e.width)
        alone = sizes.multiply_adds(net, e.resolution, alone=True)
        rows[method] = {
            PARAMETERS: count_parameters(net) / 1e6,
            ADDS: sizes.multiply_adds(net, e.resolution) / 1e6,
            TIME: float(np.mean([r.environment["seconds"] for r in own])) / 60,
            f"landmarks alone: {PARAMETERS}": sizes.needed(net, e.resolution) / 1e6,
            f"landmarks alone: {ADDS}": alone / 1e6,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def table(group: Comparison, measured: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Gains and costs together, and which methods are on the front of `front`.

    Args:
        measured: a record of `dclib.study.speed.cost`, for the milliseconds of a training step.
    """
    frame = gains(group).join(costs(group))
    if measured:
        steps = {m: 1e3 * sum(own["ours"]) for m, own in measured["methods"].items()}
        at = frame.columns.get_loc(TIME)
        frame.insert(at, "training step (ms)", pd.Series(steps).reindex(frame.index))
    on_front = {d: front(frame, d) for d in DECODERS}
    frame["on the front"] = [
        listed([d for d in DECODERS if m in on_front[d]]) or "–" for m in frame.index
    ]
    return frame


def front(frame: pd.DataFrame, decoder: str, cost: str = ADDS) -> list[str]:
    """The methods that no other one beats: none costs less, or as little, and fails less often.

    They come in the order of their cost.
    """
    ordered = frame.sort_values([cost, decoder])
    lowest = ordered[decoder].cummin()
    kept = ordered[decoder] < lowest.shift(fill_value=np.inf)
    return list(ordered.index[kept])


def better(group: Comparison, frame: pd.DataFrame) -> list[str]:
    """The methods that cost no more than DCNet and fail less often, by both intervals.

    Cost is multiply-adds; and parameters, of which up to 2 % more do not count, since widened
    networks cannot be matched exactly.
    """
    own = frame.loc["DCNet"]
    cheap = (frame[ADDS] <= own[ADDS]) & (frame[PARAMETERS] <= 1.02 * own[PARAMETERS])
    return [
        other
        for other in frame.index[cheap]
        if other != "DCNet" and side(group.gaps(other, "DCNet").values()) < 0
    ]


def figure(frame: pd.DataFrame) -> Figure:
    """Gain over the single task against multiply-adds and parameters, with the front.

    Args:
        frame: of `table`, as in all that follows.
    """
    rows = [
        plots.entry(Interval(*ends), str(method), one[cost], COSTS[cost], d)
        for d, cost in product(DECODERS, COSTS)
        for method, one in frame.iterrows()
        for ends in [one[[f"gain {d}{end}" for end in ("", " low", " high")]]]
    ]
    looks = {str(method): _look(str(method)) for method in frame.index}
    line = Line2D([], [], color=GREY, linewidth=1, label="front")
    fig = plots.intervals(rows, looks, 5.8, up=True, step=0, zero=True, below=True, more=[line])
    for ax, (decoder, cost) in zip(fig.axes, product(DECODERS, COSTS), strict=True):
        best = frame.loc[front(frame, decoder, cost)]
        at, gain = best[cost], best[f"gain {decoder}"]
        ax.step(at, gain, where="post", color=GREY, linewidth=1, zorder=1)
        ax.set_xscale("log")
        plots.decades(ax.xaxis)
        ax.margins(x=0.1)
    for ax, decoder in zip(fig.axes[:: len(COSTS)], DECODERS, strict=True):
        ax.set_ylabel(f"gain over a single task (points)\n{DECODER_NAMES[decoder]}")
    return fig


def _look(method: str) -> dict[str, Any]:
    """Squares for widened networks; what is not the paper's approach is hollow."""
    colour = look(method)["color"]
    inside = colour if method == "DCNet" else "white"
    shape = "s" if method.endswith("x") else "o"
    return {"marker": shape, "color": colour, "markerfacecolor": inside, "markersize": 6}


def answer(group: Comparison, frame: pd.DataFrame) -> str:
    """Whether DCNet is worth it in this setting: an answer, what it gains and costs, how sure."""
    base = single(group)
    if "DCNet" not in frame.index or base is None:
        return "Not all methods are there yet."
    cheaper = better(group, frame)
    others = [str(m) for m in frame.index if m != "DCNet"]
    level = [m for m in others if side(group.gaps("DCNet", m).values()) >= 0]
    if cheaper:
        many = len(cheaper) > 1
        told = (
            f"**No, not for landmarks alone, on what was run here:** {listed(cheaper)}"
            f" {'fail' if many else 'fails'} less often than DCNet and"
            f" {'need' if many else 'needs'} no more parameters or multiply-adds."
        )
    elif level:
        told = (
            "**It is open:** no method that needs no more parameters or multiply-adds fails less"
            f" often than DCNet, but DCNet is not clearly better than {listed(level)}."
        )
    else:
        told = (
            "**Yes, if failures matter more than cost:** DCNet fails less often than"
            f" {listed(others)}."
        )
    own, one = frame.loc["DCNet"], frame.loc[base]
    points = " and ".join(
        f"{number(own[f'gain {d}'], 1)} ({number(own[f'gain {d} low'], 1)} to"
        f" {number(own[f'gain {d} high'], 1)}, *{d}*)"
        for d in DECODERS
    )
    times = [
        f"{own[c] / one[c]:.1f} times the {name}"
        for c, name in (
            (PARAMETERS, "parameters"),
            (ADDS, "multiply-adds"),
            (TIME, "training time"),
        )
    ]
    told += f" Over {base} it gains {points} points of the failure rate, for {listed(times)}."
    if group.limits:
        told += f" The runs are {listed(group.limits)}, so longer training may change this answer."
    return told
