"""What the paper prints where a claim has a number: the one beside ours, from the ledger."""

from dclib.study import paper
from dclib.study.paper import Claim
from dclib.study.verdicts import cascades
from dclib.study.verdicts.judgement import number

UNPRINTED = "–"


def beside(claim: Claim, pair: tuple[str, str] = ("", "")) -> str:
    """The paper's number for a claim, in our units and signs; a dash where it prints none.

    Args:
        pair: the two methods whose difference decides ours; of several that are printed, by
            default the one that bears the claim out least.

    >>> (stitch,) = [c for c in paper.CLAIMS if c.key == "4.2-resnet18-stitch"]
    >>> beside(stitch)
    'DCNet − XS: −3.48 points'
    """
    what, *cells = claim.detail or ("",)
    if claim.kind in ("lower", "cascade"):
        return _difference(claim, pair)
    if claim.kind == "gain":
        on = (paper.difference("XS", "DCNet", one, bool(claim.pretrained)) for one in claim.detail)
        first, second = (gain or 0.0 for gain in on)
        return f"{' − '.join(claim.detail)}: {number(first - second)} points"
    if (claim.kind, what) == ("draws", "majority"):
        return f"better in {paper.number('fig5', metric='times_better'):.0f} of 100 draws"
    if (claim.kind, what) == ("draws", "mean"):
        gain = paper.number("fig5", metric="mean_improvement")
        return f"mean improvement {number(gain)} points"
    if claim.kind == "ablation" and not claim.control:
        return "; ".join(filter(None, map(_removed, cells[:-1]))) or UNPRINTED
    return UNPRINTED


def _difference(claim: Claim, pair: tuple[str, str]) -> str:
    printed = {}
    for one in [pair] if all(pair) else claim.comparisons:
        first, second = (_score(claim, method) for method in one)
        if first is not None and second is not None:
            printed[one] = first - second
    if not printed:
        return UNPRINTED
    at = max(printed, key=lambda one: printed[one])
    unit = cascades.UNITS[claim.detail[0]] if claim.kind == "cascade" else "points"
    return f"{' − '.join(at)}: {number(printed[at])} {unit}"


def _score(claim: Claim, method: str) -> float | None:
    """What the paper prints of a method: in the claim's metric, data, backbone and start."""
    if claim.kind == "cascade":
        of = {ours: (printed, parts) for printed, (ours, parts) in cascades.METRICS.items()}
        metric, parts = of.get(claim.detail[0], ("", 1))
        value = paper.beside("mtcnn", method, metric=metric)
        return None if value is None else parts * value
    if claim.metric != "failure rate" or claim.pretrained not in (True, False):
        return None
    if claim.dataset == "mtfl":
        return paper.failure_rate(method, claim.underlying, bool(claim.pretrained))
    return paper.beside("table1", method, faces=claim.dataset)


def _removed(cell: str) -> str:
    """How much more fails without a cell's features, which the paper prints below zero."""
    value = paper.beside("fig6", cell)
    return "" if value is None else f"{cell.replace(' ', ', block ')}: {number(-value)} %"
