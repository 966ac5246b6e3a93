"""The pack: small, close to the archive's pixels, told apart from them."""

import numpy as np
import pytest
from tiny_mtfl import Tiny

from dclib.data import DATASETS, load, mtfl, pack
from dclib.errors import DataError


@pytest.fixture
def places(tmp_path, monkeypatch):
    tiny = Tiny()
    monkeypatch.setattr(mtfl, "PUBLISHED", tiny.fingerprint())
    monkeypatch.setenv("DCLIB_MIRROR", str(tmp_path))
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("DCLIB_MTFL_PACK", raising=False)
    tiny.write_zip(tmp_path / "MTFL.zip")
    tiny.write_boxes(tmp_path / "trainImageList.txt")
    return tmp_path


@pytest.fixture
def packed(places):
    path = places / "faces.pack"
    pack.write(path, load("mtfl", 96))
    return path


@pytest.mark.parametrize("resolution", [48, 50, 64, 96])
def test_faces_are_nearly_those_of_the_archive(packed, monkeypatch, resolution):
    direct = load("mtfl", resolution)
    monkeypatch.setenv("DCLIB_MTFL_PACK", str(packed))
    for one, other in zip(load("mtfl", resolution), direct, strict=True):
        assert one.images.shape == other.images.shape
        difference = one.images.astype(float) - other.images
        assert np.sqrt((difference**2).mean()) < 4
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-4)
        np.testing.assert_array_equal(one.groups, other.groups)
        for name, column in other.labels.items():
            np.testing.assert_array_equal(one.labels[name], column)
        assert (one.names, one.symmetry) == (other.names, other.symmetry)


def test_its_faces_have_a_fingerprint_of_their_own(packed, places, monkeypatch):
    direct = load("mtfl", 96)
    published = DATASETS["mtfl"].fingerprint
    assert published == mtfl.PUBLISHED
    monkeypatch.setenv("DCLIB_MTFL_PACK", str(packed))
    train, test = load("mtfl", 48)
    assert train.fingerprint == test.fingerprint == DATASETS["mtfl"].fingerprint
    assert train.fingerprint.startswith(f"{published}+pack")
    other = pack.write(places / "other.pack", direct, quality=30)
    assert other != train.fingerprint
    monkeypatch.delenv("DCLIB_MTFL_PACK")
    assert load("mtfl", 48)[0].fingerprint == published


def test_it_needs_no_archive(packed, places, monkeypatch):
    (places / "MTFL.zip").unlink()
    monkeypatch.setenv("DCLIB_DATA", str(places / "new"))
    monkeypatch.setenv("DCLIB_MTFL_PACK", str(packed))
    assert [len(faces) for faces in load("mtfl", 48)] == [8, 3]


def test_a_higher_resolution_is_refused(packed, monkeypatch):
    monkeypatch.setenv("DCLIB_MTFL_PACK", str(packed))
    with pytest.raises(DataError, match="holds faces of 96 pixels, 112 are asked for"):
        load("mtfl", 112)


def test_only_its_own_resolution_can_be_packed(places):
    with pytest.raises(ValueError, match="96 pixels, not 48"):
        pack.write(places / "x.pack", load("mtfl", 48))
    assert not (places / "x.pack").exists()


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_pack_that_is_not_whole_is_named(packed, monkeypatch, keep):
    content = packed.read_bytes()
    packed.write_bytes(content[:keep])
    monkeypatch.setenv("DCLIB_MTFL_PACK", str(packed))
    with pytest.raises(DataError, match=r"faces\.pack: not a whole pack"):
        load("mtfl", 48)


def test_a_pack_that_is_not_there_is_named(places, monkeypatch):
    monkeypatch.setenv("DCLIB_MTFL_PACK", str(places / "none.pack"))
    with pytest.raises(DataError, match=r"none\.pack: not a whole pack"):
        load("mtfl", 48)
