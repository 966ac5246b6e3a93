"""Section 4.2: Fig. 3, Fig. 4 and what belongs to them, drawn from run records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
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
from dclib.study.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WIDTH
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
DIAMOND: dict[str, Any] = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": BLACK}
AXES: dict[Metric, str] = {
    "failure rate": "landmark failure rate (% of faces)",
    "mean error": "mean error (% of interocular distance)",
}
LOOKS = {"bin": (BLUE, "o", -0.17), "soft": (VERMILION, "s", 0.17)}  # colour, marker, offset
DECODER_NAMES = {"bin": "bin, the paper's decoder", "soft": "soft-argmax, our addition"}


def data_name(experiment: Experiment) -> str:
    """The faces of a run, of AFLW whatever the ratio."""
    if experiment.dataset.startswith("aflw-"):
        return "AFLW"
    return DATA_NAMES.get(experiment.dataset, experiment.dataset)


def in_order(methods: Sequence[str]) -> list[str]:
    """Methods in the order of figures and tables; those it does not know come first."""
    return sorted(set(methods), key=lambda m: (ORDER.index(m) if m in ORDER else -1, m))


def fig3(reference: Sequence[Record], records: Sequence[Record]) -> Figure:
    """Fig. 3: landmark failure rate and mean error of each method, with tries and intervals.

    Args:
        reference: the runs of the reference results.
        records: the runs of this page; the same ones, or a second column of panels.

    The paper's failure rates stand beside runs on MTFL only, never beside synthetic faces.

    Raises:
        ValueError: there is no run at all.
    """
    groups = [("Reference", Comparison(reference))] if reference else []
    if {r.id for r in records} != {r.id for r in reference}:
        groups.append(("This run", Comparison(records)))
    if not groups:
        raise ValueError("Fig. 3 needs at least one run")
    methods = in_order([m for _, group in groups for m in group.methods])

    side_by_side = len(groups) == 1  # both metrics fit one row
    fig = Figure(figsize=(WIDTH, (0.33 * len(methods) + 1.0) * (1 if side_by_side else 2) + 0.5))
    fig.set_layout_engine("constrained")
    panels = fig.subplots(1, 2, sharey=True) if side_by_side else fig.subplots(2, 2, sharey=True)
    grid = np.asarray(panels).reshape(2, len(groups))  # (metric, group)
    for row, metric in zip(grid, AXES, strict=True):
        for ax, (name, group) in zip(row, groups, strict=True):
            _scores(ax, group, methods, metric)
            ax.set_title(f"{name}: {about(group)}", fontsize="small")
    fig.legend(handles=key(), loc="outside lower center", ncols=2, frameon=False)
    return fig


def rates(records: Sequence[Record], also: Sequence[str] = ()) -> Figure:
    """Failure rate and mean error of each method, as in Fig. 3, whatever network it stands for.

    Args:
        records: runs to be compared.
        also: methods that have a row even without a run.

    Raises:
        ValueError: there is no run at all.
    """
    if not records:
        raise ValueError("there is no run to be shown")
    group = Comparison(records)
    methods = in_order([*group.methods, *also])
    fig = Figure(figsize=(WIDTH, 0.27 * len(methods) + 1.4), layout="constrained")
    for ax, metric in zip(fig.subplots(1, 2, sharey=True), AXES, strict=True):
        _scores(ax, group, methods, metric)
    fig.suptitle(about(group), fontsize="small")
    fig.legend(handles=key(), loc="outside lower center", ncols=2, frameon=False)
    return fig


def about(group: Comparison) -> str:
    """Two lines on what runs are on: data and preset, tries, faces and input."""
    e, own = group.about, list(group.tries.values())
    faces = own[0][0].outcomes.bins.shape[1]
    counts = sorted({len(tries) for tries in own})
    many = "1 try" if counts == [1] else f"{'–'.join(map(str, counts))} tries"
    return f"{data_name(e)}, preset {e.preset}\n{many}, {faces:,} faces, {e.resolution} px"


def _scores(ax: Axes, group: Comparison, methods: list[str], metric: Metric) -> None:
    """One panel: a row per method, with each try, the mean, its interval, the paper's number."""
    for y, method in enumerate(methods):
        row(ax, y, group, method, metric)
        number = printed_beside(method, group.about)
        if metric == "failure rate" and number is not None:
            diamond(ax, number, y)
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(AXES[metric])


def row(ax: Axes, y: int, group: Comparison | None, method: str, metric: Metric) -> None:
    """A method in a panel: each try, the mean and its interval, or that it was not run."""
    if y % 2 == 0:
        ax.axhspan(y - 0.5, y + 0.5, color="#f5f5f5", zorder=0)
    if group is None or method not in group.tries:
        looks: dict[str, Any] = {"va": "center", "fontsize": "x-small", "color": GREY}
        ax.text(0.02, y, "not run", transform=ax.get_yaxis_transform(), **looks)
        return
    for decoder in DECODERS:
        colour, marker, offset = LOOKS[decoder]
        each = group.scores(method, metric, decoder).mean(axis=1)
        mean = group.score(method, metric, decoder)
        at = y + offset
        ax.plot([mean.low, mean.high], [at, at], color=colour, linewidth=1.6)
        ax.plot(each, [at] * len(each), "|", color=colour, markersize=7, markeredgewidth=1.0)
        ax.plot(mean.value, at, marker, color=colour, markersize=4.5, zorder=3)


