"""Data sets by name; each gives a training and a test face set at any resolution.

A set with a format of its own is a module here with the functions `load`, `fingerprint` and
`prepare`, `tasks` and `words`, and its entry in `DATASETS`. Beside these there are the folders that
their owner has given a name (`dclib.data.folder`), and the photo sets in which faces are to be
found (`dclib.data.photos`). A data set's module is imported when it is first used.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dclib.data.dataset import DataSet as DataSet
from dclib.data.dataset import Faces, late
from dclib.data.mtfl import WORDS
from dclib.errors import DataError

MTFL_WORDS = WORDS
RELATEDNESS = ("100", "0", "50", "profile", "others")  # the names of `dclib.data.synthetic.SETS`


def _of(module: str, name: str, *first: Any) -> DataSet:
    """The data set of a module; what gives its faces takes these arguments first."""
    return DataSet(
        name=name,
        load=late(module, "load", *first),
        identify=late(module, "fingerprint", *first),
        prepare=late(module, "prepare", *first),
        tasks=late(module, "tasks"),
        words=late(module, "words"),
    )


def _drawn(name: str, relatedness: str, many: bool = False) -> DataSet:
    return replace(
        _of("synthetic", name),
        load=late("synthetic", "load_set", relatedness, many),
        identify=late("synthetic", "fingerprint_of", relatedness, many),
    )


DATASETS = {
    data.name: data
    for data in (
        _of("mtfl", "mtfl"),
        *(_of("aflw", f"aflw-{percent}", percent) for percent in (10, 30, 50, 70, 90)),
        _drawn("synthetic", RELATEDNESS[0]),
        *(
            _drawn(f"synthetic-{name}{many}", name, bool(many))
            for name in RELATEDNESS
            for many in ("", "-many")
        ),
        _of("tiny_imagenet", "tiny-imagenet"),
    )
}


def find(name: str) -> DataSet:
    """A data set by its name, registered or a folder that was prepared.

    Raises:
        DataError: the name is unknown.
    """
    if name in DATASETS:
        return DATASETS[name]
    from dclib.data import folder

    if name in own():
        return folder.data_set(name)
    raise DataError(
        f"data set {name!r} is unknown; choose from {[*DATASETS, *own()]}, or prepare a folder of"
        f" yours by `python -m dclib data {name} FOLDER`"
    )


def own() -> list[str]:
    """The names of folders that were prepared; a data set of the library goes before one."""
    from dclib.data import folder

    return [name for name in folder.names() if name not in DATASETS]


def prepare(name: str, source: Path | None = None) -> object:
    """Make a data set ready for use, and report what it holds.

    Args:
        name: a data set, a photo set, or a new name for a folder with a table.
        source: an archive or folder to take it from; without it `DCLIB_MIRROR` and the data folder
            are searched, and official archives are downloaded where they may be.

    Raises:
        DataError: it cannot be had, is not what it should be, or the name is taken.
    """
    from dclib.data import folder, photos

    if name in photos.PHOTO_SETS:
        return photos.prepare(name, source)
    if source is not None and (name not in DATASETS or (source / folder.TABLE).is_file()):
        folder.refuse_taken(name, DATASETS)
        return folder.prepare(name, source)
    return find(name).prepare(source)


def load(name: str, resolution: int) -> Faces:
    """Training and test faces of a data set.

    Raises:
        DataError: the name is unknown, or the data cannot be had.
    """
    return find(name).load(resolution)
