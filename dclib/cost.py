"""What a training step costs: all methods side by side, in one process, on the same faces.

This is a measurement of a machine and not of a run, so it has a record of its own: one file a
preset in `results/cost/`.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dclib import data, environment, paths, plan, runs
from dclib.batches import Faces, draws_of_epoch, face_sets
from dclib.data.augment import Augmentation
from dclib.experiment import Experiment
from dclib.train import Run

HOW: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "precision": "fp32",
    "layout": "channels_last",
    "forms": "plain",  # of the methods, not of what was done to make some of them faster
}


class Trainer:
    """One method, ready to train: a step of it is a step of its training run."""

    def __init__(self, experiment: Experiment, faces: tuple[Tensor, dict[str, Tensor]]) -> None:
        self.run = Run(experiment, HOW)
        self.run.net.train()
        self.faces = faces

    def step(self) -> None:
        self.run.step(*self.faces, self.run.current_weights())

    def seconds(self, stage: int, steps: int) -> float:
        """The fastest of some steps of a stage of training, after one to get warm."""
        if self.run.net.stages > 1:
            self.run.enter(stage)
            self.run.net.train()
        took = []
        for _ in range(steps + 1):
            start = time.perf_counter()
            self.step()
            took.append(time.perf_counter() - start)
        return min(took[1:])

    def kept(self) -> int:
        """Bytes of what a forward pass of the last stage keeps for the backward pass."""
        self.run.enter(self.run.net.stages - 1)
        self.run.net.train()
        weights = {p.untyped_storage().data_ptr() for p in self.run.net.parameters()}
        sizes: dict[int, int] = {}

        def note(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            self.step()
        return sum(sizes.values())


def batch(experiment: Experiment) -> tuple[Tensor, dict[str, Tensor]]:
    """The first faces of a run, augmented as in its first epoch: inputs, targets of all tasks."""
    train, order, _ = face_sets(experiment)
    tasks = data.find(experiment.dataset).tasks(experiment.resolution)
    _, uniforms = draws_of_epoch(experiment.try_, 0, len(train))
    chosen = torch.from_numpy(order[: experiment.batch])
    faces = Faces(train, tasks, torch.device(HOW["device"]))
    return faces.batch(chosen, torch.from_numpy(uniforms)[chosen], Augmentation())


def measure(
    preset: str,
    methods: Sequence[str] = (),
    rounds: int = 7,
    steps: int = 3,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Seconds of a training step of each method, and the memory that its forward pass fills.

    All methods take turns, `rounds` times, so that what slows the machine for a while slows all of
    them; the fastest step of all rounds counts. The network is that of the preset, at the method's
    own unit rate and penalty, on one thread; the faces are drawn ones, the same for all.

    Args:
        methods: by default those of Fig. 3 and their relatives, on ResNet18.
        report: called with a line about what is done next.

    Returns:
        The record: the settings, machine and commit, and under "methods" for each one the seconds
        of a step in each stage of its training, and the bytes that are kept for the backward pass.
    """
    experiments = {
        name: plan.experiment(
            preset, name, lr=plan.SHARED_RATE, dataset="synthetic", train_faces=None
        )
        for name in methods or [*plan.FIG3["resnet18"], *plan.relatives()]
    }
    one = next(iter(experiments.values()))
    faces = batch(one)
    trainers = {name: Trainer(e, faces) for name, e in experiments.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, trainer in trainers.items():
        seconds = [math.inf] * trainer.run.net.stages
        found[name] = {"seconds": seconds, "kept": trainer.kept()}
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        for name, trainer in trainers.items():
            least = found[name]["seconds"]
            for stage in range(trainer.run.net.stages):
                least[stage] = min(least[stage], trainer.seconds(stage, steps))
    return {
        "what": "seconds of a training step in each stage, the least of all rounds",
        "preset": preset,
        **{field: getattr(one, field) for field in ("width", "resolution", "batch")},
        "rounds": rounds,
        "steps": steps,
        **HOW,
        **environment.machine(),
        **environment.code(),
        "methods": found,
    }


def path(preset: str) -> Path:
    """Where the record of a preset is."""
    return paths.results() / "cost" / f"{preset}.json"


def write(record: dict[str, Any]) -> Path:
    """Keep a record, in place of an earlier one of its preset."""
    file = path(record["preset"])
    file.parent.mkdir(parents=True, exist_ok=True)
    runs.write_atomically(file, (json.dumps(record, indent=1) + "\n").encode())
    return file


def read(preset: str) -> dict[str, Any] | None:
    """The record of a preset; None where nothing was measured."""
    file = path(preset)
    return json.loads(file.read_text()) if file.exists() else None


def table(record: dict[str, Any]) -> pd.DataFrame:
    """One row per method: the milliseconds of a step, all stages together, and what it keeps.

    Training goes through all epochs in each stage, so the sum over the stages is what training a
    method costs for each step that a method with one stage makes.
    """
    rows = {
        name: {
            "stages": len(own["seconds"]),
            "step (ms)": 1e3 * sum(own["seconds"]),
            "kept (MB)": own["kept"] / 1e6,
        }
        for name, own in record["methods"].items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def about(record: dict[str, Any]) -> str:
    """What was measured where, in a line."""
    commit = f"{record['commit'][:10]}{'' if record['clean'] else ' with changes'}"
    return (
        f"training steps at preset {record['preset']}, batch {record['batch']}, on"
        f" {record['threads']} thread of {record['processor']}, commit {commit}"
    )
