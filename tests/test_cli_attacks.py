"""What users type who mean something else: one line that says what, where and what to do.

No traceback, nothing done by halves, and no option that is taken and then not used.
"""

import re
import shutil

import pytest
from PIL import Image

from dclib import paths, plan
from dclib.cli import main
from dclib.train import train

RUN = ["train", "--method", "RN", "--preset", "smoke"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The store of a finished run, and its id."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCLIB_STORE", str(place / "store"))
        patch.setenv("DCLIB_RESULTS", str(place / "results"))
        record = train(tiny())
    return place / "store", record.id


def tiny(**changes):
    return plan.experiment("smoke", "RN-S", train_faces=32, batch=16, epochs=2, lr=0.1, **changes)


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    """A working folder with a photo and a copy of that store; the id of its run."""
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made[0], tmp_path / "store")
    Image.new("RGB", (64, 64)).save("face.png")
    return made[1]


def refused(words, capsys) -> str:
    """The one line by which a command refuses some words."""
    try:
        status = main(words)
    except SystemExit as end:  # argparse, which shows the usage first
        assert end.code == 2, words
        return capsys.readouterr().err.strip().splitlines()[-1]
    printed = capsys.readouterr()
    assert (status, printed.out) == (1, ""), words
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1, printed.err
    return printed.err


