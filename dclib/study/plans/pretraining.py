"""The run that makes the stand-in for ImageNet's weights, on a subset of Tiny-ImageNet."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes

from dclib.files import write_atomically
from dclib.methods import METHODS
from dclib.pretrained import file_name, places
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study.plans import presets
from dclib.sweep import require

EPOCHS, RATE = 30, 0.1  # of the stand-in's training


def experiment(underlying: str, width: float, resolution: int | None = None) -> Experiment:
    """The run that the stand-in's weights of an underlying network come from.

    Args:
        resolution: side of the photos in pixels; by default that of the preset `cpu`.

    Raises:
        ValueError: an underlying network whose single-task run has no name, or a bad value.
        DataError: the photos are not there.
    """
    single = {m.underlying: n for n, m in METHODS.items() if m.main_only and not m.widened}
    if underlying not in single:
        raise ValueError(f"{underlying!r} cannot be pre-trained here; choose from {list(single)}")
    own: dict[str, Any] = {"dataset": "tiny-imagenet", "holdout": False, "train_faces": None}
    own |= {"width": width, "epochs": EPOCHS, "lr": RATE}
    own |= {"resolution": resolution} if resolution else {}
    return presets.experiment("cpu", single[underlying], underlying, **own)


def pretrain(run: Experiment) -> tuple[Record, Path]:
    """Make the run, unless it was made, and keep its column's weights in the store.

    Returns:
        The record of the run, and the file of weights, which says where they come from.

    Raises:
        RunError, DataError: as `dclib.sweep.require` says.
    """
    (record,) = require([run], weights=True)
    assert record.weights is not None
    start, of = "columns.0.", load_file(record.weights)
    column = {key.removeprefix(start): of[key] for key in of if key.startswith(start)}
    about = {"run": record.id, "experiment": json.loads(run.to_json())}
    about |= {"accuracy": round(accuracy(record), 4)}
    told = {"about": json.dumps(about, sort_keys=True)}  # safetensors keeps no order of several
    file = places()[1] / file_name(run.underlying, run.width)
    return record, _put(file, safetensors_bytes(column, told))


def accuracy(record: Record) -> float:
    """Share of the validation photos whose class a run named, over its last epochs."""
    (shares,) = record.outcomes.accuracy.values()
    return float(shares.mean())


def publish(record: Record, file: Path) -> Path:
    """Copy the record and the weights to the committed results."""
    runs.publish(record)
    return _put(places()[0] / file.name, file.read_bytes())


def _put(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content)
    return file
