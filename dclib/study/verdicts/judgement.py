"""What a claim was judged to be, and the words for what was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dclib.study.analysis.stats import DECODERS, Interval, Verdict, all_of, certainty, verdict

# Of section 4.5 runs are a `dclib.mtcnn.records.CascadeRecord` each, else a
# `dclib.records.runs.Record`.
Runs = Callable[[str], Sequence[Any]]  # plan -> the runs among which those of its claims are found
Gaps = Mapping[str, Interval]  # a difference, by decoder


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict, and what it stands on.

    Attributes:
        gaps: differences that must all lie below zero; none where nothing was run.
        words: what was measured.
        records: the runs.
        setting: in words: faces, epochs, width and so on, and what limits the verdict.
        limited: whether it is unclear whatever the differences are.
        given: the verdict, where it does not come from differences.
        trend: how the difference moves with the length of training, in words.
        brief: what decides, with the paper's decoder; what it was trained on, and how long; how the
            difference moves with that.
        pair: the two methods whose difference decides, of several.
    """

    gaps: Sequence[Gaps] = ()
    words: Sequence[str] = ()
    records: Sequence[Any] = ()
    setting: str = ""
    limited: bool = False
    given: str = ""
    trend: str = ""
    brief: tuple[str, str, str] = ("", "", "")
    pair: tuple[str, str] = ("", "")

    @property
    def verdict(self) -> str:
        """By the rule of `dclib.study.analysis.stats.verdict`, or what code found."""
        if self.given or not self.gaps:
            return self.given or Verdict.NOT_TESTED
        return Verdict.UNCLEAR if self.limited else all_of(map(verdict, self.gaps))

    @property
    def p(self) -> float:
        """The p-value of the verdict; 1 where there is none."""
        return 1.0 if self.given or self.limited else certainty(self.gaps)

    @property
    def measured(self) -> str:
        """What was measured, in words."""
        return "; ".join(self.words)


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


def both(intervals: Gaps) -> str:
    """The same with both decoders."""
    return ", ".join(f"{span(intervals[d])} {d}" for d in DECODERS)


def opposite(intervals: Gaps) -> dict[str, Interval]:
    """The intervals of minus the values: `verdict` asks whether one lies below zero."""
    return {d: Interval(-i.value, -i.high, -i.low, i.p, i.freedom) for d, i in intervals.items()}


def count(tries: int) -> str:
    """So many tries, in words."""
    return "one try" if tries == 1 else f"{tries} tries"
