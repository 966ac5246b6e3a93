"""Data sets by name; each gives a training and a test face set at any resolution."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dclib.data.faces import FaceSet
from dclib.errors import DataError
from dclib.tasks import Task, mtfl_tasks


@dataclass(frozen=True)
class DataSet:
    """What the rest of the library needs to know of a data set; its module is imported late."""

    name: str
    description: str
    tasks: Callable[[int], tuple[Task, ...]]  # resolution -> tasks

    @property
    def _module(self) -> Any:
        return import_module(f"dclib.data.{self.name}")

    @property
    def fingerprint(self) -> str:
        """Which source data `load` gives."""
        return str(self._module.fingerprint())

    def load(self, resolution: int) -> tuple[FaceSet, FaceSet]:
        """Training and test faces; raises DataError where they cannot be had."""
        train, test = self._module.load(resolution)
        return train, test

    def prepare(self, source: Path | None = None) -> Any:
        """Find, verify and decode the official archive; the answer prints as a report."""
        return self._module.prepare(source)


DATASETS = {
    data.name: data
    for data in (
        DataSet("mtfl", "MTFL: 10,000 photos and 2,995 AFLW crops (section 4.2)", mtfl_tasks),
        DataSet("synthetic", "rendered heads, every label known exactly", mtfl_tasks),
    )
}


def load(name: str, resolution: int) -> tuple[FaceSet, FaceSet]:
    """Training and test faces of a data set.

    Raises:
        DataError: the name is unknown, or the data cannot be had.
    """
    if name not in DATASETS:
        raise DataError(f"data set {name!r} is unknown; choose from {list(DATASETS)}")
    return DATASETS[name].load(resolution)
