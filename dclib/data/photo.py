"""From a photo to a square of pixels and the points in it."""

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dclib.errors import DataError

Square = tuple[float, float, float]  # left, top, side


def read(content: bytes | Path, name: str) -> Image.Image:
    """A photo as RGB, whether it is grey or in colour.

    Raises:
        DataError: it is not a photo, or is cut short; `name` says which.
    """
    try:
        with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as photo:
            if photo.mode.startswith(("I", "F")):
                raise ValueError(f"pixels of kind {photo.mode}: save it with 8 bits per channel")
            return photo.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such photo") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise DataError(f"{name}: the photo cannot be read whole ({fault}); get it anew") from None


def central_square(size: tuple[int, int]) -> Square:
    """The largest square in the middle of a photo of this width and height."""
    side = min(size)
    return (size[0] - side) / 2, (size[1] - side) / 2, side


def box_square(box: Sequence[float]) -> Square:
    """The smallest square around the middle of a box (left, top, right, bottom) that holds it."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def crop(
    photo: Image.Image,
    points: np.ndarray,
    square: Square,
    resolution: int,
    margin: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A square (left, top, side) of a photo at `resolution` pixels, with pixels around it.

    Exact to the fraction of a pixel. What lies beyond the photo repeats its edge.

    Args:
        points: (L, 2), x then y, pixels of the photo.
        margin: pixels that width and height grow by, half of them on each side; even.

    Returns:
        uint8 (3, S, S) and points (L, 2) in its pixels, where S is `resolution` + `margin`.
    """
    left, top, side = square
    size = resolution + margin
    scale = resolution / side
    left, top, side = left - margin / 2 / scale, top - margin / 2 / scale, size / scale
    first_column, first_row = math.floor(left), math.floor(top)
    columns = np.arange(first_column, math.ceil(left + side)).clip(0, photo.width - 1)
    rows = np.arange(first_row, math.ceil(top + side)).clip(0, photo.height - 1)
    region = Image.fromarray(np.asarray(photo)[rows[:, None], columns])
    x, y = left - first_column, top - first_row
    # resize widens its filter when it shrinks, so nothing aliases
    picture = region.resize((size, size), Image.Resampling.LANCZOS, (x, y, x + side, y + side))
    pixels = np.asarray(picture).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
    return pixels, (points - (left, top)) * scale
