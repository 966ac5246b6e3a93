"""A trained network on a photo of one face."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from dclib import data
from dclib.columns import Network
from dclib.data.augment import normalise
from dclib.data.photo import box_square, central_square, crop
from dclib.errors import DataError, RunError
from dclib.runs import Record
from dclib.tasks import Landmarks


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


def network(record: Record) -> Network:
    """The trained network of a run, ready to predict.

    Raises:
        RunError: its weights are not on this machine, or not those of its network.
    """
    from dclib.train import make_network

    path = record.weights
    if path is None:
        raise RunError(
            f"the weights of run {record.id} are not here (records are kept without them): train it"
            f" by `python -m dclib train --run {record.id}`"
        )
    net = make_network(record.experiment)
    try:
        net.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch each raise kinds of their own
        raise RunError(f"{path} does not fit run {record.id} ({error}): train it again") from error
    return net.eval()


def open_photo(path: Path) -> Image.Image:
    """A photo as RGB, upright.

    Raises:
        DataError: missing, truncated, or no image.
    """
    from PIL import ImageOps

    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} is no readable photo ({error}): give a JPEG or PNG") from error


@torch.no_grad()
def predict(
    record: Record, photo: Image.Image, box: tuple[float, float, float, float] | None = None
) -> Prediction:
    """Landmarks and labels of the face in a photo.

    Args:
        photo: RGB.
        box: left, top, right, bottom of the face in pixels; the network sees the square around it,
            by default the photo's central square. MTFL's faces fill about 60 % of their square.

    Raises:
        RunError: no weights.
        ValueError: an empty box, or one outside the photo.
    """
    if box is not None:
        left, top, right, bottom = box
        if not (0 <= left < right <= photo.width and 0 <= top < bottom <= photo.height):
            raise ValueError(
                f"box {box} does not lie inside the photo of {photo.width}x{photo.height}"
            )
    square = box_square(box) if box else central_square(photo.size)
    net, e = network(record), record.experiment
    pixels, _ = crop(photo, np.zeros((0, 2)), square, e.resolution, margin=0)  # (3, R, R)
    logits = net(normalise(torch.from_numpy(np.array(pixels))[None]))
    landmarks, labels = np.zeros((0, 2)), {}
    for task in net.tasks:
        if isinstance(task, Landmarks):
            landmarks = task.decode(logits[task.name], "soft")[0].double().numpy()
        else:
            shares = logits[task.name].softmax(dim=1)[0]
            labels[task.name] = [round(float(share), 4) for share in shares]
    left, top, side = square
    points = landmarks * side / e.resolution + (left, top)
    words = {
        name: of
        for name, of in data.find(e.dataset).words().items()
        if len(of) == len(labels.get(name, ()))  # a task may have other values than the data set
    }
    return Prediction(points, labels, words)
