"""From a photo to all its faces, in Python and from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_mtcnn_detect import white_squares

from dclib.__main__ import main
from dclib.data.mtfl import training_square
from dclib.errors import DataError, RunError
from dclib.mtcnn import pipeline
from dclib.mtcnn.detect import Detections
from dclib.study.plans.presets import experiment
from dclib.training.loop import train
from dclib.use import inference
from dclib.use.prediction import in_squares

SQUARES = [(30, 40, 90, 100), (150, 60, 220, 130)]


@pytest.fixture(scope="module", autouse=True)
def record(tmp_path_factory):
    """A network that has hardly been trained: its answers only must be its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCLIB_STORE", str(tmp_path_factory.mktemp("store")))
        patch.setattr(inference, "PACKAGES", ("no_such_package",))  # torch is there at once
        made = experiment("smoke", "RN", epochs=1, train_faces=32, batch=16)
        yield train(made)


@pytest.fixture
def picture():
    made = Image.new("RGB", (260, 180))
    for box in SQUARES:
        made.paste("white", box)
    return made


@pytest.fixture
def cascade(monkeypatch):
    """Any id is that of a cascade that takes white squares for faces."""
    monkeypatch.setattr(pipeline, "load", lambda name: white_squares())
    return white_squares()


def test_the_square_around_a_face_is_that_of_training_photos():
    box = np.array([10, 20, 50, 60], dtype=np.float32)
    left, top, side = pipeline.face_square(box)
    assert (left, top, side) == pytest.approx(training_square((30, 40, 40)))
    assert side == pytest.approx(66)  # 1.65 widths
    assert (left + side / 2, top + side / 2) == pytest.approx((32.4, 41.6))  # 0.06 and 0.04 of them


def test_every_face_is_predicted_as_if_it_were_alone(record, cascade, picture):
    faces = pipeline.predict_all(record, cascade, picture)
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    for face in faces:
        (alone,) = in_squares(record, picture, [pipeline.face_square(face.box)])
        np.testing.assert_allclose(face.prediction.landmarks, alone.landmarks, atol=0.01)
        for name, shares in alone.labels.items():
            assert face.prediction.labels[name] == pytest.approx(shares, abs=2e-4)
    boxes = sorted(face.box.round().tolist() for face in faces)
    assert boxes == [list(map(float, box)) for box in SQUARES]


def test_a_photo_on_its_side_is_turned_once(record, cascade, picture, tmp_path, capsys):
    about = Image.Exif()
    about[0x0112] = 6  # to be turned clockwise
    path = tmp_path / "a.png"
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=about)
    assert main(["predict", str(path), "--run", record.id, "--cascade", "any"]) == 0
    found = [face["box"] for face in json.loads(capsys.readouterr().out)["faces"]]
    with Image.open(path) as stored:
        found += [face.box for face in pipeline.predict_all(record, cascade, stored)]
    assert sorted(np.round(box).tolist() for box in found) == sorted(
        list(map(float, box)) for box in [*SQUARES, *SQUARES]
    )


def test_a_photo_without_faces(record, cascade):
    assert pipeline.predict_all(record, cascade, Image.new("RGB", (100, 100))) == []


def test_an_unknown_cascade_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    with pytest.raises(RunError, match="'ffff' names no cascade"):
        pipeline.load("ffff")


def test_detect_from_the_command_line(cascade, picture, tmp_path, capsys):
    names = [str(tmp_path / name) for name in ("a.png", "b.png")]
    picture.save(names[0])
    picture.convert("L").crop((0, 0, 120, 120)).save(names[1])
    assert main(["detect", *names, "--run", "any", "--draw", str(tmp_path / "out")]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["photo"], second["photo"]) == tuple(names)
    assert [len(found["faces"]) for found in (first, second)] == [2, 1]
    assert second["faces"][0]["box"] == pytest.approx(SQUARES[0], abs=0.3)
    with Image.open(tmp_path / "out/a.png") as drawn:
        assert drawn.size == picture.size
        assert drawn.getpixel((30, 70)) == (0xD5, 0x5E, 0x00)
        assert drawn.getpixel((60, 70)) == (0x00, 0x72, 0xB2)


def test_smaller_faces_are_left_out_on_demand(cascade, picture, tmp_path, capsys):
    picture.save(tmp_path / "a.png")
    assert main(["detect", str(tmp_path / "a.png"), "--run", "any", "--minimum", "170"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == []


def test_predict_for_all_faces_from_the_command_line(record, cascade, picture, tmp_path, capsys):
    picture.save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--run", record.id, "--cascade", "any"]
    assert main([*words, "--draw", str(tmp_path / "b.png")]) == 0
    faces = json.loads(capsys.readouterr().out)["faces"]
    expected = [face.to_dict() for face in pipeline.predict_all(record, cascade, picture)]
    assert faces == json.loads(json.dumps(expected))
    assert {"box", "score", "landmarks", "labels"} == faces[0].keys()
    assert (tmp_path / "b.png").exists()
    before = (tmp_path / "a.png").read_bytes()
    for target, message, answers in (
        ("a.png", "a.png would be overwritten", 0),
        ("b.what", "let its name end in .png or .jpg", 0),
        ("gone/b.png", "gone/b.png cannot be written (No such file", 1),
    ):
        assert main([*words, "--draw", str(tmp_path / target)]) == 1
        told = capsys.readouterr()
        assert message in told.err
        assert told.out.count("\n") == answers  # what is known is told, drawn or not
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_photo_is_not_drawn_over(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20)).save(path)
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "link", tmp_path / "other/.."):
        (tmp_path / "other").mkdir(exist_ok=True)
        with pytest.raises(DataError, match="would be overwritten"):
            pipeline.places([tmp_path / "other/a.png", path], folder)
    with pytest.raises(DataError, match=r"a\.png would be overwritten: two photos"):
        pipeline.places([tmp_path / "other/a.png", path], tmp_path / "out")
    assert pipeline.places([Path("b.webp"), Path("c"), Path("d.heic")], Path("o")) == {
        Path("b.webp"): Path("o/b.webp"),
        Path("c"): Path("o/c.png"),
        Path("d.heic"): Path("o/d.heic.png"),
    }
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        pipeline.draw(path, nothing, tmp_path / "file/a.png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["detect", "missing.png", "--run", "any"], "missing.png is no readable photo"),
        (["detect", "missing.png", "--run", "any", "--minimum", "0"], "minimum=0.0"),
    ],
)
def test_faults_from_the_command_line(cascade, words, message, capsys):
    assert main(words) == 1
    assert message in capsys.readouterr().err
