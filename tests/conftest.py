"""What holds for every test."""

import os
import re
import shutil
from dataclasses import replace

import pytest
from filelock import FileLock

if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores are others', before torch looks for them
    os.environ |= {"OMP_NUM_THREADS": "1", "DCLIB_WORKERS": "1"}
# Nothing is measured, in notebooks neither, so that runs in two stores are equal to the bit; a test
# that measures deletes the variable.
os.environ["DCLIB_EXECUTION"] = "forms=stacked"


# Files whose tests train, follow or export networks, or start processes: `make quick` does without.
HEAVY = re.compile(
    "ablation|book|browser|campaign|cli|cluster|fast|figures_(architecture|random)|formats|gpu"
    "|inference|labels_only|live|methods|mtcnn_run|networks|pretraining|shipped|speed|split|stacked"
    "|sweep|template|train|winograd"
)


def pytest_collection_modifyitems(items):
    for item in items:
        if HEAVY.match(item.path.stem.removeprefix("test_")):
            item.add_marker(pytest.mark.slow)
    # what waits for the book, the longest, comes first, so that no process is alone with it at last
    items.sort(key=lambda item: "built_book" not in getattr(item, "fixturenames", ()))


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


@pytest.fixture(scope="session")
def built_book(tmp_path_factory):
    """The committed pages, built strictly, once for all processes: the folder of its front page."""
    from dclib import paths
    from dclib.study.pages import report

    together = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        together = together.parent
    place = together / "committed"
    with FileLock(together / "committed.lock"):
        if not (place / "_build" / "html" / "index.html").exists():
            shutil.rmtree(place, ignore_errors=True)
            for name in ("book", "dclib"):
                shutil.copytree(paths.root() / name, place / name)
            for name in ("_config.yml", "pyproject.toml"):
                shutil.copy(paths.root() / name, place)
            assert report.build_strictly(place / "book") == place / "_build/html/index.html"
    return place / "_build" / "html"
