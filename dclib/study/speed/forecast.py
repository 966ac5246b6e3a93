"""What runs will cost on this machine, which are done, and which of them fit a budget."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dclib import data, environment, paths
from dclib.errors import RunError
from dclib.fast import choose
from dclib.files import write_atomically
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.records.runs import RECORD, Record
from dclib.study import plans
from dclib.study.speed import cost
from dclib.training.checkpoint import CHECKPOINT, read_checkpoint
from dclib.training.loop import LAST, default_device

if TYPE_CHECKING:
    import pandas as pd

# Faces to train and to test on, of what need not be here to be planned. Drawn faces stand in for
# these when steps are timed; they have MTFL's tasks, one more than AFLW.
FACES = {
    "mtfl": (10_000, 2_995),
    "aflw-10": (228, 2_056),
    "aflw-30": (685, 1_599),
    "aflw-50": (1_142, 1_142),
    "aflw-70": (1_599, 685),
    "aflw-90": (2_056, 228),
}
HELD_OUT = 0.1  # share of the training faces that is for validation
FORWARD = 1 / 3  # of a step: the backward pass costs about two forward passes
STEPS = ".steps.json"  # the file of the store with the steps that were timed

Say = Callable[[str], None]


class Estimates:
    """Seconds that runs will take, from the time of one training step of each kind.

    A step is timed when it is first asked for, on the device and in the execution that runs of this
    machine get, and kept in the store; a second or two for a slim network, some ten for one of full
    width. Runs that are made meanwhile correct the estimates for others.

    Args:
        report: called with a line about what is timed.
    """

    def __init__(self, report: Say = lambda line: None) -> None:
        self.report = report
        self.how = choose(default_device())
        self.about = {**self.how, **environment.machine()}
        self.factors: dict[str, float] = {}  # what training took over what was estimated, by kind

    def __str__(self) -> str:
        return (
            f"hours of one {self.about['device']} ({self.about['processor']}), from a training step"
            f" of each kind, timed once; to time them again, remove {paths.store() / STEPS}"
        )

    def steps(self, experiment: Experiment) -> list[float]:
        """Seconds of a step in each stage of training."""
        file, kind = paths.store() / STEPS, _kind(experiment)
        machine = json.dumps(self.about, sort_keys=True)
        try:
            timed = json.loads(file.read_text())
        except (OSError, ValueError):
            timed = {}
        own = timed.setdefault(machine, {})
        if kind not in own:
            self.report(f"timing a step of {kind}")
            own[kind] = time_steps(experiment, self.how)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(timed, indent=1).encode())
        return own[kind]

    def seconds(self, experiment: Experiment) -> float:
        """Of a whole run: training, and predicting after each of its last epochs."""
        steps, (_, scored) = self.steps(experiment), _faces(experiment)
        batches = scored / experiment.batch * min(LAST, experiment.epochs)
        default = fmean(self.factors.values()) if self.factors else 1.0
        factor = self.factors.get(_kind(experiment), default)
        return factor * (self._training(experiment) + batches * steps[-1] * FORWARD)

    def _training(self, experiment: Experiment) -> float:
        batches = math.ceil(_faces(experiment)[0] / experiment.batch)
        return experiment.epochs * batches * sum(self.steps(experiment))

    def left(self, experiment: Experiment) -> float:
        """Seconds for what is not done of a run: 0 where its record is here."""
        if runs.existing(experiment):
            return 0.0
        epochs = experiment.epochs * len(self.steps(experiment))
        return self.seconds(experiment) * max(0, 1 - _behind(experiment) / epochs)

    def learn(self, record: Record) -> None:
        """Estimate others of a kind by a run that was made."""
        e = record.experiment
        self.factors[_kind(e)] = record.environment["seconds"] / self._training(e)


class Budget:
    """A time to train in, which begins now."""

    def __init__(self, minutes: float, estimates: Estimates) -> None:
        self.until = time.time() + 60 * minutes
        self.seconds = estimates.left
        self.learn = estimates.learn

    def limits(self, experiment: Experiment) -> tuple[float, float]:
        """When its time is up, in seconds since 1970, and how many it is expected to take."""
        return self.until, self.seconds(experiment)

    def summary(self, experiments: Sequence[Experiment]) -> str:
        """What is left of these runs, in a line."""
        left = [e for e in dict.fromkeys(experiments) if not runs.existing(e)]
        if not left:
            return "all runs are done"
        hours = sum(map(self.seconds, left)) / 3600
        return f"left: {len(left)} of the runs, about {hours:.2f} h; the same command goes on"


def _kind(e: Experiment) -> str:
    """What the time of a step depends on."""
    size = [f"width {e.width:g}", f"{e.resolution} px", f"batch {e.batch}"]
    further = [e.precision] if e.precision else []
    further += ["penalty"] if e.penalty else []
    return f"{e.method} on {e.underlying}: {', '.join([*size, *further])}"


def _faces(e: Experiment) -> tuple[int, int]:
    """How many faces a run trains on, and how many it predicts."""
    train, test = FACES.get(e.dataset) or _sizes(e.dataset, e.resolution, e.fingerprint)
    trained = e.train_faces or round(train * (1 - HELD_OUT if e.holdout else 1))
    return trained, test if e.split == "test" else round(train * HELD_OUT)


@cache
def _sizes(dataset: str, resolution: int, fingerprint: str) -> tuple[int, int]:
    train, test = data.load(dataset, resolution)
    return len(train), len(test)


def _behind(experiment: Experiment) -> int:
    """How many epochs an unfinished run has behind it."""
    path = paths.store() / experiment.id / CHECKPOINT
    try:
        return len(json.loads(read_checkpoint(path, experiment)["history"])) if path.exists() else 0
    except RunError:
        return 0  # training it will say what is wrong


def on_drawn_faces(experiment: Experiment) -> Experiment:
    """The same on the faces of "synthetic", which are to be had everywhere."""
    fingerprint = data.find("synthetic").fingerprint
    return replace(experiment, dataset="synthetic", fingerprint=fingerprint)


def time_steps(experiment: Experiment, how: dict[str, Any]) -> list[float]:
    """Seconds of a training step in each stage: the fastest of up to three.

    A step of more than a second is not repeated.
    """
    if experiment.dataset in FACES:
        experiment = on_drawn_faces(experiment)
    experiment = replace(experiment, train_faces=None, pretrained=False)
    trainer = cost.Trainer(experiment, cost.batch(experiment, how["device"]), how)
    stages = range(trainer.run.net.stages)
    return [trainer.seconds(stage, steps=3, enough=1.0) for stage in stages]


def state(experiment: Experiment) -> str:
    """Where the record of a run is: "results", "store", or "missing"."""
    for name, place in zip(("results", "store"), runs.places(), strict=True):
        if (place / experiment.id / RECORD).exists():
            return name
    return "missing"


def figures(preset: str, estimates: Estimates) -> "tuple[pd.DataFrame, list[str]]":
    """All figures and tables: their runs, where these are, and the hours of the missing ones.

    Returns:
        One row a figure with runs, and one for all, where a run that several need counts once; and
        a line for each figure whose runs depend on a choice that is not made yet.
    """
    import pandas as pd

    wanted: dict[str, list[Experiment]] = {}
    notes = []
    for figure in plans.FIGURES:
        try:
            wanted[figure] = plans.experiments(figure, preset)
        except RunError as error:
            notes.append(f"{figure}: {error}")
    wanted["all"] = [e for own in wanted.values() for e in own]
    rows: dict[str, dict[str, Any]] = {}
    for figure, own in wanted.items():
        own = list(dict.fromkeys(own))
        if own or figure == "all":  # many a preset leaves plans out
            states = [state(e) for e in own]
            counts = {name: states.count(name) for name in ("results", "store", "missing")}
            hours = sum(map(estimates.left, own)) / 3600
            rows[figure] = {"runs": len(own), **counts, "hours left": hours}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("figure"), notes


def each_run(figure: str, preset: str, estimates: Estimates) -> "pd.DataFrame":
    """The runs of a figure in the order they are made in: what, where, and the hours of each."""
    import pandas as pd

    return pd.DataFrame(
        {
            "run": e.id,
            "method": e.label,
            "underlying": e.underlying,
            "lr": e.lr,
            "try": e.try_,
            "state": state(e),
            "hours left": estimates.left(e) / 3600,
        }
        for e in dict.fromkeys(plans.experiments(figure, preset))
    )
