"""Data sets by name; each gives a training and a test face set at any resolution.

Beside those of `DATASETS` there are the folders that their owner has given a name, as
`dclib.data.folder` says, and the photo sets of `dclib.data.photos`, in which faces are to be found.
A data set's module is imported when it is first used.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from dclib.data.dataset import DataSet as DataSet
from dclib.data.dataset import Faces, late
from dclib.data.mtfl_faces import WORDS as MTFL_WORDS
from dclib.errors import DataError

RELATEDNESS = ("100", "0", "50", "profile", "others")  # the names of `dclib.data.synthetic.SETS`


def _nothing_to_obtain(name: str, source: Path | None) -> str:
    if source is not None:
        raise DataError(
            f"{name} is drawn by dclib itself: leave out {source}, or give it a new name"
        )
    return "drawn by dclib itself when first used: nothing to obtain"


def _drawn(
    name: str, description: str, load: Callable[[int], Faces], identify: Callable[[], str]
) -> DataSet:
    return DataSet(
        name=name,
        description=description,
        load=load,
        tasks=late("dclib.tasks", "mtfl_tasks"),
        identify=identify,
        prepare=partial(_nothing_to_obtain, name),
        words=lambda: MTFL_WORDS,
    )


DATASETS = {
    data.name: data
    for data in (
        DataSet(
            name="mtfl",
            description="MTFL: 10,000 training photos and 2,995 test crops (section 4.2)",
            load=late("dclib.data.mtfl", "load"),
            tasks=late("dclib.tasks", "mtfl_tasks"),
            identify=late("dclib.data.mtfl", "fingerprint"),
            prepare=late("dclib.data.mtfl", "prepare"),
            words=lambda: MTFL_WORDS,
        ),
        *(
            DataSet(
                name=f"aflw-{percent}",
                description=f"AFLW, {percent} % of 2,284 faces to train on (section 4.3)",
                load=partial(late("dclib.data.aflw", "load"), percent),
                tasks=late("dclib.tasks", "aflw_tasks"),
                identify=partial(late("dclib.data.aflw", "fingerprint"), percent),
                prepare=partial(late("dclib.data.aflw", "prepare"), percent),
                words=late("dclib.data.aflw", "words"),
            )
            for percent in (10, 30, 50, 70, 90)
        ),
        _drawn(
            "synthetic",
            "drawn heads whose every label is known exactly",
            late("dclib.data.synthetic", "load"),
            lambda: str(import_module("dclib.data.synthetic").FINGERPRINT),
        ),
        *(
            _drawn(
                f"synthetic-{name}{many}",
                f"drawn heads, relatedness of their labels: {name}",
                partial(late("dclib.data.synthetic", "load_set"), name, bool(many)),
                partial(late("dclib.data.synthetic", "fingerprint_of"), name, bool(many)),
            )
            for name in RELATEDNESS
            for many in ("", "-many")
        ),
        DataSet(
            name="tiny-imagenet",
            description="a subset of Tiny-ImageNet: 12,000 small photos to pre-train on",
            load=late("dclib.data.tiny_imagenet", "load"),
            tasks=late("dclib.data.tiny_imagenet", "tasks"),
            identify=late("dclib.data.tiny_imagenet", "fingerprint"),
            prepare=late("dclib.data.tiny_imagenet", "prepare"),
        ),
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
        source: an archive or folder to take it from.

    Raises:
        DataError: it cannot be had, is not what it should be, or the name is taken.
    """
    from dclib.data import photos

    if name in photos.PHOTO_SETS:
        return photos.prepare(name, source)
    if source is not None and (name not in DATASETS or (source / "table.csv").is_file()):
        from dclib.data import folder

        folder.refuse_taken(name, DATASETS)
        return folder.prepare(name, source)
    return find(name).prepare(source)


def load(name: str, resolution: int) -> Faces:
    """Training and test faces of a data set.

    Raises:
        DataError: the name is unknown, or the data cannot be had.
    """
    return find(name).load(resolution)
