"""Section 4.4: Fig. 6 and what belongs to it, drawn from evaluations of ablated networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dclib.records.experiment import Experiment
from dclib.study import paper
from dclib.study.analysis.ablation import CONTENTS, Ablation, accuracy_changes, effects
from dclib.study.analysis.stats import DECODERS, Interval, side
from dclib.study.figures import BLUE, VERMILION, WIDTH, plots
from dclib.study.figures.plots import columns, signed
from dclib.study.figures.results import data_name
from dclib.study.figures.words import SMOKE, listed, spanned

Cell = tuple[str, int]  # task and block; blocks count from 1, as in the paper
Map = Sequence[Sequence[Interval]]  # by task and block
CONTENT_NAMES = {"zeros": "zeros, as in the paper", "other face": "another face's features"}
LOOKS: plots.Looks = {
    "zeros": {"color": VERMILION, "label": CONTENT_NAMES["zeros"]},
    "other face": {"color": BLUE, "marker": "s", "label": CONTENT_NAMES["other face"]},
}


def fig6(ablations: Sequence[Ablation], beside: bool = False) -> Figure:
    """Fig. 6: a map of tasks (rows) and blocks (columns), coloured by relative change of failures.

    One map for each content and decoder, all on one scale. Cells whose interval holds zero are
    written in grey.

    Args:
        ablations: of the tries of one experiment.
        beside: also write the paper's numbers, into the first map: where it is the same experiment.
    """
    first = ablations[0]
    cells = {
        f"decoder: {d}": {CONTENT_NAMES[c]: effects(ablations, c, d) for c in CONTENTS}
        for d in DECODERS
    }
    fig = maps(first, cells, "change of failure rate (%)", 0.66 * len(first.tasks) + 1.3)
    for (task, block), value in (printed() if beside else {}).items():
        t, ax = first.tasks.index(task), fig.axes[0]
        ax.texts[t * first.blocks + block - 1].set_y(t + 0.32)
        told = f"◇ {signed(value)}"
        ax.text(block - 0.5, t + 0.75, told, ha="center", va="center", fontsize=6)
    return fig


def maps(
    about: Ablation,
    cells: Mapping[str, Mapping[str, Map]],
    label: str,
    height: float,
    digits: int = 1,
    letters: float = 7.0,
    harm: int = 1,
) -> Figure:
    """Maps of tasks and blocks in rows and columns, on one scale; grey where intervals hold zero.

    Args:
        about: whose tasks and blocks they have.
        cells: the maps of each row by their titles.
        label: of the scale.
        height: of the figure, in inches.
        digits, letters: of the numbers, and their size.
        harm: 1 where a positive change is harm, which is orange, -1 where a negative one is.
    """
    titles = list(next(iter(cells.values())))
    shown = [of for row in cells.values() for of in row.values()]
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = fig.subplots(len(cells), len(titles), sharex=True, sharey=True, squeeze=False)
    limit = max(abs(i.value) for of in shown for line in of for i in line) or 1.0
    for ax, of in zip(grid.flat, shown, strict=True):
        values = [[harm * i.value for i in line] for line in of]
        texts = [[signed(i.value, digits) for i in line] for line in of]
        sure = [[not i.low <= 0 <= i.high for i in line] for line in of]
        plots.heat(ax, values, texts, limit, sure=sure, size=letters)
    for ax, title in zip(grid[0], titles, strict=True):
        ax.set_title(title, fontsize="small")
    for ax, name in zip(grid[:, 0], cells, strict=True):
        ax.set_ylabel(name, fontsize="small")
    grid[0, 0].set_xticks(np.arange(about.blocks) + 0.5, range(1, about.blocks + 1))
    grid[0, 0].set_yticks(np.arange(len(about.tasks)) + 0.5, about.tasks)
    fig.supxlabel("block, from input to output", fontsize="small")
    plots.scale(fig, label)
    return fig


def printed() -> dict[Cell, float]:
    """What the paper prints of Fig. 6: relative changes in %, here positive where worse."""
    rows = paper.reported("fig6")
    cells = rows["ours"].str.split()
    return {(t, int(d)): -value for (t, d), value in zip(cells, rows["value"], strict=True)}


def tries(ablations: Sequence[Ablation]) -> Figure:
    """The same changes with their intervals and every try: a panel for each task."""
    first = ablations[0]
    rows = [
        plots.entry(cells[t][d], content, d + 1, task, each=[one[t, d] for one in each])
        for content in LOOKS
        for cells in [effects(ablations, content)]
        for each in [[effects_of_one(a, content) for a in ablations]]
        for t, task in enumerate(first.tasks)
        for d in range(first.blocks)
    ]
    x, y = "block whose central aggregation loses the task's features", "change of failure rate (%)"
    fig = plots.intervals(rows, LOOKS, 2.9, x=x, y=y, up=True, step=0.28, zero=True)
    fig.axes[0].yaxis.set_major_locator(MaxNLocator(6))
    return fig


def effects_of_one(ablation: Ablation, content: str) -> np.ndarray:
    """Relative change of the failure rate of one try, in %, of each cell (T, D)."""
    before = ablation.intact["bin"].mean()
    return np.asarray(100 * (ablation.failed[content]["bin"].mean(axis=-1) / before - 1))


def accuracy(ablations: Sequence[Ablation]) -> Figure:
    """What the same ablations do to the related tasks: change of each one's accuracy, in points."""
    first = ablations[0]
    cells = {
        name: {told: accuracy_changes(ablations, name, c) for c, told in CONTENT_NAMES.items()}
        for name in first.known
    }
    height = 0.26 * len(first.tasks) * len(cells) + 1.2
    return maps(first, cells, "loss of accuracy (points)", height, letters=6.5, harm=-1)


