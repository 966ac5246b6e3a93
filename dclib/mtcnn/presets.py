"""Presets of section 4.5: how much of the paper's protocol a cascade follows."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dclib.data import photos
from dclib.mtcnn import rates
from dclib.mtcnn.experiment import CascadeExperiment
from dclib.mtcnn.stages import METHODS

ORDER = ("MTCNNx", "DC-MTCNN", "MTCNN")  # the paper's two first
# Sets whose official lists were not at hand: a cascade cannot be named by their content, which its
# record tells instead.
UNSEEN = ("wider", "celeba")
GRID_TRY = 100  # of the cascades that a rate is chosen by; no other cascade has their seeds


@dataclass(frozen=True)
class Preset:
    """How much of the paper's protocol a cascade follows.

    Attributes:
        about: what its numbers may be taken for, shown under every figure.
        tries: how many times each cascade is made.
        settings: the remaining fields of its experiments.
        rates: of stage O, for each method to choose from.
    """

    about: str
    tries: int
    settings: dict[str, Any]
    rates: tuple[float, ...] = (0.0003, 0.001, 0.003)


# Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional
# networks", 2016, and DFace, the code that the paper's authors say they followed.
COMMON: dict[str, Any] = {
    "photos": None,
    "width": 1.0,
    "pooling": "floor",
    "kernel": 1,
    "mix": (3.0, 1.0, 1.0, 2.0),
    "online": 0.7,
    "weighting": "MTCNN",
    "minimum": 20.0,
    "thresholds": (0.6, 0.7, 0.7),
    "factor": 0.709,
    "near": 5,
    "jitters": 20,
    "smallest": 40.0,
}

PRESETS = {
    "smoke": Preset(
        "drawn scenes, a minute per cascade: shows that everything works, not what the paper"
        " claims",
        tries=1,
        settings=COMMON
        | {
            "datasets": ("scenes",),
            "faces": "scenes",
            "heldout": "scenes",
            "width": 0.5,
            "epochs": (10, 8, 5),
            "batch": (256, 128, 32),
            "lr": (0.01, 0.01, 0.005),
            "samples": (6000, 3000, 1600),
            "mix": (2.0, 1.0, 1.0, 4.0),
            "negatives": 50,
            "smallest": 24.0,
            "mining_minimum": 20.0,
            "mining_thresholds": (0.4, 0.3),
        },
    ),
    "cpu": Preset(
        "slim cascades, LFWNet's photos alone, neither WIDER nor CelebA: a direction, not a"
        " reproduction",
        tries=2,
        settings=COMMON
        | {
            "datasets": ("lfwnet",),
            "faces": "mtfl-test",
            "heldout": "lfwnet",
            "width": 0.5,
            "epochs": (6, 10, 10),
            "batch": (512, 256, 64),
            # at 0.003 MTCNNx's O, which has no BatchNorm, diverges
            "lr": (0.01, 0.005, 0.001),
            "samples": (100_000, 40_000, 54_000),
            "mix": (2.0, 1.0, 1.0, 4.0),
            "negatives": 25,
            "smallest": 20.0,
            "mining_minimum": 20.0,
            "mining_thresholds": (0.4, 0.05),
        },
    ),
    "paper": Preset(
        "the paper's photo sets and the recipe of the code it names, three tries",
        tries=3,
        settings=COMMON
        | {
            "datasets": ("wider", "lfwnet", "celeba"),
            "faces": "mtfl-test",
            "heldout": "lfwnet",
            "epochs": (10, 10, 10),
            "batch": (512, 512, 1000),
            "lr": (0.01, 0.01, 0.002),
            "samples": (750_000, 750_000, 750_000),
            "weighting": "DFace",
            "negatives": 50,
            "mining_minimum": 12.0,
            "mining_thresholds": (0.6, 0.7),
        },
    ),
}


def experiment(preset: str, method: str, **changes: Any) -> CascadeExperiment:
    """One cascade of a preset, changed as asked.

    Raises:
        ValueError: unknown preset, method, field or value.
    """
    settings = _preset(preset).settings
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    fields = {"method": method, "try_": 0, "preset": preset, **settings}
    if unknown := changes.keys() - fields.keys() - {"fingerprint"}:
        raise ValueError(f"cascades have no fields {sorted(unknown)}")
    fields |= changes
    if "fingerprint" not in fields:
        fields["fingerprint"] = fingerprint(
            dict.fromkeys([*fields["datasets"], fields["faces"], fields["heldout"]])
        )
    return CascadeExperiment(**fields)


def fingerprint(names: Iterable[str]) -> str:
    """One fingerprint of photo sets, in their order, the same whether they are at hand or not."""
    each = [f"{n} {'official' if n in UNSEEN else photos.fingerprint(n)}\n" for n in names]
    return hashlib.sha256("".join(each).encode()).hexdigest()[:16]


def plan(preset: str) -> list[CascadeExperiment]:
    """The cascades of section 4.5, all methods of a try before the next try.

    Raises:
        ValueError: unknown preset.
    """
    tries = range(_preset(preset).tries)
    return [experiment(preset, method, try_=try_) for try_ in tries for method in ORDER]


def grid(preset: str) -> list[CascadeExperiment]:
    """The cascades that each method's rate of O is chosen by, all of a rate before the next.

    None is scored on the preset's faces, and a method's P and R are the same at every rate.

    Raises:
        ValueError: unknown preset.
    """
    rates_of_o, faces = _preset(preset).rates, PRESETS[preset].settings["heldout"]
    return [
        _at(preset, method, rate, faces=faces, try_=GRID_TRY)
        for rate in rates_of_o
        for method in ORDER
    ]


def own_rates(preset: str) -> list[CascadeExperiment]:
    """The plan with each method's own rate of O; empty before the rates are chosen.

    Raises:
        ValueError: unknown preset.
    """
    tries, rate = range(_preset(preset).tries), rates.chosen(preset)
    if not rate.keys() >= {*ORDER}:
        return []
    return [_at(preset, m, rate[m], try_=try_) for try_ in tries for m in ORDER]


def _at(preset: str, method: str, rate: float, **changes: Any) -> CascadeExperiment:
    before = PRESETS[preset].settings["lr"][:-1]
    return experiment(preset, method, lr=(*before, rate), **changes)


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; choose from {list(PRESETS)}")
    return PRESETS[name]
