"""Trainings that are interrupted, and what must be the same afterwards."""

from dclib.records import runs
from dclib.training.checkpoint import CHECKPOINT


class Interruption(Exception):
    """What stops a training here."""


def interrupt_after(epochs: int):
    """A report that stops the training after so many epochs."""

    def report(row):
        if row["epoch"] + 1 == epochs:
            raise Interruption

    return report


def without_time(record: runs.Record) -> list[dict]:
    """The history of a run, without what depends on the machine's mood."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in record.history]


def assert_same_bits(resumed: runs.Record, whole: runs.Record) -> None:
    """History, outcomes and weights of both are equal, and no checkpoint is left."""
    assert without_time(resumed) == without_time(whole)
    for name in (runs.OUTCOMES, runs.WEIGHTS):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not (resumed.folder / CHECKPOINT).exists()
