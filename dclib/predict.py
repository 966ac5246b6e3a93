"""A trained network on a photo of one face."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from dclib.data.augment import normalise
from dclib.data.photo import Square, box_square, central_square, crop, read, write
from dclib.inference import predictor
from dclib.inference import words as words_of
from dclib.runs import Record
from dclib.tasks import Landmarks, label_logits

POINT = "#0072b2"  # colour of landmarks


@dataclass(frozen=True)
class Prediction:
    """What a network says of a face.

    Attributes:
        landmarks: (L, 2) in pixels of the photo, x then y.
        labels: the probability of each value of each label, of an angle that of each bin.
        words: of the values of the labels, where the data set has them.
    """

    landmarks: np.ndarray
    labels: dict[str, list[float]]
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: probabilities by word where there are words."""
        labels = {
            name: dict(zip(self.words[name], shares, strict=True)) if name in self.words else shares
            for name, shares in self.labels.items()
        }
        return {"landmarks": np.round(self.landmarks, 2).tolist(), "labels": labels}


def open_photo(path: Path) -> Image.Image:
    """A photo as RGB, upright.

    Raises:
        DataError: as `dclib.data.photo.read`.
    """
    return read(path, str(path))


def draw(photo: Image.Image, landmarks: Sequence[np.ndarray], path: Path) -> None:
    """Write a photo with landmarks marked on it.

    Raises:
        DataError: as `dclib.data.photo.write`.
    """
    marked = photo.copy()
    pen = ImageDraw.Draw(marked)
    radius = max(2, min(photo.size) / 80)
    for x, y in landmarks:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=POINT)
    write(marked, path)


def predict(
    record: Record,
    photo: Image.Image,
    box: tuple[float, float, float, float] | None = None,
    road: str | None = None,
) -> Prediction:
    """Landmarks and labels of the face in a photo.

    Args:
        photo: RGB.
        box: left, top, right, bottom of the face in pixels; the network sees the square around it,
            by default the photo's central square. MTFL's faces fill about 60 % of their square.
        road: what computes the network, as for `dclib.inference.predictor`.

    Raises:
        RunError: no weights, or a road that cannot be taken.
        ValueError: an empty box, or one outside the photo.
    """
    if box is not None:
        left, top, right, bottom = box
        if not (0 <= left < right <= photo.width and 0 <= top < bottom <= photo.height):
            raise ValueError(
                f"box {box} does not lie inside the photo of {photo.width}x{photo.height}"
            )
    square = box_square(box) if box else central_square(photo.size)
    return in_squares(record, photo, [square], road)[0]


def in_squares(
    record: Record, photo: Image.Image, squares: Sequence[Square], road: str | None = None
) -> list[Prediction]:
    """Landmarks and labels of the faces in squares (left, top, side), at least one, of a photo.

    Raises:
        RunError: as `predict`.
    """
    net, e = predictor(record, road), record.experiment
    none = np.zeros((0, 2))
    crops = [crop(photo, none, square, e.resolution, margin=0)[0] for square in squares]
    logits = net.run(normalise(torch.from_numpy(np.stack(crops))))  # of (N, 3, R, R)
    landmarks = np.zeros((len(squares), 0, 2))
    for task in net.tasks:
        if isinstance(task, Landmarks):
            landmarks = task.decode(logits[task.name], "soft").double().numpy()
    shares = {name: of.softmax(dim=1) for name, of in label_logits(net.tasks, logits).items()}
    words = {
        name: of
        for name, of in words_of(record).items()
        # a task may have other values than the data set
        if name in shares and len(of) == shares[name].shape[1]
    }
    predictions = []
    for at, (left, top, side) in enumerate(squares):
        points = landmarks[at] * side / e.resolution + (left, top)
        labels = {n: [round(float(share), 4) for share in of[at]] for n, of in shares.items()}
        predictions.append(Prediction(points, labels, words))
    return predictions
