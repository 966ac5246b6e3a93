"""Data sets by name; each gives a training and a test face set at any resolution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dclib.data.faces import FaceSet
from dclib.data import mtfl
from dclib.tasks import Task, mtfl_tasks


@dataclass(frozen=True)
class DataSet:
    """What the rest of the library needs to know of a data set."""

    name: str
    load: Callable[[int], tuple[FaceSet, FaceSet]]  # resolution -> training faces, test faces
    tasks: Callable[[int], tuple[Task, ...]]  # resolution -> tasks
    fingerprint: str  # of the source data as published
    prepare: Callable[..., Any]
    description: str


DATASETS = {
    "mtfl": DataSet("mtfl", mtfl.load, mtfl_tasks, mtfl.FINGERPRINT, print, "MTFL"),
}


def load(name: str, resolution: int) -> tuple[FaceSet, FaceSet]:
    """Training and test faces of a data set."""
    return DATASETS[name].load(resolution)