@pytest.mark.parametrize(
    "words",
    [
        *([*RUN, "--lr", word] for word in ("nan", "inf", "0", "-1", "", "x", "1e400")),
        *([*RUN, "--width", word] for word in ("nan", "inf", "-inf", "0", "-1", "", "1e9", "1,5")),
        *([*RUN, "--resolution", word] for word in ("0", "-5", "1000000", "48.5", "", "nan")),
        *([*RUN, "--epochs", word] for word in ("0", "-1", "1.5", "1e3", "9" * 5000, "nan")),
        *([*RUN, "--batch", word] for word in ("0", "1", "-8", "", "inf")),
        *([*RUN, "--train-faces", word] for word in ("0", "1", "-1", "all ", "", "9" * 30)),
        *([*RUN, "--try", word] for word in ("-1", "0.5", "9" * 40, "")),
        *([*RUN, option, ""] for option in ("--data", "--underlying", "--weighting", "--precision")),
        *([*RUN, option, "x"] for option in ("--data", "--underlying", "--weighting")),
        *([*RUN, option, "x"] for option in ("--pretrained", "--precision")),
        [*RUN, "--data", "../mtfl"],
        [*RUN, "--workers", "-1"],
        [*RUN, "--workers", "two"],
        [*RUN, "--workers", "2", "--scheduler", "tcp://127.0.0.1:9"],
        [*RUN, "--scheduler", ""],
        [*RUN, "--scheduler", "nonsense"],
        [*RUN, "--budget-minutes", "nan"],
        [*RUN, "--budget-minutes", "inf"],
        [*RUN, "--budget-minutes", "-1"],
        [*RUN, "--epoch", "1"],
        [*RUN, "--plan", "fig3"],
        [*RUN, "--tries", "1"],
        [*RUN, "--methods", "RN"],
        [*RUN, "fig3"],
        ["train"],
        ["train", "--method", ""],
        ["train", "--method", "rn", "--preset", "smoke"],
        ["train", "--method", "RN\nS", "--preset", "smoke"],
        ["train", "--method", "RN", "--preset", ""],
        ["train", "--plan", "fig3", "--preset", "smoke", "--tries", "0"],
        ["train", "--plan", "fig3", "--preset", "smoke", "--tries", "-1"],
        ["train", "--plan", "fig3", "--preset", "smoke", "--methods", "RN", "Nobody"],
        *(["train", "--plan", "fig3", "--preset", "smoke", *more]
          for more in (["--epochs", "1"], ["--lr", "1"], ["--try", "0"], ["--width", "1"],
                       ["--data", "mtfl"], ["--underlying", "resnet18"], ["--precision", "bf16"])),
        *(["train", "--run", "0" * 12, *more]
          for more in (["--epochs", "1"], ["--lr", "1"], ["--try", "0"], ["--preset", "smoke"],
                       ["--plan", "fig3"], ["--method", "RN"], ["--publish"], ["--workers", "1"],
                       ["--budget-minutes", "0"], ["--data", "mtfl"], ["--methods", "RN"])),
        *(["runs", "show", run] for run in ("", "*", "../x", "..", "/", ".", "[0-9]", "?", "ABCDEF",
                                            "0x1", "é", "\udcff", "a\nb", "f" * 13, "f" * 5000, "\0")),
        ["runs"],
        ["runs", "list", "extra"],
        ["runs", "list", "--method", ""],
        ["runs", "publish"],
        ["runs", "publish", "*"],
        ["runs", "verify", "../store"],
        ["runs", "delete", "0"],
        *(["predict", photo, "--run", "0" * 12] for photo in ("", "missing.png", "\0", "a\nb.png",
                                                              "\udcff.png", ".", "x" * 5000)),
        *(["predict", "face.png", "--run", run] for run in ("", "*", "../x", "ffffffffffff")),
        ["predict", "face.png"],
        ["predict", "face.png", "--run", "0", "--box", "1", "2", "3"],
        ["predict", "face.png", "--run", "0", "--box", "a", "b", "c", "d"],
        ["predict", "face.png", "--run", "0", "--box", "0", "0", "nan", "5"],
        ["predict", "face.png", "--run", "0", "--box", "0", "0", "5", "5", "--cascade", "0"],
        ["detect", "face.png", "--run", "*"],
        ["detect", "face.png", "--run", ""],
        *(["detect", "face.png", "--run", "0", "--minimum", word]
          for word in ("0", "-1", "nan", "inf", "1e-9", "", "x", "1e30")),
        ["export", "ffffffffffff", "x.onnx"],
        ["export", "ffffffffffff", ""],
        ["export", "ffffffffffff", "face.png"],
        ["export", "ffffffffffff", "/dev/null"],
        ["data", ""],
        ["data", "nothing"],
        ["data", "mine", "nowhere"],
        ["data", "mine", ""],
        ["data", "../mine", "."],
        ["data", "synthetic", "."],
        ["data", "synthetic-0", "nowhere"],
        ["data", "scenes", "."],
        ["cost", "--preset", "smoke", "--methods", "Nobody"],
        ["cost", "--preset", "nothing"],
        *(["cost", "--rounds", word] for word in ("0", "-1", "1.5", "nan", "")),
        *(["bench", "--rounds", word] for word in ("0", "-1", "inf")),
        ["bench", "tiny"],
        ["bench", "slim", "--method", "Nobody"],
        ["bench", "slim", "--method", "XS", "--authors-code", "."],
        ["bench", "slim", "--method", "DCNet", "--libmtl", "."],
        ["bench", "--record", "cpu", "--method", "XS"],
        ["bench", "--record", "nothing"],
        ["bench", "slim", "--record", "smoke"],
        ["blocks", "resnet19"],
        ["blocks", ""],
        *(["blocks", "resnet18", "--resolution", word] for word in ("0", "-1", "1000000", "inf")),
        *(["blocks", "resnet18", "--every", word] for word in ("0", "-1", "x")),
        *(["pretrain", "resnet18", "--width", word] for word in ("0", "nan", "inf", "-1")),
        *(["pretrain", "resnet18", "--resolution", word] for word in ("0", "-1", "1e3")),
        ["pretrain", "vgg11"],
        ["select", "--preset", "nothing"],
        ["select", "extra"],
        ["plan", "fig99"],
        ["plan", "--preset", "nothing"],
        ["ablate", "0" * 12, "--plan", "fig6"],
        ["ablate", "0" * 12, "--preset", "smoke"],
        ["ablate", "*"],
        ["ablate", "--plan", "fig99"],
        ["cascade"],
        ["cascade", "*"],
        ["cascade", "0" * 12, "--method", "MTCNN"],
        ["cascade", "--method", "mtcnn", "--preset", "smoke"],
        ["cascade", "--method", "MTCNN", "--preset", "smoke", "--try", "-1"],
        ["cascade", "--method", "MTCNN", "--preset", "smoke", "--tries", "1"],
        ["cascade", "--plan", "mtcnn", "--tries", "0"],
        ["cascade", "--plan", "fig3"],
        ["cascade", "--list", "--publish"],
        ["cascade", "--list", "--verify"],
        ["cascade", "--verify", "--method", "MTCNN"],
        ["detectors"],
        ["detectors", "missing.json"],
        ["detectors", "face.png"],
        ["detectors", "--time"],
        ["detectors", "face.png", "--time", "--package", "."],
        ["detectors", "--package", "."],
        ["report", "nothing"],
        ["report", "--preset", "nothing"],
        ["report", "--publish", "--preset", "smoke"],
        ["nothing"],
        [],
    ],
    ids=lambda words: ascii(" ".join(words))[1:90],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(words, there, capsys):
    before, photo = folders(), paths.store().with_name("face.png").read_bytes()
    said = refused(words, capsys)
    assert not re.search(r"Traceback|NoneType|object has no|codec", said)
    assert folders() == before
    assert paths.store().with_name("face.png").read_bytes() == photo


def folders() -> set[str]:
    """Of the store, apart from that of the locks."""
    return {path.name for path in paths.store().iterdir()} - {".locks"}
