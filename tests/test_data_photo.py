"""Crops: pixels and points move together, nothing aliases, damage is named."""

import io

import numpy as np
import pytest
from PIL import Image

from dclib.data import photo
from dclib.errors import DataError

SQUARE = (23.4, 31.7, 99.3)


def ramp(size: int = 200) -> Image.Image:
    """Red is a pixel's column, green its row: half less than its centre's x and y."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 0] = np.arange(size)[None, :]
    pixels[..., 1] = np.arange(size)[:, None]
    return Image.fromarray(pixels)


def blob(x: float, y: float, size: int = 200) -> Image.Image:
    """A soft bright spot whose centre is (x, y)."""
    centre = np.arange(size) + 0.5
    bright = 250 * np.exp(-((centre[None] - x) ** 2 + (centre[:, None] - y) ** 2) / (2 * 4.0**2))
    return Image.fromarray(bright.astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize(("resolution", "margin"), [(48, 0), (48, 12), (96, 24), (200, 0)])
def test_a_pixel_shows_the_place_of_the_photo_it_stands_for(resolution, margin):
    pixels, _ = photo.crop(ramp(), np.zeros((1, 2)), SQUARE, resolution, margin)
    left, top, side = SQUARE
    place = (np.arange(resolution + margin) + 0.5 - margin / 2) * side / resolution
    assert pixels.shape == (3, resolution + margin, resolution + margin)
    inner = slice(3, -3)
    np.testing.assert_allclose(pixels[0].mean(0)[inner] + 0.5, (left + place)[inner], atol=0.6)
    np.testing.assert_allclose(pixels[1].mean(1)[inner] + 0.5, (top + place)[inner], atol=0.6)


@pytest.mark.parametrize(("x", "y"), [(60.0, 80.0), (71.3, 64.9), (100.5, 111.2)])
def test_points_stay_on_the_spot_they_mark(x, y):
    pixels, points = photo.crop(blob(x, y), np.array([[x, y]]), SQUARE, 48, 12)
    weight = pixels[0].astype(float)
    centre = np.arange(60) + 0.5
    seen = (weight.sum(0) @ centre, weight.sum(1) @ centre) / weight.sum()
    np.testing.assert_allclose(points[0], seen, atol=0.05)


def test_the_margin_only_adds_pixels_around_the_window():
    face = blob(70, 75)
    tight, at = photo.crop(face, np.array([[70.0, 75.0]]), SQUARE, 48, 0)
    wide, moved = photo.crop(face, np.array([[70.0, 75.0]]), SQUARE, 48, 12)
    np.testing.assert_allclose(wide[:, 6:-6, 6:-6].astype(int), tight.astype(int), atol=3)
    np.testing.assert_allclose(moved - 6, at, atol=1e-9)


def test_beyond_the_photo_its_edge_is_repeated():
    pixels, points = photo.crop(ramp(100), np.array([[0.0, 100.0]]), (-50, 50, 100), 100, 0)
    np.testing.assert_array_equal(points, [[50, 50]])
    assert (np.ptp(pixels[0, :, :45], axis=1) == 0).all()  # left of the photo
    assert (np.ptp(pixels[1, 55:], axis=0) == 0).all()  # below it
    assert pixels[0, 0, 0] == ramp(100).getpixel((0, 0))[0]


def test_shrinking_averages_instead_of_picking():
    chequered = (np.indices((240, 240)).sum(0) % 2 * 255).astype(np.uint8)
    pixels, _ = photo.crop(
        Image.fromarray(chequered).convert("RGB"), np.zeros((1, 2)), (0, 0, 240), 48, 0
    )
    np.testing.assert_allclose(pixels[:, 2:-2, 2:-2], 127.5, atol=4)


def test_a_whole_photo_at_its_own_size_is_untouched():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
    same, points = photo.crop(Image.fromarray(pixels), np.array([[3.0, 4.0]]), (0, 0, 48), 48, 0)
    np.testing.assert_array_equal(same, pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(points, [[3, 4]])


def jpeg(mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    blob(50, 50).convert(mode).save(content, "jpeg")
    return content.getvalue()


def test_grey_photos_become_three_equal_channels():
    pixels = np.asarray(photo.read(jpeg("L"), "x"))
    assert pixels.shape == (200, 200, 3)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


@pytest.mark.parametrize("content", [jpeg()[:-400], jpeg()[:30], b"", b"no photo at all"])
def test_a_photo_that_is_not_whole_is_named(content):
    with pytest.raises(DataError, match=r"list\.txt:3: a\.jpg: the photo cannot be read"):
        photo.read(content, "list.txt:3: a.jpg")


def test_a_photo_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg: there is no such photo"):
        photo.read(tmp_path / "a.jpg", "a.jpg")


def test_squares_hold_what_they_are_around():
    assert photo.central_square((40, 30)) == (5, 0, 30)
    assert photo.central_square((30, 41)) == (0, 5.5, 30)
    assert photo.box_square((10, 5, 30, 15)) == (10, 0, 20)
    assert photo.box_square((10, 5, 15, 25)) == (2.5, 5, 20)


def test_photos_of_more_than_eight_bits_are_refused():
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(content, "png")
    with pytest.raises(DataError, match=r"a\.png: .* save it with 8 bits"):
        photo.read(content.getvalue(), "a.png")
