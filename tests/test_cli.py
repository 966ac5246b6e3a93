"""The command line, as a user types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import rival_code
from PIL import Image

from dclib.__main__ import main
from dclib.study.speed.bench import Setting

TINY = ["--preset", "smoke", "--epochs", "1", "--train-faces", "32", "--batch", "16"]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)


def run_id(capsys) -> str:
    assert main(["runs", "list"]) == 0
    return capsys.readouterr().out.splitlines()[1].split()[0]


def test_from_training_to_a_prediction(tmp_path, capsys):
    assert main(["train", "--method", "RN", *TINY]) == 0
    printed = capsys.readouterr()
    assert "run 1 of 1" in printed.err
    assert "resnet18" in printed.out
    assert "failure rate" in printed.out  # at smoke no rate is chosen, so nothing is told too early
    run = run_id(capsys)

    assert main(["runs", "show", run]) == 0
    shown = capsys.readouterr().out
    assert '"method": "RN"' in shown
    assert "failure rate" in shown
    assert main(["runs", "verify"]) == 0
    assert f"{run} RN on resnet18" in capsys.readouterr().out

    photo = tmp_path / "face.png"
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photo)
    assert main(["predict", str(photo), "--run", run[:6], "--draw", "drawn.png"]) == 0
    found = json.loads(capsys.readouterr().out)
    points = np.array(found["landmarks"])
    assert points.shape == (5, 2)
    assert (points >= [20, 0]).all()  # within the central square
    assert (points <= [140, 120]).all()
    assert list(found["labels"]["smile"]) == ["smiling", "not smiling"]
    assert sum(found["labels"]["profile"].values()) == pytest.approx(1, abs=1e-3)
    with Image.open("drawn.png") as drawn:
        assert drawn.size == (160, 120)

    assert main(["runs", "publish", run]) == 0
    assert (tmp_path / "results" / "runs" / run / "record.json").exists()


def test_prediction_in_a_box_moves_with_the_box(tmp_path, capsys):
    main(["train", "--method", "RN-S", *TINY])
    capsys.readouterr()
    run = run_id(capsys)
    face = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    canvas = np.zeros((100, 200, 3), dtype=np.uint8)
    canvas[10:74, 90:154] = face
    Image.fromarray(face).save("face.png")
    Image.fromarray(canvas).save("canvas.png")
    main(["predict", "face.png", "--run", run])
    alone = json.loads(capsys.readouterr().out)
    main(["predict", "canvas.png", "--run", run, "--box", "90", "10", "154", "74"])
    boxed = json.loads(capsys.readouterr().out)
    assert np.allclose(np.array(boxed["landmarks"]) - [90, 10], alone["landmarks"], atol=0.02)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--method", "DCNETT", "--preset", "smoke"], "method 'DCNETT' is unknown"),
        (["train", "--method", "RN", "--preset", "tiny"], "preset 'tiny' is unknown"),
        (["train", "--preset", "smoke"], "name what to train"),
        (["train", "--method", "RN", "--preset", "smoke", "--epochs", "0"], "epochs=0"),
        (["train", "--plan", "fig99", "--preset", "smoke"], "figure 'fig99' is unknown"),
        (["runs", "show", "ffff"], "no run"),
        (["predict", "missing.png", "--run", "ffff"], "missing.png is no readable photo"),
        (["report", "--preset", "tiny"], "preset 'tiny' is unknown"),
        (["report", "04_9_none"], "no notebook '04_9_none'"),
        (["data", "lfw"], "data set 'lfw' is unknown"),
        (["select", "--preset", "smoke"], "no run of the grid"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys):
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_records_without_weights_say_how_to_get_them(tmp_path, capsys):
    main(["train", "--method", "RN-S", *TINY])
    capsys.readouterr()
    run = run_id(capsys)
    (tmp_path / "store" / run / "weights.safetensors").unlink()
    Image.new("RGB", (64, 64)).save("face.png")
    assert main(["predict", "face.png", "--run", run]) == 1
    assert f"train --run {run}" in capsys.readouterr().err
    assert main(["train", "--run", run]) == 0
    assert main(["predict", "face.png", "--run", run]) == 0


def test_truncated_photos_are_refused(tmp_path, capsys):
    Image.new("RGB", (64, 64), "red").save("face.jpg")
    whole = (tmp_path / "face.jpg").read_bytes()
    (tmp_path / "face.jpg").write_bytes(whole[: len(whole) // 2])
    assert main(["predict", "face.jpg", "--run", "ffff"]) == 1
    assert "face.jpg is no readable photo" in capsys.readouterr().err


@pytest.mark.slow
def test_help_does_not_load_torch():
    code = "import sys; from dclib.cli import parser; parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_box_is_never_squeezed(tmp_path, capsys):
    """A flat box shows the same face as the square around it."""
    main(["train", "--method", "RN-S", *TINY])
    capsys.readouterr()
    run = run_id(capsys)
    pixels = np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("canvas.png")
    found = []
    for box in (("60", "30", "140", "70"), ("60", "10", "140", "90")):
        main(["predict", "canvas.png", "--run", run, "--box", *box])
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]


def test_a_count_of_faces_is_a_number_or_all(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--method", "RN", "--train-faces", "many"])
    assert "--train-faces: invalid face_count value: 'many'" in capsys.readouterr().err


def test_blocks_of_a_network_are_a_table(capsys):
    assert main(["blocks", "resnet18", "--resolution", "64"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[-3:] for row in rows[-5:]][-1] == ["2", "×", "2"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert main(["blocks", "resnet19"]) == 1
    assert "no network 'resnet19'" in capsys.readouterr().err


def test_the_benchmark_prints_a_row_for_each_contender(tmp_path, capsys, monkeypatch):
    rival_code.libmtl(tmp_path)
    monkeypatch.setattr("dclib.study.speed.bench.SETTINGS", {"tiny": Setting(0.125, 32, 4)})
    words = ["bench", "--rounds", "1", "--method", "XS", "--libmtl", str(tmp_path)]
    assert main(words) == 0
    rows = [row.split()[0] for row in capsys.readouterr().out.splitlines()]
    assert {"plain", "ours", "LibMTL"} <= set(rows)
    assert main(["bench", "huge"]) == 1
    assert main(["bench", "--authors-code", str(tmp_path)]) == 1
    assert "dcnet.py: no such file" in capsys.readouterr().err
