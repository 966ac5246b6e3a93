"""CelebA as a photo set, on tiny files in the official format."""

import numpy as np
import pytest
from PIL import Image

from dclib import data
from dclib.data import photos
from dclib.errors import DataError

BOX_COLUMNS = "image_id x_1 y_1 width height"
POINT_COLUMNS = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y"
    " leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
)
FILES = {  # where the official folders have them
    "Anno/list_bbox_celeba.txt": [
        "6",
        BOX_COLUMNS,
        "000001.jpg    95  71 226 313",
        "000002.jpg    72  94 221 306",
        "000003.jpg   216  59  91 126",
        "000004.jpg     0   0   0   0",
        "000005.jpg   236 109 120 166",
        "000006.jpg   146  67 182 252",
    ],
    "Anno/list_landmarks_celeba.txt": [
        "6",
        POINT_COLUMNS,
        "000001.jpg 165  184  244  176  196  249  194  271  266  260",
        "000002.jpg 140  204  220  204  168  254  146  289  226  289",
        "000003.jpg 244  104  264  105  263  121  235  134  251  140",
        "000004.jpg 796  539  984  539  930  687  762  756  915  756",
        "000005.jpg 273  169  328  161  298  172  283  208  323  207",
        "000006.jpg 206  139  262  137  242  171  211  207  256  208",
    ],
    "Anno/identity_CelebA.txt": [
        "000001.jpg 2880",
        "000002.jpg 2937",
        "000003.jpg 2880",
        "000004.jpg 5805",
        "000005.jpg 9295",
        "000006.jpg 4153",
    ],
    "Eval/list_eval_partition.txt": [
        "000001.jpg 0",
        "000002.jpg 0",
        "000003.jpg 0",
        "000004.jpg 0",
        "000005.jpg 1",
        "000006.jpg 2",
    ],
}
SIZE = (409, 687)  # width, height of every photo


class Tiny:
    """The lists and photos, to be changed at will and then written."""

    def __init__(self) -> None:
        self.files = {name: [*lines] for name, lines in FILES.items()}

    def write(self, folder, flat: bool = False) -> None:
        for name, lines in self.files.items():
            path = folder / (name.split("/")[1] if flat else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
        photo_folder = folder / ("img_celeba" if flat else "Img/img_celeba")
        photo_folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 7):
            picture = Image.new("RGB", SIZE, (number * 40, 0, 0))
            picture.save(photo_folder / f"{number:06d}.jpg", quality=95)


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


def test_partitions_boxes_and_points_worked_by_hand(tiny, places):
    tiny.write(places / "mirror/celeba")
    training, test = photos.load("celeba")
    assert training.names == ("000001.jpg", "000002.jpg", "000003.jpg")  # 4 has an empty box
    assert test.names == ("000006.jpg",)
    assert training.boxes[0].tolist() == [[95, 71, 95 + 226, 71 + 313]]
    assert test.points[0].tolist() == [
        [[206.5, 139.5], [262.5, 137.5], [242.5, 171.5], [211.5, 207.5], [256.5, 208.5]]
    ]
    assert training.groups[0] == training.groups[2] != training.groups[1]
    assert not training.complete
    assert sum(map(len, training.ignored)) == 0
    assert training.fingerprint == test.fingerprint == photos.fingerprint("celeba")


def test_photos_are_those_of_their_names(tiny, places):
    tiny.write(places / "data", flat=True)
    for part in photos.load("celeba"):
        for number, name in enumerate(part.names):
            pixels = part.read(number)
            assert pixels.shape == (3, *SIZE[::-1])
            np.testing.assert_allclose(pixels[0], int(name[:6]) * 40, atol=3)


def test_the_report_counts(tiny, places):
    tiny.write(places / "own/CelebA")
    report = str(data.prepare("celeba", places / "own"))
    assert "/CelebA/Img (1 photos left out, whose box is empty): fingerprint" in report
    assert report.splitlines()[1:] == [
        "3 training photos in 2 groups: 3 faces, 3 of them with points; 0 regions ignored",
        "1 held-out photos in 1 groups: 1 faces, 1 of them with points; 0 regions ignored",
    ]


