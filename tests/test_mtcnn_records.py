"""Records of cascades: what is kept is what was found, to the rounding, and faults are said."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dclib.errors import RunError
from dclib.mtcnn import records
from dclib.mtcnn.experiment import CascadeExperiment
from dclib.mtcnn.findings import Findings, restore
from dclib.records import runs

EXPERIMENT = CascadeExperiment(
    method="DC-MTCNN",
    datasets=("lfwnet",),
    faces="mtfl-test",
    heldout="lfwnet",
    fingerprint="0" * 16,
    photos=None,
    width=1.0,
    pooling="floor",
    kernel=1,
    epochs=(10, 10, 10),
    batch=(512, 512, 256),
    lr=(0.01, 0.01, 0.005),
    samples=(100, 100, 100),
    mix=(3.0, 1.0, 1.0, 2.0),
    online=0.7,
    weighting="MTCNN",
    negatives=25,
    near=5,
    jitters=20,
    smallest=40.0,
    mining_minimum=20.0,
    mining_thresholds=(0.6, 0.7),
    minimum=20.0,
    thresholds=(0.6, 0.7, 0.7),
    factor=0.709,
    try_=0,
    preset="cpu",
)


def findings(faces=2995, heldout=3466, seed=0):
    """As large as the real ones, with faces missed and nothing regular to compress."""
    rng = np.random.default_rng(seed)
    missed = rng.random(faces) < 0.03
    unseen = rng.random(heldout) < 0.03

    def without(values, where):
        values[where] = np.nan
        return values

    return Findings(
        faces="mtfl-test",
        scores=without(rng.uniform(0.7, 1, faces), missed),
        errors=without(rng.gamma(4.0, 0.02, faces), missed),
        points=without(rng.normal(75, 20, (faces, 5, 2)), missed),
        heldout="lfwnet",
        overlaps=np.where(unseen, 0.0, rng.uniform(0.3, 1, heldout)),
        heldout_scores=without(rng.uniform(0.7, 1, heldout), unseen),
        others=rng.integers(0, 4, heldout),
        stages={"P": 0.99, "R": 0.98, "O": 0.97},
        pictures={
            "group": {
                "size": [1600, 1158],
                "boxes": rng.uniform(0, 1000, (29, 4)),
                "scores": rng.uniform(0.7, 1, 29),
                "points": rng.uniform(0, 1000, (29, 5, 2)),
            },
            "wider/a:b.jpg": {
                "size": [1024, 768],
                "boxes": np.zeros((0, 4)),
                "scores": np.zeros(0),
                "points": np.zeros((0, 5, 2)),
                "truth": 13,
                "found": 0,
            },
        },
    )


HARDEST = [
    {"photo": "net_7876/_-20_17_0.jpg", "square": [10.5, 20.5, 30.5, 40.5], "score": 0.98765}
] * 64
MINED = {
    stage: {"negative": 9, "positive": 3, "part": 3, "landmark": 2, "left out": 1}
    | ({} if stage == "P" else {"hardest": HARDEST})
    for stage in "PRO"
}
HISTORY = {
    stage: [
        {"epoch": e, "loss.face": 0.12345, "validation.face": 0.12345, "seconds": 61.2}
        for e in range(10)
    ]
    for stage in "PRO"
}
ENVIRONMENT = {"parameters": {"P": 1, "R": 2, "O": 3}, "seconds": {"train P": 1.0}}


def save(place, experiment=EXPERIMENT, found=None):
    folder = place / experiment.id
    folder.mkdir(parents=True)
    return records.save(folder, experiment, ENVIRONMENT, HISTORY, MINED, found or findings())


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "store"


def test_what_is_read_is_what_was_found(store):
    found, kept = findings(), save(store).findings
    for name, step in (
        ("scores", 5e-5),
        ("errors", 1e-4),
        ("points", 0.005),
        ("overlaps", 5e-5),
        ("heldout_scores", 5e-5),
    ):
        own = getattr(found, name)
        np.testing.assert_allclose(getattr(kept, name), own, rtol=0, atol=step + 1e-9)
    assert kept.others.tolist() == found.others.tolist()
    assert kept.about() == found.about()
    for name, shown in found.pictures.items():
        assert kept.pictures[name].keys() == shown.keys()
        for part in ("boxes", "scores", "points"):
            np.testing.assert_allclose(kept.pictures[name][part], shown[part], rtol=0, atol=0.0051)


def test_a_record_read_and_kept_again_is_the_same(store):
    kept = save(store).findings
    again = restore(kept.about(), kept.arrays())
    assert again.arrays() == kept.arrays()


def test_a_full_record_is_small(store):
    folder = save(store).folder
    assert sum(file.stat().st_size for file in folder.iterdir()) < 150_000


def test_rounding_turns_no_face_into_a_failure_nor_back(store):
    errors = np.array([0.1, np.nextafter(0.1, 0), 0.1000001, 0.0999999, 0.10005, np.nan, 0.0])
    scores = np.where(np.isnan(errors), np.nan, 0.9)
    found = replace(findings(7), errors=errors, scores=scores)
    kept = save(store, found=found).findings
    assert (kept.errors > 0.10).tolist() == [False, False, True, False, True, False, False]


def test_both_ways_of_counting_missed_faces():
    """Worked by hand: errors 0.02, 0.05, 0.12 and one face missed."""
    errors = np.array([0.02, 0.05, np.nan, 0.12])
    found = replace(findings(4), errors=errors, scores=np.array([0.9, 0.8, np.nan, 0.7]))
    assert found.missed() == 1
    assert found.failure_rate(missed_fail=True) == 2 / 4
    assert found.failure_rate(missed_fail=False) == pytest.approx(1 / 3)
    assert found.mean_error() == pytest.approx(0.19 / 3)


def test_nothing_found_fails_everywhere_and_has_no_mean_error():
    nothing = np.full(4, np.nan)
    found = replace(findings(4), errors=nothing, scores=nothing)
    assert found.failure_rate(missed_fail=True) == 1.0
    with pytest.raises(ValueError, match="no face"):
        found.mean_error()
    with pytest.raises(ValueError, match="no face"):
        found.failure_rate(missed_fail=False)


def test_recall_counts_overlaps_of_exactly_a_half():
    found = replace(findings(4), overlaps=np.array([0.5, 0.499, 0.9, 0.0]))
    assert found.recall() == 0.5


def test_records_are_found_committed_ones_first(store):
    record, other = save(store), replace(EXPERIMENT, try_=1)
    assert records.find([other, EXPERIMENT])[0].folder == record.folder
    published = records.publish(record)
    assert published.folder == store.parent / "results" / "cascades" / record.id
    assert records.find([EXPERIMENT])[0].folder == published.folder
    assert records.load(record.id[:5]).folder == published.folder
    assert [found.id for found in records.every()] == [record.id]
    assert records.publish(published).folder == published.folder
    assert list(runs.every()) == []  # the folder in the store is no training run


def test_published_again_is_replaced(store):
    record = save(store)
    file = records.publish(record).folder / records.ARRAYS
    file.write_bytes(b"")
    records.publish(record)
    assert file.stat().st_size > 0


def test_weights_are_there_when_every_stage_is(store):
    record = save(store)
    assert record.weights is None
    for stage in "PRO":
        (record.folder / records.weights_name(stage)).write_bytes(b"")
    assert set(record.weights) == {"P", "R", "O"}


def test_unknown_and_ambiguous_ids(store):
    with pytest.raises(RunError, match="names no cascade"):
        records.load("abc")
    for try_ in range(20):  # ids begin with one of 16 digits
        (store / (run := replace(EXPERIMENT, try_=try_)).id).mkdir(parents=True)
        (store / run.id / records.RECORD).write_text("{}")
    with pytest.raises(RunError, match="several cascades"):
        records.load("")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / records.ARRAYS).unlink(),
        lambda folder: (folder / records.ARRAYS).write_bytes(b"no archive"),
        lambda folder: (folder / records.ARRAYS).write_bytes(
            (folder / records.ARRAYS).read_bytes()[:-100]
        ),
        lambda folder: (folder / records.RECORD).write_text("{"),
        lambda folder: (folder / records.RECORD).write_text("[]"),
        lambda folder: (folder / records.RECORD).write_text('{"format": 1}'),
    ],
)
def test_damaged_records_are_named(store, damage):
    folder = save(store).folder
    damage(folder)
    with pytest.raises(RunError, match="train again") as told:
        records.read(folder)
    assert str(folder / records.RECORD) in str(told.value)


def test_records_of_another_version_or_experiment(store):
    folder = save(store).folder
    text = json.loads((folder / records.RECORD).read_text())
    (folder / records.RECORD).write_text(json.dumps(text | {"format": 0}))
    with pytest.raises(RunError, match="format 0, this version reads 1"):
        records.read(folder)
    other = text["experiment"] | {"try_": 1}
    (folder / records.RECORD).write_text(json.dumps(text | {"experiment": other}))
    with pytest.raises(RunError, match="not what its folder names"):
        records.read(folder)
