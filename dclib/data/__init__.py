"""Data sets by name; each gives a training and a test face set at any resolution.

A data set's module is imported when it is first used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dclib.data.faces import FaceSet
from dclib.errors import DataError

if TYPE_CHECKING:
    from dclib.tasks import Task

Faces = tuple[FaceSet, FaceSet]  # training, test


@dataclass(frozen=True)
class DataSet:
    """What the rest of the library needs to know of a data set."""

    name: str
    description: str
    load: Callable[[int], Faces]  # by resolution
    tasks: Callable[[int], "tuple[Task, ...]"]  # by resolution
    identify: Callable[[], str]
    prepare: Callable[[Path | None], object]  # from an archive or folder; prints as a report

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the faces that `load` gives, known without loading them."""
        return self.identify()


def _late(module: str, name: str) -> Callable[..., Any]:
    return lambda *arguments: getattr(import_module(module), name)(*arguments)


DATASETS = {
    data.name: data
    for data in (
        DataSet(
            name="mtfl",
            description="MTFL: 10,000 training photos and 2,995 test crops (section 4.2)",
            load=_late("dclib.data.mtfl", "load"),
            tasks=_late("dclib.tasks", "mtfl_tasks"),
            identify=_late("dclib.data.mtfl", "fingerprint"),
            prepare=_late("dclib.data.mtfl", "prepare"),
        ),
        DataSet(
            name="synthetic",
            description="drawn heads whose every label is known exactly",
            load=_late("dclib.data.synthetic", "load"),
            tasks=_late("dclib.tasks", "mtfl_tasks"),
            identify=lambda: str(import_module("dclib.data.synthetic").FINGERPRINT),
            prepare=lambda source: "drawn by dclib itself when first used: nothing to obtain",
        ),
    )
}


def load(name: str, resolution: int) -> Faces:
    """Training and test faces of a data set.

    Raises:
        DataError: the name is unknown, or the data cannot be had.
    """
    if name not in DATASETS:
        raise DataError(f"data set {name!r} is unknown; choose from {list(DATASETS)}")
    return DATASETS[name].load(resolution)
