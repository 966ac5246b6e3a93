"""A data set of one's own: a folder of photos with a `table.csv`, and perhaps an `about.toml`.

`prepare` checks everything and copies the photos that the table names, the table and `about.toml`
to a folder of the set's name below `DCLIB_DATA`. From then on the set is known by that name, and
the folder that it came from is not needed: it may move or go. `dclib.data.table` and
`dclib.data.about` say how the two files are written.

A face is the square around its box, or the central square of its photo, never squeezed; what
leads out of the photo repeats its edge.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Container
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from dclib import paths
from dclib.data import photo, table
from dclib.data.about import ABOUT
from dclib.data.cache import cached
from dclib.data.dataset import PREPARED, DataSet, Faces, Words
from dclib.data.faces import FaceSet, group, hold_out, margin_of
from dclib.data.folder_report import Report
from dclib.data.progress import progress
from dclib.data.table import HALVES, LANDMARKS, TABLE, Table
from dclib.errors import DataError
from dclib.files import content, disk, make_folder
from dclib.tasks import Angle, Classes, Landmarks, Task

MARK = "prepared.json"  # made by `prepare`, beside the table
NAME = re.compile(r"[A-Za-z0-9][\w-]*")
TEST_SHARE = 0.20  # where the table has no column `split`


def names() -> list[str]:
    """The folders with a table that are in the data folder."""
    found = {path.parent.name for path in paths.data().glob(f"*/{TABLE}")}
    return sorted(name for name in found if NAME.fullmatch(name))


def refuse_taken(name: str, taken: Container[str]) -> None:
    """Refuse a name that a folder cannot have, or that other data have."""
    if name in taken or name == "cache" or not NAME.fullmatch(name):
        raise DataError(
            f"{name!r} cannot name a folder of yours: it is taken, or has more than letters,"
            " digits, - and _ in it; choose another name"
        )


def data_set(name: str) -> DataSet:
    """The set of that name in the data folder."""
    return DataSet(
        name=name,
        load=partial(load, name),
        tasks=partial(tasks, name),
        identify=partial(fingerprint, name),
        prepare=partial(prepare, name),
        words=partial(words, name),
    )


def prepare(name: str, source: Path | None = None) -> Report:
    """Check a folder, copy it to the data folder unless it is there, and decode its faces.

    Raises:
        DataError: a fault in the table, in `about.toml` or in a photo, named by file and line; the
            name is taken; or the disk is full.
    """
    place = paths.data() / name
    source = source or place
    copied = source.resolve() != place.resolve()
    if copied and place.exists() and not _mark(name).get("copied"):
        raise DataError(f"{place} is already there and no copy: choose another name or remove it")
    told = table.read(source)
    photos = digests(told)
    mark = content_fingerprint(source, photos)
    faces = cached(name, PREPARED, mark, partial(build, told, photos, PREPARED, mark))
    about_it = {"fingerprint": mark, "table": content_fingerprint(source), "copied": copied}

    def fill(folder: Path) -> None:
        for file in [TABLE, ABOUT, *told.files] if copied else []:
            if (source / file).exists():  # not every folder has an about.toml
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / file, folder / file)
        (folder / MARK).write_text(json.dumps(about_it) + "\n")

    if copied:
        make_folder(place, fill, usable=lambda: False)
    else:
        with disk(place):
            fill(place)
    return Report(name, told, *faces, copies=len(photos) - len(set(photos)))


def load(name: str, resolution: int) -> Faces:
    """The training and the test faces."""
    mark = fingerprint(name)

    def decode() -> Faces:
        told = _table(name)
        photos = digests(told)
        if content_fingerprint(told.folder, photos) != mark:
            raise DataError(_again(name, "photos were changed"))
        return build(told, photos, resolution, mark)

    return cached(name, resolution, mark, decode)


def tasks(name: str, resolution: int) -> tuple[Task, ...]:
    """The tasks of a set, the main one first."""
    told = _table(name)

    def task(of: str) -> Task:
        if of == LANDMARKS:
            return Landmarks(resolution, points=told.points.shape[1])
        return Classes(of, len(told.classes[of])) if of in told.classes else Angle(of)

    return tuple(task(of) for of in told.tasks)


def words(name: str) -> Words:
    """The words of each label, by its classes; of an angle the degrees that each bin holds."""
    told = _table(name)
    return {label: told.classes.get(label) or Angle(label).ranges for label in told.labels}


def fingerprint(name: str) -> str:
    """The fingerprint of the table, `about.toml` and the photos, as `prepare` found them."""
    mark = _mark(name)
    if not mark:
        raise DataError(_again(name, "it has not been prepared"))
    if mark["table"] != content_fingerprint(paths.data() / name):
        raise DataError(_again(name, "the table was changed"))
    return str(mark["fingerprint"])


def _again(name: str, why: str) -> str:
    return f"{paths.data() / name}: {why}; `python -m dclib data {name}` checks and prepares it"


def _mark(name: str) -> dict[str, Any]:
    """What `prepare` left in a set's folder; nothing where it did not come to its end."""
    try:
        mark = json.loads((paths.data() / name / MARK).read_text())
        return {key: mark[key] for key in ("fingerprint", "table", "copied")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _table(name: str) -> Table:
    return _read(paths.data() / name, fingerprint(name))


@lru_cache(maxsize=4)
def _read(folder: Path, fingerprint: str) -> Table:
    """The table of a folder, read again when its fingerprint changes."""
    return table.read(folder)


def content_fingerprint(folder: Path, digests: list[str] | None = None) -> str:
    """The fingerprint of a table and `about.toml`, and of photos with these digests."""
    digest = hashlib.sha256()
    for path in (folder / TABLE, folder / ABOUT):
        digest.update((content(path) if path.exists() else b"") + b"\0")
    digest.update("\n".join(digests or []).encode())
    return digest.hexdigest()[:16]


def digests(told: Table) -> list[str]:
    """The digest of each photo's bytes."""
    photos = list(zip(told.rows, told.files, strict=True))
    return [
        hashlib.sha256(row.content(told.folder / file)).hexdigest()
        for row, file in progress(photos, "verify photos", len(photos))
    ]


def build(told: Table, digests: list[str], resolution: int, mark: str) -> Faces:
    """Training and test faces of a table whose photos have these digests."""
    groups = group(told.groups, digests)

    def faces(index: list[int], margin: int) -> FaceSet:
        cut = (_face(told, at) for at in index)
        shape = (len(index), told.points.shape[1])
        images, points = photo.crops(cut, shape, resolution, margin, "photos")
        return FaceSet(
            images=images,
            landmarks=points,
            labels={name: column[index] for name, column in told.labels.items()},
            names=tuple(told.files[at] for at in index),
            groups=groups[index],
            resolution=resolution,
            symmetry=told.symmetry,
            fingerprint=mark,
            eyes=told.eyes,
        )

    train, test = _halves(told, groups)
    return faces(train, margin_of(resolution)), faces(test, 0)


def _halves(told: Table, groups: np.ndarray) -> tuple[list[int], list[int]]:
    """Training and test faces; errors can be measured on all of the latter."""
    every = np.arange(len(groups))
    unknown = np.isnan(told.sizes) if LANDMARKS in told.tasks else every < 0
    if told.halves is None:
        able = np.flatnonzero(~np.isin(groups, groups[unknown]))
        wanted = round(TEST_SHARE * len(groups))
        names = [told.files[i] for i in able]
        test = np.isin(every, able[hold_out(names, groups[able], wanted, purpose="test")])
    else:
        test = np.array(told.halves) == HALVES[1]
        first = np.unique(groups, return_index=True)[1][groups]  # (N,), of the group of each
        table.refuse(
            told.rows,
            test != test[first],
            lambda at: (
                f"it is in the group of line {told.rows[first[at]].number}, or has the same photo,"
                " but is in the other half of the split: put both into one"
            ),
        )
        table.refuse(
            told.rows,
            test & unknown,
            lambda at: (
                "a test face needs both eyes, or two points that span a box, for its error to be"
                f" measured, but {_unscored(told.points[at])}: add points or make it a training"
                " face"
            ),
        )
    train = ~test
    if not test.any() or train.sum() < 2:
        count = len(np.unique(groups))
        why = "add faces, or say by a column split which is which"
        if told.halves is None and unknown.any():
            at = int(np.flatnonzero(unknown)[0])
            why = (
                f"{unknown.sum()} faces have nothing for their errors to be shares of (in line"
                f" {told.rows[at].number} {_unscored(told.points[at])}): name the eyes in"
                f" {ABOUT} (eyes = [1, 2]), or give more points"
            )
        elif count == 1:
            why = "all photos are copies of each other, or of one group: add others"
        raise DataError(
            f"{told.folder / TABLE}: {train.sum()} training and {test.sum()} test faces in"
            f" {count} groups: {why}"
        )
    return np.flatnonzero(train).tolist(), np.flatnonzero(test).tolist()


def _unscored(points: np.ndarray) -> str:
    """Why errors of points (L, 2) are shares of nothing."""
    known = points[~np.isnan(points).any(axis=1)]
    if len(known) < 2:
        return "only one point is known" if len(known) else "no point is known"
    if table.spread(points[None])[0] < table.NEAR:
        return "all points lie in one place"
    return "all points lie on one level or upright line, whose box has no area"


def _face(told: Table, at: int) -> photo.Cut:
    """An upright photo, the points (L, 2) in it and the square that is cut."""
    row, points, box = told.rows[at], told.points[at], told.boxes[at]
    picture = photo.read(told.folder / told.files[at], f"{row.where}: {told.files[at]}")
    size = f"{picture.width} x {picture.height} pixels"
    boxed = not np.isnan(box[0])
    square = photo.box_square(box) if boxed else photo.central_square(picture.size)
    low, high = ((0, 0), picture.size) if boxed else (square[:2], np.add(square[:2], square[2]))
    outside = ((points < low) | (points > high)).any(axis=1)  # no missing point is
    middle = (box[:2] + box[2:]) / 2
    if outside.any():
        row.fail(
            f"point {np.flatnonzero(outside)[0] + 1} lies outside"
            f" {'the photo' if boxed else 'the central square of the photo'} ({size}): mend it, or"
            f" give a box in columns {', '.join(table.BOX)}"
        )
    if boxed and square[2] > 2 * max(picture.size):
        row.fail(f"the box is more than twice as large as the photo ({size}): mend the box")
    if boxed and ((middle < 0) | (middle > picture.size)).any():
        row.fail(f"the middle of the box lies outside the photo ({size}): mend the box")
    return picture, points, square
