"""Cascades compared: the score of each method over faces and tries, the gap between two.

A missed face has no landmarks, and the paper does not say what becomes of it in a failure rate. So
differences in what depends on it are read in two ways, and a verdict needs both to agree; for other
networks the two decoders have this part.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dclib.errors import RunError
from dclib.metrics import THRESHOLD
from dclib.mtcnn import presets, records
from dclib.mtcnn.experiment import METHODS, CascadeExperiment
from dclib.mtcnn.findings import ENOUGH, Findings, Floats
from dclib.mtcnn.records import CascadeRecord
from dclib.study.analysis import comparison
from dclib.study.analysis.stats import (
    DECODERS,
    Chance,
    Interval,
    Verdict,
    average,
    difference,
    verdict,
)

NOWHERE = Interval(np.nan, np.nan, np.nan)  # where no face counts

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
OWN = "each on the faces that it found"
READINGS = {  # of the metrics that claims are about: what each is read as
    "failure rate": ("missed faces fail", "missed faces left out"),
    "mean error": (OWN, "on faces that both found"),
    "missed faces": ("",),
    "unfound": ("",),
}


def reference() -> list[CascadeRecord]:
    """The committed cascades of the reference preset.

    Those at each method's own rate of O, as soon as all of them are there.
    """
    found = {record.experiment: record for record in records.committed()}
    own = presets.own_rates(comparison.REFERENCE)
    whole = bool(own) and found.keys() >= {*own}
    planned = own if whole else presets.plan(comparison.REFERENCE)
    return [found[e] for e in planned if e in found]


def tried() -> list[CascadeRecord]:
    """Committed cascades that the settings of the reference preset were chosen by.

    They are of that preset, each with another setting than it has now.
    """
    preset, shown = comparison.REFERENCE, {record.id for record in reference()}
    made = records.committed()
    return [r for r in made if r.experiment.preset == preset and r.id not in shown]


def find(preset: str) -> list[CascadeRecord]:
    """The cascades of a preset that are there: those of the reference preset if committed."""
    if preset == comparison.REFERENCE:
        return reference()
    return records.find(presets.plan(preset))


class Cascades:
    """The cascades of several methods, scored on the same photos.

    Args:
        made: every try of every method, in any order.

    Raises:
        RunError: they are of several presets or scored on different photos, or hold one try of a
            method twice.
    """

    def __init__(self, made: Sequence[CascadeRecord]) -> None:
        self.tries: dict[str, list[CascadeRecord]] = {}  # by method, the paper's last
        for record in sorted(
            made, key=lambda r: (METHODS.index(r.experiment.method), r.experiment.try_)
        ):
            self.tries.setdefault(record.experiment.label, []).append(record)
        if len({(r.experiment.preset, *_scored_on(r.findings)) for r in made}) > 1:
            raise RunError(
                "these cascades cannot be compared, they differ in preset or photos: "
                + ", ".join(f"{r.id} ({r.experiment.title})" for r in made)
            )
        for label, own in self.tries.items():
            if len({r.experiment.try_ for r in own}) < len(own):
                raise RunError(
                    f"{label}: a try is there twice: {', '.join(r.id for r in own)}; give one"
                    " cascade for each try"
                )

    @property
    def methods(self) -> list[str]:
        """The methods that are there, from the standard cascade to the paper's."""
        return list(self.tries)

    @property
    def records(self) -> list[CascadeRecord]:
        """Every try of every method."""
        return [record for own in self.tries.values() for record in own]

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

    def verdict(self, first: str, second: str, metric: str) -> Verdict:
        """Whether the first method is lower, in every reading; drawn scenes test nothing."""
        drawn = self.about.preset == "smoke" if self.tries else True
        if drawn or not {first, second} <= self.tries.keys():
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
    matrices = [scores(own, metric) for own in (first, second)]
    each = [_difference(matrices, chance(metric))]
    if metric == "failure rate":
        only = "failure rate of found faces"
        each.append(_difference([scores(own, only) for own in (first, second)], chance(only)))
    elif metric == "mean error":
        shared = ~np.isnan(np.concatenate(matrices)).any(axis=0)  # found by all tries of both
        each.append(_difference([m[:, shared] for m in matrices], chance(metric)))
    return dict(zip(READINGS[metric], each, strict=True))


def paired(by_reading: Mapping[str, Interval]) -> dict[str, Interval]:
    """Readings in the place of decoders, for the verdict rule; a single one stands for both."""
    intervals = [*by_reading.values()] * (len(DECODERS) // len(by_reading))
    return dict(zip(DECODERS, intervals, strict=True))


def _difference(matrices: Sequence[Floats], chance: Chance | None) -> Interval:
    if any(np.isnan(matrix).all() for matrix in matrices):
        return NOWHERE
    one, other = map(_counted, matrices)
    return difference(one, other, chance)


def _counted(matrix: Floats) -> Floats:
    """Scores whose mean over all faces is that over the faces that count, linearised.

    What a face adds to a mean over those that count: how far it lies from that mean, times all
    faces over those that count.
    """
    counts = ~np.isnan(matrix)
    mean = float(np.nanmean(matrix))
    return np.asarray(mean + np.where(counts, matrix - mean, 0.0) / counts.mean())


def _scored_on(findings: Findings) -> tuple[str, int, str, int]:
    return findings.faces, len(findings.scores), findings.heldout, len(findings.overlaps)
