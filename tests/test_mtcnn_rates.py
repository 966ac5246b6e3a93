"""The choice of O's rate: by held-out photos alone, and no name of a cascade moves by it."""

from dataclasses import replace

import pytest
from fake_cascades import fake_cascade

from dclib import cli
from dclib.errors import RunError
from dclib.mtcnn import presets, rates, records, run
from dclib.mtcnn.experiment import CascadeExperiment
from dclib.study.analysis import cascades


@pytest.fixture(autouse=True)
def results(store):
    return store.with_name("results")


ERRORS = {  # of the last epoch; the epoch before it would choose the highest rate
    "MTCNNx": {0.0003: 0.09, 0.001: 0.07, 0.003: 0.5},
    "DC-MTCNN": {0.0003: 0.08, 0.001: 0.08, 0.003: 0.06},
    "MTCNN": {0.0003: 0.1, 0.001: 0.1, 0.003: float("nan")},
}


def a_record(e: CascadeExperiment):
    error = ERRORS[e.method][e.lr[-1]]
    rows = [{"validation.error": e} for e in (0.2 - 10 * e.lr[-1], error)]
    return replace(fake_cascade(), experiment=e, history={"O": rows})


def save(results, *experiments):
    made = fake_cascade()
    for e in experiments:
        (folder := results / "cascades" / e.id).mkdir(parents=True, exist_ok=True)
        records.save(folder, e, made.environment, made.history, made.mined, made.findings)


def test_a_grid_is_the_same_for_all_and_shows_no_test_face():
    grid = presets.grid("cpu")
    assert [(e.method, e.lr[-1]) for e in grid] == [
        (method, lr) for lr in (0.0003, 0.001, 0.003) for method in presets.ORDER
    ]
    assert {(e.datasets, e.faces, e.heldout) for e in grid} == {(("lfwnet",), "lfwnet", "lfwnet")}
    planned = presets.plan("cpu")
    assert {e.try_ for e in grid} == {100}
    like = {"faces": "mtfl-test", "fingerprint": planned[0].fingerprint, "try_": 0}
    assert {replace(e, **like) for e in grid if e.lr[-1] == 0.001} == set(planned[:3])


def test_the_lowest_error_of_the_last_epoch_is_chosen_and_of_equals_the_lowest_rate():
    assert rates.chosen("cpu") == {}
    rows = rates.write([a_record(e) for e in presets.grid("cpu")])
    expected = {"MTCNNx": 0.001, "DC-MTCNN": 0.003, "MTCNN": 0.0003}
    assert rates.chosen("cpu") == expected
    assert len(rows) == 9
    assert rates.chosen("smoke") == {}
    rates.write(
        [
            replace(r, experiment=replace(r.experiment, preset="smoke"))
            for r in [a_record(e) for e in presets.grid("cpu")]
        ]
    )
    assert rates.chosen("cpu") == rates.chosen("smoke") == expected


def test_own_rates_are_planned_beside_what_was_planned(results):
    shared = presets.plan("cpu")
    assert presets.own_rates("cpu") == []
    rates.write([a_record(e) for e in presets.grid("cpu")])
    own = presets.own_rates("cpu")
    assert presets.plan("cpu") == shared
    assert [e.lr[-1] for e in own] == [0.001, 0.003, 0.0003] * 2
    assert [e in shared for e in own] == [True, False, False] * 2  # that one is not made again
    save(results, *shared, *own[:3])
    assert [r.experiment for r in cascades.reference()] == shared  # a try is still missing
    save(results, *own[4:])
    assert [r.experiment for r in cascades.reference()] == own
    assert {r.experiment for r in cascades.tried()} == {e for e in shared if e not in own}


def test_commands(monkeypatch, capsys):
    def say(*words):
        options = cli.parse(["cascade", *words])
        options.do(options)
        return capsys.readouterr().out

    asked = []

    def require(experiments, **_):
        asked.extend(experiments)
        return [a_record(e) if e.faces == "lfwnet" else fake_cascade() for e in experiments]

    monkeypatch.setattr(run, "require", require)
    told = say("--plan", "rates", "--preset", "cpu")
    assert asked == presets.grid("cpu")
    assert "DC-MTCNN, lr of O 0.003: held-out error 0.06, chosen\n" in told
    asked.clear()
    say("--plan", "mtcnn", "--preset", "cpu", "--tries", "1")
    own = [e for e in presets.own_rates("cpu") if e.try_ == 0]
    assert asked == [*presets.plan("cpu")[:3], *own[1:]]
    with pytest.raises(RunError, match="one try"):
        say("--plan", "rates", "--preset", "cpu", "--tries", "1")
