"""Crops: pixels and points move together, nothing aliases, damage is named."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

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


def jpeg() -> bytes:
    content = io.BytesIO()
    blob(50, 50).save(content, "jpeg")
    return content.getvalue()


@pytest.mark.parametrize("content", [jpeg()[:-400], jpeg()[:30], b"", b"no photo at all"])
def test_a_photo_that_is_not_whole_is_named(content):
    with pytest.raises(DataError, match=r"list\.txt:3: a\.jpg is no readable photo"):
        photo.read(content, "list.txt:3: a.jpg")


def test_squares_hold_what_they_are_around():
    assert photo.central_square((40, 30)) == (5, 0, 30)
    assert photo.central_square((30, 41)) == (0, 5.5, 30)
    assert photo.box_square((10, 5, 30, 15)) == (10, 0, 20)
    assert photo.box_square((10, 5, 15, 25)) == (2.5, 5, 20)


def opened(image: Image.Image, ending: str = "png", **options) -> np.ndarray:
    content = io.BytesIO()
    image.save(content, ending, **options)
    return np.asarray(photo.read(content.getvalue(), "x"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "HSV"])
def test_every_kind_of_eight_bits_is_the_colour_that_viewers_show(mode):
    colour = blob(4, 4, 8)
    image = colour.convert("RGBA").convert(mode) if mode == "RGBa" else colour.convert(mode)
    wanted = np.asarray(colour.convert(mode).convert("RGB") if mode in "1 PA" else colour)
    found = np.asarray(photo.read(image, "x")).astype(int)
    assert abs(found - wanted).max() <= (6 if mode == "HSV" else 0)


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "F"])
def test_what_cannot_be_eight_bits_without_loss_is_refused(mode):
    with pytest.raises(DataError, match=r"a\.tif is no readable photo \(.*8 bits"):
        photo.read(Image.new(mode, (4, 4)), "a.tif")


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "grey key", "colour key"])
def test_what_is_transparent_lies_over_white_whatever_hides_there(kind):
    pixels = np.random.default_rng(0).integers(1, 255, (6, 6, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:2, :, 3] = 0
    image = Image.fromarray(pixels)
    if kind in ("RGBA", "LA"):
        found = opened(image.convert(kind))
    elif kind == "P":
        found = opened(image.quantize(20), "gif", transparency=image.quantize(20).getpixel((0, 0)))
    else:
        mode, key = ("L", 0) if kind == "grey key" else ("RGB", (0, 0, 0))
        plain = image.convert(mode)
        plain.paste(key, (0, 0, 6, 2))
        found = opened(plain, transparency=key)
    assert (found[0] == 255).all()
    assert (found[2:] != 255).any()


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tiff"])
def test_of_several_pictures_the_first_is_taken(ending):
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    found = opened(pages[0], ending, save_all=True, append_images=pages[1:])
    assert abs(found.astype(int) - [255, 0, 0]).max() <= 4  # WebP is not exact


@pytest.mark.parametrize("ending", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(10))
def test_photos_are_upright_as_pillow_turns_them_and_on_demand_as_stored(orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    ramp(60).crop((5, 7, 60, 30)).save(content, ending, exif=exif)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(content.getvalue()))).convert("RGB")
    once = photo.read(content.getvalue(), "x")
    np.testing.assert_array_equal(once, wanted)
    np.testing.assert_array_equal(photo.read(once, "x"), wanted)  # and not turned again
    if ending != "tiff":  # which Pillow turns itself
        stored = photo.read(content.getvalue(), "x", upright=False)
        assert stored.size == (55, 23)


def exif(*entries: bytes, tail: bytes = b"") -> bytes:
    head = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return head + b"".join(entries) + bytes(4) + tail


SIDEWAYS = struct.pack("<HHII", 0x0112, 3, 1, 6)
BAD_RATIO = struct.pack("<HHII", 0x011A, 10, 1, 38)


@pytest.mark.parametrize(
    ("damaged", "turned"),
    [
        (b"Exif\0\0garbage", False),
        (b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12", False),
        (exif(struct.pack("<HHIHH", 0x0112, 3, 2, 6, 6)), True),
        (exif(struct.pack("<HHI4s", 0x0112, 2, 2, b"6\0")), False),
        (exif(SIDEWAYS, BAD_RATIO, tail=struct.pack("<ii", -1, 0)), True),
    ],
)
def test_a_damaged_exif_hides_no_photo_and_turns_it_where_it_says_how(damaged, turned):
    found = opened(ramp(60).crop((0, 0, 60, 30)), "jpeg", exif=damaged)
    assert found.shape == ((60, 30, 3) if turned else (30, 60, 3))


def test_what_is_no_file_with_a_photo_is_refused_at_once_by_its_name(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"a\.jpg is no readable photo \(there is no such file\)"):
        photo.read(tmp_path / "a.jpg", "a.jpg")
    with pytest.raises(DataError, match=r"deep\.png is no .* save it with 8 bits"):
        opened_as(tmp_path, Image.new("I;16", (8, 8), 40_000), "deep.png")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe is no readable photo \(a pipe or device"):
        photo.read(tmp_path / "pipe", "pipe")
    with pytest.raises(DataError, match=r"here is no readable photo \(a folder\)"):
        photo.read(tmp_path, "here")
    with pytest.raises(DataError, match=r"empty is no .* 0 x 5 pixels"):
        photo.read(Image.new("RGB", (0, 5)), "empty")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"huge\.png is no .*than 2,000 pixels: make it smaller"):
        opened_as(tmp_path, Image.new("1", (200, 200)), "huge.png")


def opened_as(folder, image: Image.Image, name: str) -> Image.Image:
    image.save(folder / name)
    return photo.read(folder / name, name)


def test_photos_are_written_whole_or_not_at_all_and_not_over_each_other(tmp_path):
    picture = blob(9, 9, 20)
    photo.write(picture, tmp_path / "a.png")
    np.testing.assert_array_equal(photo.read(tmp_path / "a.png", "a"), picture)
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    os.link(tmp_path / "a.png", tmp_path / "hard.png")
    for name in ("a.png", "link.png", "hard.png", "../" + tmp_path.name + "/a.png"):
        with pytest.raises(DataError, match="would be overwritten"):
            photo.spare(tmp_path / name, [tmp_path / "a.png"])
    photo.spare(tmp_path / "new.png", [tmp_path / "a.png"])
    for name in ("x", "x.foo", "."):
        with pytest.raises(DataError, match=r"let its name end in \.png or \.jpg"):
            photo.spare(tmp_path / name, [])
    before = sorted(tmp_path.iterdir())
    for path, why in (("gone/x.png", "No such file"), ("d.png", "a folder")):
        (tmp_path / "d.png").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=f"cannot be written \\({why}"):
            photo.write(picture, tmp_path / path)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "d.png"])
