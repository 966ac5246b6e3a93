"""How machines are measured here: on one core, all that is compared in turn; and the records of it.

Absolute times are of one machine in one mood. What takes turns meets the same moods.
"""

import json
import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from dclib import files, paths

Step = Callable[[], Any]
Key = TypeVar("Key", bound=Hashable)


@contextmanager
def one_core() -> Iterator[None]:
    """Within it torch has one thread, and it stays on one core where the system lets it."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    torch.set_num_threads(1)
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)


def turns(steps: Mapping[Key, Step], rounds: int) -> dict[Key, list[float]]:
    """Seconds of each step, one a round: all in turn in each round, after a round to get warm.

    Raises:
        ValueError: fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least 1")
    took: dict[Key, list[float]] = {key: [] for key in steps}
    with one_core():
        for number in range(rounds + 1):
            for key, step in steps.items():
                start = time.perf_counter()
                step()
                if number:
                    took[key].append(time.perf_counter() - start)
    return took


def kept(step: Step, net: nn.Module) -> int:
    """Bytes that the forward pass of a training step keeps for its backward pass, weights apart."""
    weights = {StorageWeakRef(p.untyped_storage()) for p in net.parameters()}
    sizes: dict[StorageWeakRef, int] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        sizes[StorageWeakRef(storage)] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        step()
    return sum(size for storage, size in sizes.items() if storage not in weights)


def _path(kind: str, preset: str) -> Path:
    return paths.results() / kind / f"{preset}.json"


def write(kind: str, record: dict[str, Any]) -> Path:
    """Keep a record in the folder of its kind in `results/`, in place of its preset's last one."""
    file = _path(kind, record["preset"])
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(file, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return file


def read(kind: str, preset: str) -> dict[str, Any] | None:
    """The record of a preset; None where nothing was measured."""
    file = _path(kind, preset)
    return json.loads(file.read_text()) if file.exists() else None


def where(record: dict[str, Any]) -> str:
    """On what and by which code a record was made, for a line of text."""
    commit = f"{record['commit'][:10]}{'' if record['clean'] else ' with changes'}"
    return f"on {record['threads']} thread of {record['processor']}, commit {commit}"
