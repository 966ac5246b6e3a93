"""Page "Relatives": every method of the registry as a picture, and all of them on a sheet."""

import textwrap
from collections.abc import Sequence
from statistics import fmean

import pandas as pd
from matplotlib.figure import Figure

from dclib import data
from dclib.methods import METHODS
from dclib.network import count_parameters
from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import sizes, sketch
from dclib.study.figures.results import data_name, in_order
from dclib.study.figures.sketch import LINE, SHARED, dark, task_colour, text
from dclib.study.figures.structure import structure
from dclib.study.figures.wiring import NAME, Wiring
from dclib.tasks import Task, mtfl_tasks

# Inches, on the sheet: a picture with the space beside it, the lines above it; letters in a line.
CELL, PICTURE, TITLE, LETTERS = (2.38, 1.64), (2.26, 1.02), 0.52, 36


def gallery() -> list[str]:
    """The methods to look at: all but those that are another one, widened or on AlexNet."""
    return [n for n, m in METHODS.items() if not m.widened and m.underlying != "alexnet"]


def picture(method: str, tasks: int = 3) -> Figure:
    """How a method shares between some tasks of MTFL, on an underlying network of three blocks."""
    wiring = Wiring(structure(method, tasks))
    fig, ax = sketch.sheet(wiring.width + 0.9, wiring.height)
    wiring.draw(ax)
    for t, (task, y) in enumerate(zip(mtfl_tasks(64), wiring.rows, strict=False)):
        at = wiring.end + NAME
        text(ax, at, y, task.name, dark(task_colour(t)), ha="left", fontweight="bold")
    text(ax, 0.08, 0.14, " · ".join(wiring.notes()), SHARED, ha="left")
    return fig


def table(tasks: Sequence[Task], cost: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per method of the `gallery`: its size, and what a training step costs.

    Sizes are those of the full networks at 112 px; "for one" is what must be kept to predict the
    main task alone. With `cost`, the times and memory of `dclib.study.speed.cost.table` stand
    beside them.
    """
    rows = {}
    for name in in_order(gallery()):
        net = sizes.on_meta(name, tasks)
        rows[name] = {
            "networks": len(net.columns),
            "may differ": differ(name),
            "parameters (M)": count_parameters(net) / 1e6,
            "for one (M)": sizes.needed(net) / 1e6,
            "multiply-adds (M)": sizes.multiply_adds(net) / 1e6,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    if cost is None:
        return frame
    return frame.join(cost[["plain (ms)", "kept (MB)"]].rename(columns={"plain (ms)": "step (ms)"}))


def league(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method at one setting, from the lowest failure rate: what it gives and costs.

    Failure rates are those of the paper's decoder, in %, with their 95 % intervals; minutes are the
    mean over the tries.

    Raises:
        RunError: the runs differ in more than the method.
    """
    group, rows = Comparison(records), {}
    for label, own in group.tries.items():
        e, score = own[0].experiment, group.score(label)
        tasks = data.find(e.dataset).tasks(e.resolution)
        net = sizes.on_meta(e.method, tasks, e.underlying, e.resolution, e.width)
        rows[label] = {
            "failure rate (%)": score.value,
            "low": score.low,
            "high": score.high,
            "tries": len(own),
            "parameters (M)": own[0].environment["parameters"] / 1e6,
            "multiply-adds (M)": sizes.multiply_adds(net, e.resolution) / 1e6,
            "training (min)": fmean(r.environment["seconds"] for r in own) / 60,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    return frame.sort_values("failure rate (%)", kind="stable")


def league_title(records: Sequence[Record]) -> str:
    """The setting of the `league`, with its number of training steps."""
    group = Comparison(records)
    e = group.about
    faces = next(r for r in records if r.experiment == e).environment["trained_on"]
    steps = e.epochs * (faces // e.batch + (faces % e.batch > 1))  # a last face alone is left out
    return (
        f"{len(group.methods)} ways to share after {steps:,} training steps: {data_name(e)},"
        f" {faces:,} faces, {e.epochs} epochs, {e.underlying} at width {e.width:g},"
        f" {e.resolution} px"
    )


def differ(method: str) -> str:
    """Whether the columns may be different CNNs: builds a pair of them, where there are columns."""
    chosen = METHODS[method]
    if chosen.underlying or chosen.columns(2) < 2:
        return "–"
    try:
        sizes.on_meta(method, mtfl_tasks(64)[:2], "resnet18+alexnet", 64, 0.125)
    except ValueError:
        return "no"
    return "yes"


def alike(methods: Sequence[str], tasks: int = 3) -> list[list[str]]:
    """Methods whose pictures are the same, together, in the order of the first of each."""
    groups: dict[object, list[str]] = {}
    for method in methods:
        groups.setdefault(structure(method, tasks).drawn, []).append(method)
    return list(groups.values())


def overview(methods: Sequence[str] | None = None, across: int = 3) -> Figure:
    """All methods on one sheet, those that are wired alike in one picture.

    Args:
        methods: by default those of the `gallery`.
        across: pictures side by side.
    """
    groups = alike(gallery() if methods is None else methods)
    down = -(-len(groups) // across)
    fig, sheet = sketch.sheet(across * CELL[0], down * CELL[1])
    width, height = fig.get_size_inches()
    for k, group in enumerate(groups):
        left, top = k % across * CELL[0] + 0.05, height - k // across * CELL[1]
        title = METHODS[group[0]].title if len(group) == 1 else "the same wiring"
        text(sheet, left, top - 0.12, ", ".join(group), ha="left", fontweight="bold")
        for row, line in enumerate(textwrap.wrap(title, LETTERS) if title != group[0] else (), 1):
            text(sheet, left, top - 0.12 - row * LINE, line, SHARED, ha="left")
        wiring = Wiring(structure(group[0]))
        scale = min(PICTURE[0] / wiring.width, PICTURE[1] / wiring.height)
        size = (scale * wiring.width / width, scale * wiring.height / height)
        ax = fig.add_axes((left / width, (top - TITLE) / height - size[1], *size))
        ax.set(xlim=(0, wiring.width), ylim=(0, wiring.height), aspect="equal")
        ax.set_axis_off()
        wiring.draw(ax)
    return fig
