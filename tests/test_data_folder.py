"""A folder of photos and a table: what is taken over, and that it trains."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from own_folder import FACES, make, number, photo, rows, write
from PIL import Image

from dclib import data, paths
from dclib.__main__ import main
from dclib.data.augment import DRAWS, Augmentation, augment
from dclib.errors import DataError
from dclib.records import runs
from dclib.study import plans
from dclib.tasks import Angle, Classes, Landmarks
from dclib.training.batches import face_sets
from dclib.training.loop import train
from dclib.training.verify import verify


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    return make(tmp_path, monkeypatch)


def test_faces_points_and_labels_are_those_of_the_folder(own):
    data.prepare("mine", own)
    train_set, test_set = data.load("mine", 30)  # as high as the photos: nothing is resized
    assert (len(train_set), len(test_set)) == (16, 4)
    assert train_set.fingerprint == data.find("mine").fingerprint
    assert train_set.eyes == (0, 1)
    for faces, margin in ((train_set, 4), (test_set, 0)):
        for at in range(len(faces)):
            n = number(faces, at)
            window = faces.images[at][:, margin : margin + 30, margin : margin + 30]
            # the central square begins at (40 - 30) / 2 = 5 pixels from the left
            np.testing.assert_array_equal(window, np.asarray(photo(n))[:, 5:35].transpose(2, 0, 1))
            moved = faces.landmarks[at] - [n % 5 - 5 + margin, margin]
            np.testing.assert_allclose(moved, [[12, 10.5], [22, 10.5], [17, 20]])
            assert faces.labels["smile"][at] == n % 2
            assert faces.labels["side"][at] == (1, 0, 2)[n % 3]  # front, left, right
            assert faces.labels["roll"][at] == 3 * n - 30
    assert data.find("mine").tasks(30) == (
        *(Landmarks(30, points=3), Classes("smile", 2), Classes("side", 3)),
        Angle("roll"),
    )
    assert data.find("mine").words()["side"] == ("front", "left", "right")
    assert data.find("mine").words()["roll"][2:4] == ("-30° to 0°", "0° to 30°")


def test_the_copy_needs_no_original_and_survives_a_move(own, tmp_path, monkeypatch):
    before = data.prepare("mine", own).train.fingerprint
    shutil.rmtree(own)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path / "elsewhere"))
    assert data.load("mine", 24)[0].fingerprint == before
    assert paths.data() == tmp_path / "elsewhere"


def test_a_folder_within_the_data_folder_is_prepared_in_place(own):
    (paths.data() / "cache").mkdir(parents=True)
    shutil.copytree(own, paths.data() / "mine")
    with pytest.raises(DataError, match=r"not been prepared; `python -m dclib data mine`"):
        data.load("mine", 30)
    one = data.prepare("mine")
    data.prepare("copy", own)
    assert one.train.fingerprint == data.find("copy").fingerprint
    with pytest.raises(DataError, match=r"mine is already there and no copy"):
        data.prepare("mine", own)


def test_a_copy_is_renewed_by_preparing_it_again(own):
    data.prepare("mine", own)
    before = data.find("mine").fingerprint
    write(own, rows()[:15])
    assert len(data.prepare("mine", own).train) == 12
    assert data.find("mine").fingerprint != before
    assert not list(paths.data().glob("mine.*/"))


def test_changes_after_preparing_are_noticed(own):
    data.prepare("mine", own)
    place = paths.data() / "mine"
    photo(19).save(place / "photos/03.png")
    assert len(data.load("mine", 48)[0]) == 16  # decoded before
    with pytest.raises(DataError, match="photos were changed"):
        data.load("mine", 32)
    write(place, rows()[:15])
    with pytest.raises(DataError, match=r"mine: the table was changed; `python -m dclib"):
        data.load("mine", 48)
    data.prepare("mine")
    assert len(data.load("mine", 32)[0]) == 12


def test_a_split_of_ones_own_is_kept(own):
    lines = [row | {"split": "test" if at in (3, 8) else "train"} for at, row in enumerate(rows())]
    write(own, lines)
    _, test_set = data.prepare("mine", own), data.load("mine", 30)[1]
    assert test_set.names == ("photos/03.png", "photos/08.png")


def test_groups_and_equal_photos_are_never_split(own):
    groups = [f"person {at // 4}" if at < 8 else "" for at in range(FACES)]
    lines = [row | {"group": group} for row, group in zip(rows(), groups, strict=True)]
    photo(19).save(own / "photos/18.png")
    write(own, lines)
    data.prepare("mine", own)
    train_set, test_set = data.load("mine", 30)
    assert not set(train_set.groups) & set(test_set.groups)
    halves = (train_set, test_set)
    numbers = {number(f, at): int(f.groups[at]) for f in halves for at in range(len(f))}
    assert len({numbers[at] for at in range(4)}) == 1
    assert numbers[18] == numbers[19] != numbers[17]


def test_a_box_is_cut_as_a_square_around_its_middle(own):
    box = {"left": "10", "top": "5", "right": "30", "bottom": "15"}  # 20 x 10, middle (20, 10)
    write(own, [row | box for row in rows()])
    data.prepare("mine", own)
    train_set, test_set = data.load("mine", 20)
    at, n = 0, number(test_set, 0)
    np.testing.assert_array_equal(
        test_set.images[at], np.asarray(photo(n))[:20, 10:30].transpose(2, 0, 1)
    )
    np.testing.assert_allclose(test_set.landmarks[at, 0], [12 + n % 5 - 10, 10.5])
    assert train_set.images.shape[-1] == 24


def test_photos_are_turned_upright_as_viewers_show_them(own):
    """A photo stored on its side, with the tag that says so, gives the same face."""
    data.prepare("mine", own)
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored photo is to be turned by 90 degrees clockwise
    for at in range(FACES):
        stored = photo(at).transpose(Image.Transpose.ROTATE_90)
        stored.save(own / f"photos/{at:02d}.png", exif=exif)
    data.prepare("turned", own)
    for one, other in zip(data.load("mine", 30), data.load("turned", 30), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)


def test_empty_cells_are_unknown(own):
    lines = rows()
    lines[2] |= {"x3": "", "y3": "", "smile": "", "roll_deg": " "}
    lines[4] |= dict.fromkeys(["x1", "y1", "x2", "y2", "x3", "y3"], "")
    write(own, lines)
    report = str(data.prepare("mine", own))
    train_set, test_set = data.load("mine", 30)
    where = {number(f, at): (f, at) for f in (train_set, test_set) for at in range(len(f))}
    faces, at = where[2]
    assert np.isnan(faces.landmarks[at]).tolist() == [[False, False]] * 2 + [[True, True]]
    assert faces.labels["smile"][at] == -1
    assert np.isnan(faces.labels["roll"][at])
    faces, at = where[4]
    assert faces is train_set  # without points no error can be measured
    assert np.isnan(faces.landmarks[at]).all()
    assert "unknown" in report


def test_integers_are_classes_in_their_order_and_words_in_that_of_about(own):
    lines = [row | {"age": str(at % 3 * 50 - 40)} for at, row in enumerate(rows())]
    write(own, lines)
    (own / "about.toml").write_text('tasks = ["age", "smile"]\n[classes]\nsmile = ["yes", "no"]\n')
    data.prepare("mine", own)
    assert data.find("mine").words() == {"age": ("-40", "10", "60"), "smile": ("yes", "no")}
    assert data.find("mine").tasks(30) == (Classes("age", 3), Classes("smile", 2))
    train_set, _ = data.load("mine", 30)
    assert train_set.landmarks.shape == (16, 0, 2)
    assert all(train_set.labels["smile"][at] == 1 - number(train_set, at) % 2 for at in range(16))


@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text.replace(",", ";"),
        lambda text: "\ufeff" + text,  # a byte order mark
        lambda text: text.replace("\n", "\n\n", 4) + ",,,,,,,,,\n",
        lambda text: text.replace("/", "\\"),
        lambda text: "\n".join([text.split("\n")[0], *text.split("\n")[:0:-1]]),  # other order
    ],
)
def test_tables_as_spreadsheets_save_them(own, saved):
    data.prepare("mine", own)
    text = (own / "table.csv").read_text()
    (own / "table.csv").write_text(saved(text), newline="")
    data.prepare("other", own)
    for one, other in zip(data.load("mine", 48), data.load("other", 48), strict=True):
        assert sorted(one.names) == sorted(other.names)
        other = other.subset([other.names.index(name) for name in one.names])
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        np.testing.assert_array_equal(one.labels["side"], other.labels["side"])


def mirrored(faces):
    """The first face mirrored if it may be, and nothing else done to it."""
    one = faces.subset([0])
    draws = torch.full((1, DRAWS), 0.5)
    draws[:, 4] = 0.0
    _, moved, changed = augment(
        *map(torch.from_numpy, (one.images, one.landmarks)),
        {name: torch.from_numpy(of) for name, of in one.labels.items()},
        draws,
        resolution=faces.resolution,
        symmetry=faces.symmetry,
        augmentation=Augmentation(),
    )
    return one, moved[0].numpy(), {name: of[0].item() for name, of in changed.items()}


def test_a_declared_mirror_swaps_what_it_should(own):
    data.prepare("mine", own)
    faces = data.load("mine", 30)[0]
    at = next(at for at in range(len(faces)) if faces.labels["side"][at] == 1)  # left
    one, points, labels = mirrored(faces.subset([at]))
    before = one.landmarks[0] - (faces.images.shape[-1] - 30) / 2
    np.testing.assert_allclose(points, (before * [-1, 1] + [30, 0])[[1, 0, 2]], atol=1e-4)
    assert labels["side"] == 2
    assert labels["roll"] == -one.labels["roll"][0]
    assert labels["smile"] == one.labels["smile"][0]


def test_without_a_declared_mirror_no_face_is_mirrored(own):
    (own / "about.toml").write_text("eyes = [1, 2]\n")
    report = str(data.prepare("mine", own))
    one, points, labels = mirrored(data.load("mine", 30)[0])
    np.testing.assert_allclose(points, one.landmarks[0] - 4, atol=1e-4)
    assert labels["roll"] == one.labels["roll"][0]
    assert "never mirrored" in report


def test_from_the_command_line_to_a_prediction_in_words(own, capsys):
    assert main(["data", "mine", str(own)]) == 0
    report = capsys.readouterr().out
    assert "16 training and 4 test faces" in report
    _, test_set = data.load("mine", 48)
    yes = int(test_set.labels["smile"].sum())
    assert f"smile: no {10 - (4 - yes)} / {4 - yes}, yes {10 - yes} / {yes}" in report
    assert "errors are shares of the distance of points 1 and 2" in report
    quick = ["--preset", "smoke", "--epochs", "2", "--resolution", "32", "--batch", "4"]
    words = ["train", "--data", "mine", "--method", "RN", *quick]
    assert main(words) == 1
    assert "train_faces=256, but mine has only 14 to train on" in capsys.readouterr().err
    assert main([*words, "--train-faces", "all"]) == 0
    capsys.readouterr()
    (record,) = runs.every()
    assert record.environment["trained_on"] == 14
    assert verify(record) == []
    assert main(["predict", str(own / "photos/05.png"), "--run", record.id]) == 0
    found = json.loads(capsys.readouterr().out)
    assert np.shape(found["landmarks"]) == (3, 2)
    assert list(found["labels"]["side"]) == ["front", "left", "right"]
    assert sum(found["labels"]["roll"].values()) == pytest.approx(1, abs=1e-3)


def test_a_label_can_be_the_main_task(own):
    (own / "about.toml").write_text('tasks = ["side", "landmarks"]\n')
    data.prepare("mine", own)
    settings = {"resolution": 32, "train_faces": None, "batch": 4, "epochs": 1}
    alone = train(plans.experiment("smoke", "RN-S", dataset="mine", **settings))
    assert alone.outcomes.errors == {}
    assert list(alone.outcomes.classes) == ["side"]
    both = train(plans.experiment("smoke", "RN", dataset="mine", **settings))
    assert both.outcomes.errors["bin"].shape == (1, 4)
    for record in (alone, both):
        assert verify(record) == []


def test_validation_leaves_out_faces_whose_error_cannot_be_measured(own):
    def held_out() -> list[int]:
        data.prepare("mine", own)
        settings = {"dataset": "mine", "train_faces": None, "split": "validation"}
        _, _, scored = face_sets(plans.experiment("smoke", "RN", **settings))
        return sorted(number(scored, at) for at in range(len(scored)))

    kept, *others = held_out()
    assert len(others) == 1
    lines = rows()
    lines[others[0]] |= dict.fromkeys(["x1", "y1", "x2", "y2", "x3", "y3"], "")
    write(own, lines)
    assert held_out() == [kept]


def test_data_go_with_a_method(own, capsys):
    assert main(["train", "--plan", "fig3", "--data", "mine"]) == 1
    assert "--data goes with --method" in capsys.readouterr().err
