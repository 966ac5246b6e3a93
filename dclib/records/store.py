"""How records are written and read, and where they are kept: committed, or on this machine.

A record is a folder named by the id of its experiment. The file that marks it is written last, so
that a folder with one is complete.
"""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dclib import paths
from dclib.errors import RunError
from dclib.files import reading, write_atomically
from dclib.records.experiment import Named

FORMAT = 2  # 1: without digests
ID, START = re.compile(r"[0-9a-f]{12}"), re.compile(r"[0-9a-f]{0,12}")
WEIGHTS = "*.safetensors"  # kept in the store alone


class Kept:
    """A record: what was made, the folder that it is in, and sha256 of the files beside it."""

    experiment: Named
    folder: Path
    digests: dict[str, str]

    @property
    def id(self) -> str:
        return self.experiment.id

    @property
    def weights(self) -> object:
        """The trained weights; None where they were not kept."""
        raise NotImplementedError

    def check(self, name: str, content: bytes) -> None:
        """Compare the content of a file with the record's digest of it; format 1 has none.

        Raises:
            ValueError: they differ.
        """
        told = self.digests.get(name)
        if told and told != hashlib.sha256(content).hexdigest():
            raise ValueError("its content is not what the record says")


R = TypeVar("R", bound=Kept)


@dataclass(frozen=True)
class Shelf(Generic[R]):
    """All records of one kind."""

    folder: str  # the name of their place among the results
    mark: str  # the file that only a complete record of this kind has
    further: tuple[str, ...]  # the other files that are committed with it; weights are not
    parse: Callable[[dict[str, Any], Path], R]  # the record that the content of that file is of
    whole: Callable[[R], object]  # reads what `parse` leaves for later, or raises RunError
    kind: str  # what people call one of several: "run"
    listing: str  # the command that shows all

    def save(
        self, folder: Path, experiment: Named, files: Mapping[str, bytes], said: dict[str, Any]
    ) -> R:
        """Write a record and read it back; `folder` must exist, with the weights if they are kept.

        Args:
            files: the content of the further files.
            said: what the record says beside experiment and digests.
        """
        for name, content in files.items():
            write_atomically(folder / name, content)
        beside = [*files, *sorted(file.name for file in folder.glob(WEIGHTS))]
        told = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in beside}
        text = {"format": FORMAT, "experiment": json.loads(experiment.to_json())}
        text |= {"digests": told} | said
        text["digest"] = _digest(text)
        write_atomically(folder / self.mark, _lines(text).encode())
        return self.read(folder)

    def read(self, folder: Path) -> R:
        """The record in a folder.

        Raises:
            RunError: it is unreadable, of another version, or not the experiment its folder names.
        """
        path = folder / self.mark
        with reading(
            f"{path} is no {self.kind} record of this version",
            "restore it, or remove the folder and run again",
        ):
            text = json.loads(path.read_text())
            version = text.get("format")
            if version not in (1, FORMAT):
                raise RunError(
                    f"{path} has format {version}, this version reads 1 and {FORMAT}: use the code"
                    " that wrote it, or remove the folder and run again"
                )
            record = self.parse(text, folder)
            if record.id != folder.name:
                raise RunError(
                    f"{path} holds {self.kind} {record.id}, not what its folder names: move it back"
                )
            if version > 1 and text["digest"] != _digest(text):
                raise ValueError("its content is not what its digest says")
        return record

    def places(self) -> tuple[Path, Path]:
        """Where records are looked for, first the committed ones."""
        return paths.results() / self.folder, paths.store()

    def _folders(self, places: Iterable[Path], start: str = "") -> list[Path]:
        """The folders of complete records, each once, in the first place that has it."""
        found: dict[str, Path] = {}
        for place in places:
            for file in sorted(place.glob(f"{start}*/{self.mark}")):
                if ID.fullmatch(file.parent.name):
                    found.setdefault(file.parent.name, file.parent)
        return list(found.values())

    def load(self, start: str) -> R:
        """A record by its id, or by the start of it.

        Raises:
            RunError: it is no id, or none or several match.
        """
        found = self._folders(self.places(), start) if START.fullmatch(start) else []
        if len(found) != 1:
            some = ", ".join(folder.name for folder in found[:9]) + ", ..." * (len(found) > 9)
            known = f"several {self.kind}s: {some}" if found else f"no {self.kind}"
            raise RunError(f"{start!r} names {known}; `python -m dclib {self.listing}` shows all")
        return self.read(found[0])

    def existing(self, experiment: Named) -> R | None:
        """The record of an experiment, if it has been run."""
        for place in self.places():
            if (place / experiment.id / self.mark).exists():
                return self.read(place / experiment.id)
        return None

    def has(self, experiment: Named, weights: bool = False) -> bool:
        """Whether a record is there, with its weights where they are needed."""
        record = self.existing(experiment)
        return record is not None and not (weights and record.weights is None)

    def find(self, experiments: Iterable[Named]) -> list[R]:
        """The records, of those experiments that have been run, in the given order."""
        return [record for e in experiments if (record := self.existing(e)) is not None]

    def every(self) -> Iterator[R]:
        """All records, committed ones first, each once."""
        return map(self.read, self._folders(self.places()))

    def committed(self) -> Iterator[R]:
        """All committed records."""
        return map(self.read, self._folders(self.places()[:1]))

    def readable(self, tell: Callable[[str], object]) -> Iterator[R]:
        """All records that can be read, those of the store first; tells of the others."""
        for folder in self._folders(reversed(self.places())):
            try:
                yield self.read(folder)
            except RunError as error:
                tell(str(error))

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


def _lines(text: dict[str, Any]) -> str:
    """JSON with a line for each value of the first two levels."""

    def line(value: Any, inside: int) -> str:
        if not (inside and isinstance(value, dict) and value):
            return json.dumps(value)
        indent = " " * (3 - inside)
        parts = [f"{indent}{json.dumps(k)}: {line(v, inside - 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent[1:]}}}"

    return line(text, 2) + "\n"


def _digest(text: dict[str, Any]) -> str:
    """sha256 of all that a record says, but for the digest itself."""
    said = {name: value for name, value in text.items() if name != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
