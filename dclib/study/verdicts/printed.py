"""What the paper prints where a claim has a number: the one beside ours, from the ledger."""

from collections.abc import Iterable

from dclib.study import paper
from dclib.study.paper import Claim
from dclib.study.verdicts import cascades
from dclib.study.verdicts.judgement import number
from dclib.study.verdicts.removal import cell_of

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
    if claim.kind in ("lower", "cascade"):
        return _difference(claim, pair)
    if claim.kind == "gain":
        first, second = (
            paper.difference("XS", "DCNet", on, _trained(claim)) for on in claim.detail
        )
        return f"{' − '.join(claim.detail)}: {number((first or 0) - (second or 0))} points"
    if claim.kind == "draws":
        return _draws(claim.detail[0])
    if claim.kind == "ablation" and claim.detail[0] != "isolated" and not claim.control:
        return "; ".join(filter(None, map(_removed, claim.detail[1:-1]))) or UNPRINTED
    return UNPRINTED


def _trained(claim: Claim) -> bool:
    return claim.pretrained is True


def _difference(claim: Claim, pair: tuple[str, str]) -> str:
    printed = {}
    for one in [pair] if all(pair) else claim.comparisons:
        first, second = (_score(claim, method) for method in one)
        if first is not None and second is not None:
            printed[one] = first - second
    if not printed:
        return UNPRINTED
    at = max(printed, key=lambda one: printed[one])
    unit = {"mean error": "% of the interocular distance", "missed faces": "faces"}
    return f"{' − '.join(at)}: {number(printed[at])} {unit.get(_metric(claim), 'points')}"


def _metric(claim: Claim) -> str:
    return claim.detail[0] if claim.kind == "cascade" else claim.metric


def _score(claim: Claim, method: str) -> float | None:
    """What the paper prints of a method: in the claim's metric, data, backbone and start."""
    if claim.kind == "cascade":
        return _cascade(method, _metric(claim))
    if claim.metric != "failure rate" or claim.pretrained not in (True, False):
        return None
    if claim.dataset == "mtfl":
        return paper.failure_rate(method, claim.underlying, _trained(claim))
    share = int(claim.dataset.removeprefix("aflw-")) / 100
    rows = paper.reported("table1", method=method, condition=f"train_ratio={share:g}")
    return _only(rows["value"])


def _cascade(method: str, metric: str) -> float | None:
    names = {ours: printed for printed, ours in cascades.NAMES.items()}
    for printed, (ours, parts) in cascades.METRICS.items():
        if ours == metric and method in names:
            rows = paper.reported("mtcnn", method=names[method], metric=printed)
            value = _only(rows["value"])
            return None if value is None else value * parts
    return None


def _only(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(found[0]) if len(found) == 1 else None


def _draws(what: str) -> str:
    if what == "majority":
        return f"better in {paper.number('fig5', metric='times_better'):.0f} of 100 draws"
    if what == "mean":
        gain = paper.number("fig5", metric="mean_improvement")
        return f"mean improvement {number(gain)} points"
    return UNPRINTED


def _removed(cell: str) -> str:
    """How much more fails without a cell's features, which the paper prints below zero."""
    task, block = cell_of(cell)
    name = f"zero {task.removesuffix('s')} features at block {block}"
    value = _only(paper.reported("fig6", condition=name)["value"])
    return "" if value is None else f"{task}, block {block}: {number(-value)} %"
