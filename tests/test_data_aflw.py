"""AFLW's annotations of MTFL's test crops, on tiny files in the same format."""

import os

import numpy as np
import pytest
import torch
from tiny_aflw import CROPS, NAMES, NO_POINTS, SAME_PHOTO, TWICE, Tiny, crop_name, other_side

from dclib.data import aflw, find, load, mtfl, prepare
from dclib.data.aflw import EYES, MIRROR, POINTS, read
from dclib.data.augment import DRAWS, Augmentation, augment
from dclib.data.faces import split_validation
from dclib.errors import DataError
from dclib.study.speed import forecast
from dclib.training.judging import face_sizes

RATIOS = (10, 30, 50, 70, 90)


@pytest.fixture
def tiny():
    return Tiny()


@pytest.fixture
def put(tiny, places, monkeypatch):
    """Write everything to the mirror, as what is published."""

    def write() -> None:
        tiny.write_zip(places / "mirror/MTFL.zip")
        tiny.write_boxes(places / "mirror/cnn_facepoint/trainImageList.txt")
        tiny.write_table(places / "mirror/aflw21_pose" / aflw.TABLE)
        monkeypatch.setattr(mtfl, "PUBLISHED", tiny.fingerprint())
        monkeypatch.setattr(aflw, "PUBLISHED", tiny.table_fingerprint())

    return write


@pytest.fixture
def changed(tiny, put):
    """Change the row of crop 4, write everything, and find its face: the set and the number."""

    def write(change: dict[str, str], *hidden: str):
        tiny.hide(4, *hidden)
        tiny.rows[4] |= change
        put()
        halves = load("aflw-50", 48)
        assert not any(crop_name(NO_POINTS) in half.names for half in halves)
        found = [(of, of.names.index(crop_name(4))) for of in halves if crop_name(4) in of.names]
        return found[0] if found else None

    return write


def test_points_are_in_pixels_of_the_window_and_labels_are_mtfls(tiny, put):
    put()
    train, test = load("aflw-50", 75)
    crops = load("mtfl", 75)[1]
    assert train.images.shape[1:] == test.images.shape[1:] == (3, 75, 75)
    for faces in (train, test):
        # errors are shares of the distance between the eye centres, 50 of 150 pixels
        np.testing.assert_allclose(face_sizes(faces), 25, atol=1e-4)
        for at, name in enumerate(faces.names):
            row = tiny.rows[int(name[5:9]) - 1]
            there = crops.names.index(name)
            np.testing.assert_array_equal(faces.images[at], crops.images[there])
            for label in ("gender", "glasses", "profile"):
                assert faces.labels[label][at] == crops.labels[label][there]
            for label in ("yaw", "pitch", "roll"):
                assert faces.labels[label][at] == float(row[f"{label}_deg"])
            assert faces.labels["fit"][at] == pytest.approx(float(row["fit_rms_px"]) / 50)
            x, y = float(row["x_ChinCenter"]), float(row["y_ChinCenter"])
            # half a pixel for counting from 1, 1.4 for lying right of the face, and half the size
            expected = [(x - 0.5 - 1.4) / 2, (y - 0.5) / 2]
            np.testing.assert_allclose(faces.landmarks[at, 20], expected, atol=1e-4)
    assert [POINTS[eye] for eye in EYES] == ["LeftEyeCenter", "RightEyeCenter"]


def test_a_name_for_each_ratio_the_smaller_within_the_larger(put):
    put()
    smaller: tuple[str, ...] = ()
    for percent in RATIOS:
        made = find(f"aflw-{percent}")
        train, test = made.load(48)
        assert made.fingerprint == train.fingerprint == test.fingerprint
        tasks = [task.name for task in made.tasks(48)]
        assert tasks == ["landmarks", "gender", "glasses", "orientation"]
        assert len(train) + len(test) == CROPS - 1
        assert abs(len(train) - percent / 100 * (CROPS - 1)) <= 1.5
        assert train.names[: len(smaller)] == smaller
        assert not set(train.names) & set(test.names)
        smaller = train.names
        # no photo is on both sides
        for pair in (SAME_PHOTO, TWICE):
            inside = [{crop_name(at) for at in pair} <= set(half.names) for half in (train, test)]
            assert sorted(inside) == [False, True]
        training, validation = split_validation(train)
        assert not set(train.groups[training]) & set(train.groups[validation])
    assert len({find(f"aflw-{percent}").fingerprint for percent in RATIOS}) == len(RATIOS)
    assert load("aflw-30", 64)[0].names == load("aflw-30", 48)[0].names


