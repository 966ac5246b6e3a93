"""What a training step costs: all methods side by side, in one process, on the same faces.

This is a measurement of a machine and not of a run, so it has a record of its own: one file a
preset in `results/cost/`.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dclib import data, environment, fast
from dclib.data.augment import Augmentation
from dclib.records.experiment import Experiment
from dclib.study.plans import presets
from dclib.study.speed import measuring
from dclib.training.batches import Faces, draws_of_epoch, face_sets
from dclib.training.loop import Run

if TYPE_CHECKING:
    import pandas as pd

KIND = "cost"  # the folder of its records
HOW: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "precision": "fp32",
    "layout": "channels_last",
    "forms": "plain",  # of the methods, not of what was done to make some of them faster
}


class Trainer:
    """One method, ready to train on faces of `batch`: its step is a step of its training run."""

    def __init__(
        self,
        experiment: Experiment,
        faces: tuple[Tensor, dict[str, Tensor]],
        how: dict[str, Any] = HOW,
    ) -> None:
        self.run = Run(experiment, how)
        self.run.net.train()
        self.faces = faces

    @property
    def forms(self) -> str:
        """The forms that it is computed in."""
        return self.run.how["forms"]

    def enter(self, stage: int) -> None:
        """Get ready for a stage of training, counted from 0."""
        if self.run.net.stages > 1:
            self.run.enter(stage)
            self.run.net.train()

    def step(self) -> None:
        self.run.step(*self.faces, self.run.current_weights())

    def seconds(self, stage: int, steps: int, enough: float = math.inf) -> float:
        """The fastest of some steps of a stage, after one to get warm.

        Args:
            enough: after so many seconds no other one begins.
        """
        self.enter(stage)
        self.step()
        took: list[float] = []
        while len(took) < steps and sum(took) < enough:
            start = time.perf_counter()
            self.step()
            took.append(time.perf_counter() - start)
        return min(took)

    def kept(self) -> int:
        """Bytes of what a forward pass of the last stage keeps for the backward pass."""
        self.enter(self.run.net.stages - 1)
        return measuring.kept(self.step, self.run.net)


def batch(experiment: Experiment, device: str = HOW["device"]) -> tuple[Tensor, dict[str, Tensor]]:
    """The first faces of a run, augmented as in its first epoch: inputs, targets of all tasks."""
    train, order, _ = face_sets(experiment)
    tasks = data.find(experiment.dataset).tasks(experiment.resolution)
    _, uniforms = draws_of_epoch(experiment.try_, 0, len(train))
    chosen = torch.from_numpy(order[: experiment.batch])
    faces = Faces(train, tasks, torch.device(device))
    draws = torch.from_numpy(uniforms)[chosen].to(device)
    return faces.batch(chosen.to(device), draws, Augmentation())


def measure(
    preset: str,
    methods: Sequence[str] = (),
    rounds: int = 7,
    steps: int = 3,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Seconds of a training step of each method, as it is written and as it is computed in runs.

    All methods take turns, `rounds` times, so that what slows the machine for a while slows all of
    them; the fastest step of all rounds counts. The network is that of the preset, at the method's
    own unit rate and penalty, on one core; the faces are drawn ones, the same for all.

    Args:
        methods: by default those of Fig. 3 and their relatives, on ResNet18.
        report: called with a line about what is done next.

    Returns:
        The record: the settings, machine and commit, and under "methods" for each one the seconds
        of a step in each stage of its training, plain and "ours", the forms of the latter, and the
        bytes that the plain one keeps for the backward pass.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least 1")
    drawn: dict[str, Any] = {"lr": presets.SHARED_RATE, "dataset": "synthetic", "train_faces": None}
    experiments = {
        name: presets.experiment(preset, name, **drawn)
        for name in methods or [*presets.FIG3["resnet18"], *presets.relatives()]
    }
    one = next(iter(experiments.values()))
    if other := [n for n, e in experiments.items() if e.resolution != one.resolution]:
        raise ValueError(
            f"{other[0]} sees {experiments[other[0]].resolution} px, and the first method"
            f" {one.resolution}: compare methods on one underlying network"
        )
    faces = batch(one)
    ours = fast.choose(torch.device("cpu"), one.width, one.resolution)
    found: dict[str, dict[str, Any]] = {}
    with measuring.one_core():
        trainers = {
            name: {"seconds": Trainer(e, faces), "ours": Trainer(e, faces, ours)}
            for name, e in experiments.items()
        }
        for name, pair in trainers.items():
            plain = pair["seconds"]
            found[name] = {which: [math.inf] * plain.run.net.stages for which in pair}
            found[name] |= {"forms": pair["ours"].forms, "kept": plain.kept()}
        for number in range(rounds):
            report(f"round {number + 1} of {rounds}")
            for name, pair in trainers.items():
                for stage in range(pair["seconds"].run.net.stages):
                    for which, trainer in pair.items():
                        least = found[name][which]
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


# Keep a record; the one of a preset, None where nothing was measured.
write = partial(measuring.write, KIND)
read = partial(measuring.read, KIND)


def table(record: dict[str, Any]) -> "pd.DataFrame":
    """One row per method: its step plain and in our forms, their ratio, and what the plain keeps.

    In milliseconds, all stages together. Training goes through all epochs in each stage, so the sum
    over the stages is what training a method costs for each step that a method with one stage
    makes.
    """
    import pandas as pd

    rows = {
        name: {
            "stages": len(own["seconds"]),
            "kept (MB)": own["kept"] / 1e6,
            "forms": own["forms"],
            "plain (ms)": 1e3 * sum(own["seconds"]),
            "ours (ms)": 1e3 * sum(own["ours"]),
        }
        for name, own in record["methods"].items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    frame["ratio"] = frame["plain (ms)"] / frame["ours (ms)"]
    for contender in ("plain", "ours"):
        frame[f"images/s, {contender}"] = 1e3 * record["batch"] / frame[f"{contender} (ms)"]
    return frame


def about(record: dict[str, Any]) -> str:
    """What was measured where, in a line."""
    return (
        f"training steps at preset {record['preset']}, batch {record['batch']},"
        f" {measuring.where(record)}"
    )
