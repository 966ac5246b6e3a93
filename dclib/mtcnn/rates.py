"""The choice of stage O's learning rate, made on held-out photos and kept in a table.

Of the grid `dclib.mtcnn.presets.grid` a cascade takes the rate at which O's landmark error, after
the last epoch, is lowest on the tenth of the photos that is held out from training.
"""

import csv
import io
from collections.abc import Sequence
from math import inf, isfinite
from pathlib import Path

from dclib import paths
from dclib.files import write_atomically
from dclib.mtcnn.records import CascadeRecord


def path() -> Path:
    """The committed table."""
    return paths.results() / "cascade_rates.csv"


def write(records: Sequence[CascadeRecord]) -> list[dict[str, str]]:
    """Keep the table of a grid, the best of each method marked; rows of other presets stay."""
    errors = {r.id: float(r.history["O"][-1]["validation.error"]) for r in records}
    best: dict[str, str] = {}  # the run of each method, of equals the first
    for run in sorted(records, key=lambda r: errors[r.id] if isfinite(errors[r.id]) else inf):
        best.setdefault(run.experiment.method, run.id)
    rows = [
        {
            "preset": record.experiment.preset,
            "method": record.experiment.method,
            "lr": str(record.experiment.lr[-1]),
            "error": str(errors[record.id]),
            "run": record.id,
            "chosen": str(record.id in best.values()),
        }
        for record in records
    ]
    made = {row["preset"] for row in rows}
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows([*(row for row in _rows() if row["preset"] not in made), *rows])
    path().parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path(), text.getvalue().encode())
    return rows


def chosen(preset: str) -> dict[str, float]:
    """The rate of O that was chosen for each method; empty before that."""
    own = (row for row in _rows() if (row["preset"], row["chosen"]) == (preset, "True"))
    return {row["method"]: float(row["lr"]) for row in own}


def _rows() -> list[dict[str, str]]:
    text = path().read_text() if path().exists() else ""
    return list(csv.DictReader(text.splitlines()))
