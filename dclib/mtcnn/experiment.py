"""An experiment with a cascade: everything that decides what its detections mean (section 4.5)."""

from dataclasses import dataclass, fields

from dclib.mtcnn.losses import WEIGHTS
from dclib.mtcnn.samples import KINDS
from dclib.mtcnn.stages import METHODS, POOLING, SIZES
from dclib.records.experiment import Named

PROTOCOL = 1  # raised whenever the code changes what a cascade means

STAGES = tuple(SIZES)


@dataclass(frozen=True)
class CascadeExperiment(Named):
    """One cascade of three stages, trained and scored, named by the hash of what it holds.

    What is said of each stage stands in the order P, R, O.

    Attributes:
        method: "MTCNN" as published; "MTCNNx", widened until each stage has as many parameters as
            that of "DC-MTCNN", whose tasks have columns of their own, joined by blocks.
        datasets: names of the photo sets that it is trained on, see `dclib.data.photos`.
        faces: the photo set on whose held-out faces the landmarks are scored.
        heldout: the photo set on whose held-out photos the detections are scored.
        fingerprint: of the sources of all these, see `dclib.mtcnn.presets.fingerprint`.
        photos: trains on at most so many photos of each set, in whole groups; None for all. A
            tenth of all is held out before.
        width: of every stage, in widths of the method's.
        pooling: "ceil" as in the publication of MTCNN, "floor" as in the paper's own code.
        kernel: side of the second convolutions of P's blocks, see `dclib.mtcnn.stages.build`.
        epochs, batch, lr, samples: length of training, samples per step, highest rate and samples
            per epoch of each stage.
        mix, online, weighting: what batches consist of, what is learnt from them and how the losses
            are weighted, see `dclib.mtcnn.training.Training`.
        negatives, near, jitters, smallest: how many samples are drawn from each photo (the first)
            and around each face, and of which faces, see `dclib.mtcnn.samples.Recipe`.
        mining_minimum, mining_thresholds: the smallest face, in pixels, and the scores of P and R
            that count while a cascade's own detections become samples.
        minimum, thresholds: the same, of all stages, while it is scored.
        factor: from one size of a photo to the next smaller one, in both.
        try_: counts the tries from 0; it seeds initialisation, samples and their order.
        preset: the preset that it belongs to.
        protocol: the meaning of all the above, see `PROTOCOL`.

    Raises:
        ValueError: an impossible value, named with the field.
    """

    method: str
    datasets: tuple[str, ...]
    faces: str
    heldout: str
    fingerprint: str
    photos: int | None
    width: float
    pooling: str
    kernel: int
    epochs: tuple[int, int, int]
    batch: tuple[int, int, int]
    lr: tuple[float, float, float]
    samples: tuple[int, int, int]
    mix: tuple[float, float, float, float]
    online: float | None
    weighting: str
    negatives: int
    near: int
    jitters: int
    smallest: float
    mining_minimum: float
    mining_thresholds: tuple[float, float]
    minimum: float
    thresholds: tuple[float, float, float]
    factor: float
    try_: int
    preset: str
    protocol: int = PROTOCOL

    def __post_init__(self) -> None:
        demand = self.demand
        for field in fields(self):  # JSON has lists only
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        demand(self.method in METHODS, "method", f"choose from {list(METHODS)}")
        demand(len(self.datasets) > 0, "datasets", "name one or more photo sets")
        demand(self.photos is None or self.photos >= 2, "photos", "at least 2")
        demand(self.width > 0, "width", "must be positive")
        demand(self.pooling in POOLING, "pooling", f"choose from {list(POOLING)}")
        demand(self.kernel in (1, 3), "kernel", "1 or 3")
        for each in ("epochs", "batch", "lr", "samples"):
            demand(len(getattr(self, each)) == len(STAGES), each, f"one for each of {list(STAGES)}")
        demand(min(self.epochs) >= 1, "epochs", "at least 1")
        demand(min(self.batch) >= 2, "batch", "at least 2, for BatchNorm")
        demand(all(0 < lr < float("inf") for lr in self.lr), "lr", "must be positive and finite")
        demand(min(self.samples) >= 1, "samples", "at least 1")
        shares = len(self.mix) == len(KINDS) and min(self.mix) >= 0 and min(self.mix[:2]) > 0
        demand(shares, "mix", f"shares of {list(KINDS)}, the first two above 0")
        demand(self.online is None or 0 < self.online <= 1, "online", "in (0, 1], or None")
        demand(self.weighting in WEIGHTS, "weighting", f"choose from {list(WEIGHTS)}")
        for count in ("negatives", "near", "jitters", "smallest"):
            demand(getattr(self, count) >= 0, count, "must not be negative")
        for smallest in ("minimum", "mining_minimum"):
            demand(getattr(self, smallest) >= 12, smallest, "P sees 12 px: no smaller faces")
        for name, stages in (("thresholds", 3), ("mining_thresholds", 2)):
            scores = getattr(self, name)
            fits = len(scores) == stages and all(0 <= score < 1 for score in scores)
            demand(fits, name, f"{stages} scores in [0, 1)")
        demand(0 < self.factor < 1, "factor", "between 0 and 1")
        demand(self.try_ >= 0, "try_", "counts from 0")

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
