"""From a photo to a square of pixels."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dclib.errors import DataError


def read(content: bytes | Path, name: str) -> Image.Image:
    """A photo as RGB, whether it was grey or colour.

    Raises:
        DataError: it is not a photo, or is cut short; `name` says which.
    """
    try:
        with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as photo:
            return photo.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such photo") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise DataError(f"{name}: the photo cannot be read whole ({fault}); get it anew") from None


def crop(photo: Image.Image, left: float, top: float, side: float, size: int) -> np.ndarray:
    """The square [left, left + side) x [top, top + side) of a photo, uint8 (3, size, size).

    Exact to the fraction of a pixel: a point (x, y) of the photo comes to lie at
    (x - left, y - top) * size / side. What lies beyond the photo repeats its edge.
    """
    first = math.floor(left), math.floor(top)
    columns = np.arange(first[0], math.ceil(left + side)).clip(0, photo.width - 1)
    rows = np.arange(first[1], math.ceil(top + side)).clip(0, photo.height - 1)
    region = Image.fromarray(np.asarray(photo)[rows[:, None], columns])
    x, y = left - first[0], top - first[1]
    # the filter grows with the scale, so shrinking does not alias
    square = region.resize((size, size), Image.Resampling.LANCZOS, (x, y, x + side, y + side))
    return np.asarray(square).transpose(2, 0, 1)  # (size, size, 3) -> (3, size, size)
