"""Results in words, made from records, so that no result is written into a text by hand."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from dclib.records.runs import Record
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, Interval, Verdict, side
from dclib.study.figures.results import STARTS, data_name, in_order
from dclib.underlying import UNDERLYING

SMOKE = "At preset `smoke` none of this speaks of the paper: it shows that everything runs."
FAILS = {
    -1: "fails less often than",
    1: "fails more often than",
    0: "cannot be told apart from",
}


def listed(names: Sequence[str]) -> str:
    """Names as an English list.

    >>> listed(["RN", "XS", "RNx"])
    'RN, XS and RNx'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def spanned(one: Interval, unit: str = " %", form: str = ".2f") -> str:
    """A value, a failure rate for instance, and behind it the ends of its interval.

    >>> spanned(Interval(14.95, 13.0, 17.251))
    '14.95 % (13.00 to 17.25)'
    """
    value, low, high = (f"{x:{form}}".replace("-", "−") for x in (one.value, one.low, one.high))
    return f"{value}{unit} ({low} to {high})"


def grouped(found: Mapping[str, Hashable], told: Mapping[Any, str]) -> str:
    """What is told of things, each of the sayings with those of which it is true.

    >>> grouped({"RN": -1, "XS": 0, "RNx": -1}, FAILS)
    'fails less often than RN and RNx; it cannot be told apart from XS'
    """
    parts = [
        f"{saying} {listed(own)}"
        for key, saying in told.items()
        if (own := [name for name, value in found.items() if value == key])
    ]
    return "; it ".join(parts)


def fig3(records: Sequence[Record], method: str = "DCNet") -> str:
    """Which method fails least often, and against which others `method` does better or worse.

    A side counts only where the paired intervals of both decoders lie on it.
    """
    group = Comparison(records)
    methods = in_order(group.methods)
    e = group.about
    network = UNDERLYING[e.underlying].title if e.underlying in UNDERLYING else e.underlying
    about = f"**{network} {STARTS[e.pretrained]}, {data_name(e)}, preset `{e.preset}`.**"
    best = {d: min(methods, key=lambda m: group.score(m, decoder=d).value) for d in DECODERS}
    text = f"{about} {best['bin']} fails least often, {spanned(group.score(best['bin']))}"
    if best["soft"] == best["bin"]:
        lines = [f"{text}, under both decoders."]
    else:
        score = spanned(group.score(best["soft"], decoder="soft"))
        lines = [f"{text}; under the soft decoder it is {best['soft']}, {score}."]
    if method in methods and len(methods) > 1:
        sides = {
            other: side(group.difference(method, other, decoder=d) for d in DECODERS)
            for other in methods
            if other != method
        }
        lines.append(f"{method}, {spanned(group.score(method))}, {grouped(sides, FAILS)}.")
        lines += [SMOKE] if e.preset == "smoke" else []
    return "\n\n".join(lines)


def verdicts(records: Sequence[Record], against: Sequence[Record]) -> str:
    """Whether two sets of runs, such as two weightings, lead to the same verdicts on DCNet."""
    one, other, method = Comparison(records), Comparison(against), "DCNet"
    shared = [m for m in in_order(one.methods) if m in other.methods and m != method]
    if not shared or not {method} <= set(one.methods) & set(other.methods):
        return "There is nothing yet to compare."
    given = {m: one.verdict(method, m) for m in shared}
    if set(given.values()) == {Verdict.NOT_TESTED}:
        return "At this preset there are no verdicts to compare."
    changed = [m for m in shared if other.verdict(method, m) != given[m]]
    if changed:
        return f"The verdict on {method} changes against {listed(changed)}."
    return f"The verdict on {method} is the same against each of {listed(shared)}."
