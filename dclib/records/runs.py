"""Run records: what a run left behind, how it is written and read; where it is kept: `SHELF`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dclib import metrics, paths
from dclib.files import reading
from dclib.records.experiment import Experiment
from dclib.records.outcomes import Outcomes
from dclib.records.store import Kept, Shelf

if TYPE_CHECKING:
    import pandas as pd

RECORD, OUTCOMES, WEIGHTS = "record.json", "outcomes.npz.xz", "weights.safetensors"
SHOWN = ("method", "underlying", "dataset", "preset", "split", "lr", "weighting", "try_", "epochs")


@dataclass(frozen=True)
class Record(Kept):
    """A finished run.

    Attributes:
        experiment: what was run.
        environment: versions, device, threads, execution, commit, parameters, seconds.
        history: one row per epoch: losses by task, learning rate, seconds; of some epochs also the
            failure rates on the faces that outcomes are on.
        folder: where it is kept.
        answers: "tasks", as `dclib.tasks.describe` tells them, in the order of the network, and
            "words" of the values of each label; None in records of format 1.
        digests: sha256 of the files beside the record, and of the weights; none in format 1.
    """

    experiment: Experiment
    environment: dict[str, Any]
    history: list[dict[str, Any]]
    folder: Path
    answers: dict[str, Any] | None = None
    digests: dict[str, str] = field(default_factory=dict)

    @cached_property
    def outcomes(self) -> Outcomes:
        """The outcomes on every face.

        Raises:
            RunError: the file is missing or corrupt.
        """
        path = self.folder / OUTCOMES
        with reading(f"{path} cannot be read", "restore it, or remove its folder and run again"):
            content = path.read_bytes()
            self.check(OUTCOMES, content)
            return Outcomes.from_bytes(content)

    @property
    def weights(self) -> Path | None:
        """The trained weights, where they were kept."""
        places = (self.folder / WEIGHTS, paths.store() / self.id / WEIGHTS)
        return next((place for place in places if place.exists()), None)


def save(
    folder: Path,
    experiment: Experiment,
    environment: dict[str, Any],
    history: list[dict[str, Any]],
    outcomes: Outcomes,
    answers: dict[str, Any] | None = None,
) -> Record:
    """Write a record and read it back; `folder` must exist, with the weights if they are kept."""
    names = dict.fromkeys(name for row in history for name in row)
    columns = {name: [row.get(name) for row in history] for name in names}  # shorter than rows
    said = {"environment": environment, "answers": answers, "history": columns}
    return SHELF.save(folder, experiment, {OUTCOMES: outcomes.to_bytes()}, said)


def _parse(text: dict[str, Any], folder: Path) -> Record:
    history = text["history"]
    if text["format"] > 1:  # columns, with None where a row has no such value
        rows = zip(*history.values(), strict=True)
        pairs = [zip(history, row, strict=True) for row in rows]
        history = [{name: value for name, value in row if value is not None} for row in pairs]
    return Record(
        Experiment.from_dict(text["experiment"]),
        dict(text["environment"]),
        [dict(row) for row in history],
        folder,
        text.get("answers"),
        text.get("digests", {}),
    )


SHELF = Shelf(
    *("runs", RECORD, (OUTCOMES,), _parse),
    whole=lambda record: record.outcomes,
    kind="run",
    listing="runs list",
)
places, read, load, existing = SHELF.places, SHELF.read, SHELF.load, SHELF.existing
find, every, committed, publish = SHELF.find, SHELF.every, SHELF.committed, SHELF.publish


def table(records: Sequence[Record]) -> "pd.DataFrame":
    """One row per run: what it was, where it ran, its failure rate, mean error and accuracies.

    Runs without landmarks have NaN for the first two, and the main task first in the last.

    Raises:
        RunError: a record lacks some of this, or cannot be read.
    """
    import pandas as pd

    return pd.DataFrame(map(_summary, records))


def _summary(record: Record) -> dict[str, Any]:
    e, environment, outcomes = record.experiment, record.environment, record.outcomes
    told = f"{record.folder / RECORD} or what lies beside it is damaged"
    with reading(told, "restore it, or remove the folder and run again"):
        errors, accuracy = outcomes.errors.get("bin"), outcomes.accuracy.items()
        return {
            "run": record.id,
            **{name.strip("_"): getattr(e, name) for name in SHOWN},
            "parameters": int(environment["parameters"]),
            "failure rate": np.nan if errors is None else metrics.failure_rate(errors),
            "mean error": np.nan if errors is None else float(errors.mean()),
            "accuracy": ", ".join(f"{task} {share.mean():.3f}" for task, share in accuracy),
            "minutes": environment["seconds"] / 60,
            "device": str(environment["device"]),
        }
