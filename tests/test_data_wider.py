"""WIDER FACE as a photo set, on tiny files in the official format."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from dclib import data
from dclib.data import photos, wider
from dclib.errors import DataError

LISTS = {  # left, top, width, height, blur, expression, illumination, invalid, occlusion, pose
    "train": [
        "0--Parade/0_Parade_a_1.jpg",
        "5",
        "5 6 20 30 0 0 0 0 0 0 ",
        "30 6 12 14 2 0 1 0 2 1 ",
        "50 6 20 30 0 0 0 1 0 0 ",
        "1 50 9 9 2 0 0 0 0 0 ",
        "20 50 0 14 2 0 0 0 0 0 ",
        "0--Parade/0_Parade_b_2.jpg",
        "0",
        "0 0 0 0 0 0 0 0 0 0 ",
        "1--Handshaking/1_c_3.jpg",
        "1",
        "-3 -2 15 10 0 0 0 0 0 0 ",
    ],
    "val": ["2--Demonstration/2_d_4.jpg", "1", "9 9 9 10 1 1 1 0 1 1 "],
}
NAMES = {part: [line for line in lines if line.endswith(".jpg")] for part, lines in LISTS.items()}
SIZE = (80, 64)


def content(name: str) -> bytes:
    """A photo whose red tells its number."""
    file = io.BytesIO()
    Image.new("RGB", SIZE, (int(name[-5]) * 50, 0, 0)).save(file, "jpeg", quality=95)
    return file.getvalue()


def write_lists(folder, changed=LISTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in changed.items():
        (folder / f"wider_face_{part}_bbx_gt.txt").write_text("\n".join(lines) + "\n")


def write_folders(folder, leave_out=()) -> None:
    for part, names in NAMES.items():
        for name in set(names) - set(leave_out):
            path = folder / f"WIDER_{part}/images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(name))


def write_zips(folder) -> None:
    """Everything as it is published."""
    for part, names in NAMES.items():
        with zipfile.ZipFile(folder / f"WIDER_{part}.zip", "w") as archive:
            for name in names:
                archive.writestr(f"WIDER_{part}/images/{name}", content(name))
    with zipfile.ZipFile(folder / "wider_face_split.zip", "w") as archive:
        for part, lines in LISTS.items():
            name = f"wider_face_split/wider_face_{part}_bbx_gt.txt"
            archive.writestr(name, "\n".join(lines))


def test_boxes_worked_by_hand(tmp_path):
    write_lists(tmp_path)
    crowd, empty, cut = wider.read(tmp_path / "wider_face_train_bbx_gt.txt")
    assert crowd.faces.tolist() == [[5, 6, 25, 36], [30, 6, 42, 20]]
    assert crowd.ignored.tolist() == [[50, 6, 70, 36], [1, 50, 10, 59]]  # invalid, too low
    assert (empty.faces.shape, empty.ignored.shape) == ((0, 4), (0, 4))
    assert cut.faces.tolist() == [[-3, -2, 12, 8]]
    assert [one.line.photo() for one in (crowd, empty, cut)] == NAMES["train"]


@pytest.mark.parametrize("packed", [True, False])
def test_photos_and_boxes_go_together(places, packed):
    if packed:
        write_zips(places / "mirror")
    else:
        write_lists(places / "mirror/wider_face/wider_face_split")
        write_folders(places / "data")
    training, validation = photos.load("wider")
    assert training.names == tuple(NAMES["train"])
    assert validation.names == tuple(NAMES["val"])
    assert [len(boxes) for boxes in training.boxes] == [2, 0, 1]
    assert validation.boxes[0].tolist() == [[9, 9, 18, 19]]
    assert training.complete
    assert np.isnan(training.points[0]).all()
    assert training.points[0].shape == (2, 5, 2)
    assert len(set(training.groups.tolist())) == 3
    for part in (training, validation):
        for number, name in enumerate(part.names):
            pixels = part.read(number)
            assert pixels.shape == (3, *SIZE[::-1])
            np.testing.assert_allclose(pixels[0], int(name[-5]) * 50, atol=3)
    assert training.fingerprint == validation.fingerprint == photos.fingerprint("wider")


def test_the_fingerprint_is_of_both_lists_however_packed(places):
    write_zips(places / "mirror")
    marks = [photos.fingerprint("wider")]
    for part, old, new in (("val", "9 9", "9 9"), ("val", "9 9", "9 8"), ("train", "5 6", "5 7")):
        changed = {**LISTS, part: [line.replace(old, new) for line in LISTS[part]]}
        write_lists(places / "own", changed)
        marks.append(wider.fingerprint(places / "own"))
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_the_report_counts(places):
    write_lists(places / "own/wider_face_split")
    write_folders(places / "own")
    report = str(data.prepare("wider", places / "own"))
    assert report.splitlines()[1:] == [
        "3 training photos in 3 groups: 3 faces, 0 of them with points; 2 regions ignored",
        "1 held-out photos in 1 groups: 1 faces, 0 of them with points; 0 regions ignored",
    ]


def test_missing_photos_are_counted(places):
    write_lists(places / "mirror")
    write_folders(places / "mirror", leave_out=NAMES["train"][:2])
    with pytest.raises(DataError, match=r"train_bbx_gt\.txt:1: 2 of 3 photos are not in .*_a_1"):
        photos.load("wider")


def test_missing_archives_are_named_with_page_and_place(places):
    with pytest.raises(DataError, match=r"wider_face_split\.zip is not in") as told:
        photos.load("wider")
    assert wider.PAGE in str(told.value)
    write_lists(places / "mirror")
    with pytest.raises(DataError, match=r"WIDER_train\.zip is not in") as told:
        photos.load("wider")
    assert wider.PAGE in str(told.value)
    (places / "mirror/wider_face_val_bbx_gt.txt").unlink()
    with pytest.raises(DataError, match=r"val_bbx_gt\.txt: there is no such file"):
        photos.load("wider")


def replaced(at: int, *lines: str) -> list[str]:
    return [*LISTS["train"][: at - 1], *lines, *LISTS["train"][at:]]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (replaced(2, "five"), "2: the number of boxes expected, not five"),
        (replaced(2, "-5"), "2: the number of boxes expected, not -5"),
        (replaced(2), "2: the number of boxes expected, not 5 6 20"),
        (replaced(2, "4"), "7: 1 fields expected, 10 found"),
        (replaced(2, "6"), "8: 10 fields expected, 1 found"),
        (replaced(10), "10: 10 fields expected, 1 found"),
        (replaced(3, "5 6 20 30 0 0 0 0 0"), "3: 10 fields expected, 9 found"),
        (replaced(3, "5 x 20 30 0 0 0 0 0 0"), "3: a number expected"),
        (replaced(3, "5 6 20 30 0 0 0 2 0 0"), "3: the mark of invalid faces is 0 or 1, not 2"),
        (replaced(8, "../b.jpg"), "8: .* leads out of the folder"),
        (replaced(8, "0--Parade/0_Parade_a_1.jpg"), "8: .* already given in line 1"),
        (LISTS["train"][:11], "11: the list ends before the number of boxes"),
        (LISTS["train"][:12], "12: the list ends before 1 boxes have followed"),
    ],
)
def test_a_faulty_line_is_named_by_file_and_number(places, lines, told):
    write_lists(places / "mirror", {**LISTS, "train": lines})
    write_folders(places / "mirror")
    with pytest.raises(DataError, match=rf"train_bbx_gt\.txt:{told}"):
        photos.load("wider")


def test_a_box_outside_its_photo_is_named(places):
    changed = [*LISTS["val"][:2], "80 9 9 10 1 1 1 0 1 1"]
    write_lists(places / "own", {**LISTS, "val": changed})
    write_folders(places / "own")
    with pytest.raises(DataError, match=r"val_bbx_gt\.txt:1: a face box lies outside .*80 x 64"):
        data.prepare("wider", places / "own")


def test_two_photos_beside_a_list_of_their_own(places):
    folder = places / "mirror/wider_face/images"
    folder.mkdir(parents=True)
    (folder / "boxes.txt").write_text("c_3.jpg 5 6 25 36 1 50 10 59 7 7 7 20\nd_4.jpg\n")
    for name in ("c_3.jpg", "d_4.jpg"):
        (folder / name).write_bytes(content(name))
    nobody, two = photos.load("wider-two")
    assert (len(nobody), len(two)) == (0, 2)
    assert [boxes.tolist() for boxes in two.boxes] == [[[5, 6, 25, 36]], []]
    assert two.ignored[0].tolist() == [[1, 50, 10, 59]]
    assert two.read(1)[0, 0, 0] == pytest.approx(200, abs=3)
    assert data.prepare("wider-two", places / "mirror").sets[1].fingerprint == two.fingerprint
    (folder / "boxes.txt").write_text("c_3.jpg 5 6 25 36 1\n")
    with pytest.raises(DataError, match=r"boxes\.txt:1: four numbers for each box expected, 5"):
        photos.load("wider-two")


@pytest.mark.data
@pytest.mark.skipif("DCLIB_MIRROR" not in os.environ, reason="DCLIB_MIRROR is not set")
def test_the_two_real_photos():
    """Of the 442 and 9 annotated faces 33 are lower than 10 pixels."""
    _, two = photos.load("wider-two")
    assert sum(map(len, two.boxes)) == 418
    assert sum(map(len, two.ignored)) == 33
    assert [two.read(number).shape for number in range(2)] == [(3, 683, 1024), (3, 667, 1024)]
