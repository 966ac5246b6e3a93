"""The rules by which claims are judged, in words.

That of verdicts (`dclib.study.analysis.stats.verdict`) was fixed before any network was evaluated
on test faces, those of cascades before any cascade was trained. Those of sections 4.3 and 4.4 were
committed after the runs from scratch that they were first applied to.
"""

from dclib.study.analysis.random_draws import FEWEST
from dclib.study.paper import CLAIMS, Claim

RULES = {
    "lower": "{metric}, {pairs}: the interval of each paired difference lies below {margin}",
    "gain": "the failure rate of XS minus that of DCNet is larger on the one network than on the"
    " other: the interval of the difference lies above zero",
    "overfit": "of each of {methods}, over the last epochs that are kept: training loss falls, and"
    " the interval of the rise of the failure rate on faces not trained on lies above zero",
    "draws majority": f"at least {FEWEST} draws, and the interval (Clopper and Pearson's) of the"
    " share of draws in which DCNet fails less often lies above one half",
    "draws mean": f"at least {FEWEST} draws, and the interval of their mean improvement, over draws"
    " and faces, lies above zero",
    "draws normal": "contradicted if Shapiro and Wilk's test says p < 0.05; otherwise unclear,"
    " since a test can refute a normal distribution but not show one",
    "draws sensitivity": f"at least {FEWEST} draws, and the interval of DCNet's standard deviation"
    " over draws minus that of XS lies below zero",
    "ablation raises": "with the features of {cells} removed, each alone, the interval of the"
    " relative change of the failure rate lies above zero",
    "ablation highest": "with the features of {cells} removed, the failure rate is higher than with"
    " those of any other task or block: the interval of each relative difference lies above zero",
    "ablation deepest": "with the features of {cells} removed, the failure rate is higher than with"
    " the same task's at any other block: the interval of each relative difference lies above zero",
    "ablation isolated": "with the features of some other task at some block removed, the interval"
    " of the relative change of the failure rate lies above zero, and stays there after Holm's"
    " correction for the cells",
    "cascade failure rate": "landmark failure rate, {pairs}: the interval of the paired difference"
    " lies below zero, both if missed faces count as failures and if they are left out",
    "cascade mean error": "mean error, {pairs}: the interval of the difference lies below zero,"
    " both with each one's found faces and, paired, with those that both found",
    "cascade missed faces": "number of missed faces, {pairs}: the interval of the paired difference"
    " lies below zero",
    "cascade unfound": "annotated faces of held-out photos that no detection overlaps by a half,"
    " {pairs}: the interval of the paired difference lies below zero",
    "cascade against": "failure rate of DCNet minus that of the cascade: the interval lies below"
    " zero for both cascades, both if missed faces count as failures and if they are left out",
    "code": "checked by the code itself, exactly",
    "all": "all of these claims: {needs}",
    "none": "not testable, for the reason given",
    "later": "not tested, for the reason given",
}


def rule(claim: Claim) -> str:
    """The rule by which a claim is judged, in words; both decoders must agree on all of it.

    Cascades have no decoders; what their rules say "both" of takes their place.
    """
    several = claim.kind in ("draws", "ablation", "cascade")
    words = RULES[f"{claim.kind} {claim.detail[0]}" if several else claim.kind]
    cells = " and ".join(cell.replace(" ", " at block ") for cell in claim.detail[1:-1])
    if claim.detail[-1:] == ("other face",):
        words += "; another face's features stand in for the removed ones"
    needs = needed(claim) if claim.kind == "all" else ""
    margin = f"{claim.margin:g} points" if claim.margin else "zero"
    return words.format(
        metric=claim.metric,
        pairs=pairs(claim),
        cells=cells,
        needs=needs,
        margin=margin,
        methods=", ".join(claim.detail),
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
