"""Every claim of the paper judged: the rule, what was measured, the verdict, where it stands.

A claim is data (`dclib.study.paper`). Its kind names the evidence that judges it, by a rule of its
own (`dclib.study.verdicts.rules`). Nothing is trained here: what was not run is *not tested*.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import dclib.study.analysis.cascades
from dclib.errors import RunError
from dclib.records import runs
from dclib.study import paper, plans
from dclib.study.analysis import comparison
from dclib.study.analysis.stats import LEVEL, Verdict, all_of, holm
from dclib.study.paper import Claim
from dclib.study.plans.presets import PRESETS
from dclib.study.verdicts import cascades, checks, evidence, overfit, removal, rules
from dclib.study.verdicts.judgement import Judged, Runs

JUDGES: dict[str, Callable[[Claim, Runs], Judged]] = {
    "lower": evidence.lower,
    "gain": evidence.gain,
    "overfit": overfit.overfitted,
    "draws": evidence.draws,
    "ablation": removal.removed,
    "cascade": cascades.compared,
    "code": lambda claim, found: checks.judge(claim),
    "all": lambda claim, found: _together(claim, found),
    "none": lambda claim, found: Judged(given=Verdict.NOT_TESTABLE),
}
ORDER = [*map(str, Verdict), checks.HOLDS, checks.FAILS]  # of verdicts, in tables


@dataclass(frozen=True, kw_only=True)
class Finding(Judged):
    """A claim and what there is to say of it.

    Attributes:
        claim: the claim.
        preset: whose runs were asked.
        corrected: the p-value, of a main claim after Holm's correction.
    """

    claim: Claim
    preset: str
    corrected: float = 1.0

    @property
    def measured(self) -> str:
        """What was measured, in words; why nothing was, where nothing was."""
        start = "from ImageNet weights " if self.claim.pretrained is True else ""
        return super().measured or self.claim.reason or f"no run {start}yet: `{self.command}`"

    @property
    def among_all(self) -> str:
        """What remains of the verdict on a main claim when all of them are judged together."""
        kept = self.verdict not in (Verdict.SUPPORTED, Verdict.CONTRADICTED)
        kept = kept or self.corrected < 1 - LEVEL
        return (str(self.verdict) if kept else str(Verdict.UNCLEAR)) if self.claim.main else ""

    @property
    def rule(self) -> str:
        """The rule by which the claim is judged, in words."""
        return rules.rule(self.claim)

    @property
    def page(self) -> str:
        """The page of the book that shows the evidence."""
        return self.claim.page

    @property
    def command(self) -> str:
        """What makes the runs that the claim needs; "" where it needs none.

        Where there are none yet, at the preset of the longest ones that are planned.
        """
        waits = self.preset == comparison.REFERENCE and not self.records
        preset = (waits and self.claim.preset) or self.preset
        return command_for(self.claim.plan, preset) if self.claim.plan else ""


def command_for(figure: str, preset: str) -> str:
    """The command that makes the runs of a plan, or what is made of them.

    >>> command_for("table1", "cpu")
    'python -m dclib train --plan table1 --preset cpu'
    """
    if figure == "fig6":  # its runs are those of Fig. 3
        return f"python -m dclib ablate --preset {preset}"
    verb = "cascade" if figure == cascades.PLAN else "train"
    return f"python -m dclib {verb} --plan {figure} --preset {preset}"


def runs_of(preset: str) -> Runs:
    """Finds the runs among which those of a plan's claims are, each once.

    Those of all presets, so that the best setting can be picked: the committed ones, beside them
    at the presets that no page is published at the user's own. At `smoke` only its own.
    """

    @cache
    def every() -> comparison.Pool:
        own = preset != comparison.REFERENCE
        return comparison.Pool(runs.every() if own else runs.committed())

    @cache
    def find(figure: str) -> Sequence[Any]:
        if figure == cascades.PLAN:
            return dclib.study.analysis.cascades.find(preset)
        if PRESETS[preset].dataset != "synthetic":
            return every()
        try:
            return runs.find(plans.experiments(figure, preset)) if figure else []
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
    return Finding(**vars(judged), claim=claim, preset=preset, corrected=judged.p)


def findings(section: str | None = None, preset: str = comparison.REFERENCE) -> list[Finding]:
    """All claims of a section of the paper, or of all sections, judged by the best runs there are.

    Main claims are corrected for the number of all of them, whatever the section.
    """
    found = runs_of(preset)
    wanted = [c for c in paper.CLAIMS if c.main or section in (None, c.section)]
    made = [finding(claim, found, preset) for claim in wanted]
    corrected = iter(holm(f.p for f in made if f.claim.main))
    made = [replace(f, corrected=next(corrected)) if f.claim.main else f for f in made]
    return [f for f in made if section in (None, f.claim.section)]


def tally(found: Sequence[Finding], control: bool = False) -> Counter[str]:
    """How often each verdict was given: to the claims of the paper, or to the controls."""
    return Counter(str(f.verdict) for f in found if f.claim.control == control)


def _together(claim: Claim, found: Runs) -> Judged:
    """A claim that sums up others."""
    needed = [c for c in paper.CLAIMS if c.key in claim.detail]
    parts = [JUDGES[c.kind](c, found) for c in needed]
    counts = Counter(str(part.verdict) for part in parts)
    words = ", ".join(f"{counts[v]} {v}" for v in ORDER if counts[v])
    used = {record.id: record for part in parts for record in part.records}
    given = all_of(Verdict(part.verdict) for part in parts)
    return Judged(given=given, words=[words], records=list(used.values()))
