"""The state of an interrupted run on disk."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from dclib.errors import RunError
from dclib.records.experiment import Experiment

CHECKPOINT = "checkpoint.pt"
DIGEST = 64  # letters in front of what torch writes: the sha256 of that
PARTS = {"experiment", "how", "net", "optimiser", "history", "last"}


def read_state(path: Path, what: str = "run") -> dict[str, Any]:
    """The state in a file, whatever it belongs to.

    Raises:
        RunError: the file is corrupt.
    """
    try:
        content = path.read_bytes()
        digest, content = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise ValueError("damaged, or of another version")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch raises many kinds, and advises to load unsafely
        reason = str(error) if isinstance(error, ValueError | OSError) else type(error).__name__
        raise RunError(
            f"{path} cannot be read ({reason}): remove it, and the {what} starts anew"
        ) from error
    return state


def read_checkpoint(path: Path, experiment: Experiment) -> dict[str, Any]:
    """The state of an interrupted run; what a GPU began, a CPU goes on with where there is none.

    Raises:
        RunError: the file is corrupt, or belongs to another experiment.
    """
    state = read_state(path)
    if not isinstance(state, dict) or not state.keys() >= PARTS:
        raise RunError(f"{path} lacks parts: remove it, and the run starts anew")
    if state["experiment"] != experiment.to_json():
        raise RunError(
            f"{path} belongs to another experiment than {experiment.id}: remove it, and the run"
            " starts anew"
        )
    if state["how"].get("device") == "cuda" and not torch.cuda.is_available():
        state["how"] |= {"device": "cpu", "precision": "fp32", "compile": "no"}
        state["how"] |= {"optimiser": "plain"}  # whose state has the shapes of a GPU's
        for group in state["optimiser"]["param_groups"]:
            group["fused"] = False
    return state


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all.

    Raises:
        RunError: it cannot be written, a full disk for instance; the one before stays.
    """
    partial = path.with_suffix(".partial")
    try:
        content = io.BytesIO()
        torch.save(state, content)
        digest = hashlib.sha256(content.getbuffer()).hexdigest().encode()
        with partial.open("wb") as file:
            file.write(digest)
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise RunError(
            f"{path} cannot be written ({error}): free space or change DCLIB_STORE, then run again;"
            " the last finished epoch is kept"
        ) from error
