"""Run records: what goes in comes out, and damaged ones are refused with a remedy."""

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from dclib import files, paths
from dclib.errors import RunError
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.records.outcomes import ERROR_UNITS, OFFSET_UNITS, Outcomes, pack
from dclib.records.runs import Record
from dclib.study import plans

FACES, EPOCHS = 300, 5


def make_outcomes(faces: int = FACES) -> Outcomes:
    rng = np.random.default_rng(0)
    classes = {
        "gender": rng.integers(0, 2, (EPOCHS, faces)),
        "profile": rng.integers(0, 5, (EPOCHS, faces)),
    }
    return Outcomes(
        errors={d: rng.gamma(4, 0.02, (EPOCHS, faces)) for d in ("bin", "soft")},
        classes=classes,
        accuracy={task: rng.random(EPOCHS) for task in classes},
        bins=rng.integers(0, 300, (EPOCHS, faces, 5, 2)).astype(np.uint16),
        offsets=rng.uniform(-2, 2, (faces, 5, 2)),
    )


@pytest.fixture
def experiment() -> Experiment:
    return plans.experiment("smoke", "RN-S")


@pytest.fixture
def record(store, experiment) -> Record:
    return make_record(experiment)


def make_record(experiment: Experiment, history=({"epoch": 0},)) -> Record:
    folder = paths.store() / experiment.id
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"parameters": 7, "seconds": 1.5, "device": "cpu"}
    return runs.save(folder, experiment, environment, list(history), make_outcomes())


def test_outcomes_survive_the_round_trip():
    before = make_outcomes()
    after = Outcomes.from_bytes(before.to_bytes())
    assert np.array_equal(after.bins, before.bins)
    for task in before.classes:
        assert np.array_equal(after.classes[task], before.classes[task])
        assert np.array_equal(after.accuracy[task], before.accuracy[task])
    for decoder, errors in before.errors.items():
        assert abs(after.errors[decoder] - errors).max() <= 0.5 / ERROR_UNITS + 1e-9
        assert abs(after.errors[decoder].mean() - errors.mean()) < 5e-5
    assert abs(after.offsets - before.offsets).max() <= 0.5 / OFFSET_UNITS
    assert np.allclose(after.points() + before.offsets, after.points("soft"), atol=1 / 32)


def test_failures_are_kept_exactly():
    """Around the threshold no rounding moves a face across it; 0.10 itself is no failure."""
    near = np.array([0.0, 0.0999, 0.09999999, 0.1, 0.10000001, 0.1001, 3.0, 100.0])
    errors = np.tile(near, (EPOCHS, 1))
    outcomes = replace(make_outcomes(len(near)), errors={"bin": errors, "soft": errors})
    kept = Outcomes.from_bytes(outcomes.to_bytes())
    assert np.array_equal(kept.errors["bin"] > 0.10, errors > 0.10)


def test_a_run_on_all_of_mtfl_stays_small():
    """At most 100 KB, with predictions as alike from epoch to epoch as late in training."""
    rng = np.random.default_rng(0)
    faces = 2995
    last = rng.normal(24, 3, (faces, 5, 2)).clip(0, 47)
    bins = np.floor((last + rng.normal(0, 0.3, (EPOCHS, *last.shape))).clip(0, 47))
    base = rng.gamma(4, 0.02, faces)
    errors = base * rng.uniform(0.9, 1.1, (EPOCHS, faces))
    labels = rng.integers(0, 2, faces)
    classes = {t: np.stack([labels] * 5) for t in ("gender", "smile", "glasses", "profile")}
    outcomes = Outcomes(
        errors={"bin": errors, "soft": errors * 0.9},
        classes=classes,
        accuracy=dict.fromkeys(classes, np.ones(5)),
        bins=bins.astype(np.uint16),
        offsets=rng.normal(0, 0.5, (faces, 5, 2)).clip(-2, 2),
    )
    assert len(outcomes.to_bytes()) < 100_000


def test_record_round_trip(record, experiment):
    again = runs.load(experiment.id)
    assert again.experiment == experiment
    assert again.history == [{"epoch": 0}]
    assert np.array_equal(again.outcomes.bins, make_outcomes().bins)
    assert runs.find([plans.experiment("smoke", "RN"), experiment]) == [again]


