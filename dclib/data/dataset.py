"""What a data set is to the rest of the library; `dclib.data` knows all of them by name."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dclib import paths
from dclib.data.faces import FaceSet

if TYPE_CHECKING:
    from dclib.tasks import Task

PREPARED = 48  # pixels for which `prepare` decodes faces
Faces = tuple[FaceSet, FaceSet]  # training, test
Words = dict[str, tuple[str, ...]]  # of the values of each label; of an angle, of its bins


@dataclass(frozen=True)
class DataSet:
    """What the rest of the library needs to know of a data set.

    Faces are decoded once for a resolution, and memory-mapped from then on. Training faces have a
    margin for augmentation to find real pixels in, where their photos have some. What is asked
    of raises DataError where the data are nowhere to be found, or not what they should be.
    """

    name: str
    load: Callable[[int], Faces]  # by resolution
    tasks: Callable[[int], "tuple[Task, ...]"]  # by resolution, the main one first
    identify: Callable[[], str]
    # finds or downloads the data, verifies all of them and decodes the faces, from an
    # archive or folder that is named, or as `dclib.data.archive.searched` says; prints as a report
    prepare: Callable[[Path | None], object]
    words: Callable[[], Words] = dict

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the faces that `load` gives, known without loading them."""
        return self.identify()


def late(module: str, name: str, *first: Any) -> Callable[..., Any]:
    """A function of a module of this room, which is imported when it is called, given `first`."""
    return lambda *more: getattr(import_module(f"dclib.data.{module}"), name)(*first, *more)


@dataclass(frozen=True)
class Report:
    """What `prepare` found in an official data set; its text is for a terminal."""

    source: str
    train: FaceSet
    test: FaceSet
    words: Words
    classes: Callable[[FaceSet, str], np.ndarray] = lambda faces, name: faces.labels[name]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [f"{self.source}: content verified, fingerprint {self.train.fingerprint}"]
        for half, faces in (("training", self.train), ("test", self.test)):
            rows.append(f"{len(faces):,} {half} faces in {len(np.unique(faces.groups)):,} groups")
            if points := faces.landmarks.shape[1]:
                visible = (~np.isnan(faces.landmarks[..., 0])).sum(axis=1).mean()
                rows.append(f"  points: {visible:.1f} of {points} visible, on average")
            for name, words in self.words.items():
                values = self.classes(faces, name)
                counts = np.bincount(values[values >= 0], minlength=len(words))
                rows.append(f"  {name}: {' / '.join(f'{count:,}' for count in counts)}")
        where = f"decoded for {self.train.resolution} pixels under {paths.data() / 'cache'}"
        return "\n".join([*rows, *self.notes, where])
