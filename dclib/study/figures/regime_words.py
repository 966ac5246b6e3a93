"""Chapter "Where the ranking holds" in words: sentences that are made from the records."""

from dclib.study.analysis.regimes import METHOD, Regimes
from dclib.study.figures.regimes import NAMES, order, signed, titles
from dclib.study.figures.words import SMOKE, grouped, listed

SIDES = {-1: "fails less often at", 1: "fails more often at", 0: "cannot be told apart from it at"}
TRENDS = {-1: "gains on", 1: "loses ground to", 0: "has no clear trend against"}


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
    told = (
        f"Averaged over the last five epochs, {len(changed) or 'none'} of {len(both)} comparisons"
    )
    if not changed:
        return f"{told} ends otherwise."
    ends = "ends" if len(changed) == 1 else "end"
    side = listed(turned) or "none"
    return f"{told} {ends} otherwise ({listed(changed)}), {side} on the other side."
