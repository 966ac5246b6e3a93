"""Experiments: one name everywhere, impossible ones refused, presets as the paper has them."""

import hashlib
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import kstest

from dclib import paths
from dclib.data import synthetic
from dclib.errors import RunError
from dclib.methods import METHODS
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.study import plans
from dclib.study.plans import extensions, presets, section4
from dclib.study.speed import forecast
from dclib.training.loop import train
from dclib.use import inference


@pytest.fixture
def experiment() -> Experiment:
    return plans.experiment("smoke", "DCNet")


def test_id_is_the_hash_of_the_canonical_json():
    """Pinned, so that no change of code renames the committed records unnoticed."""
    made = Experiment(
        dataset="mtfl",
        fingerprint="0123456789abcdef",
        split="test",
        holdout=True,
        train_faces=2000,
        method="DCNet",
        underlying="resnet18",
        width=0.25,
        resolution=48,
        pretrained=False,
        epochs=40,
        batch=64,
        lr=0.1,
        unit_rate=1.0,
        momentum=0.9,
        weight_decay=0.0005,
        schedule="one-cycle",
        augmentation="standard",
        weighting="per_output",
        related=(("gender", 0.0),),
        try_=1,
        preset="cpu",
        protocol=1,
    )
    assert made.to_json().startswith('{"augmentation":"standard","batch":64,"dataset":"mtfl",')
    assert made.id == "80aac45504c0"


def test_json_round_trip(experiment):
    made = replace(experiment, related=(("smile", 0.25),))
    assert Experiment.from_dict(json.loads(made.to_json())) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("try_", 1),
        ("lr", 0.2),
        ("method", "XS"),
        ("protocol", 2),
        ("related", (("smile", 0.5),)),
        ("precision", "bf16"),
    ],
)
def test_whatever_changes_the_run_changes_its_name(experiment, field, value):
    assert replace(experiment, **{field: value}).id != experiment.id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("split", "training"),
        ("train_faces", 1),
        ("width", 0.0),
        ("resolution", 4),
        ("epochs", 0),
        ("batch", 1),
        ("lr", -0.1),
        ("lr", float("nan")),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("schedule", "cosine"),
        ("augmentation", "strong"),
        ("weighting", "uncertainty"),
        ("try_", -1),
    ],
)
def test_impossible_values_are_refused_by_name(experiment, field, value):
    with pytest.raises(ValueError, match=f"{field}="):
        replace(experiment, **{field: value})


def test_validation_faces_are_never_trained_on(experiment):
    with pytest.raises(ValueError, match="holdout"):
        replace(experiment, split="validation", holdout=False)


def test_fields_of_another_version_are_refused(experiment):
    values = json.loads(experiment.to_json()) | {"dropout": 0.5}
    del values["lr"]
    with pytest.raises(ValueError, match=r"missing \['lr'\], unknown \['dropout'\]"):
        Experiment.from_dict(values)


def test_paper_preset_is_the_papers_protocol():
    runs = plans.experiments("fig3", "paper")
    assert {(e.epochs, e.width, e.dataset, e.train_faces, e.holdout) for e in runs} == {
        (300, 1.0, "mtfl", None, False)
    }
    tries = [e.try_ for e in runs if e.method == "DCNet" and not e.related]
    assert tries == [0, 1, 2]


def test_a_figure_differs_between_methods_by_nothing_but_the_method():
    same = ("dataset", "split", "train_faces", "epochs", "batch", "augmentation", "weighting")
    for preset in ("smoke", "paper"):
        for figure in ("fig3", "fig3-alexnet"):
            runs = plans.experiments(figure, preset)
            assert len({tuple(getattr(e, f) for f in same) for e in runs}) == 1


