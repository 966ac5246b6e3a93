"""Folders and files that appear whole or not at all, whatever stops their maker."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from dclib.errors import DataError


@contextmanager
def disk(place: Path) -> Iterator[None]:
    """Turn what a disk can refuse into an error that says where and what to do."""
    try:
        yield
    except OSError as fault:
        raise DataError(
            f"{place}: cannot be written ({fault.strerror or fault}); "
            "make room or name another folder in DCLIB_DATA"
        ) from fault


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
