"""From a photo to all its faces: a cascade finds them, and a trained network looks at each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dclib.data.mtfl_faces import training_square
from dclib.data.photo import Square
from dclib.errors import DataError
from dclib.mtcnn.detect import Cascade, Detections, Settings, photo
from dclib.predict import Prediction, in_squares
from dclib.runs import Record

COLOURS = {"box": "#d55e00", "point": "#0072b2"}


@dataclass(frozen=True, eq=False)
class Face:
    """A face that the cascade found, and what the network says of it.

    Attributes:
        box: (4,) left, top, right, bottom in pixels of the photo.
        score: the cascade's probability that it is a face.
        prediction: landmarks in pixels of the photo, and labels.
    """

    box: np.ndarray
    score: float
    prediction: Prediction

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        box = np.round(self.box.astype(float), 2).tolist()
        return {"box": box, "score": round(self.score, 4), **self.prediction.to_dict()}


def load(cascade: str) -> Cascade:
    """The trained cascade of a record, by its id or the start of it.

    Raises:
        RunError: no such cascade, or its weights are not here.
    """
    from dclib.mtcnn import records
    from dclib.mtcnn.run import trained

    return trained(records.load(cascade))


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
        record: of a run of `dclib.train` on faces, whose network looks at each face.
        picture: RGB.

    Raises:
        RunError: the network's weights are not here.
    """
    found = cascade.detect(picture, settings)
    if not len(found):
        return []
    squares = [face_square(box) for box in found.boxes]
    predictions = in_squares(record, picture, squares)
    faces = zip(found.boxes, found.scores, predictions, strict=True)
    return [Face(box, float(score), prediction) for box, score, prediction in faces]


def draw(path: Path, found: Detections, folder: Path) -> Path:
    """Write a photo with its faces marked into a folder, which is made if need be, by its name.

    Raises:
        DataError: the photo itself is in the folder, or it cannot be written.
    """
    marked = folder / path.name
    if marked.resolve() == path.resolve():
        raise DataError(f"{path} would be overwritten: give another folder than its own")
    picture = Image.fromarray(photo(path).permute(1, 2, 0).numpy())
    pen = ImageDraw.Draw(picture)
    for box, points in zip(found.boxes, found.points, strict=True):
        line = max(1, round(float(box[2] - box[0]) / 40))
        pen.rectangle(tuple(box.tolist()), outline=COLOURS["box"], width=line)
        for x, y in points.tolist():
            pen.ellipse((x - line, y - line, x + line, y + line), fill=COLOURS["point"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(marked)
    except (OSError, ValueError) as error:
        raise DataError(f"{marked} cannot be written ({error}): give another folder") from error
    return marked