def test_equal_values_are_one_experiment_and_other_types_none(experiment):
    assert replace(experiment, lr=1).id == replace(experiment, lr=1.0).id
    assert replace(experiment, related=[["smile", 1]]).id == (
        replace(experiment, related=(("smile", 1.0),)).id
    )
    for field, value in (
        ("epochs", 2.5),
        ("epochs", 2.0),
        ("epochs", True),
        ("lr", "0.1"),
        ("lr", True),
        ("holdout", 1),
        ("dataset", None),
        ("train_faces", 100.5),
    ):
        with pytest.raises(ValueError, match=f"{field}={value!r}: must be "):
            replace(experiment, **{field: value})


def test_what_validation_chose_is_never_what_is_tested():
    """Grids of later presets are tries of their own; nothing in them is a run of the figures."""
    for preset in ("long", "pretrained"):
        grid = plans.experiments("rates", preset)
        assert {e.try_ for e in grid} == {100}
        assert {e.split for e in grid} == {"validation"}
        assert {e.lr for e in grid} == set(presets.PRESETS[preset].grid.rates)
    starts = {e.pretrained for e in plans.experiments("rates", "pretrained")}
    assert starts == {"imagenet-mlnet"}


def test_rate_grid_is_the_same_for_every_method_and_never_sees_the_test_faces():
    grid = plans.experiments("rates", "cpu")
    assert {e.split for e in grid} == {"validation"}
    by_method: dict[str, set[float]] = {}
    for e in grid:
        by_method.setdefault(e.method, set()).add(e.lr)
    assert set(map(frozenset, by_method.values())) == {frozenset(presets.GRID.rates)}


def test_smoke_stays_affordable():
    figures = ("fig3", "table1", "fig5", "fig6", "regimes", "truth", "bf16", "relatives")
    assert len({e for f in figures for e in plans.experiments(f, "smoke")}) <= 60


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="preset 'gpu' is unknown"):
        plans.experiment("gpu", "DCNet")
    with pytest.raises(ValueError, match="figure 'fig9' is unknown"):
        plans.experiments("fig9", "smoke")
    with pytest.raises(ValueError, match="no fields"):
        plans.experiment("smoke", "DCNet", dropout=0.5)


def test_control_without_related_tasks_has_a_label_of_its_own():
    labels = [e.label for e in plans.experiments("fig3", "smoke")]
    assert labels.count("DCNet") == labels.count("DCNet (related 0)") == 1


def test_fields_that_came_later_leave_the_names_of_older_runs(experiment):
    """A run that does not use them reads and hashes as before they were there."""
    assert "penalty" not in experiment.to_json()
    assert Experiment.from_dict(json.loads(experiment.to_json())) == experiment
    weighed = replace(experiment, penalty=0.1)
    assert weighed.id != experiment.id
    assert Experiment.from_dict(json.loads(weighed.to_json())) == weighed


def test_every_run_of_table_1_has_1500_steps_at_least():
    """And no ratio gets an epoch more than it needs; a last batch of one face is left out."""
    runs = [e for e in section4.table1("cpu") if e.method == "RN"]
    assert len(runs) == 2 * len(section4.RATIOS)
    for e in runs:
        faces, _ = forecast.FACES[e.dataset]
        steps = faces // e.batch + (faces % e.batch > 1)
        assert e.epochs * steps >= 1500 > (e.epochs - 1) * steps


def test_table_1_is_the_papers_at_the_papers_protocol():
    runs = section4.table1("paper")
    assert len(runs) == 5 * 4 * 3
    assert {(e.epochs, e.pretrained, e.dataset[:5]) for e in runs} == {(300, "imagenet", "aflw-")}


def test_drawn_faces_are_divided_as_aflw_is():
    faces = [e.train_faces for e in section4.table1("smoke") if e.method == "RN"]
    assert faces == [25, 128]


