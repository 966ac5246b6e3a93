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

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from dclib import metrics
from dclib.data import about, lists
from dclib.data.about import ABOUT, About
from dclib.data.faces import Symmetry
from dclib.data.lists import Row
from dclib.errors import DataError

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


@dataclass(frozen=True, eq=False)
class Table:
    """A table that has been checked, photos excepted; L is 0 where landmarks are no task."""

    folder: Path
    rows: list[Row]
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
    rows, said = lists.read_table(folder / TABLE), about.read(folder)
    header = list(rows[0].cells)
    columns = _tasks(folder / TABLE, header, said)
    classes: dict[str, tuple[str, ...]] = {}
    labels: dict[str, np.ndarray] = {}
    for name, (column, *_) in columns.items():
        if column.endswith("_deg"):
            labels[name] = _angles(rows, column)
        elif name != LANDMARKS:
            classes[name] = _classes(rows, column, said)
            labels[name] = _labels(rows, column, classes[name])
    axes = columns.get(LANDMARKS, [])
    pairs = list(zip(axes[::2], axes[1::2], strict=True))
    points = np.array([[row.values(pair) for pair in pairs] for row in rows])
    points = points.reshape(len(rows), len(pairs), 2)
    said.demand(said.classes, classes, "classes: {} is no label; there are")
    symmetry, eyes = said.symmetry(len(pairs), classes), said.eyes(len(pairs))
    _demand_pixels(rows, points, eyes)
    for row in rows:
        if "split" in header and row.cells["split"] not in HALVES:
            row.fail(f"{row.cells['split']!r} in column split is neither train nor test")
    angles = sorted(labels.keys() - classes.keys())
    said.demand((*symmetry.negated, *symmetry.rolled), angles, "{} is no angle; there are")
    return Table(
        folder=folder,
        rows=rows,
        files=tuple(name for _, name in lists.distinct(rows)),
        points=points,
        boxes=_boxes(rows, header),
        labels=labels,
        classes=classes,
        tasks=tuple(columns),
        halves=tuple(row.cells["split"] for row in rows) if "split" in header else None,
        groups=tuple(row.cells.get("group") or f"{row.number} alone" for row in rows),
        eyes=eyes,
        symmetry=symmetry,
    )


def refuse(rows: Sequence[Row], wrong: np.ndarray, fault: Callable[[int], str]) -> None:
    """Fail at the first row that is wrong (N,), with the fault of that number."""
    for at in np.flatnonzero(wrong)[:1]:
        rows[at].fail(fault(at))


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
    if not columns:
        fail("there is nothing to learn: add points (x1, y1, ...) or a column with labels")
    said.demand(said.tasks, columns, "tasks: there is no {}; there are")
    return {name: columns[name] for name in said.tasks or columns}


def _boxes(rows: Sequence[Row], header: Sequence[str]) -> np.ndarray:
    """(N, 4)."""
    sides = [side for side in BOX if side in header]
    if sides and len(sides) < len(BOX):
        raise DataError(f"{rows[0].path}:1: of {', '.join(BOX)} there is only {', '.join(sides)}")
    boxes = np.array([row.values(sides) or [np.nan] * 4 for row in rows])
    extent = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)  # (N,)
    empty = "the box is empty: right must be more than left, and bottom more than top"
    refuse(rows, extent <= 0, lambda at: empty)
    refuse(rows, extent < 1, lambda at: f"the box is smaller than a pixel: {SHARES}")
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
        refuse(
            rows,
            (apart > 0) & (apart < NEAR),
            lambda at: (
                f"points {eyes[0] + 1} and {eyes[1] + 1}, the eyes, lie {apart[at]:.2g} pixels from"
                " each other, and the face's error would be a share of that: mend one, or leave it"
                " empty"
            ),
        )


def spread(points: np.ndarray) -> np.ndarray:
    """Longer side (N,) of the box around the points (N, L, 2) of a face; NaN for less than two."""
    missing = np.isnan(points)
    several = (~missing.any(axis=2)).sum(axis=1) > 1
    high = np.where(missing, -np.inf, points).max(axis=1, initial=-np.inf)
    low = np.where(missing, np.inf, points).min(axis=1, initial=np.inf)
    return np.where(several, (high - low).max(axis=1), np.nan)


def _angles(rows: Sequence[Row], column: str) -> np.ndarray:
    """(N,), in degrees."""
    angles = np.array([row.value(column) for row in rows])
    refuse(
        rows,
        abs(angles) > MOST,
        lambda at: f"{rows[at].cells[column]} in column {column} is no angle in degrees: mend it",
    )
    if np.isnan(angles).all():
        raise DataError(f"{rows[0].path}:1: column {column} is empty: fill it in or remove it")
    return angles.astype(np.float32)


def _classes(rows: Sequence[Row], column: str, said: About) -> tuple[str, ...]:
    """The words of a label, each of which is a class."""
    known = [row.cells[column] for row in rows if row.cells[column]]
    told = said.classes.get(column)
    for row in rows:
        if not told and row.cells[column].lower() in NO_WORDS:
            row.fail(
                f"{row.cells[column]!r} in column {column}: leave the cell empty where the label is"
                f" not known, or name all its words in {ABOUT}"
            )
    integers = all(re.fullmatch(r"-?\d{1,18}", value) for value in known)
    words = told or tuple(sorted(sorted(set(known)), key=int if integers else str))
    fault = ""
    if len(words) < 2:
        fault = f"needs two values or more, not {list(words)}"
    elif not told and len(words) > max(10, len(known) / 2):
        fault = f"has {len(words)} values on {len(known)} faces and is no label"
    if fault:
        raise DataError(
            f"{rows[0].path}:1: column {column} {fault}: name the columns that are tasks in"
            f" {ABOUT}, or remove it; the name of an angle ends in _deg"
        )
    return words


def _labels(rows: Sequence[Row], column: str, words: tuple[str, ...]) -> np.ndarray:
    """(N,), -1 where not known."""
    numbers = {"": -1} | {word: number for number, word in enumerate(words)}
    for row in rows:
        if row.cells[column] not in numbers:
            row.fail(
                f"{row.cells[column]!r} in column {column} is none of {', '.join(words)}: mend it,"
                f" or name it in {ABOUT}"
            )
    return np.array([numbers[row.cells[column]] for row in rows], dtype=np.int64)
