"""Records of runs as one file, to be carried from a machine that nothing else connects."""

import re
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from dclib import paths
from dclib.errors import RunError
from dclib.files import content, reading, write_atomically
from dclib.records import runs
from dclib.records.runs import OUTCOMES, RECORD, Record

LARGEST = 4 << 20  # bytes of a file; records are to be below 200 KB
NAMES = re.compile(rf"[0-9a-f]{{12}}/({re.escape(RECORD)}|{re.escape(OUTCOMES)})")


def write(path: Path, records: Sequence[Record]) -> Path:
    """Write records, without weights, into one archive, whole or not at all.

    Raises:
        RunError: there are none, or it cannot be written.
    """
    if not records:
        raise RunError("no runs to pack: `python -m dclib runs list` shows all")
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for record in records:
            for name in (OUTCOMES, RECORD):
                archive.write(record.folder / name, f"{record.id}/{name}")
    write_atomically(path, packed.getvalue())
    return path


def read(path: Path) -> list[Record]:
    """Put the records of an archive into the store; those that are there stay as they are.

    All are read before any is kept.

    Raises:
        RunError: it is no whole archive of records, or one of them is none of this version.
    """
    with TemporaryDirectory(prefix="dclib-") as folder:
        with (
            reading(f"{path} cannot be read", "copy it anew", RuntimeError),
            zipfile.ZipFile(BytesIO(content(path))) as archive,
        ):
            names = archive.namelist()
            for member in archive.infolist():
                name, large = member.filename, member.file_size > LARGEST
                if large or not NAMES.fullmatch(name) or names.count(name) > 1:
                    raise RunError(f"{path} is no archive of records: it holds {name!r}")
            archive.extractall(folder)
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
