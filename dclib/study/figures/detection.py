"""Section 4.5: how well cascades find faces and landmarks, and how they learned, as figures.

Each takes the cascades that are compared (`dclib.study.analysis.cascades`) and what public
detectors found on the same photos, by name. Without any cascade a figure says how to make them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dclib import metrics
from dclib.mtcnn.experiment import STAGES
from dclib.mtcnn.findings import Findings
from dclib.study import paper, verdicts
from dclib.study.analysis import comparison
from dclib.study.analysis.cascades import Cascades, score
from dclib.study.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WIDTH
from dclib.study.figures.results import DIAMOND, diamond
from dclib.study.verdicts.cascades import FACES, METRICS, NAMES

References = Mapping[str, Findings]  # what public detectors found, by their names

COLOURS = {"MTCNN": SKY, "MTCNNx": BLUE, "DC-MTCNN": GREEN}
OTHERS = (PURPLE, BLACK, ORANGE)  # of public detectors
LOOKS = {  # of scores in a row: colour, marker, offset
    "failure rate": (BLUE, "o", -0.17),
    "failure rate of found faces": (VERMILION, "s", 0.17),
    "mean error": (BLUE, "o", 0.0),
    "missed faces": (BLUE, "o", 0.0),
}
PANELS = {  # metrics of a panel, and its axis
    ("failure rate", "failure rate of found faces"): "landmark failure rate\n(% of faces)",
    ("mean error",): "mean error of found faces\n(% of interocular distance)",
    ("missed faces",): "missed faces",
}


def printed(method: str) -> dict[str, float]:
    """What the paper prints of a method, by our metric and in its unit; nothing of others."""
    names = {ours: theirs for theirs, ours in NAMES.items()}
    if method not in names:
        return {}
    return {
        ours: parts * paper.number("mtcnn", method=names[method], metric=metric)
        for metric, (ours, parts) in METRICS.items()
    }


def entries(group: Cascades, references: References) -> dict[str, list[Findings]]:
    """What each method found, in all tries; then public detectors, on the same photos only."""
    found = {method: group.findings(method) for method in group.methods}
    first = group.records[0].findings
    same = {
        name: [own]
        for name, own in references.items()
        if (own.faces, own.heldout) == (first.faces, first.heldout)
        and (len(own.scores), len(own.overlaps)) == (len(first.scores), len(first.overlaps))
    }
    return found | same


def look(name: str, references: Sequence[str] = ()) -> dict[str, Any]:
    """Colour and dashes of a method, or of one of the public detectors."""
    if name in COLOURS:
        return {"color": COLOURS[name], "linestyle": "-", "linewidth": 1.5}
    colour = OTHERS[references.index(name) % len(OTHERS)]
    return {"color": colour, "linestyle": "--", "linewidth": 1.2}


def not_run(preset: str = comparison.REFERENCE) -> Figure:
    """A figure that says how to make what it would show."""
    fig = Figure(figsize=(WIDTH, 1.2), layout="constrained")
    ax = fig.subplots()
    ax.set_axis_off()
    told = f"Not run: {verdicts.command_for(verdicts.cascades.PLAN, preset)}"
    ax.text(0.5, 0.5, told, ha="center", va="center", color=GREY)
    return fig


def marks(group: Cascades, references: References) -> Figure:
    """Failure rate, mean error and missed faces of each method, with tries and intervals.

    The paper's numbers stand beside cascades that were scored on its test faces.
    """
    if not group.tries:
        return not_run()
    found = entries(group, references)
    fig = Figure(figsize=(WIDTH, 0.42 * len(found) + 1.6), layout="constrained")
    for ax, (names, label) in zip(fig.subplots(1, 3, sharey=True), PANELS.items(), strict=True):
        for y, (method, own) in enumerate(found.items()):
            if y % 2 == 0:
                ax.axhspan(y - 0.5, y + 0.5, color="#f5f5f5", zorder=0)
            for metric in names:
                _row(ax, y, own, metric)
            number = printed(method).get(names[0])
            if number is not None and own[0].faces == FACES:
                diamond(ax, number, y)
        ax.set_yticks(range(len(found)), list(found))
        ax.set_ylim(len(found) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(label)
    fig.legend(handles=_key(), loc="outside lower center", ncols=2, frameon=False)
    return fig


def _row(ax: Axes, y: int, own: Sequence[Findings], metric: str) -> None:
    """One score of a method: its tries, mean and interval; nothing where no face counts."""
    colour, marker, offset = LOOKS[metric]
    mean, at = score(own, metric), y + offset
    if np.isnan(mean.value):
        return
    each = [score([one], metric).value for one in own]
    ax.plot([mean.low, mean.high], [at, at], color=colour, linewidth=1.6)
    ax.plot(each, [at] * len(each), "|", color=colour, markersize=7, markeredgewidth=1.0)
    ax.plot(mean.value, at, marker, color=colour, markersize=4.5, zorder=3)


def _key() -> list[Line2D]:
    told = {
        "failure rate": "missed faces fail; mean error; missed faces",
        "failure rate of found faces": "missed faces left out",
    }
    made = [
        Line2D([], [], color=LOOKS[m][0], marker=LOOKS[m][1], markersize=4.5, label=label)
        for m, label in told.items()
    ]
    return [
        *made,
        Line2D([], [], **DIAMOND, linestyle="", label="printed in the paper"),
        Line2D([], [], color=GREY, marker="|", linestyle="", label="one try"),
    ]


def ced(group: Cascades, references: References, limit: float = 0.30) -> Figure:
    """Cumulative error distribution: how many of all faces have at most an error.

    A missed face has none, so that a curve ends below 100 % by as many. Where the faces are the
    paper's, diamonds are what its failure rates leave, at the threshold.

    Args:
        limit: the largest error shown, as a share of the interocular distance.
    """
    if not group.tries:
        return not_run()
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    ax = fig.subplots()
    at, threshold = np.linspace(0, limit, 301), 100 * metrics.THRESHOLD
    for name, own in entries(group, references).items():
        errors = np.stack([np.where(f.detected, f.errors, np.inf) for f in own])
        ax.plot(100 * at, 100 * metrics.ced(errors, at), label=name, **look(name, [*references]))
        number = printed(name).get("failure rate")
        if number is not None and own[0].faces == FACES:
            style = DIAMOND | {"markeredgecolor": COLOURS[name]}
            ax.plot(threshold, 100 - number, **style, zorder=4, linestyle="")
    ax.axvline(threshold, color=BLACK, linewidth=0.8)
    beside: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "bottom", "color": GREY}
    ax.text(threshold, 2, "failure threshold", fontsize="small", **beside)
    ax.set(xlim=(0, 100 * limit), ylim=(0, 100))
    ax.set_xlabel("error (% of interocular distance)")
    ax.set_ylabel("of all faces, found with\nat most this error (%)")
    ax.legend(loc="lower right", fontsize="small")
    return fig


def recall(group: Cascades, references: References) -> Figure:
    """On held-out photos: what is left of the faces after each stage, and how well boxes fit."""
    if not group.tries:
        return not_run()
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(2, 3), sharey=True)
    at = np.linspace(0.3, 0.95, 131)
    for name, own in entries(group, references).items():
        style = look(name, [*references])
        if all(set(STAGES) <= set(f.stages) for f in own):
            each = 100 * np.array([[f.stages[stage] for stage in STAGES] for f in own])
            left.plot(STAGES, each.mean(axis=0), marker="o", markersize=4, **style)
            for values in each:
                left.plot(STAGES, values, "_", color=style["color"], markersize=7)
        shares = [[100 * f.recall(float(overlap)) for overlap in at] for f in own]
        right.plot(at, np.mean(shares, axis=0), label=name, **style)
    left.set_xlabel("after stage")
    left.set_xlim(-0.3, len(STAGES) - 0.7)
    left.set_ylabel("annotated faces that a box\noverlaps (%)")
    left.set_ylim(0, 102)
    right.axvline(0.5, color=BLACK, linewidth=0.8)
    right.set_xlabel("by at least this IoU")
    right.set_xlim(0.3, 0.95)
    right.legend(loc="lower left", fontsize="small")
    return fig


def training(group: Cascades) -> Figure:
    """Losses of each stage and task over the epochs, of trained and of held-out photos."""
    if not group.tries:
        return not_run()
    tasks = ("face", "box", "landmarks")
    fig = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    grid = fig.subplots(len(tasks), len(STAGES), sharex=True, squeeze=False)
    for row, task in zip(grid, tasks, strict=True):
        for ax, stage in zip(row, STAGES, strict=True):
            drawn = list(_losses(group, stage, task))
            for method, dashes, losses in drawn:
                style = look(method) | {"linestyle": dashes}
                ax.plot(np.arange(1, len(losses) + 1), losses, **style)
            if not drawn:
                ax.set_axis_off()
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.tick_params(labelsize="x-small")
    for ax in grid[1]:
        ax.tick_params(labelbottom=True)  # below it there may be nothing
    for ax, stage in zip(grid[0], STAGES, strict=True):
        ax.set_title(f"stage {stage}", fontsize="small")
    for ax, task in zip((grid[0, 0], grid[1, 0], grid[2, 2]), tasks, strict=True):
        ax.set_ylabel(f"loss: {task}", fontsize="small")
    fig.supxlabel("epoch", fontsize="small")
    handles = [Line2D([], [], label=m, **look(m)) for m in group.methods]
    handles += [
        Line2D([], [], color=GREY, label="trained on"),
        Line2D([], [], color=GREY, linestyle=":", label="held-out photos"),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False)
    return fig


def _losses(group: Cascades, stage: str, task: str) -> Iterator[tuple[str, str, Any]]:
    """Method, dashes and losses of the epochs, averaged over tries, as far as a stage has them."""
    for method in group.methods:
        for start, dashes in (("loss", "-"), ("validation", ":")):
            rows = [
                [row.get(f"{start}.{task}") for row in record.history[stage]]
                for record in group.tries[method]
            ]
            if all(value is not None for row in rows for value in row):
                yield method, dashes, np.array(rows, dtype=float).mean(axis=0)