def test_words_name_every_value_that_is_predicted():
    words = find("aflw-30").words()
    assert words["yaw"][0] == "-90° to -60°"
    assert words["roll"] == ("-60° to -30°", "-30° to 0°", "0° to 30°", "30° to 60°")
    assert {name: len(of) for name, of in words.items()} == {
        **{"gender": 2, "glasses": 2, "profile": 5},
        **{"yaw": 6, "pitch": 4, "roll": 4},
    }


def test_faces_that_look_alike_are_one_group_and_no_others(put):
    put()
    train, test = load("aflw-90", 48)
    names = train.names + test.names
    groups = np.concatenate([train.groups, test.groups])
    for one, other in (SAME_PHOTO, TWICE):
        first, second = (groups[names.index(crop_name(at))] for at in (one, other))
        assert first == second
    assert len(set(groups)) == CROPS - 1 - 2


FIVE = ("LeftEyeCenter", "RightEyeCenter", "NoseCenter", "MouthLeftCorner", "MouthRightCorner")
OTHERS = [name for name in NAMES if name not in FIVE]


@pytest.mark.parametrize(
    ("change", "hidden", "out"),
    [
        ({"row_alignment": "order"}, (), True),
        ({"row_alignment": "yaw_tol"}, (), False),
        ({"fit_rms_px": "4.99"}, (), False),  # a tenth of the distance between the eyes
        ({"fit_rms_px": "5.01"}, (), True),
        ({}, OTHERS[:10], False),
        ({}, OTHERS[:11], True),
    ],
)
def test_who_is_left_out(changed, change, hidden, out):
    assert (changed(change, *hidden) is None) == out


def test_hidden_points_and_points_outside_the_crop_are_missing(changed):
    beyond = {"x_RightEar": "152.5", "y_ChinCenter": "-154.50"}
    inside = {"x_MouthCenter": "151.9"}  # 150 when 1.9 are off
    faces, at = changed(beyond | inside, "LeftEar", "NoseLeft")
    points = faces.landmarks[at]
    missing = {POINTS[at] for at in np.flatnonzero(np.isnan(points).all(axis=1))}
    assert missing == {"LeftEar", "NoseLeft", "RightEar", "ChinCenter"}
    assert not np.isnan(points[POINTS.index("MouthCenter")]).any()


@pytest.mark.parametrize(
    ("angles", "known"),
    [
        ({"yaw_deg": "167.9"}, False),
        ({"roll_deg": "179.0"}, False),
        ({"pitch_deg": "-60.1"}, False),
        ({"yaw_deg": "-87.3", "pitch_deg": "60", "roll_deg": "-60"}, True),
        ({"yaw_deg": "", "pitch_deg": "", "roll_deg": ""}, False),
        ({"roll_deg": ""}, False),
    ],
)
def test_an_orientation_beyond_the_bins_is_not_known(changed, angles, known):
    faces, at = changed(angles)
    found = {not np.isnan(faces.labels[name][at]) for name in ("yaw", "pitch", "roll")}
    assert found == {known}


def mirrored(faces, images, points, labels):
    draws = torch.full((len(faces), DRAWS), 0.5)
    draws[:, 4] = 0
    settings = {"symmetry": faces.symmetry, "augmentation": Augmentation()}
    return augment(images, points, labels, draws, resolution=48, **settings)


def test_the_mirror_swaps_what_the_names_say_and_twice_is_the_face(tiny, put):
    assert POINTS == NAMES
    assert [POINTS[at] for at in MIRROR] == [other_side(name) for name in NAMES]
    tiny.hide(4, "LeftEar", "LeftBrowCenter")
    put()
    _, test = load("aflw-10", 48)
    images, points = torch.from_numpy(np.array(test.images)), torch.from_numpy(test.landmarks)
    labels = {name: torch.from_numpy(np.array(of)) for name, of in test.labels.items()}
    once = mirrored(test, images, points, labels)
    for name in ("gender", "glasses", "pitch", "fit"):
        torch.testing.assert_close(once[2][name], labels[name])
    for name in ("yaw", "roll"):
        torch.testing.assert_close(once[2][name], -labels[name])
    torch.testing.assert_close(once[2]["profile"], 4 - labels["profile"])
    # the drawn shape is its own mirror: only its middle moves to the other side
    whole = ~np.isnan(test.landmarks).any(axis=(1, 2))
    middle = test.landmarks[:, 20, 0]
    expected = test.landmarks + np.stack([48 - 2 * middle, 0 * middle], axis=1)[:, None]
    np.testing.assert_allclose(once[1].numpy()[whole], expected[whole], atol=2e-3)
    twice = mirrored(test, once[0].round().byte(), *once[1:])
    torch.testing.assert_close(twice[0], images.float(), rtol=0, atol=1e-2)
    torch.testing.assert_close(twice[1], points, equal_nan=True)
    torch.testing.assert_close(twice[2], labels, equal_nan=True)


