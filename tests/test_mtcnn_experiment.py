"""What names a cascade, which values it refuses, and what the presets hold."""

import json
from dataclasses import fields, replace

import pytest
from test_mtcnn_records import EXPERIMENT

from dclib.data import photos
from dclib.mtcnn import presets, records
from dclib.mtcnn.experiment import CascadeExperiment


def test_the_name_is_that_of_the_content():
    """The canonical form and the hash as they were when cascades were first recorded."""
    again = CascadeExperiment.from_dict(json.loads(EXPERIMENT.to_json()))
    assert again == EXPERIMENT
    assert hash(again) == hash(EXPERIMENT)
    assert again.id == EXPERIMENT.id == "b33d09183d91"


def test_every_field_is_in_the_name():
    others = {
        "method": "MTCNN",
        "pooling": "ceil",
        "weighting": "DFace",
        "kernel": 3,
        "datasets": ("wider", "lfwnet"),
        "online": None,
        "photos": 100,
        "thresholds": (0.3, 0.35, 0.35),
        "mining_thresholds": (0.3, 0.35),
        "factor": 0.5,
    }
    for field in fields(CascadeExperiment):
        value = getattr(EXPERIMENT, field.name)
        doubled = tuple(2 * v for v in value) if isinstance(value, tuple) else value and 2 * value
        other = others.get(field.name, doubled or 1)
        assert replace(EXPERIMENT, **{field.name: other}).id != EXPERIMENT.id, field.name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "DCNet"),
        ("datasets", ()),
        ("photos", 1),
        ("width", 0),
        ("pooling", "round"),
        ("kernel", 2),
        ("epochs", (1, 1)),
        ("epochs", (1, 0, 1)),
        ("batch", (1, 2, 2)),
        ("lr", (0.1, float("nan"), 0.1)),
        ("lr", (0.1, float("inf"), 0.1)),
        ("samples", (0, 1, 1)),
        ("mix", (1, 1, 1)),
        ("mix", (0, 0, 0, 0)),
        ("mix", (1, 1, 1, -1)),
        ("online", 0),
        ("online", 1.5),
        ("weighting", "equal"),
        ("near", -1),
        ("minimum", 11),
        ("mining_minimum", float("nan")),
        ("thresholds", (0.6, 0.7)),
        ("thresholds", (0.6, 0.7, 1.0)),
        ("mining_thresholds", (0.6, 0.7, 0.7)),
        ("factor", 1.0),
        ("try_", -1),
    ],
)
def test_impossible_values_are_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}="):
        replace(EXPERIMENT, **{field: value})


def test_titles_say_what_differs():
    assert EXPERIMENT.title == "DC-MTCNN (width 1, floor pooling), lfwnet, cpu, try 0"
    literal = replace(EXPERIMENT, kernel=3, datasets=("wider", "lfwnet"))
    assert "3 × 3 in P's blocks" in literal.title
    assert "wider + lfwnet" in literal.title


@pytest.mark.parametrize("preset", list(presets.PRESETS))
def test_plans_hold_all_methods_of_a_try_before_the_next(preset, monkeypatch):
    monkeypatch.setattr(presets.photos, "fingerprint", lambda name: f"that of {name}")
    cascades = presets.plan(preset)
    tries = {"smoke": 1, "cpu": 2, "paper": 3}[preset]
    expected = [(t, m) for t in range(tries) for m in ("MTCNNx", "DC-MTCNN", "MTCNN")]
    assert [(e.try_, e.method) for e in cascades] == expected
    assert len({e.id for e in cascades}) == len(cascades)
    same = [replace(e, method="MTCNN", try_=0) for e in cascades]
    assert len(set(same)) == 1  # nothing else differs


@pytest.mark.usefixtures("places")
def test_names_do_not_depend_on_photos_that_are_at_hand(monkeypatch):
    """With nothing at hand the plan has the names of the committed cascades."""
    committed = {record.id for record in records.committed()}
    assert {e.id for e in presets.plan("cpu")} <= committed
    paper = [e.id for e in presets.plan("paper")]
    assert len(set(paper)) == 9
    own = photos.fingerprint
    lists = {"wider": "of lists", "celeba": "of other lists"}
    monkeypatch.setattr(photos, "fingerprint", lambda name: lists.get(name) or own(name))
    assert [e.id for e in presets.plan("paper")] == paper


@pytest.mark.parametrize("other", ["lfwnet", "mtfl-test"])
def test_a_fingerprint_is_of_all_photo_sets(monkeypatch, other):
    first, own = presets.experiment("cpu", "MTCNN").fingerprint, photos.fingerprint
    assert len(first) == 16
    monkeypatch.setattr(photos, "fingerprint", lambda name: name if name == other else own(name))
    assert presets.experiment("cpu", "MTCNN").fingerprint != first


def test_unknown_presets_methods_and_fields():
    with pytest.raises(ValueError, match="preset 'gpu' is unknown"):
        presets.plan("gpu")
    with pytest.raises(ValueError, match="preset 'gpu' is unknown"):
        presets.experiment("gpu", "MTCNN")
    with pytest.raises(ValueError, match="method 'DCNet' is unknown"):
        presets.experiment("cpu", "DCNet")
    with pytest.raises(ValueError, match=r"no fields \['colour'\]"):
        presets.experiment("cpu", "MTCNN", colour=1)
