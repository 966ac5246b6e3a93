"""What runs will cost, which are done, and which fit a budget."""

import json
import math
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from dclib import paths, sweep
from dclib.__main__ import main
from dclib.records import runs
from dclib.study import plans
from dclib.study.speed import forecast
from dclib.study.speed.forecast import Budget, Estimates
from dclib.sweep import Progress, require
from dclib.sweep.attempt import State, attempt, duration


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def clock(monkeypatch):
    """What `require` takes for the time: it stands until the test moves it."""
    clock = SimpleNamespace(now=0.0)
    for module in (sweep, sys.modules["dclib.sweep.attempt"]):
        monkeypatch.setattr(module, "time", clock)
    clock.time = clock.perf_counter = lambda: clock.now
    return clock


@pytest.fixture
def two_seconds(monkeypatch):
    """Every training step takes two seconds; the runs whose steps were timed."""
    timed = []
    monkeypatch.setattr(forecast, "time_steps", lambda e, how: timed.append(e) or [2.0])
    return timed


def tiny(method: str = "RN-S", **changes):
    settings = {"train_faces": 32, "batch": 16, "epochs": 1, "lr": 0.1} | changes
    return plans.experiment("smoke", method, **settings)


def test_a_run_costs_its_steps_and_its_predictions(two_seconds):
    """Eight batches, six epochs; and 256 test faces seen five times, forward only."""
    experiment = plans.experiment("smoke", "RN")
    assert Estimates().seconds(experiment) == pytest.approx(8 * 6 * 2 + 8 * 5 * 2 / 3)


def test_the_paper_protocol_is_planned_without_its_data(two_seconds):
    """10,000 faces in batches of 32 are 313 steps; 300 epochs; 2,995 faces to predict."""
    expected = 313 * 300 * 2 + 2995 / 32 * 5 * 2 / 3
    assert Estimates().seconds(plans.experiment("paper", "RN")) == pytest.approx(expected)
    validation = plans.experiment("paper", "RN", split="validation", holdout=True)
    expected = 282 * 300 * 2 + 1000 / 32 * 5 * 2 / 3
    assert Estimates().seconds(validation) == pytest.approx(expected)


def test_every_stage_costs_all_epochs(monkeypatch):
    monkeypatch.setattr(forecast, "time_steps", lambda e, how: [2.0, 3.0])
    experiment = plans.experiment("smoke", "XS-single")
    assert Estimates().seconds(experiment) == pytest.approx(8 * 6 * 5 + 8 * 5 * 3 / 3)


def test_steps_are_timed_once_for_each_kind_and_execution(two_seconds, monkeypatch):
    for experiment in (tiny(), tiny(try_=3, lr=0.3), tiny("RN")):
        Estimates().seconds(experiment)
    assert [e.method for e in two_seconds] == ["RN-S", "RN"]
    monkeypatch.setenv("DCLIB_EXECUTION", "forms=plain")
    Estimates().seconds(tiny())
    assert len(two_seconds) == 3
    monkeypatch.setenv("DCLIB_EXECUTION", "forms=stacked")
    Estimates().seconds(tiny())
    assert len(two_seconds) == 3
    (paths.store() / forecast.STEPS).write_text("{")  # as after a fault of the disk
    Estimates().seconds(tiny())
    assert len(two_seconds) == 4


def test_a_step_of_every_stage_is_timed():
    estimates = Estimates()
    for method, stages in {"RN-S": 1, "XS-single": 2}.items():
        timed = forecast.time_steps(tiny(method), estimates.how)
        assert len(timed) == stages
        assert min(timed) > 0


def test_runs_that_were_made_correct_the_estimates(two_seconds):
    estimates = Estimates()
    made, alike, other = tiny(), tiny(try_=1), tiny("RN")
    before = {e: estimates.seconds(e) for e in (alike, other)}
    record = SimpleNamespace(
        experiment=made, environment={"seconds": 12.0}
    )  # 2 steps, 4 s, planned
    estimates.learn(record)
    for experiment in (alike, other):  # what is not known is taken to be as slow as what is
        assert estimates.seconds(experiment) == pytest.approx(3 * before[experiment])
    estimates.learn(SimpleNamespace(experiment=tiny("RN"), environment={"seconds": 2.0}))
    assert estimates.seconds(alike) == pytest.approx(3 * before[alike])
    assert estimates.seconds(other) == pytest.approx(before[other] / 2)


