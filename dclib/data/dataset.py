"""What a data set is to the rest of the library; `dclib.data` knows all of them by name."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dclib.data.faces import FaceSet

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
    words: Callable[[], dict[str, tuple[str, ...]]] = dict  # of the values of each label

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the faces that `load` gives, known without loading them."""
        return self.identify()


def late(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that is imported when it is first called."""
    return lambda *arguments: getattr(import_module(module), name)(*arguments)
