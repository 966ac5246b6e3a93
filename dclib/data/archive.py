"""Official archives: read in place, never unpacked, and downloaded where they are missing."""

import os
import stat
import urllib.request
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from dclib import paths
from dclib.data.progress import progress
from dclib.errors import DataError
from dclib.files import below, disk

LARGEST = 2 << 30  # bytes an archive may hold when decompressed
PIECE = 1 << 20
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)

Folder = Path | zipfile.Path  # either way: `/`, read_bytes, read_text


@dataclass(frozen=True)
class Official:
    """An archive as its makers publish it."""

    name: str  # of the zip file
    marker: str  # a file in it; the folder that holds it is the archive's top
    also: tuple[str, ...]  # where else `marker` may lie, relative to a place that is searched
    page: str  # where it is described
    address: str  # of the zip file

    def open(self, places: Sequence[Path], fetch: bool = False) -> Folder:
        """Its top folder, in the first place that has it; downloaded if it is in none and `fetch`.

        Raises:
            DataError: it is nowhere and cannot be downloaded, or it is damaged or dangerous.
        """
        candidates = [place / name for place in places for name in (self.name, *self.also)]
        found = next((path for path in candidates if path.exists()), None)
        if found is None:
            missing = self._missing(places)
            if not fetch:
                raise DataError(missing)
            found = paths.data() / self.name
            try:
                download(self.address, found)
            except DataError as fault:
                raise DataError(f"{fault}. {missing}") from None
        return self.top(found) if found.name == self.name else found.parent

    def top(self, archive: Path) -> Folder:
        """The folder within a zip archive that holds `marker`.

        Nothing is written to the disk, so that no member can reach outside; an archive that tries
        to is refused nevertheless.

        Raises:
            DataError: the archive is damaged, or larger than `LARGEST` when decompressed; a member
                leads out of its folder, is a link, or is there twice; or `marker` is missing.
        """
        whole = contents(archive)
        for member in whole.root.namelist():
            if PurePosixPath(member).name == self.marker:
                return whole / member.removesuffix(self.marker)
        raise DataError(f"{archive}: there is no {self.marker} in it; get the official archive")

    def _missing(self, places: Sequence[Path]) -> str:
        return (
            f"{self.name} is not in {' or '.join(str(place) for place in places)}. "
            f"Get it from {self.page} and put it into {paths.data()}, "
            "or name the folder that holds it in DCLIB_MIRROR"
        )


def searched() -> list[Path]:
    """Where archives are looked for: the folder that `DCLIB_MIRROR` names, then the data folder."""
    return [place for place in (paths.mirror(), paths.data()) if place]


def contents(archive: Path) -> zipfile.Path:
    """The top of a zip archive, read in place.

    Raises:
        DataError: the archive is missing, damaged or dangerous, as `Official.top` says.
    """
    with _sound(archive):
        source = zipfile.ZipFile(archive)
        assert source.fp is not None
        # with the archive, also where an error holds it in a cycle, which is cleared in any order
        weakref.finalize(source, source.fp.close)
        _refuse_dangerous(archive, source.infolist())
        return zipfile.Path(source)


@contextmanager
def _sound(archive: Path) -> Iterator[None]:
    """Turn what reading a damaged archive can raise into an error that names it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{archive}: there is no such archive") from None
    except DAMAGE as fault:
        raise DataError(f"{archive}: damaged or not a zip archive ({fault}); get it anew") from None


def _refuse_dangerous(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    def refuse(what: str) -> NoReturn:
        raise DataError(f"{archive}: {what}; it is not to be trusted, get the official archive")

    seen: set[PurePosixPath] = set()
    for member in members:
        path = below(member.filename)
        if path is None:
            refuse(f"member {member.filename!r} leads out of its folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            refuse(f"member {member.filename!r} is a link")
        if path in seen:
            refuse(f"member {member.filename!r} is there twice")
        seen.add(path)
    if sum(member.file_size for member in members) > LARGEST:
        refuse(f"it holds more than {LARGEST >> 30} GiB when decompressed")


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