def test_draws_of_fig5_are_log_uniform_and_shared_by_both_methods():
    """exp(U(log 1e-4, log 1)): Kolmogorov and Smirnov see no difference in 600 weights."""
    runs = section4.fig5("paper")
    weights: dict[int, set[tuple[tuple[str, float], ...]]] = {}
    for e in runs:
        weights.setdefault(e.try_, set()).add(e.related)
    assert len(runs) == 200
    assert {e.method for e in runs} == {"DCNet", "XS"}
    assert all(len(drawn) == 1 for drawn in weights.values())
    assert len(weights) == 100
    drawn = [w for (own,) in weights.values() for _, w in own]
    assert min(drawn) >= 1e-4
    assert max(drawn) <= 1
    assert kstest(np.log(drawn) / -np.log(1e-4) + 1, "uniform").pvalue > 0.01


def test_regimes_vary_one_thing_at_a_time_and_keep_the_steps_when_faces_vary():
    base = presets.experiment("cpu", "RN")
    for e in extensions.regimes("cpu"):
        same = replace(e, method="RN", lr=base.lr, unit_rate=base.unit_rate)
        changed = {f.name for f in fields(e) if getattr(same, f.name) != getattr(base, f.name)}
        assert changed in (set(), {"train_faces", "epochs"}, {"epochs"}, {"width"})
        if "train_faces" in changed:
            assert e.epochs * e.train_faces == base.epochs * base.train_faces


def test_networks_without_labels_run_on_one_of_the_sets_of_known_truth():
    runs = extensions.truth("cpu")
    alone = {e.dataset for e in runs if e.method == "RN-S" or e.related}
    assert alone == {"synthetic-100-many"}
    assert {e.dataset for e in runs if e.label == "DCNet"} == {
        f"synthetic-{name}-many" for name in synthetic.SETS
    }


# Revisions of methods


@pytest.fixture
def revised(monkeypatch):
    """RN-S, as if its meaning had changed once."""
    monkeypatch.setitem(METHODS, "RN-S", replace(METHODS["RN-S"], revision=1))


def test_a_revision_is_in_the_name_of_its_methods_runs_alone(revised):
    new, other = plans.experiment("smoke", "RN-S"), plans.experiment("smoke", "RN")
    assert new.revision == 1
    assert new.id != replace(new, revision=0).id
    assert Experiment.from_dict(json.loads(new.to_json())) == new
    assert "revision" not in other.to_json()
    assert "revision" not in replace(new, revision=0).to_json()


def test_an_old_run_does_not_answer_for_a_method_that_has_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    short = {"train_faces": 32, "batch": 16, "epochs": 1, "lr": 0.1}
    old = plans.experiment("smoke", "RN-S", **short)
    record = train(old)
    assert runs.existing(plans.experiment("smoke", "RN-S", **short)) is not None
    monkeypatch.setitem(METHODS, "RN-S", replace(METHODS["RN-S"], revision=1))
    assert runs.existing(plans.experiment("smoke", "RN-S", **short)) is None
    assert runs.load(old.id).experiment == old  # still there to be read
    for use in (lambda: train(old), lambda: inference.network(record)):
        with pytest.raises(RunError, match=f"run {old.id} is of revision 0 of RN-S, .* at 1"):
            use()


def test_ids_of_committed_runs_stay():
    """By json and hashlib alone: each record is named by the hash of what it holds."""
    for path in (paths.root() / "results/runs").glob("*/record.json"):
        text = json.loads(path.read_text())["experiment"]
        canonical = json.dumps(text, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(canonical.encode()).hexdigest()[:12] == path.parent.name
        assert Experiment.from_dict(text).id == path.parent.name


def test_each_methods_penalties_are_tried_and_its_own_is_one_of_them():
    grid = plans.own_settings("smoke")
    for name in plans.ready("smoke", methods=list(METHODS)):
        method = METHODS[name]
        tried = [e.penalty for e in grid if e.method == name and e.unit_rate == method.unit_rate]
        assert set(method.penalties) <= set(tried)
        assert bool(method.penalty) == bool(method.penalties)
        assert not method.penalty or method.penalty in method.penalties
