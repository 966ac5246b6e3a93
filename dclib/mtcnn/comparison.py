"""Cascades compared: the score of each method over faces and tries, the gap between two.

A missed face has no landmarks, and the paper does not say what becomes of it in a failure rate. So
differences in what depends on it are read in two ways, and a verdict needs both to agree; for other
networks the two decoders have this part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from dclib import comparison
from dclib.errors import RunError
from dclib.metrics import THRESHOLD
from dclib.mtcnn import presets, records
from dclib.mtcnn.experiment import METHODS, CascadeExperiment
from dclib.mtcnn.findings import ENOUGH, Findings, Floats
from dclib.mtcnn.records import CascadeRecord
from dclib.stats import (
    DECODERS,
    Interval,
    Verdict,
    paired_bootstrap,
    percentiles,
    resampled,
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
    """The committed cascades of the reference preset, found even where their photos are not."""
    found = _committed()
    return [found[e] for e in _planned() if e in found]


def tried() -> list[CascadeRecord]:
    """Committed cascades that the settings of the reference preset were chosen by.

    They are of that preset, each with another setting than it has now.
    """
    planned = set(_planned())
    return [
        record
        for e, record in _committed().items()
        if e.preset == comparison.REFERENCE and e not in planned
    ]


def _planned() -> list[CascadeExperiment]:
    """The plan of the reference preset, without the fingerprint of photos."""
    preset = comparison.REFERENCE
    return [
        presets.experiment(preset, method, try_=try_, fingerprint="")
        for try_ in range(presets.PRESETS[preset].tries)
        for method in presets.ORDER
    ]


def _committed() -> dict[CascadeExperiment, CascadeRecord]:
    """All committed cascades by their experiments, these without the fingerprint of photos."""
    made = records.committed()
    return {replace(record.experiment, fingerprint=""): record for record in made}


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

    def score(self, method: str, metric: str) -> Interval:
        """Mean score of a method over faces and tries, see `SCORES`, and its 95 % interval."""
        return score(self.findings(method), metric)

    def gaps(self, first: str, second: str, metric: str) -> dict[str, Interval]:
        """Score of the first method minus the second, paired by faces: by reading."""
        return gaps(self.findings(first), self.findings(second), metric)

    def verdict(self, first: str, second: str, metric: str) -> Verdict:
        """Whether the first method is lower, in every reading."""
        if not {first, second} <= self.tries.keys():
            return Verdict.NOT_RUN
        return judged(self.gaps(first, second, metric), self.about.preset)


def scores(findings: Sequence[Findings], metric: str) -> Floats:
    """Scores of each try and face (tries, faces), NaN where a face does not count."""
    return np.stack([SCORES[metric](f) for f in findings])


def score(findings: Sequence[Findings], metric: str) -> Interval:
    """Mean score over faces and tries and its 95 % interval; NaN where no face counts."""
    matrix = scores(findings, metric)
    return NOWHERE if np.isnan(matrix).all() else _spread(matrix, _means(matrix, 1))


def gaps(first: Sequence[Findings], second: Sequence[Findings], metric: str) -> dict[str, Interval]:
    """Mean score of some findings minus that of others, over the same faces: by reading."""
    matrices = [scores(own, metric) for own in (first, second)]
    readings = READINGS[metric]
    if metric == "failure rate":
        found = [scores(own, "failure rate of found faces") for own in (first, second)]
        each = [paired_bootstrap(*matrices), _difference(*found)]
    elif metric == "mean error":
        shared = ~np.isnan(np.concatenate(matrices)).any(axis=0)  # found by all tries of both
        both = [matrix[:, shared] for matrix in matrices]
        each = [_difference(*matrices), paired_bootstrap(*both) if shared.any() else NOWHERE]
    else:
        each = [paired_bootstrap(*matrices)]
    return dict(zip(readings, each, strict=True))


def judged(by_reading: Mapping[str, Interval], preset: str) -> Verdict:
    """The verdict rule, with readings in the place of decoders; a single one stands for both."""
    intervals = [*by_reading.values()] * (len(DECODERS) // len(by_reading))
    return verdict(dict(zip(DECODERS, intervals, strict=True)), preset)


def _difference(one: Floats, other: Floats) -> Interval:
    """As `paired_bootstrap`, over the faces that count in each matrix."""
    if np.isnan(one).all() or np.isnan(other).all():
        return NOWHERE
    spread = _means(one, 1) - _means(other, 2)
    return percentiles(float(np.nanmean(one) - np.nanmean(other)), spread[np.isfinite(spread)])


def _spread(matrix: Floats, means: Floats) -> Interval:
    return percentiles(float(np.nanmean(matrix)), means[np.isfinite(means)])


def _means(matrix: Floats, stream: int) -> Floats:
    """Means of the faces that count, under every resample; NaN where it has none."""
    counts = ~np.isnan(matrix)
    total = resampled(np.where(counts, matrix, 0.0), stream=stream)
    number = resampled(counts, stream=stream)
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


def _scored_on(findings: Findings) -> tuple[str, int, str, int]:
    return findings.faces, len(findings.scores), findings.heldout, len(findings.overlaps)
