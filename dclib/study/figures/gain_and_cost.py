"""Should I use it? What each method gains over a single task, beside what it costs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator
from torch import Tensor, nn

from dclib import data
from dclib.network import Network, count_parameters
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import BLACK, GREY, WIDTH, layers, sizes
from dclib.study.figures.results import DECODER_NAMES, in_order, look
from dclib.study.figures.speed_tables import inference
from dclib.study.figures.words import listed
from dclib.study.verdicts.judgement import number

CONTROL = "related 0"  # in labels of runs that nobody would use
COSTS = {
    "multiply-adds (M)": "multiply-adds of an image (millions)",
    "parameters (M)": "parameters (millions)",
}


def multiply_adds(net: Network, resolution: int, alone: bool = False) -> int:
    """Those of one image, in convolutions and fully connected layers.

    Args:
        net: on any device; on the meta device it costs nothing.
        alone: only of layers that the logits of the first task depend on.
    """
    counts: dict[nn.Module, int] = {}

    def note(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[layer] = counts.get(layer, 0) + output.numel() * layer.weight[0].numel()

    kinds = (nn.Conv2d, nn.Linear)
    found = [layer for layer in net.modules() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_hook(note) for layer in found]
    image = torch.zeros(1, 3, resolution, resolution, device=layers.device(net))
    logits = net.eval()(image)[net.tasks[0].name]
    for hook in hooks:
        hook.remove()
    weights: list[Any] = [layer.weight for layer in counts]
    slopes = torch.autograd.grad(logits.sum(), weights, allow_unused=True)
    needed = dict(zip(counts, slopes, strict=True))
    return sum(n for layer, n in counts.items() if not alone or needed[layer] is not None)


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
        rows[method] = {
            "parameters (M)": count_parameters(net) / 1e6,
            "multiply-adds (M)": multiply_adds(net, e.resolution) / 1e6,
            "landmarks alone: parameters (M)": sizes.needed(net, e.resolution) / 1e6,
            "landmarks alone: multiply-adds (M)": multiply_adds(net, e.resolution, alone=True)
            / 1e6,
            "minutes of training": float(np.mean([r.environment["seconds"] for r in own])) / 60,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


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
    rows = {}
    for method in methods(group):
        row: dict[str, float] = {}
        for d in DECODERS:
            row[d] = group.score(method, decoder=d).value
            if base:
                gap = group.difference(base, method, decoder=d)
                own = method == base  # which has no interval against itself
                ends = (np.nan, np.nan) if own else (gap.low, gap.high)
                row |= {f"gain {d}": gap.value, f"gain {d} low": ends[0], f"gain {d} high": ends[1]}
        rows[method] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def table(group: Comparison, measured: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Gains and costs together, and which methods are on the front of `front`.

    Args:
        measured: a record of `dclib.study.speed.cost`, for the milliseconds of a training step.
    """
    frame = gains(group).join(costs(group))
    if measured:
        steps = {
            m: 1e3 * sum(own.get("ours", own["seconds"])) for m, own in measured["methods"].items()
        }
        frame["training step (ms)"] = pd.Series(steps).reindex(frame.index)
    on_front = {d: front(frame, d) for d in DECODERS}
    frame["on the front"] = [
        listed([d for d in DECODERS if m in on_front[d]]) or "–" for m in frame.index
    ]
    return frame


def front(frame: pd.DataFrame, decoder: str, cost: str = "multiply-adds (M)") -> list[str]:
    """The methods that no other one beats: none costs less, or as little, and fails less often.

    They come in the order of their cost.
    """
    ordered = frame.sort_values([cost, decoder])
    lowest = ordered[decoder].cummin()
    kept = ordered[decoder] < lowest.shift(fill_value=np.inf)
    return list(ordered.index[kept])


def better(group: Comparison, frame: pd.DataFrame, method: str = "DCNet") -> list[str]:
    """The methods that cost no more than another one and fail less often, by both intervals.

    Cost is multiply-adds; and parameters, of which up to 2 % more do not count, since widened
    networks cannot be matched exactly.

    Args:
        frame: of `table`.
    """
    own = frame.loc[method]
    found = []
    for other in frame.index:
        cheap = frame.loc[other, "multiply-adds (M)"] <= own["multiply-adds (M)"]
        small = frame.loc[other, "parameters (M)"] <= 1.02 * own["parameters (M)"]
        sure = other != method and all(
            group.difference(other, method, decoder=d).high < 0 for d in DECODERS
        )
        if cheap and small and sure:
            found.append(other)
    return found