EYES_IN_ONE_PLACE = {f"{axis}_{eye}EyeCenter": "40" for axis in "xy" for eye in ("Left", "Right")}
ROW_FAULTS = [
    ({"x_NoseLeft": "12,5"}, "57 cells for 56 columns"),
    ({"x_NoseLeft": "left"}, "'left' in column x_NoseLeft is no number"),
    ({"x_NoseLeft": "nan"}, "'nan' in column x_NoseLeft is no number"),
    ({"x_NoseLeft": ""}, "of x_NoseLeft, y_NoseLeft some are empty"),
    ({"x_NoseLeft": "", "y_NoseLeft": ""}, "n_visible21 tells 21 points, 20 are given"),
    ({"n_visible21": ""}, "n_visible21 tells nan points, 21 are given"),
    ({"x_NoseCenter": "", "y_NoseCenter": "", "n_visible21": "20"}, "are not all given"),
    (EYES_IN_ONE_PLACE, "eye centres"),
    ({"yaw_deg": "181"}, "an angle lies beyond 180 degrees"),
    ({"fit_rms_px": ""}, "fit_rms_px is missing or negative"),
    ({"fit_rms_px": "-1"}, "fit_rms_px is missing or negative"),
    ({"row_alignment": "guess"}, "row_alignment is one of .*'yaw', 'yaw_tol', .*, not 'guess'"),
    ({"file": "../secret.jpg"}, "leads out of the folder"),
    ({"file": crop_name(0)}, "already given in line 2"),
    ({"file": "AFLW/9999-image00001.jpg"}, "AFLW/9999-image00001.jpg is not among MTFL's test"),
]


@pytest.mark.parametrize(("change", "told"), ROW_FAULTS)
def test_a_faulty_line_is_named_by_file_and_number(places, changed, change, told):
    with pytest.raises(DataError, match=told) as error:
        changed(change)
    assert f"{places / 'mirror/aflw21_pose' / aflw.TABLE}:6: " in str(error.value)
    assert not list((places / "data/cache").glob("aflw-*v?"))


def test_columns_may_stand_in_any_order_but_none_may_be_missing(tiny, tmp_path):
    one = read(tiny.write_table(tmp_path / "one.csv"))
    lines = [line.split(",") for line in tiny.table().splitlines()]
    path = tmp_path / "two.csv"
    path.write_text("\n".join(",".join(reversed(line)) for line in lines))
    two = read(path)
    assert [row.name for row in one] == [row.name for row in two]
    np.testing.assert_array_equal([row.points for row in one], [row.points for row in two])
    np.testing.assert_array_equal([row.angles for row in one], [row.angles for row in two])
    path.write_text(tiny.table().replace("y_NoseCenter", "nose"))
    with pytest.raises(DataError, match=r"csv: there is no column y_NoseCenter; get"):
        read(path)


def test_another_table_is_refused(tiny, places, put):
    put()
    tiny.rows[4]["yaw_deg"] = "3"
    tiny.write_table(places / "mirror/aflw21_pose" / aflw.TABLE)
    with pytest.raises(DataError, match="not that of the table") as error:
        load("aflw-50", 48)
    assert tiny.table_fingerprint() in str(error.value)


def test_the_fingerprint_does_not_depend_on_line_ends(tiny, tmp_path):
    path = tiny.write_table(tmp_path / "unix.csv")
    other = tmp_path / "windows.csv"
    other.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    marks = {aflw.content_fingerprint(path), aflw.content_fingerprint(other)}
    assert marks == {tiny.table_fingerprint()}


