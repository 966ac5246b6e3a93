"""Photo sets: what they hold, how their photos are read, and how they are found by name."""

import io

import numpy as np
import pytest
from PIL import Image

from dclib import data
from dclib.data import lists, photos
from dclib.data.photos import PhotoSet, lines_fingerprint, nothing, read_from
from dclib.errors import DataError

SIZES = [(40, 30), (20, 50), (31, 17)]  # width, height


def content(colour, size, kind="RGB") -> bytes:
    file = io.BytesIO()
    Image.new(kind, size, colour).save(file, "png")
    return file.getvalue()


def boxes(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


@pytest.fixture
def three(tmp_path) -> PhotoSet:
    """Photos 0, 1, 2 have as many faces, and their number as their red."""
    rows = [f"{number}.png" for number in range(3)]
    (tmp_path / "list.txt").write_text("\n".join(rows))
    for number, (row, size) in enumerate(zip(rows, SIZES, strict=True)):
        (tmp_path / row).write_bytes(content((number, 100, 200), size))
    lines, _ = lists.read(tmp_path / "list.txt")
    faces = tuple(boxes(*[(i, 0, 5 + i, 5)] * i) for i in range(3))
    return PhotoSet(
        name="three",
        fingerprint="0",
        names=tuple(rows),
        boxes=faces,
        points=tuple(np.full((len(of), 5, 2), np.nan, np.float32) for of in faces),
        ignored=nothing(3),
        groups=np.arange(3),
        complete=True,
        read=read_from([tmp_path / row for row in rows], lines, faces),
    )


def test_photos_are_rgb_as_channels_rows_columns(three):
    for number, (width, height) in enumerate(SIZES):
        pixels = three.read(number)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (3, height, width)
        assert pixels.flags["C_CONTIGUOUS"]
        assert pixels[:, 3, 7].tolist() == [number, 100, 200]


def test_grey_photos_have_three_channels(three, tmp_path):
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
    fields = {name: getattr(three, name) for name in three.__dataclass_fields__}
    with pytest.raises(ValueError, match=told):
        PhotoSet(**{**fields, field: value})


def test_a_missing_photo_is_named_with_its_line(three, tmp_path):
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"list\.txt:2: there is no photo .*1\.png"):
        three.read(1)
    assert three.read(2) is not None


def test_a_damaged_photo_is_named_with_its_line(three, tmp_path):
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"list\.txt:3: .*2\.png is no readable photo"):
        three.read(2)


@pytest.mark.parametrize("box", [(40, 0, 50, 9), (0, 30, 9, 39), (-9, 0, 0, 9), (0, -9, 9, 0)])
def test_a_box_beside_its_photo_is_named_and_one_across_its_edge_is_not(three, box):
    files, lines, _ = three.read.args
    across = np.array(box) + np.sign(15 - np.array(box)[[0, 1, 0, 1]])  # a pixel towards the middle
    assert read_from(files, lines, [boxes(across)])(0).shape == (3, 30, 40)
    with pytest.raises(DataError, match=r"list\.txt:1: a face box lies outside .*40 x 30 pixels"):
        read_from(files, lines, [boxes(across, box)])(0)


def test_a_fingerprint_is_of_what_is_told_not_of_how(tmp_path):
    texts = ["a\\b.jpg 1 2\nc.jpg 3\n", " a/b.jpg  1\t2\r\n\r\n c.jpg 3", "a/b.jpg 1 2 c.jpg 3"]
    marks = []
    for text in texts:
        (tmp_path / "list.txt").write_bytes(text.encode())
        marks.append(lines_fingerprint(lists.read(tmp_path / "list.txt")[0]))
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


def test_a_report_counts_and_reads_every_photo(three, tmp_path):
    report = str(photos.verified("here", (three.subset([1]), three.subset([0, 2])), "a note"))
    assert report.splitlines() == [
        "three from here: fingerprint 0",
        "1 training photos in 1 groups: 1 faces, 0 of them with points; 0 regions ignored",
        "2 held-out photos in 2 groups: 2 faces, 0 of them with points; 0 regions ignored",
        "a note",
    ]
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"no photo .*2\.png"):
        photos.verified("here", (three.subset([]), three))
