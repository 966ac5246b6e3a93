"""`require`: trains what is missing, once, whoever asks, and keeps what is done."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from dclib import paths
from dclib.errors import RunError
from dclib.records import runs
from dclib.study import plans
from dclib.study.plans import presets, selection
from dclib.sweep import require
from dclib.training import loop

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def fake_record():
    """A record whose faces have the given landmark errors in its only epoch."""

    def make(experiment, errors):
        (folder := paths.store() / experiment.id).mkdir(parents=True)
        of = {"bin": np.array([errors]), "soft": np.array([errors])}
        faces = len(errors)
        bins = np.zeros((1, faces, 5, 2), dtype=np.uint16)
        found = runs.Outcomes(of, {}, {}, bins, np.zeros((faces, 5, 2)))
        return runs.save(folder, experiment, {}, [], found)

    return make


def tiny(method: str = "RN-S", **changes):
    settings = {"train_faces": 32, "batch": 16, "epochs": 1, "lr": 0.1} | changes
    return plans.experiment("smoke", method, **settings)


def test_what_is_missing_is_trained_and_the_rest_is_read(monkeypatch):
    one, other = tiny(), tiny("RN")
    first = require([one], progress=False)
    trained = []
    original = loop.train
    monkeypatch.setattr(loop, "train", lambda e, report: trained.append(e) or original(e, report))
    records = require([other, one, other], progress=False)
    assert [r.experiment for r in records] == [other, one, other]
    assert trained == [other]
    assert records[1].environment == first[0].environment


def test_weights_are_made_where_a_committed_record_has_none():
    experiment = tiny()
    (record,) = require([experiment], progress=False)
    published = runs.publish(record)
    shutil.rmtree(record.folder)
    assert require([experiment], progress=False)[0].weights is None
    (again,) = require([experiment], progress=False, weights=True)
    assert again.folder == published.folder
    assert again.weights is not None
    assert again.weights.parent == record.folder


def test_one_failed_run_does_not_stop_the_others():
    bad, good = tiny(lr=1e30), tiny()
    with pytest.raises(RunError, match=f"1 of the runs failed, the others are kept:\nrun {bad.id}"):
        require([bad, good], progress=False)
    assert [r.experiment for r in runs.find([bad, good])] == [good]


def test_records_are_published_as_they_come_not_at_the_end():
    first, second = tiny(), tiny("RN")
    there, at_once = require([first], progress=False), []

    def done(record):
        assert runs.existing(bad) is None
        at_once.append(runs.publish(record).folder)

    bad = tiny(lr=1e30)
    with pytest.raises(RunError, match="1 of the runs failed"):
        require([first, second, bad], progress=False, workers=1, done=done)
    assert at_once == [paths.results() / "runs" / second.id]
    assert runs.existing(first) == there[0]  # what was there before is not new


def test_plain_lines_where_there_is_no_terminal(capsys):
    experiment = tiny()
    require([experiment])
    assert capsys.readouterr().err == f"run 1 of 1: {experiment.id} {experiment.title}\n"
    require([experiment])
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_two_processes_train_each_run_once(tmp_path):
    """Both ask for the same three runs at once; a marker is written for every training."""
    markers = tmp_path / "markers"
    markers.mkdir()
    code = (
        "import sys, uuid, pathlib\n"
        "from dclib.study import plans\n"
        "from dclib.training import loop\n"
        "from dclib.sweep import require\n"
        "original = loop.train\n"
        "def marked(e, report):\n"
        "    (pathlib.Path(sys.argv[1]) / f'{e.id}-{uuid.uuid4().hex}').touch()\n"
        "    return original(e, report)\n"
        "loop.train = marked\n"
        "made = [plans.experiment('smoke', 'RN-S', train_faces=32, batch=16, epochs=2, lr=0.1,"
        " try_=t) for t in range(3)]\n"
        "print(len(require(made, progress=False)))\n"
    )
    command = [sys.executable, "-c", code, str(markers)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [p.communicate(timeout=300)[0] for p in both] == ["3\n", "3\n"]
    trained = [path.name.split("-")[0] for path in markers.iterdir()]
    assert len(trained) == len(set(trained)) == 3


def test_selection_takes_the_lowest_validation_failure_rate(fake_record):
    grid = [tiny("RN", lr=lr, split="validation") for lr in presets.GRID.rates[:3]]
    tied = [replace(e, try_=2) for e in grid[:2]]
    records = [
        fake_record(e, errors)
        for e, errors in zip(grid, ([0.2] * 4, [0.2, 0.01] * 2, [0.3] * 4), strict=True)
    ]
    table = selection.write(records)
    assert table["chosen"].tolist() == [False, True, False]
    assert table["failure_rate"].tolist() == [1.0, 0.5, 1.0]
    assert selection.chosen("smoke", "RN", "resnet18") == (presets.GRID.rates[1], 1.0, 0.0)
    ties = [fake_record(e, of) for e, of in zip(tied, ([0.3, 0.01], [0.2, 0.01]), strict=True)]
    assert selection.table(ties)["chosen"].tolist() == [False, True]  # by the mean error
    better = selection.write([fake_record(replace(grid[0], try_=1), [0.01] * 4)])
    assert better["chosen"].tolist() == [True]
    assert selection.chosen("smoke", "RN", "resnet18") == (presets.GRID.rates[0], 1.0, 0.0)


def test_nothing_is_chosen_on_test_faces(fake_record):
    with pytest.raises(RunError, match="nothing is chosen on those"):
        selection.table([fake_record(tiny(), [0.1])])


def test_an_unselected_rate_says_how_to_select():
    with pytest.raises(RunError, match=r"train --plan rates --preset cpu.*select"):
        plans.experiments("fig3", "cpu")


def test_a_figure_has_the_methods_whose_rate_is_selected(fake_record):
    grid = [e for e in plans.experiments("rates", "cpu") if e.method == "RN"]
    selection.write([fake_record(e, [0.1]) for e in grid])
    runs_of_figure = plans.experiments("fig3", "cpu")
    assert {e.label for e in runs_of_figure} == {"RN"}
    assert {e.lr for e in runs_of_figure} == {presets.GRID.rates[0]}
    assert [e.try_ for e in runs_of_figure] == [0, 1, 2]
