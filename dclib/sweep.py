"""Many runs: what notebooks and commands ask for by `require`."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from enum import Enum
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from dclib import paths, runs
from dclib.errors import RunError
from dclib.experiment import Experiment
from dclib.runs import Record

if TYPE_CHECKING:
    from dclib.campaign import Budget


class State(Enum):
    """What came of the attempt to train a run."""

    DONE = "its record is there"
    BUSY = "another process trains it"
    LEFT = "the time is up, or would be before it ends"
    FAILED = "it ended with an error"


EpochRow = dict[str, Any]  # of a run's history
Tell = Callable[[Experiment, EpochRow], None]  # called with every epoch that was trained
Terms = Callable[[Experiment], tuple[bool, float, float]]  # the last three arguments of `attempt`
Attempt = tuple[Experiment, State, str]  # and what came of it
Attempts = Callable[[Sequence[Experiment]], Iterator[Attempt]]  # in the order they end in


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

    waiting = [e for e in dict.fromkeys(experiments) if not _is_there(e, weights)]
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


def _is_there(experiment: Experiment, weights: bool) -> bool:
    record = runs.existing(experiment)
    return record is not None and not (weights and record.weights is None)


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
    asked = _asked(workers)
    if (missing and scheduler) or (missing > 1 and asked != 1):
        try:
            from dclib import cluster
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


def _asked(workers: int | None) -> int:
    """How many workers are asked for, 0 where it is left to the machine."""
    named = os.environ.get("DCLIB_WORKERS") or "0" if workers is None else str(workers)
    if not named.isdecimal():
        raise RunError(f"{named!r} is no number of workers: 1 or more, or 0 for all that have room")
    return int(named)


@contextmanager
def claimed(run: str) -> Iterator[None]:
    """A run is this process's alone, for the length of a `with`; a folder left empty goes.

    Raises:
        Timeout: it is another's.
    """
    locks = paths.store() / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / run, timeout=0):
        try:
            yield
        finally:
            with suppress(OSError):  # it is not there, or something is in it
                (paths.store() / run).rmdir()


def once_more(experiment: Experiment) -> Record:
    """Train a run also where its record is, to have its weights.

    Raises:
        RunError: it failed, or another process trains it.
        DataError: a data set is missing.
    """
    from dclib.train import train

    try:
        with claimed(experiment.id):
            return train(experiment)
    except Timeout:
        raise RunError(f"run {experiment.id}: {State.BUSY.value}, wait for it") from None


class _TimeIsUp(Exception):
    """Ends a training after an epoch, when its checkpoint is written."""


def attempt(
    experiment: Experiment,
    report: Callable[[EpochRow], None],
    weights: bool = False,
    until: float = math.inf,
    seconds: float = 0.0,
) -> tuple[State, str]:
    """Train a run, unless its record is there, another process is at it, or time is up.

    An unfinished run goes on after its last finished epoch, whoever trained it before: the system
    releases the lock of a process that dies.

    Args:
        report: called with every epoch that was trained.
        weights: the trained weights are needed, not the record alone.
        until: seconds since 1970 at which its time is up.
        seconds: how long it is expected to take.

    Returns:
        What came of it, and why it was left or failed.
    """
    from dclib.train import train

    def epoch(row: EpochRow) -> None:
        report(row)
        ended = (row["epoch"] + 1) % experiment.epochs == 0  # all that is left may be the record
        if not ended and time.time() + row["seconds"] > until:
            raise _TimeIsUp(f"stopped after epoch {row['epoch'] + 1}, to go on from there")

    try:
        with claimed(experiment.id):
            if not _is_there(experiment, weights):
                if time.time() + seconds > until:
                    return State.LEFT, f"needs about {duration(seconds)}"
                train(experiment, epoch)
            return State.DONE, ""
    except Timeout:
        late = time.time() > until
        return (State.LEFT, State.BUSY.value) if late else (State.BUSY, "")
    except _TimeIsUp as stop:
        return State.LEFT, str(stop)
    except RunError as error:
        return State.FAILED, str(error)


class Progress:
    """A bar where there is a terminal, one plain line a run where there is none."""

    def __init__(self, experiments: Sequence[Experiment], shown: bool) -> None:
        self.left = dict.fromkeys(experiments, 0)  # and how many epochs each has behind it
        self.seconds: dict[tuple[Any, ...], list[float]] = {}  # of epochs, by kind of run
        self.begun = time.perf_counter()
        self.bar = tqdm(
            total=sum(e.epochs for e in experiments),
            unit="epoch",
            disable=not (shown and sys.stderr.isatty()),
            leave=False,
            bar_format="{desc} {percentage:.0f}% |{bar}| {n_fmt}/{total_fmt} epochs{postfix}",
        )
        self.lines = shown and not sys.stderr.isatty()
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


def duration(seconds: float) -> str:
    """For people: 40 s, 12 min, 3.5 h."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
