"""Many runs by worker processes: the same records, whoever dies meanwhile."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from distributed import LocalCluster
from safetensors.numpy import load_file

from dclib import cluster, paths, plan, runs, sweep
from dclib.errors import RunError
from dclib.sweep import Progress, require

RUNS, EPOCHS, KILLS = 8, 5, 5
DEADLY = 0.099  # the learning rate of a run that kills whoever trains it


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))


def tiny(method: str = "RN-S", **changes):
    settings = {"train_faces": 32, "batch": 16, "epochs": 1, "lr": 0.1} | changes
    return plan.experiment("smoke", method, **settings)


def assert_equal_to_the_bit(one: runs.Record, other: runs.Record) -> None:
    assert one.experiment == other.experiment
    for name in ("errors", "classes"):
        ours, theirs = getattr(one.outcomes, name), getattr(other.outcomes, name)
        assert ours.keys() == theirs.keys()
        for key, values in ours.items():
            np.testing.assert_array_equal(values, theirs[key])
    np.testing.assert_array_equal(one.outcomes.bins, other.outcomes.bins)
    np.testing.assert_array_equal(one.outcomes.offsets, other.outcomes.offsets)
    untimed = [[{**row, "seconds": 0} for row in record.history] for record in (one, other)]
    assert untimed[0] == untimed[1]
    weights = [load_file(record.weights) for record in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    for key, values in weights[0].items():
        np.testing.assert_array_equal(values, weights[1][key])


@pytest.mark.slow
def test_killed_workers_cost_their_last_epoch_and_change_no_bit(tmp_path, monkeypatch):
    """Processes are killed at random while they train; no epoch that was kept is trained again."""
    methods = ("RN-S", "DCNet", "RN", "XS")
    wanted = [tiny(methods[n % 4], epochs=EPOCHS, try_=n) for n in range(RUNS)]
    chance = random.Random(1)
    moments = set(chance.sample(range(2, RUNS * EPOCHS - 5), KILLS))  # counted in epochs
    trained, killed = [], []
    original = Progress.epoch

    def epoch(self, experiment, row):
        original(self, experiment, row)
        trained.append((experiment.id, row["epoch"]))
        if len(trained) in moments:
            time.sleep(chance.uniform(0, 0.3))  # somewhere within what is trained now
            living = [p for p in multiprocessing.active_children() if p.pid not in killed]
            victim = chance.choice(living)  # also one that takes the place of another
            victim.kill()
            killed.append(victim.pid)

    monkeypatch.setattr(Progress, "epoch", epoch)
    disturbed = require(wanted, progress=False, workers=2)
    assert len(set(killed)) == KILLS
    assert len(trained) == len(set(trained))  # none is trained again once it is kept
    assert len(trained) >= RUNS * EPOCHS - KILLS  # one may be kept and not told of
    monkeypatch.setattr(Progress, "epoch", original)
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "undisturbed"))
    for one, other in zip(disturbed, require(wanted, progress=False), strict=True):
        assert one.folder != other.folder
        assert one.folder.parent == tmp_path / "store"
        assert_equal_to_the_bit(one, replace(other))


def deadly(job, key):
    """What a worker does, where the run may end its process."""
    if job.experiment.lr == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    ordinary(job, key)


ordinary = cluster._work


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_reported_and_the_others_finish(monkeypatch):
    bad, failing, good = tiny(lr=DEADLY), tiny(lr=1e30), tiny()
    monkeypatch.setattr(cluster, "_work", deadly)
    monkeypatch.setitem(cluster.SETTINGS, "distributed.scheduler.allowed-failures", 1)
    with pytest.raises(RunError, match="2 of the runs failed") as raised:
        require([bad, failing, good], progress=False, workers=1)
    assert f"run {bad.id} ({bad.title}): the process that trained it died" in str(raised.value)
    assert f"run {failing.id} ({failing.title}): loss" in str(raised.value)
    assert [r.experiment for r in runs.find([bad, failing, good])] == [good]


@pytest.mark.slow
def test_interrupted_workers_end_and_their_runs_go_on(tmp_path):
    words = ["train", "--plan", "fig3", "--preset", "smoke", "--methods", "RN", "RN-S", "RNx"]
    command = [sys.executable, "-m", "dclib", *words, "--workers", "2"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as in a terminal, all its processes are interrupted
    )
    store = tmp_path / "store"
    while process.poll() is None and len(list(store.glob("[0-9a-f]*"))) < 2:  # both are at work
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 130, told
    assert told.splitlines()[-1].startswith("interrupted: finished work is kept")
    assert "Traceback" not in told
    wanted = [e for e in plan.experiments("fig3", "smoke") if e.method in words]
    assert len(runs.find(wanted)) < len(wanted) == 3
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(runs.find(wanted)) == 3


def test_workers_of_a_cluster_that_is_there(capsys):
    experiments = [tiny(), tiny(lr=1e30)]
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
        ) as other,
        pytest.raises(RunError, match="1 of the runs failed"),
    ):
        require(experiments, scheduler=other.scheduler_address)
    assert runs.existing(experiments[0])
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"run 1 of 2: {experiments[0].id}") for line in lines)
    assert any(line.endswith(", failed") for line in lines)


def test_a_store_that_workers_do_not_share_is_an_error(monkeypatch):
    experiment = tiny()
    monkeypatch.setattr(sweep, "attempt", lambda job, report: (sweep.State.DONE, ""))
    with pytest.raises(RunError, match="let DCLIB_STORE name the same folder"):
        require([experiment], progress=False)
    assert not (paths.store() / experiment.id).exists()


def test_no_scheduler_is_one_error(monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        require([tiny()], progress=False, scheduler="tcp://127.0.0.1:9")


def test_nothing_is_started_where_nothing_is_missing(monkeypatch):
    experiment = tiny()
    require([experiment], progress=False)
    monkeypatch.setattr(cluster, "engine", None)
    assert require([experiment], progress=False, workers=2)[0].experiment == experiment


def test_without_dask_runs_are_trained_in_this_process(monkeypatch):
    monkeypatch.delattr("dclib.cluster")
    monkeypatch.delitem(sys.modules, "dclib.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RunError, match=r"pip install 'dclib\[cluster\]'"):
        require([tiny()], progress=False, workers=2)
    assert require([tiny()], progress=False)


@pytest.mark.slow
def test_only_the_adapter_imports_dask():
    code = (
        "import sys\n"
        "from dclib import bench, campaign, plan, report, sweep, train\n"
        "print({'dask', 'distributed'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
