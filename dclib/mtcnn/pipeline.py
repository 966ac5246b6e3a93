"""From a photo to all its faces: a cascade finds them, and a trained network looks at each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dclib.data.mtfl import training_square
from dclib.data.photo import Square, read, spare, writable, write
from dclib.errors import DataError
from dclib.files import disk
from dclib.mtcnn import records
from dclib.mtcnn.detect import Cascade, Detections, Settings
from dclib.mtcnn.run import trained
from dclib.records.runs import Record
from dclib.use.prediction import POINT, Prediction, in_squares
from dclib.use.shipped import chosen

BOX = "#d55e00"  # colour of boxes


@dataclass(frozen=True, eq=False)
class Face:
    """A face that the cascade found, and what the network says of it."""

    box: np.ndarray  # (4,) left, top, right, bottom in pixels of the photo
    score: float  # the cascade's probability that it is a face
    prediction: Prediction  # landmarks in pixels of the photo, and labels

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        box = np.round(self.box.astype(float), 2).tolist()
        return {"box": box, "score": round(self.score, 4), **self.prediction.to_dict()}


def load(cascade: str | None) -> Cascade:
    """The trained cascade of a record, by its id or the start of it; None for the shipped one.

    Raises:
        RunError: no such cascade, or its weights are not here.
    """
    return trained(chosen(records.SHELF, cascade, "cascade --method MTCNN"))


def face_square(box: np.ndarray) -> Square:
    """The square (left, top, side) in which a face looks as in MTFL's test photos.

    These are 1.65 widths of the face box wide, and a little right of and below its centre.
    """
    left, top, right, bottom = box.astype(float).tolist()
    width = (right - left + bottom - top) / 2
    return training_square(((left + right) / 2, (top + bottom) / 2, width))


def predict_all(
    record: Record, cascade: Cascade, picture: Image.Image, settings: Settings | None = None
) -> list[Face]:
    """Landmarks and labels of all faces in a photo, by falling score of the cascade.

    Args:
        record: of a run on faces, whose network looks at each face.
        picture: as `dclib.data.photo.read` takes it, and upright as it reads it.

    Raises:
        RunError: the network's weights are not here.
    """
    picture = read(picture, "the photo")
    found = cascade.detect(picture, settings)
    if not len(found):
        return []
    predictions = in_squares(record, picture, [face_square(box) for box in found.boxes])
    faces = zip(found.boxes, found.scores.tolist(), predictions, strict=True)
    return [Face(*face) for face in faces]


def places(photos: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where in a folder each photo is to be drawn: by its own name.

    Raises:
        DataError: over a photo, or two of them over each other.
    """
    found: dict[Path, Path] = {}
    for path in photos:
        marked = folder / (path.name if writable(path) else f"{path.name}.png")
        spare(marked, photos)
        if path not in found and marked in found.values():
            raise DataError(f"{marked} would be overwritten: two photos are called {path.name}")
        found[path] = marked
    return found


def draw(path: Path, found: Detections, marked: Path) -> None:
    """Write a photo with its faces marked, into a folder which is made if need be.

    Raises:
        DataError: it cannot be written.
    """
    picture = read(path, str(path))
    pen = ImageDraw.Draw(picture)
    for box, points in zip(found.boxes, found.points, strict=True):
        line = max(1, round(float(box[2] - box[0]) / 40))
        pen.rectangle(tuple(box.tolist()), outline=BOX, width=line)
        for x, y in points.tolist():
            pen.ellipse((x - line, y - line, x + line, y + line), fill=POINT)
    with disk(marked.parent, "give another folder"):
        marked.parent.mkdir(parents=True, exist_ok=True)
    write(picture, marked)
