"""Experiments: one name everywhere, impossible ones refused, presets as the paper has them."""

import hashlib
import json
import re
from dataclasses import fields, replace

import fake_records
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

EXPERIMENT = fake_records.EXPERIMENT


def again(made: Experiment) -> Experiment:
    """As it is read from a record."""
    return Experiment.from_dict(json.loads(made.to_json()))


def test_id_is_the_hash_of_the_canonical_json():
    """Pinned, so that no change of code renames the committed records unnoticed."""
    related = (("gender", 0.0),)
    made = replace(
        EXPERIMENT, fingerprint="0123456789abcdef", epochs=40, related=related, try_=1, protocol=1
    )
    assert made.to_json().startswith('{"augmentation":"standard","batch":64,"dataset":"mtfl",')
    assert made.id == "80aac45504c0"
    assert again(made) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("try_", 1),
        ("lr", 0.2),
        ("method", "XS"),
        ("protocol", 2),
        ("related", (("smile", 0.5),)),
        ("precision", "bf16"),
        ("penalty", 0.1),
        ("revision", 1),
    ],
)
def test_whatever_changes_the_run_changes_its_name(field, value):
    """And fields that came later are not in the names of runs that do not use them."""
    made = replace(EXPERIMENT, **{field: value})
    assert made.id != EXPERIMENT.id
    assert again(made) == made
    later = {"penalty", "precision", "revision"}
    assert not later & json.loads(EXPERIMENT.to_json()).keys()
    assert later & json.loads(made.to_json()).keys() == later & {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("split", "training"),
        ("holdout", False),  # validation faces are never trained on
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
        ("related", (("smile", -1.0),)),
        ("related", (("smile", float("inf")),)),
        ("related", (("smile", 0.5), ("smile", 1.0))),
    ],
)
def test_impossible_values_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=re.escape(f"{field}={value!r}: ")):
        replace(replace(EXPERIMENT, split="validation"), **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 2.5),
        ("epochs", 2.0),
        ("epochs", True),
        ("lr", "0.1"),
        ("lr", True),
        ("holdout", 1),
        ("dataset", None),
        ("train_faces", 100.5),
        ("related", None),
        ("related", ("smile",)),
    ],
)
def test_values_of_another_type_are_refused(field, value):
    with pytest.raises(ValueError, match=re.escape(f"{field}={value!r}: must be ")):
        replace(EXPERIMENT, **{field: value})


def test_equal_values_are_one_experiment():
    assert replace(EXPERIMENT, lr=1).id == replace(EXPERIMENT, lr=1.0).id
    lists, tuples = [["smile", 1]], (("smile", 1.0),)
    assert replace(EXPERIMENT, related=lists).id == replace(EXPERIMENT, related=tuples).id


def test_fields_of_another_version_are_refused():
    values = json.loads(EXPERIMENT.to_json()) | {"dropout": 0.5}
    del values["lr"]
    with pytest.raises(ValueError, match=r"missing \['lr'\], unknown \['dropout'\]"):
        Experiment.from_dict(values)


def test_ids_of_committed_runs_stay():
    """By json and hashlib alone: each record is named by the hash of what it holds."""
    for path in (paths.root() / "results/runs").glob("*/record.json"):
        text = json.loads(path.read_text())["experiment"]
        canonical = json.dumps(text, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(canonical.encode()).hexdigest()[:12] == path.parent.name
        assert Experiment.from_dict(text).id == path.parent.name


# Plans


def test_paper_preset_is_the_papers_protocol():
    runs = plans.experiments("fig3", "paper")
    assert {(e.epochs, e.width, e.dataset, e.train_faces, e.holdout) for e in runs} == {
        (300, 1.0, "mtfl", None, False)
    }
    tries = [e.try_ for e in runs if e.method == "DCNet" and not e.related]
    assert tries == [0, 1, 2]


@pytest.mark.parametrize("preset", ["smoke", "paper"])
@pytest.mark.parametrize("figure", ["fig3", "fig3-alexnet"])
def test_a_figure_differs_between_methods_by_nothing_but_the_method(figure, preset):
    same = ("dataset", "split", "train_faces", "epochs", "batch", "augmentation", "weighting")
    runs = plans.experiments(figure, preset)
    assert len({tuple(getattr(e, f) for f in same) for e in runs}) == 1


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
    faces = [e.train_faces for e in section4.table1("smoke") if e.method == "RN"]
    assert faces == [25, 128]  # drawn faces are divided as AFLW is


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


def test_each_methods_penalties_are_tried_and_its_own_is_one_of_them():
    grid = plans.own_settings("smoke")
    for name in plans.ready("smoke", methods=list(METHODS)):
        method = METHODS[name]
        tried = [e.penalty for e in grid if e.method == name and e.unit_rate == method.unit_rate]
        assert set(method.penalties) <= set(tried)
        assert bool(method.penalty) == bool(method.penalties)
        assert not method.penalty or method.penalty in method.penalties


# Revisions of methods


def test_an_old_run_does_not_answer_for_a_method_that_has_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))

    def planned(method="RN-S"):
        settings = {"train_faces": 32, "batch": 16, "epochs": 1, "lr": 0.1}
        return plans.experiment("smoke", method, **settings)

    old = planned()
    record = train(old)
    assert runs.existing(planned()) is not None
    monkeypatch.setitem(METHODS, "RN-S", replace(METHODS["RN-S"], revision=1))
    assert (planned().revision, planned("RN").revision) == (1, 0)
    assert runs.existing(planned()) is None
    assert runs.load(old.id).experiment == old  # still there to be read
    for use in (lambda: train(old), lambda: inference.network(record)):
        with pytest.raises(RunError, match=f"run {old.id} is of revision 0 of RN-S, .* at 1"):
            use()
