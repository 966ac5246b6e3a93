"""Tiny-ImageNet's subset, on a handful of photos in the official layouts."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_tiny_imagenet import COUNTS, KINDS, Tiny, jpeg

from dclib.data import DATASETS, load, tiny_imagenet
from dclib.errors import DataError


@pytest.fixture
def places(places, monkeypatch):
    """Those of every data set, no way to this one either, few photos."""
    nowhere = replace(tiny_imagenet.ARCHIVE, address=(places / "nowhere").as_uri())
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE", nowhere)
    monkeypatch.setattr(tiny_imagenet, "CLASSES", len(KINDS))
    monkeypatch.setattr(tiny_imagenet, "COUNTS", COUNTS)
    return places


@pytest.fixture
def tiny():
    return Tiny()


def mirrored(tiny, places, packed=True):
    tiny.write_bare(places / "mirror/tiny_imagenet", packed)


def test_photos_are_faces_without_landmarks(tiny, places):
    mirrored(tiny, places)
    train, test = load("tiny-imagenet", 48)
    assert train.images.shape == (9, 3, 48, 48)
    assert test.images.shape == (6, 3, 48, 48)
    assert train.landmarks.shape == (9, 0, 2)
    assert train.eyes is None
    assert train.labels["object"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # by name of the class
    assert test.labels["object"].tolist() == [0, 0, 1, 1, 2, 2]
    assert train.names[3] == f"train/{KINDS[0]}/{KINDS[0]}_0.JPEG"
    assert train.fingerprint == test.fingerprint == DATASETS["tiny-imagenet"].fingerprint
    assert isinstance(train.images, np.memmap)
    (task,) = DATASETS["tiny-imagenet"].tasks(48)
    assert (task.name, task.classes) == ("object", len(KINDS))


@pytest.mark.parametrize("resolution", [48, 64, 96])
def test_pixels_are_the_photo_s(tiny, places, resolution):
    """Photos of one colour stay so at every size, in the order of the names."""
    mirrored(tiny, places)
    train, _ = load("tiny-imagenet", resolution)
    for name, image in zip(train.names, train.images, strict=True):
        _, kind, file = name.split("/")
        content = tiny.photos["train", kind, int(file.split("_")[1].split(".")[0])]
        colour = np.asarray(Image.open(io.BytesIO(content)))[32, 32]
        assert abs(image.astype(int) - colour[:, None, None]).max() <= 1
        assert image.shape == (3, resolution, resolution)


def test_at_64_pixels_nothing_is_resampled(tiny, places):
    content = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(content).save(written, "JPEG")
    tiny.photos["train", KINDS[1], 0] = written.getvalue()
    mirrored(tiny, places)
    train, _ = load("tiny-imagenet", 64)
    expected = np.asarray(Image.open(written)).transpose(2, 0, 1)
    assert np.array_equal(train.images[0], expected)


def test_every_layout_gives_the_same_photos(tiny, places):
    """Two archives, a folder, the official archive with all its other photos: one fingerprint."""
    mirrored(tiny, places)
    packed = tiny_imagenet.fingerprint()
    folder = places / "elsewhere/tiny_imagenet"
    tiny.write_bare(folder, packed=False)
    tiny.write_official(places / "mirror/tiny-imagenet-200.zip")
    official = tiny_imagenet.fingerprint()  # the archive comes first
    unpacked = tiny_imagenet.fingerprint(tiny_imagenet.find(folder))
    named = tiny_imagenet.fingerprint(tiny_imagenet.find(places / "mirror/tiny-imagenet-200.zip"))
    assert packed == official == unpacked == named


@pytest.mark.parametrize("change", ["content", "class"])
def test_other_photos_have_another_fingerprint(tiny, places, change):
    mirrored(tiny, places)
    before = tiny_imagenet.fingerprint()
    content = tiny.photos.pop(("train", KINDS[0], 2))
    if change == "content":
        tiny.photos["train", KINDS[0], 2] = jpeg(77)
    else:
        other = tiny.photos["train", KINDS[1], 2]
        tiny.photos["train", KINDS[0], 2] = other
        tiny.photos["train", KINDS[1], 2] = content
    again = places / "again/tiny_imagenet"
    tiny.write_bare(again, packed=False)
    assert tiny_imagenet.fingerprint(tiny_imagenet.find(again)) != before


def test_grey_photos_are_read_as_colour(tiny, places):
    tiny.photos["train", KINDS[1], 0] = jpeg(5, mode="L")
    mirrored(tiny, places)
    train, _ = load("tiny-imagenet", 64)
    assert np.array_equal(train.images[0][0], train.images[0][1])


def test_the_report_says_what_was_found(tiny, places):
    mirrored(tiny, places)
    report = str(tiny_imagenet.prepare())
    assert "3 classes: content verified" in report
    assert "9 training faces in" in report
    assert "6 test faces in" in report
    assert tiny_imagenet.fingerprint() in report


def test_nowhere_to_be_found(places):
    with pytest.raises(DataError, match=r"tiny-imagenet-200.zip is not in .*DCLIB_MIRROR"):
        load("tiny-imagenet", 48)
    with pytest.raises(DataError, match=r"download failed.*put it into"):
        tiny_imagenet.prepare()


@pytest.mark.parametrize(
    ("photo", "content", "told"),
    [
        (("train", KINDS[2], 1), None, f"2 photos in train of class {KINDS[2]}, 3 are needed"),
        (("train", KINDS[1], 1), jpeg(3)[:-300], "_1.JPEG is no readable photo.*get it anew"),
        (("val", KINDS[0], 9), b"not a photo", "val_9.JPEG is no readable photo"),
        (("train", KINDS[1], 1), jpeg(3, size=(64, 65)), "_1.JPEG: not 64 x 64 pixels"),
        (("train", "n00000777", 0), jpeg(1), "_0.JPEG: its class n00000777 is not listed"),
    ],
)
def test_photos_that_are_not_what_they_should_be_are_named(tiny, places, photo, content, told):
    if content is None:
        del tiny.photos[photo]
    else:
        tiny.photos[photo] = content
    mirrored(tiny, places)
    with pytest.raises(DataError, match=told):
        load("tiny-imagenet", 48)
    assert not list((places / "data/cache").glob("*.part"))


def test_a_list_of_other_classes_is_refused(tiny, places):
    mirrored(tiny, places)
    (places / "mirror/tiny_imagenet/classes.txt").write_text(f"{KINDS[0]}\n")
    with pytest.raises(DataError, match=r"classes.txt: 1 classes instead of 3"):
        load("tiny-imagenet", 48)


def test_a_damaged_archive_and_damage_inside_one_are_named(tiny, places):
    mirrored(tiny, places)
    path = places / "mirror/tiny_imagenet/train.zip"
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-50])
    with pytest.raises(DataError, match=r"train.zip: damaged or not a zip archive"):
        load("tiny-imagenet", 48)
    content[content.find(tiny.photos["train", KINDS[0], 0]) + 100] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{KINDS[0]}_0.JPEG: cannot be read.*anew"):
        load("tiny-imagenet", 48)
