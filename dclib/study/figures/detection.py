"""Section 4.5: how well cascades find faces and landmarks, and how they learned, as figures.

Each takes the cascades that are compared (`dclib.study.analysis.cascades`) and what public
detectors found on the same photos, by name. Without any cascade a figure says how to make them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dclib import metrics
from dclib.mtcnn.experiment import STAGES
from dclib.mtcnn.findings import Findings
from dclib.study import paper, verdicts
from dclib.study.analysis import comparison
from dclib.study.analysis.cascades import Cascades, score
from dclib.study.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, plots
from dclib.study.figures.curves import cumulative
from dclib.study.figures.words import listed
from dclib.study.verdicts.cascades import FACES, METRICS

References = Mapping[str, Findings]  # what public detectors found, by their names

COLOURS = {"MTCNN": SKY, "MTCNNx": BLUE, "DC-MTCNN": GREEN}
OTHERS = (PURPLE, BLACK, ORANGE)  # of public detectors
PANELS = {  # by metric: the axis, and the metric that is drawn beside it
    "failure rate": ("landmark failure rate\n(% of faces)", "failure rate of found faces"),
    "mean error": ("mean error of found faces\n(% of interocular distance)", None),
    "missed faces": ("missed faces", None),
}
FAIL, LEFT_OUT = "missed faces fail; mean error; missed faces", "missed faces left out"
LOOKS = {FAIL: {"color": BLUE}, LEFT_OUT: {"color": VERMILION, "marker": "s"}}
TASKS = ("face", "box", "landmarks")  # that stages learn
HELD_OUT = {"trained on": {"linestyle": "-"}, "held-out photos": {"linestyle": ":"}}


def printed(method: str) -> dict[str, float]:
    """What the paper prints of a method, by our metric and in its unit; nothing of others."""
    found = {
        ours: (paper.beside("mtcnn", method, metric=metric), parts)
        for metric, (ours, parts) in METRICS.items()
    }
    return {ours: parts * value for ours, (value, parts) in found.items() if value is not None}


def entries(group: Cascades, references: References) -> dict[str, list[Findings]]:
    """What each method found, in all tries; then public detectors, on the same photos only."""
    if not group.tries:
        return {}
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
    return plots.nothing(f"Not run: {verdicts.command_for(verdicts.cascades.PLAN, preset)}")


def about(group: Cascades) -> str:
    """What was trained on which photos, and what it is scored on."""
    first, e = group.records[0], group.about
    tries = sorted({len(own) for own in group.tries.values()})
    counted = "one try" if tries == [1] else f"{'–'.join(map(str, tries))} tries"
    return (
        f"**Preset `{e.preset}`**: {counted} of {listed(group.methods)}, trained on"
        f" {first.environment['trained_on']:,} photos of {listed(list(e.datasets))} and scored on"
        f" {len(first.findings.scores):,} faces ({e.faces}) and {len(first.findings.overlaps):,}"
        f" annotated faces of other photos ({e.heldout}). Faces are looked for from"
        f" {e.minimum:g} pixels on."
    )


def marks(group: Cascades, references: References) -> Figure:
    """Failure rate, mean error and missed faces of each method, with tries and intervals.

    The paper's numbers stand beside cascades that were scored on its test faces.
    """
    found = entries(group, references)
    if not found:
        return not_run()
    rows = [
        plots.entry(score(own, read), series, method, label, each=each, printed=number)
        for metric, (label, beside) in PANELS.items()
        for method, own in found.items()
        for number in [printed(method).get(metric) if own[0].faces == FACES else None]
        for series, read in ((FAIL, metric), (LEFT_OUT, beside))
        if read
        for each in [[score([one], read).value for one in own]]
    ]
    return plots.intervals(rows, LOOKS, 0.42 * len(found) + 1.6, below=True)


def ced(group: Cascades, references: References, limit: float = 0.30) -> Figure:
    """Cumulative error distribution: how many of all faces have at most an error.

    A missed face has none, so that a curve ends below 100 % by as many. Where the faces are the
    paper's, diamonds are what its failure rates leave, at the threshold.

    Args:
        limit: the largest error shown, as a share of the interocular distance.
    """
    found = entries(group, references)
    if not found:
        return not_run()
    errors = {
        name: np.stack([np.where(f.detected, f.errors, np.inf) for f in own])
        for name, own in found.items()
    }
    looks = {name: look(name, [*references]) for name in found}
    y = "of all faces, found with\nat most this error (%)"
    fig = cumulative({"": errors}, looks, limit, y)
    ax = fig.axes[0]
    for name, own in found.items():
        number = printed(name).get("failure rate")
        if number is not None and own[0].faces == FACES:
            style = plots.PRINTED | {"markeredgecolor": COLOURS[name]}
            ax.plot(100 * metrics.THRESHOLD, 100 - number, **style)
    return fig


def recall(group: Cascades, references: References) -> Figure:
    """On held-out photos: what is left of the faces after each stage, and how well boxes fit."""
    found = entries(group, references)
    if not found:
        return not_run()
    overlaps, staged = np.linspace(0.3, 0.95, 131), {}
    rows = []
    for name, own in found.items():
        if all(set(STAGES) <= set(f.stages) for f in own):
            staged[name] = 100 * np.array([[f.stages[stage] for stage in STAGES] for f in own])
            after = {"x": range(len(STAGES)), "y": staged[name].mean(axis=0)}
            rows.append(pd.DataFrame({**after, "series": name, "panel": "after stage"}))
        shares = np.mean([[100 * f.recall(float(at)) for at in overlaps] for f in own], axis=0)
        by = {"x": overlaps, "y": shares, "panel": "by at least this IoU"}
        rows.append(pd.DataFrame({**by, "series": name}))
    looks = {name: look(name, [*references]) for name in found}
    layout: dict[str, Any] = {"below": True, "sharey": True, "width_ratios": (2, 3)}
    y = "annotated faces that a box\noverlaps (%)"
    fig = plots.curves(pd.concat(rows), looks, 3.6, y=y, **layout)
    stages, boxes = fig.axes
    for line in stages.lines:
        line.set(marker="o", markersize=4)
    for name, each in staged.items():
        for values in each:
            stages.plot(range(len(STAGES)), values, "_", color=looks[name]["color"], markersize=7)
    stages.set(xlim=(-0.3, len(STAGES) - 0.7), ylim=(0, 102))
    stages.set_xticks(range(len(STAGES)), STAGES)
    boxes.axvline(0.5, color=BLACK, linewidth=0.8)
    boxes.set_xlim(0.3, 0.95)
    return fig


def training(group: Cascades) -> Figure:
    """Losses of each stage and task over the epochs, of trained and of held-out photos."""
    if not group.tries:
        return not_run()
    rows = [
        {
            "panel": f"stage {stage}",
            "row": task,
            "series": method,
            "kind": kind,
            "x": epoch,
            "y": row.get(f"{start}.{task}"),
        }
        for method in group.methods
        for record in group.tries[method]
        for stage in STAGES
        for task in TASKS
        for start, kind in zip(("loss", "validation"), HELD_OUT, strict=True)
        for epoch, row in enumerate(record.history[stage], 1)
    ]
    by = ["panel", "row", "series", "kind", "x"]
    frame = pd.DataFrame(rows).astype({"y": float})
    mean = frame.groupby(by, sort=False, as_index=False)["y"].mean().dropna()
    looks = {method: look(method) for method in group.methods}
    fig = plots.curves(mean, looks, 5.2, x="epoch", dashes=HELD_OUT, sharex=True)
    for ax in fig.axes:
        ax.set_yscale("log")
        plots.decades(ax.yaxis)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.tick_params(labelsize="x-small", labelbottom=True)  # below it there may be nothing
        if not ax.lines:
            ax.set_axis_off()
    for ax, task in zip((fig.axes[0], fig.axes[3], fig.axes[8]), TASKS, strict=True):
        ax.set_ylabel(f"loss: {task}", fontsize="small")
    return fig
