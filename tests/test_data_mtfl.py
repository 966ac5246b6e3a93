"""MTFL, on tiny archives in the official layout."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image
from tiny_mtfl import TESTING, TRAINING, Tiny

from dclib.data import load, mtfl
from dclib.data.faces import split_validation
from dclib.errors import DataError


@pytest.fixture
def tiny(monkeypatch):
    made = Tiny()
    monkeypatch.setattr(mtfl, "PUBLISHED", made.fingerprint())
    return made


@pytest.fixture
def mirrored(tiny, places):
    """Write everything to the mirror, as it is published."""

    def write():
        tiny.write_boxes(places / "mirror/cnn_facepoint/trainImageList.txt")
        return tiny.write_zip(places / "mirror/MTFL.zip")

    return write


def test_a_line_as_published_is_read_by_hand(tmp_path):
    line = (
        "lfw_5590\\Aaron_Eckhart_0001.jpg 107.250000 147.750000 126.250000 106.250000 140.750000 "
        "108.750000 113.250000 143.750000 158.750000 162.750000 1 2 2 3\r\n \r\n"
    )
    path = tmp_path / "training.txt"
    path.write_bytes(line.encode())
    told = mtfl.read_annotations(path)
    assert told.names == ("lfw_5590/Aaron_Eckhart_0001.jpg",)
    # pixel 1 of the list covers [0, 1) here, so its centre 1 becomes 0.5
    eyes, nose = [[106.75, 108.25], [147.25, 112.75]], [125.75, 143.25]
    mouth = [[105.75, 158.25], [140.25, 162.25]]
    np.testing.assert_array_equal(told.landmarks, [[*eyes, nose, *mouth]])
    labels = {name: column.tolist() for name, column in told.labels.items()}
    assert labels == {"gender": [0], "smile": [1], "glasses": [1], "profile": [2]}
    assert told.skipped == 1


def test_a_box_as_published_becomes_the_square_worked_by_hand(tmp_path):
    path = tmp_path / "trainImageList.txt"
    path.write_text("lfw_5590\\A_0001.jpg 84 161 92 169 " + "1.0 " * 10)
    boxes = mtfl.read_boxes(path).by_name()
    # columns 84 ... 161 cover [84, 162): centre 123; rows 92 ... 169: centre 131; width 161 - 84
    assert boxes == {"lfw_5590/A_0001.jpg": (123.0, 131.0, 77.0)}
    left, top, side = mtfl.training_square(boxes["lfw_5590/A_0001.jpg"])
    assert side == pytest.approx(1.65 * 77)
    assert left + side / 2 == pytest.approx(123 + 0.06 * 77)
    assert top + side / 2 == pytest.approx(131 + 0.04 * 77)


def test_groups_follow_person_photo_and_content():
    together = [
        ["lfw_5590/Ada_Alpha_0001.jpg", "lfw_5590/Ada_Alpha_0002.jpg"],
        ["lfw_5590/Ada_0001.jpg", "net_7876/7_0_0.jpg"],  # of the same content
        ["net_7876/17_0_0.jpg", "net_7876/17_2_0.jpg"],
        ["net_7876/_-20_17_0.jpg", "net_7876/_40_17_1.jpg"],
        ["net_7876/_40_170_1.jpg"],
        ["AFLW/0001-image00007.jpg", "AFLW/0002-image00007.jpg"],
        ["AFLW/0003-image00070.jpg"],
    ]
    names = sorted(name for group in together for name in group)
    number = mtfl.groups(names, ["same" if name in together[1] else name for name in names])
    found = [[n for n, of in zip(names, number, strict=True) if of == one] for one in set(number)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, together))


def test_the_tiny_set_is_decoded_from_the_mirror(tiny, mirrored):
    mirrored()
    train, test = load("mtfl", 48)
    assert (train.images.shape, test.images.shape) == ((8, 3, 60, 60), (3, 3, 48, 48))
    assert train.resolution == test.resolution == 48
    assert (train.names, test.names) == (tuple(TRAINING), tuple(TESTING))
    assert train.fingerprint == test.fingerprint == tiny.fingerprint()
    assert train.landmarks.dtype == np.float32
    assert {column.dtype for column in train.labels.values()} == {np.dtype(np.int64)}
    assert train.labels["profile"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert len(set(train.groups.tolist())) == 5
    assert isinstance(train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        train.images[0] = 0
    # points lie in the crop where they lie in the photo: third test face, shifted by 2, photo of
    # 150, from 1: (0.4 * 150 + 2 - 0.5) * 48 / 150
    np.testing.assert_allclose(test.landmarks[2, 0], [61.5 * 0.32, 61.5 * 0.32], rtol=1e-6)
    # first training face: box 95 ... 155 across, 90 ... 150 down, so width 60, side 99
    corner = np.array([125.5 + 0.06 * 60 - 49.5, 120.5 + 0.04 * 60 - 49.5])
    eye = (250 * 0.4 - 0.5 - corner) * 48 / 99 + 6
    np.testing.assert_allclose(train.landmarks[0, 0], eye, rtol=1e-6)


def test_pixels_are_those_of_the_photo(mirrored):
    path = mirrored()
    _, test = load("mtfl", 50)
    with zipfile.ZipFile(path) as archive:
        for face, name in enumerate(TESTING):
            with archive.open(name) as content, Image.open(content) as picture:
                pixels = np.asarray(picture.convert("RGB"), dtype=float)  # (150, 150, 3)
            thirds = pixels.reshape(50, 3, 50, 3, 3).mean((1, 3)).transpose(2, 0, 1)
            np.testing.assert_allclose(test.images[face], thirds, atol=6)


def test_the_same_content_passes_however_it_is_packed(tiny, places, tmp_path):
    tiny.write_boxes(places / "mirror/trainImageList.txt")
    (tmp_path / "holder").mkdir()
    sources = [
        tiny.write_zip(tmp_path / "any name.zip", top="MTFL/"),
        tiny.write_folder(tmp_path / "unpacked"),
        tiny.write_zip(tmp_path / "holder/MTFL.zip").parent,
        tiny.write_folder(tmp_path / "with other line ends and slashes"),
    ]
    path = sources[3] / "training.txt"
    path.write_bytes(path.read_bytes().replace(b"\r\n ", b"\n").replace(b"\\", b"/"))
    reports = [mtfl.prepare(source) for source in sources]
    assert {report.train.fingerprint for report in reports} == {tiny.fingerprint()}
    for report in reports[1:]:
        np.testing.assert_array_equal(report.train.images, reports[0].train.images)


@pytest.mark.parametrize("changed", ["pixel", "point", "label", "box", "order"])
def test_other_content_is_reported(tiny, places, mirrored, changed):
    if changed == "pixel":
        tiny.photos["AFLW/0001-image00007.jpg"] = tiny.photos["AFLW/0002-image00007.jpg"]
    elif changed == "point":
        tiny.training[2] = tiny.training[2].replace("102.000000", "103.000000", 1)
    elif changed == "label":
        tiny.testing[0] = tiny.testing[0][:-1] + "4"
    elif changed == "box":
        tiny.boxes[0] = tiny.boxes[0].replace(" 95 ", " 96 ")
    else:
        tiny.training.reverse()
    mirrored()
    with pytest.raises(DataError, match="not that of the published MTFL") as told:
        load("mtfl", 48)
    assert tiny.fingerprint() in str(told.value)
    assert mtfl.PUBLISHED in str(told.value)
    assert not list((places / "data/cache").glob("mtfl-48-*v?"))


def test_the_report_counts(places, mirrored):
    mirrored()
    report = str(mtfl.prepare())
    assert report == str(mtfl.prepare())  # from the cache
    for line in (
        f"MTFL from {places}/mirror/MTFL.zip: content verified, fingerprint {mtfl.PUBLISHED}",
        *("8 training faces in 5 groups", "  gender: 4 / 4", "  profile: 2 / 2 / 2 / 1 / 1"),
        *("3 test faces in 2 groups", "2 blank lines skipped"),
    ):
        assert line in report.splitlines()


@pytest.mark.parametrize("named", [True, False])
def test_the_archive_is_verified_even_if_its_faces_are_in_the_cache(tiny, mirrored, named):
    mirrored()
    before = load("mtfl", 48)[0]
    name = "net_7876/18_0_0.jpg"
    tiny.photos[name] = tiny.photos[name][:-500]
    path = mirrored()
    with pytest.raises(DataError, match=rf"training\.txt:6: {name} is no readable photo"):
        mtfl.prepare(path if named else None)
    np.testing.assert_array_equal(load("mtfl", 48)[0].images, before.images)  # the cache stands


def test_the_face_boxes_are_found_in_their_archive_too(tiny, places):
    tiny.write_zip(places / "data/MTFL.zip")
    with zipfile.ZipFile(places / "mirror/train.zip", "w") as archive:
        archive.writestr("train/trainImageList.txt", "\n".join(tiny.boxes))
    assert len(load("mtfl", 48)[0]) == 8


@pytest.mark.parametrize("call", [lambda: load("mtfl", 48), mtfl.prepare])
def test_missing_archives_are_named_with_page_and_place(tiny, places, call):
    with pytest.raises(DataError, match=r"MTFL\.zip") as told:
        call()
    for part in (mtfl.ARCHIVE.page, "DCLIB_MIRROR", str(places / "data"), str(places / "mirror")):
        assert part in str(told.value)
    tiny.write_zip(places / "data/MTFL.zip")
    with pytest.raises(DataError, match=r"train\.zip") as told:
        call()
    assert mtfl.BOXES.page in str(told.value)


LINE_FAULTS = [  # field, what it becomes, what is told
    (14, "3 3", "15 fields expected, 16 found"),
    (14, "", "15 fields expected, 14 found"),
    (3, "12,5", "a number expected"),
    (3, "nan", "not finite"),
    (11, "0", "a label from 1 to 2 expected in field 12, not 0"),
    (14, "6", "a label from 1 to 5 expected in field 15, not 6"),
    (13, "1.0", "a label from 1 to 2"),
    (1, "1000", "a point lies outside"),
    (6, "0.2", "a point lies outside"),
    (0, "..\\..\\secret.jpg", "leads out of the folder"),
    (0, "net_7876/../../secret.jpg", "leads out of the folder"),
    (0, "/etc/secret.jpg", "leads out of the folder"),
    (0, "C:\\secret.jpg", "leads out of the folder"),
    (0, "lfw_5590\\Nobody_0001.jpg", "there is no such file"),
    (0, "lfw_5590\\Ada_Alpha_0001.jpg", "already given in line 1"),
]


@pytest.mark.parametrize(("field", "value", "told"), LINE_FAULTS)
@pytest.mark.parametrize("packed", [True, False])
def test_a_faulty_line_is_named_by_file_and_number(
    tiny, places, mirrored, field, value, told, packed
):
    fields = tiny.training[4].split()
    fields[field] = value
    tiny.training[4] = " ".join(fields)
    mirrored()
    source = None if packed else tiny.write_folder(places / "unpacked")
    with pytest.raises(DataError, match=told) as error:
        mtfl.prepare(source)
    assert f"{source or places / 'mirror/MTFL.zip'}/training.txt:5: " in str(error.value)
    assert not list((places / "data/cache").glob("mtfl-48-*v?"))


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ("84 84 92 169", r"trainImageList\.txt:1: the face box is empty"),
        ("0 900 0 900", r"training\.txt:1: the face box .* does not lie"),
        ("300 350 10 60", r"training\.txt:1: the face box .* does not lie"),
        (None, r"training\.txt:1: no face box .*Ada_Alpha_0001"),
    ],
)
def test_a_faulty_face_box_is_named(tiny, mirrored, box, told):
    first, *others = tiny.boxes
    fields = first.split()
    tiny.boxes = [" ".join([fields[0], box, *fields[5:]]), *others] if box else others
    mirrored()
    with pytest.raises(DataError, match=told):
        load("mtfl", 48)


def test_photos_that_are_not_what_they_should_be_are_named(tiny, mirrored):
    whole, name = dict(tiny.photos), "net_7876/17_1_0.jpg"
    tiny.photos[name] = whole[name][:-500]
    mirrored()
    with pytest.raises(DataError, match=rf"training\.txt:5: {name} is no readable photo"):
        load("mtfl", 48)
    tiny.photos = whole | {"AFLW/0002-image00007.jpg": whole["net_7876/_40_17_1.jpg"]}
    mirrored()
    with pytest.raises(DataError, match=r"testing\.txt:2: .* is no square: 160 x 216"):
        load("mtfl", 48)
    tiny.photos = whole
    path = mirrored()
    content = bytearray(path.read_bytes())
    content[content.index(whole[name]) + 40] ^= 0xFF  # breaks its checksum
    path.write_bytes(content)
    message = r"training\.txt:5: .*MTFL\.zip/net_7876/17_1_0\.jpg: cannot be read \(Bad CRC"
    with pytest.raises(DataError, match=message):
        load("mtfl", 48)


@pytest.mark.parametrize("content", [b"", b"\r\n \r\n", b"\xff\xfe\x00a"])
def test_a_list_that_is_none_is_named(tmp_path, content):
    (tmp_path / "testing.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"testing\.txt"):
        mtfl.read_annotations(tmp_path / "testing.txt")


@pytest.mark.data
@pytest.mark.skipif("DCLIB_MIRROR" not in os.environ, reason="DCLIB_MIRROR is not set")
def test_the_real_set_is_the_published_one():
    """Counts of the official read-me and of the lists; scales of training and test faces."""
    halves = train, test = load("mtfl", 48)
    assert (len(train), len(test)) == (10_000, 2_995)
    counts = [
        {name: np.bincount(column).tolist() for name, column in half.labels.items()}
        for half in halves
    ]
    assert counts[0] == {
        **{"gender": [5807, 4193], "smile": [5616, 4384], "glasses": [1408, 8592]},
        "profile": [136, 1113, 7445, 1111, 195],
    }
    assert counts[1] == {
        **{"gender": [1173, 1822], "smile": [1632, 1363], "glasses": [241, 2754]},
        "profile": [193, 450, 1825, 401, 126],
    }
    eyes = [half.landmarks[:, 0] - half.landmarks[:, 1] for half in halves]
    scales = [np.median(np.linalg.norm(apart, axis=1)) / 48 for apart in eyes]
    assert scales[1] == pytest.approx(0.298, abs=0.001)
    assert scales[0] == pytest.approx(scales[1], rel=0.05)
    window = train.landmarks - 6
    assert (window >= 0).all()
    assert (window <= 48).all()
    training, validation = split_validation(train)
    assert (len(training), len(validation)) == (9_000, 1_000)
    assert not set(train.groups[training]) & set(train.groups[validation])
