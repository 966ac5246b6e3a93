"""The verdicts as tables: every claim, in short and in full, and every printed number."""

from collections.abc import Sequence

import pandas as pd

from dclib.records.runs import Record
from dclib.study import verdicts
from dclib.study.analysis import comparison
from dclib.study.figures import plots
from dclib.study.figures.words import listed
from dclib.study.paper import Claim
from dclib.study.verdicts import ORDER, Finding, printed
from dclib.study.verdicts import numbers as every
from dclib.study.verdicts.checks import FAILS, HOLDS

CODE = (HOLDS, FAILS)  # verdicts that code gives


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


def table(found: Sequence[Finding]) -> pd.DataFrame:
    """The same of findings that are there already."""
    columns = {"claim": [stated(f.claim) for f in found], "whose": [whose(f.claim) for f in found]}
    for name in ("rule", "measured", "setting", "trend", "verdict"):
        columns[name] = [getattr(f, name) for f in found]
    return pd.DataFrame(columns).set_index("claim")


def short(f: Finding) -> dict[str, str]:
    """A claim in short, as the front page and the ledger have it; `table` has all."""
    here, training, trend = f.brief
    return {
        "claim": stated(f.claim),
        "section": where(f.claim),
        "paper": printed.beside(f.claim, f.pair),
        "here": here or (f.measured if f.records else "by the code" if f.given in CODE else "–"),
        "setting": training or "–",
        "trend": trend or "–",
        "verdict": f.verdict,
    }


def ledger(found: Sequence[Finding]) -> pd.DataFrame:
    """One row per claim with all that there is to say of it, for readers to take along."""
    rows = [
        {"key": f.claim.key, "main": "yes" if f.claim.main else ""}
        | short(f)
        | {
            "among all main claims": f.among_all,
            "whose": whose(f.claim),
            "rule": f.rule,
            "measured": f.measured,
            "whole setting": f.setting,
            "whole trend": f.trend,
            "page": f.page,
            "command": f.command,
            "runs": " ".join(r.id for r in f.records),
        }
        for f in found
    ]
    return plots.table(rows, "key")


def counted(found: Sequence[Finding], control: bool = False) -> str:
    """How often each verdict was given, in words.

    >>> counted([])
    'none'
    """
    counts = verdicts.tally(found, control)
    parts = [f"{counts[v]} {v}" for v in ORDER if counts[v] and v not in CODE]
    if checked := sum(counts[v] for v in CODE):
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
    return every.numbers(preset).set_index("section")


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
    same, other = (int((in_code == told).sum()) for told in (every.SAME, every.OTHER))
    ours = int(frame["ours"].notna().sum())
    parts = [
        f"{same} are the same in the code",
        f"{other} {'is' if other == 1 else 'are'} not",
        f"{ours - same - other} stand beside a measured one",
        f"{len(frame) - ours} have none beside them, for the reason that is given",
    ]
    return f"Of {len(frame)} entries of the ledger, {listed(parts)}."
