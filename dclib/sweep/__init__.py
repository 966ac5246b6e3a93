"""Many runs: what notebooks and commands ask for by `require`."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from dclib import paths
from dclib.errors import RunError
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.sweep.attempt import (
    Attempt,
    Attempts,
    EpochRow,
    State,
    Tell,
    Terms,
    attempt,
    duration,
)

if TYPE_CHECKING:
    from dclib.study.speed.forecast import Budget


def require(
    experiments: Sequence[Experiment],
    progress: bool = True,
    weights: bool = False,
    budget: "Budget | None" = None,
    workers: int | None = None,
    scheduler: str | None = None,
    done: Callable[[Record], object] | None = None,
) -> list[Record]:
    """The records of all experiments, in order; what is missing is trained first.

    Interrupt it and call again: finished runs stay and the unfinished ones resume. Several
    processes may ask for the same runs at once; each run is trained by one of them.

    Args:
        progress: show it.
        weights: also the trained weights are needed, which committed records come without.
        budget: stop when its time is up; the records that are there by then are returned.
        workers: train in so many processes at a time: 1 for this one alone, 0 for one per GPU, or
            per core where there is none. By default what `DCLIB_WORKERS` says, else 0; without
            Dask, 1.
        scheduler: the address of a Dask scheduler, whose workers train instead; they must see the
            same store.
        done: called with each record as it comes, not with those that were there before.

    Raises:
        RunError: a run failed, the others were finished first; or no workers are to be had.
        DataError: a data set is missing.
    """

    def terms(experiment: Experiment) -> tuple[bool, float, float]:
        return weights, *(budget.limits(experiment) if budget else (math.inf, 0.0))

    waiting = [e for e in dict.fromkeys(experiments) if not runs.SHELF.has(e, weights)]
    failures: list[str] = []
    with (
        Progress(waiting, progress) as show,
        _trainers(show.epoch, terms, len(waiting), workers, scheduler) as attempts,
    ):
        while waiting:
            busy = []
            for experiment, state, message in attempts(waiting):
                if state is State.BUSY:
                    busy.append(experiment)
                    continue
                if state is State.FAILED:
                    failures.append(message)
                elif state is State.DONE:
                    record = _found(experiment)
                    if budget:
                        budget.learn(record)
                    if done:
                        done(record)
                show.end(experiment, state, message)
            waiting = busy
            if waiting:
                time.sleep(1)  # another process trains these
    if failures:
        raise RunError(
            f"{len(failures)} of the runs failed, the others are kept:\n" + "\n".join(failures)
        )
    return runs.find(experiments) if budget else [_found(e) for e in experiments]


def _found(experiment: Experiment) -> Record:
    record = runs.existing(experiment)
    if record is None:
        raise RunError(
            f"run {experiment.id} is finished, but its record is not in {paths.store()}: let"
            " DCLIB_STORE name the same folder for the workers as here"
        )
    return record


def _trainers(
    report: Tell, terms: Terms, missing: int, workers: int | None, scheduler: str | None
) -> AbstractContextManager[Attempts]:
    """What trains: this process, or workers where there are runs for more than one."""
    named = os.environ.get("DCLIB_WORKERS") or "0" if workers is None else str(workers)
    if not named.isdecimal():
        raise RunError(f"{named!r} is no number of workers: 1 or more, or 0 for all that have room")
    asked = int(named)
    if (missing and scheduler) or (missing > 1 and asked != 1):
        try:
            from dclib.sweep import cluster
        except ModuleNotFoundError as error:
            if asked or scheduler:
                raise RunError(
                    f"{error}: workers need Dask, `pip install 'dclib[cluster]'`; with"
                    " `--workers 1` runs are trained in this process"
                ) from error
        else:
            count = min(missing, asked or cluster.places())
            if count > 1 or scheduler:
                return cluster.trainers(report, terms, count, scheduler)

    def attempts(experiments: Sequence[Experiment]) -> Iterator[Attempt]:
        for experiment in experiments:
            told = partial(report, experiment)
            yield experiment, *attempt(experiment, told, *terms(experiment))

    return nullcontext(attempts)


class Progress:
    """A bar where there is a terminal, one plain line a run where there is none."""

    def __init__(self, experiments: Sequence[Experiment], shown: bool) -> None:
        self.left = dict.fromkeys(experiments, 0)  # and how many epochs each has behind it
        self.seconds: dict[tuple[Any, ...], list[float]] = {}  # of epochs, by kind of run
        self.begun = time.perf_counter()
        terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=sum(e.epochs for e in experiments),
            unit="epoch",
            disable=not (shown and terminal),
            leave=False,
            bar_format="{desc} {percentage:.0f}% |{bar}| {n_fmt}/{total_fmt} epochs{postfix}",
        )
        self.lines = shown and not terminal
        self.count, self.total = 0, len(experiments)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def epoch(self, experiment: Experiment, row: EpochRow) -> None:
        """An epoch was trained."""
        reached = row["epoch"] + 1
        if reached > experiment.epochs:  # a method that goes through them more than once
            self.bar.total += 1
        self.seconds.setdefault(_kind(experiment), []).append(row["seconds"])
        self.bar.set_description_str(experiment.method, refresh=False)
        self.bar.set_postfix_str(self.remaining(), refresh=False)
        self.bar.update(reached - self.left.get(experiment, 0))  # also those of an earlier call
        self.left[experiment] = reached

    def end(self, experiment: Experiment, state: State, message: str) -> None:
        """An attempt came to its end."""
        self.left.pop(experiment, None)
        self.count += 1
        if self.lines:
            what = f"run {self.count} of {self.total}: {experiment.id} {experiment.title}"
            outcome = {State.LEFT: f"left ({message})", State.FAILED: "failed"}
            parts = [what, outcome.get(state, ""), self.remaining() if self.left else ""]
            print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def remaining(self) -> str:
        """How long the unfinished runs will take, going by the epochs trained so far.

        An epoch of a kind of run that was not seen counts as the mean of all. What else than
        training takes time, and how many runs are trained at once, is in the time they took.
        """
        every = [s for of_kind in self.seconds.values() for s in of_kind]
        if not sum(every):
            return ""
        ahead = sum(
            max(e.epochs - reached, 0) * fmean(self.seconds.get(_kind(e), every))
            for e, reached in self.left.items()
        )
        elapsed = time.perf_counter() - self.begun
        return f"about {duration(elapsed * ahead / sum(every))} left"


def _kind(e: Experiment) -> tuple[Any, ...]:
    """What an epoch's time depends on."""
    return (e.method, e.underlying, e.dataset, e.train_faces, e.width, e.resolution, e.batch)