def test_runs_are_found_by_the_start_of_their_id(record, experiment):
    assert runs.load(experiment.id[:5]).id == experiment.id
    with pytest.raises(RunError, match="no run"):
        runs.load("0" * 12)
    other = make_record(plans.experiment("smoke", "RN"))
    with pytest.raises(RunError, match="several runs"):
        runs.load("")
    assert {r.id for r in runs.every()} == {experiment.id, other.id}


def test_published_records_come_first_and_without_weights(record, experiment):
    (record.folder / runs.WEIGHTS).write_bytes(b"weights")
    published = runs.publish(record)
    assert sorted(p.name for p in published.folder.iterdir()) == [runs.OUTCOMES, runs.RECORD]
    assert runs.load(experiment.id).folder == published.folder
    assert [r.folder for r in runs.every()] == [published.folder]
    assert published.weights == record.folder / runs.WEIGHTS
    assert runs.publish(published) is published


def test_table_says_what_the_outcomes_say(record):
    row = runs.table([record]).iloc[0]
    errors = record.outcomes.errors["bin"]
    assert row["failure rate"] == (errors > 0.1).sum() / errors.size
    assert (row["method"], row["parameters"], row["minutes"]) == ("RN-S", 7, 0.025)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "no run record of this version"),
        (lambda text: text.replace('"format": 2', '"format": 0'), "format 0"),
        (lambda text: text.replace('"lr"', '"rate"'), "missing"),
        (lambda text: text.replace('"try_": 0', '"try_": 1'), "not what its folder names"),
        (lambda text: text.replace('"seconds": 1.5', '"seconds": 1.6'), "its digest"),
        (lambda text: "[]", "no run record"),
    ],
)
def test_damaged_records_are_refused(record, damage, message):
    path = record.folder / runs.RECORD
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunError, match=message):
        runs.load(record.id)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"not xz",
        lambda content: content[:-100],
        lambda content: replace(make_outcomes(), offsets=np.ones((FACES, 5, 2))).to_bytes(),
    ],
)
def test_damaged_outcomes_are_refused(record, damage):
    path = record.folder / runs.OUTCOMES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"not what the record says.*restore it, or remove its"):
        _ = runs.load(record.id).outcomes


@pytest.mark.parametrize(
    "change",
    [
        {"errors": {}},
        {"errors": {"bin": np.ones((EPOCHS, FACES))}},
        {"errors": {"bin": np.ones(()), "soft": np.ones((EPOCHS, FACES))}},
        {"accuracy": {}},
        {"accuracy": {"gender": np.ones(()), "profile": np.ones(EPOCHS)}},
        {"classes": {}},
        {"offsets": np.ones((FACES, 4, 2))},
        {"bins": np.ones((EPOCHS - 1, FACES, 5, 2))},
    ],
    ids=str,
)
def test_outcomes_of_parts_that_do_not_fit_are_refused(change):
    parts = vars(make_outcomes()) | change
    arrays = {name: parts[name] for name in ("bins", "offsets")}
    for kind in ("errors", "classes", "accuracy"):
        arrays |= {f"{kind}.{name}": values for name, values in parts[kind].items()}
    packed = pack(arrays)
    with pytest.raises(ValueError, match="do not fit each other"):
        Outcomes.from_bytes(packed)


def test_a_folder_without_a_record_is_no_run(record, experiment):
    (record.folder / runs.RECORD).unlink()
    assert runs.existing(experiment) is None


def test_devices_and_pipes_are_not_replaced_by_a_file(tmp_path):
    """As `predict --draw /dev/full` would, called by root."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RunError, match="pipe or device"):
        files.write_atomically(pipe, b"content")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomically(path, b"first")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left.*free space"):
        files.write_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_records_hold_no_truth(record):
    """Neither points nor labels of a face can be told from a record, only what was predicted."""
    text = json.loads((record.folder / runs.RECORD).read_text())
    known = ["answers", "digest", "digests", "environment", "experiment", "format", "history"]
    assert sorted(text) == known
    stored = {field for field in vars(record.outcomes)}
    assert stored == {"errors", "classes", "accuracy", "bins", "offsets"}


def test_long_histories_stay_small_and_return_as_they_were(record, experiment):
    """The paper's 300 epochs, with what some epochs alone have."""
    history = [
        {f"loss.{n}": 1.2345 for n in "abcdef"}
        | {"epoch": epoch, "seconds": 12.34}
        | ({"failure.bin": 0.12345} if epoch % 30 == 29 else {})
        for epoch in range(300)
    ]
    made = make_record(experiment, history)
    assert made.history == history
    assert (made.folder / runs.RECORD).stat().st_size < 40_000
