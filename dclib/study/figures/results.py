"""Section 4.2: Fig. 3, Fig. 4 and what belongs to them, drawn from run records."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from dclib import data, metrics
from dclib.data.faces import FaceSet
from dclib.errors import DataError
from dclib.methods import METHODS
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    plots,
)
from dclib.study.figures.data import window
from dclib.study.paper import Metric
from dclib.tasks import Angle, label_tasks

# From a single task to the paper's approach, as in its Fig. 3, each control beside its like; before
# the last two come the relatives, as they stand in the registry.
FIRST = ("RN-S", "AN-S", "RN-Sx", "AN-Sx", "RN", "AN", "RNx", "ANx", "XS", "XSx")
LAST = ("DCNet (related 0)", "DCNet")
ORDER = tuple(dict.fromkeys([*FIRST, *(name for name in METHODS if name not in LAST), *LAST]))
DATA_NAMES = {"mtfl": "MTFL", "synthetic": "synthetic faces"}
STARTS: dict[str | bool, str] = {  # of the columns, by what an experiment calls it
    False: "from scratch",
    "imagenet": "from ImageNet",
    "tiny-imagenet": "from Tiny-ImageNet (stand-in)",
}
AXES: dict[Metric, str] = {
    "failure rate": "landmark failure rate (% of faces)",
    "mean error": "mean error (% of interocular distance)",
}
DECODER_NAMES = {"bin": "bin, the paper's decoder", "soft": "soft-argmax, our addition"}
LOOKS: plots.Looks = {
    "bin": {"color": BLUE, "label": DECODER_NAMES["bin"]},
    "soft": {"color": VERMILION, "marker": "s", "label": DECODER_NAMES["soft"]},
}
# Colour by how tasks share; one network for all: blue.
FAMILIES = {"-S": GREY, "XS": ORANGE, "DCNet": GREEN, "HF": SKY, "TCDCN": PURPLE}
LABELS = data.MTFL_WORDS


def data_name(experiment: Experiment) -> str:
    """The faces of a run, of AFLW whatever the ratio."""
    if experiment.dataset.startswith("aflw-"):
        return "AFLW"
    return DATA_NAMES.get(experiment.dataset, experiment.dataset)


def in_order(methods: Sequence[str]) -> list[str]:
    """Methods in the order of figures and tables; those it does not know come first."""
    return sorted(set(methods), key=lambda m: (ORDER.index(m) if m in ORDER else -1, m))


def look(method: str) -> dict[str, Any]:
    """Colour by how the tasks share, dashes for widened networks, dots without related tasks."""
    colour = next((c for part, c in FAMILIES.items() if part in method), BLUE)
    dashes = ":" if "related 0" in method else "--" if method.endswith("x") else "-"
    return {"color": colour, "linestyle": dashes, "linewidth": 1.5}


def fig3(reference: Sequence[Record], records: Sequence[Record]) -> Figure:
    """Fig. 3: landmark failure rate and mean error of each method, with tries and intervals.

    The runs of a page have a column of their own, where they are not those of the reference. The
    paper's failure rates stand beside runs on MTFL only, never beside synthetic faces.

    Raises:
        ValueError: there is no run at all.
    """
    groups = {"Reference: ": reference} if reference else {}
    if {r.id for r in records} != {r.id for r in reference}:
        groups["This run: "] = records
    return _scores(groups)


def rates(records: Sequence[Record]) -> Figure:
    """The same of runs whatever network they stand for."""
    return _scores({"": records} if records else {})


def _scores(groups: Mapping[str, Sequence[Record]]) -> Figure:
    if not groups:
        raise ValueError("there is no run to be shown: give at least one")
    compared = {name: Comparison(records) for name, records in groups.items()}
    methods = in_order([m for group in compared.values() for m in group.methods])
    alone = len(compared) == 1  # both metrics fit one row
    rows = []
    for metric, (name, group), method in product(AXES, compared.items(), methods):
        panel, row = (metric, "") if alone else (f"{name}{about(group)}", metric)
        printed = printed_beside(method, group.about)
        rows += marks(group, method, metric, printed, method, panel, row)
    height = (0.3 * len(methods) + 1.0) * len(compared) + 0.5
    fig = plots.intervals(rows, LOOKS, height, below=alone)
    for ax, (metric, _) in zip(fig.axes, product(AXES, compared), strict=True):
        ax.set_xlabel(AXES[metric])
    if alone:
        fig.suptitle("".join(n + about(g) for n, g in compared.items()), fontsize="small")
    return fig


def marks(
    group: Comparison, method: str, metric: Metric, printed: float | None, *where: Any
) -> list[dict[str, Any]]:
    """Rows of `plots.intervals`: a method by both decoders, or that it was not run.

    Args:
        group: the runs.
        printed: the paper's failure rate.
        where: rows stand, and in which panel.
    """
    beside = printed if metric == "failure rate" else None
    if method not in group.tries:
        return [plots.entry(None, "bin", *where, printed=beside, note="not run")]
    return [
        plots.entry(score, decoder, *where, each=each.mean(axis=1), printed=beside)
        for decoder in DECODERS
        for score in [group.score(method, metric, decoder)]
        for each in [group.scores(method, metric, decoder)]
    ]


def about(group: Comparison) -> str:
    """Two lines on what runs are on: data and preset, tries, faces and input."""
    e, own = group.about, list(group.tries.values())
    faces = own[0][0].outcomes.bins.shape[1]
    counts = sorted({len(tries) for tries in own})
    many = "1 try" if counts == [1] else f"{'–'.join(map(str, counts))} tries"
    return f"{data_name(e)}, preset {e.preset}\n{many}, {faces:,} faces, {e.resolution} px"


def printed_beside(method: str, experiment: Experiment) -> float | None:
    """The paper's failure rate that may stand beside a run.

    None beside other faces, and beside other weights to start from than the paper's.
    """
    start = experiment.pretrained
    if experiment.dataset != "mtfl" or start not in (False, "imagenet"):
        return None
    return paper.failure_rate(method, experiment.underlying, bool(start))


def history(records: Sequence[Record]) -> Figure:
    """Training loss of each task over the epochs, averaged over the tries of each method."""
    rows = [
        {"panel": name.removeprefix("loss."), "series": r.experiment.label, "x": epoch, "y": loss}
        for r in records
        for epoch, row in enumerate(r.history, 1)
        for name, loss in row.items()
        if name.startswith("loss.") and loss is not None
    ]
    by = ["panel", "series", "x"]
    mean = pd.DataFrame(rows).groupby(by, sort=False, as_index=False).mean()
    looks = {method: look(method) for method in in_order(Comparison(records).methods)}
    told: dict[str, Any] = {"x": "epoch", "y": "cross-entropy", "wrap": 3, "sharex": True}
    fig = plots.curves(mean, looks, 4.4, **told)
    for ax in fig.axes:
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return fig


def at_quantiles(record: Record, quantiles: Sequence[float] = (0.1, 0.5, 0.9, 0.99)) -> list[int]:
    """Faces at fixed quantiles of the error in the last epoch: the rule that selects Fig. 4."""
    order = np.argsort(record.outcomes.errors["bin"][-1], kind="stable")
    return [int(order[round(q * (len(order) - 1))]) for q in quantiles]


def faces_of(record: Record) -> FaceSet | None:
    """The faces that a run was scored on; None where the data are not on this machine."""
    e = record.experiment
    try:
        return data.load(e.dataset, e.resolution)[1]
    except DataError:
        return None


def fig4(
    record: Record, chosen: Sequence[int], faces: FaceSet | None = None, photos: bool = False
) -> Figure:
    """Fig. 4: predicted landmarks and labels of some faces, in the last epoch of a run.

    Args:
        chosen: which of the faces it was scored on.
        faces: those faces, for the truth; none where they are not here, or may not be shown.
        photos: also show their pictures.
    """
    fig = Figure(figsize=(WIDTH, WIDTH / len(chosen) + 1.0), layout="constrained")
    panels = np.ravel(fig.subplots(1, len(chosen)))
    size = record.experiment.resolution
    for ax, face in zip(panels, chosen, strict=True):
        if faces is not None:
            seen, truth = window(faces, face)
            if photos:
                ax.imshow(seen, extent=(0, size, size, 0))
            ax.plot(*truth.T, "o", color=GREEN, markersize=6, markeredgecolor="white")
        points = record.outcomes.points()[face]
        outlined = [withStroke(linewidth=4, foreground="white")]  # to be seen on dark hair, too
        ax.plot(*points.T, "x", color=BLUE, markeredgewidth=2, path_effects=outlined)
        ax.set(xlim=(0, size), ylim=(size, 0), aspect="equal", xticks=[], yticks=[])
        ax.set_xlabel(_told(record, face, faces), fontsize="small", linespacing=1.4)
    handles = [Line2D([], [], marker="x", color=BLUE, linestyle="", label="predicted")]
    if faces is not None:
        handles.append(Line2D([], [], marker="o", color=GREEN, linestyle="", label="true"))
    fig.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return fig


def _told(record: Record, face: int, faces: FaceSet | None) -> str:
    """Error and predicted labels of a face; right or wrong, where the truth is here."""
    outcomes = record.outcomes
    error = outcomes.errors["bin"][-1][face]
    lines = [f"error {100 * error:.1f} %, {'failure' if error > metrics.THRESHOLD else 'success'}"]
    about = data.find(record.experiment.dataset)
    words = about.words()
    for task in label_tasks(about.tasks(record.experiment.resolution)):
        if task.name not in outcomes.classes:
            continue
        value = int(outcomes.classes[task.name][-1][face])
        word = words[task.name][value] if task.name in words else str(value)
        if isinstance(task, Angle) or task.name not in words:
            word = f"{task.name} {word}"
        if faces is not None:
            label = torch.as_tensor(np.array(faces.labels[task.name][face : face + 1]))
            true = int(task.encode(label)[0])
            word += "" if true < 0 else " ✓" if value == true else " ✗"
        lines.append(word)
    return "\n".join(lines)
