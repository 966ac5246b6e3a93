"""An experiment: everything that decides what a run means, and nothing that does not."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any, ClassVar, Self, get_args

from dclib.names import WEIGHTINGS, WEIGHTS

PROTOCOL = 1  # raised whenever the code changes what a run means

SPLITS = ("validation", "test")
# Fields that came after the first runs, and what they are where a run does not name them: so the
# names of those runs stay.
LATER = {"penalty": 0.0, "precision": None, "revision": 0}

Rule = tuple[Callable[[Any], bool], str]  # whether a value is possible, and what to say if not
POSITIVE: Rule = (lambda x: 0 < x < inf, "must be positive and finite")
NOT_NEGATIVE: Rule = (lambda x: 0 <= x < inf, "must not be negative")
COUNT: Rule = (lambda n: n >= 0, "counts from 0")


def at_least(least: float, unit: str = "") -> Rule:
    return lambda x: x >= least, f"at least {least}{unit}"


def one_of(choices: Sequence[Any]) -> Rule:
    return lambda x: x in choices, f"choose from {list(choices)}"


@dataclass(frozen=True)
class Named:
    """What is named by the hash of all its fields.

    Raises:
        ValueError: a value breaks the rule of its field; names field, value and rule.
    """

    RULES: ClassVar[dict[str, Rule]] = {}  # by field

    def __post_init__(self) -> None:
        for field, (possible, rule) in self.RULES.items():
            self.demand(possible(getattr(self, field)), field, rule)

    @property
    def id(self) -> str:
        """12 hexadecimal digits, the same on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """The canonical form: keys sorted, no spaces, later fields only where they differ."""
        values = asdict(self)
        said = {k: v for k, v in values.items() if k not in LATER or v != LATER[k]}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`, after `json.loads`.

        Raises:
            ValueError: fields are missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        missing, unknown = names - LATER.keys() - values.keys(), values.keys() - names
        if missing or unknown:
            raise ValueError(
                f"not an experiment of this version: missing {sorted(missing)},"
                f" unknown {sorted(unknown)}"
            )
        return cls(**values)

    def demand(self, condition: bool, field: str, rule: str) -> None:
        if not condition:
            raise ValueError(f"{field}={getattr(self, field)!r}: {rule}")


@dataclass(frozen=True)
class Experiment(Named):
    """One training run, named by the hash of what it holds.

    Attributes:
        dataset: a name that `dclib.data.find` knows.
        fingerprint: of the source data.
        split: whose faces the outcomes are on. For "validation" these are the tenth of the training
            faces that is held out, always, from training; see `holdout`.
        holdout: also a run scored on the test set leaves out the validation faces.
        train_faces: trains on the first so many of the seeded order of faces; None for all.
        method, underlying, width, resolution: arguments of `dclib.build`.
        pretrained: False, or the name of the weights that columns start from.
        epochs, batch: length of training, and faces per step.
        lr, unit_rate: the peak learning rate, and what it is multiplied by in a method's mixers.
        momentum, weight_decay: of stochastic gradient descent with Nesterov's momentum.
        schedule: "one-cycle", a linear warm-up over 30 % and a cosine to zero; or "constant".
        augmentation: "standard" (scale, shift, rotation, mirror) or "none".
        weighting, related: arguments of `dclib.tasks.task_weights`; related as pairs.
        try_: counts the tries from 0; it seeds initialisation, face order and augmentation.
        preset: the preset that the run belongs to.
        protocol: the meaning of all the above, see `PROTOCOL`.
        penalty: the weight of what the method adds to the loss.
        precision: "bf16" or "fp32"; None for what `dclib.fast.choose` gives the machine.
        revision: of the method, see `dclib.network.Method`.

    Raises:
        ValueError: an impossible value, named with the field.
    """

    dataset: str
    fingerprint: str
    split: str
    holdout: bool
    train_faces: int | None
    method: str
    underlying: str
    width: float
    resolution: int
    pretrained: str | bool
    epochs: int
    batch: int
    lr: float
    unit_rate: float
    momentum: float
    weight_decay: float
    schedule: str
    augmentation: str
    weighting: str
    related: tuple[tuple[str, float], ...]
    try_: int
    preset: str
    protocol: int = PROTOCOL
    penalty: float = 0.0
    precision: str | None = None
    revision: int = 0

    RULES: ClassVar = {
        "split": one_of(SPLITS),
        "train_faces": (lambda n: n is None or n >= 2, "at least 2"),
        "width": POSITIVE,
        "resolution": at_least(16, " px"),
        "pretrained": one_of((False, *WEIGHTS)),
        "epochs": at_least(1),
        "batch": at_least(2, ", for BatchNorm"),
        "lr": POSITIVE,
        "unit_rate": POSITIVE,
        "momentum": (lambda x: 0 <= x < 1, "between 0 and 1"),
        "weight_decay": NOT_NEGATIVE,
        "schedule": one_of(("one-cycle", "constant")),
        "augmentation": one_of(("standard", "none")),
        "weighting": one_of(WEIGHTINGS),
        "related": (
            lambda pairs: len(dict(pairs)) == len(pairs) and all(0 <= w < inf for _, w in pairs),
            "each task once, and weights must not be negative, nor infinite",
        ),
        "try_": COUNT,
        "penalty": NOT_NEGATIVE,
        "precision": one_of((None, "fp32", "bf16")),
        "revision": COUNT,
    }

    def __post_init__(self) -> None:
        for field in fields(self):
            self._settle(field.name, get_args(field.type) or (field.type,))
        super().__post_init__()
        self.demand(
            self.holdout or self.split == "test", "holdout", "validation faces are held out"
        )

    def _settle(self, name: str, kinds: tuple[Any, ...]) -> None:
        """Hold a value in the type of its field, so that equal values are one experiment.

        Raises:
            ValueError: it is of another type, or a number with a fraction where there is none.
        """
        value = getattr(self, name)
        if name == "related":
            try:
                value = tuple((str(n), float(w)) for n, w in value)
            except (TypeError, ValueError):
                raise ValueError(f"related={value!r}: must be pairs of task and weight") from None
        elif float in kinds and isinstance(value, int | float) and type(value) is not bool:
            value = float(value)
        elif type(value) not in kinds:
            asked = " or ".join(k.__name__.replace("NoneType", "None") for k in kinds)
            raise ValueError(f"{name}={value!r}: must be {asked}, not {type(value).__name__}")
        object.__setattr__(self, name, value)

    @property
    def label(self) -> str:
        """The method as figures name it; controls, and a precision that was asked for, marked."""
        alone = bool(self.related) and not any(weight for _, weight in self.related)
        marks = ["related 0"] if alone else []
        marks += [self.precision] if self.precision else []
        return f"{self.method} ({', '.join(marks)})" if marks else self.method

    @property
    def title(self) -> str:
        """A line for people: method, underlying network, data, preset, try."""
        column = f"width {self.width:g}, {self.resolution} px"
        column += f", from {self.pretrained}" if self.pretrained else ""
        return (
            f"{self.label} on {self.underlying} ({column}),"
            f" {self.dataset}, {self.preset}, {self.split}, lr {self.lr:g}, try {self.try_}"
        )
