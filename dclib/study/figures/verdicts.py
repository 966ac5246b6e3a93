"""The verdicts as tables: every claim, how often each verdict was given, every printed number."""

from collections.abc import Sequence

import pandas as pd

from dclib.records.runs import Record
from dclib.study import verdicts
from dclib.study.analysis import comparison
from dclib.study.figures import plots
from dclib.study.figures.words import listed
from dclib.study.paper import Claim
from dclib.study.verdicts import ORDER, Finding
from dclib.study.verdicts import numbers as ledger
from dclib.study.verdicts.checks import FAILS, HOLDS

SECTIONS = {
    "2.1": "Related methods",
    "3": "Deep Collaboration",
    "4.2": "MTFL",
    "4.3": "Few training faces, and random weights",
    "4.4": "Ablation",
    "4.5": "MTCNN, and sizes",
    "5": "Conclusion",
}


def stated(claim: Claim) -> str:
    """A claim in words, with its case where several have the same statement."""
    return f"{claim.case}: {claim.statement}" if claim.case else claim.statement


def where(claim: Claim) -> str:
    """The section of a claim, or that it is a control."""
    return "control" if claim.control else f"§{claim.section}"


def whose(claim: Claim) -> str:
    """Where a claim stands in the paper, or that it is a control."""
    return "control" if claim.control else f"§{claim.section}, {claim.source}"


def claims(section: str | None = None, preset: str = comparison.REFERENCE) -> pd.DataFrame:
    """One row per claim of a section: whose it is, the rule, what was measured, the verdict."""
    return table(verdicts.findings(section, preset))


def table(found: Sequence[Finding], sections: Sequence[str] = tuple(SECTIONS)) -> pd.DataFrame:
    """The same of findings that are there already, of some sections."""
    own = [f for f in found if f.claim.section in sections]
    columns = {"claim": [stated(f.claim) for f in own], "whose": [whose(f.claim) for f in own]}
    for name in ("rule", "measured", "setting", "trend", "verdict"):
        columns[name] = [getattr(f, name) for f in own]
    return pd.DataFrame(columns).set_index("claim")


def main(found: Sequence[Finding]) -> pd.DataFrame:
    """The main claims in short, and what Holm's correction for their number leaves of each.

    Of several differences the one that decides, with the paper's decoder; `table` has all.
    """
    rows = [
        {
            "claim": f"{stated(f.claim)} ({where(f.claim)})",
            "here": f.brief[0] or f.measured,
            "setting": f.setting or "–",
            "each doubling": f.brief[2] or "–",
            "verdict": f.verdict,
            "among all": f.among_all,
        }
        for f in found
        if f.claim.main
    ]
    return plots.table(rows, "claim")


def sources(found: Sequence[Finding]) -> pd.DataFrame:
    """One row per plan: how many claims stand on it, its runs, the page, the command."""
    plans: dict[str, list[Finding]] = {}
    for f in found:
        if f.plan:
            plans.setdefault(f.plan, []).append(f)
    rows = []
    for plan, own in plans.items():
        ids = sorted({r.id for f in own for r in f.records})
        runs = f"{len(ids)}: {' '.join(ids)}" if ids else "none yet"
        row = {"plan": plan, "claims": len(own), "runs": runs}
        rows.append(row | {"page": own[0].page, "command": own[0].command})
    return plots.table(rows, "plan")


def tally(found: Sequence[Finding]) -> pd.DataFrame:
    """One row per section: how many of the paper's claims got each verdict; then the controls."""
    counts = {
        f"§{section}: {title}": verdicts.tally([f for f in found if f.claim.section == section])
        for section, title in SECTIONS.items()
    }
    counts["all claims of the paper"] = verdicts.tally(found)
    counts["controls, ours"] = verdicts.tally(found, control=True)
    given = [v for v in ORDER if any(count[v] for count in counts.values())]
    rows = {
        name: {v: count[v] for v in given} | {"all": count.total()}
        for name, count in counts.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("section")


def counted(found: Sequence[Finding], control: bool = False) -> str:
    """How often each verdict was given, in words.

    >>> counted([])
    'none'
    """
    counts = verdicts.tally(found, control)
    code = {HOLDS, FAILS}
    parts = [f"{counts[v]} {v}" for v in ORDER if counts[v] and v not in code]
    if checked := sum(counts[v] for v in code):
        whether = f"{counts[FAILS]} do not hold" if counts[FAILS] else "all of which hold"
        joined = "and " if parts else ""
        parts.append(f"{joined}{checked} checked by the code itself, {whether}")
    return ", ".join(parts) or "none"


def summary(found: Sequence[Finding]) -> str:
    """The tally in a sentence or two."""
    claims_, controls = (sum(f.claim.control == own for f in found) for own in (False, True))
    return (
        f"Of the {claims_} claims of the paper: {counted(found)}. Of {controls} controls:"
        f" {counted(found, control=True)}."
    )


def records(found: Sequence[Finding]) -> list[Record]:
    """The runs that findings stand on, each once."""
    return list({r.id: r for f in found for r in f.records}.values())


def numbers(preset: str = comparison.REFERENCE) -> pd.DataFrame:
    """One row per number that the paper prints, with ours; see `dclib.study.verdicts.numbers`."""
    return ledger.numbers(preset).set_index("section")


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of `numbers` for a page, numbers in words and runs counted."""

    def value(x: float) -> str:
        if pd.isna(x):
            return "–"
        return f"{x:,.0f}" if float(x).is_integer() else f"{x:,.4g}" if abs(x) < 1 else f"{x:,.2f}"

    def spanned(name: str, *ends: str) -> list[str]:
        rows = frame[[name, *ends]].map(value).itertuples(index=False)
        return [x if low == "–" else f"{x} ({low} to {high})" for x, low, high in rows]

    return pd.DataFrame(
        {
            "number": frame["number"],
            "paper": [value(x) for x in frame["paper"]],
            "unit": frame["unit"],
            "ours": spanned("ours", "low", "high"),
            "soft": spanned("soft", "soft low", "soft high"),
            "in the code": frame["in the code"],
            "how it compares": frame["how it compares"],
            "runs": [len(runs.split()) for runs in frame["runs"]],
            "page": frame["page"],
        }
    )


def compared(frame: pd.DataFrame) -> str:
    """How many of the printed numbers have one of ours beside them, in words."""
    in_code = frame["in the code"]
    same, other = (int((in_code == told).sum()) for told in (ledger.SAME, ledger.OTHER))
    ours = int(frame["ours"].notna().sum())
    parts = [
        f"{same} are the same in the code",
        f"{other} {'is' if other == 1 else 'are'} not",
        f"{ours - same - other} stand beside a measured one",
        f"{len(frame) - ours} have none beside them, for the reason that is given",
    ]
    return f"Of {len(frame)} entries of the ledger, {listed(parts)}."
