"""Runs without landmarks, with labels and angles alone, through the whole chain."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dclib import data
from dclib.data import DataSet, cache, synthetic
from dclib.data.faces import Symmetry
from dclib.errors import DataError, RunError
from dclib.records import runs
from dclib.records.outcomes import Outcomes
from dclib.records.runs import Record
from dclib.study import plans
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import results, tables
from dclib.tasks import Angle, Classes, Landmarks
from dclib.training.judging import judge
from dclib.training.loop import train
from dclib.training.verify import verify
from dclib.use.prediction import predict

RESOLUTION = 32
TASKS = (Classes("smile", 2), Angle("yaw"))


def without_landmarks(resolution: int) -> data.Faces:
    """The synthetic faces, cached by other tests, as a data set of labels would be."""
    halves = synthetic.load(resolution)
    symmetry = Symmetry(points=(), classes={}, negated=("yaw", "roll"), rolled=("roll",))
    one, other = (
        replace(
            faces.subset(range(96)),
            landmarks=np.zeros((96, 0, 2), dtype=np.float32),
            symmetry=symmetry,
            fingerprint="labels",
        )
        for faces in halves
    )
    return one, other


@pytest.fixture
def labels_only(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    made = DataSet(
        name="labels",
        load=without_landmarks,
        tasks=lambda resolution: TASKS,
        identify=lambda: "labels",
        prepare=lambda source: None,
    )
    monkeypatch.setitem(data.DATASETS, "labels", made)
    return made.name


def run(dataset: str, method: str, **changes) -> Record:
    settings = {"resolution": RESOLUTION, "train_faces": 32, "batch": 16, "epochs": 2, "lr": 0.1}
    return train(plans.experiment("smoke", method, dataset=dataset, **settings | changes))


def test_a_single_task_network_of_a_label_is_trained_verified_and_asked(labels_only):
    record = run(labels_only, "RN-S")
    found = record.outcomes
    assert found.errors == {}
    assert list(found.accuracy) == ["smile"]
    assert found.bins.shape == (2, 96, 0, 2)
    assert found.points("soft").shape == (96, 0, 2)
    assert verify(record) == []
    row = runs.table([record]).iloc[0]
    assert np.isnan([row["failure rate"], row["mean error"]]).all()
    assert row["accuracy"] == f"smile {found.accuracy['smile'].mean():.3f}"
    told = predict(record, Image.new("RGB", (40, 40)))
    assert told.landmarks.shape == (0, 2)
    assert list(told.labels) == ["smile"]


@pytest.mark.parametrize("method", ["RN", "DCNet", "XS"])
def test_labels_and_angles_are_trained_together(labels_only, method):
    record = run(labels_only, method)
    found = record.outcomes
    assert list(found.classes) == ["smile", "yaw"]
    scored = without_landmarks(RESOLUTION)[1]
    bins = np.floor((scored.labels["yaw"] + 90) / 30).clip(0, 5)
    for epoch, predicted in enumerate(found.classes["yaw"]):
        assert found.accuracy["yaw"][epoch] == np.mean(predicted == bins)
    assert verify(record) == []
    found.classes["yaw"][0] = (bins + 1) % 6
    assert verify(record) == ["yaw labels"]


def test_methods_are_compared_by_their_accuracies_and_histories(labels_only):
    records = [run(labels_only, method, epochs=1) for method in ("RN", "DCNet")]
    group = Comparison(records)
    with pytest.raises(RunError, match=r"have no landmarks: compare the accuracies"):
        group.score("RN")
    table = tables.related(records)
    assert table.loc["RN", "smile"] == 100 * records[0].outcomes.accuracy["smile"].mean()
    titles = [ax.get_title("left") or ax.get_title() for ax in results.history(records).axes]
    assert titles[:2] == ["smile", "yaw"]


def test_validation_faces_can_be_scored_too(labels_only):
    record = run(labels_only, "RN", split="validation")
    assert record.outcomes.classes["smile"].shape == (2, 10)
    assert verify(record) == []


def test_the_cache_keeps_faces_without_landmarks(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path))
    halves = without_landmarks(RESOLUTION)
    marks = {"eyes": None, "symmetry": Symmetry(points=(), classes={}, mirror=False)}
    halves = (replace(halves[0], **marks), replace(halves[1], eyes=(1, 0)))
    for _ in range(2):
        kept = cache.cached("labels", RESOLUTION, "x", lambda: halves)
        assert [faces.landmarks.shape for faces in kept] == [(96, 0, 2)] * 2
        assert [faces.eyes for faces in kept] == [None, (1, 0)]
        assert [faces.symmetry.mirror for faces in kept] == [False, True]


def test_faces_whose_label_is_missing_do_not_count():
    scored = without_landmarks(RESOLUTION)[1].subset(range(4))
    scored.labels["smile"][:] = [0, 1, -1, -1]
    scored.labels["yaw"][:] = [-75.0, np.nan, 40.0, 14.0]
    last = {"smile": np.array([0, 0, 1, 1]), "yaw": np.array([0, 0, 4, 4])}
    found = judge([last], scored, TASKS)
    assert found.accuracy["smile"].tolist() == [1 / 2]
    assert found.accuracy["yaw"].tolist() == [2 / 3]
    scored.labels["yaw"][:] = np.nan
    assert np.isnan(judge([last], scored, TASKS).accuracy["yaw"]).all()


def test_many_classes_survive_the_round_trip():
    scored = without_landmarks(RESOLUTION)[1].subset(range(3))
    scored.labels["person"] = np.array([299, 255, 0])
    found = judge([{"person": np.array([299, 256, 0])}], scored, (Classes("person", 300),))
    again = Outcomes.from_bytes(found.to_bytes())
    assert again.classes["person"].tolist() == [[299, 256, 0]]
    assert again.accuracy["person"].tolist() == [2 / 3]
    assert again.bins.shape == (1, 3, 0, 2)


def test_errors_are_shares_of_the_box_where_the_eyes_are_not_known():
    """Points (1, 1), (7, 1), (1, 5): box 6 x 4; eyes 6 apart, the second one hidden in a face."""
    faces = without_landmarks(RESOLUTION)[1].subset(range(2))
    points = np.array([[[1, 1], [7, 1], [1, 5]], [[1, 1], [np.nan, np.nan], [4, 7]]], np.float32)
    faces = replace(faces, landmarks=points, symmetry=Symmetry((0, 1, 2), {}, mirror=False))
    moved = np.nan_to_num(points) + np.array([0, 3])  # each point 3 px too low
    tasks = (Landmarks(RESOLUTION, points=3),)
    with_eyes = judge([{"bin": moved, "soft": moved}], replace(faces, eyes=(0, 1)), tasks)
    assert with_eyes.errors["bin"][0] == pytest.approx([3 / 6, 3 / np.sqrt(18)])
    without = judge([{"bin": moved, "soft": moved}], replace(faces, eyes=None), tasks)
    assert without.errors["bin"][0] == pytest.approx([3 / np.sqrt(24), 3 / np.sqrt(18)])


def test_a_data_set_is_found_by_its_name():
    assert data.find("mtfl") is data.DATASETS["mtfl"]
    with pytest.raises(DataError, match="data set 'nowhere' is unknown"):
        data.find("nowhere")
