"""Run records: what a run left behind, how it is written and read; where it is kept: `SHELF`."""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dclib import metrics, paths
from dclib.errors import DAMAGE, RunError
from dclib.experiment import Experiment
from dclib.outcomes import Outcomes
from dclib.shelf import Shelf

FORMAT = 1
RECORD, OUTCOMES, WEIGHTS = "record.json", "outcomes.npz.xz", "weights.safetensors"


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        experiment: what was run.
        environment: versions, device, threads, execution, commit, parameters, seconds.
        history: one row per epoch: losses by task, learning rate, seconds.
        folder: where it is kept.
    """

    experiment: Experiment
    environment: dict[str, Any]
    history: list[dict[str, Any]]
    folder: Path

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
            return Outcomes.from_bytes(path.read_bytes())
        except DAMAGE as error:
            raise RunError(
                f"{path} cannot be read ({error}): restore it, or remove its folder and run again"
            ) from error

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
) -> Record:
    """Write a record and read it back; `folder` must exist.

    The record file comes last, so that a folder with one is complete.
    """
    write_atomically(folder / OUTCOMES, outcomes.to_bytes())
    text = {
        "format": FORMAT,
        "experiment": json.loads(experiment.to_json()),
        "environment": environment,
        "history": history,
    }
    lines = json.dumps(text, indent=1)
    write_atomically(folder / RECORD, (lines + "\n").encode())
    return read(folder)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        RunError: it cannot be written, a full disk for instance; what was there stays.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}): free space, or name another"
            " place (DCLIB_STORE), then run again; finished work is kept"
        ) from error


def read(folder: Path) -> Record:
    """The record in a folder.

    Raises:
        RunError: it is unreadable, of another version, or not the experiment its folder names.
    """
    path = folder / RECORD
    try:
        text = json.loads(path.read_text())
        version = text.get("format")
        if version != FORMAT:
            raise RunError(
                f"{path} has format {version}, this version reads {FORMAT}: use the code that wrote"
                " it, or remove the folder and run again"
            )
        record = Record(
            Experiment.from_dict(text["experiment"]),
            dict(text["environment"]),
            [dict(row) for row in text["history"]],
            folder,
        )
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


def table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run: what it was, where it ran, its failure rate, mean error and accuracies.

    Runs without landmarks have NaN for the first two, and the main task first in the last.

    Raises:
        RunError: a record lacks some of this, or cannot be read.
    """
    return pd.DataFrame(map(_row, records))


def _row(record: Record) -> dict[str, Any]:
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
