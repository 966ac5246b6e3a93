"""Annotation lists and tables, one face a line: each fault is named by its file and line."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from dclib.data.archive import Folder, content_of
from dclib.data.faces import mark
from dclib.errors import DataError
from dclib.files import below

OFFICIAL = "; get the official list anew or mend the line"


@dataclass(frozen=True)
class Line:
    """One line of an annotation list."""

    path: Folder
    number: int  # from 1
    fields: tuple[str, ...]
    remedy: str = OFFICIAL  # that ends every fault
    named: int = 0  # the field that names the photo

    @property
    def where(self) -> str:
        return f"{self.path}:{self.number}"

    def fail(self, fault: str) -> NoReturn:
        raise DataError(f"{self.where}: {fault}{self.remedy}")

    def expect(self, count: int) -> None:
        """Refuse a line that has not `count` fields."""
        if len(self.fields) != count:
            self.fail(f"{count} fields expected, {len(self.fields)} found")

    def photo(self) -> str:
        """The photo's path with forward slashes, which may not leave the folder of the data."""
        told = self.fields[self.named]
        name = below(told)
        if name is None:
            self.fail(f"the path {told!r} leads out of the folder: photos must lie in it")
        if not name.parts:
            self.fail("the cell in column file is empty: name the photo")
        if not told.isprintable() and re.search(r"[\x00-\x1f\x7f]", told):
            self.fail(f"the path {told!r} has a line break or the like in it: rename the photo")
        return str(name)

    def content(self, file: Folder) -> bytes:
        """The bytes of the photo."""
        return content_of(file, f"{self.where}: ")

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


@dataclass(frozen=True)
class Row(Line):
    """A line of a table whose columns have names, one of them `file`."""

    cells: dict[str, str] = field(default_factory=dict)

    def value(self, column: str) -> float:
        """A finite number, NaN where the cell is empty."""
        cell = self.cells[column]
        if not cell:
            return np.nan
        try:
            value = float(cell) if "_" not in cell else np.nan  # which Python reads over
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            self.fail(f"{cell!r} in column {column} is no number: write it like 12.5")
        return value

    def values(self, columns: Sequence[str]) -> list[float]:
        """Numbers that are all there or all missing."""
        found = [self.value(column) for column in columns]
        if len({np.isnan(value) for value in found}) > 1:
            self.fail(f"of {', '.join(columns)} some are empty: fill in all of them or none")
        return found


def text(path: Folder, remedy: str = "get it anew") -> str:
    """The text of a list or table, a byte order mark left out."""
    try:
        return content_of(path, remedy=remedy).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: cannot be read ({fault}); {remedy}") from None


def read(path: Folder) -> tuple[list[Line], int]:
    """The lines of a list, split at blanks, and the number of blank lines that were skipped."""
    rows = text(path).splitlines()
    lines = [Line(path, at, tuple(row.split())) for at, row in enumerate(rows, 1) if row.strip()]
    if not lines:
        raise DataError(f"{path}: the annotation list is empty; get it anew")
    return lines, len(rows) - len(lines)


def read_table(path: Path, remedy: str = "") -> list[Row]:
    """The rows of a CSV file that are not blank, with a cell for each column of the header.

    Args:
        remedy: ends every fault in a row, after those that have one of their own.

    Raises:
        DataError: the file is missing, no table, without a row, or columns have no or one name.
    """
    told = text(path, "save it as CSV in UTF-8")
    first = told.partition("\n")[0]
    # as some spreadsheets have it
    delimiter = next((sign for sign in ";\t" if sign in first and "," not in first), ",")
    lines = csv.reader(io.StringIO(told, newline=""), delimiter=delimiter, strict=True)
    rows: list[Line] = []
    try:
        for cells in lines:
            fields = tuple(cell.strip() for cell in cells)
            rows += [Line(path, lines.line_num, fields, remedy)] if any(fields) else []
    except csv.Error as error:
        raise DataError(f"{path}:{lines.line_num}: {error}; save the table as CSV") from None
    if len(rows) < 2:
        raise DataError(f"{path}: there is no row below the names of the columns; add some")
    top, *rest = rows
    header = top.fields
    twice = sorted({column for column in header if header.count(column) > 1})
    for wrong, fault in (
        ("" in header, f"column {(*header, '').index('') + 1} has no name: name it, or remove it"),
        (twice, f"a column is there twice: {twice}"),
        (
            "file" not in header,
            f"there is no column named file, which says where the photos are: {list(header)}",
        ),
    ):
        if wrong:
            top.fail(fault)
    for line in rest:
        if len(line.fields) != len(header):
            line.fail(f"{len(line.fields)} cells for {len(header)} columns: mend the line")
    named = header.index("file")
    return [
        Row(path, of.number, of.fields, remedy, named, dict(zip(header, of.fields, strict=True)))
        for of in rest
    ]


def distinct(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """Each line with its photo's path, which no two lines share."""
    seen: dict[str, int] = {}
    for line in lines:
        name = line.photo()
        if name in seen:
            line.fail(f"{name} was already given in line {seen[name]}: one line per photo")
        seen[name] = line.number
        yield line, name


def fingerprint(lines: Iterable[Line]) -> str:
    """The fingerprint of annotation lines, whatever ends them and separates their fields."""
    return mark("".join(" ".join(line.fields).replace("\\", "/") + "\n" for line in lines))
