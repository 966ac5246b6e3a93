"""Many runs: what notebooks and commands ask for by `require`."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from dclib import paths, runs
from dclib.errors import RunError
from dclib.experiment import Experiment
from dclib.runs import Record


def require(
    experiments: Sequence[Experiment], progress: bool = True, weights: bool = False
) -> list[Record]:
    """The records of all experiments, in order; what is missing is trained first.

    Interrupt it and call again: finished runs stay and the unfinished one resumes. Several
    processes may ask for the same runs at once; each run is trained by one of them.

    Args:
        progress: show it.
        weights: also the trained weights are needed, which committed records come without.

    Raises:
        RunError: a run failed; the others were finished first.
        DataError: a data set is missing.
    """
    waiting = [e for e in dict.fromkeys(experiments) if not _is_there(e, weights)]
    failures: list[str] = []
    with Progress(waiting, progress) as show:
        while waiting:
            busy = []
            for experiment in waiting:
                try:
                    if not _train_once(experiment, show, weights):
                        busy.append(experiment)
                except RunError as error:
                    failures.append(str(error))
            waiting = busy
            if waiting:
                time.sleep(1)  # another process trains these
    if failures:
        raise RunError(
            f"{len(failures)} of the runs failed, the others are kept:\n" + "\n".join(failures)
        )
    return runs.find(experiments)


def _is_there(experiment: Experiment, weights: bool) -> bool:
    record = runs.existing(experiment)
    return record is not None and not (weights and record.weights is None)


def _train_once(experiment: Experiment, show: "Progress", weights: bool) -> bool:
    """Train unless another process is at it; whether the record is there afterwards."""
    from dclib.train import train  # torch is slow to load, and often every record is there

    locks = paths.store() / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks / experiment.id, timeout=0):
            if not _is_there(experiment, weights):
                show.start(experiment)
                train(experiment, show.epoch)
            show.done(experiment)
            return True
    except Timeout:
        return False


class Progress:
    """A bar where there is a terminal, one plain line a run where there is none."""

    def __init__(self, experiments: Sequence[Experiment], shown: bool) -> None:
        self.epochs = sum(e.epochs for e in experiments)
        self.bar = tqdm(
            total=self.epochs,
            unit="epoch",
            disable=not (shown and sys.stderr.isatty()),
            leave=False,
        )
        self.lines = shown and not sys.stderr.isatty()
        self.count, self.total = 0, len(experiments)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def start(self, experiment: Experiment) -> None:
        self.running = experiment
        self.bar.set_description(experiment.method)

    def epoch(self, row: dict[str, Any]) -> None:
        if row["epoch"] >= self.running.epochs:  # a method that goes through them more than once
            self.bar.total += 1
        self.bar.update()

    def done(self, experiment: Experiment) -> None:
        self.count += 1
        if self.lines:
            line = f"run {self.count} of {self.total}: {experiment.id} {experiment.title}"
            print(line, file=sys.stderr, flush=True)
