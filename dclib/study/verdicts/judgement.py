"""What a claim was judged to be, and the words for what was measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from dclib.study.analysis.stats import DECODERS, Interval, Verdict

# Of section 4.5 runs are a `dclib.mtcnn.records.CascadeRecord` each, else a
# `dclib.records.runs.Record`.
Runs = Callable[[str], Sequence[Any]]  # plan -> the runs among which those of its claims are found


class Judged(NamedTuple):
    """A verdict, and what it stands on.

    Attributes:
        verdict: see `dclib.study.analysis.stats.verdict`.
        measured: in words.
        records: the runs.
        setting: in words: faces, epochs, width and so on, and what limits the verdict.
        trend: how the difference moves with the length of training, in words.
        p: of the verdict; 1 where there is none.
        brief: the difference that decides, with the paper's decoder; the length of training; how
            the difference moves with it.
    """

    verdict: str = Verdict.NOT_TESTED
    measured: str = ""
    records: Sequence[Any] = ()
    setting: str = ""
    trend: str = ""
    p: float = 1.0
    brief: tuple[str, str, str] = ("", "", "")


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


def both(intervals: Mapping[str, Interval]) -> str:
    """The same with both decoders."""
    return ", ".join(f"{span(intervals[d])} {d}" for d in DECODERS)


def opposite(intervals: Mapping[str, Interval]) -> dict[str, Interval]:
    """The intervals of minus the values: `verdict` asks whether one lies below zero."""
    return {d: Interval(-i.value, -i.high, -i.low, i.p, i.freedom) for d, i in intervals.items()}


def count(tries: int) -> str:
    """So many tries, in words."""
    return "one try" if tries == 1 else f"{tries} tries"
