"""What bears out the claims of section 4.4: failures with and without a task's features."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dclib.records.runs import Record
from dclib.study.analysis import ablation
from dclib.study.analysis.ablation import Ablation
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import (
    DECODERS,
    LEVEL,
    Interval,
    Verdict,
    all_of,
    certainty,
    holm,
    relative_change,
    verdict,
)
from dclib.study.paper import Claim
from dclib.study.verdicts.evidence import WEIGHTINGS, described, of_claim
from dclib.study.verdicts.judgement import Judged, Runs, both, opposite


def evaluations(group: Comparison) -> tuple[list[Record], list[Ablation]]:
    """The runs of DCNet in a setting whose networks were ablated, and how."""
    made = group.tries.get("DCNet", [])
    found = ablation.find(made)
    runs = {a.run for a in found}
    return [r for r in made if r.id in runs], found


Cell = tuple[str, int]  # a task, and a block counted from 1 as the paper does
Changes = Sequence[Mapping[str, Interval]]  # all below zero where a claim is borne out
Said = tuple[Changes, list[str]]  # and words


def cell_of(text: str) -> Cell:
    """A task and a block.

    >>> cell_of("profile 5")
    ('profile', 5)
    """
    task, block = text.split()
    return task, int(block)


def ablated(claim: Claim, runs: Runs) -> Judged:
    """Features removed before the central aggregation: what for, `claim.detail` says."""
    for group in of_claim(claim, runs(claim.plan), WEIGHTINGS[0]):
        used, found = evaluations(group)
        if found:
            break
    else:
        return Judged()
    what, *cells, content = claim.detail
    changes, words = getattr(Study(found, content), what)([cell_of(text) for text in cells])
    given, p = all_of(map(verdict, changes)), certainty(changes)
    where = described(Comparison(used))
    if group.too_short or len(used) == 1:
        given, p = Verdict.UNCLEAR, 1.0
    return Judged(given, "; ".join(words), used, where, p=p)


class Study:
    """The ablations of one experiment's tries, with one content.

    Args:
        ablations: as `dclib.study.analysis.ablation.find` gives them.
        content: what stands in for the features.
    """

    def __init__(self, ablations: Sequence[Ablation], content: str) -> None:
        self.ablations, self.content = ablations, content
        first = ablations[0]
        self.cells = [(task, d + 1) for task in first.tasks for d in range(first.blocks)]

    def failed(self, cell: Cell, decoder: str) -> Any:
        """Where networks without the features of a cell fail (tries, faces)."""
        at = self.ablations[0].tasks.index(cell[0]), cell[1] - 1
        return np.stack([a.failed[self.content][decoder][at] for a in self.ablations])

    def changes(self, cell: Cell) -> dict[str, Interval]:
        """Relative change of the failure rate in %, by decoder: positive is worse."""
        intact = {d: np.stack([a.intact[d] for a in self.ablations]) for d in DECODERS}
        return {d: relative_change(intact[d], self.failed(cell, d)) for d in DECODERS}

    def raises(self, cells: Sequence[Cell]) -> Said:
        """The failure rate rises at each of some cells."""
        changes = {cell: self.changes(cell) for cell in cells}
        words = [f"{task}, block {at}: {both(c)} %" for (task, at), c in changes.items()]
        return [opposite(c) for c in changes.values()], words

    def highest(self, cells: Sequence[Cell]) -> Said:
        """More fail without the features of a cell than without those of any other."""
        (cell,) = cells
        return self._above(cell, [c for c in self.cells if c != cell])

    def deepest(self, cells: Sequence[Cell]) -> Said:
        """More fail without the features of a cell than without its task's at other blocks."""
        (cell,) = cells
        return self._above(cell, [c for c in self.cells if c != cell and c[0] == cell[0]])

    def _above(self, cell: Cell, others: Sequence[Cell]) -> Said:
        gaps = [
            opposite(
                {d: relative_change(self.failed(o, d), self.failed(cell, d)) for d in DECODERS}
            )
            for o in others
        ]
        counted = Counter(map(verdict, gaps))
        rates = {c: 100 * self.failed(c, "bin").mean() for c in self.cells}
        top = max(rates, key=lambda c: rates[c])
        return gaps, [
            f"{cell[0]}, block {cell[1]}: above {counted[Verdict.SUPPORTED]} of {len(others)},"
            f" below {counted[Verdict.CONTRADICTED]}; the highest of the map is {top[0]},"
            f" block {top[1]}"
        ]

    def isolated(self, cells: Sequence[Cell]) -> Said:
        """Of all cells of tasks other than the main one, one raises the failure rate: it is used.

        The surest rise, with its intervals as they are; Holm's correction for the number of cells
        decides whether it counts.
        """
        main = self.ablations[0].tasks[0]
        changes = {c: opposite(self.changes(c)) for c in self.cells if c[0] != main}
        least = {c: certainty([gaps]) for c, gaps in changes.items()}
        surer = dict(zip(least, holm(least.values()), strict=True))
        rising = [c for c in surer if surer[c] < 1 - LEVEL and verdict(changes[c]) == "supported"]
        top = min(rising or surer, key=lambda c: changes[c]["bin"].value)
        words = f"{len(rising)} of {len(changes)} cells raise it, by Holm's correction; most does"
        told = f"{words} {top[0]}, block {top[1]}: {both(opposite(changes[top]))} %"
        unclear = dict.fromkeys(DECODERS, Interval(0.0, -1.0, 1.0, 1.0))
        return [changes[top] if rising else unclear], [told]
