"""LFWNet and MTFL's test crops as photo sets, on tiny archives and on the real ones."""

import os
import zipfile

import numpy as np
import pytest
from tiny_mtfl import TESTING, TRAINING, Tiny, photo, points

from dclib import data
from dclib.data import lfwnet, lists, mtfl, photos
from dclib.data.archive import searched
from dclib.errors import DataError

OTHERS = {"lfw_5590/Ada_Alpha_0003.jpg": (250, 250), "net_7876/_0_99_0.jpg": (160, 216)}


class TinyLfwnet(Tiny):
    """The tiny MTFL, and two photos more that are in the second list of boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.photos |= {name: photo(name, size) for name, size in OTHERS.items()}
        self.others = []
        for name, size in OTHERS.items():
            told = points(size, -1)
            pairs = " ".join(f"{x} {y}" for x, y in zip(told[:5], told[5:], strict=True))
            self.others.append(f"{name} 50 110 60 121 {pairs}")

    def lists_of_boxes(self) -> dict[str, str]:
        return {
            "trainImageList.txt": "\r\n".join(self.boxes),
            "testImageList.txt": "\r\n".join(self.others),
        }

    def write_lists(self, folder) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.lists_of_boxes().items():
            (folder / name).write_text(text)


@pytest.fixture
def tiny(places, monkeypatch):
    """As published; what is changed from now on is not."""
    made = TinyLfwnet()
    made.write_lists(places / "published")
    made.write_folder(places / "published")
    told = [lists.read(places / "published" / name)[0] for name in lfwnet.LISTS]
    monkeypatch.setattr(lfwnet, "PUBLISHED", lists.fingerprint(told[0] + told[1]))
    crops, _ = lists.read(places / "published/testing.txt")
    monkeypatch.setattr(lfwnet, "TESTING", lists.fingerprint(crops))
    return made


@pytest.fixture
def mirrored(tiny, places):
    tiny.write_zip(places / "mirror/MTFL.zip")
    tiny.write_lists(places / "mirror/cnn_facepoint")
    return tiny


def test_a_line_as_published_is_read_by_hand(tmp_path):
    path = tmp_path / "trainImageList.txt"
    path.write_text(
        "lfw_5590\\Aaron_Eckhart_0001.jpg 84 161 92 169 106.250000 107.750000 146.750000 "
        "112.250000 125.250000 142.750000 105.250000 157.750000 139.750000 161.750000\n"
    )
    told = mtfl.read_boxes(path)
    assert [line.photo() for line in told.lines] == ["lfw_5590/Aaron_Eckhart_0001.jpg"]
    assert told.boxes.tolist() == [[84, 92, 162, 170]]  # the last column and row are in the box
    # the same as test_data_mtfl has from MTFL's line of this photo
    assert told.points.tolist() == [
        [[106.75, 108.25], [147.25, 112.75], [125.75, 143.25], [105.75, 158.25], [140.25, 162.25]]
    ]


def test_both_lists_are_photo_sets(mirrored):
    training, held_out = photos.load("lfwnet")
    assert training.names == tuple(TRAINING)
    assert held_out.names == tuple(OTHERS)
    assert training.fingerprint == held_out.fingerprint == photos.fingerprint("lfwnet")
    assert not training.complete
    for part in (training, held_out):
        assert [len(boxes) for boxes in part.boxes] == [1] * len(part)
        assert sum(map(len, part.ignored)) == 0
    assert held_out.boxes[0].tolist() == [[50, 60, 111, 122]]
    for number, size in enumerate(TRAINING.values()):
        assert training.read(number).shape == (3, *size[::-1])


def test_points_are_those_of_mtfl(mirrored, places):
    """Whose list counts pixels from 1 instead of 0 and has all x before all y."""
    training, _ = photos.load("lfwnet")
    told = mtfl.read_annotations(places / "published/training.txt")
    assert training.names == told.names
    np.testing.assert_allclose(np.concatenate(training.points), told.landmarks, rtol=1e-6)


def test_groups_go_through_both_lists(mirrored):
    training, held_out = photos.load("lfwnet")
    groups = dict(zip(training.names, training.groups, strict=True))
    assert groups["lfw_5590/Ada_Alpha_0001.jpg"] == groups["lfw_5590/Ada_Alpha_0002.jpg"]
    assert held_out.groups[0] == groups["lfw_5590/Ada_Alpha_0001.jpg"]
    assert held_out.groups[1] not in groups.values()


def test_the_archive_of_the_lists_has_photos_of_its_own(tiny, places):
    with zipfile.ZipFile(places / "train.zip", "w") as archive:
        for name, text in tiny.lists_of_boxes().items():
            archive.writestr(f"train/{name}", text)
        for name in (*TRAINING, *OTHERS):
            archive.writestr(f"train/{name}", tiny.photos[name])
    report = data.prepare("lfwnet", places / "published")  # a folder by its name
    assert [len(part) for part in report.sets] == [8, 2]
    report = data.prepare("lfwnet", places / "train.zip")
    tiny.write_zip(places / "mirror/MTFL.zip")
    tiny.write_lists(places / "mirror")
    for ours, theirs in zip(report.sets, photos.load("lfwnet"), strict=True):
        assert len(ours) == len(theirs) > 0
        np.testing.assert_array_equal(ours.read(1), theirs.read(1))
    assert "8 training photos in 5 groups: 8 faces, 8 of them with points" in str(report)


@pytest.mark.parametrize("changed", ["box", "order", "others"])
def test_other_lists_are_refused(mirrored, places, changed):
    if changed == "box":
        mirrored.boxes[0] = mirrored.boxes[0].replace(" 95 ", " 96 ")
    elif changed == "order":
        mirrored.boxes.reverse()
    else:
        del mirrored.others[0]
    mirrored.write_lists(places / "mirror/cnn_facepoint")
    with pytest.raises(DataError, match="not the published lists") as told:
        photos.load("lfwnet")
    assert lfwnet.PUBLISHED in str(told.value)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        (1, "200", "the face box is empty"),
        (4, "60", "the face box is empty"),
        (2, "x", "a number expected"),
        (9, "inf", "not finite"),
        (14, "1 1", "15 fields expected, 16 found"),
        (0, "../../secret.jpg", "leads out of the folder"),
        (0, "net_7876\\_0_99_0.jpg", "already given in line 2"),
    ],
)
def test_a_faulty_line_is_named_by_file_and_number(mirrored, places, field, value, told):
    fields = ["net_7876/_0_98_0.jpg", *mirrored.others[0].split()[1:]]
    fields[field] = value
    mirrored.others.append(" ".join(fields))
    mirrored.write_lists(places / "mirror/cnn_facepoint")
    with pytest.raises(DataError, match=rf"testImageList\.txt:3: .*{told}"):
        photos.load("lfwnet")


def test_a_missing_photo_is_told_when_it_is_read_and_a_missing_list_at_once(mirrored, places):
    del mirrored.photos["lfw_5590/Ada_Alpha_0003.jpg"]
    mirrored.write_zip(places / "mirror/MTFL.zip")
    _, held_out = photos.load("lfwnet")
    message = r"testImageList\.txt:1: .*Alpha_0003\.jpg: there is no such file"
    with pytest.raises(DataError, match=message):
        held_out.read(0)
    with pytest.raises(DataError, match=message):
        data.prepare("lfwnet")
    (places / "mirror/cnn_facepoint/testImageList.txt").unlink()
    with pytest.raises(DataError, match=r"testImageList\.txt: there is no such file"):
        photos.load("lfwnet")


def test_test_crops_have_the_box_that_training_squares_are_cut_around(mirrored):
    nobody, crops = photos.load("mtfl-test")
    assert (len(nobody), len(crops)) == (0, 3)
    assert crops.names == tuple(TESTING)
    left, top, right, bottom = crops.boxes[0][0].tolist()
    assert right - left == pytest.approx(bottom - top)
    box = (left + right) / 2, (top + bottom) / 2, right - left
    assert mtfl.training_square(box) == pytest.approx((0, 0, 150), abs=1e-4)
    # third crop: points(150 x 150, shifted by 2), counted from 1
    assert crops.points[2][0, 0].tolist() == [0.4 * 150 + 2 - 0.5] * 2
    assert crops.read(2).shape == (3, 150, 150)


def test_crops_of_another_size_and_another_list_are_refused(mirrored, places):
    mirrored.photos["AFLW/0002-image00007.jpg"] = photo("x", (150, 151))
    mirrored.write_zip(places / "mirror/MTFL.zip")
    with pytest.raises(DataError, match=r"testing\.txt:2: the crop is not 150 x 150 pixels"):
        data.prepare("mtfl-test", places / "mirror/MTFL.zip")
    mirrored.testing.reverse()
    mirrored.write_zip(places / "mirror/MTFL.zip")
    with pytest.raises(DataError, match="not the published list of test crops"):
        photos.load("mtfl-test")


@pytest.mark.data
@pytest.mark.skipif("DCLIB_MIRROR" not in os.environ, reason="DCLIB_MIRROR is not set")
def test_the_real_set_is_the_published_one():
    training, held_out = photos.load("lfwnet")
    assert (len(training), len(held_out)) == (10_000, 3_466)
    told = mtfl.read_annotations(mtfl.ARCHIVE.open(searched()) / mtfl.LISTS[0])
    landmarks = dict(zip(told.names, told.landmarks, strict=True))
    mtfl_points = np.array([landmarks[name] for name in training.names])
    np.testing.assert_allclose(np.concatenate(training.points), mtfl_points, atol=1e-4)
    boxes, found = (
        np.concatenate([of for part in (training, held_out) for of in getattr(part, field)])
        for field in ("boxes", "points")
    )
    assert (found >= boxes[:, None, :2]).all()
    assert (found <= boxes[:, None, 2:]).all()
    eyes = np.linalg.norm(found[:, 0] - found[:, 1], axis=1)
    assert np.median((boxes[:, 2] - boxes[:, 0]) / eyes) == pytest.approx(2.12, abs=0.01)
    assert np.isin(held_out.groups, training.groups).sum() == 759
    for part in (training, held_out):
        for number in range(0, len(part), 250):
            height, width = part.read(number).shape[1:]
            assert (part.boxes[number] >= 0).all()
            assert (part.boxes[number][:, 2:] <= (width, height)).all()
    assert len(photos.load("mtfl-test")[1]) == 2_995
