"""Known truth, beyond the paper: what is found on drawn faces, as figures and in words."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dclib.study.analysis.ablation import effects
from dclib.study.analysis.known_truth import PREDICTIONS, SETS, Known
from dclib.study.analysis.stats import DECODERS, NOWHERE, Verdict, average
from dclib.study.figures import BLUE, GREEN, GREY, ORANGE, plots
from dclib.study.figures.ablation import CONTENT_NAMES, LOOKS
from dclib.study.figures.ablation import maps as ablation_maps
from dclib.study.figures.plots import columns, entry

ABOUT = "labels that are related to the landmarks"
NOT_RUN = "Not run: python -m dclib {} --plan truth --preset cpu"
NAMES = dict(zip(SETS, ("none", "half", "all", "profile\nonly", "all but\nprofile"), strict=True))
COLOURS = {"DCNet": {"color": GREEN}, "XS": {"color": ORANGE}, "RN": {"color": BLUE}}
UNRELATED: dict[str, dict[str, Any]] = {  # do not learn the labels
    "RN-S": {"color": GREY, "linestyle": "--"},
    "DCNet (related 0)": {"color": GREEN, "linestyle": ":"},
}


def rates(known: Known) -> Figure:
    """Failure rate against relatedness, with tries and intervals; one panel for each decoder.

    Methods that do not learn the labels are lines, with their interval as a band.
    """
    if not known.runs:
        return plots.nothing(NOT_RUN.format("train"))
    rows = [
        entry(average(own), method, NAMES[name], f"decoder: {d}", each=own.mean(axis=1))
        for d in DECODERS
        for name in SETS
        for method in COLOURS
        if (method, name) in known.runs
        for own in [known.rate(method, name, d)]
    ]
    lines = [Line2D([], [], label=m, **style) for m, style in UNRELATED.items()]
    y = "landmark failure rate (%)"
    fig = plots.intervals(rows, COLOURS, 3.4, x=ABOUT, y=y, up=True, step=0.14, more=lines)
    for ax, decoder in zip(fig.axes, DECODERS, strict=False):
        for method, name in known.runs:
            if method in UNRELATED:
                style, mean = UNRELATED[method], average(known.rate(method, name, decoder))
                ax.axhspan(mean.low, mean.high, color=style["color"], alpha=0.12, linewidth=0)
                ax.axhline(mean.value, **style, linewidth=1.4)
    return fig


def rows(known: Known) -> Figure:
    """What each row of the ablation map does, against relatedness: a panel for each task."""
    if not known.ablations:
        return plots.nothing(NOT_RUN.format("ablate"))
    made = [
        entry(average(harm), content, NAMES[name], task, each=harm.mean(axis=1))
        for task in next(iter(known.ablations.values()))[0].tasks
        for name in SETS
        if name in known.ablations
        for content in LOOKS
        for harm in [known.harm([task], name, "bin", content)]
    ]
    y = "added failures per block (points)"
    fig = plots.intervals(made, LOOKS, 3.2, x=ABOUT, y=y, up=True, step=0.28, zero=True)
    for ax in fig.axes:
        ax.tick_params(axis="x", labelsize="xx-small", labelrotation=90)
    return fig


def maps(known: Known) -> Figure:
    """The whole ablation map of DCNet on each set, all on one scale."""
    there = [name for name in SETS if name in known.ablations]
    if not there:
        return plots.nothing(NOT_RUN.format("ablate"))
    cells = {
        NAMES[n]: {told: effects(known.ablations[n], c) for c, told in CONTENT_NAMES.items()}
        for n in there
    }
    about, label = known.ablations[there[0]][0], "change of failure rate (%)"
    height = 0.24 * len(about.tasks) * len(there) + 1.2
    return ablation_maps(about, cells, label, height, digits=0)


def predictions(known: Known) -> pd.DataFrame:
    """One row per prediction: the difference in points, by decoder with interval, and the verdict.

    Negative where the prediction is right; "of" says that none of them is the paper's.
    """
    nowhere = dict.fromkeys(DECODERS, NOWHERE)
    rows = [
        {
            "prediction": prediction.statement,
            "of": "beyond the paper",
            **columns(nowhere | known.gaps(prediction)),
            "verdict": str(known.judge(prediction)),
        }
        for prediction in PREDICTIONS
    ]
    return pd.DataFrame(rows).set_index("prediction")


def words(known: Known) -> str:
    """How many predictions were confirmed."""
    table = predictions(known)
    counts = table["verdict"].value_counts()
    told = {
        Verdict.SUPPORTED: "confirmed",
        Verdict.CONTRADICTED: "refuted",
        Verdict.UNCLEAR: "inconclusive",
        Verdict.NOT_TESTED: "not tested",
    }
    parts = [f"{counts[str(v)]} {said}" for v, said in told.items() if str(v) in counts]
    return f"Of {len(table)} predictions: {', '.join(parts)}."
