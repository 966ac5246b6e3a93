"""What users type who mean something else: one line that says what, where and what to do.

No traceback, nothing done by halves, and no option that is taken and then not used.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from dclib import cli, paths
from dclib.cli import main
from dclib.errors import RunError
from dclib.records import runs
from dclib.study import plans
from dclib.training.checkpoint import CHECKPOINT, read_state, write_checkpoint
from dclib.training.loop import train

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
    return plans.experiment("smoke", "RN-S", train_faces=32, batch=16, epochs=2, lr=0.1, **changes)


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    """A working folder with a photo and a copy of that store; the id of its run."""
    monkeypatch.delenv("DCLIB_MIRROR", raising=False)
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made[0], tmp_path / "store")
    Image.new("RGB", (64, 64)).save("face.png")
    return made[1]


def refused(words, capsys) -> str:
    """The one line by which a command refuses some words."""
    status = 2
    with suppress(SystemExit):  # of argparse, which shows the usage first
        status = main(words)
    if status == 2:
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
        *([*RUN, option, ""] for option in ("--data", "--underlying", "--precision")),
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
        *(["runs", "show", run] for run in ("", "*", "../x", "..", "/", ".", "[0-9]", "?", "ABC",
                                            "0x1", "é", "\udcff", "a\nb", "f" * 13, "\0")),
        ["runs"],
        ["runs", "list", "extra"],
        ["runs", "list", "--method", ""],
        ["runs", "publish"],
        ["runs", "publish", "*"],
        ["runs", "verify", "../store"],
        ["runs", "delete", "0"],
        *(["runs", "unpack", path] for path in ("missing", ".", "/dev/zero", "face.png")),
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
        ["detectors", "/dev/zero"],
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
    assert not re.search(r"Traceback|NoneType|object has no", said)
    assert folders() == before
    assert paths.store().with_name("face.png").read_bytes() == photo


def folders() -> set[str]:
    """Of the store, apart from the locks and what was measured."""
    return {path.name for path in paths.store().iterdir()} - {".locks", ".ways.json"}


# Own files that are damaged


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("record.json", b""),
        ("record.json", b"[" * 100_000),
        ("record.json", b"\xff\xfe"),
        ("record.json", b'{"format": 1, "experiment": [], "environment": 3, "history": null}'),
        ("record.json", None),
        ("outcomes.npz.xz", b""),
        ("outcomes.npz.xz", b"\xfd7zXZ\x00 cut short"),
    ],
)
def test_a_damaged_record_is_named_and_stops_nothing(name, content, there, capsys):
    other = train(tiny(try_=1))
    file = paths.store() / there / name
    if content is None:  # sound JSON without some of its parts
        text = json.loads(file.read_text()) | {"environment": {"seconds": "long"}}
        content = json.dumps(text).encode()
    file.write_bytes(content)
    assert main(["runs", "list"]) == 0
    listed = capsys.readouterr()
    assert other.id in listed.out
    assert there not in listed.out
    assert str(file.parent) in listed.err
    assert main(["runs", "show", there]) == 1
    assert str(file.parent) in capsys.readouterr().err
    if b"seconds" not in content:  # it can be read, as far as publishing goes
        assert main(["runs", "publish", other.id, there]) == 1
        assert str(file) in capsys.readouterr().err
        assert not (paths.results() / "runs" / there).exists()


def test_a_table_lists_what_is_asked_for_and_own_runs_first(there, capsys):
    other = train(tiny(try_=1))
    runs.publish(other)
    shutil.rmtree(other.folder)
    assert main(["runs", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [there, other.id]
    assert [row.split()[-1] for row in rows] == ["store", "results"]
    assert (
        main(["runs", "list", "--method", "RN-S", "--preset", "smoke", "--data", "synthetic"]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["runs", "list", "--method", "DCNet"]) == 0
    assert capsys.readouterr().out == "no runs of 'DCNet'\n"


def test_weights_that_are_no_numbers_give_no_json(there, capsys):
    from safetensors.torch import load_file, save_file

    file = paths.store() / there / runs.WEIGHTS
    known = load_file(file)
    save_file({n: t * np.nan if t.is_floating_point() else t for n, t in known.items()}, file)
    said = refused_after_words(["predict", "face.png", "--run", there], capsys)
    assert f"train --run {there}" in said


def refused_after_words(words, capsys) -> str:
    """As `refused`, where lines about what is done come before."""
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.strip().splitlines()[-1]


def test_a_checkpoint_of_a_gpu_goes_on_on_a_cpu(there, monkeypatch):
    whole = runs.load(there)
    monkeypatch.setenv("DCLIB_EXECUTION", "optimiser=plain")  # its state has the shapes of a GPU's
    experiment = tiny(try_=2)

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(experiment, stop)
    file = paths.store() / experiment.id / CHECKPOINT
    state = read_state(file)
    state["how"] |= {"device": "cuda", "precision": "bf16", "compile": "yes", "optimiser": "fused"}
    for group in state["optimiser"]["param_groups"]:
        group["fused"] = True
    write_checkpoint(file, state)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    record = train(experiment)
    assert record.environment["device"] == "cpu"
    assert record.environment["precision"] == "fp32"
    assert len(record.history) == len(whole.history)


def test_a_checkpoint_of_something_else_is_named(there):
    experiment = tiny(try_=3)
    file = paths.store() / experiment.id / CHECKPOINT
    file.parent.mkdir()
    sound = {"experiment": experiment.to_json()}
    how = {"device": "cpu", "threads": 1, "precision": "fp32", "layout": "channels_last"}
    for state in (
        [],
        sound,
        sound | {"how": None},
        sound | {"how": {}},
        sound | {"how": how},
        sound | {"how": how, "net": {}, "history": "[]"},
    ):
        write_checkpoint(file, state)
        with pytest.raises(RunError, match=re.escape(str(file))):
            train(experiment)


def test_a_record_that_does_not_say_how_it_was_computed_is_named(there, capsys):
    file = paths.store() / there / "record.json"
    text = json.loads(file.read_text()) | {"format": 1, "environment": {}, "history": []}
    file.write_text(json.dumps(text))
    said = refused(["train", "--run", there], capsys)
    assert str(file) in said


# What the system refuses


def test_a_failed_run_leaves_no_folder(there, capsys):
    assert main([*RUN, "--train-faces", "100000", "--workers", "1"]) == 1
    assert "has only" in capsys.readouterr().err
    assert folders() == {there}


def test_what_is_there_is_not_trained_again_and_says_so(there, capsys):
    words = ["train", "--method", "RN-S", "--preset", "smoke", "--train-faces", "32"]
    assert main([*words, "--batch", "16", "--epochs", "2", "--lr", "0.1"]) == 0
    printed = capsys.readouterr()
    assert f"run {there}: finished before" in printed.err
    assert there in printed.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">/dev/full", 1, "No space left on device"),
        (">&-", 1, "standard output is closed"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("| true", 0, ""),
    ],
)
def test_streams_that_are_full_or_closed(redirected, status, said, there):
    where = os.environ | {"PYTHONPATH": str(paths.root())}
    command = f"{sys.executable} -m dclib runs list {redirected}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=where)
    assert done.returncode == status
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)


@pytest.mark.slow
def test_an_interrupt_while_modules_load_ends_quietly(tmp_path):
    loading = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / "torch.py").write_text(loading)
    where = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(paths.root())])}
    words = [sys.executable, "-m", "dclib", "blocks", "resnet18"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # if these tests do without
    done = subprocess.run(words, env=where, capture_output=True, text=True, preexec_fn=heard)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_places_below_a_file_are_one_line(there, monkeypatch, capsys):
    monkeypatch.setenv("DCLIB_STORE", os.path.abspath("face.png/store"))
    said = refused_after_words([*RUN, "--epochs", "1", "--workers", "1"], capsys)
    assert "face.png" in said
    assert "DCLIB_STORE" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "make room"),
        (PermissionError(13, "Permission denied", "x/y"), "x/y: Permission denied"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] can't allocate memory: 8 bytes"), "not enough memory"),
        (RecursionError("maximum"), "nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "UTF-8"),
        (ModuleNotFoundError("No module named 'nbformat'"), "pip install"),
    ],
)
def test_what_the_system_says_is_told_in_a_line(error, said, there, monkeypatch, capsys):
    def fail(name):
        raise error

    monkeypatch.setattr("dclib.records.runs.load", fail)
    assert said in refused(["runs", "show", there], capsys)


def test_faults_of_the_code_are_not_hidden(there, monkeypatch):
    def fail(name):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("dclib.records.runs.load", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        main(["runs", "show", there])


# Help


def commands(parser, name=()):
    """Every command with its parser, sub-commands too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, made in action.choices.items():
                yield from commands(made, (*name, word))
            return
    yield " ".join(name), parser


@pytest.mark.parametrize(("name", "parser"), list(commands(cli.parser())))
def test_every_option_has_a_line_and_what_has_a_default_says_it(name, parser):
    for action in parser._actions:
        assert action.help, (name, action.dest)
        if action.default not in (None, False, argparse.SUPPRESS):
            shown = f"{action.default:g}" if type(action.default) is float else action.default
            assert f"(default: {shown})" in action.help, (name, action.dest)
        assert "_" not in str(action.metavar), (name, action.dest)


def test_every_way_of_a_command_speaks_of_its_options():
    parsers = dict([*commands(cli.parser())])
    for name, command in cli.options.COMMANDS.items():
        known = {action.dest for action in parsers[name]._actions}
        said = {*command.ways, *(option for way in command.ways.values() for option in way)}
        assert {*said, *command.clash} - {""} <= known


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert re.fullmatch(r"dclib \d+\.\d+\.\d+\n", capsys.readouterr().out)