# Words


def sides(ablations: Sequence[Ablation], content: str) -> np.ndarray:
    """Cells (T, D) where more fail, 1, or fewer, -1, by the intervals of both decoders; else 0."""
    maps = [effects(ablations, content, decoder) for decoder in DECODERS]
    rows = zip(*maps, strict=True)
    return np.array([[side(cell) for cell in zip(*row, strict=True)] for row in rows])


def words(ablations: Sequence[Ablation], experiment: Experiment) -> str:
    """What the maps say: how many cells matter, where zeros and the control do, and which most.

    Args:
        ablations: of the tries of one experiment.
        experiment: of one of these tries.
    """
    tasks, own = ablations[0].tasks, effects(ablations)
    zeros, other = (sides(ablations, content) for content in CONTENTS)
    both = [f"{tasks[t]} {d + 1}" for t, d in np.argwhere((zeros > 0) & (other > 0))]
    largest = max(np.ndindex(zeros.shape), key=lambda at: own[at[0]][at[1]].value)
    task, block = tasks[largest[0]], largest[1] + 1
    told = (
        f"**{data_name(experiment)}, preset `{experiment.preset}`, {_tries(ablations)}.** By both"
        f" decoders, zeros raise the failure rate in {(zeros > 0).sum()} of {zeros.size} cells and"
        f" lower it in {(zeros < 0).sum()}; another face's features raise it in"
        f" {(other > 0).sum()} and lower it in {(other < 0).sum()}. Both raise it at"
        f" {listed(both) or 'none'}. Zeros raise it most at {task} {block}:"
        f" {spanned(own[largest[0]][largest[1]], form='+.1f')}."
    )
    if experiment.dataset == "mtfl":
        told += " In the paper that is {} {}.".format(*max(printed(), key=printed().__getitem__))
    return f"{told} {SMOKE}" if experiment.preset == "smoke" else told


def about(ablations: Sequence[Ablation]) -> str:
    """What was evaluated, where and by which code."""
    first, made = ablations[0], [a.environment for a in ablations]
    commits = [f"{m['commit'][:10]}{'' if m['clean'] else ' with changes'}" for m in made]
    machines = dict.fromkeys(m["processor"] for m in made)
    return (
        f"{len(first.tasks)} tasks and {first.blocks} blocks, each cell evaluated on"
        f" {len(first.intact['bin']):,} faces with the last weights of {_tries(ablations)}, on"
        f" {listed([*machines])}, by commit {listed([*dict.fromkeys(commits)])}."
    )


def _tries(ablations: Sequence[Ablation]) -> str:
    return "one try" if len(ablations) == 1 else f"{len(ablations)} tries"


# Tables


def cells(ablations: Sequence[Ablation], content: str = "zeros") -> pd.DataFrame:
    """One row per task and block: relative change in %, by decoder with interval, and each try."""
    found = {decoder: effects(ablations, content, decoder) for decoder in DECODERS}
    each = [effects_of_one(a, content) for a in ablations]
    return _by_cell(
        ablations[0],
        lambda t, d: (
            columns({decoder: of[t][d] for decoder, of in found.items()})
            | {f"try {k}": values[t, d] for k, values in enumerate(each)}
        ),
    )


def accuracies(ablations: Sequence[Ablation], content: str = "zeros") -> pd.DataFrame:
    """One row per task and block: change of each label's accuracy in points, with its interval."""
    found = {n: accuracy_changes(ablations, n, content) for n in ablations[0].known}

    def told(change: Interval) -> str:
        return f"{change.value:+.1f} ({change.low:+.1f} to {change.high:+.1f})"

    return _by_cell(ablations[0], lambda t, d: {n: told(of[t][d]) for n, of in found.items()})


def _by_cell(about: Ablation, row: Callable[[int, int], Mapping[str, Any]]) -> pd.DataFrame:
    """A table with a row per task and block."""
    rows = [
        {"task": task, "block": d + 1, **row(t, d)}
        for t, task in enumerate(about.tasks)
        for d in range(about.blocks)
    ]
    return pd.DataFrame(rows).set_index(["task", "block"])


def beside_paper(ablations: Sequence[Ablation]) -> pd.DataFrame:
    """One row per cell that the paper prints: its number and ours, in %, positive where worse.

    The rank is that of the cell among all, from the largest increase, under the paper's decoder.
    """
    first = ablations[0]
    found = {f"{c}, {d}": effects(ablations, c, d) for c in CONTENTS for d in DECODERS}
    values = np.array([[cell.value for cell in row] for row in found["zeros, bin"]])
    rows = []
    for (task, block), value in printed().items():
        t, d = first.tasks.index(task), block - 1
        row: dict[str, Any] = {"removed": f"{task}, block {block}", "paper": value}
        row |= columns({name: of[t][d] for name, of in found.items()})
        row["rank"] = f"{1 + (values > values[t, d]).sum()} of {values.size}"
        rows.append(row)
    return pd.DataFrame(rows).set_index("removed")
