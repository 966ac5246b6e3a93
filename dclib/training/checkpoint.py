"""The state of an interrupted training on disk."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from dclib.errors import RunError
from dclib.files import reading, write_atomically
from dclib.records.experiment import Experiment

CHECKPOINT = "checkpoint.pt"
DIGEST = 64  # letters in front of what torch writes: the sha256 of that
REMEDY = "remove it, and training starts anew"


def read_state(path: Path, of: str = "") -> dict[str, Any]:
    """The state in a file, on the CPU.

    Args:
        of: what its "experiment" must be.

    Raises:
        RunError: the file is corrupt, or belongs to another training.
    """
    try:
        content = path.read_bytes()
        digest, content = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise ValueError("damaged, or of another version")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
        if not isinstance(state, dict):
            raise ValueError("no state of a training")
    except Exception as error:  # torch raises many kinds, and advises to load unsafely
        reason = str(error) if isinstance(error, ValueError | OSError) else type(error).__name__
        raise RunError(f"{path} cannot be read ({reason}): {REMEDY}") from error
    if of and state.get("experiment") != of:
        raise RunError(f"{path} belongs to another experiment, or to other samples: {REMEDY}")
    return state


def read_checkpoint(path: Path, experiment: Experiment) -> dict[str, Any]:
    """The state of an interrupted run; what a GPU began, a CPU goes on with where there is none.

    Raises:
        RunError: the file is corrupt, or belongs to another experiment.
    """
    state = read_state(path, experiment.to_json())
    with reading(f"{path} does not fit run {experiment.id}", REMEDY):
        if lacking := {"device", "threads", "layout"} - state["how"].keys():
            raise KeyError(*sorted(lacking))
        if state["how"]["device"] == "cuda" and not torch.cuda.is_available():
            state["how"] |= {"device": "cpu", "precision": "fp32", "compile": "no"}
            state["how"] |= {"optimiser": "plain"}  # whose state has the shapes of a GPU's
            for group in state["optimiser"]["param_groups"]:
                group["fused"] = False
    return state


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all; who writes has the training to itself.

    Raises:
        RunError: it cannot be written, a full disk for instance; the one before stays.
    """
    for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed as it wrote
        left.unlink()
    content = io.BytesIO()
    torch.save(state, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest().encode()
    write_atomically(path, digest, content.getbuffer())
