"""Archives: found, refused when dangerous, downloaded whole or not at all."""

import gc
import socketserver
import struct
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from dclib.data import archive
from dclib.errors import DataError

OFFICIAL = archive.Official(
    name="Set.zip",
    marker="list.txt",
    also=("set/list.txt",),
    page="http://official.example/page",
    address="http://official.example/Set.zip",
)


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files:
            target.writestr(name, content)
    return path


def test_the_first_place_that_has_the_archive_is_taken(tmp_path):
    for place, text in (("one", "unpacked"), ("two", "zipped")):
        (tmp_path / place).mkdir()
        zipped(tmp_path / place / "Set.zip", [("top/list.txt", text)])
    (tmp_path / "three/set").mkdir(parents=True)
    (tmp_path / "three/set/list.txt").write_text("a folder")
    places = [tmp_path / "none", tmp_path / "two", tmp_path / "one", tmp_path / "three"]
    assert (OFFICIAL.open(places) / "list.txt").read_text() == "zipped"
    assert (OFFICIAL.open(places[3:]) / "list.txt").read_text() == "a folder"


def test_what_is_missing_is_said_with_where_it_was_sought_and_what_to_do(tmp_path):
    with pytest.raises(DataError) as told:
        OFFICIAL.open([tmp_path / "a", tmp_path / "b"])
    for part in ("Set.zip", "/a or ", "/b", OFFICIAL.page, "DCLIB_MIRROR", str(tmp_path / "data")):
        assert part in str(told.value)


OUT = ("../evil.txt", "a/../../evil.txt", "..\\..\\evil.txt", "/etc/evil.txt", "C:\\evil.txt")
LINK = zipfile.ZipInfo("photo.jpg")
LINK.external_attr = 0o120777 << 16


@pytest.mark.parametrize(
    ("name", "fault"),
    [*((name, "leads out of its folder") for name in OUT), ("list.txt", "twice"), (LINK, "a link")],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_dangerous_member_is_refused_and_nothing_is_written(tmp_path, name, fault):
    path = zipped(tmp_path / "Set.zip", [("list.txt", "x"), (name, "evil")])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=fault) as told:
        OFFICIAL.open([tmp_path])
    assert str(path) in str(told.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_that_swells_beyond_reason_is_refused(tmp_path):
    path = zipped(tmp_path / "Set.zip", [("list.txt", "x"), ("bomb", b"0" * 1000)])
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24  # the size that the directory gives for the bomb
    content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    with pytest.raises(DataError, match="GiB when decompressed"):
        OFFICIAL.open([tmp_path])


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_broken_archive_is_named(tmp_path, keep):
    whole = zipped(tmp_path / "Set.zip", [("list.txt", np.random.default_rng(0).bytes(500))])
    whole.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"Set\.zip: damaged or not a zip archive"):
        OFFICIAL.open([tmp_path])


def test_a_file_is_closed_with_its_archive(tmp_path, monkeypatch):
    """Whether or not its own finaliser has had its turn: garbage in a cycle has no order."""
    monkeypatch.delattr(zipfile.ZipFile, "__del__")
    top = archive.contents(zipped(tmp_path / "Set.zip", [("list.txt", "a")]))
    file = top.root.fp
    assert (top / "list.txt").read_text() == "a"
    ring = [top]
    ring.append(ring)
    del top, ring
    gc.collect()
    assert file.closed


def test_archives_of_something_else_and_of_nothing_are_named(tmp_path):
    zipped(tmp_path / "Set.zip", [("other.txt", "x")])
    with pytest.raises(DataError, match=r"there is no list\.txt in it"):
        OFFICIAL.open([tmp_path])
    with pytest.raises(DataError, match=r"Elsewhere\.zip: there is no such archive"):
        OFFICIAL.find(tmp_path / "Elsewhere.zip")


class Site:
    """A web server that gives one archive, and can misbehave."""

    def __init__(self, archive: Path) -> None:
        self.content, self.ranges, self.cut = archive.read_bytes(), True, None
        self.asked: list[str | None] = []
        site = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                site.asked.append(wanted)
                first = int(wanted[6:-1]) if wanted and site.ranges else 0
                rest = site.content[first:]
                if first > len(site.content):
                    self.send_error(416)
                    return
                self.send_response(206 if first else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest[: site.cut])

            def log_message(self, *_: object) -> None:
                pass

        self.server = socketserver.TCPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/Set.zip"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site(tmp_path):
    content = [("list.txt", np.random.default_rng(1).bytes(3 << 20))]
    (tmp_path / "site").mkdir()
    served = Site(zipped(tmp_path / "site/any.zip", content))
    yield served
    served.close()


def test_a_download_arrives_whole(site, tmp_path):
    target = tmp_path / "new" / "Set.zip"
    archive.download(site.url, target)
    assert target.read_bytes() == site.content
    assert [path.name for path in target.parent.iterdir()] == ["Set.zip"]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(site, tmp_path, ranges):
    target = tmp_path / "Set.zip"
    site.cut, site.ranges = 2_000_000, ranges
    with pytest.raises(DataError, match=r"the download failed .*cut short"):
        archive.download(site.url, target)
    assert not target.exists()
    got = target.with_name("Set.zip.part").stat().st_size
    assert 0 < got <= 2_000_000
    site.cut = None
    archive.download(site.url, target)
    assert site.asked == [None, f"bytes={got}-"]
    assert target.read_bytes() == site.content


def test_a_download_that_was_whole_but_not_named_is_taken(site, tmp_path):
    (tmp_path / "Set.zip.part").write_bytes(site.content)
    archive.download(site.url, tmp_path / "Set.zip")
    assert (tmp_path / "Set.zip").read_bytes() == site.content
    assert site.asked == []


def test_a_beginning_that_the_server_does_not_know_is_dropped(site, tmp_path):
    part = tmp_path / "Set.zip.part"
    part.write_bytes(b"x" * (len(site.content) + 1))
    with pytest.raises(DataError, match="416"):
        archive.download(site.url, tmp_path / "Set.zip")
    archive.download(site.url, tmp_path / "Set.zip")
    assert (tmp_path / "Set.zip").read_bytes() == site.content


def test_a_page_instead_of_an_archive_is_refused(site, tmp_path):
    site.content = b"<html>gone</html>"
    with pytest.raises(DataError, match="not a zip archive"):
        archive.download(site.url, tmp_path / "Set.zip")
    assert not list(tmp_path.glob("Set.zip*"))


def test_what_no_place_has_is_downloaded_into_the_data_folder(data_folder, tmp_path, site):
    there = replace(OFFICIAL, address=site.url)
    content, site.content = site.content, b""
    with pytest.raises(DataError, match=r"official\.example/page") as told:
        there.open([tmp_path], fetch=True)
    assert site.url in str(told.value)
    assert not (data_folder / "Set.zip").exists()
    site.content = content
    folder = there.open([tmp_path], fetch=True)
    assert len((folder / "list.txt").read_bytes()) == 3 << 20
    assert (data_folder / "Set.zip").read_bytes() == site.content
    there.open([tmp_path, data_folder], fetch=True)
    assert len(site.asked) == 2
