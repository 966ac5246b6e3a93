"""The rules by which claims are judged, in words: `dclib/study/rules.csv`, by kind of evidence.

That of verdicts (`dclib.study.analysis.stats.verdict`) was fixed before any network was evaluated
on test faces, those of cascades before any cascade was trained. Those of sections 4.3 and 4.4 were
committed after the runs from scratch that they were first applied to.
"""

import csv

from dclib.study.analysis.random_draws import FEWEST
from dclib.study.paper import CLAIMED, CLAIMS, Claim

with CLAIMED.with_name("rules.csv").open(newline="", encoding="utf-8") as rows:
    RULES = {row["evidence"]: row["rule"] for row in csv.DictReader(rows)}


def rule(claim: Claim) -> str:
    """The rule by which a claim is judged, in words; both decoders must agree on all of it.

    Cascades have no decoders; what their rules say "both" of takes their place.
    """
    several = claim.kind in ("draws", "ablation", "cascade")
    words = RULES[f"{claim.kind} {claim.detail[0]}" if several else claim.kind]
    if claim.detail[-1:] == ("other face",):
        words += "; another face's features stand in for the removed ones"
    return words.format(
        metric=claim.metric,
        pairs=pairs(claim),
        cells=" and ".join(cell.replace(" ", " at block ") for cell in claim.detail[1:-1]),
        needs=needed(claim) if claim.kind == "all" else "",
        margin=f"{claim.margin:g} points" if claim.margin else "zero",
        methods=", ".join(claim.detail),
        fewest=FEWEST,
    )


def pairs(claim: Claim) -> str:
    """The comparisons of a claim in short.

    >>> pairs(Claim("", "", "", comparisons=(("DCNet", "XS"), ("DCNet", "RN"))))
    'DCNet < XS, RN'
    """
    firsts, seconds = ([pair[side] for pair in claim.comparisons] for side in (0, 1))
    if len(set(firsts)) == 1:
        return f"{firsts[0]} < {', '.join(seconds)}"
    if len(set(seconds)) == 1:
        return f"{', '.join(firsts)} < {seconds[0]}"
    return ", ".join(f"{first} < {second}" for first, second in claim.comparisons)


def needed(claim: Claim) -> str:
    """The claims that a claim sums up, in words."""
    cases: dict[str, list[str]] = {}
    for other in CLAIMS:
        if other.key in claim.detail:
            cases.setdefault(other.statement, []).append(other.case)
    return "; ".join(
        statement + (f" ({', '.join(own)})" if any(own) else "") for statement, own in cases.items()
    )
