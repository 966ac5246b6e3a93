"""What the ablations of section 4.4 say, in words made from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dclib.records.experiment import Experiment
from dclib.study.analysis.ablation import Ablation, effects
from dclib.study.analysis.stats import DECODERS, side
from dclib.study.figures.ablation import Cell, printed
from dclib.study.figures.results import data_name
from dclib.study.figures.words import SMOKE, listed, spanned


def named(cells: Sequence[Cell]) -> str:
    """Cells as an English list, the blocks of a task together.

    >>> named([("profile", 1), ("profile", 5), ("smile", 2)])
    'profile (blocks 1 and 5) and smile (block 2)'
    """
    blocks: dict[str, list[str]] = {}
    for task, block in cells:
        blocks.setdefault(task, []).append(str(block))
    told = [f"{task} (block{'s' * (len(own) > 1)} {listed(own)})" for task, own in blocks.items()]
    return listed(told)


def sides(ablations: Sequence[Ablation], content: str) -> NDArray[np.int64]:
    """Cells (T, D) where more fail, 1, or fewer, -1, by the intervals of both decoders; else 0."""
    maps = [effects(ablations, content, decoder) for decoder in DECODERS]
    rows = zip(*maps, strict=True)
    return np.array([[side(cell) for cell in zip(*row, strict=True)] for row in rows])


def about(ablations: Sequence[Ablation]) -> str:
    """What was evaluated, where and by which code."""
    first, made = ablations[0], [a.environment for a in ablations]
    commits = [f"{m['commit'][:10]}{'' if m['clean'] else ' with changes'}" for m in made]
    machines = list(dict.fromkeys(m["processor"] for m in made))
    cells = len(first.tasks) * first.blocks
    return (
        f"{len(first.tasks)} tasks and {first.blocks} blocks make {cells} cells, each evaluated on"
        f" {len(first.intact['bin']):,} faces with the last weights of {_tries(ablations)}, on"
        f" {listed(machines)}, by commit {listed(list(dict.fromkeys(commits)))}."
    )


def _tries(ablations: Sequence[Ablation]) -> str:
    return "one try" if len(ablations) == 1 else f"{len(ablations)} tries"


def fig6(ablations: Sequence[Ablation], experiment: Experiment) -> str:
    """What the maps say: which cells matter, which most, and what the control says of them.

    Args:
        ablations: of the tries of one experiment.
        experiment: of one of these tries.
    """
    zeros, other = (sides(ablations, content) for content in ("zeros", "other face"))
    own = effects(ablations, "zeros")
    values = np.array([[cell.value for cell in row] for row in own])
    task, block = np.unravel_index(values.argmax(), values.shape)
    largest = (ablations[0].tasks[task], int(block) + 1)
    lines = [
        f"**{data_name(experiment)}, preset `{experiment.preset}`, {_tries(ablations)}.** Zeros"
        f" raise the failure rate, under both decoders, in {(zeros > 0).sum()} of {zeros.size}"
        f" cells and lower it in {(zeros < 0).sum()}; in the others the intervals do not tell. The"
        f" largest change is that of {named([largest])}: {spanned(own[task][block], form='+.1f')}."
    ]
    if experiment.dataset == "mtfl":
        theirs = max(printed(), key=printed().__getitem__)
        same = "the same cell" if theirs == largest else named([theirs])
        lines[0] += f" In the paper it is {same}."
    lines.append(_control(ablations[0].tasks, zeros > 0, other > 0))
    return "\n\n".join(lines + [SMOKE] * (experiment.preset == "smoke"))


def _control(tasks: Sequence[str], zeros: NDArray[np.bool_], other: NDArray[np.bool_]) -> str:
    """Where zeros and another face's features hurt, and what follows."""

    def where(cells: NDArray[np.bool_]) -> list[Cell]:
        return [(tasks[t], int(d) + 1) for t, d in np.argwhere(cells)]

    both = where(zeros & other)
    hurt = {
        "zeros and another face's features": both,
        "zeros alone": where(zeros & ~other),
        "another face's alone": where(other & ~zeros),
    }
    told = "; ".join(f"{named(cells) or 'none'} by {what}" for what, cells in hurt.items())
    related = [cell for cell in both if cell[0] != tasks[0]]
    follows = (
        "So the landmark network gets information about the face from networks of related tasks, by"
        f" both kinds of ablation: from {named(related)}."
        if related
        else "In no cell of a related task do both hurt: these runs do not show that the landmark"
        " network gets information about the face from there."
    )
    return f"Cells that are hurt: {told}. {follows}"
