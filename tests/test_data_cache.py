"""The cache: whole or absent, damage noticed, makers that die or race do no harm."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_data_faces import face_set

from dclib.data.cache import cached
from dclib.errors import DataError
from dclib.files import make_folder

FACES = (face_set(60), face_set(20))


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path))
    return tmp_path


class Builder:
    """Counts how often the faces were built."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self):
        self.times += 1
        return FACES


def stored(data_folder: Path) -> Path:
    (folder,) = (path for path in (data_folder / "cache").iterdir() if path.is_dir())
    return folder


def assert_same(one, other) -> None:
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.landmarks, other.landmarks)
    np.testing.assert_array_equal(one.groups, other.groups)
    assert one.labels.keys() == other.labels.keys()
    for name, column in one.labels.items():
        np.testing.assert_array_equal(column, other.labels[name])
        assert column.dtype == other.labels[name].dtype
    rest = ("names", "resolution", "symmetry", "fingerprint")
    assert [getattr(one, name) for name in rest] == [getattr(other, name) for name in rest]


def test_faces_come_back_as_they_were_and_are_built_once():
    build = Builder()
    for _ in range(2):
        for one, other in zip(cached("set", 8, "abc", build), FACES, strict=True):
            assert_same(one, other)
    assert build.times == 1
    landmarks = FACES[0].landmarks.copy()
    landmarks[3, 2] = np.nan
    faces = (replace(FACES[0], landmarks=landmarks), FACES[1])
    assert_same(cached("missing points", 8, "abc", lambda: faces)[0], faces[0])


@pytest.mark.parametrize("key", [("other", 8, "abc"), ("set", 10, "abc"), ("set", 8, "abd")])
def test_name_resolution_and_fingerprint_keep_faces_apart(key):
    build = Builder()
    cached("set", 8, "abc", build)
    cached(*key, build)
    assert build.times == 2


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["train.npy", "test.npy", "train.npz"])
def test_damage_is_noticed_and_mended(data_folder, capsys, damage, name):
    build = Builder()
    cached("set", 8, "abc", build)
    damage(stored(data_folder) / name)
    for one, other in zip(cached("set", 8, "abc", build), FACES, strict=True):
        assert_same(one, other)
    assert build.times == 2
    assert "is damaged: building it again" in capsys.readouterr().err


def test_a_build_that_fails_leaves_nothing(data_folder):
    def fail():
        raise DataError("list.txt:3: a fault")

    with pytest.raises(DataError, match=r"^list\.txt:3: a fault$"):
        cached("set", 8, "abc", fail)
    assert not [path for path in (data_folder / "cache").iterdir() if path.is_dir()]


def test_a_full_disk_is_an_error_and_leaves_nothing(data_folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, hard))  # bytes; the images have 18,000
    try:
        with pytest.raises(DataError, match=r"cannot be written .* DCLIB_DATA"):
            cached("set", 8, "abc", Builder())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in (data_folder / "cache").iterdir() if path.is_dir()]
    assert_same(cached("set", 8, "abc", Builder())[0], FACES[0])


def test_a_place_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"file/cache.* cannot be written"):
        cached("set", 8, "abc", Builder())


SCRIPT = """
import os, signal, sys, time
from dclib.data import cache
from test_data_faces import face_set

def build():
    print("build", flush=True)
    time.sleep(0.3)
    return face_set(60), face_set(20)

if sys.argv[1] == "die":
    whole = cache.np.savez
    cache.np.savez = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
train, test = cache.cached("set", 8, "abc", build)
print(len(train), len(test), int(train.images.sum()))
"""


def start(how: str) -> subprocess.Popen[str]:
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_maker_that_is_killed_leaves_nothing_that_counts(data_folder):
    with start("die") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert [path.suffix for path in (data_folder / "cache").iterdir() if path.is_dir()] == [".part"]
    build = Builder()
    assert_same(cached("set", 8, "abc", build)[0], FACES[0])
    assert build.times == 1
    assert stored(data_folder).suffix != ".part"


def test_two_makers_at_once_build_once_and_agree():
    with start("live") as one, start("live") as other:
        told = [process.communicate(timeout=60)[0].split("\n") for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    assert sorted(len(lines) for lines in told) == [2, 3]  # one of them said "build"
    assert told[0][-2] == told[1][-2] == f"60 20 {FACES[0].images.sum()}"


def test_a_folder_that_is_usable_is_not_made_again(tmp_path):
    made = []
    make_folder(tmp_path / "a/b", made.append, usable=lambda: True)
    assert made == []
    assert not (tmp_path / "a/b").exists()
