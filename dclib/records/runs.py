"""Run records: what a run left behind, how it is written and read; where it is kept: `SHELF`."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dclib import metrics, paths
from dclib.errors import DAMAGE, RunError
from dclib.files import write_atomically
from dclib.records.experiment import Experiment
from dclib.records.outcomes import Outcomes
from dclib.records.store import Shelf

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2  # 1: a row of the history on lines of its own, and no digests or answers
RECORD, OUTCOMES, WEIGHTS = "record.json", "outcomes.npz.xz", "weights.safetensors"


@dataclass(frozen=True)
class Record:
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

    @property
    def id(self) -> str:
        return self.experiment.id

    @cached_property
    def outcomes(self) -> Outcomes:
        """The outcomes on every face.

        Raises:
            RunError: the file is missing or corrupt.
        """
        path = self.folder / OUTCOMES
        try:
            content = path.read_bytes()
            self.check(OUTCOMES, content)
            return Outcomes.from_bytes(content)
        except DAMAGE as error:
            raise RunError(
                f"{path} cannot be read ({error}): restore it, or remove its folder and run again"
            ) from error

    def check(self, name: str, content: bytes) -> None:
        """Compare the content of a file of this run with the record's digest of it.

        Raises:
            ValueError: they differ.
        """
        told = self.digests.get(name)
        if told and told != hashlib.sha256(content).hexdigest():
            raise ValueError("its content is not what the record says")

    @property
    def weights(self) -> Path | None:
        """The trained weights, where they were kept."""
        for folder in (self.folder, paths.store() / self.id):
            if (folder / WEIGHTS).exists():
                return folder / WEIGHTS
        return None


def save(
    folder: Path,
    experiment: Experiment,
    environment: dict[str, Any],
    history: list[dict[str, Any]],
    outcomes: Outcomes,
    answers: dict[str, Any] | None = None,
) -> Record:
    """Write a record and read it back; `folder` must exist, with the weights if they are kept.

    The record file comes last, so that a folder with one is complete.
    """
    write_atomically(folder / OUTCOMES, outcomes.to_bytes())
    files = [folder / name for name in (OUTCOMES, WEIGHTS) if (folder / name).exists()]
    text: dict[str, Any] = {
        "format": FORMAT,
        "experiment": json.loads(experiment.to_json()),
        "environment": environment,
        "answers": answers,
        "digests": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        "history": _columns(history),
    }
    text["digest"] = _digest(text)
    write_atomically(folder / RECORD, _lines(text).encode())
    return read(folder)


def _columns(history: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns, which take a fraction of the space; None where a row has no such value."""
    names = dict.fromkeys(name for row in history for name in row)
    return {name: [row.get(name) for row in history] for name in names}


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The way back."""
    rows = zip(*columns.values(), strict=True)
    pairs = [zip(columns, row, strict=True) for row in rows]
    return [{name: value for name, value in row if value is not None} for row in pairs]


def _lines(text: dict[str, Any]) -> str:
    """JSON with a line for each value of the first two levels."""

    def line(value: Any, inside: int) -> str:
        if not (inside and isinstance(value, dict) and value):
            return json.dumps(value, allow_nan=False)
        indent = " " * (3 - inside)
        parts = [f"{indent}{json.dumps(k)}: {line(v, inside - 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent[1:]}}}"

    return line(text, 2) + "\n"


def _digest(text: dict[str, Any]) -> str:
    """sha256 of all that a record says, but for the digest itself."""
    said = {name: value for name, value in text.items() if name != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> Record:
    """The record in a folder.

    Raises:
        RunError: it is unreadable, of another version, or not the experiment its folder names.
    """
    path = folder / RECORD
    try:
        text = json.loads(path.read_text())
        version = text.get("format")
        if version not in (1, FORMAT):
            raise RunError(
                f"{path} has format {version}, this version reads 1 and {FORMAT}: use the code that"
                " wrote it, or remove the folder and run again"
            )
        record = Record(
            Experiment.from_dict(text["experiment"]),
            dict(text["environment"]),
            _rows(text["history"]) if version > 1 else [dict(row) for row in text["history"]],
            folder,
            text.get("answers"),
            text.get("digests", {}),
        )
        if version > 1 and record.id == folder.name and text["digest"] != _digest(text):
            raise ValueError("its content is not what its digest says")
    except DAMAGE as error:
        raise RunError(
            f"{path} is no run record of this version ({error}): restore it, or remove the folder"
            " and run again"
        ) from error
    if record.id != folder.name:
        raise RunError(f"{path} holds run {record.id}, not what its folder names: move it back")
    return record


SHELF = Shelf(
    *("runs", RECORD, (OUTCOMES,), read),
    whole=lambda record: record.outcomes,
    kind="run",
    listing="runs list",
)
places, load, existing = SHELF.places, SHELF.load, SHELF.existing
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
    try:
        errors = outcomes.errors.get("bin")
        return {
            "run": record.id,
            "method": e.method,
            "underlying": e.underlying,
            "dataset": e.dataset,
            "preset": e.preset,
            "split": e.split,
            "lr": e.lr,
            "weighting": e.weighting,
            "try": e.try_,
            "epochs": e.epochs,
            "parameters": int(environment["parameters"]),
            "failure rate": np.nan if errors is None else metrics.failure_rate(errors),
            "mean error": np.nan if errors is None else float(errors.mean()),
            "accuracy": _accuracies(outcomes),
            "minutes": environment["seconds"] / 60,
            "device": str(environment["device"]),
        }
    except DAMAGE as error:
        raise RunError(
            f"{record.folder / RECORD} or what lies beside it is damaged ({error!r}): restore it,"
            " or remove the folder and run again"
        ) from error


def _accuracies(outcomes: Outcomes) -> str:
    """For people: each label task with its share of right labels over the last epochs."""
    return ", ".join(f"{task} {share.mean():.3f}" for task, share in outcomes.accuracy.items())
