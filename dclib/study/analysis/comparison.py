"""Run records compared: the score of each method, the gap between two, the verdict on a claim."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from dclib.errors import RunError
from dclib.metrics import THRESHOLD
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import paper, plans
from dclib.study.analysis.stats import (
    DECODERS,
    Chance,
    Floats,
    Interval,
    Verdict,
    all_of,
    average,
    difference,
    mcnemar,
    verdict,
)
from dclib.study.analysis.tries import Tries
from dclib.study.paper import Claim, Metric
from dclib.study.plans import selection
from dclib.study.plans.presets import PRESETS, SHARED_RATE, has_own_network

REFERENCE = "cpu"  # the preset of the committed results
FACES = ("mtfl", "aflw")  # the paper's data, by how their names begin
UNDER_FIT = 1 / 16  # of the paper's faces times epochs: with less, a claim is unclear at best


def _protocol(experiment: Experiment, about: Experiment) -> Experiment:
    """An experiment without what is each method's own, or what its label says."""
    own: dict[str, Any] = {"lr": 1.0, "unit_rate": 1.0, "penalty": 0.0, "related": ()}
    own |= {"precision": None, "revision": 0}
    if has_own_network(experiment.method):
        own |= {"underlying": about.underlying, "resolution": about.resolution}
    return replace(experiment, method="", try_=0, **own)


def planned(figure: str, preset: str = REFERENCE) -> list[Record]:
    """The runs of a plan that are here, of the preset of the committed results only those.

    None before learning rates are chosen.
    """
    try:
        found = runs.find(plans.experiments(figure, preset))
    except RunError:
        return []
    committed, _ = runs.places()
    return [r for r in found if preset != REFERENCE or r.folder.parent == committed]


def scores(records: Sequence[Record], metric: Metric, decoder: str, last: int = 0) -> Floats:
    """Scores of tries on each face, over the epochs that are kept: (tries, faces), in %.

    Args:
        metric: the share of epochs in which a face fails (§4.2), or its mean error.
        last: so many epochs only; all by default.

    Raises:
        RunError: the runs have no landmarks.
    """
    if without := [r.id for r in records if not r.outcomes.errors]:
        raise RunError(
            f"runs {', '.join(without)} have no landmarks: compare the accuracies in"
            " `dclib.records.runs.table`"
        )
    errors = np.stack([r.outcomes.errors[decoder][-last:] for r in records])
    return 100 * (errors > THRESHOLD if metric == "failure rate" else errors).mean(axis=1)


class Comparison(Tries[Record]):
    """The runs of several methods on the same faces, under the same protocol.

    Rates, errors and their differences are in % and points: of faces, or of the interocular
    distance.

    Args:
        records: every try of every method, in any order.
        lender: runs of another setting, which say how much tries differ where all here are single.
    """

    def __init__(self, records: Sequence[Record], lender: "Comparison | None" = None) -> None:
        self.lender = lender
        self._chances: dict[tuple[Metric, str], Chance | None] = {}
        super().__init__(records)

    def _shared(self, record: Record) -> Experiment:
        return _protocol(record.experiment, self.about)

    @cached_property
    def about(self) -> Experiment:
        """One experiment, whose settings other than method and try are those of all.

        The underlying network and the input are not those of a method that has its own, if any
        other method is there.
        """
        firsts = [own[0].experiment for own in self.tries.values()]
        return next((e for e in firsts if not has_own_network(e.method)), firsts[0])

    def scores(self, method: str, metric: Metric, decoder: str) -> Floats:
        """Those of a method, see `scores`."""
        return scores(self.tries[method], metric, decoder)

    @property
    def single(self) -> bool:
        """Whether there is one try of each method."""
        return all(len(own) == 1 for own in self.tries.values())

    def chance(self, metric: Metric = "failure rate", decoder: str = "bin") -> Chance | None:
        """How much tries differ, over all methods here, or at the lender; None if all are single.

        Variances are taken to be those of % whatever the level of a failure rate.
        """
        if (metric, decoder) not in self._chances:
            own = Chance.of(self.scores(m, metric, decoder) for m in self.tries)
            lent = self.lender.chance(metric, decoder) if self.lender else None
            self._chances[metric, decoder] = own or lent
        return self._chances[metric, decoder]

    def score(self, method: str, metric: Metric = "failure rate", decoder: str = "bin") -> Interval:
        """The paper's number, over the last epochs and the tries, and its 95 % interval."""
        return average(self.scores(method, metric, decoder), self.chance(metric, decoder))

    def difference(
        self, first: str, second: str, metric: Metric = "failure rate", decoder: str = "bin"
    ) -> Interval:
        """Score of the first method minus the second, and its paired 95 % interval."""
        one, other = (self.scores(m, metric, decoder) for m in (first, second))
        return difference(one, other, self.chance(metric, decoder))

    def gaps(
        self, first: str, second: str, metric: Metric = "failure rate", margin: float = 0.0
    ) -> dict[str, Interval]:
        """`difference` by decoder, less a margin that the first may lie above the second."""
        found = {d: self.difference(first, second, metric, d) for d in DECODERS}
        return {d: gap.moved(-margin) for d, gap in found.items()} if margin else found

    def mcnemar(self, first: str, second: str, decoder: str = "bin") -> list[float]:
        """McNemar's p-value in the last epoch of each try that both methods have."""
        return [
            mcnemar(*(r.outcomes.errors[decoder][-1] > THRESHOLD for r in (one, other)))
            for one in self.tries[first]
            for other in self.tries[second]
            if one.experiment.try_ == other.experiment.try_
        ]

    @property
    def faces(self) -> int:
        """How many faces are trained on."""
        return self.about.train_faces or int(self.records[0].environment["trained_on"])

    @property
    def training(self) -> float:
        """Training faces times epochs, as a share of the paper's."""
        return self.faces * self.about.epochs / paper.training(self.about.dataset)

    @property
    def too_short(self) -> bool:
        """Whether methods under-fit, by the rule of `UNDER_FIT`."""
        return self.training < UNDER_FIT

    @property
    def limits(self) -> list[str]:
        """Why verdicts are *unclear* at best, in words."""
        unknown = self.single and self.lender is None
        return ["under-fit"] * self.too_short + ["one try"] * unknown

    @property
    def drawn(self) -> bool:
        """Whether there are only runs of drawn faces, which test nothing, or none."""
        return not self.tries or PRESETS[self.about.preset].dataset == "synthetic"

    def verdict(
        self, first: str, second: str, metric: Metric = "failure rate", margin: float = 0.0
    ) -> Verdict:
        """Whether the first method is lower, by the rule of `dclib.study.analysis.stats.verdict`.

        But see `limits` and `drawn`.
        """
        if self.drawn or not {first, second} <= self.tries.keys():
            return Verdict.NOT_TESTED
        return Verdict.UNCLEAR if self.limits else verdict(self.gaps(first, second, metric, margin))

    def judge(self, claim: Claim) -> Verdict:
        """The verdict on a claim that compares methods; *not tested* in another setting."""
        if claim.kind != "lower" or not self.tries or not fits(claim, self.about):
            return Verdict.NOT_TESTED
        return all_of(self.verdict(*p, claim.metric, claim.margin) for p in claim.comparisons)


