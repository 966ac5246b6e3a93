"""Official archives: read in place, never unpacked, and downloaded where they are missing."""

import os
import stat
import urllib.request
import weakref
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from dclib import errors, paths
from dclib.data.progress import progress
from dclib.errors import DataError
from dclib.files import below, content, disk

LARGEST = 2 << 30  # bytes an archive may hold when decompressed
PIECE = 1 << 20
DAMAGE = (*errors.DAMAGE, RuntimeError)  # which zipfile raises of what it cannot decode

Folder = Path | zipfile.Path  # either way: `/`, read_bytes, exists


def searched(source: Path | None = None) -> list[Path]:
    """Where data are looked for: in `source`, else in `DCLIB_MIRROR`'s and in the data folder."""
    places = [source] if source else [paths.mirror(), paths.data()]
    return [place for place in places if place]


def absent(what: str, places: Sequence[Path], page: str, folder: Path | None = None) -> str:
    """What an error says of data that are in none of the places."""
    return (
        f"{what} not in {' or '.join(map(str, places))}. Get it from {page} and put it into"
        f" {folder or paths.data()}, or name the folder that holds it in DCLIB_MIRROR"
    )


def first(places: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first of some files and folders that is there, place by place."""
    return next((p for place in places for name in names if (p := place / name).exists()), None)


@dataclass(frozen=True)
class Official:
    """An archive as its makers publish it."""

    name: str  # of the zip file
    marker: str  # a file in it; the folder that holds it is the archive's top
    also: tuple[str, ...]  # where else `marker` may lie, relative to a place that is searched
    page: str  # where it is described
    address: str  # of the zip file

    def find(self, source: Path | None = None, fetch: bool = False) -> Folder:
        """Its top folder: of the archive that `source` is, or in it, or in what is `searched`."""
        if source and not source.is_dir():
            return self.top(source)
        return self.open(searched(source), fetch and not source)

    def open(self, places: Sequence[Path], fetch: bool = False) -> Folder:
        """Its top folder, in the first place that has it; else downloaded if `fetch`."""
        found = first(places, (self.name, *self.also))
        if found is None:
            missing = absent(f"{self.name} is", places, self.page)
            if not fetch:
                raise DataError(missing)
            found = paths.data() / self.name
            try:
                download(self.address, found)
            except DataError as fault:
                raise DataError(f"{fault}. {missing}") from None
        return self.top(found) if found.name == self.name else found.parent

    def top(self, archive: Path) -> Folder:
        """The folder within a zip archive that holds `marker`."""
        whole = contents(archive)
        for member in whole.root.namelist():
            if PurePosixPath(member).name == self.marker:
                return whole / member.removesuffix(self.marker)
        raise DataError(f"{archive}: there is no {self.marker} in it; get the official archive")


def contents(archive: Path) -> zipfile.Path:
    """The top of a zip archive, read in place.

    Nothing is written to the disk, so that no member can reach outside; an archive that tries to is
    refused nevertheless.

    Raises:
        DataError: the archive is missing, damaged, or larger than `LARGEST` when decompressed; or a
            member leads out of its folder, is a link, or is there twice.
    """
    try:
        source = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise DataError(f"{archive}: there is no such archive") from None
    except DAMAGE as damage:
        raise DataError(
            f"{archive}: damaged or not a zip archive ({damage}); get it anew"
        ) from None
    assert source.fp is not None
    # with the archive, also where an error holds it in a cycle, which is cleared in any order
    weakref.finalize(source, source.fp.close)
    members, seen = source.infolist(), set[PurePosixPath | None]()
    fault = ""
    if sum(member.file_size for member in members) > LARGEST:
        fault = f"it holds more than {LARGEST >> 30} GiB when decompressed"
    for member in members:
        path = below(member.filename)
        if path is None:
            fault = f"member {member.filename!r} leads out of its folder"
        elif stat.S_ISLNK(member.external_attr >> 16):
            fault = f"member {member.filename!r} is a link"
        elif path in seen:
            fault = f"member {member.filename!r} is there twice"
        seen.add(path)
    if fault:
        raise DataError(f"{archive}: {fault}; it is not to be trusted, get the official archive")
    return zipfile.Path(source)


def content_of(file: Folder, where: str = "", remedy: str = "get it anew") -> bytes:
    """The bytes of a file that lies in a folder or an archive.

    Raises:
        DataError: it is missing, no file, or damaged; `where` comes before what it says.
    """
    try:
        return content(file) if isinstance(file, Path) else file.read_bytes()
    except FileNotFoundError:
        fault = "there is no such file; put it there"
    except DAMAGE as damage:
        fault = f"cannot be read ({getattr(damage, 'strerror', None) or damage}); {remedy}"
    raise DataError(f"{where}{file}: {fault}")


def download(url: str, target: Path) -> None:
    """Fetch a zip archive, which takes the name `target` only when it is whole.

    What an interrupted download left in `target.part` is continued if the server allows it.

    Raises:
        DataError: the address cannot be reached, the disk is full, or what came is not a whole
            zip archive.
    """
    part = target.with_name(target.name + ".part")
    with disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if not zipfile.is_zipfile(part):
        _receive(url, part)
    if not zipfile.is_zipfile(part):
        part.unlink()
        raise DataError(f"{url}: what came is not a zip archive")
    os.replace(part, target)


def _receive(url: str, part: Path) -> None:
    """Add to a file what it lacks of a download."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
            _copy(answer, part, have if resumed else 0)
    except (OSError, HTTPException) as fault:
        if getattr(fault, "code", None) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # not the beginning of what the server has
        raise DataError(f"{url}: the download failed ({fault}); call again to go on") from None


def _copy(answer: Any, part: Path, have: int) -> None:
    rest = int(answer.headers.get("Content-Length") or 0)
    pieces = iter(lambda: answer.read(PIECE), b"")
    with part.open("ab" if have else "wb") as copy:
        for piece in progress(pieces, f"download {part.stem}", -(-rest // PIECE)):
            with disk(part):
                copy.write(piece)
    if rest and part.stat().st_size != have + rest:
        raise OSError(f"cut short at {part.stat().st_size:,} of {have + rest:,} bytes")
