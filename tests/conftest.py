"""What holds for every test."""

import os
from dataclasses import replace

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores are others', before torch looks for them
    os.environ |= {"OMP_NUM_THREADS": "1", "DCLIB_WORKERS": "1"}
# Nothing is measured, in notebooks neither, so that runs in two stores are equal to the bit; a test
# that measures deletes the variable.
os.environ["DCLIB_EXECUTION"] = "forms=stacked"


# Files whose tests train, follow or export networks, or start processes: `make quick` does without.
HEAVY = (
    *("ablation", "book", "campaign", "cli", "cluster", "fast", "figures_architecture"),
    *("figures_random", "gpu", "inference", "labels_only", "live", "methods", "mtcnn_run"),
    *("networks", "pretraining", "speed", "split", "stacked", "sweep", "template", "train"),
    "winograd",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem.removeprefix("test_").startswith(HEAVY):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Runs are trained where tests can watch them, unless a test asks for workers."""
    monkeypatch.setenv("DCLIB_WORKERS", "1")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty mirror and an empty data folder, and no way to the network."""
    from dclib.data import mtfl

    for variable, name in (("DCLIB_MIRROR", "mirror"), ("DCLIB_DATA", "data")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.delenv("DCLIB_MTFL_PACK", raising=False)
    nowhere = (tmp_path / "nowhere").as_uri()
    for name in ("ARCHIVE", "BOXES"):
        monkeypatch.setattr(mtfl, name, replace(getattr(mtfl, name), address=nowhere))
    return tmp_path


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store, and no committed results."""
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "store"
