"""What a claim was judged to be, and the words for what was measured."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dclib.stats import DECODERS, Interval, Verdict

# Of section 4.5 runs are a `dclib.mtcnn.records.CascadeRecord` each, else a `dclib.runs.Record`.
Runs = Callable[[str], Sequence[Any]]  # plan -> its runs that are there


class Judged(NamedTuple):
    """A verdict, what was measured in words, and the runs that it stands on."""

    verdict: str = Verdict.NOT_RUN
    measured: str = ""
    records: Sequence[Any] = ()


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus.

    >>> number(-1.5)
    '−1.50'
    """
    return f"{value:.{digits}f}".replace("-", "−")


def span(interval: Interval) -> str:
    """A value and its interval.

    >>> span(Interval(-1.5, -2.0, -1.0))
    '−1.50 (−2.00 to −1.00)'
    """
    return f"{number(interval.value)} ({number(interval.low)} to {number(interval.high)})"


def both(intervals: dict[str, Interval]) -> str:
    """The same with both decoders."""
    return ", ".join(f"{span(intervals[d])} {d}" for d in DECODERS)


def opposite(intervals: dict[str, Interval]) -> dict[str, Interval]:
    """The intervals of minus the values: `verdict` asks whether one lies below zero."""
    return {d: Interval(-i.value, -i.high, -i.low) for d, i in intervals.items()}


def shifted(interval: Interval, by: float) -> Interval:
    """An interval, moved."""
    return Interval(interval.value + by, interval.low + by, interval.high + by)