def diamond(ax: Axes, number: float, y: int) -> None:
    """A number of the paper."""
    ax.plot(number, y, **DIAMOND, zorder=4)


def printed_beside(method: str, experiment: Experiment) -> float | None:
    """The paper's failure rate that may stand beside a run.

    None beside other faces, and beside other weights to start from than the paper's.
    """
    start = experiment.pretrained
    if experiment.dataset != "mtfl" or start not in (False, "imagenet"):
        return None
    return paper.failure_rate(method, experiment.underlying, bool(start))


def key() -> list[Line2D]:
    """What the marks of rows mean."""
    marks = [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, label=DECODER_NAMES[decoder])
        for decoder, (colour, marker, _) in LOOKS.items()
    ]
    return [
        *marks,
        Line2D([], [], **DIAMOND, linestyle="", label="printed in the paper"),
        Line2D([], [], color=GREY, marker="|", linestyle="", label="one try"),
    ]


# Colour by how tasks share; one network for all: blue.
FAMILIES = {"-S": GREY, "XS": ORANGE, "DCNet": GREEN, "HF": SKY, "TCDCN": PURPLE}


def look(method: str) -> dict[str, Any]:
    """Colour by how the tasks share, dashes for widened networks, dots without related tasks."""
    colour = next((c for part, c in FAMILIES.items() if part in method), BLUE)
    dashes = ":" if "related 0" in method else "--" if method.endswith("x") else "-"
    return {"color": colour, "linestyle": dashes, "linewidth": 1.5}


def history(records: Sequence[Record]) -> Figure:
    """Training loss of each task over the epochs, averaged over the tries of each method."""
    group = Comparison(records)
    tasks = list(
        dict.fromkeys(
            key.removeprefix("loss.")
            for record in records
            for key in record.history[0]
            if key.startswith("loss.")
        )
    )
    fig = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    columns = len(tasks) // 2 + 1  # one panel is left for the key
    panels = fig.subplots(2, columns, sharex=True)
    for ax, task in zip(panels.flat, tasks, strict=False):
        for method in in_order(group.methods):
            rows = [[row.get(f"loss.{task}") for row in r.history] for r in group.tries[method]]
            if rows[0][0] is not None:
                loss = np.asarray(rows, dtype=float).mean(axis=0)
                ax.plot(np.arange(1, len(loss) + 1), loss, **look(method))
        ax.set_title(task)
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch")
    for ax in panels.flat[len(tasks) :]:
        ax.set_axis_off()
    for ax in panels[:, 0]:
        ax.set_ylabel("cross-entropy")
    handles = [Line2D([], [], label=m, **look(m)) for m in in_order(group.methods)]
    panels.flat[-1].legend(handles=handles, loc="center", frameon=False)
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


LABELS = data.MTFL_WORDS


def fig4(
    record: Record, chosen: Sequence[int], faces: FaceSet | None = None, photos: bool = False
) -> Figure:
    """Fig. 4: predicted landmarks and labels of some faces, in the last epoch of a run.

    Args:
        record: the run.
        chosen: which of the faces it was scored on.
        faces: those faces, for the truth; the prediction alone where they are not here, or may
            not be shown.
        photos: also show the pictures of `faces`.
    """
    fig = Figure(figsize=(WIDTH, WIDTH / len(chosen) + 1.0), layout="constrained")
    panels = np.ravel(fig.subplots(1, len(chosen)))
    size = record.experiment.resolution
    for ax, face in zip(panels, chosen, strict=True):
        if faces is not None:
            margin = (faces.images.shape[-1] - size) // 2
            if photos:
                window = faces.images[face][:, margin : margin + size, margin : margin + size]
                ax.imshow(window.transpose(1, 2, 0), extent=(0, size, size, 0))
            truth = np.asarray(faces.landmarks[face], dtype=float) - margin
            ax.plot(*truth.T, "o", color=GREEN, markersize=6, markeredgecolor="white")
        points = record.outcomes.points()[face]
        outlined = [withStroke(linewidth=4, foreground="white")]  # to be seen on dark hair, too
        ax.plot(*points.T, "x", color=BLUE, markeredgewidth=2, path_effects=outlined)
        ax.set(xlim=(0, size), ylim=(size, 0), aspect="equal", xticks=[], yticks=[])
        ax.set_xlabel(_told(record, face, faces), fontsize="small", linespacing=1.4)
    marks = [Line2D([], [], marker="x", color=BLUE, linestyle="", label="predicted")]
    if faces is not None:
        marks.append(Line2D([], [], marker="o", color=GREEN, linestyle="", label="true"))
    fig.legend(handles=marks, loc="outside upper center", ncols=2, frameon=False)
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
