"""Cascades compared: the score of each method over faces and tries, the gap between two.

A missed face has no landmarks, and the paper does not say what becomes of it in a failure rate. So
differences in what depends on it are read in two ways, and a verdict needs both to agree; for other
networks the two decoders have this part.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from dclib.metrics import THRESHOLD
from dclib.mtcnn import presets, records
from dclib.mtcnn.experiment import METHODS, CascadeExperiment
from dclib.mtcnn.findings import ENOUGH, Findings, Floats
from dclib.mtcnn.records import CascadeRecord
from dclib.study.analysis.comparison import REFERENCE
from dclib.study.analysis.stats import (
    DECODERS,
    NOWHERE,
    Chance,
    Interval,
    Verdict,
    average,
    difference,
    verdict,
)
from dclib.study.analysis.tries import Tries

# What each face scores: its failure in %, its error in % of the interocular distance; a missed face
# as many points as there are faces, so that the mean is their number. NaN where it does not count.
SCORES: dict[str, Callable[[Findings], Floats]] = {
    "failure rate": lambda f: np.where(f.errors <= THRESHOLD, 0.0, 100.0),
    "failure rate of found faces": lambda f: np.where(
        f.detected, np.where(f.errors <= THRESHOLD, 0.0, 100.0), np.nan
    ),
    "mean error": lambda f: np.where(f.detected, 100 * f.errors, np.nan),
    "missed faces": lambda f: np.where(f.detected, 0.0, len(f.scores)),
    "unfound": lambda f: np.where(f.overlaps < ENOUGH, 100.0, 0.0),  # of the held-out photos
}
SHARED = "on faces that both found"
READINGS = {  # of the metrics that claims are about: which score each is read as
    "failure rate": {
        "missed faces fail": "failure rate",
        "missed faces left out": "failure rate of found faces",
    },
    "mean error": {"each on the faces that it found": "mean error", SHARED: "mean error"},
    "missed faces": {"": "missed faces"},
    "unfound": {"": "unfound"},
}


def reference() -> list[CascadeRecord]:
    """The committed cascades of the reference preset.

    Those at each method's own rate of O, as soon as all of them are there.
    """
    found = {record.experiment: record for record in records.committed()}
    own = presets.own_rates(REFERENCE)
    whole = bool(own) and found.keys() >= {*own}
    return [found[e] for e in (own if whole else presets.plan(REFERENCE)) if e in found]


def tried() -> list[CascadeRecord]:
    """Committed cascades that the settings of the reference preset were chosen by.

    They are of that preset, each with another setting than it has now.
    """
    shown = {record.id for record in reference()}
    made = [r for r in records.committed() if r.experiment.preset == REFERENCE]
    return [r for r in made if r.id not in shown]


def find(preset: str) -> list[CascadeRecord]:
    """The cascades of a preset that are there: those of the reference preset if committed."""
    return reference() if preset == REFERENCE else records.find(presets.plan(preset))


class Cascades(Tries[CascadeRecord]):
    """The cascades of several methods, scored on the same photos, the paper's last.

    Args:
        made: every try of every method, in any order, of one preset.
    """

    kind, apart = "cascade", "preset or photos"

    def __init__(self, made: Sequence[CascadeRecord]) -> None:
        super().__init__(sorted(made, key=lambda r: METHODS.index(r.experiment.method)))
        order = sorted(self.tries.values(), key=lambda t: METHODS.index(t[0].experiment.method))
        self.tries = {own[0].experiment.label: own for own in order}

    def _shared(self, record: CascadeRecord) -> Hashable:
        f = record.findings
        return record.experiment.preset, f.faces, len(f.scores), f.heldout, len(f.overlaps)

    @property
    def about(self) -> CascadeExperiment:
        """One experiment, whose settings other than method and try are those of all."""
        return self.records[0].experiment

    def findings(self, method: str) -> list[Findings]:
        """What each try of a method found."""
        return [record.findings for record in self.tries[method]]

    def chance(self, metric: str) -> Chance | None:
        """How much tries differ, pooled over the cascades here; None if all are single."""
        matrices = (scores(self.findings(m), metric) for m in self.tries)
        return Chance.of(_counted(m) for m in matrices if not np.isnan(m).all())

    def score(self, method: str, metric: str) -> Interval:
        """Mean score of a method over faces and tries, see `SCORES`, and its 95 % interval."""
        return score(self.findings(method), metric, self.chance(metric))

    def gaps(self, first: str, second: str, metric: str) -> dict[str, Interval]:
        """Score of the first method minus the second, paired by faces: by reading."""
        return gaps(self.findings(first), self.findings(second), metric, self.chance)

    @property
    def drawn(self) -> bool:
        """Whether there are only cascades of drawn scenes, which test nothing, or none."""
        return not self.tries or self.about.preset == "smoke"

    def verdict(self, first: str, second: str, metric: str) -> Verdict:
        """Whether the first method is lower, in every reading; but see `drawn`."""
        if self.drawn or not {first, second} <= self.tries.keys():
            return Verdict.NOT_TESTED
        if self.chance(metric) is None:
            return Verdict.UNCLEAR
        return verdict(paired(self.gaps(first, second, metric)))


def scores(findings: Sequence[Findings], metric: str) -> Floats:
    """Scores of each try and face (tries, faces), NaN where a face does not count."""
    return np.stack([SCORES[metric](f) for f in findings])


def score(findings: Sequence[Findings], metric: str, chance: Chance | None = None) -> Interval:
    """Mean score over faces and tries and its 95 % interval; NaN where no face counts."""
    matrix = scores(findings, metric)
    return NOWHERE if np.isnan(matrix).all() else average(_counted(matrix), chance)


def gaps(
    first: Sequence[Findings],
    second: Sequence[Findings],
    metric: str,
    chance: Callable[[str], Chance | None] = lambda metric: None,
) -> dict[str, Interval]:
    """Mean score of some findings minus that of others, over the same faces: by reading."""
    found = {}
    for reading, read_as in READINGS[metric].items():
        one, other = (scores(own, read_as) for own in (first, second))
        if reading == SHARED:  # by all tries of both
            shared = ~np.isnan(np.concatenate([one, other])).any(axis=0)
            one, other = one[:, shared], other[:, shared]
        none = np.isnan(one).all() or np.isnan(other).all()
        found[reading] = (
            NOWHERE if none else difference(_counted(one), _counted(other), chance(read_as))
        )
    return found


def paired(by_reading: Mapping[str, Interval]) -> dict[str, Interval]:
    """Readings in the place of decoders, for the verdict rule; a single one stands for both."""
    intervals = [*by_reading.values()] * (len(DECODERS) // len(by_reading))
    return dict(zip(DECODERS, intervals, strict=True))


def _counted(matrix: Floats) -> Floats:
    """Scores whose mean over all faces is that over the faces that count, linearised.

    What a face adds to a mean over those that count: how far it lies from that mean, times all
    faces over those that count.
    """
    counts = ~np.isnan(matrix)
    mean = float(np.nanmean(matrix))
    return np.asarray(mean + np.where(counts, matrix - mean, 0.0) / counts.mean())
