"""Every claim of the paper judged: the rule, what was measured, the verdict, where it stands.

A claim is data (`dclib.paper`). Its kind names the evidence that judges it, by a rule of its own
(`dclib.verdicts.rules`). Nothing is trained here: what was not run is *not run*.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import dclib.mtcnn.comparison
from dclib import comparison, paper, plan, runs
from dclib.errors import RunError
from dclib.paper import Claim
from dclib.stats import Verdict, all_of
from dclib.verdicts import cascades, checks, evidence, removal, rules
from dclib.verdicts.judged import Judged, Runs

JUDGES: dict[str, Callable[[Claim, Runs], Judged]] = {
    "lower": evidence.lower,
    "gain": evidence.gain,
    "draws": evidence.draws,
    "ablation": removal.ablated,
    "cascade": cascades.compared,
    "code": lambda claim, found: checks.judge(claim),
    "all": lambda claim, found: _together(claim, found),
    "none": lambda claim, found: Judged(),
}


@dataclass(frozen=True)
class Finding:
    """A claim and what there is to say of it.

    Attributes:
        claim: the claim.
        verdict: a `dclib.stats.Verdict`, or for what code can check "holds" or "does not hold".
        measured: in words; why nothing was, where nothing was.
        preset: whose runs were asked.
        records: the runs that it stands on.
    """

    claim: Claim
    verdict: str
    measured: str
    preset: str
    records: tuple[Any, ...] = ()

    @property
    def rule(self) -> str:
        """The rule by which the claim is judged, in words."""
        return rules.rule(self.claim)

    @property
    def plan(self) -> str:
        """The plan of these runs; "" where there is none."""
        return self.claim.plan

    @property
    def page(self) -> str:
        """The page of the book that shows the evidence."""
        return self.claim.page

    @property
    def command(self) -> str:
        """What makes the runs that the claim needs; "" where it needs none."""
        return train(self.plan, self.preset) if self.plan else ""


def train(figure: str, preset: str) -> str:
    """The command that makes the runs of a plan, or what is made of them.

    >>> train("table1", "cpu")
    'python -m dclib train --plan table1 --preset cpu'
    """
    if figure == "fig6":  # its runs are those of Fig. 3
        return f"python -m dclib ablate --preset {preset}"
    if figure == cascades.PLAN:
        return f"python -m dclib cascade --plan {figure} --preset {preset}"
    return f"python -m dclib train --plan {figure} --preset {preset}"


def runs_of(preset: str) -> Runs:
    """Finds the runs of a plan, each plan once: at `cpu` the committed ones."""

    @cache
    def find(figure: str) -> Sequence[Any]:
        if not figure:
            return []
        if figure == cascades.PLAN:
            return dclib.mtcnn.comparison.find(preset)
        if preset == comparison.REFERENCE:
            return comparison.reference(figure)
        try:
            return runs.find(plan.experiments(figure, preset))
        except RunError:  # its learning rates are not selected yet
            return []

    return find


def finding(claim: Claim, found: Runs, preset: str = comparison.REFERENCE) -> Finding:
    """One claim judged by runs.

    Args:
        found: gives the runs of a plan.
        preset: of these runs.
    """
    judged = JUDGES[claim.kind](claim, found)
    measured = judged.measured
    if not measured:
        measured = claim.reason or f"no run yet: `{train(claim.plan, preset)}`"
    return Finding(claim, judged.verdict, measured, preset, tuple(judged.records))


def findings(section: str | None = None, preset: str = comparison.REFERENCE) -> list[Finding]:
    """All claims of a section of the paper, or of all sections, judged by the runs of a preset."""
    found = runs_of(preset)
    return [finding(claim, found, preset) for claim in paper.claims(section=section)]


def tally(found: Sequence[Finding], control: bool = False) -> Counter[str]:
    """How often each verdict was given: to the claims of the paper, or to the controls."""
    return Counter(str(f.verdict) for f in found if f.claim.control == control)


ORDER = [*map(str, Verdict), checks.HOLDS, checks.FAILS]  # of verdicts, in tables


def _together(claim: Claim, found: Runs) -> Judged:
    """A claim that sums up others."""
    needed = [c for c in paper.CLAIMS if c.key in claim.detail]
    parts = [JUDGES[c.kind](c, found) for c in needed]
    counts = Counter(str(part.verdict) for part in parts)
    words = ", ".join(f"{counts[v]} {v}" for v in ORDER if counts[v])
    used = {record.id: record for part in parts for record in part.records}
    return Judged(all_of(Verdict(p.verdict) for p in parts), words, list(used.values()))
