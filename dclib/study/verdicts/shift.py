"""What the annotations' own shift costs every method: MTFL's test points beside those learned.

The shift is one for all methods: for each point, the median over half of the test faces of
prediction minus annotation, averaged over methods. It is taken off the predictions for the other
half, and the halves change places, so that no face is corrected by its own annotation. Scored in
the last epoch, of which alone predictions are kept.

Runs hold no truth, so this needs the faces; what was found is kept in a small file beside the
results, which holds no annotation either.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dclib import metrics, paths
from dclib.metrics import THRESHOLD
from dclib.study import paper
from dclib.study.analysis.comparison import REFERENCE, Comparison
from dclib.study.analysis.stats import DECODERS, Chance, Floats, Interval, average, difference
from dclib.study.verdicts import runs_of
from dclib.study.verdicts.evidence import best, of_claim
from dclib.training.batches import face_sets
from dclib.training.judging import face_sizes, true_points

METHOD = "DCNet"  # which the others are compared with


def path() -> Path:
    """Where what was found is kept."""
    return paths.results() / "shift.json"


def removed(points: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Predictions with the shift of the other half of the faces taken off, and both shifts.

    Args:
        points: predicted (methods, faces, L, 2), in pixels.
        truth: annotated (faces, L, 2).

    Returns:
        Points of the same shape, and the shift (2, L, 2) estimated on each half.
    """
    halves = np.random.default_rng(0).permutation(len(truth)) % 2
    shifts = np.stack(
        [np.nanmedian((points - truth)[:, halves == k], axis=1).mean(axis=0) for k in (0, 1)]
    )
    return points - shifts[1 - halves], shifts


def measure(group: Comparison) -> dict[str, Any]:
    """Failure rates in % with and without the shift, and DCNet's differences: by decoder.

    Raises:
        DataError: the faces are not here.
    """
    _, _, scored = face_sets(group.about)
    truth, sizes = true_points(scored), face_sizes(scored)
    names = np.array([m for m, own in group.tries.items() for _ in own])
    ids = sorted(r.id for r in group.records)
    found: dict[str, Any] = {"runs": ids, "pixels": scored.resolution}
    for decoder in DECODERS:
        points = np.stack([r.outcomes.points(decoder) for r in group.records])
        moved, shifts = removed(points, truth)
        found[decoder] = {"shift": shifts.mean(axis=0).round(3).tolist()}
        for name, own in (("by the paper's measure", points), ("without the shift", moved)):
            errors = np.stack([metrics.normalised_errors(p, truth, sizes) for p in own])
            failed = {m: 100.0 * (errors[names == m] > THRESHOLD) for m in group.tries}
            chance = Chance.of(failed.values()) or group.chance(decoder=decoder)
            found[decoder][name] = {
                method: {
                    "rate": _ends(average(scores, chance)),
                    "gap": _ends(difference(failed[METHOD], scores, chance)),
                }
                for method, scores in failed.items()
            }
    return found


def _ends(interval: Interval) -> list[float]:
    return [round(float(x), 4) for x in (interval.value, interval.low, interval.high)]


def main() -> None:
    """Measure the longest setting that the main claims of section 4.2 have, and keep it."""
    (claim,) = (c for c in paper.CLAIMS if c.key == "4.2-resnet18-lowest")
    groups = of_claim(claim, runs_of(REFERENCE)(claim.plan))
    if group := best(groups, claim.methods):
        path().write_text(json.dumps(measure(group), indent=1) + "\n")


def read() -> dict[str, Any] | None:
    """What was found last; None where nothing was."""
    return json.loads(path().read_text()) if path().exists() else None


if __name__ == "__main__":
    main()
