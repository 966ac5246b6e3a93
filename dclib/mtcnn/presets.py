"""Presets of section 4.5: how much of the paper's protocol a cascade follows."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
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
RATES = (0.0003, 0.001, 0.003)  # of stage O, for each method to choose from

PRESETS = {  # and how many times each cascade is made
    "smoke": 1,  # drawn scenes, a minute per cascade: shows that everything works
    "cpu": 2,  # slim cascades on LFWNet's photos alone: a direction, not a reproduction
    "paper": 3,  # the paper's photo sets, the recipe of the code it names
}
# Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional
# networks", 2016, and DFace, the code that the paper's authors say they followed.
COMMON: dict[str, Any] = {
    "photos": None,
    "pooling": "floor",
    "kernel": 1,
    "online": 0.7,
    "minimum": 20.0,
    "thresholds": (0.6, 0.7, 0.7),
    "factor": 0.709,
    "near": 5,
    "jitters": 20,
}
OWN: dict[str, tuple[Any, Any, Any]] = {  # in the order of the presets
    "datasets": (("scenes",), ("lfwnet",), ("wider", "lfwnet", "celeba")),
    "faces": ("scenes", "mtfl-test", "mtfl-test"),
    "heldout": ("scenes", "lfwnet", "lfwnet"),
    "width": (0.5, 0.5, 1.0),
    "epochs": ((6, 6, 5), (6, 10, 10), (10, 10, 10)),
    "batch": ((128, 64, 32), (512, 256, 64), (512, 512, 1000)),
    # on LFWNet MTCNNx's O, which has no BatchNorm, diverges at 0.003
    "lr": ((0.01, 0.01, 0.005), (0.01, 0.005, 0.001), (0.01, 0.01, 0.002)),
    "samples": ((2400, 1200, 640), (100_000, 40_000, 54_000), (750_000, 750_000, 750_000)),
    "mix": ((2.0, 1.0, 1.0, 4.0), (2.0, 1.0, 1.0, 4.0), (3.0, 1.0, 1.0, 2.0)),
    "weighting": ("MTCNN", "MTCNN", "DFace"),
    "negatives": (50, 25, 50),
    "smallest": (24.0, 20.0, 40.0),
    "mining_minimum": (20.0, 20.0, 12.0),
    "mining_thresholds": ((0.4, 0.3), (0.4, 0.05), (0.6, 0.7)),
}


def settings(preset: str) -> dict[str, Any]:
    """The fields of its experiments that methods and tries share.

    Raises:
        ValueError: unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; choose from {list(PRESETS)}")
    at = list(PRESETS).index(preset)
    return COMMON | {name: values[at] for name, values in OWN.items()}


def experiment(preset: str, method: str, **changes: Any) -> CascadeExperiment:
    """One cascade of a preset, changed as asked.

    Raises:
        ValueError: unknown preset, method, field or value.
    """
    fields = {"method": method, "try_": 0, "preset": preset, **settings(preset)}
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    if unknown := changes.keys() - fields.keys() - {"fingerprint"}:
        raise ValueError(f"cascades have no fields {sorted(unknown)}")
    fields |= changes
    if "fingerprint" not in fields:
        names = dict.fromkeys([*fields["datasets"], fields["faces"], fields["heldout"]])
        fields["fingerprint"] = fingerprint(names)
    return CascadeExperiment(**fields)


def fingerprint(names: Iterable[str]) -> str:
    """One fingerprint of photo sets, in their order, the same whether they are at hand or not."""
    each = [f"{n} {'official' if n in UNSEEN else photos.fingerprint(n)}\n" for n in names]
    return hashlib.sha256("".join(each).encode()).hexdigest()[:16]


def plan(preset: str) -> list[CascadeExperiment]:
    """The cascades of section 4.5, all methods of a try before the next try."""
    first = [experiment(preset, method) for method in ORDER]
    return [replace(e, try_=try_) for try_ in range(PRESETS[preset]) for e in first]


def grid(preset: str) -> list[CascadeExperiment]:
    """The cascades that each method's rate of O is chosen by, all of a rate before the next.

    None is scored on the preset's faces, and a method's P and R are the same at every rate.
    """
    apart = {"faces": settings(preset)["heldout"], "try_": GRID_TRY}
    first = [experiment(preset, method, **apart) for method in ORDER]
    return [_at(e, rate) for rate in RATES for e in first]


def own_rates(preset: str) -> list[CascadeExperiment]:
    """The plan with each method's own rate of O; empty before the rates are chosen."""
    chosen = rates.chosen(preset)
    planned = plan(preset) if chosen.keys() >= {*ORDER} else []
    return [_at(e, chosen[e.method]) for e in planned]


def _at(cascade: CascadeExperiment, rate: float) -> CascadeExperiment:
    return replace(cascade, lr=(*cascade.lr[:-1], rate))
