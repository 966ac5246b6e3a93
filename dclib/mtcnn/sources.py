"""The photos of a cascade: which are trained on, which are held out, which show background.

A tenth of the photos is held out from all training; how the stages do on samples of these photos is
told in the history, and the rate of O is chosen by it (`dclib.mtcnn.rates`).
"""

from collections.abc import Sequence

import numpy as np

from dclib.data import photos
from dclib.data.faces import hold_out
from dclib.data.photos import PhotoSet
from dclib.errors import DataError
from dclib.mtcnn import presets
from dclib.mtcnn.experiment import CascadeExperiment

VALIDATION_SHARE = 0.10


def split_sets(experiment: CascadeExperiment) -> tuple[list[PhotoSet], list[PhotoSet]]:
    """The photo sets to train on, and the photos of each that are held out, whole groups of them.

    Raises:
        DataError: they cannot be had, or are not those that the experiment names.
    """
    e = experiment
    names = dict.fromkeys([*e.datasets, e.faces, e.heldout])
    sets = [photos.load(name)[0] for name in e.datasets]
    here = presets.fingerprint(names)
    if here != e.fingerprint:
        raise DataError(
            f"{', '.join(names)} have fingerprint {here or 'none'}, the cascade names"
            f" {e.fingerprint or 'none'}: obtain the same photos, or make a new experiment"
        )
    halves = [_in_two(each, round(VALIDATION_SHARE * len(each)), "groups") for each in sets]
    held_out, training = (list(each) for each in zip(*halves, strict=True))
    if e.photos is not None:
        training = [_in_two(each, e.photos, "photos")[0] for each in training]
    return training, held_out


def _in_two(photo_set: PhotoSet, wanted: int, purpose: str) -> tuple[PhotoSet, PhotoSet]:
    """At most so many photos, in whole groups, and the others."""
    chosen = hold_out(photo_set.names, photo_set.groups, wanted, purpose=purpose)
    others = np.setdiff1d(np.arange(len(photo_set)), chosen)
    return photo_set.subset(sorted(chosen)), photo_set.subset(others)


def shown_background(sets: Sequence[PhotoSet]) -> list[int]:
    """Which photo sets the samples of faces and of what is none come from.

    Those in which every face has a box, if there is one: elsewhere a face that nobody annotated may
    be taken for background. The others then give landmark faces only.
    """
    complete = [at for at, photo_set in enumerate(sets) if photo_set.complete]
    return complete or list(range(len(sets)))
