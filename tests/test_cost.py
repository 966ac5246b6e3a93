"""What a training step costs: is it measured fairly, and does the record hold it?"""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from dclib import paths
from dclib.__main__ import main
from dclib.methods import METHODS
from dclib.study import plans
from dclib.study.speed import cost

TINY = {"lr": 0.1, "dataset": "synthetic", "train_faces": None}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    return tmp_path


def trainer(method: str, **changes) -> cost.Trainer:
    experiment = replace(plans.experiment("smoke", method, **TINY), **changes)
    return cost.Trainer(experiment, cost.batch(experiment))


def test_a_step_trains_the_network():
    one = trainer("RN", batch=8)
    before = [p.detach().clone() for p in one.run.net.parameters()]
    one.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, one.run.net.parameters(), strict=True))


def test_what_is_kept_grows_with_the_batch_and_holds_no_weights():
    """Twice the faces, twice the maps; weights are much more than the maps of two faces."""
    few, many = (trainer("RN", batch=b).kept() for b in (8, 16))
    assert many / few == pytest.approx(2, rel=0.02)
    wide = trainer("RN", batch=2, width=0.5)
    weights = sum(4 * p.numel() for p in wide.run.net.parameters())
    assert wide.kept() < weights / 2


def test_columns_keep_what_they_would_keep_alone():
    """Without mixers five columns keep five times one, beside the images that all look at."""
    alone, five = trainer("RN-S", batch=8).kept(), trainer("L2", batch=8, penalty=0.0).kept()
    images = 8 * 3 * 64 * 64 * 4
    assert (five - images) / (alone - images) == pytest.approx(5, rel=0.05)


def test_methods_take_turns_and_the_fastest_round_counts(monkeypatch):
    """Plain and ours of each stage one after the other; ours is stacked at this size if it can."""
    turns = []
    plain, ours = iter([5.0, 1.0, 2.0, 4.0, 3.0, 1.5, 0.5, 9.0, 9.0]), iter(range(9, 0, -1))

    def seconds(self, stage, steps):
        turns.append((self.run.experiment.method, stage, steps, self.forms))
        return next(plain if self.forms == "plain" else ours)

    monkeypatch.setattr(cost.Trainer, "seconds", seconds)
    record = cost.measure("smoke", ["RN", "XS-single"], rounds=3, steps=2)
    each = [("RN", 0, 2, "fast"), ("XS-single", 0, 2, "stacked"), ("XS-single", 1, 2, "stacked")]
    assert turns == [turn for fast in each for turn in ((*fast[:3], "plain"), fast)] * 3
    assert record["methods"]["RN"]["seconds"] == [0.5]
    assert record["methods"]["XS-single"]["seconds"] == [1.0, 1.5]
    assert record["methods"]["RN"]["ours"] == [3]
    assert record["methods"]["XS-single"]["ours"] == [2, 1]
    assert record["methods"]["XS-single"]["forms"] == "stacked"


def test_steps_stop_where_enough_time_went(monkeypatch):
    one = trainer("RN", batch=2)
    now = [0.0]
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])
    took = iter([9.0, 0.6, 0.5, 0.1])
    monkeypatch.setattr(cost.Trainer, "step", lambda self: now.__setitem__(0, now[0] + next(took)))
    assert one.seconds(0, steps=5, enough=1.0) == pytest.approx(0.5)
    assert next(took) == 0.1


def test_a_measurement_names_what_was_measured_and_is_read_back(results):
    record = cost.measure("smoke", ["RN", "Progressive"], rounds=1, steps=1)
    assert (record["width"], record["resolution"], record["batch"]) == (0.125, 64, 32)
    assert (record["threads"], record["rounds"], record["steps"]) == (1, 1, 1)
    assert {"processor", "torch", "commit", "clean"} <= record.keys()
    assert [len(own["seconds"]) for own in record["methods"].values()] == [1, 5]
    for own in record["methods"].values():
        assert min(own["seconds"]) > 0
        assert min(own["ours"]) > 0
        assert len(own["ours"]) == len(own["seconds"])
    assert cost.read("smoke") is None
    assert cost.write(record) == results / "cost" / "smoke.json"
    assert cost.read("smoke") == record
    assert "batch 32" in cost.about(record)


def test_table_adds_up_the_stages_of_plain_steps_and_of_those_that_runs_take():
    """64 images in an eighth of a second, all stages together, are 512 a second."""
    own = {"seconds": [0.5, 0.75], "ours": [0.0625, 0.0625], "forms": "stacked", "kept": 1_500_000}
    row = cost.table({"methods": {"XS-single": own}, "batch": 64}).loc["XS-single"]
    assert row[["stages", "plain (ms)", "ours (ms)", "ratio"]].tolist() == [2, 1250, 125, 10]
    assert row[["images/s, plain", "images/s, ours", "kept (MB)"]].tolist() == [51.2, 512, 1.5]


def test_the_committed_record_is_shown():
    record = cost.read("cpu")
    frame = cost.table(record)
    assert set(frame.index) == set(record["methods"])
    assert (frame["plain (ms)"] > 0).all()
    assert "preset cpu" in cost.about(record)


def test_all_methods_but_those_on_alexnet_are_measured_by_default(monkeypatch):
    class Nothing:
        """Measures in no time."""

        forms = "none"

        def __init__(self, experiment, faces, how=None) -> None:
            self.run = SimpleNamespace(net=SimpleNamespace(stages=1))

        def kept(self) -> int:
            return 0

        def seconds(self, stage, steps) -> float:
            return 1.0

    monkeypatch.setattr(cost, "Trainer", Nothing)
    monkeypatch.setattr(cost, "batch", lambda experiment: None)
    expected = {n for n, m in METHODS.items() if m.underlying != "alexnet" and not m.ablates}
    assert set(cost.measure("cpu")["methods"]) == expected


def test_the_command_writes_the_record(results, capsys):
    assert main(["cost", "--preset", "smoke", "--methods", "RN-S", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "round 1 of 1" in printed
    assert "RN-S" in printed
    kept = json.loads((paths.results() / "cost" / "smoke.json").read_text())
    assert list(kept["methods"]) == ["RN-S"]
