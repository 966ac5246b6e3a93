"""Known truth, beyond the paper: DCNet where labels are related as much as one wants.

The pictures and landmarks of all sets are the same (`dclib.data.synthetic`), so that failures pair
face by face across them, too. The predictions were written down before any of these runs was made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dclib.records.runs import Record
from dclib.study.analysis.ablation import CONTENTS, Ablation
from dclib.study.analysis.comparison import scores
from dclib.study.analysis.stats import DECODERS, Floats, Interval, Verdict, difference, verdict

METHODS = ("DCNet", "XS", "RN")  # that learn the labels
SETS = ("0", "50", "100", "profile", "others")  # of faces, see `dclib.data.synthetic`


def set_of(record: Record) -> str:
    """Which of the sets a run is on: `synthetic` alone has all labels related."""
    name = record.experiment.dataset.removeprefix("synthetic").removesuffix("-many")
    return name.removeprefix("-") or "100"


class Known:
    """The runs of the plan `truth`, by method and set, and the ablations of DCNet, by set.

    Args:
        records: of one preset; some may be missing.
        ablations: of those that are there.
    """

    def __init__(self, records: Sequence[Record], ablations: Sequence[Ablation]) -> None:
        self.preset = records[0].experiment.preset if records else ""
        self.runs: dict[tuple[str, str], list[Record]] = {}
        self.ablations: dict[str, list[Ablation]] = {}
        by_run = {a.run: a for a in ablations}
        for record in sorted(records, key=lambda r: r.experiment.try_):
            label, name = record.experiment.label, set_of(record)
            self.runs.setdefault((label, name), []).append(record)
            if label == "DCNet" and record.id in by_run:
                self.ablations.setdefault(name, []).append(by_run[record.id])

    def rate(self, method: str, name: str, decoder: str) -> Floats:
        """Failures of a method on a set (tries, faces), in %, over the last epochs.

        Raises:
            KeyError: it was not run.
        """
        return scores(self.runs[method, name], "failure rate", decoder)

    def excess(self, method: str, name: str, baseline: str, decoder: str) -> Floats:
        """By how much more a method fails than one that does not learn labels, pairs of tries."""
        one, other = self.rate(method, name, decoder), self.rate(baseline, "100", decoder)
        return np.asarray([a - b for a, b in zip(one, other, strict=False)])

    def harm(self, tasks: Sequence[str], name: str, decoder: str, content: str) -> Floats:
        """Added failures (tries, faces), in points, per ablated block of some tasks' rows.

        Raises:
            KeyError: it was not evaluated.
        """
        found = []
        for a in self.ablations[name]:
            rows = [a.tasks.index(task) for task in tasks]
            failed = a.failed[content][decoder][rows].mean(axis=(0, 1))  # (N,)
            found.append(100 * (failed - a.intact[decoder]))
        return np.stack(found)

    def gaps(self, prediction: "Prediction") -> dict[str, Interval]:
        """What should be lower minus what should be higher, by decoder; empty without the runs."""
        try:
            return {
                d: difference(prediction.lower(self, decoder=d), prediction.higher(self, decoder=d))
                for d in DECODERS
            }
        except KeyError:
            return {}

    def judge(self, prediction: "Prediction") -> Verdict:
        """Whether a prediction came true, by the rule of `dclib.study.analysis.stats.verdict`."""
        return verdict({} if self.preset == "smoke" else self.gaps(prediction))


@dataclass(frozen=True)
class Prediction:
    """That one quantity is lower than another, both as (tries, faces) under a decoder."""

    statement: str
    lower: Callable[..., Floats]
    higher: Callable[..., Floats]


# What is ablated, in words and as tasks; where it should hurt less, where more.
HARM = (
    ("profile's row", ("profile",), ("0", "nothing is"), ("100", "all is")),
    ("profile's row", ("profile",), ("others", "only the others are"), ("profile", "it is")),
    (
        "others' rows",
        ("gender", "smile", "glasses"),
        ("profile", "only the profile is"),
        ("others", "they are"),
    ),
)
PREDICTIONS = (
    *(
        Prediction(
            f"{method} fails less often where all labels are related than where none is",
            partial(Known.rate, method=method, name="100"),
            partial(Known.rate, method=method, name="0"),
        )
        for method in METHODS
    ),
    Prediction(
        "DCNet fails less often where half of the relation is left than where none is",
        partial(Known.rate, method="DCNet", name="50"),
        partial(Known.rate, method="DCNet", name="0"),
    ),
    Prediction(
        "Where all labels are related, DCNet fails less often than without learning them",
        partial(Known.rate, method="DCNet", name="100"),
        partial(Known.rate, method="DCNet (related 0)", name="100"),
    ),
    Prediction(
        "Labels that have nothing to do with the landmarks cost DCNet less than they cost RN",
        partial(Known.excess, method="DCNet", name="0", baseline="DCNet (related 0)"),
        partial(Known.excess, method="RN", name="0", baseline="RN-S"),
    ),
    *(
        Prediction(
            f"{what} in the {row} hurt less where {lower} related than where {higher}",
            partial(Known.harm, tasks=tasks, name=first, content=content),
            partial(Known.harm, tasks=tasks, name=second, content=content),
        )
        for content, what in zip(CONTENTS, ("Zeros", "Another face's features"), strict=True)
        for row, tasks, (first, lower), (second, higher) in HARM
    ),
)
