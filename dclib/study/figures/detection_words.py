"""What the cascades of section 4.5 say, in words made from their records."""

import math
from collections.abc import Sequence

import numpy as np

from dclib.mtcnn.records import CascadeRecord
from dclib.study import verdicts
from dclib.study.analysis.cascades import Cascades, score
from dclib.study.analysis.stats import Interval, side
from dclib.study.figures.detection import References, entries
from dclib.study.figures.detection_pictures import GROUP, counts
from dclib.study.figures.words import SMOKE, listed
from dclib.study.verdicts.cascades import FACES, PAIR, PLAN, told

OURS, WIDE = PAIR
NAMES = {"mtfl-test": "MTFL's test faces", "scenes": "the faces of held-out drawn scenes"}


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
    if not group.tries:
        return ""
    first, e = group.records[0], group.about
    tries = sorted({len(own) for own in group.tries.values()})
    counted = "one try" if tries == [1] else f"{'–'.join(map(str, tries))} tries"
    photos = listed(list(e.datasets))
    return (
        f"**Preset `{e.preset}`**: {counted} of {listed(group.methods)}, trained on"
        f" {first.environment['trained_on']:,} photos of {photos} and scored on"
        f" {len(first.findings.scores):,} faces ({e.faces}) and {len(first.findings.overlaps):,}"
        f" annotated faces of other photos ({e.heldout}). Faces are looked for from"
        f" {e.minimum:g} pixels on."
    )


def marks(group: Cascades) -> str:
    """How the paper's two cascades compare, and what widening alone does."""
    lines = [_against(group, OURS, WIDE), _against(group, WIDE, "MTCNN")]
    if group.tries and group.about.preset == "smoke":
        lines.append(SMOKE)
    return "\n\n".join(line for line in lines if line)


def _against(group: Cascades, first: str, second: str) -> str:
    """The first cascade against the second, score by score."""
    if not {first, second} <= group.tries.keys():
        return ""
    parts = [
        _one(group, first, second, "failure rate", ("fails less often", "fails more often")),
        _one(
            group,
            first,
            second,
            "mean error",
            ("has a lower mean error", "has a higher mean error"),
        ),
        _one(group, first, second, "missed faces", ("misses fewer faces", "misses more faces")),
    ]
    on = NAMES.get(group.about.faces, group.about.faces)
    return f"On {on}, {first} against {second}: {'; '.join(parts)}."


def _one(group: Cascades, first: str, second: str, metric: str, said: tuple[str, str]) -> str:
    gaps = group.gaps(first, second, metric)
    where = side(gaps.values())
    one, other = (score(group.findings(m), metric) for m in (first, second))
    values = f"{_value(one, metric)} against {_value(other, metric)}"
    if where:
        return f"it {said[0 if where < 0 else 1]} ({values})"
    return f"in {metric} the two cannot be told apart ({values})"


def _value(interval: Interval, metric: str) -> str:
    if math.isnan(interval.value):
        return "none found"
    return f"{interval.value:.0f}" if metric == "missed faces" else f"{interval.value:.2f} %"


def recall(group: Cascades, references: References) -> str:
    """How many annotated faces of held-out photos are found, and where the others are lost."""
    if not group.tries:
        return ""
    lines = []
    for name, own in entries(group, references).items():
        found = 100 - score(own, "unfound").value
        further = np.mean([f.others.mean() for f in own])
        line = f"{name} {found:.1f} % and {further:.2f}"
        known = [f.precision for f in own if f.precision is not None]
        if known:
            line += f" ({100 * np.mean(known):.0f} % of its detections are right)"
        lines.append(line)
    what = "Annotated faces that are found, and further detections per photo"
    text = f"{what}: {'; '.join(lines)}."
    if {OURS, WIDE} <= group.tries.keys():
        (gap,) = group.gaps(OURS, WIDE, "unfound").values()
        text += f" Not found, {OURS} − {WIDE}: {told(gap, 'points')}."
    return text


def picture(record: CascadeRecord, name: str) -> str:
    """What a cascade found in a picture."""
    shown = record.findings.pictures[name]
    width, height = shown["size"]
    by = f"{record.experiment.label}, try {record.experiment.try_},"
    known = counts(name, shown)
    if known is None:
        return f"{by} finds {len(shown['boxes'])} faces in {width} × {height} pixels."
    faces, found, others = known
    what = "people" if name == GROUP else "faces"
    ending = f"{others} further detection{'s' * (others != 1)}"
    return f"{by} finds {found} of {faces} {what} in {width} × {height} pixels; {ending}."


def conclusion(group: Cascades) -> str:
    """Whether the paper's comparison comes out the same way here."""
    if not {OURS, WIDE} <= group.tries.keys() or group.about.faces != FACES:
        return "Without cascades on MTFL's faces there is nothing yet to conclude."
    given = {
        m: group.verdict(OURS, WIDE, m) for m in ("failure rate", "mean error", "missed faces")
    }
    words = "; ".join(f"{metric}: *{verdict}*" for metric, verdict in given.items())
    return f"The paper's statement that {OURS} is better than {WIDE}: {words}."
