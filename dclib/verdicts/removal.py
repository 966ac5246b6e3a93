"""What bears out the claims of section 4.4: failures with and without a task's features."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from dclib import ablation
from dclib.ablation import Ablation
from dclib.comparison import REFERENCE, fits
from dclib.paper import Claim
from dclib.runs import Record
from dclib.stats import DECODERS, LEVEL, Interval, Verdict, all_of, relative_change, verdict
from dclib.verdicts.judged import Judged, Runs, both, opposite


def evaluations(records: Sequence[Record]) -> tuple[list[Record], list[Ablation]]:
    """The runs whose networks were ablated, and how; of the reference runs, what is committed."""
    made = [
        r
        for r in records
        if r.experiment.preset != REFERENCE or ablation.path(r.id, committed=True).exists()
    ]
    found = ablation.find(made)
    runs = {a.run for a in found}
    return [r for r in made if r.id in runs], found


Cell = tuple[str, int]  # a task, and a block counted from 1 as the paper does
Said = tuple[list[Verdict], list[str]]  # verdicts on all that is needed, and words on each


def cell_of(text: str) -> Cell:
    """A task and a block.

    >>> cell_of("profile 5")
    ('profile', 5)
    """
    task, block = text.split()
    return task, int(block)


def ablated(claim: Claim, runs: Runs) -> Judged:
    """Features removed before the central aggregation: what for, `claim.detail` says."""
    records = [r for r in runs(claim.plan) if fits(claim, r.experiment)]
    used, found = evaluations(records)
    if not found:
        return Judged(Verdict.NOT_RUN)
    what, *cells, content = claim.detail
    study = Study(found, content)
    preset = used[0].experiment.preset
    verdicts, words = getattr(study, what)([cell_of(text) for text in cells], preset)
    counted = f"{len(used)} tries" if len(used) > 1 else "one try"
    return Judged(all_of(verdicts), "; ".join([*words, counted]), used)


class Study:
    """The ablations of one experiment's tries, with one content.

    Args:
        ablations: as `dclib.ablation.find` gives them.
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

    def raises(self, cells: Sequence[Cell], preset: str) -> Said:
        """The failure rate rises at each of some cells."""
        verdicts, words = [], []
        for cell in cells:
            changes = self.changes(cell)
            verdicts.append(verdict(opposite(changes), preset))
            words.append(f"{cell[0]}, block {cell[1]}: {both(changes)} %")
        return verdicts, words

    def highest(self, cells: Sequence[Cell], preset: str) -> Said:
        """More fail without the features of a cell than without those of any other."""
        (cell,) = cells
        return self._above(cell, [c for c in self.cells if c != cell], preset)

    def deepest(self, cells: Sequence[Cell], preset: str) -> Said:
        """More fail without the features of a cell than without its task's at other blocks."""
        (cell,) = cells
        others = [c for c in self.cells if c != cell and c[0] == cell[0]]
        return self._above(cell, others, preset)

    def _above(self, cell: Cell, others: Sequence[Cell], preset: str) -> Said:
        verdicts = []
        for other in others:
            gaps = {
                d: relative_change(self.failed(other, d), self.failed(cell, d)) for d in DECODERS
            }
            verdicts.append(verdict(opposite(gaps), preset))
        counted = Counter(verdicts)
        above = counted[Verdict.SUPPORTED] + counted[Verdict.REPRODUCED]
        below = counted[Verdict.CONTRADICTED] + counted[Verdict.NOT_REPRODUCED]
        rates = {c: 100 * self.failed(c, "bin").mean() for c in self.cells}
        top = max(rates, key=lambda c: rates[c])
        return verdicts, [
            f"{cell[0]}, block {cell[1]}: above {above} of {len(others)}, below {below};"
            f" the highest of the map is {top[0]}, block {top[1]}"
        ]

    def mutual(self, cells: Sequence[Cell], preset: str) -> Said:
        """Without the first cell fewer labels of the second's task are right, and the reverse."""
        main, related = cells
        at = self.ablations[0].tasks.index(main[0]), main[1] - 1
        turned = [a.turned[self.content][related[0]][at] for a in self.ablations]  # lost, won
        sure = [binomtest(int(n[0]), int(n.sum())).pvalue < 1 - LEVEL for n in turned if n.sum()]
        lost = sum(int(n[0]) - int(n[1]) for n in turned)
        side = Interval(0, -1, 1)
        if len(sure) == len(turned) and all(sure):
            signs = {int(np.sign(n[0] - n[1])) for n in turned}
            side = Interval(*[-signs.pop()] * 3) if len(signs) == 1 else side
        verdicts, words = self.raises([related], preset)
        labels = f"{related[0]} without {main[0]}, block {main[1]}: {abs(lost)} "
        labels += f"{'fewer' if lost >= 0 else 'more'} right in all"
        return [verdict(dict.fromkeys(DECODERS, side), preset), *verdicts], [labels, *words]
