"""The tries of several methods that can be compared, whatever is tried."""

from collections.abc import Hashable, Iterable
from typing import Any, Generic, TypeVar

from dclib.errors import RunError

R = TypeVar("R", bound=Any)  # a record, of a run or of a cascade


class Tries(Generic[R]):
    """Every try of several methods.

    Attributes:
        tries: by method as figures name it, in the order of their numbers.

    Raises:
        RunError: the records differ in more than they may, or hold one try of a method twice.
    """

    kind, apart = "run", "more than the method"

    def __init__(self, records: Iterable[R]) -> None:
        self.tries: dict[str, list[R]] = {}
        for record in sorted(records, key=lambda r: r.experiment.try_):
            self.tries.setdefault(record.experiment.label, []).append(record)
        if len({self._shared(r) for r in self.records}) > 1:
            told = ", ".join(f"{r.id} ({r.experiment.title})" for r in self.records)
            raise RunError(
                f"these {self.kind}s cannot be compared, they differ in {self.apart}: {told}"
            )
        for label, own in self.tries.items():
            if len({r.experiment.try_ for r in own}) < len(own):
                raise RunError(
                    f"{label}: a try is there twice: {', '.join(r.id for r in own)}; give one"
                    f" {self.kind} for each try"
                )

    def _shared(self, record: R) -> Hashable:
        """What all records must have in common."""
        raise NotImplementedError

    @property
    def methods(self) -> list[str]:
        """The methods that are there."""
        return list(self.tries)

    @property
    def records(self) -> list[R]:
        """Every try of every method."""
        return [record for own in self.tries.values() for record in own]
