"""The faces of an experiment: which are trained on, in which order, and how they look each time."""

import numpy as np
import torch
from torch import Tensor

from dclib import data
from dclib.data.augment import DRAWS, Augmentation, augment, centre, normalise
from dclib.data.faces import FaceSet, split_validation
from dclib.errors import DataError, RunError
from dclib.records.experiment import Experiment
from dclib.tasks import Task, truth_of
from dclib.training.judging import face_sizes


def face_sets(experiment: Experiment) -> tuple[FaceSet, np.ndarray, FaceSet]:
    """The training faces, which of them are trained on, and the faces that outcomes are on.

    Raises:
        DataError: the data are not those that the experiment names.
    """
    train, test = data.load(experiment.dataset, experiment.resolution)
    if train.fingerprint != experiment.fingerprint:
        raise DataError(
            f"{experiment.dataset} has fingerprint {train.fingerprint}, the experiment names"
            f" {experiment.fingerprint}: obtain the same data, or make a new experiment"
        )
    order, validation = split_validation(train)
    if not experiment.holdout:
        order = np.concatenate([order, validation])
    if experiment.train_faces is not None:
        if experiment.train_faces > len(order):
            raise RunError(
                f"train_faces={experiment.train_faces}, but {experiment.dataset} has only"
                f" {len(order)} to train on: name fewer by --train-faces, or all of them by"
                " --train-faces all (train_faces=None)"
            )
        order = order[: experiment.train_faces]
    if experiment.split == "test":
        return train, order, test
    return train, order, train.subset(validation[_measurable(train.subset(validation))])


def _measurable(faces: FaceSet) -> np.ndarray:
    """Which faces (N,) have landmarks enough for errors to be measured, in a set with landmarks."""
    sized = bool(faces.symmetry.points)
    return ~np.isnan(face_sizes(faces)) if sized else np.full(len(faces), True)


class Faces:
    """A face set on the training device, as network inputs and targets."""

    def __init__(self, faces: FaceSet, tasks: tuple[Task, ...], device: torch.device) -> None:
        self.resolution = faces.resolution
        self.symmetry = faces.symmetry
        self.tasks = tasks
        self.images = torch.from_numpy(np.array(faces.images)).to(device)
        self.landmarks = torch.from_numpy(np.array(faces.landmarks)).to(device)
        self.labels = {
            name: torch.from_numpy(np.array(values)).to(device)
            for name, values in faces.labels.items()
        }

    def targets(self, landmarks: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        return {task.name: task.encode(truth_of(task, landmarks, labels)) for task in self.tasks}

    def batch(
        self, index: Tensor, draws: Tensor, augmentation: Augmentation | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, 3, R, R), normalised, and targets of the faces at `index` (B,)."""
        images, landmarks = self.images[index], self.landmarks[index]
        labels = {name: values[index] for name, values in self.labels.items()}
        if augmentation is None:
            seen, landmarks = centre(images, landmarks, self.resolution)
        else:
            seen, landmarks, labels = augment(
                images,
                landmarks,
                labels,
                draws,
                resolution=self.resolution,
                symmetry=self.symmetry,
                augmentation=augmentation,
            )
        return normalise(seen), self.targets(landmarks, labels)


def draws_of_epoch(try_: int, epoch: int, faces: int) -> tuple[np.ndarray, np.ndarray]:
    """Order and augmentation of an epoch, from (try, epoch, face) alone: the same for all methods.

    Returns:
        A key (faces,) by whose size faces are ordered, and uniform draws (faces, DRAWS).
    """
    stream = np.random.Generator(np.random.Philox(key=[try_, epoch]))
    uniforms = stream.random((faces, DRAWS + 1), dtype=np.float32)
    return uniforms[:, 0], uniforms[:, 1:]
