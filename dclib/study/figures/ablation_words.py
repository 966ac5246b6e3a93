"""What the ablations of section 4.4 say, in words made from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dclib.records.experiment import Experiment
from dclib.study.analysis.ablation import Ablation, effects
from dclib.study.analysis.stats import DECODERS, Interval, side
from dclib.study.figures.ablation import Cell, printed
from dclib.study.figures.results import data_name
from dclib.study.figures.words import SMOKE, listed


def change(cell: Interval) -> str:
    """A relative change with its interval, in %.

    >>> change(Interval(53.14, 40.0, 66.25))
    '+53.1 % (+40.0 to +66.2)'
    """
    return f"{cell.value:+.1f} % ({cell.low:+.1f} to {cell.high:+.1f})"


def named(cells: Sequence[Cell]) -> str:
    """Cells as an English list, the blocks of a task together.

    >>> named([("profile", 1), ("profile", 5), ("smile", 2)])
    'profile (blocks 1 and 5) and smile (block 2)'
    """
    blocks: dict[str, list[str]] = {}
    for task, block in cells:
        blocks.setdefault(task, []).append(str(block))
    told = [
        f"{task} (block{'s' if len(own) > 1 else ''} {listed(own)})" for task, own in blocks.items()
    ]
    return listed(told)


def sides(ablations: Sequence[Ablation], content: str) -> NDArray[np.int64]:
    """Cells (T, D) where more fail, 1, or fewer, -1, by the intervals of both decoders; else 0."""
    maps = [effects(ablations, content, decoder) for decoder in DECODERS]
    rows = zip(*maps, strict=True)
    return np.array([[side(cell) for cell in zip(*row, strict=True)] for row in rows])


def where(ablations: Sequence[Ablation], cells: NDArray[np.bool_]) -> list[Cell]:
    """The chosen cells (T, D) by their names."""
    tasks = ablations[0].tasks
    return [(tasks[t], int(d) + 1) for t, d in np.argwhere(cells)]


def about(ablations: Sequence[Ablation]) -> str:
    """What was evaluated, where and by which code."""
    first = ablations[0]
    made = [a.environment for a in ablations]
    commits = dict.fromkeys(
        f"{m['commit'][:10]}{'' if m['clean'] else ' with changes'}" for m in made
    )
    return (
        f"{len(first.tasks)} tasks and {first.blocks} blocks make {len(first.tasks) * first.blocks}"
        f" cells. Each was evaluated on {len(first.intact['bin']):,} faces, with the weights of the"
        f" last epoch of {len(ablations)} {'try' if len(ablations) == 1 else 'tries'}, on"
        f" {listed(list(dict.fromkeys(m['processor'] for m in made)))}, by commit"
        f" {listed(list(commits))}."
    )


def fig6(ablations: Sequence[Ablation], experiment: Experiment) -> str:
    """What the maps say: which cells matter, whether the paper's do, and what the control says.

    Args:
        ablations: of the tries of one experiment.
        experiment: of one of these tries.
    """
    zeros, other = (sides(ablations, content) for content in ("zeros", "other face"))
    lines = [_zeros(ablations, experiment, zeros), _control(ablations, zeros > 0, other > 0)]
    if experiment.dataset == "mtfl":
        lines.insert(1, _paper(ablations, zeros))
    if experiment.preset == "smoke":
        lines.append(SMOKE)
    return "\n\n".join(lines)


def largest(ablations: Sequence[Ablation], content: str = "zeros") -> Cell:
    """The cell with the largest increase of failures, under the paper's decoder."""
    values = np.array([[cell.value for cell in row] for row in effects(ablations, content)])
    task, block = np.unravel_index(values.argmax(), values.shape)
    return ablations[0].tasks[task], int(block) + 1


def _at(ablations: Sequence[Ablation], cell: Cell, content: str = "zeros") -> str:
    task, block = cell
    own = effects(ablations, content)[ablations[0].tasks.index(task)][block - 1]
    return change(own)


def _zeros(ablations: Sequence[Ablation], e: Experiment, zeros: NDArray[np.int64]) -> str:
    data = data_name(e)
    tries = "one try" if len(ablations) == 1 else f"{len(ablations)} tries"
    task, block = top = largest(ablations)
    return (
        f"**{data}, preset `{e.preset}`, {tries}.** Zeros raise the failure rate, under both"
        f" decoders, in {(zeros > 0).sum()} of {zeros.size} cells and lower it in"
        f" {(zeros < 0).sum()}; in the others the intervals do not tell. The largest change is"
        f" that of {task}, block {block}: {_at(ablations, top)}."
    )


def _paper(ablations: Sequence[Ablation], zeros: NDArray[np.int64]) -> str:
    """Whether the cells that the paper prints change as it says."""
    said = printed()
    told = {1: "more failures here, too", -1: "fewer failures here", 0: "not to be told here"}
    parts = [
        f"- {task}, block {block}: {told[int(zeros[ablations[0].tasks.index(task), block - 1])]},"
        f" {_at(ablations, (task, block))}, {value:+.1f} % in the paper."
        for (task, block), value in said.items()
    ]
    theirs, ours = max(said, key=lambda cell: said[cell]), largest(ablations)
    same = (
        f"The largest cell is the paper's, {theirs[0]}, block {theirs[1]}."
        if theirs == ours
        else f"The paper's largest cell is {theirs[0]}, block {theirs[1]}; here it is another one."
    )
    return "\n".join(["The cells that the paper prints:\n", *parts, f"\n{same}"])


def _control(
    ablations: Sequence[Ablation], zeros: NDArray[np.bool_], other: NDArray[np.bool_]
) -> str:
    """What another face's features do where zeros hurt, and what follows."""
    both, only = where(ablations, zeros & other), where(ablations, zeros & ~other)
    lines = []
    if both:
        lines.append(
            f"Another face's features hurt where zeros do in {named(both)}: what these features say"
            " about the face is used."
        )
    if only:
        lines.append(
            f"In {named(only)} zeros hurt and another face's features are not shown to: there, the"
            " harm of zeros need not be one of missing information."
        )
    if more := where(ablations, other & ~zeros):
        lines.append(f"Only another face's features hurt in {named(more)}.")
    related = [cell for cell in both if cell[0] != ablations[0].tasks[0]]
    if related:
        lines.append(
            "So the landmark column gets information about the face from columns of related tasks,"
            f" by both kinds of ablation: from {named(related)}."
        )
    else:
        lines.append(
            "In no cell of a related task do both hurt: these runs do not show that the landmark"
            " column gets information about the face from there."
        )
    return " ".join(lines)
