"""Many runs by worker processes: the same records, whoever dies meanwhile."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from distributed import LocalCluster
from interrupted import assert_same_bits
from test_sweep import tiny

from dclib import paths, sweep
from dclib.__main__ import main
from dclib.errors import DataError, RunError
from dclib.records import runs
from dclib.study import plans
from dclib.study.speed.forecast import Budget
from dclib.sweep import Progress, cluster, require, worker
from dclib.sweep.attempt import State, attempt
from dclib.sweep.worker import work
from dclib.training import loop
from dclib.training.checkpoint import CHECKPOINT

RUNS, EPOCHS = 4, 3
SUDDEN, SLOW = 0.099, 0.098  # learning rates of runs that kill whoever trains them
FIGURE = ["train", "--plan", "fig3", "--preset", "smoke", "--methods", "RN", "RN-S", "RNx"]


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def start():
    """Start a command as from a shell; it is ended with the test."""
    started = []

    def begin(*words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", *words]
        pipe = subprocess.PIPE
        # what runs in the background of a script ignores it, and so do its children
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True, preexec_fn=heed)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def at_work(process: subprocess.Popen) -> list[psutil.Process]:
    """The workers of a command, once one has kept an epoch."""
    while not list(paths.store().glob(f"*/{CHECKPOINT}")):
        assert process.poll() is None
        time.sleep(0.05)
    return psutil.Process(process.pid).children()


@pytest.mark.slow
def test_killed_workers_cost_their_last_epoch_and_change_no_bit(tmp_path, monkeypatch):
    """Some are killed within an epoch, some as they start, some with a record just written."""
    methods = ("RN-S", "DCNet", "XS")
    wanted = [tiny(methods[n % 3], epochs=EPOCHS, try_=n) for n in range(RUNS)]
    chance = random.Random(1)
    trained, ended, killed = [], [], []
    this = psutil.Process()

    def kill_one_of(workers) -> None:
        victim = chance.choice(workers)
        victim.send_signal((signal.SIGKILL, signal.SIGTERM)[len(killed) % 2])
        killed.append(victim.pid)

    class Watched(Progress):
        def epoch(self, experiment, row):
            super().epoch(experiment, row)
            trained.append((experiment.id, row["epoch"]))
            if len(trained) in (2, 5):
                time.sleep(chance.uniform(0, 0.3))  # somewhere within what is trained now
                kill_one_of(this.children())  # also one that is about to replace another

        def end(self, experiment, state, message):
            super().end(experiment, state, message)
            ended.append((experiment, state))
            if len(ended) == 3:
                kill_one_of(this.children())

    monkeypatch.setattr(sweep, "Progress", Watched)
    disturbed = require(wanted, progress=False, workers=2)
    assert len(killed) == 3
    assert not this.children()
    assert sorted(ended, key=str) == sorted(((e, State.DONE) for e in wanted), key=str)
    assert len(trained) == len(set(trained))  # none is trained again once it is kept
    assert len(trained) >= RUNS * EPOCHS - len(killed)  # one may be kept and not told of
    monkeypatch.setattr(sweep, "Progress", Progress)
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "undisturbed"))
    for one, other in zip(disturbed, require(wanted, progress=False), strict=True):
        assert one.experiment == other.experiment
        assert one.folder.parent == tmp_path / "store" != other.folder.parent
        assert_same_bits(one, other)


def deadly(topic, key, experiment, terms):
    """What a worker does, where a run may end its process: at once, or after every epoch."""
    if experiment.lr == SUDDEN:
        os.kill(os.getpid(), signal.SIGKILL)
    if experiment.lr == SLOW:
        whole = loop.train

        def die_after_an_epoch(experiment, report):
            def told(row):
                report(row)
                time.sleep(0.5)  # so that it is heard
                os.kill(os.getpid(), signal.SIGTERM)

            return whole(experiment, told)

        loop.train = die_after_an_epoch
    work(topic, key, experiment, terms)


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_reported_and_the_others_finish(monkeypatch):
    """Deaths count against a run only where it does not get on between them."""
    bad, slow, failing, good = tiny(lr=SUDDEN), tiny(lr=SLOW, epochs=2), tiny(lr=1e30), tiny()
    monkeypatch.setattr(cluster, "work", deadly)
    monkeypatch.setattr(cluster, "DEATHS", 2)
    here = str(Path(__file__).parent)  # where workers find the above
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(RunError, match="2 of the runs failed") as raised:
        require([slow, bad, failing, good], progress=False, workers=2)
    assert f"run {bad.id} ({bad.title}): 2 processes died at it" in str(raised.value)
    assert f"run {failing.id} ({failing.title}): loss" in str(raised.value)
    records = runs.find([bad, slow, failing, good])
    assert [r.experiment for r in records] == [slow, good]
    assert [row["epoch"] for row in records[0].history] == [0, 1]


@pytest.mark.slow
def test_interrupted_workers_end_and_their_runs_go_on(start):
    process = start("dclib", *FIGURE, "--workers", "2")
    workers = at_work(process)
    for one in (process, *workers):  # as a terminal does
        one.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 130, told
    assert told.splitlines()[-1].startswith("interrupted: finished work is kept")
    assert "Traceback" not in told
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)
    wanted = [e for e in plans.experiments("fig3", "smoke") if e.method in FIGURE]
    begun = [e for e in wanted if (paths.store() / e.id / CHECKPOINT).exists()]
    rows = []
    assert attempt(begun[0], rows.append) == (State.DONE, "")
    assert rows[0]["epoch"] > 0


@pytest.mark.slow
def test_no_worker_outlives_who_asked(start):
    process = start("dclib", *FIGURE, "--workers", "2")
    workers = at_work(process)
    process.kill()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


@pytest.mark.slow
def test_a_scheduler_that_dies_is_one_error_and_its_workers_end(start, tmp_path):
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = start("distributed.cli.dask_scheduler", *options)
    lines = iter(scheduler.stderr.readline, "")
    address = next(filter(None, (re.search(r"tcp://[\d.]+:\d+", line) for line in lines)))[0]
    alone = start("dclib.sweep.worker", address)
    asking = start("dclib", *FIGURE, "--scheduler", address)
    while not list((tmp_path / "store").glob(f"*/{CHECKPOINT}")):
        assert alone.poll() is asking.poll() is None
        time.sleep(0.05)
    scheduler.kill()
    _, told = asking.communicate(timeout=60)
    assert asking.returncode == 1
    assert told.splitlines()[-1].startswith("error: the connection to the scheduler is lost")
    assert "Traceback" not in told
    assert alone.wait(timeout=60) == -signal.SIGTERM


@pytest.fixture
def elsewhere():
    """A cluster that others have started."""
    settings = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=2, **settings) as made:
        yield made


def test_workers_of_a_cluster_that_is_there(elsewhere, capsys):
    experiments = [tiny(), tiny(lr=1e30)]
    with pytest.raises(RunError, match="1 of the runs failed"):
        require(experiments, scheduler=elsewhere.scheduler_address)
    assert runs.existing(experiments[0])
    lines = capsys.readouterr().err.splitlines()
    assert any(experiments[0].id in line for line in lines)
    assert any(line.endswith(", failed") for line in lines)


def test_an_error_of_no_run_ends_the_sweep(elsewhere):
    """As it does in one process: data that are not the ones named are not for others to try."""
    wanted = [tiny(fingerprint="another")]
    with pytest.raises(DataError, match="another"):
        require(wanted, progress=False, scheduler=elsewhere.scheduler_address)


def test_a_budget_is_asked_when_a_run_is_handed_out(elsewhere):
    """Had it been asked before, the second run would have seemed to fit."""
    first, second = tiny(), tiny("RN")
    needs = {first: 1.0, second: 1.0}
    estimates = SimpleNamespace(left=needs.get, learn=lambda record: needs.update({second: 9e9}))
    budget, address = Budget(60, estimates), elsewhere.scheduler_address
    records = require([first, second], progress=False, budget=budget, scheduler=address)
    assert [record.experiment for record in records] == [first]


def test_a_store_that_workers_do_not_share_is_an_error(monkeypatch, elsewhere):
    monkeypatch.setattr("dclib.sweep.worker.attempt", lambda *_: (State.DONE, ""))
    with pytest.raises(RunError, match="let DCLIB_STORE name the same folder"):
        require([tiny()], progress=False, scheduler=elsewhere.scheduler_address)


def test_workers_that_cannot_start_are_not_started_for_ever(tmp_path, monkeypatch):
    broken = tmp_path / "dclib"
    broken.mkdir()
    (broken / "__init__.py").write_text("import what_is_not_there")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"cannot be started.* No module named 'what_is_not_there'"):
        require([tiny(), tiny("RN")], progress=False, workers=2)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://"])
def test_no_scheduler_is_one_error(monkeypatch, address, capsys):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    with pytest.raises(RunError, match=f"no Dask scheduler answers at {address}"):
        require([tiny()], progress=False, scheduler=address)


def test_a_count_of_workers_is_a_count(monkeypatch, capsys):
    assert main(["train", "--method", "RN-S", "--preset", "smoke", "--workers", "-1"]) == 1
    monkeypatch.setenv("DCLIB_WORKERS", "many")
    assert main(["train", "--method", "RN-S", "--preset", "smoke"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "error"]
    assert "'-1' is no number" in lines[0]
    assert "'many' is no number" in lines[1]


def test_nothing_is_started_where_nothing_is_missing_or_one_run_only(monkeypatch):
    monkeypatch.setattr(cluster, "trainers", None)
    monkeypatch.delenv("DCLIB_WORKERS")
    experiment = tiny()
    for _ in range(2):
        assert require([experiment], progress=False, workers=2)[0].experiment == experiment
    assert require([experiment], progress=False, scheduler="tcp://127.0.0.1:9")


def test_workers_are_one_per_gpu_or_core_by_default_and_no_more_than_runs(monkeypatch):
    counts = []

    def trainers(report, terms, workers, scheduler):
        counts.append(workers)
        raise RunError("enough")

    monkeypatch.setattr(cluster, "trainers", trainers)
    monkeypatch.setattr(cluster, "CPU_COUNT", 4)
    for gpus, named, missing in [(0, "", 9), (0, "", 3), (2, "", 9), (2, "3", 9)]:
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        monkeypatch.setenv("DCLIB_WORKERS", named)
        with pytest.raises(RunError, match="enough"):
            require([tiny(try_=t) for t in range(missing)], progress=False)
    assert counts == [4, 3, 2, 3]


def test_each_worker_has_a_gpu_of_its_own(monkeypatch):
    seen = []

    def note(*_, env, **__):
        seen.append(env["CUDA_VISIBLE_DEVICES"])

    monkeypatch.setattr(worker.subprocess, "Popen", note)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    workers = worker.Workers("tcp://127.0.0.1:9", 3)
    with workers:
        workers.keep_up()
        workers.processes.clear()
    assert seen == ["4", "6", "4"]


def test_without_dask_runs_are_trained_in_this_process(monkeypatch):
    monkeypatch.delattr("dclib.sweep.cluster")
    monkeypatch.delitem(sys.modules, "dclib.sweep.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RunError, match=r"pip install 'dclib\[cluster\]'"):
        require([tiny(), tiny("RN")], progress=False, workers=2)
    monkeypatch.delenv("DCLIB_WORKERS")
    assert len(require([tiny(), tiny("RN")], progress=False)) == 2


def test_only_workers_and_who_hands_out_runs_import_dask():
    """And nobody imports these two before they are wanted."""
    theirs = re.compile(r"^ *(import|from) (dask|distributed)\b", re.M)
    at_once = re.compile(r"^(import|from) dclib.*\b(cluster|worker)\b", re.M)
    house = Path(cluster.__file__).parents[1]
    sources = {path.stem: path.read_text() for path in house.rglob("*.py")}
    assert {name for name, text in sources.items() if theirs.search(text)} == {"cluster", "worker"}
    assert {name for name, text in sources.items() if at_once.search(text)} == {"cluster"}
