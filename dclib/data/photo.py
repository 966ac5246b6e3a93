"""From a photo to a square of pixels and the points in it."""

import math
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from dclib.data.progress import progress
from dclib.errors import DataError
from dclib.files import content, whole

Square = tuple[float, float, float]  # left, top, side
Cut = tuple[Image.Image, np.ndarray, Square]  # a photo, points (L, 2) in it and what is cut
REMEDY = "get it anew, or save it as JPEG or PNG"
TURNS = {  # by the orientation that EXIF tells
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read(source: bytes | Path | Image.Image, name: str, upright: bool = True) -> Image.Image:
    """A photo as RGB, what is transparent over white; of several pictures the first.

    Args:
        name: what an error calls it.
        upright: turned as its EXIF says, as viewers show it; else as it is stored. What an EXIF
            that cannot be read says, no viewer knows: then it is as it is stored, too.

    Raises:
        DataError: it is missing, cut short, no photo, of more than 8 bits per channel, or of more
            pixels than Pillow takes for sound (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    try:
        # of large photos, and of tags that mean nothing
        with warnings.catch_warnings(action="ignore"), _opened(source) as photo:
            if photo.mode.startswith(("I", "F")):
                raise ValueError(f"pixels of kind {photo.mode}: save it with 8 bits per channel")
            if not min(photo.size):
                raise ValueError(f"it has {photo.width} x {photo.height} pixels")
            return _over_white(_turned(photo) if upright else photo)
    except FileNotFoundError:
        fault = "there is no such file"
    except UnidentifiedImageError:
        fault = "of no format that Pillow knows"
    except Image.DecompressionBombError:
        fault = f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: make it smaller"
    except Exception as error:  # a damaged file may raise anything, by its format
        fault = str(error) or type(error).__name__
    raise DataError(f"{name} is no readable photo ({' '.join(fault.split())}): {REMEDY}")


def _opened(source: bytes | Path | Image.Image) -> AbstractContextManager[Image.Image]:
    if isinstance(source, Image.Image):
        return nullcontext(source)
    return Image.open(BytesIO(content(source) if isinstance(source, Path) else source))


def _turned(photo: Image.Image) -> Image.Image:
    """Upright by its EXIF, without rewriting it as `ImageOps.exif_transpose` does."""
    photo.load()  # a TIFF is turned by this
    try:
        told = photo.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged EXIF may raise anything
        return photo
    turn = TURNS.get(told) if isinstance(told, int) else None
    return photo if turn is None else photo.transpose(turn)


def _over_white(photo: Image.Image) -> Image.Image:
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    rgb = photo.convert("RGB")
    rgb.info.clear()  # its EXIF would turn it once more, its profile is of other colours
    return rgb


def spare(path: Path, photos: Sequence[Path]) -> None:
    """Refuse to write a picture over one of some photos, or by a name that says no format."""
    if path.exists() and any(photo.exists() and path.samefile(photo) for photo in photos):
        raise DataError(f"{path} would be overwritten: give another place than the photo's own")
    if not writable(path):
        raise DataError(f"{path} cannot be written: let its name end in .png or .jpg")


def _format(path: Path) -> str:
    return Image.registered_extensions().get(path.suffix.lower(), "")


def writable(path: Path) -> bool:
    """Whether photos can be written by a name that ends so."""
    return _format(path) in Image.SAVE


def write(photo: Image.Image, path: Path) -> None:
    """Write a photo, whole or not at all, in the format that the name ends in."""
    try:
        with whole(path) as part:
            photo.save(part, _format(path))
    except (OSError, ValueError, KeyError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise DataError(f"{path} cannot be written ({why}): give another place") from fault


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
    photo: Image.Image, points: np.ndarray, square: Square, resolution: int, margin: int
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


def crops(
    faces: Iterable[Cut],
    shape: tuple[int, int],
    resolution: int,
    margin: int,
    what: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The squares of so many photos with so many points each (N, L), as `crop` cuts them.

    Returns:
        uint8 (N, 3, S, S) and float32 (N, L, 2).
    """
    size = resolution + margin
    images = np.empty((shape[0], 3, size, size), dtype=np.uint8)
    landmarks = np.empty((*shape, 2), dtype=np.float32)
    for at, (picture, points, square) in enumerate(progress(faces, f"decode {what}", shape[0])):
        images[at], landmarks[at] = crop(picture, points, square, resolution, margin)
    return images, landmarks