def test_time_up_ends_a_run_after_an_epoch_and_it_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, clock
):
    experiment = tiny(epochs=4)

    def epoch(row):
        clock.now += 40

    assert attempt(experiment, epoch, until=70) == (
        State.LEFT,
        "stopped after epoch 2, to go on from there",
    )
    estimates = Estimates()
    assert estimates.left(experiment) == pytest.approx(0.5 * estimates.seconds(experiment))
    (stopped,) = require([experiment], progress=False)
    assert estimates.left(experiment) == 0
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "at once"))
    (at_once,) = require([experiment], progress=False)
    assert stopped.folder != at_once.folder
    for decoder, errors in stopped.outcomes.errors.items():
        np.testing.assert_array_equal(errors, at_once.outcomes.errors[decoder])
    assert [r["loss.landmarks"] for r in stopped.history] == [
        r["loss.landmarks"] for r in at_once.history
    ]


def test_a_run_that_ends_late_is_not_stopped_before_its_record(clock):
    def epoch(row):
        clock.now += 40

    assert attempt(tiny(), epoch, until=30) == (State.DONE, "")


def test_a_budget_starts_what_fits_and_learns_from_what_was_made(capsys, clock):
    short, long, last = tiny(), tiny("RN"), tiny(try_=1)
    learnt = []
    needs = {short: 100.0, long: 3700.0, last: 100.0}
    estimates = SimpleNamespace(left=needs.get, learn=lambda r: learnt.append(r.experiment))
    clock.now = time.time()
    records = require([short, long, last], budget=Budget(60, estimates))
    assert [r.experiment for r in records] == learnt == [short, last]
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith(f"run 2 of 3: {long.id} {long.title}, left (needs about 62 min)")
    late = Budget(60, estimates)
    assert (
        late.summary([short, long]) == "left: 1 of the runs, about 1.03 h; the same command goes on"
    )
    assert late.summary([short, last]) == "all runs are done"


def test_the_command_stops_in_time_and_goes_on(capsys):
    words = ["train", "--plan", "fig3", "--preset", "smoke", "--methods", "RN-S"]
    assert main([*words, "--budget-minutes", "0"]) == 0
    assert capsys.readouterr().out.startswith("left: 1 of the runs, about ")
    assert main([*words, "--budget-minutes", "10"]) == 0
    assert capsys.readouterr().out.startswith("all runs are done\n")


def test_the_plan_counts_runs_once_and_says_where_they_are(two_seconds, capsys):
    wanted = plans.experiments("fig3", "smoke")
    for experiment, place in zip(wanted[:2], runs.places(), strict=True):
        folder = place / experiment.id
        folder.mkdir(parents=True)
        text = {"format": 1, "experiment": json.loads(experiment.to_json())}
        (folder / runs.RECORD).write_text(json.dumps(text | {"environment": {}, "history": []}))
    table, notes = forecast.figures("smoke", Estimates())
    with_runs = [f for f in plans.FIGURES if plans.experiments(f, "smoke")]
    assert list(table.index) == [*with_runs, "all"]
    assert not notes
    row = table.loc["fig3"]
    assert row[["runs", "results", "store", "missing"]].tolist() == [
        *(len(wanted), 1, 1, len(wanted) - 2)
    ]
    estimates = Estimates()
    assert row["hours left"] == pytest.approx(sum(map(estimates.seconds, wanted[2:])) / 3600)
    every = {e for figure in plans.FIGURES for e in plans.experiments(figure, "smoke")}
    assert table.loc["all", "runs"] == len(every) < table["runs"][:-1].sum()

    assert main(["plan", "fig3", "--preset", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == [e.id for e in wanted]
    assert "missing" in lines[4]
    assert "from a training step of each kind" in lines[-1]


def test_a_plan_says_what_has_to_be_chosen_first(two_seconds, capsys):
    """Without learning rates Fig. 3 has no runs at preset cpu yet; the grid has."""
    assert main(["plan"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^rates-alexnet +36 +0 +0 +36 ", printed, re.M)
    assert "fig3: no learning rate is chosen for DCNet" in printed


def test_remaining_time_goes_by_the_epochs_of_each_method(clock):
    """Epochs of 3 + 1 + 1 s took 10 s in all; ahead are 2 of a second and 2 of three."""
    known, fast, slow = tiny("DCNet", try_=1), tiny(epochs=4), tiny("DCNet", epochs=2)
    with Progress([known, fast, slow], shown=False) as show:
        assert show.remaining() == ""
        show.epoch(known, {"epoch": 0, "seconds": 3.0})
        show.end(known, State.DONE, "")
        show.epoch(fast, {"epoch": 0, "seconds": 1.0})
        show.epoch(fast, {"epoch": 1, "seconds": 1.0})
        clock.now = 10.0
        assert show.remaining() == "about 16 s left"
        show.epoch(slow, {"epoch": 0, "seconds": 3.0})
        assert show.remaining() == f"about {math.ceil(10 / 8 * (2 + 3))} s left"


def test_durations_are_for_people():
    assert [duration(s) for s in (0.2, 59, 90, 5000, 9000)] == [
        *("1 s", "59 s", "2 min", "83 min", "2.5 h")
    ]
