"""Files and folders that appear whole or not at all, whatever stops their maker; files to read."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from filelock import FileLock

from dclib.errors import DAMAGE, DataError, RunError


def content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device, whose end may never come.
    """
    _file_or_nothing(path)
    return path.read_bytes()


def _file_or_nothing(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise OSError("a folder" if path.is_dir() else "a pipe or device, no file")


def below(told: str) -> PurePosixPath | None:
    """A path relative to its folder, with either kind of slashes; None if it leads out of it."""
    windows = PureWindowsPath(told)
    drive = windows.drive and (windows.root or os.name == "nt")  # elsewhere a: may begin a name
    if windows.root or drive or ".." in windows.parts:
        return None
    return PurePosixPath(told.replace("\\", "/"))


@contextmanager
def reading(told: str, remedy: str, *further: type[Exception]) -> Iterator[None]:
    """Turn what damaged content can raise, and `further` errors, into one that says what to do."""
    try:
        yield
    except DAMAGE + further as fault:
        reason = repr(fault) if isinstance(fault, LookupError) else fault
        raise RunError(f"{told} ({reason}): {remedy}") from fault


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the name `path` only when all of it is on the disk.

    Raises:
        OSError: it cannot be written, or is a folder, a pipe or a device; what was there stays.
    """
    _file_or_nothing(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def disk(
    place: Path,
    remedy: str = "make room or name another folder in DCLIB_DATA",
    kind: type[Exception] = DataError,
) -> Iterator[None]:
    """Turn what a disk can refuse into an error that says where and what to do."""
    try:
        yield
    except OSError as fault:
        raise kind(f"{place}: cannot be written ({fault.strerror or fault}); {remedy}") from fault


def make_folder(folder: Path, fill: Callable[[Path], None], usable: Callable[[], bool]) -> None:
    """Let `fill` write a folder that takes its name only when it is complete.

    One process at a time: the others wait, and keep what the first one made if it is `usable`.
    What an earlier process left half-done is removed.

    Raises:
        DataError: the disk is full or may not be written, or what `fill` raises.
    """
    part = folder.with_name(folder.name + ".part")
    with disk(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if usable():
                return
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                fill(part)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)


def write_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises:
        RunError: it cannot be written, a full disk for instance; what was there stays.
    """
    remedy = "free space, or name another place (DCLIB_STORE), then run again; finished work stays"
    with disk(path, remedy, RunError), whole(path) as part, part.open("wb") as file:
        file.writelines(content)
