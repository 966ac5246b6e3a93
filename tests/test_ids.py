"""Names that must never move: those of committed records, and of the runs that plans ask for.

`plan_ids.csv` holds a digest of the ids of each plan at each preset. A commit that means to change
ids, by a new choice of learning rates for instance, says so and writes the table anew:
`python tests/test_ids.py`.
"""

import csv
import hashlib
from pathlib import Path

import pytest

from dclib.errors import RunError
from dclib.mtcnn import records as cascades
from dclib.records import runs
from dclib.study import plans
from dclib.study.plans import presets

TABLE = Path(__file__).with_name("plan_ids.csv")


def planned() -> dict[tuple[str, str], tuple[str, str]]:
    """(preset, plan) -> number of its runs, and digest of their ids in order."""
    made = {}
    for preset in presets.PRESETS:
        for figure in plans.FIGURES:
            try:
                ids = [e.id for e in plans.experiments(figure, preset)]
            except RunError:  # its learning rates are not chosen yet
                continue
            digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
            made[preset, figure] = (str(len(ids)), digest)
    return made


def kept() -> dict[tuple[str, str], tuple[str, str]]:
    with TABLE.open(newline="") as lines:
        return {(r["preset"], r["plan"]): (r["runs"], r["digest"]) for r in csv.DictReader(lines)}


@pytest.mark.usefixtures("places")
def test_ids_of_plans_stay():
    assert planned() == kept()


@pytest.mark.parametrize("kind", [runs, cascades], ids=["runs", "cascades"])
def test_committed_records_hash_to_their_names(kind):
    """The names of their folders, which a reader's clone has, not what a record says of itself."""
    place = kind.SHELF.places()[0]
    assert sorted(r.id for r in kind.committed()) == sorted(p.name for p in place.iterdir())


if __name__ == "__main__":
    with TABLE.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("preset", "plan", "runs", "digest"))
        rows.writerows((*where, *what) for where, what in planned().items())
