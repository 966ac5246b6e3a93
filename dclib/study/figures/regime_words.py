"""Chapter "Where the ranking holds" in words: sentences that are made from the records."""

from dclib.study.analysis.regimes import METHOD, Point, Regimes
from dclib.study.analysis.stats import Interval
from dclib.study.figures.regimes import NAMES, called, order, signed, titles
from dclib.study.figures.words import SMOKE, listed

SIDES = {
    -1: "fails less often",
    1: "fails more often",
    0: "cannot be told apart from it",
}


def command(preset: str) -> str:
    """What trains the runs of the map."""
    return f"python -m dclib train --plan regimes --preset {preset}"


def setting(regimes: Regimes) -> str:
    """The setting that all are around, and what is varied."""
    faces, epochs, width = regimes.base
    axes = [
        f"{NAMES[axis]} {listed([f'{getattr(p, axis):,}' for p in points])}"
        for axis, points in regimes.axes.items()
    ]
    return (
        f"At preset `{regimes.preset}` Fig. 3 has {faces:,} training faces, {epochs} epochs"
        f" ({regimes.steps(regimes.base):,} steps of {regimes.batch} faces) and width {width:g}."
        f" Varied are: {'; '.join(axes)}."
    )


def progress(regimes: Regimes) -> str:
    """How much of the plan was run, and the settings at which methods are missing."""
    planned, there = len(regimes.planned), len(regimes.records)
    if not there:
        return f"Not run: `{command(regimes.preset)}`."
    if there == planned:
        return f"All {planned} runs of the plan are there, one try each."
    lacking = {
        title: [m for m in regimes.methods if not regimes.has(point, m)]
        for point, title in titles(regimes).items()
    }
    empty = [title for title, gone in lacking.items() if len(gone) == len(regimes.methods)]
    parts = [
        f"{title} without {listed(gone)}"
        for title, gone in lacking.items()
        if gone and title not in empty
    ]
    parts += [f"nothing at {listed(empty)}"] if empty else []
    return (
        f"{there} of the plan's {planned} runs are there, one try each ({'; '.join(parts)})."
        f" Not run: the others, `{command(regimes.preset)}`."
    )


def holds(regimes: Regimes) -> str:
    """At how many settings, and which, DCNet fails less often than each other method, or more."""
    lines = []
    for other in order(regimes):
        sides = {title: regimes.side(p, other) for p, title in titles(regimes).items()}
        run = [title for title, side in sides.items() if side is not None]
        if not run:
            lines.append(f"- **{other}**: not run yet beside {METHOD}")
            continue
        parts = [
            f"{verb} {where}"
            for side, verb in SIDES.items()
            if (where := _where(sides, side, len(run)))
        ]
        lines.append(f"- **{other}**: {METHOD} " + "; ".join(parts))
    lines += ["", SMOKE] if regimes.preset == "smoke" else []
    return "\n".join(lines)


def _where(sides: dict[str, int | None], side: int, run: int) -> str:
    """The settings on one side, in words; nothing where there is none."""
    own = [title for title, found in sides.items() if found == side]
    if len(own) == run:
        return f"at {_all(run, 'setting')} run"
    return f"at {len(own)} of {run} ({', '.join(own)})" if own else ""


def _all(count: int, thing: str) -> str:
    """So many things, of which there are no others.

    >>> [_all(count, "setting") for count in (1, 2, 3)]
    ['the one setting', 'both settings', 'all 3 settings']
    """
    if count == 1:
        return f"the one {thing}"
    return f"{'both' if count == 2 else f'all {count}'} {thing}s"


def turns(regimes: Regimes) -> str:
    """Between which settings the better of DCNet and another method changes, and which it is."""
    found = [
        f"{METHOD} fails {_often(regimes, one, other)} often than {other} at {called(one, axis)},"
        f" and {_often(regimes, two, other)} often at {called(two, axis)}"
        for axis in regimes.axes
        for other in order(regimes)
        for one, two in regimes.turns(axis, other)
    ]
    if found:
        return "; ".join(found) + "."
    sides = [regimes.side(p, o) for p in titles(regimes) for o in order(regimes)]
    if sum(side is not None for side in sides) < 2:
        return "No two settings of one axis were run yet, so there is no turn to tell."
    return (
        f"Along no axis does the better of {METHOD} and another method change, as far as the"
        " settings that were run, and both decoders, can tell."
    )


def _often(regimes: Regimes, point: Point, other: str) -> str:
    return "less" if regimes.side(point, other) == -1 else "more"


def trends(regimes: Regimes) -> str:
    """Whether DCNet gains on each other method, or loses, as each thing that is varied grows."""
    lines = []
    for axis in regimes.axes:
        found = {other: regimes.trend(axis, other) for other in order(regimes)}
        parts = [
            f"{'gains on' if t.side < 0 else 'loses ground to'} {other}, {moved(t.slope['bin'])}"
            for other, t in found.items()
            if t and t.side
        ]
        unclear = [other for other, t in found.items() if t and not t.side]
        parts += [f"has no clear trend against {listed(unclear)}"] if unclear else []
        if parts:
            lines.append(f"- with twice the **{NAMES[axis]}** {METHOD} " + "; it ".join(parts))
    if not lines:
        return "No three settings of one axis were run yet, so there is no trend to tell."
    return "\n".join([*lines, *(["", SMOKE] if regimes.preset == "smoke" else [])])


def moved(slope: Interval) -> str:
    """A slope with its interval, in points.

    >>> moved(Interval(-1.254, -2.0, -0.5))
    '−1.25 points (−2.00 to −0.50)'
    """
    return f"{signed(slope.value)} points ({signed(slope.low)} to {signed(slope.high)})"


def chance(regimes: Regimes) -> str:
    """How far DCNet's differences at the base lie apart from try to try."""
    tries = {other: regimes.base_gaps(other) for other in order(regimes)}
    ranges = [
        f"{signed(min(gaps))} to {signed(max(gaps))} for {other}"
        for other, gaps in tries.items()
        if len(gaps) > 1
    ]
    if not ranges:
        return (
            "There is one try for each setting, and no second one at Fig. 3's to say how far two"
            " lie apart. What another try would have given is in no interval here."
        )
    most = max(map(len, tries.values()))
    return (
        "What another try would have given is in no interval here. Only at Fig. 3's setting are"
        f" there several, up to {most}; from try to try {METHOD}'s difference there, in points, is"
        f" {listed(ranges)}. So much a single difference of the map may owe to its one try."
    )


def averaging(regimes: Regimes) -> str:
    """Whether the average over the last five epochs, as in Fig. 3, would say something else."""
    both = {
        f"{other} at {title}": (regimes.side(p, other), regimes.side(p, other, last=5))
        for p, title in titles(regimes).items()
        for other in order(regimes)
        if regimes.has(p, METHOD, other)
    }
    if not both:
        return "There is nothing to average yet."
    changed = [name for name, (last, five) in both.items() if last != five]
    opposite = [name for name, (last, five) in both.items() if last and five == -last]
    if not changed:
        every = _all(len(both), "comparison")
        return f"Averaged over the last five epochs, the outcome is the same in {every}."
    text = (
        f"Averaged over the last five epochs, {len(changed)} of {len(both)} comparisons come out"
        f" otherwise: those with {listed(changed)}"
    )
    turned = f"turned round are those with {listed(opposite)}" if opposite else "none turns round"
    return f"{text}; {turned}."
