"""The synthetic faces: drawn heads, with landmarks and labels known exactly.

They have MTFL's landmarks, labels and scale, and AFLW's three angles, so that everything that runs
on real faces also runs without any. `relatedness` sets how strongly the labels are related to the
head, on the very same pictures and landmarks:

    Behind each head is a backdrop that tells, by its colour, light and stripes, the gender, smile,
    glasses and profile of another head, drawn in the same way but nowhere to be seen. Each of the
    four labels is the head's own with probability `relatedness`, else the one that the backdrop
    tells, for each face and label independently.

At 1 the labels are what the head determines. At 0 they can still be learnt, from the backdrop, and
have the same distribution, but they have nothing to do with the landmarks: their mutual information
is exactly 0. What the related tasks give to landmark detection at 1 and not at 0 comes from the
relation. The three angles are always the head's own.

Each label may have a relatedness of its own. `SETS` holds what is compared where the truth is to be
known: all labels related, none, every other one by chance, the profile alone, all others alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dclib.data import mtfl
from dclib.data.cache import cached
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, margin_of, mark
from dclib.data.portrait import draw, factors, landmarks, paint, project, stream
from dclib.data.progress import progress
from dclib.errors import DataError

VERSION = 1  # raise it whenever the faces of a seed change
SEED = 1
TRAINING, TEST = 640, 256  # faces
TEST_START = 1_000_000  # number of the first test face; training faces count from 0
RELATED = ("gender", "smile", "glasses", "profile")
LABELS = {
    **dict.fromkeys(RELATED, np.int64),
    **dict.fromkeys(("yaw", "pitch", "roll"), np.float32),
}
Relatedness = float | Mapping[str, float]  # of all labels, or of each
SETS: dict[str, Relatedness] = {
    "100": 1.0,
    "0": 0.0,
    "50": 0.5,
    "profile": {"gender": 0.0, "smile": 0.0, "glasses": 0.0, "profile": 1.0},
    "others": {"gender": 1.0, "smile": 1.0, "glasses": 1.0, "profile": 0.0},
}
MANY = (2_000, 2_000)  # training and test faces, where differences are to be measured
SYMMETRY = replace(mtfl.SYMMETRY, negated=("yaw", "roll"), rolled=("roll",))

tasks, words = mtfl.tasks, mtfl.words


def prepare(source: Path | None = None) -> str:
    """There is nothing to obtain."""
    if source is not None:
        raise DataError(
            f"synthetic faces are drawn by dclib itself: leave out {source}, or give it a new name"
        )
    return "drawn by dclib itself when first used: nothing to obtain"


def load(
    resolution: int, relatedness: Relatedness = 1.0, training: int = TRAINING, test: int = TEST
) -> Faces:
    """Training and test faces, from the cache once they have been drawn.

    Training faces have a margin of an eighth of `resolution` all round, for augmentation to find
    pixels in. More faces begin with the same faces.

    Raises:
        ValueError: relatedness outside [0, 1], or not of each label.
        DataError: the cache cannot be written.
    """
    mark = fingerprint(relatedness, training, test)
    size = resolution + margin_of(resolution)
    held_out = range(TEST_START, TEST_START + test)

    def build() -> Faces:
        return (
            render(range(training), resolution, size, relatedness, mark),
            render(held_out, resolution, resolution, relatedness, mark),
        )

    return cached("synthetic", resolution, mark, build)


def load_set(name: str, many: bool, resolution: int) -> Faces:
    """The faces of one of `SETS`, many or as few as `load` gives by default."""
    return load(resolution, SETS[name], *(MANY if many else (TRAINING, TEST)))


def fingerprint_of(name: str, many: bool) -> str:
    """Names the faces that `load_set` gives."""
    return fingerprint(SETS[name], *(MANY if many else (TRAINING, TEST)))


def fingerprint(relatedness: Relatedness = 1.0, training: int = TRAINING, test: int = TEST) -> str:
    """Names the faces that `load` gives, whatever the resolution."""
    shares = _shares(relatedness)
    named: Any = float(relatedness) if isinstance(relatedness, int | float) else shares
    return mark(json.dumps(["synthetic", VERSION, SEED, named, training, test]))


def _shares(relatedness: Relatedness) -> dict[str, float]:
    """The relatedness of each label."""
    each = relatedness
    if not isinstance(each, Mapping):
        each = dict.fromkeys(RELATED, float(each))
    if sorted(each) != sorted(RELATED) or not all(0 <= share <= 1 for share in each.values()):
        raise ValueError(
            f"relatedness must lie in [0, 1], for all or each of {RELATED}, not {relatedness}"
        )
    return {label: float(each[label]) for label in RELATED}


def render(
    numbers: Sequence[int],
    resolution: int,
    size: int,
    relatedness: Relatedness = 1.0,
    fingerprint: str = "",
    seed: int = SEED,
) -> FaceSet:
    """The faces of these numbers, each the same whichever others are drawn with it.

    Args:
        size: width of the pictures; the window of `resolution` pixels is in their middle.
    """
    images = np.empty((len(numbers), 3, size, size), dtype=np.uint8)
    for image, number in zip(
        images, progress(numbers, "synthetic faces", len(numbers)), strict=True
    ):
        grain = stream(seed, number, "grain")
        image[:] = np.rint(paint(draw(seed, number), size, resolution, grain))
    points, labels = truth(numbers, resolution, relatedness, seed)
    return FaceSet(
        images=images,
        landmarks=points + np.float32((size - resolution) / 2),
        labels=labels,
        names=tuple(f"synthetic/{number:07d}" for number in numbers),
        groups=np.array(numbers, dtype=np.int64),
        resolution=resolution,
        symmetry=SYMMETRY,
        fingerprint=fingerprint,
    )


def truth(
    numbers: Sequence[int], resolution: int, relatedness: Relatedness = 1.0, seed: int = SEED
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Landmarks (N, 5, 2), in pixels of the window, and labels (N,) of faces, without pictures."""
    points = np.empty((len(numbers), len(SYMMETRY.points), 2), dtype=np.float32)
    rows, shares = [], _shares(relatedness)
    for i, number in enumerate(numbers):
        head = draw(seed, number)
        points[i] = project(head, landmarks(head), resolution)
        own, told = factors(head).labels(), head.told.labels()
        chance = stream(seed, number, "labels").random(len(own))
        row = {
            name: own[name] if at < shares[name] else told[name]
            for name, at in zip(own, chance, strict=True)
        }
        rows.append(row | {"yaw": head.yaw, "pitch": head.pitch, "roll": head.roll})
    return points, {
        name: np.array([row[name] for row in rows], dtype=kind) for name, kind in LABELS.items()
    }
