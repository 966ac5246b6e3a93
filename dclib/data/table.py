"""`table.csv`: one row per photo, with its points, labels and angles; each fault named by its line.

::

    file,x1,y1,x2,y2,smile,yaw_deg,split
    photos/anna.jpg,31.5,40,62,41.5,yes,-10,train

- `file`: the photo, relative to the folder.
- `x1,y1,...`: points in pixels of the photo, (0, 0) its upper left corner, so that the centre of
  the first pixel is (0.5, 0.5); both cells of a point that is not known are empty.
- `NAME_deg`: the angle NAME in degrees.
- `split`: train or test; without the column a fifth of the faces is for the test.
- `group`: faces of one person or one scene share a word; they are never split.
- `left,top,right,bottom`: the box of the face; without it the central square of the photo is taken.
- any other: a label, in integers or words. Its classes are the values that occur, sorted.

An empty cell means: not known. `dclib.data.about` has what a table cannot say.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from dclib import metrics
from dclib.data import about
from dclib.data.about import About
from dclib.data.faces import Symmetry
from dclib.errors import DataError
from dclib.files import below, content

TABLE = "table.csv"
BOX = ("left", "top", "right", "bottom")
OWN = ("file", "split", "group", *BOX)  # columns that are no labels
TAKEN = ("landmarks", "bin", "soft", "penalty")  # names that records use for other things
HALVES = ("train", "test")
SHARES = "write pixels of the photo, not shares of its width and height"
LANDMARKS = "landmarks"
NO_WORDS = ("nan", "inf", "-inf", "null", "n/a", "#n/a")  # of programs, for what is not known
NEAR = 0.01  # pixels of a photo between points that cannot be told apart in single precision
MOST = 360  # degrees


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    path: Path
    number: int  # from 1, of its last line
    cells: dict[str, str]

    def fail(self, fault: str) -> NoReturn:
        raise DataError(f"{self.path}:{self.number}: {fault}")

    def number_in(self, column: str) -> float:
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

    def numbers_in(self, columns: Sequence[str]) -> list[float]:
        """Numbers that are all there or all missing."""
        numbers = [self.number_in(column) for column in columns]
        if len({np.isnan(number) for number in numbers}) > 1:
            self.fail(f"of {', '.join(columns)} some are empty: fill in all of them or none")
        return numbers


@dataclass(frozen=True, eq=False)
class Table:
    """A table that has been checked, photos excepted; L is 0 where landmarks are no task."""

    folder: Path
    rows: tuple[Row, ...]
    files: tuple[str, ...]
    points: np.ndarray  # float64 (N, L, 2), pixels of the photo; NaN where missing
    boxes: np.ndarray  # float64 (N, 4): left, top, right, bottom; NaN where there is none
    labels: dict[str, np.ndarray]  # as in a face set
    classes: dict[str, tuple[str, ...]]  # the words of each label that is no angle
    tasks: tuple[str, ...]  # the main one first
    halves: tuple[str, ...] | None  # train or test, where the table says so
    groups: tuple[str, ...]
    eyes: tuple[int, int] | None
    symmetry: Symmetry

    @property
    def sizes(self) -> np.ndarray:
        """What the errors of faces are shares of (N,), in pixels of the photo; NaN if unknown.

        Of points nearer than `NEAR`, as if they were in one place.
        """
        return metrics.face_sizes(np.round(self.points / NEAR) * NEAR, self.eyes)


def read(folder: Path) -> Table:
    """Read and check a folder's table.

    Raises:
        DataError: a fault, with file, line and what to do.
    """
    rows = _rows(folder / TABLE)
    said = about.read(folder)
    header = list(rows[0].cells)
    columns = _tasks(folder / TABLE, header, said)
    points = _points(rows, columns.get(LANDMARKS, []))
    classes: dict[str, tuple[str, ...]] = {}
    labels: dict[str, np.ndarray] = {}
    for name, (column, *_) in columns.items():
        if column.endswith("_deg"):
            labels[name] = _angles(rows, column)
        elif name != LANDMARKS:
            classes[name] = _classes(rows, column, said)
            labels[name] = _labels(rows, column, classes[name])
    if unknown := said.classes.keys() - classes.keys():
        said.fail(f"classes: {', '.join(sorted(unknown))} is no label; there are {list(classes)}")
    symmetry, eyes = said.symmetry(points.shape[1], classes), said.eyes(points.shape[1])
    _demand_pixels(rows, points, eyes)
    angles = labels.keys() - classes.keys()
    if unknown := {*symmetry.negated, *symmetry.rolled} - angles:
        said.fail(f"{', '.join(sorted(unknown))} is no angle; there are {sorted(angles)}")
    return Table(
        folder=folder,
        rows=rows,
        files=_files(rows),
        points=points,
        boxes=_boxes(rows, header),
        labels=labels,
        classes=classes,
        tasks=tuple(columns),
        halves=_halves(rows) if "split" in header else None,
        groups=tuple(row.cells.get("group") or f"{row.number} alone" for row in rows),
        eyes=eyes,
        symmetry=symmetry,
    )


def _rows(path: Path) -> tuple[Row, ...]:
    """The lines that are not blank, with a cell for each column of the header."""
    try:
        text = content(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such table; put one into the folder") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: cannot be read ({fault}); save it as CSV in UTF-8") from None
    first = text.partition("\n")[0]
    # as some spreadsheets have it
    delimiter = next((mark for mark in ";\t" if mark in first and "," not in first), ",")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        found += [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines]
    except csv.Error as fault:
        raise DataError(f"{path}:{lines.line_num}: {fault}; save the table as CSV") from None
    found = [(line, cells) for line, cells in found if any(cells)]
    if len(found) < 2:
        raise DataError(f"{path}: there is no row below the names of the columns; add some")
    (line, header), *rest = found
    top = Row(path, line, {})
    if "" in header:
        top.fail(f"column {header.index('') + 1} has no name: name it, or remove it")
    if len(set(header)) < len(header):
        top.fail(f"a column is there twice: {sorted({c for c in header if header.count(c) > 1})}")
    if "file" not in header:
        top.fail(f"there is no column named file, which says where the photos are: {header}")
    for line, cells in rest:
        if len(cells) != len(header):
            Row(path, line, {}).fail(f"{len(cells)} cells for {len(header)} columns: mend the line")
    return tuple(Row(path, line, dict(zip(header, cells, strict=True))) for line, cells in rest)


def _tasks(path: Path, header: Sequence[str], said: About) -> dict[str, list[str]]:
    """The columns of each task, the main task first."""

    def fail(fault: str) -> NoReturn:
        raise DataError(f"{path}:1: {fault}")

    axes = [column for column in header if re.fullmatch(r"[xy]\d+", column)]
    points = [axis + str(at) for at in range(1, len(axes) // 2 + 1) for axis in "xy"]
    if set(points) != set(axes):
        fail(f"the points must be x1, y1, x2, y2 and so on, not {', '.join(axes)}")
    columns = {LANDMARKS: points} if points else {}
    for column in header:
        if column in OWN or column in points:
            continue
        name = column.removesuffix("_deg")
        if name in TAKEN or name in columns or not re.fullmatch(r"\w[\w -]*", name):
            fail(f"column {column!r}: its name is taken, or more than letters: choose another one")
        columns[name] = [column]
    if unknown := [name for name in said.tasks if name not in columns]:
        said.fail(f"tasks: there is no {', '.join(unknown)}; there are {', '.join(columns)}")
    columns = {name: columns[name] for name in said.tasks or columns}
    if not columns:
        fail("there is nothing to learn: add points (x1, y1, ...) or a column with labels")
    return columns


def _points(rows: Sequence[Row], columns: Sequence[str]) -> np.ndarray:
    """(N, L, 2)."""
    pairs = list(zip(columns[::2], columns[1::2], strict=True))
    found = np.array([[row.numbers_in(pair) for pair in pairs] for row in rows])
    return found.reshape(len(rows), len(pairs), 2)


def _boxes(rows: Sequence[Row], header: Sequence[str]) -> np.ndarray:
    """(N, 4)."""
    sides = [side for side in BOX if side in header]
    if sides and len(sides) < len(BOX):
        raise DataError(f"{rows[0].path}:1: of {', '.join(BOX)} there is only {', '.join(sides)}")
    boxes = np.array([row.numbers_in(sides) or [np.nan] * 4 for row in rows])
    for row, (left, top, right, bottom) in zip(rows, boxes, strict=True):
        if right <= left or bottom <= top:
            row.fail("the box is empty: right must be more than left, and bottom more than top")
        if min(right - left, bottom - top) < 1:
            row.fail(f"the box is smaller than a pixel: {SHARES}")
    return boxes


def _demand_pixels(rows: Sequence[Row], points: np.ndarray, eyes: tuple[int, int] | None) -> None:
    """Refuse points (N, L, 2) that are no pixels of their photos, and eyes that nearly coincide."""
    known = points[~np.isnan(points).any(axis=2)]  # (K, 2)
    spans = spread(points)
    where = f"{rows[0].path}: "
    if len(known) and ((known >= 0) & (known <= 1)).all():
        raise DataError(f"{where}every point lies in the first pixel of its photo: {SHARES}")
    if (spans < 1).any() and not (spans >= 1).any():
        raise DataError(f"{where}on every face the points lie within a pixel: {SHARES}")
    if eyes:
        apart = np.hypot(*(points[:, eyes[1]] - points[:, eyes[0]]).T)  # (N,)
        for at in np.flatnonzero((apart > 0) & (apart < NEAR))[:1]:
            rows[at].fail(
                f"points {eyes[0] + 1} and {eyes[1] + 1}, the eyes, lie {apart[at]:.2g} pixels from"
                " each other, and the face's error would be a share of that: mend one, or leave it"
                " empty"
            )


def spread(points: np.ndarray) -> np.ndarray:
    """Longer side (N,) of the box around the points (N, L, 2) of a face; NaN for less than two."""
    several = (~np.isnan(points).any(axis=2)).sum(axis=1) > 1
    high, low = (
        np.where(np.isnan(points), -np.inf, points),
        np.where(np.isnan(points), np.inf, points),
    )
    sides = (high.max(axis=1, initial=-np.inf) - low.min(axis=1, initial=np.inf)).max(axis=1)
    return np.where(several, sides, np.nan)


def _angles(rows: Sequence[Row], column: str) -> np.ndarray:
    """(N,), in degrees."""
    angles = np.array([row.number_in(column) for row in rows])
    for at in np.flatnonzero(abs(angles) > MOST)[:1]:
        rows[at].fail(
            f"{rows[at].cells[column]} in column {column} is no angle in degrees: mend it"
        )
    angles = angles.astype(np.float32)
    if np.isnan(angles).all():
        raise DataError(f"{rows[0].path}:1: column {column} is empty: fill it in or remove it")
    return angles


def _classes(rows: Sequence[Row], column: str, said: About) -> tuple[str, ...]:
    """The words of a label, each of which is a class."""
    told = said.classes.get(column)
    values = {row.cells[column] for row in rows} - {""}
    integers = all(re.fullmatch(r"-?\d{1,18}", value) for value in values)
    words = told or tuple(sorted(values, key=int if integers else str))
    known = sum(bool(row.cells[column]) for row in rows)
    where = f"{rows[0].path}:1: column {column}"
    for row in rows:
        if not told and row.cells[column].lower() in NO_WORDS:
            row.fail(
                f"{row.cells[column]!r} in column {column}: leave the cell empty where the label is"
                f" not known, or name all its words in {about.ABOUT}"
            )
    aside = f"name the columns that are tasks in {about.ABOUT}, or remove it"
    if len(words) < 2:
        raise DataError(f"{where} needs two values or more, not {list(words)}: {aside}")
    if told is None and len(words) > max(10, known / 2):
        raise DataError(
            f"{where} has {len(words)} values on {known} faces and is no label: {aside}; the name"
            " of an angle ends in _deg"
        )
    return words


def _labels(rows: Sequence[Row], column: str, words: tuple[str, ...]) -> np.ndarray:
    numbers = {"": -1} | {word: number for number, word in enumerate(words)}
    for row in rows:
        if row.cells[column] not in numbers:
            row.fail(
                f"{row.cells[column]!r} in column {column} is none of {', '.join(words)}: mend it,"
                f" or name it in {about.ABOUT}"
            )
    return np.array([numbers[row.cells[column]] for row in rows], dtype=np.int64)


def _files(rows: Sequence[Row]) -> tuple[str, ...]:
    """Paths below the folder, with forward slashes, each of them once."""
    seen: dict[str, int] = {}
    for row in rows:
        told = row.cells["file"]
        path = below(told)
        if path is None:
            row.fail(f"the path {told!r} leads out of the folder: put the photo into it")
        if not path.parts:
            row.fail("the cell in column file is empty: name the photo")
        if not told.isprintable() and re.search(r"[\x00-\x1f\x7f]", told):
            row.fail(f"the path {told!r} has a line break or the like in it: rename the photo")
        if str(path) in seen:
            row.fail(f"{path} was already given in line {seen[str(path)]}: one row per photo")
        seen[str(path)] = row.number
    return tuple(seen)


def _halves(rows: Sequence[Row]) -> tuple[str, ...]:
    for row in rows:
        if row.cells["split"] not in HALVES:
            row.fail(f"{row.cells['split']!r} in column split is neither train nor test")
    return tuple(row.cells["split"] for row in rows)
