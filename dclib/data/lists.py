"""Annotation lists: one face a line, each fault named by its file and line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from dclib.data.archive import DAMAGE, Folder
from dclib.errors import DataError
from dclib.files import below


@dataclass(frozen=True)
class Line:
    """One line of an annotation list, split at blanks."""

    path: Folder
    number: int  # from 1
    fields: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.path}:{self.number}"

    def fail(self, fault: str) -> NoReturn:
        raise DataError(f"{self.where}: {fault}; get the official list anew or mend the line")

    def expect(self, count: int) -> None:
        """Refuse a line that has not `count` fields."""
        if len(self.fields) != count:
            self.fail(f"{count} fields expected, {len(self.fields)} found")

    def photo(self, field: int = 0) -> str:
        """The photo's path with forward slashes, which may not leave the data folder."""
        name = below(self.fields[field])
        if name is None:
            self.fail(f"the path {self.fields[field]} leads out of the data folder")
        return str(name)

    def content(self, file: Folder) -> bytes:
        """The bytes of the photo."""
        try:
            return file.read_bytes()
        except FileNotFoundError:
            fault = f"there is no photo {file}; get it, and put it there"
        except (*DAMAGE, OSError) as damage:
            fault = f"{file} cannot be read ({damage}); get it anew"
        raise DataError(f"{self.where}: {fault}")

    def numbers(self, first: int, last: int) -> np.ndarray:
        """Fields first to last - 1 as finite numbers, float64 (last - first,)."""
        try:
            numbers = np.array([float(field) for field in self.fields[first:last]])
        except ValueError as fault:
            self.fail(f"a number expected ({fault})")
        if not np.isfinite(numbers).all():
            self.fail("a number is not finite")
        return numbers

    def label(self, field: int, classes: int) -> int:
        """A label written 1 ... classes, counted from 0."""
        text = self.fields[field]
        if text not in {str(label) for label in range(1, classes + 1)}:
            self.fail(f"a label from 1 to {classes} expected in field {field + 1}, not {text}")
        return int(text) - 1


def read(path: Folder) -> tuple[list[Line], int]:
    """The lines of a list and the number of blank lines that were skipped.

    Raises:
        DataError: there is no such list, it cannot be read, or it has no line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such annotation list") from None
    except (*DAMAGE, OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: cannot be read ({fault}); get it anew") from None
    found = [Line(path, at, tuple(row.split())) for at, row in enumerate(text.splitlines(), 1)]
    lines = [line for line in found if line.fields]
    if not lines:
        raise DataError(f"{path}: the annotation list is empty; get it anew")
    return lines, len(found) - len(lines)


def distinct(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """Each line with its photo's path, which no two lines share."""
    seen: dict[str, int] = {}
    for line in lines:
        name = line.photo()
        if name in seen:
            line.fail(f"{name} was already given in line {seen[name]}")
        seen[name] = line.number
        yield line, name
