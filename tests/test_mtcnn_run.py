"""A whole cascade at a tiny setting: what it leaves, and that an interruption changes nothing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from coloured_photos import photo_set

from dclib import cli
from dclib.errors import DataError, RunError
from dclib.mtcnn import evaluate, presets, records, run, sources

KINDS = ["negative", "positive", "part", "landmark", "left out", "hardest"]


FACES = [[30.0, 40, 100, 110], [140.0, 120, 200, 180]]
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]], np.float32)


def few(count):
    """Photos with two faces each."""
    points = np.stack([POINTS * (right - left) + (left, top) for left, top, right, _ in FACES])
    return photo_set([FACES] * count, [points.astype(np.float32)] * count)


@pytest.fixture(scope="module")
def photos():
    held_out = few(2)
    return few(10), replace(held_out, groups=held_out.groups + 20)


def use(patch, folder, photos):
    """Let photos be these, and store and results lie in a folder."""
    patch.setenv("DCLIB_STORE", str(folder / "store"))
    patch.setenv("DCLIB_RESULTS", str(folder / "results"))
    patch.setattr(sources.photos, "load", lambda name: photos)
    patch.setattr(sources.photos, "fingerprint", lambda name: "of a few")
    patch.setattr(evaluate, "load", lambda name: photos)


@pytest.fixture
def places(tmp_path, monkeypatch, photos):
    use(monkeypatch, tmp_path, photos)
    return tmp_path / "store"


def tiny(**changes):
    """Seconds; every stage lets nearly everything pass, for nothing is learnt in this time."""
    settings = {
        "epochs": (2, 2, 2),
        "batch": (32, 32, 32),
        "samples": (64, 64, 64),
        "negatives": 8,
        "jitters": 8,
        "mining_minimum": 40.0,
        "mining_thresholds": (0.0, 0.0),
        "minimum": 40.0,
        "thresholds": (0.0, 0.0, 0.0),
        "factor": 0.5,
    }
    return presets.experiment("smoke", "MTCNN", **(settings | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory, photos):
    """One cascade, in a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        use(patch, tmp_path_factory.mktemp("made"), photos)
        return run.train_cascade(tiny())


def test_a_cascade_leaves_its_record_and_what_is_needed(made):
    again = records.read(made.folder)
    assert again.experiment == made.experiment
    assert set(again.environment["parameters"]) == {"P", "R", "O"}
    assert again.environment["parameters"]["O"] > again.environment["parameters"]["P"]
    assert set(again.environment["seconds"]) == {"P", "R", "O", "scoring"}
    for stage, rows in again.history.items():
        assert [row["epoch"] for row in rows] == [0, 1]
        assert "validation.face" in rows[0]
        assert ("loss.landmarks" in rows[0]) == (stage == "O")
        assert list(again.mined[stage]) == KINDS
        assert (len(again.mined[stage]["hardest"]) > 0) == (stage != "P")
    assert again.mined["P"]["landmark"] == 0 < again.mined["O"]["landmark"]
    assert again.findings.precision is not None
    names = {file.name for file in made.folder.iterdir()}
    stages = {f"{stage}.{kind}" for stage in "PRO" for kind in ("safetensors", "json")}
    assert names == stages | {records.RECORD, records.ARRAYS}


class Killed(Exception):
    pass


def test_a_cascade_that_is_killed_again_and_again_ends_the_same(made, places):
    """After the first epoch of each stage; every epoch is trained once."""
    seen = []

    def kill(stage, row):
        seen.append((stage, row["epoch"]))
        if row["epoch"] == 0:
            raise Killed

    for _ in "PRO":
        with pytest.raises(Killed):
            run.train_cascade(tiny(), kill)
    resumed = run.train_cascade(tiny(), kill)
    assert seen == [(stage, epoch) for stage in "PRO" for epoch in (0, 1)]
    assert resumed.findings.arrays() == made.findings.arrays()
    for name in "PRO":
        file = records.weights_name(name)
        assert (resumed.folder / file).read_bytes() == (made.folder / file).read_bytes()
        for row, own in zip(resumed.history[name], made.history[name], strict=True):
            assert {**row, "seconds": 0} == {**own, "seconds": 0}


def test_what_is_there_is_not_trained_again(made, places):
    folder = shutil.copytree(made.folder, places / made.id)
    (found,) = run.require([made.experiment])
    assert found.folder == folder
    (folder / records.RECORD).unlink()
    run.train_cascade(made.experiment, lambda *_: pytest.fail("trained"))  # only scored
    assert records.read(folder).findings.arrays() == made.findings.arrays()


def test_stages_that_are_trained_alike_are_trained_once(made, places):
    """Of cascades that differ in O alone; what O learns from is the same as if all were trained."""
    other = replace(made.experiment, lr=(*made.experiment.lr[:2], 0.001))
    alone = run.train_cascade(other)
    assert alone.environment["taken_from"] == {}
    kept = {name: (alone.folder / name).read_bytes() for name in (records.ARRAYS, "O.safetensors")}
    for file in alone.folder.iterdir():
        file.unlink()
    shutil.copytree(made.folder, places / made.id)
    (places / made.id / "O.json").unlink()  # only P and R are looked at
    seen = []
    beside = run.train_cascade(other, lambda stage, row: seen.append(stage))
    assert seen == ["O", "O"]
    assert beside.environment["taken_from"] == {"P": made.id, "R": made.id}
    for name, content in kept.items():
        assert (beside.folder / name).read_bytes() == content
    for stage in "PR":
        assert beside.history[stage] == made.history[stage]


