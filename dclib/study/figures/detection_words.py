"""What the cascades of section 4.5 say, in words made from their records."""

from collections.abc import Sequence

from dclib.mtcnn.records import CascadeRecord
from dclib.study import verdicts
from dclib.study.analysis.cascades import Cascades
from dclib.study.analysis.stats import side
from dclib.study.figures.words import SMOKE, grouped, listed
from dclib.study.verdicts.cascades import PAIR, PLAN

METRICS = ("failure rate", "mean error", "missed faces")
SIDES = {-1: "is better in", 1: "is worse in", 0: "cannot be told apart in"}


def missing(found: Sequence[CascadeRecord], wanted: int, preset: str) -> str:
    """What was not run, and the command that makes it.

    >>> missing([], 6, "cpu").partition(",")[0]
    'Not run: 6 of the 6 cascades of this page'
    """
    lacking = wanted - len(found)
    if lacking <= 0:
        return f"All {wanted} cascades of this page are there."
    command = verdicts.command_for(PLAN, preset)
    return f"Not run: {lacking} of the {wanted} cascades of this page, `{command}`."


def about(group: Cascades) -> str:
    """What was trained on which photos, and what it is scored on."""
    first, e = group.records[0], group.about
    tries = sorted({len(own) for own in group.tries.values()})
    counted = "one try" if tries == [1] else f"{'–'.join(map(str, tries))} tries"
    return (
        f"**Preset `{e.preset}`**: {counted} of {listed(group.methods)}, trained on"
        f" {first.environment['trained_on']:,} photos of {listed(list(e.datasets))} and scored on"
        f" {len(first.findings.scores):,} faces ({e.faces}) and {len(first.findings.overlaps):,}"
        f" annotated faces of other photos ({e.heldout}). Faces are looked for from"
        f" {e.minimum:g} pixels on."
    )


def marks(group: Cascades) -> str:
    """How the paper's two cascades compare, and what widening alone does, in all readings."""
    lines = []
    for first, second in (PAIR, (PAIR[1], "MTCNN")):
        if {first, second} <= group.tries.keys():
            sides = {m: side(group.gaps(first, second, m).values()) for m in METRICS}
            lines.append(f"Beside {second}, {first} {grouped(sides, SIDES)}.")
    if group.tries and group.about.preset == "smoke":
        lines.append(SMOKE)
    return " ".join(lines)
