"""Where the ranking of methods holds and where it turns: runs by what varies around one setting.

Differences are in points of the landmark failure rate, DCNet minus another method: negative where
DCNet fails less often, as the paper says of each. Runs are scored in their *last* epoch, not over
the last five as in Fig. 3: five epochs are the end of a long training and half of a short one, and
would compare networks at different stages. What Fig. 3's average would say can be asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dclib.errors import RunError
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study.analysis.comparison import scores
from dclib.study.analysis.stats import DECODERS, LENGTHS, Floats, Interval, average, side, slope
from dclib.study.plans.presets import PRESETS

ALL_FACES = 10_000  # MTFL's training faces, where a run names no number
METHOD = "DCNet"  # which is compared with each other method


class Point(NamedTuple):
    """A setting: training faces, epochs, width of the columns."""

    train_faces: int
    epochs: int
    width: float

    @classmethod
    def of(cls, settings: Experiment | Mapping[str, Any]) -> "Point":
        """The setting of an experiment, or of a preset."""
        values = settings if isinstance(settings, Mapping) else vars(settings)
        return cls(values["train_faces"] or ALL_FACES, values["epochs"], values["width"])


class Trend(NamedTuple):
    """How a difference moves with each doubling of what varies, in points.

    Attributes:
        slope: by decoder, of a straight line by least squares through the differences.
        points: how many settings it stands on.
    """

    slope: dict[str, Interval]
    points: int

    @property
    def side(self) -> int:
        """-1 if the difference falls by both decoders, 1 if it rises, 0 if neither is clear."""
        return side(self.slope.values())


class Regimes:
    """Runs around one setting, one for each point and method.

    Args:
        planned: every experiment that belongs to the map, such as
            `dclib.study.plans.extensions.regimes` gives.
        records: those that were run; others are left out.
        further: runs of more tries at the base, such as those of Fig. 3; others are left out.

    Raises:
        RunError: the plan is empty, or its experiments differ in more than method, learning rate
            and what varies.
    """

    def __init__(
        self,
        planned: Sequence[Experiment],
        records: Sequence[Record],
        further: Sequence[Record] = (),
    ) -> None:
        if len({_frame(e) for e in planned}) != 1:
            raise RunError(
                "a map of regimes needs experiments that differ in nothing but the method, its"
                " learning rate, and training faces, epochs and width"
            )
        first, self.planned = planned[0], list(planned)
        self.points = {Point.of(e) for e in planned}
        self.preset, self.batch = first.preset, first.batch
        self.base = Point.of(PRESETS[self.preset].settings)
        self.methods = list(dict.fromkeys(e.method for e in planned))
        self.others = [m for m in self.methods if m != METHOD]
        wanted = {e.id for e in planned}
        own = {r.id: r for r in records if r.id in wanted}
        self.records = list(own.values())
        self._runs = {(Point.of(r.experiment), r.experiment.method): r for r in self.records}
        at_base = {e for e in planned if Point.of(e) == self.base}
        tries = [*self.records, *(r for r in further if r.id not in own)]
        self.tries = {  # of the base alone
            (r.experiment.method, r.experiment.try_): r
            for r in tries
            if replace(r.experiment, try_=first.try_) in at_base
        }

    @property
    def axes(self) -> dict[str, list[Point]]:
        """The planned points by what varies, from little to much; the base belongs to each."""
        faces, epochs, width = self.base
        held = {
            # with the faces the epochs change, so that the number of steps does not
            "train_faces": [p for p in self.points if p.width == width and p.train_faces != faces],
            "epochs": [p for p in self.points if (p.train_faces, p.width) == (faces, width)],
            "width": [p for p in self.points if (p.train_faces, p.epochs) == (faces, epochs)],
        }
        axes = {axis: sorted({*own, self.base} & self.points) for axis, own in held.items()}
        return {axis: own for axis, own in axes.items() if len(own) > 1}

    @property
    def shown(self) -> list[Record]:
        """Every run that is drawn: those of the plan, and further tries at the base."""
        return list({r.id: r for r in [*self.records, *self.tries.values()]}.values())

    def steps(self, point: Point) -> int:
        """Training steps at a point."""
        whole, rest = divmod(point.train_faces, self.batch)
        return point.epochs * (whole + (rest > 1))

    def has(self, point: Point, *methods: str) -> bool:
        """Whether all these methods were run at a point."""
        return all((point, method) in self._runs for method in methods)

    def scores(self, point: Point, method: str, decoder: str, last: int = 1) -> Floats:
        """Share of the `last` epochs in which each face fails, in %: (1, faces)."""
        return scores([self._runs[point, method]], "failure rate", decoder, last)

    def rate(self, point: Point, method: str, decoder: str = "bin") -> Interval:
        """Landmark failure rate of a method at a point, in %, and its interval over faces."""
        return average(self.scores(point, method, decoder))

    def gap(self, point: Point, other: str, decoder: str = "bin", last: int = 1) -> Interval:
        """Failure rate of DCNet minus another's at a point, in points, paired over faces."""
        one, two = (self.scores(point, m, decoder, last) for m in (METHOD, other))
        return average(one - two)

    def side(self, point: Point, other: str, last: int = 1) -> int | None:
        """-1 where DCNet fails less often by both decoders, 1 where more often, 0 where neither.

        None where one of the two was not run.
        """
        if not self.has(point, METHOD, other):
            return None
        return side(self.gap(point, other, d, last) for d in DECODERS)

    def trend(self, axis: str, other: str) -> Trend | None:
        """How DCNet's difference to another moves along an axis; None with fewer than three points.

        The interval is by how far the differences lie from the line, so it holds what tries add.
        """
        points = [p for p in self.axes[axis] if self.has(p, METHOD, other)]
        if len(points) < LENGTHS:
            return None
        at = np.log2([getattr(point, axis) for point in points]).tolist()
        gaps = {d: [self.gap(p, other, d).value for p in points] for d in DECODERS}
        return Trend({d: slope(at, own) for d, own in gaps.items()}, len(points))

    def base_rates(self, method: str, decoder: str = "bin") -> dict[int, float]:
        """Failure rate of a method in each try at the base, in %, by try."""
        own = sorted((try_, r) for (name, try_), r in self.tries.items() if name == method)
        return {t: float(scores([r], "failure rate", decoder, 1).mean()) for t, r in own}

    def base_gaps(self, other: str) -> list[float]:
        """DCNet's difference to another in each try at the base that both have, in points."""
        one, two = (self.base_rates(method) for method in (METHOD, other))
        return [one[try_] - two[try_] for try_ in one.keys() & two.keys()]


def _frame(experiment: Experiment) -> Experiment:
    """An experiment without its method, what is the method's own, and what varies."""
    own: dict[str, Any] = {"lr": 1.0, "unit_rate": 1.0, "penalty": 0.0, "revision": 0}
    return replace(experiment, method="", **own, train_faces=None, epochs=1, width=1.0)