@pytest.mark.parametrize(
    "change",
    [
        {"try_": 1},
        {"lr": (0.02, 0.01, 0.005)},
        {"smallest": 30.0},
        {"fingerprint": "another"},
        {"method": "DC-MTCNN"},
    ],
)
def test_a_stage_that_is_trained_otherwise_is_not_taken(made, places, change):
    shutil.copytree(made.folder, places / made.id)
    (places / "000000000000").mkdir()
    (places / "000000000000" / "P.safetensors").write_bytes(b"damaged")
    making = run.Making(made.experiment, lambda *_: None)
    making.experiment, making.folder = replace(made.experiment, **change), places / "other"
    assert not making.taken_over("P")
    making.experiment = replace(made.experiment, lr=(0.01, 0.02, 0.005))
    making.folder.mkdir()
    assert making.taken_over("P")
    assert not making.taken_over("R")


def test_the_trained_cascade_detects_as_it_did(made, photos):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCLIB_STORE", str(made.folder.parent))
        cascade = run.trained(made)
    e = made.experiment
    settings = run.Settings(e.minimum, e.factor, e.thresholds)
    first = next(iter(made.findings.pictures.values()))
    found = cascade.detect(photos[1].read(0), settings)
    np.testing.assert_allclose(found.boxes, first["boxes"], atol=0.01)
    np.testing.assert_allclose(found.points, first["points"], atol=0.01)


def test_weights_that_are_missing_or_of_another_stage(made, places):
    folder = shutil.copytree(made.folder, places / made.id)
    other = (folder / records.weights_name("R")).read_bytes()
    (folder / records.weights_name("P")).unlink()
    copy = records.read(folder)
    with pytest.raises(RunError, match=f"cascade {made.id}"):
        run.trained(copy)
    for content in (other, b"no weights"):
        (folder / records.weights_name("P")).write_bytes(content)
        with pytest.raises(RunError, match=r"P\.safetensors holds no weights of this stage"):
            run.trained(copy)


def test_photos_are_held_out_by_groups(monkeypatch):
    """Twenty photos in pairs: a tenth is one pair; of the others as many as are asked for."""
    pairs = replace(photo_set([[]] * 20), groups=np.arange(20) // 2)
    monkeypatch.setattr(sources.photos, "load", lambda name: (pairs, pairs))
    monkeypatch.setattr(sources.photos, "fingerprint", lambda name: "of pairs")
    (training,), (held_out,) = sources.split_sets(tiny())
    assert len(held_out) == 2
    assert len(set(held_out.groups)) == 1
    assert len(training) == 18
    assert not set(training.groups) & set(held_out.groups)
    (fewer,), (same,) = sources.split_sets(tiny(photos=7))
    assert len(fewer) == 6
    assert set(fewer.names) < set(training.names)
    assert same.names == held_out.names


def test_other_photos_than_those_named(places, monkeypatch):
    experiment = tiny()
    monkeypatch.setattr(sources.photos, "fingerprint", lambda name: "of others")
    with pytest.raises(DataError, match="obtain the same photos"):
        run.train_cascade(experiment)


def test_background_comes_from_photos_whose_faces_all_have_boxes(photos):
    whole, part = photos[0], replace(photos[0], complete=False)
    assert sources.shown_background([part, whole, part]) == [1]
    assert sources.shown_background([part, part]) == [0, 1]


def test_samples_of_several_sets(places, photos, monkeypatch):
    """Of an incomplete set beside a complete one O gets landmark faces only."""
    part = replace(photos[0], complete=False)
    cascade = run.Making(tiny(), lambda *_: None)
    torch.manual_seed(0)
    cascade.stages = {s: run.build(s, "MTCNN", width=0.5) for s in "PR"}
    made = cascade.samples("O", [part, photos[0]], run.Cascade(cascade.stages))
    counts = [part.counts() for part in made]
    assert [of["landmark"] > 0 for of in counts] == [False, True, True]
    assert [of["negative"] > 0 for of in counts] == [True, False, False]
    made = cascade.samples("P", [part, photos[0]], None)
    assert len(made) == 1


def test_commands(made, places, capsys, monkeypatch):
    def say(*words):
        options = cli.parse(words)
        options.do(options)
        return capsys.readouterr().out

    assert say("cascade", "--list") == "no cascades yet\n"
    with pytest.raises(RunError, match="name what to train"):
        say("cascade")
    wanted = tiny()
    monkeypatch.setattr(presets, "experiment", lambda *_, **__: wanted)
    folder = shutil.copytree(made.folder, places / made.id)
    told = say("cascade", "--method", "MTCNN", "--preset", "smoke", "--publish")
    assert told.startswith(f"{made.id} MTCNN (width 0.5")
    assert str(places.parent / "results" / "cascades" / made.id) in told
    assert say("cascade", "--list").startswith(made.id)
    assert say("cascade", "--verify").endswith("try 0: verified\n")
    monkeypatch.setattr(presets, "plan", lambda preset: [wanted, replace(wanted, try_=1)])
    assert say("cascade", "--plan", "mtcnn", "--tries", "1").count("\n") == 1
    text = json.loads((folder / records.RECORD).read_text())
    assert text["experiment"]["method"] == "MTCNN"
