"""The choice of learning rates, made on validation faces and kept in a table."""

import csv
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dclib import metrics, paths
from dclib.data.faces import FaceSet
from dclib.errors import RunError
from dclib.records.runs import Record, committed

GROUP = ["preset", "underlying", "method"]  # a choice is made in each
CHOICE = ["lr", "unit_rate", "penalty"]

if TYPE_CHECKING:
    import pandas as pd


def path() -> Path:
    """The committed table."""
    return paths.results() / "selection.csv"


def pose_weights(validation: FaceSet, test: FaceSet) -> np.ndarray:
    """Weights (N,) of mean 1 that give validation faces the head poses of the test set.

    Full profiles are 3 % of MTFL's training faces and 11 % of its test faces.
    """
    poses = np.bincount(test.labels["profile"], minlength=1) / len(test)
    here = np.bincount(validation.labels["profile"], minlength=len(poses)) / len(validation)
    weights = (poses / np.maximum(here, 1 / len(validation)))[validation.labels["profile"]]
    return weights / weights.mean()


def table(records: Sequence[Record], weights: np.ndarray | None = None) -> "pd.DataFrame":
    """One row per run of the grid, the best of each method marked.

    The best has the lowest landmark failure rate under the paper's decoder, averaged over the last
    five epochs; ties go to the lower mean error.

    Args:
        weights: `pose_weights`, for a further column that is for reading and chooses nothing.

    Raises:
        RunError: a run is scored on test faces.
    """
    import pandas as pd

    rows = []
    for record in records:
        e, errors = record.experiment, record.outcomes.errors
        if e.split != "validation":
            raise RunError(f"run {e.id} is scored on {e.split} faces: nothing is chosen on those")
        rows.append(
            {
                "preset": e.preset,
                "underlying": e.underlying,
                "method": e.label,
                "lr": e.lr,
                "unit_rate": e.unit_rate,
                "penalty": e.penalty,
                "failure_rate": round(metrics.failure_rate(errors["bin"]), 5),
                "failure_rate_soft": round(metrics.failure_rate(errors["soft"]), 5),
                "mean_error": round(float(errors["bin"].mean()), 5),
                "run": e.id,
            }
        )
        if weights is not None:
            reweighted = ((errors["bin"] > metrics.THRESHOLD) * weights).mean()
            rows[-1]["failure_rate_test_poses"] = round(float(reweighted), 5)
    frame = pd.DataFrame(rows)
    groups = frame.groupby(GROUP, sort=False).ngroup().sort_values(kind="stable")
    order = frame.sort_values(["failure_rate", "mean_error"], kind="stable")
    best = order.groupby(GROUP, sort=False).head(1).index
    return frame.assign(chosen=frame.index.isin(best)).loc[groups.index]


def write(records: Sequence[Record], weights: np.ndarray | None = None) -> "pd.DataFrame":
    """Make the table of these runs and keep it; rows of other grids stay.

    A choice that committed test runs have followed stays too, whatever was run since.
    """
    import pandas as pd

    new = table(records, weights)
    if path().exists():
        old = pd.read_csv(path())
        stood = old[old["chosen"] & old["run"].isin(new["run"]) & _are_followed(old)]
        for _, row in stood.iterrows():
            same = (new[GROUP] == row[GROUP]).all(axis=1)
            new.loc[same, "chosen"] = new.loc[same, "run"] == row["run"]
        keys = pd.MultiIndex.from_frame(new[GROUP])
        stay = ~pd.MultiIndex.from_frame(old[GROUP]).isin(keys)
        new = pd.concat([old[stay], new], ignore_index=True)
    path().parent.mkdir(parents=True, exist_ok=True)
    new.to_csv(path(), index=False)
    _rows.cache_clear()
    return new


def _are_followed(rows: "pd.DataFrame") -> np.ndarray:
    """Whether committed test runs have the settings of each row of the table."""
    made = [r.experiment for r in committed() if r.experiment.split == "test"]
    theirs = {(e.preset, e.underlying, e.label, e.lr, e.unit_rate, e.penalty) for e in made}
    own = rows[GROUP + CHOICE].itertuples(index=False, name=None)
    return np.array([one in theirs for one in own], dtype=bool)


@lru_cache(maxsize=4)
def _rows(file: Path) -> tuple[dict[str, str], ...]:
    if not file.exists():
        return ()
    with file.open(newline="") as lines:
        return tuple(csv.DictReader(lines))


def _chosen(preset: str, method: str, underlying: str) -> dict[str, str] | None:
    own, packaged = path(), Path(__file__).with_name("selection.csv")
    for row in _rows(own if own.exists() or paths.cloned() else packaged):
        named = (row["preset"], row["method"], row["underlying"])
        if named == (preset, method, underlying) and row["chosen"] == "True":
            return row
    return None


def is_chosen(preset: str, method: str, underlying: str) -> bool:
    """Whether a learning rate has been chosen for a method."""
    return _chosen(preset, method, underlying) is not None


def chosen(
    preset: str, method: str, underlying: str, plan: str | None = "rates"
) -> tuple[float, float, float]:
    """The learning rate, unit rate and penalty weight chosen for a method.

    Args:
        plan: the grid that a rate of it is chosen from, if there is one.

    Raises:
        RunError: none has been chosen yet.
    """
    if row := _chosen(preset, method, underlying):
        return float(row["lr"]), float(row["unit_rate"]), float(row["penalty"])
    choose = (
        f"run `python -m dclib train --plan {plan} --preset {preset}`, then `python -m dclib select"
        f" --preset {preset}`, or "
    )
    raise RunError(
        f"no learning rate is chosen for {method} on {underlying} at preset {preset}:"
        f" {choose if plan else ''}name one by --lr"
    )
