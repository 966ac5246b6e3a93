"""A trained network on a photo of one face."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dclib.data.photo import Square, box_square, central_square, crop, read, write
from dclib.errors import RunError
from dclib.records.runs import Record
from dclib.use.inference import predictor

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
        road: what computes the network, as for `dclib.use.inference.predictor`.

    Raises:
        RunError: no weights, or a road that cannot be taken.
        ValueError: a box below a pixel, or one outside the photo.
    """
    if box is not None:
        left, top, right, bottom = box
        if not (0 <= left < right <= photo.width and 0 <= top < bottom <= photo.height):
            raise ValueError(
                f"box {box} does not lie inside the photo of {photo.width}x{photo.height}"
            )
        if min(right - left, bottom - top) < 1:
            raise ValueError(f"box {box} is smaller than a pixel: give left, top, right, bottom")
    square = box_square(box) if box else central_square(photo.size)
    return in_squares(record, photo, [square], road)[0]


def in_squares(
    record: Record, photo: Image.Image, squares: Sequence[Square], road: str | None = None
) -> list[Prediction]:
    """Landmarks and labels of the faces in squares (left, top, side), at least one, of a photo.

    Raises:
        RunError: as `predict`.
    """
    net = predictor(record, road)
    size, none = net.about["resolution"], np.zeros((0, 2))
    crops = np.stack([crop(photo, none, square, size, margin=0)[0] for square in squares])
    mean, std = (np.array(net.about[n], np.float32)[:, None, None] for n in ("mean", "std"))
    logits = net.run((crops.astype(np.float32) - 255 * mean) / (255 * std))  # of (N, 3, R, R)
    landmarks = np.zeros((len(squares), 0, 2))
    shares: dict[str, np.ndarray] = {}
    for task in net.about["tasks"]:
        of = logits[task["name"]]
        if of.ndim == 4:
            landmarks = positions(of, task)
        else:
            shares |= probabilities(of, task)
    words = {
        name: tuple(of)
        for name, of in net.about["words"].items()
        # a task may have other values than the data set
        if name in shares and len(of) == shares[name].shape[1]
    }
    predictions = []
    for at, (left, top, side) in enumerate(squares):
        points = landmarks[at] * side / size + (left, top)
        labels = {n: [round(float(share), 4) for share in of[at]] for n, of in shares.items()}
        predictions.append(Prediction(points, labels, words))
    return predictions


def positions(logits: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """Points (B, L, 2) in pixels from logits (B, L, 2, bins), as the task's decoder "soft" gives.

    Raises:
        RunError: a kind of landmarks that is not known here.
    """
    if task["kind"] not in ("Landmarks", "SimCC"):
        raise RunError(f"predict cannot read landmarks of the kind {task['kind']!r}")
    position = np.arange(logits.shape[-1])
    near = np.abs(position - logits.argmax(axis=-1)[..., None]) <= 2  # (B, L, 2, bins)
    mean = (_softmax(np.where(near, logits.astype(float), -np.inf)) * (position + 0.5)).sum(axis=-1)
    return (mean - 0.5) / task["split"] if "split" in task else mean


def probabilities(logits: np.ndarray, task: dict[str, Any]) -> dict[str, np.ndarray]:
    """The probabilities (B, values) of each label of a task, an orientation's by its angles."""
    if "angles" not in task:
        return {task["name"]: _softmax(logits)}
    bins = [round(2 * angle["limit"] / angle["width"]) for angle in task["angles"]]
    parts = np.split(logits, np.cumsum(bins)[:-1], axis=1)
    return {a["name"]: _softmax(of) for a, of in zip(task["angles"], parts, strict=True)}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
