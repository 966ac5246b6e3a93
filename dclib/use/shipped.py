"""Trained weights that come with dclib, at half precision, each beside its record, the evidence.

They lie in a place of their own, `results/weights`: no run or comparison takes them for its own.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dclib import paths
from dclib.errors import RunError
from dclib.files import disk, reading, write_atomically
from dclib.records.store import FORMAT, Kept, Shelf

R = TypeVar("R", bound=Kept)


def folder() -> Path:
    """The place of shipped weights: a folder for each record."""
    return paths.results() / "weights"


def shipped(shelf: Shelf[R]) -> R | None:
    """The record of a kind that comes with its weights, if one does."""
    found = sorted(folder().glob(f"*/{shelf.mark}"))
    return shelf.read(found[0].parent) if found else None


def chosen(shelf: Shelf[R], name: str | None, train: str) -> R:
    """The record that is to work: the one of a name, or else the shipped one.

    Args:
        name: an id or the start of one, None for the shipped one. Where the weights of that record
            are not on this machine, its shipped ones serve.
        train: the command that makes one, for who has none.

    Raises:
        RunError: no name was given and none is shipped, or no such record.
    """
    if name is not None:
        record = shelf.load(name)
        found = None if record.weights else shipped(shelf)
        return found if found and found.id == record.id else record
    if (found := shipped(shelf)) is not None:
        return found
    clone = "" if paths.cloned() else "; weights lie in the repository: clone it and name its"
    clone = clone and f"{clone} results/ in DCLIB_RESULTS"
    raise RunError(
        f"no weights of a {shelf.kind} come with dclib in {folder()}: name a {shelf.kind} of yours"
        f" (`python -m dclib {shelf.listing}`), or train one by `python -m dclib {train}`{clone}"
    )


def ship(shelf: Shelf[R], record: R, weights: Sequence[Path]) -> R:
    """Put a record and its weights at half precision where `chosen` finds them, in place of others.

    Args:
        weights: the record's files of weights, in the folder that they were trained in.

    Raises:
        RunError: they are missing, damaged or beyond half precision, or of an older format.
    """
    if not weights:
        raise RunError(f"the weights of {shelf.kind} {record.id} are not here: train it again")
    source = weights[0].parent
    text = json.loads((source / shelf.mark).read_text())
    if text["format"] != FORMAT:
        raise RunError(f"{source} is of an older format: train {shelf.kind} {record.id} again")
    trained, halves = shelf.read(source), {}
    for file in weights:
        with reading(f"{file} cannot be shipped", "train it again", SafetensorError):
            content = file.read_bytes()
            trained.check(file.name, content)
            halves[file.name] = save(half(load(content)))
    said = {k: v for k, v in text.items() if k not in ("format", "experiment", "digests", "digest")}
    others = [file.parent for file in folder().glob(f"*/{shelf.mark}")]
    further = {name: (source / name).read_bytes() for name in shelf.further}
    place = folder() / record.id
    with disk(place, "name a place for results in DCLIB_RESULTS", RunError):
        for other in others:
            shutil.rmtree(other)
        place.mkdir(parents=True, exist_ok=True)
        for name, content in halves.items():
            write_atomically(place / name, content)
    return shelf.save(place, trained.experiment, further, said)


def half(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as 16-bit floats; whole numbers stay.

    Raises:
        ValueError: one is no number, or too large.
    """
    made = {}
    for name, of in state.items():
        floating = np.issubdtype(of.dtype, np.floating)
        with np.errstate(over="ignore"):
            made[name] = of.astype(np.float16) if floating else of
        if floating and not np.isfinite(made[name]).all():
            raise ValueError(f"{name} has numbers beyond half precision")
    return made
