"""What bears out the claims of section 4.4: failures with and without a task's features."""

from collections import Counter
from collections.abc import Sequence
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
    average,
    certainty,
    holm,
    relative_change,
    verdict,
)
from dclib.study.paper import Claim
from dclib.study.verdicts.evidence import UNKNOWN, described, length, of_claim
from dclib.study.verdicts.judgement import Gaps, Judged, Runs, both, opposite, span

OFF = 0.1  # of x_t: a mapping that adds less is deactivated
Cell = tuple[str, int]  # a task, and a block counted from 1 as the paper does
# differences, below zero where a claim is borne out; words; what decides, in short
Said = tuple[Sequence[Gaps], list[str], str]


def evaluations(group: Comparison) -> tuple[list[Record], list[Ablation]]:
    """The runs of DCNet in a setting whose networks were ablated, and how."""
    made = group.tries.get("DCNet", [])
    found = ablation.find(made)
    runs = {a.run for a in found}
    return [r for r in made if r.id in runs], found


def ablated(claim: Claim, runs: Runs) -> tuple[list[Record], list[Ablation]]:
    """Those of the first setting that a claim is about in which there are any."""
    every = map(evaluations, of_claim(claim, runs(claim.plan)))
    return next((both for both in every if both[1]), ([], []))


def cell_of(text: str) -> Cell:
    """A task and a block.

    >>> cell_of("profile 5")
    ('profile', 5)
    """
    task, block = text.split()
    return task, int(block)


def removed(claim: Claim, runs: Runs) -> Judged:
    """Features removed before the central aggregation: what for, `claim.detail` says."""
    records, found = ablated(claim, runs)
    if not found:
        return Judged()
    what, *cells, content = claim.detail
    gaps, words, decides = getattr(Study(found, content), what)([cell_of(text) for text in cells])
    if not gaps:
        return Judged(words=words)
    group = Comparison(records)
    limited = group.too_short or len(records) == 1
    setting = described(group)
    return Judged(
        gaps=gaps,
        words=words,
        records=records,
        setting=setting,
        limited=limited,
        brief=(decides, length(group), ""),
    )


class Study:
    """The ablations of one experiment's tries, with one content.

    Args:
        ablations: as `dclib.study.analysis.ablation.find` gives them.
        content: what stands in for the features.
    """

    def __init__(self, ablations: Sequence[Ablation], content: str) -> None:
        self.ablations, self.content, first = ablations, content, ablations[0]
        self.main = first.tasks[0]
        self.cells = [(task, d + 1) for task in first.tasks for d in range(first.blocks)]

    def failed(self, cell: Cell, decoder: str) -> Any:
        """Where networks without the features of a cell fail (tries, faces)."""
        at = self.ablations[0].tasks.index(cell[0]), cell[1] - 1
        return np.stack([a.failed[self.content][decoder][at] for a in self.ablations])

    def changes(self, cell: Cell, other: Cell | None = None) -> dict[str, Interval]:
        """Relative change of the failure rate in %, by decoder: positive is worse.

        Args:
            other: without whose features it is compared; by default the intact networks.
        """
        found = {}
        for d in DECODERS:
            intact = np.stack([a.intact[d] for a in self.ablations])
            before = self.failed(other, d) if other else intact
            found[d] = relative_change(before, self.failed(cell, d))
        return found

    def raises(self, cells: Sequence[Cell]) -> Said:
        """The failure rate rises at each of some cells."""
        changes = [self.changes(cell) for cell in cells]
        words = [
            f"{task}, block {at}: {both(own)} %"
            for (task, at), own in zip(cells, changes, strict=True)
        ]
        (task, at), own = min(zip(cells, changes, strict=True), key=lambda one: one[1]["bin"].value)
        decides = f"{task}, block {at}: {span(own['bin'])} %"
        return [opposite(own) for own in changes], words, decides

    def highest(self, cells: Sequence[Cell]) -> Said:
        """More fail without the features of a cell than without those of any other."""
        (cell,) = cells
        return self._above(cell, [c for c in self.cells if c != cell])

    def deepest(self, cells: Sequence[Cell]) -> Said:
        """More fail without the features of a cell than without its task's at other blocks."""
        (cell,) = cells
        return self._above(cell, [c for c in self.cells if c != cell and c[0] == cell[0]])

    def _above(self, cell: Cell, others: Sequence[Cell]) -> Said:
        gaps = [opposite(self.changes(cell, other)) for other in others]
        counted = Counter(map(verdict, gaps))
        top, block = max(self.cells, key=lambda c: 100 * self.failed(c, "bin").mean())
        told = (
            f"{cell[0]}, block {cell[1]}: above {counted[Verdict.SUPPORTED]} of {len(others)},"
            f" below {counted[Verdict.CONTRADICTED]}"
        )
        return gaps, [f"{told}; the highest of the map is {top}, block {block}"], told

    def isolated(self, cells: Sequence[Cell]) -> Said:
        """Of all cells of tasks other than the main one, one raises the failure rate: it is used.

        The surest rise, with its intervals as they are; Holm's correction for the number of cells
        decides whether it counts.
        """
        gaps = {c: opposite(self.changes(c)) for c in self.cells if c[0] != self.main}
        surer = holm(certainty([gap]) for gap in gaps.values())
        rising = [
            c
            for (c, gap), p in zip(gaps.items(), surer, strict=True)
            if p < 1 - LEVEL and verdict(gap) == Verdict.SUPPORTED
        ]
        top = min(rising or gaps, key=lambda c: gaps[c]["bin"].value)
        told = f"{len(rising)} of {len(gaps)} cells raise it, by Holm's correction"
        most = f"most does {top[0]}, block {top[1]}: {both(opposite(gaps[top]))} %"
        return [gaps[top] if rising else UNKNOWN], [f"{told}; {most}"], told

    def deactivated(self, cells: Sequence[Cell]) -> Said:
        """Some F_t adds less than `OFF` of x_t at one block, and more at another.

        Intervals are over tries alone. Holm's correction for the number of cells decides whether
        one counts. Nothing is compared where an evaluation does not hold what was added.
        """
        each = [a.added for a in self.ablations if a.added is not None]
        if len(each) < len(self.ablations):
            return [], ["no evaluation holds the size of what F adds"], ""
        sizes = np.stack(each)  # (tries, T, D)
        at = {cell: divmod(k, sizes.shape[2]) for k, cell in enumerate(self.cells)}
        gaps = {
            cell: dict.fromkeys(DECODERS, average(100 * sizes[:, t, d, None] - 100 * OFF))
            for cell, (t, d) in at.items()
        }
        given = {cell: verdict(gap) for cell, gap in gaps.items()}
        on = {task for (task, _), word in given.items() if word == Verdict.CONTRADICTED}
        surer = holm(certainty([gap]) for gap in gaps.values())
        off = [
            cell
            for (cell, word), p in zip(given.items(), surer, strict=True)
            if p < 1 - LEVEL and word == Verdict.SUPPORTED and cell[0] in on
        ]
        least = min(off or gaps, key=lambda c: gaps[c]["bin"].value)
        decided = off or given[least] == Verdict.CONTRADICTED
        told = f"{len(off)} of {len(gaps)} add less than a tenth, by Holm's correction"
        size = 100 * sizes[:, *at[least]].mean()
        most = f"the least is {least[0]}'s at block {least[1]}: {size:.1f} % of x"
        return [gaps[least] if decided else UNKNOWN], [f"{told}; {most}"], told
