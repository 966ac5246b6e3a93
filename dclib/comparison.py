"""Run records compared: the score of each method, the gap between two, the verdict on a claim."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from dclib import plan, runs
from dclib.errors import RunError
from dclib.experiment import Experiment
from dclib.metrics import THRESHOLD
from dclib.paper import Claim, Metric
from dclib.presets import has_own_network
from dclib.runs import Record
from dclib.stats import (
    DECODERS,
    Floats,
    Interval,
    Verdict,
    all_of,
    bootstrap,
    failures,
    mcnemar,
    paired_bootstrap,
    verdict,
)

REFERENCE = "cpu"  # the preset of the committed results


def _protocol(experiment: Experiment, about: Experiment) -> Experiment:
    """An experiment without what is each method's own, or what its label says."""
    own: dict[str, Any] = {
        "lr": 1.0,
        "unit_rate": 1.0,
        "penalty": 0.0,
        "related": (),
        "precision": None,
        "revision": 0,
    }
    if has_own_network(experiment.method):
        own |= {"underlying": about.underlying, "resolution": about.resolution}
    return replace(experiment, method="", try_=0, **own)


def reference(figure: str) -> list[Record]:
    """The committed runs of a figure, those at `cpu`; none before learning rates are chosen."""
    try:
        wanted = plan.experiments(figure, REFERENCE)
    except RunError:
        return []
    committed, _ = runs.places()
    return [record for record in runs.find(wanted) if record.folder.parent == committed]


def scores(records: Sequence[Record], metric: Metric, decoder: str) -> Floats:
    """Scores of tries on each face, over their last epochs: (tries, faces), in %.

    Raises:
        RunError: the runs have no landmarks.
    """
    if without := [r.id for r in records if not r.outcomes.errors]:
        raise RunError(
            f"runs {', '.join(without)} have no landmarks: compare the accuracies in"
            " `dclib.runs.table`"
        )
    errors = np.stack([r.outcomes.errors[decoder] for r in records])  # (tries, epochs, faces)
    return 100 * (failures(errors) if metric == "failure rate" else errors.mean(axis=1))


class Comparison:
    """The runs of several methods on the same faces, under the same protocol.

    Rates, errors and their differences are in % and points: of faces, or of the interocular
    distance.

    Args:
        records: every try of every method, in any order.

    Raises:
        RunError: the records differ in more than method, try and learning rate, or hold one try
            of a method twice.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.tries: dict[str, list[Record]] = {}  # by method as figures name it
        for record in sorted(records, key=lambda r: r.experiment.try_):
            self.tries.setdefault(record.experiment.label, []).append(record)
        if len({_protocol(r.experiment, self.about) for r in records}) > 1:
            raise RunError(
                "these runs cannot be compared, they differ in more than the method: "
                + ", ".join(f"{r.id} ({r.experiment.title})" for r in records)
            )
        for label, own in self.tries.items():
            if len({r.experiment.try_ for r in own}) < len(own):
                raise RunError(
                    f"{label}: a try is there twice: {', '.join(r.id for r in own)}; give one run"
                    " for each try"
                )

    @property
    def methods(self) -> list[str]:
        """The methods that were run, in the order in which their first record was given."""
        return list(self.tries)

    @cached_property
    def about(self) -> Experiment:
        """One experiment, whose settings other than method and try are those of all.

        The underlying network and the input are not those of a method that has its own, if any
        other method is there.
        """
        firsts = [own[0].experiment for own in self.tries.values()]
        return next((e for e in firsts if not has_own_network(e.method)), firsts[0])

    def scores(self, method: str, metric: Metric, decoder: str) -> Floats:
        """Scores of a method's tries on each face, over its last epochs: (tries, faces), in %.

        Raises:
            RunError: the runs have no landmarks.
        """
        return scores(self.tries[method], metric, decoder)

    def score(self, method: str, metric: Metric = "failure rate", decoder: str = "bin") -> Interval:
        """The paper's number, over the last epochs and the tries, and its 95 % interval."""
        return bootstrap(self.scores(method, metric, decoder))

    def difference(
        self, first: str, second: str, metric: Metric = "failure rate", decoder: str = "bin"
    ) -> Interval:
        """Score of the first method minus the second, and its paired 95 % interval."""
        return paired_bootstrap(
            self.scores(first, metric, decoder), self.scores(second, metric, decoder)
        )

    def mcnemar(self, first: str, second: str, decoder: str = "bin") -> list[float]:
        """McNemar's p-value in the last epoch of each try that both methods have."""
        return [
            mcnemar(*(r.outcomes.errors[decoder][-1] > THRESHOLD for r in (one, other)))
            for one in self.tries[first]
            for other in self.tries[second]
            if one.experiment.try_ == other.experiment.try_
        ]

    def verdict(self, first: str, second: str, metric: Metric = "failure rate") -> Verdict:
        """Whether the first method is lower, by the rule of `dclib.stats.verdict`."""
        if not {first, second} <= self.tries.keys():
            return Verdict.NOT_RUN
        gaps = {d: self.difference(first, second, metric, d) for d in DECODERS}
        return verdict(gaps, self.about.preset)

    def judge(self, claim: Claim) -> Verdict:
        """The verdict on a claim that compares methods; *not run* on other faces or networks."""
        if claim.kind != "lower" or not self.tries or not fits(claim, self.about):
            return Verdict.NOT_RUN
        return all_of(self.verdict(*pair, claim.metric) for pair in claim.comparisons)


def fits(claim: Claim, experiment: Experiment) -> bool:
    """Whether a run is on the faces and the underlying network that a claim is about."""
    start = "imagenet" if claim.pretrained is True else claim.pretrained
    return (
        experiment.dataset == claim.dataset
        and (claim.underlying == experiment.underlying or has_own_network(experiment.method))
        and (start is None or start == experiment.pretrained)
    )
