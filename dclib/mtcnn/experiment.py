"""An experiment with a cascade: everything that decides what its detections mean (section 4.5)."""

from dataclasses import dataclass, fields
from typing import ClassVar

from dclib.mtcnn.losses import WEIGHTS
from dclib.mtcnn.samples import KINDS
from dclib.mtcnn.stages import METHODS, POOLING, SIZES
from dclib.records.experiment import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Named,
    Rule,
    at_least,
    one_of,
)

PROTOCOL = 1  # raised whenever the code changes what a cascade means

STAGES = tuple(SIZES)
SCORE: Rule = (lambda x: 0 <= x < 1, "in [0, 1)")


def each(count: int, of: Rule) -> Rule:
    """For every one of so many values, of stages from P on."""
    possible, rule = of
    return lambda x: len(x) == count and all(map(possible, x)), f"{count} values, each {rule}"


@dataclass(frozen=True)
class CascadeExperiment(Named):
    """One cascade of three stages, trained and scored, named by the hash of what it holds.

    What is said of each stage stands in the order P, R, O. An impossible value is a ValueError that
    names its field.
    """

    method: str  # see `dclib.mtcnn.stages.build`
    datasets: tuple[str, ...]  # photo sets that it is trained on, see `dclib.data.photos`
    faces: str  # the photo set on whose held-out faces the landmarks are scored
    heldout: str  # the photo set on whose held-out photos the detections are scored
    fingerprint: str  # of the sources of all these, see `dclib.mtcnn.presets.fingerprint`
    # at most so many photos of each set, in whole groups; None for all; a tenth is held out before
    photos: int | None
    width: float  # of every stage, in widths of the method's
    pooling: str  # "ceil" as in the publication of MTCNN, "floor" as in the paper's own code
    kernel: int  # side of the second convolutions of P's blocks, see `dclib.mtcnn.stages.build`
    epochs: tuple[int, int, int]
    batch: tuple[int, int, int]  # samples per step
    lr: tuple[float, float, float]  # the highest rate
    samples: tuple[int, int, int]  # per epoch
    # what batches consist of, what is learnt from them and how the losses are weighted, see
    # `dclib.mtcnn.training.Training`
    mix: tuple[float, float, float, float]
    online: float | None
    weighting: str
    # how many samples are drawn from each photo (the first) and around each face, and of which
    # faces, see `dclib.mtcnn.samples.Recipe`
    negatives: int
    near: int
    jitters: int
    smallest: float
    # the smallest face, in pixels, and the scores of P and R that count in mining; in scoring
    mining_minimum: float
    mining_thresholds: tuple[float, float]
    minimum: float
    thresholds: tuple[float, float, float]
    factor: float  # from one size of a photo to the next smaller one, in both
    try_: int  # counts from 0; it seeds initialisation, samples and their order
    preset: str
    protocol: int = PROTOCOL

    RULES: ClassVar = {
        "method": one_of(METHODS),
        "datasets": (lambda names: len(names) > 0, "name one or more photo sets"),
        "photos": (lambda n: n is None or n >= 2, "at least 2"),
        "width": POSITIVE,
        "pooling": one_of(POOLING),
        "kernel": one_of((1, 3)),
        "epochs": each(3, at_least(1)),
        "batch": each(3, at_least(2, ", for BatchNorm")),
        "lr": each(3, POSITIVE),
        "samples": each(3, at_least(1)),
        "mix": (
            lambda shares: len(shares) == len(KINDS) and min(shares) >= 0 and min(shares[:2]) > 0,
            f"shares of {list(KINDS)}, the first two above 0",
        ),
        "online": (lambda share: share is None or 0 < share <= 1, "in (0, 1], or None"),
        "weighting": one_of(tuple(WEIGHTS)),
        **dict.fromkeys(("negatives", "near", "jitters", "smallest"), NOT_NEGATIVE),
        **dict.fromkeys(("minimum", "mining_minimum"), at_least(SIZES["P"], " px, which P sees")),
        "thresholds": each(3, SCORE),
        "mining_thresholds": each(2, SCORE),
        "factor": (lambda x: 0 < x < 1, "between 0 and 1"),
        "try_": COUNT,
    }

    def __post_init__(self) -> None:
        for field in fields(self):  # JSON has lists only
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        super().__post_init__()

    @property
    def dataset(self) -> str:
        """All its photo sets, as lines of provenance name them."""
        return " + ".join(dict.fromkeys([*self.datasets, self.faces, self.heldout]))

    @property
    def label(self) -> str:
        """The method as figures name it."""
        return self.method

    @property
    def title(self) -> str:
        """A line for people: method, size, data, preset, try."""
        size = f"width {self.width:g}, {self.pooling} pooling"
        size += ", 3 × 3 in P's blocks" if self.kernel == 3 else ""
        data = " + ".join(self.datasets)
        return f"{self.label} ({size}), {data}, {self.preset}, try {self.try_}"
