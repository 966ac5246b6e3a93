"""Results in words, made from records, so that no result is written into a text by hand."""

from collections.abc import Sequence

from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, Interval, Verdict, side
from dclib.study.figures.results import STARTS, data_name, in_order
from dclib.underlying import UNDERLYING

SMOKE = "At preset `smoke` none of this speaks of the paper: it shows that everything runs."


def rate(interval: Interval) -> str:
    """A failure rate with its interval, in %.

    >>> rate(Interval(14.95, 13.0, 17.251))
    '14.95 % (13.00 to 17.25)'
    """
    return f"{interval.value:.2f} % ({interval.low:.2f} to {interval.high:.2f})"


def listed(names: Sequence[str]) -> str:
    """Names as an English list.

    >>> listed(["RN", "XS", "RNx"])
    'RN, XS and RNx'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def fig3(records: Sequence[Record], method: str = "DCNet") -> str:
    """Which method fails least often, and against which others `method` does better or worse."""
    group = Comparison(records)
    methods = in_order(group.methods)
    e = group.about
    data = data_name(e)
    network = UNDERLYING[e.underlying].title if e.underlying in UNDERLYING else e.underlying
    best = {d: min(methods, key=lambda m: group.score(m, decoder=d).value) for d in DECODERS}
    least = group.score(best["bin"])
    text = (
        f"**{network} {STARTS[e.pretrained]}, {data}, preset `{e.preset}`.**"
        f" {best['bin']} fails least often, {rate(least)}"
    )
    if best["soft"] == best["bin"]:
        text += ", under both decoders."
    else:
        score = group.score(best["soft"], decoder="soft")
        text += f"; under the soft decoder it is {best['soft']}, {rate(score)}."
    lines = [text]
    if method in methods and len(methods) > 1:
        lines += _sides(group, method, [m for m in methods if m != method])
    return "\n\n".join(lines)


def _sides(group: Comparison, method: str, others: Sequence[str]) -> list[str]:
    """Against whom a method is better, worse or neither, by paired intervals of both decoders."""
    sides: dict[int, list[str]] = {-1: [], 1: [], 0: []}
    for other in others:
        gaps = [group.difference(method, other, decoder=decoder) for decoder in DECODERS]
        sides[side(gaps)].append(other)
    told = {-1: "fails less often than", 1: "fails more often than"}
    parts = [f"{told[way]} {listed(sides[way])}" for way in told if sides[way]]
    if unclear := sides[0]:
        parts.append(f"cannot be told apart from {listed(unclear)}")
    lines = [f"{method}, {rate(group.score(method))}, " + "; it ".join(parts) + "."]
    if group.about.preset == "smoke":
        lines.append(SMOKE)
    return lines


def verdicts(records: Sequence[Record], against: Sequence[Record], method: str = "DCNet") -> str:
    """Whether two sets of runs, such as two weightings, lead to the same verdicts on `method`."""
    one, other = Comparison(records), Comparison(against)
    shared = [m for m in in_order(one.methods) if m in other.methods and m != method]
    if not shared or not {method} <= set(one.methods) & set(other.methods):
        return "There is nothing yet to compare."
    same = [m for m in shared if one.verdict(method, m) == other.verdict(method, m)]
    if set(one.verdict(method, m) for m in shared) == {Verdict.NOT_TESTED}:
        return "At this preset there are no verdicts to compare."
    if len(same) == len(shared):
        return f"The verdict on {method} is the same against each of {listed(shared)}."
    changed = [m for m in shared if m not in same]
    return f"The verdict on {method} changes against {listed(changed)}."
