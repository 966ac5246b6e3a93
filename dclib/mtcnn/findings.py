"""What a cascade, or a public detector, made of the photos it was scored on.

Nothing here holds the truth of a data set: boxes, points and pixels stay where the data are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dclib import metrics
from dclib.records.outcomes import pack, unpack

ERROR_UNITS = 10_000  # errors, scores and overlaps are kept in steps of 1/10,000
ENOUGH = 0.5  # intersection over union with which a face counts as found
POINT_UNITS = 100  # boxes and points in steps of 1/100 pixel
NOTHING = np.iinfo(np.int32).min  # stands for NaN
UNITS = {  # of the arrays that are kept
    "scores": ERROR_UNITS,
    "errors": ERROR_UNITS,
    "points": POINT_UNITS,
    "overlaps": ERROR_UNITS,
    "heldout_scores": ERROR_UNITS,
    "others": 1,
    "boxes": POINT_UNITS,
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """N faces whose landmarks are scored, and M annotated faces of held-out photos."""

    faces: str  # the photo set of the N faces
    scores: Floats  # (N,) of the detection that is taken for the face, NaN where it was missed
    errors: Floats  # (N,) its landmark error as a share of the inter-ocular distance, or NaN
    points: Floats  # (N, 5, 2) its landmarks in pixels of the photo, or NaN
    heldout: str  # the photo set of the M faces
    overlaps: Floats  # (M,) best intersection over union of a detection with the annotated box
    heldout_scores: Floats  # (M,) score of that detection, NaN where none overlaps
    others: NDArray[np.int64]  # (M,) detections in the photo that are no annotated face's best
    stages: dict[str, float]  # share of the M faces that a box overlaps by a half, after P, R, O
    # by name: "size" [width, height], "boxes" (K, 4), "scores" (K,), "points" (K, 5, 2); where
    # the faces are annotated, how many ("truth"), and how many of them were found ("found")
    pictures: dict[str, dict[str, Any]]
    # share of the detections in held-out photos that overlap an annotated face by at least a half;
    # None where not every face is annotated
    precision: float | None = None

    @property
    def detected(self) -> NDArray[np.bool_]:
        """Which of the N faces were found."""
        return ~np.isnan(self.scores)

    def fits(self) -> bool:
        """Whether parts have the types and shapes told above."""
        faces, annotated = self.scores.shape[:1], self.overlaps.shape[:1]
        shapes = {"scores": faces, "errors": faces, "points": (*faces, 5, 2)}
        shapes |= dict.fromkeys(("overlaps", "heldout_scores", "others"), annotated)
        words = isinstance(self.faces, str) and isinstance(self.heldout, str)
        sound = words and isinstance(self.stages, dict)
        return sound and all(getattr(self, n).shape == shape for n, shape in shapes.items())

    def missed(self) -> int:
        return int((~self.detected).sum())

    def failure_rate(self, missed_fail: bool) -> float:
        """Share of the faces whose error is above 0.10, as `dclib.metrics.failure_rate`.

        Args:
            missed_fail: missed faces are failures; else they are left out, of both counts.

        Raises:
            ValueError: no face is left.
        """
        errors = self.errors[self.detected]
        missed = np.full(self.missed() if missed_fail else 0, np.inf)
        return metrics.failure_rate(np.concatenate([errors, missed]))

    def mean_error(self) -> float:
        """Mean error of the faces that were found.

        Raises:
            ValueError: none was.
        """
        return metrics.mean_error(np.where(self.detected, self.errors, np.inf))

    def recall(self, overlap: float = 0.5) -> float:
        """Share of the M faces that a detection overlaps by at least so much."""
        return float(np.mean(self.overlaps >= overlap))

    def about(self) -> dict[str, Any]:
        """All that is not an array; the inverse, with the arrays, is `restore`."""
        pictures = {
            name: {key: value for key, value in shown.items() if key not in UNITS}
            for name, shown in self.pictures.items()
        }
        names = ("faces", "heldout", "stages", "precision")
        return {name: getattr(self, name) for name in names} | {"pictures": pictures}

    def arrays(self) -> bytes:
        """The arrays, compressed, as integers."""
        own = {name: getattr(self, name) for name in UNITS if hasattr(self, name)}
        for name, shown in self.pictures.items():
            own |= {f"{name}:{key}": shown[key] for key in UNITS if key in shown}
        return pack({name: _steps(values, name) for name, values in own.items()})


def restore(about: Mapping[str, Any], arrays: bytes) -> Findings:
    """The findings of which `about` and `arrays` were kept.

    Raises:
        One of `dclib.errors.DAMAGE`: they are damaged.
    """
    values: dict[str, Any] = {n: _from_steps(kept, n) for n, kept in unpack(arrays).items()}
    pictures = {name: dict(shown) for name, shown in about["pictures"].items()}
    for name in [name for name in values if ":" in name]:
        picture, _, key = name.rpartition(":")
        pictures[picture][key] = values.pop(name)
    values["others"] = values["others"].astype(np.int64)
    found = Findings(**{**about, "pictures": pictures}, **values)
    if not found.fits():
        raise ValueError("its parts do not fit each other")
    return found


def _steps(values: np.ndarray, name: str) -> NDArray[np.int32]:
    """Rounded; errors up, so that one above 0.10 stays above it and one of 0.10 does not."""
    steps = np.asarray(values, dtype=np.float64) * UNITS[name.rpartition(":")[2]]
    rounded = np.ceil(steps - 1e-7) if name == "errors" else np.round(steps)
    return np.where(np.isnan(steps), NOTHING, rounded).astype(np.int32)


def _from_steps(steps: np.ndarray, name: str) -> Floats:
    """Errors as the middle of their step."""
    middle = np.maximum(steps - 0.5, 0) if name == "errors" else steps.astype(np.float64)
    return np.where(steps == NOTHING, np.nan, middle / UNITS[name.rpartition(":")[2]])
