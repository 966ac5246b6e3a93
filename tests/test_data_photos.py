"""Photo sets: what they hold, how their photos are read, and how they are found by name."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dclib import data
from dclib.data import lists, photos
from dclib.data.photos import PhotoSet, listed, nothing
from dclib.errors import DataError

SIZES = [(40, 30), (20, 50), (31, 17)]  # width, height


def content(colour, size, kind="RGB") -> bytes:
    file = io.BytesIO()
    Image.new(kind, size, colour).save(file, "png")
    return file.getvalue()


def boxes(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


FACES = [boxes(*[(i, 0, 5 + i, 5)] * i) for i in range(3)]


def photo_set(folder, faces) -> PhotoSet:
    lines, _ = lists.read(folder / "list.txt")
    return listed("three", "0", folder, lines[: len(faces)], faces, source="here")


@pytest.fixture
def three(tmp_path) -> PhotoSet:
    """Photos 0, 1, 2 have as many faces, and their number as their red."""
    (tmp_path / "list.txt").write_text("0.png\n1.png\n2.png")
    for number, size in enumerate(SIZES):
        (tmp_path / f"{number}.png").write_bytes(content((number, 100, 200), size))
    return photo_set(tmp_path, FACES)


def test_photos_are_rgb_as_channels_rows_columns(three, tmp_path):
    for number, (width, height) in enumerate(SIZES):
        pixels = three.read(number)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (3, height, width)
        assert pixels.flags["C_CONTIGUOUS"]
        assert pixels[:, 3, 7].tolist() == [number, 100, 200]
    (tmp_path / "0.png").write_bytes(content(77, (6, 4), "L"))
    assert (three.read(0) == 77).all()
    assert three.read(0).shape == (3, 4, 6)


def test_a_subset_of_a_subset_keeps_photos_and_boxes_together(three):
    chosen = three.subset([2, 0, 1]).subset(np.array([2, 0]))
    assert chosen.names == ("1.png", "2.png")
    assert [len(of) for of in chosen.boxes] == [len(of) for of in chosen.points] == [1, 2]
    assert [int(chosen.read(number)[0, 0, 0]) for number in range(len(chosen))] == [1, 2]
    assert chosen.groups.tolist() == [1, 2]
    assert len(three.subset([])) == 0


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("names", ("0.png", "1.png", "0.png"), "distinct names"),
        ("groups", np.arange(2), "as many"),
        ("points", nothing(3), "cannot be"),
        ("ignored", (np.zeros((1, 2)),) * 3, "cannot be"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(three, field, value, told):
    with pytest.raises(ValueError, match=told):
        replace(three, **{field: value})


def test_missing_and_damaged_photos_are_named_with_their_lines(three, tmp_path):
    (tmp_path / "1.png").unlink()
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"list\.txt:2: .*1\.png: there is no such file; put it there"
    ):
        three.read(1)
    with pytest.raises(DataError, match=r"list\.txt:3: .*2\.png is no readable photo"):
        three.read(2)
    assert three.read(0) is not None


@pytest.mark.parametrize("box", [(40, 0, 50, 9), (0, 30, 9, 39), (-9, 0, 0, 9), (0, -9, 9, 0)])
def test_a_box_beside_its_photo_is_named_and_one_across_its_edge_is_not(three, tmp_path, box):
    across = np.array(box) + np.sign(15 - np.array(box)[[0, 1, 0, 1]])  # a pixel towards the middle
    assert photo_set(tmp_path, [boxes(across)]).read(0).shape == (3, 30, 40)
    with pytest.raises(DataError, match=r"list\.txt:1: a face box lies outside .*40 x 30 pixels"):
        photo_set(tmp_path, [boxes(across, box)]).read(0)


def test_a_fingerprint_is_of_what_is_told_not_of_how(tmp_path):
    texts = ["a\\b.jpg 1 2\nc.jpg 3\n", " a/b.jpg  1\t2\r\n\r\n c.jpg 3", "a/b.jpg 1 2 c.jpg 3"]
    marks = []
    for text in texts:
        (tmp_path / "list.txt").write_bytes(text.encode())
        marks.append(lists.fingerprint(lists.read(tmp_path / "list.txt")[0]))
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("call", [photos.load, photos.fingerprint, photos.prepare])
def test_an_unknown_photo_set_is_named(call):
    with pytest.raises(DataError, match=r"'widr' is unknown; choose from .*'wider'"):
        call("widr")


@pytest.mark.parametrize("name", sorted(photos.PHOTO_SETS.keys() - {"scenes"}))
def test_data_that_are_nowhere_are_named_with_the_places(places, name):
    with pytest.raises(DataError) as told:
        photos.load(name)
    for part in (str(places / "mirror"), str(places / "data"), "http"):
        assert part in str(told.value)


def test_the_name_of_a_photo_set_is_not_given_to_a_folder(places):
    folder = places / "own"
    folder.mkdir()
    (folder / "table.csv").write_text("photo\n")
    with pytest.raises(DataError, match=r"CelebA: .* not in"):
        data.prepare("celeba", folder)
    assert not photos.PHOTO_SETS.keys() & data.DATASETS.keys()


def test_a_report_counts_and_reads_every_photo(three, tmp_path, monkeypatch):
    sets = three.subset([1]), three.subset([0, 2])
    monkeypatch.setattr(photos, "load", lambda name, source, fetch: sets)
    assert str(photos.prepare("lfwnet")).splitlines() == [
        "three from here: fingerprint 0",
        "1 training photos in 1 groups: 1 faces, 0 of them with points; 0 regions ignored",
        "2 held-out photos in 2 groups: 2 faces, 0 of them with points; 0 regions ignored",
    ]
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: there is no such file"):
        photos.prepare("lfwnet")
