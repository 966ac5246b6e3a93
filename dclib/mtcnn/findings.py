"""What a cascade, or a public detector, made of the photos it was scored on.

Nothing here holds the truth of a data set: boxes, points and pixels stay where the data are.
"""

import io
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dclib import metrics

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
    """N faces whose landmarks are scored, and M annotated faces of held-out photos.

    Attributes:
        faces: the photo set of the N faces.
        scores: (N,) of the detection that is taken for the face, NaN where the face was missed.
        errors: (N,) its landmark error as a share of the inter-ocular distance, NaN where missed.
        points: (N, 5, 2) its landmarks in pixels of the photo, NaN where missed.
        heldout: the photo set of the M faces.
        overlaps: (M,) best intersection over union of a detection with the annotated box.
        heldout_scores: (M,) score of that detection, NaN where none overlaps.
        others: int (M,) detections in the photo that are no annotated face's best.
        stages: share of the M faces that a box overlaps by at least a half, after P, R and O.
        pictures: by name, "size" [width, height], "boxes" (K, 4), "scores" (K,), "points"
            (K, 5, 2); and where the faces are annotated, how many ("truth"), and how many of them
            were found ("found").
        precision: share of the detections in held-out photos that overlap an annotated face by at
            least a half; None where not every face is annotated.
    """

    faces: str
    scores: Floats
    errors: Floats
    points: Floats
    heldout: str
    overlaps: Floats
    heldout_scores: Floats
    others: NDArray[np.int64]
    stages: dict[str, float]
    pictures: dict[str, dict[str, Any]]
    precision: float | None = None

    @property
    def detected(self) -> NDArray[np.bool_]:
        """Which of the N faces were found."""
        return ~np.isnan(self.scores)

    def missed(self) -> int:
        """How many of the N faces were not found."""
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
        return {
            "faces": self.faces,
            "heldout": self.heldout,
            "stages": self.stages,
            "precision": self.precision,
            "pictures": pictures,
        }

    def arrays(self) -> bytes:
        """The arrays, compressed, as integers."""
        own = {name: getattr(self, name) for name in UNITS if hasattr(self, name)}
        for name, shown in self.pictures.items():
            own |= {f"{name}:{key}": shown[key] for key in UNITS if key in shown}
        kept = {name: _steps(values, name) for name, values in own.items()}
        raw = io.BytesIO()
        np.savez(raw, **kept)  # type: ignore[arg-type]
        return lzma.compress(raw.getvalue(), preset=9)


def restore(about: Mapping[str, Any], arrays: bytes) -> Findings:
    """The findings of which `about` and `arrays` were kept.

    Raises:
        ValueError, KeyError, EOFError, lzma.LZMAError: they are damaged.
    """
    with np.load(io.BytesIO(lzma.decompress(arrays)), allow_pickle=False) as stored:
        values: dict[str, Any] = {name: _from_steps(stored[name], name) for name in stored.files}
    pictures = {name: dict(shown) for name, shown in about["pictures"].items()}
    for name in [name for name in values if ":" in name]:
        picture, _, key = name.rpartition(":")
        pictures[picture][key] = values.pop(name)
    values["others"] = values["others"].astype(np.int64)
    return Findings(**{**about, "pictures": pictures}, **values)


def _unit(name: str) -> int:
    return UNITS[name.rpartition(":")[2]]


def _steps(values: np.ndarray, name: str) -> NDArray[np.int32]:
    """Rounded; errors up, so that one above 0.10 stays above it and one of 0.10 does not."""
    steps = np.asarray(values, dtype=np.float64) * _unit(name)
    rounded = np.ceil(steps - 1e-7) if name == "errors" else np.round(steps)
    return np.where(np.isnan(steps), NOTHING, rounded).astype(np.int32)


def _from_steps(steps: np.ndarray, name: str) -> Floats:
    """Errors as the middle of their step."""
    middle = np.maximum(steps - 0.5, 0) if name == "errors" else steps.astype(np.float64)
    return np.where(steps == NOTHING, np.nan, middle / _unit(name))