def test_the_fingerprint_is_of_all_lists_however_they_lie(tiny, places):
    marks = []
    for at, name in enumerate([None, *FILES]):
        other = Tiny()
        if name:
            other.files[name][-1] = other.files[name][-1][:-1] + "1"  # the last digit
        other.write(places / f"{at}/celeba", flat=at > 2)
        marks.append(data.prepare("celeba", places / f"{at}").sets[0].fingerprint)
    tiny.write(places / "mirror", flat=True)
    assert photos.fingerprint("celeba") == marks[0]
    assert len(set(marks)) == 5


@pytest.mark.parametrize("name", [*FILES, "Img/img_celeba"])
def test_a_missing_list_is_named_with_page_and_place(tiny, places, name):
    tiny.write(places / "mirror/celeba")
    path = places / "mirror/celeba" / name
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(DataError, match=rf"CelebA: {path.name} not in") as told:
        photos.load("celeba")
    for part in ("mmlab", str(places / "mirror"), str(places / "data/celeba")):
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("name", "line", "text", "told"),
    [
        ("Anno/list_bbox_celeba.txt", 1, "7", "6 photos follow, not 7"),
        ("Anno/list_landmarks_celeba.txt", 1, POINT_COLUMNS, "6 photos follow, not lefteye_x"),
        ("Anno/list_bbox_celeba.txt", 3, "000001.jpg 95 71 226", "5 fields expected, 4 found"),
        ("Anno/list_bbox_celeba.txt", 3, "000001.jpg 95 y 226 9", "a number expected"),
        ("Anno/list_bbox_celeba.txt", 3, "../1.jpg 95 71 226 9", "leads out of the folder"),
        ("Anno/list_bbox_celeba.txt", 4, "000001.jpg 9 7 22 9", "already given in line 3"),
        ("Anno/list_landmarks_celeba.txt", 5, "000003.jpg 1 2 3", "11 fields expected"),
        ("Anno/identity_CelebA.txt", 2, "000002.jpg", "2 fields expected, 1 found"),
        ("Eval/list_eval_partition.txt", 2, "000002.jpg 3", "a partition from 0 to 2 expected"),
    ],
)
def test_a_faulty_line_is_named_by_file_and_number(tiny, places, name, line, text, told):
    tiny.files[name][line - 1] = text
    tiny.write(places / "mirror/celeba")
    with pytest.raises(DataError, match=rf"{name}:{line}: .*{told}"):
        photos.load("celeba")


@pytest.mark.parametrize("name", [name for name in FILES if "bbox" not in name])
def test_a_photo_that_one_list_lacks_is_named(tiny, places, name):
    del tiny.files[name][-4]
    tiny.files[name][0] = tiny.files[name][0].replace("6", "5", "landmarks" in name)
    tiny.write(places / "mirror/celeba")
    with pytest.raises(DataError, match=rf"{name}: 000003\.jpg .*not in both"):
        photos.load("celeba")


def test_a_missing_photo_and_a_box_outside_its_photo_are_named(tiny, places):
    tiny.files["Anno/list_bbox_celeba.txt"][-1] = "000006.jpg 409 67 182 252"
    tiny.write(places / "mirror/celeba")
    with pytest.raises(DataError, match=r"bbox_celeba\.txt:8: a face box lies outside .*409 x 687"):
        data.prepare("celeba")
    (places / "mirror/celeba/Img/img_celeba/000002.jpg").unlink()
    message = r"list_bbox_celeba\.txt:4: .*000002\.jpg: there is no such file"
    with pytest.raises(DataError, match=message):
        photos.load("celeba")[0].read(1)
    with pytest.raises(DataError, match=message):
        data.prepare("celeba")
