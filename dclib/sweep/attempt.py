"""One attempt at a run: locked, resumed, within its time."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

from filelock import FileLock, Timeout

from dclib import paths
from dclib.errors import RunError
from dclib.records.experiment import Experiment
from dclib.records.runs import SHELF, Record


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
    from dclib.training.loop import train

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
    from dclib.training.loop import train

    def epoch(row: EpochRow) -> None:
        report(row)
        ended = (row["epoch"] + 1) % experiment.epochs == 0  # all that is left may be the record
        if not ended and time.time() + row["seconds"] > until:
            raise _TimeIsUp(f"stopped after epoch {row['epoch'] + 1}, to go on from there")

    try:
        with claimed(experiment.id):
            if not SHELF.has(experiment, weights):
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


def duration(seconds: float) -> str:
    """For people: 40 s, 12 min, 3.5 h."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
