"""Where records are kept and found: in the committed results, and in the store of this machine.

A record is a folder named by the id of its experiment. The file that marks it is written last, so
that a folder with one is complete.
"""

import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from dclib import paths
from dclib.errors import RunError

ID, START = re.compile(r"[0-9a-f]{12}"), re.compile(r"[0-9a-f]{0,12}")


class Identified(Protocol):
    """An experiment, which names itself by what it is."""

    @property
    def id(self) -> str: ...


class Kept(Protocol):
    """A record, which knows its id and the folder that it is in."""

    @property
    def id(self) -> str: ...

    @property
    def folder(self) -> Path: ...


R = TypeVar("R", bound=Kept)


@dataclass(frozen=True)
class Shelf(Generic[R]):
    """All records of one kind.

    Attributes:
        folder: the name of their place among the results.
        mark: the file that only a complete record of this kind has.
        further: the other files that are committed with it; weights are not.
        read: the record in a folder; raises RunError where that is none.
        whole: reads what `read` leaves for later; raises RunError where it cannot be read.
        kind: what people call one of several: "run".
        listing: the command that shows all.
    """

    folder: str
    mark: str
    further: tuple[str, ...]
    read: Callable[[Path], R]
    whole: Callable[[R], object]
    kind: str
    listing: str

    def places(self) -> tuple[Path, Path]:
        """Where records are looked for, first the committed ones."""
        return paths.results() / self.folder, paths.store()

    def _folders(self, places: Iterable[Path], start: str = "") -> dict[str, Path]:
        """The folders of complete records by id, each once, in the first place that has it."""
        found: dict[str, Path] = {}
        for place in places:
            for file in sorted(place.glob(f"{start}*/{self.mark}")):
                if ID.fullmatch(file.parent.name):
                    found.setdefault(file.parent.name, file.parent)
        return found

    def load(self, start: str) -> R:
        """A record by its id, or by the start of it.

        Raises:
            RunError: it is no id, or none or several match.
        """
        found = self._folders(self.places(), start) if START.fullmatch(start) else {}
        if len(found) != 1:
            some = ", ".join(list(found)[:9]) + ", ..." * (len(found) > 9)
            known = f"several {self.kind}s: {some}" if found else f"no {self.kind}"
            raise RunError(f"{start!r} names {known}; `python -m dclib {self.listing}` shows all")
        return self.read(found.popitem()[1])

    def existing(self, experiment: Identified) -> R | None:
        """The record of an experiment, if it has been run."""
        for place in self.places():
            if (place / experiment.id / self.mark).exists():
                return self.read(place / experiment.id)
        return None

    def find(self, experiments: Iterable[Identified]) -> list[R]:
        """The records, of those experiments that have been run, in the given order."""
        return [record for e in experiments if (record := self.existing(e)) is not None]

    def every(self) -> Iterator[R]:
        """All records, committed ones first, each once."""
        return map(self.read, self._folders(self.places()).values())

    def readable(self, tell: Callable[[str], object]) -> Iterator[R]:
        """All records that can be read, those of the store first; tells of the others."""
        for folder in self._folders(reversed(self.places())).values():
            try:
                yield self.read(folder)
            except RunError as error:
                tell(str(error))

    def committed(self) -> Iterator[R]:
        """All committed records."""
        return map(self.read, self._folders(self.places()[:1]).values())

    def publish(self, record: R) -> R:
        """Copy a record, without weights, to the committed results, whole or not at all.

        Raises:
            RunError: it cannot be read whole; what was committed stays.
        """
        folder = self.places()[0] / record.id
        self.whole(self.read(record.folder))
        if record.folder == folder:
            return record
        partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        try:
            partial.mkdir(parents=True)
            for name in (*self.further, self.mark):
                shutil.copyfile(record.folder / name, partial / name)
            if folder.exists():
                shutil.rmtree(folder)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self.read(folder)
