"""Chapter "Where the ranking holds" in words: sentences that are made from the records."""

from dclib.study import verdicts
from dclib.study.analysis.regimes import METHOD, Regimes
from dclib.study.figures.regimes import NAMES, called, order, signed, titles
from dclib.study.figures.words import SMOKE, grouped, listed

SIDES = {-1: "fails less often at", 1: "fails more often at", 0: "cannot be told apart from it at"}
TRENDS = {-1: "gains on", 1: "loses ground to", 0: "has no clear trend against"}


def progress(regimes: Regimes) -> str:
    """How much of the plan was run, and the settings at which methods are missing."""
    planned, there = len(regimes.planned), len(regimes.records)
    if there == planned:
        return f"All {planned} runs of the plan are there, one try each."
    command = f"`{verdicts.command_for('regimes', regimes.preset)}`"
    if not there:
        return f"Not run: {command}."
    return (
        f"{there} of the plan's {planned} runs are there, one try each. Not run: the others,"
        f" {command}."
    )


def holds(regimes: Regimes) -> str:
    """At which settings DCNet fails less often than each other method, and at which more."""
    lines = []
    for other in order(regimes):
        found = {title: regimes.side(p, other) for p, title in titles(regimes).items()}
        sides = {title: side for title, side in found.items() if side is not None}
        if len(sides) > 1 and len(set(sides.values())) == 1:
            sides = {f"all {len(sides)} settings run": side for side in sides.values()}
        told = grouped(sides, SIDES) or "is not run yet beside it"
        lines.append(f"- **{other}**: {METHOD} {told}")
    lines += ["", SMOKE] if regimes.preset == "smoke" else []
    return "\n".join(lines)


def turns(regimes: Regimes) -> str:
    """Between which settings the better of DCNet and another method changes, and which it is."""
    found = [
        f"{METHOD} fails {_often(regimes.side(one, other))} often than {other} at"
        f" {called(one, axis)}, and {_often(regimes.side(two, other))} often at {called(two, axis)}"
        for axis in regimes.axes
        for other in order(regimes)
        for one, two in regimes.turns(axis, other)
    ]
    if found:
        return "; ".join(found) + "."
    return (
        f"Along no axis does the better of {METHOD} and another method change, as far as the"
        " settings that were run, and both decoders, can tell."
    )


def _often(side: int | None) -> str:
    return "less" if side == -1 else "more"


def trends(regimes: Regimes) -> str:
    """Whether DCNet gains on each other method, or loses, as each thing that is varied grows."""
    lines = []
    for axis in regimes.axes:
        found = {o: t.side for o in order(regimes) if (t := regimes.trend(axis, o))}
        if found:
            told = grouped(found, TRENDS)
            lines.append(f"- with twice the **{NAMES[axis]}** {METHOD} {told}")
    if not lines:
        return "No three settings of one axis were run yet, so there is no trend to tell."
    return "\n".join([*lines, *(["", SMOKE] if regimes.preset == "smoke" else [])])


def chance(regimes: Regimes) -> str:
    """How far DCNet's differences at the base lie apart from try to try."""
    tries = {other: regimes.base_gaps(other) for other in order(regimes)}
    ranges = [
        f"{signed(min(gaps))} to {signed(max(gaps))} for {other}"
        for other, gaps in tries.items()
        if len(gaps) > 1
    ]
    if not ranges:
        return "At the setting of §4.2 there is no second try to say how far two lie apart."
    return (
        f"Of up to {max(map(len, tries.values()))} tries at the setting of §4.2, {METHOD}'s"
        f" difference in points is {listed(ranges)}."
    )


def averaging(regimes: Regimes) -> str:
    """Whether the average over the last five epochs, as in Fig. 3, would say something else."""
    both = {
        f"{other} at {title}": (regimes.side(p, other), regimes.side(p, other, last=5))
        for p, title in titles(regimes).items()
        for other in order(regimes)
        if regimes.has(p, METHOD, other)
    }
    changed = [name for name, (last, five) in both.items() if last != five]
    turned = [name for name, (last, five) in both.items() if last and five == -last]
    return (
        f"Averaged over the last five epochs, {len(changed)} of {len(both)} comparisons come out"
        f" otherwise ({listed(changed) or 'none'}), and {len(turned)} the other way round"
        f" ({listed(turned) or 'none'})."
    )
