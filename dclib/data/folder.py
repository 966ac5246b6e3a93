"""A data set of one's own: a folder of photos with a `table.csv`, and perhaps an `about.toml`.

`prepare` checks everything and copies the photos that the table names, the table and `about.toml`
to a folder of the set's name below `DCLIB_DATA`. From then on the set is known by that name, and
the folder that it came from is not needed: it may move or go. `dclib.data.table` and
`dclib.data.about` say how the two files are written.

A face is the square around its box, or the central square of its photo, never squeezed; what
leads out of the photo repeats its edge.
"""

import json
import re
import shutil
from collections.abc import Container
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from dclib import paths
from dclib.data import table
from dclib.data.about import ABOUT
from dclib.data.cache import cached
from dclib.data.dataset import DataSet, Faces, Words
from dclib.data.folder_faces import build, content_fingerprint, digests
from dclib.data.folder_report import Report
from dclib.data.table import LANDMARKS, TABLE, Table
from dclib.errors import DataError
from dclib.files import disk, make_folder
from dclib.tasks import Angle, Classes, Landmarks, Task

MARK = "prepared.json"  # made by `prepare`, beside the table
NAME = re.compile(r"[A-Za-z0-9][\w-]*")


def names() -> list[str]:
    """The folders with a table that are in the data folder."""
    found = {path.parent.name for path in paths.data().glob(f"*/{TABLE}")}
    return sorted(name for name in found if NAME.fullmatch(name))


def refuse_taken(name: str, taken: Container[str]) -> None:
    """Refuse a name that a folder cannot have, or that other data have.

    Raises:
        DataError: it is such a name.
    """
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


def prepare(name: str, source: Path | None = None, resolution: int = 48) -> Report:
    """Check a folder, copy it to the data folder, decode its faces, and report what it holds.

    Args:
        name: what the set is to be called.
        source: the folder; without it the one of that name in the data folder.
        resolution: of the faces that are put into the cache.

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
    faces = cached(name, resolution, mark, partial(build, told, photos, resolution, mark))
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
