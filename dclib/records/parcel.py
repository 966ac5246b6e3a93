"""Records of runs as one file, to be carried from a machine that nothing else connects."""

import re
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from dclib import paths
from dclib.errors import RunError
from dclib.files import write_atomically
from dclib.records import runs
from dclib.records.runs import OUTCOMES, RECORD, Record

LARGEST = 4 << 20  # bytes of a file; records are to be below 200 KB
DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
NAMES = re.compile(rf"[0-9a-f]{{12}}/({re.escape(RECORD)}|{re.escape(OUTCOMES)})")


def write(path: Path, records: Sequence[Record]) -> Path:
    """Write records, without weights, into one archive, whole or not at all.

    Raises:
        RunError: there are none, or it cannot be written.
    """
    if not records:
        raise RunError("no runs to pack: `python -m dclib runs list` shows all")
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for record in records:
            for name in (OUTCOMES, RECORD):
                archive.write(record.folder / name, f"{record.id}/{name}")
    write_atomically(path, content.getvalue())
    return path


def read(path: Path) -> list[Record]:
    """Put the records of an archive into the store; those that are there stay as they are.

    All are read before any is kept.

    Raises:
        RunError: it is no whole archive of records, or one of them is none of this version.
    """
    with TemporaryDirectory(prefix="dclib-") as folder:
        _unpack(path, Path(folder))
        found = [runs.read(place) for place in sorted(Path(folder).iterdir())]
        for record in found:
            record.outcomes  # noqa: B018 - raises where they are damaged
        for record in found:
            if runs.existing(record.experiment) is None:
                place = paths.store() / record.id
                place.mkdir(parents=True, exist_ok=True)
                for name in (OUTCOMES, RECORD):  # the record last: with it a folder is complete
                    write_atomically(place / name, (record.folder / name).read_bytes())
    return [kept for record in found if (kept := runs.existing(record.experiment))]


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            strange = [n for n in names if not NAMES.fullmatch(n)]
            large = [m.filename for m in members if m.file_size > LARGEST]
            if wrong := strange or large or (names if len(set(names)) < len(names) else []):
                raise RunError(f"{path} is no archive of records: it holds {wrong[0]!r}")
            for member in members:
                place = folder / member.filename
                place.parent.mkdir(exist_ok=True)
                with archive.open(member) as source, place.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except DAMAGE as error:
        raise RunError(f"{path} cannot be read ({error}): copy it anew") from error