def figure(frame: pd.DataFrame) -> Figure:
    """Gain over the single task against multiply-adds and parameters, with the front.

    Args:
        frame: of `table`, as in all that follows.
    """
    fig = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    panels = fig.subplots(len(DECODERS), len(COSTS), sharex="col", sharey="row", squeeze=False)
    for row, decoder in zip(panels, DECODERS, strict=True):
        for ax, (cost, label) in zip(row, COSTS.items(), strict=True):
            _panel(ax, frame, decoder, cost)
            if decoder == DECODERS[-1]:
                ax.set_xlabel(label)
        row[0].set_ylabel("gain over a single task (points)")
        row[0].set_title(DECODER_NAMES[decoder])
    marks = [
        Line2D([], [], linestyle="", label=str(method), **_mark(str(method)))
        for method in frame.index
    ]
    marks.append(Line2D([], [], color=GREY, linewidth=1, label="front"))
    fig.legend(handles=marks, loc="outside right upper", frameon=False)
    return fig


def _mark(method: str) -> dict[str, Any]:
    """Squares for widened networks; what is not the paper's approach is hollow."""
    colour = look(method)["color"]
    inside = colour if method == "DCNet" else "white"
    shape = "s" if method.endswith("x") else "o"
    return {"marker": shape, "color": colour, "markerfacecolor": inside, "markersize": 6}


def _panel(ax: Any, frame: pd.DataFrame, decoder: str, cost: str) -> None:
    ax.axhline(0, color=BLACK, linewidth=0.8)
    best = frame.loc[front(frame, decoder, cost)]
    ax.step(best[cost], best[f"gain {decoder}"], where="post", color=GREY, linewidth=1, zorder=1)
    for method, one in frame.iterrows():
        gain, low, high = (one[f"gain {decoder}{end}"] for end in ("", " low", " high"))
        ax.plot([one[cost]] * 2, [low, high], color=look(str(method))["color"], linewidth=1)
        ax.plot(one[cost], gain, linestyle="", **_mark(str(method)))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.margins(x=0.1)


def words(group: Comparison, frame: pd.DataFrame) -> str:
    """Who is best at which cost, and who is better than DCNet and no dearer."""
    if "DCNet" not in frame.index or not single(group):
        return "Not all methods are there yet."
    lines = []
    for decoder in DECODERS:
        names = front(frame, decoder)
        lines.append(f"{listed(names)} (*{decoder}*)")
    told = f"On the front in multiply-adds are {' and '.join(lines)}."
    beaten = better(group, frame)
    if beaten:
        told += (
            f" {listed(beaten)} {'fails' if len(beaten) == 1 else 'fail'} less often than DCNet at"
            " no more parameters and multiply-adds, by the intervals of both decoders. So at this"
            " setting nothing speaks for DCNet where landmarks are what is wanted."
        )
    else:
        told += (
            " No method fails less often than DCNet at no more parameters and multiply-adds, by"
            " the intervals of both decoders."
        )
    gain, base = frame.loc["DCNet"], single(group)
    dearer = gain["multiply-adds (M)"] / frame.loc[base, "multiply-adds (M)"]
    points = " and ".join(
        f"{number(gain[f'gain {d}'], 1)} ({number(gain[f'gain {d} low'], 1)} to"
        f" {number(gain[f'gain {d} high'], 1)}, *{d}*)"
        for d in DECODERS
    )
    return f"{told} Against {base}, DCNet gains {points} points, for {dearer:.1f} times the work."


def deployment(frame: pd.DataFrame) -> str:
    """What a network must keep where only landmarks are wanted."""
    parts = []
    for method, one in frame.iterrows():
        shares = [
            f"{100 * one[f'landmarks alone: {cost}'] / one[cost]:.1f} % of its {name}"
            for cost, name in (
                ("parameters (M)", "parameters"),
                ("multiply-adds (M)", "multiply-adds"),
            )
        ]
        if method in ("RNx", "ANx", "XS", "DCNet"):
            parts.append(f"{method} must keep {' and '.join(shares)}")
    return f"Where only landmarks are wanted, {listed(parts)}." if parts else ""


def predicting(record: Mapping[str, Any]) -> str:
    """How long DCNet takes for an image, by setting, in the fastest way that was measured."""
    frame = inference(dict(record))
    parts = []
    for name in dict.fromkeys(key[0] for key in frame.index):
        rates = frame.loc[name]["images/s"]
        parts.append(f"{1e3 / rates.max():.1f} ms at `{name}` ({rates.idxmax()})")
    return f"On one core, DCNet takes for an image {listed(parts)}."