class Pool(list[Record]):
    """Runs whose settings are worked out once."""

    @cached_property
    def settings(self) -> list[Comparison]:
        """See `settings`."""
        return settings(list(self))


def settings(records: Sequence[Record]) -> list[Comparison]:
    """Runs by setting, each method's at its own rates; the most training first, then most tries.

    A run on other faces than `FACES`, of a drawn weighting, of a precision that was asked for, or
    scored on validation faces has no place among them. Where all runs of a setting are single
    tries, the nearest one of those with several lends how much tries differ: first of the same
    backbone, then of the same data, start and weighting, then of nearest length.
    """
    if isinstance(records, Pool):
        return records.settings
    groups: dict[Experiment, list[Record]] = {}
    own: list[Record] = []
    for record in records:
        e = record.experiment
        drawn = e.precision or any(weight for _, weight in e.related)
        if e.split == "test" and e.dataset.split("-")[0] in FACES and not drawn:
            shared = not has_own_network(e.method)
            (groups.setdefault(_protocol(e, e), []) if shared else own).append(record)
    for about, group in groups.items():
        group += [r for r in own if _protocol(r.experiment, about) == about]
    made = [Comparison(_at_own_rates(group)) for group in groups.values()]
    several = [one for one in made if not one.single]
    for one in made:
        if one.single and several:
            one.lender = min(several, key=partial(_apart, one))
    return sorted(made, key=lambda g: (-g.training, -max(map(len, g.tries.values()))))


def _apart(one: Comparison, other: Comparison) -> tuple[float, ...]:
    """How far two settings are from each other, what matters most first."""
    a, b = one.about, other.about
    same = ("underlying", "fingerprint", "dataset", "pretrained", "weighting")
    near = [float(getattr(a, name) != getattr(b, name)) for name in same]
    return *near, abs(float(np.log2(one.training / other.training)))


def _at_own_rates(records: Sequence[Record]) -> list[Record]:
    """Of runs that differ in rates, each method's at those that were chosen for it.

    Where none were chosen, those that most of its tries have.
    """
    kept: list[Record] = []
    for label in dict.fromkeys(r.experiment.label for r in records):
        rates: dict[tuple[float, float, float], list[Record]] = {}
        for record in (r for r in records if r.experiment.label == label):
            e = record.experiment
            rates.setdefault((e.lr, e.unit_rate, e.penalty), []).append(record)
        picked = max(rates, key=lambda rate: len(rates[rate]))
        if len(rates) > 1 and selection.is_chosen(e.preset, e.method, e.underlying):
            picked = selection.chosen(e.preset, e.method, e.underlying)
        kept += rates.get(picked, [])
    return kept


def at_shared_rate(records: Sequence[Record], like: Comparison) -> Comparison:
    """The runs of a setting at the one learning rate that all methods share."""
    about = _protocol(like.about, like.about)
    same = [r for r in records if _protocol(r.experiment, like.about) == about]
    return Comparison([r for r in same if r.experiment.lr == SHARED_RATE], like)


def fits(claim: Claim, experiment: Experiment) -> bool:
    """Whether data, backbone and start of a run are those that a claim is about.

    All weights learned on ImageNet are one start, whoever trained them.
    """
    start = experiment.pretrained
    imagenet = claim.pretrained is True and str(start).startswith("imagenet")
    on = has_own_network(experiment.method) or claim.underlying == experiment.underlying
    same = imagenet or claim.pretrained in (None, start)
    return same and on and experiment.dataset == claim.dataset