def test_what_is_missing_is_named_and_where_to_get_it(places, put):
    with pytest.raises(DataError, match=aflw.TABLE) as error:
        prepare("aflw-50")
    for part in ("DCLIB_MIRROR", "non-commercial", "no official download", "data mtfl"):
        assert part in str(error.value)
    put()
    (places / "mirror/MTFL.zip").unlink()
    with pytest.raises(DataError, match=r"MTFL\.zip is not in") as error:
        prepare("aflw-50")
    assert mtfl.ARCHIVE.page in str(error.value)


@pytest.mark.parametrize("folder", [True, False])
def test_the_table_may_be_given_and_the_report_counts(places, put, folder):
    put()
    source = (places / "mirror/aflw21_pose").rename(places / "elsewhere")
    rows = str(prepare("aflw-50", source if folder else source / aflw.TABLE)).splitlines()
    mark = find("aflw-50").fingerprint
    assert rows[0] == f"AFLW from {source / aflw.TABLE}: content verified, fingerprint {mark}"
    train, test = load("aflw-50", 48)
    assert f"{len(train)} training faces in {len(set(train.groups))} groups" in rows
    assert "  points: 21.0 of 21 visible, on average" in rows
    right = (train.labels["roll"] >= 0).sum()  # no roll of these faces exceeds 30 degrees
    assert f"  roll: 0 / {len(train) - right} / {right} / 0" in rows
    assert f"  pitch: 0 / {len(test)} / 0 / 0" in rows


@pytest.mark.data
@pytest.mark.skipif("DCLIB_MIRROR" not in os.environ, reason="DCLIB_MIRROR is not set")
class TestRealFaces:
    def test_who_is_in(self):
        """The numbers of the docstring of `dclib.data.aflw`."""
        rows = read(aflw.find())
        assert len(rows) == 2_395
        rows = [row for row in rows if row.joined != "order"]
        assert len(rows) == 2_395 - 23
        rows = [row for row in rows if row.fit <= 0.10]
        assert len(rows) == 2_395 - 23 - 80
        rows = [row for row in rows if np.isfinite(row.points[:, 0]).sum() >= 11]
        assert len(rows) == 2_395 - 23 - 80 - 8
        assert all(row.included for row in rows)
        assert sum(bool(np.isnan(row.angles).any()) for row in rows) == 3
        assert sum(bool(np.isfinite(row.points).all()) for row in rows) == 358

    @pytest.mark.parametrize(
        ("percent", "training", "groups"),
        [(10, 228, 227), (30, 685, 678), (50, 1142, 1124), (70, 1599, 1571), (90, 2056, 2022)],
    )
    def test_ratios(self, percent, training, groups):
        train, test = load(f"aflw-{percent}", 48)
        assert forecast.FACES[f"aflw-{percent}"] == (len(train), len(test))
        assert (len(train), len(train) + len(test)) == (training, 2_284)
        assert len(set(train.groups)) == groups
        assert len(set(train.groups) | set(test.groups)) == 2_244
        assert not set(train.groups) & set(test.groups)
        assert np.isfinite(test.landmarks[:, list(EYES)]).all()
        assert face_sizes(test).min() > 0.15 * 48  # of 150 pixels at least 23.6

    def test_bins(self):
        """Of all faces, the training ones and the test ones of one ratio."""
        halves = load("aflw-50", 48)
        found = {}
        for name, words in aflw.words().items():
            values = np.concatenate([aflw.classes(half, name) for half in halves])
            found[name] = np.bincount(values[values >= 0], minlength=len(words)).tolist()
        assert found == {
            **{"gender": [830, 1454], "glasses": [168, 2116]},
            "profile": [169, 345, 1322, 335, 113],
            "yaw": [0, 165, 1007, 933, 175, 1],
            **{"pitch": [93, 1726, 458, 4], "roll": [12, 1021, 1229, 19]},
        }

    def test_roll_grows_when_the_eye_on_the_right_rises(self):
        """As `dclib.data.augment` needs it, and yaw changes sign with the side of the nose."""
        train, _ = load("aflw-90", 48)
        left, right, nose = (train.landmarks[:, at] for at in (*EYES, 14))
        tilt = np.degrees(np.arctan2(left[:, 1] - right[:, 1], right[:, 0] - left[:, 0]))
        known = np.isfinite(train.labels["roll"])
        assert np.median(abs(tilt - train.labels["roll"])[known]) < 3
        side = (nose - (left + right) / 2)[:, 0]
        assert np.corrcoef(side[known], train.labels["yaw"][known])[0, 1] < -0.8
