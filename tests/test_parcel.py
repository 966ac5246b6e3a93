"""Records as one archive: what is carried arrives, and nothing else is let in."""

import zipfile

import pytest
from fake_records import fake_record

from dclib import paths
from dclib.__main__ import main
from dclib.errors import RunError
from dclib.records import parcel, runs


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """An archive of two records, and an empty store to unpack it into."""
    for name in ("STORE", "RESULTS"):
        monkeypatch.setenv(f"DCLIB_{name}", str(tmp_path / name.lower()))
    for method in ("DCNet", "RN-S"):
        made = fake_record(method, faces=20)
        place = paths.store() / made.id
        place.mkdir(parents=True)
        runs.save(place, made.experiment, made.environment, made.history, made.outcomes)
    assert main(["runs", "pack", str(tmp_path / "runs.zip")]) == 0
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "other"))
    return tmp_path / "runs.zip"


def test_records_arrive_as_they_left(packed, tmp_path, capsys):
    assert main(["runs", "unpack", str(packed)]) == 0
    found = sorted(tmp_path.glob("other/*/*"))
    assert len(found) == 4
    for file in found:
        left = tmp_path / "store" / file.relative_to(tmp_path / "other")
        assert file.read_bytes() == left.read_bytes()
    assert capsys.readouterr().out.count(str(tmp_path / "other")) == 2


def test_what_is_there_stays(packed):
    (first, *_) = parcel.read(packed)
    (first.folder / runs.RECORD).write_text((first.folder / runs.RECORD).read_text() + "\n")
    kept = (first.folder / runs.RECORD).read_bytes()
    parcel.read(packed)
    assert (first.folder / runs.RECORD).read_bytes() == kept


def rewritten(path, change):
    """The archive with its members changed: a dict of names and contents."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m | {"../../escaped": b"x"}, "it holds '../../escaped'"),
        (lambda m: m | {"/var/record.json": b"x"}, "it holds '/var/record.json'"),
        (lambda m: m | {"0" * 12 + "/weights.safetensors": b"x"}, "weights.safetensors"),
        (lambda m: m | {"0" * 12 + "/record.json": b" " * (parcel.LARGEST + 1)}, "0000/record"),
        (lambda m: m | {"0" * 12 + "/record.json": b"{}"}, "has format None"),
        (lambda m: {n: c[:90] if "npz" in n else c for n, c in m.items()}, "cannot be read"),
        (
            lambda m: {n.replace(min(m)[:12], "0" * 12): c for n, c in m.items()},
            "not what its folder names",
        ),
    ],
)
def test_nothing_else_is_let_in(packed, tmp_path, change, told):
    rewritten(packed, change)
    with pytest.raises(RunError, match=told):
        parcel.read(packed)
    assert not list(tmp_path.glob("other/*"))
    assert not (tmp_path.parent / "escaped").exists()


def test_half_an_archive_is_refused(packed):
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(RunError, match="cannot be read"):
        parcel.read(packed)
