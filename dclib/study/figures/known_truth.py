"""Known truth, beyond the paper: what is found on drawn faces, as figures and in words."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dclib.study.analysis.ablation import CONTENTS, effects
from dclib.study.analysis.known_truth import PREDICTIONS, SETS, Known
from dclib.study.analysis.stats import DECODERS, Interval, Verdict, average
from dclib.study.figures import BLACK, BLUE, GREEN, GREY, ORANGE, WIDTH
from dclib.study.figures.ablation import CONTENT_NAMES, LOOKS, draw_map

NAMES = dict(zip(SETS, ("none", "half", "all", "profile\nonly", "all but\nprofile"), strict=True))
COLOURS = {"DCNet": GREEN, "XS": ORANGE, "RN": BLUE}
FLAT: dict[str, tuple[str, Any]] = {
    "RN-S": (GREY, "--"),
    "DCNet (related 0)": (GREEN, ":"),
}  # do not learn the labels


def rates(known: Known) -> Figure:
    """Failure rate against relatedness, with tries and intervals; one panel for each decoder.

    Methods that do not learn the labels are lines, with their interval as a band.
    """
    fig = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    if not known.runs:
        return _not_run(fig)
    panels = fig.subplots(1, len(DECODERS), sharey=True)
    for ax, decoder in zip(panels, DECODERS, strict=True):
        for (method, name), own in known.runs.items():
            scores = known.rate(method, name, decoder)
            mean = average(scores)
            if method in FLAT:
                colour, dashes = FLAT[method]
                ax.axhspan(mean.low, mean.high, color=colour, alpha=0.12, linewidth=0)
                ax.axhline(mean.value, color=colour, linestyle=dashes, linewidth=1.4)
                continue
            colour = COLOURS[method]
            at = SETS.index(name) + 0.14 * (list(COLOURS).index(method) - 1)
            ax.plot([at, at], [mean.low, mean.high], color=colour, linewidth=3, alpha=0.35)
            ax.plot([at] * len(own), scores.mean(axis=1), "_", color=colour, markersize=7)
            ax.plot(at, mean.value, "o", color=colour, markersize=4.5, zorder=3)
        _by_set(ax)
        ax.set_title(f"decoder: {decoder}", fontsize="small")
    panels[0].set_ylabel("landmark failure rate (%)")
    marks = [
        Line2D([], [], color=c, marker="o", markersize=4.5, label=m) for m, c in COLOURS.items()
    ]
    marks += [Line2D([], [], color=c, linestyle=d, label=m) for m, (c, d) in FLAT.items()]
    fig.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)
    return fig


def rows(known: Known, decoder: str = "bin") -> Figure:
    """What each row of the ablation map does, against relatedness: a panel for each task."""
    fig = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    if not known.ablations:
        return _not_run(fig, "ablate")
    tasks = next(iter(known.ablations.values()))[0].tasks
    panels = np.ravel(fig.subplots(1, len(tasks), sharey=True))
    for ax, task in zip(panels, tasks, strict=True):
        for content, (colour, marker, offset) in LOOKS.items():
            for name in known.ablations:
                harm = known.harm([task], name, decoder, content)
                mean, at = average(harm), SETS.index(name) + offset
                ax.plot([at, at], [mean.low, mean.high], color=colour, linewidth=3, alpha=0.35)
                ax.plot([at] * len(harm), harm.mean(axis=1), "_", color=colour, markersize=6)
                ax.plot(at, mean.value, marker, color=colour, markersize=4, zorder=3)
        ax.axhline(0, color=BLACK, linewidth=0.8)
        ax.set_title(task, fontsize="small")
        _by_set(ax)
        ax.tick_params(axis="x", labelsize="xx-small", labelrotation=90)
        ax.set_xlabel("")
    fig.supxlabel("labels that are related to the landmarks", fontsize="small")
    panels[0].set_ylabel("added failures per block (points)")
    marks = [
        Line2D([], [], color=colour, marker=marker, markersize=4, label=CONTENT_NAMES[content])
        for content, (colour, marker, _) in LOOKS.items()
    ]
    fig.legend(handles=marks, loc="outside upper center", ncols=2, frameon=False)
    return fig


def maps(known: Known, decoder: str = "bin") -> Figure:
    """The whole ablation map of DCNet on each set, all on one scale."""
    fig = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    if not known.ablations:
        return _not_run(fig, "ablate")
    there = [name for name in SETS if name in known.ablations]
    cells = {(c, n): effects(known.ablations[n], c, decoder) for c in CONTENTS for n in there}
    limit = max(abs(i.value) for map_ in cells.values() for row in map_ for i in row) or 1.0
    panels = fig.subplots(len(CONTENTS), len(there), sharex=True, sharey=True, squeeze=False)
    for ax, ((content, name), own) in zip(panels.flat, cells.items(), strict=True):
        draw_map(ax, known.ablations[name][0], own, limit, {}, digits=0, size=5.5)
        ax.tick_params(labelsize="x-small")
        if content == CONTENTS[0]:
            ax.set_title(NAMES[name].replace("\n", " "), fontsize="small")
    for ax, content in zip(panels[:, 0], CONTENTS, strict=True):
        ax.set_ylabel(CONTENT_NAMES[content], fontsize="small")
    fig.supxlabel("block, from input to output", fontsize="small")
    return fig


def _by_set(ax: Axes) -> None:
    ax.set_xticks(range(len(SETS)), list(NAMES.values()), fontsize="x-small")
    ax.set_xlim(-0.5, len(SETS) - 0.5)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("labels that are related to the landmarks", fontsize="small")


def _not_run(fig: Figure, command: str = "train") -> Figure:
    """A figure that says how to make what it would show."""
    ax = fig.subplots()
    ax.set_axis_off()
    told = f"Not run: python -m dclib {command} --plan truth --preset cpu"
    ax.text(0.5, 0.5, told, ha="center", va="center", color=GREY)
    return fig


def predictions(known: Known) -> pd.DataFrame:
    """One row per prediction: the difference in points, by decoder with interval, and the verdict.

    Negative where the prediction is right; "of" says that none of them is the paper's.
    """
    rows = []
    for prediction in PREDICTIONS:
        gaps = known.gaps(prediction)
        row: dict[str, str | float] = {"prediction": prediction.statement, "of": "beyond the paper"}
        for decoder in DECODERS:
            gap = gaps.get(decoder, Interval(np.nan, np.nan, np.nan))
            row |= {decoder: gap.value, f"{decoder} low": gap.low, f"{decoder} high": gap.high}
        rows.append(row | {"verdict": str(known.judge(prediction))})
    return pd.DataFrame(rows).set_index("prediction")


def words(known: Known) -> str:
    """How many predictions came true."""
    table = predictions(known)
    counts = table["verdict"].value_counts()
    told = {
        Verdict.SUPPORTED: "came true",
        Verdict.CONTRADICTED: "came out the other way",
        Verdict.UNCLEAR: "cannot be told by these runs",
        Verdict.NOT_TESTED: "were not put to the test",
    }
    parts = [f"{counts[str(v)]} {said}" for v, said in told.items() if str(v) in counts]
    return f"Of {len(table)} predictions {', '.join(parts)}."
