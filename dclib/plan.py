"""Presets, and the runs that each figure and table of the paper needs at each of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dclib import selection
from dclib.data import DATASETS
from dclib.errors import RunError
from dclib.experiment import Experiment
from dclib.methods import METHODS

SHARED_RATE = 0.1  # the authors' example rate, at which every method is also compared
RATES = (0.03, 0.1, 0.3, 1.0)
UNIT_RATES = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Preset:
    """How much of the paper's protocol a run follows.

    Attributes:
        about: what its numbers may be taken for, shown under every figure.
        dataset: what it trains on.
        tries: how many times each run is made.
        resolution: input side by underlying network, pixels.
        settings: the remaining fields of its experiments.
        selects: learning rates are chosen on validation faces, not the shared one.
    """

    name: str
    about: str
    dataset: str
    tries: int
    resolution: dict[str, int]
    settings: dict[str, Any]
    selects: bool = False


COMMON = {
    "pretrained": False,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "one-cycle",
    "augmentation": "standard",
    "weighting": "per_output",
    "related": (),
}

PRESETS = {
    "smoke": Preset(
        "smoke",
        "synthetic faces, seconds per run: shows that everything works, not what the paper claims",
        dataset="synthetic",
        tries=1,
        resolution={"resnet18": 64, "alexnet": 64},
        settings=COMMON
        | {"holdout": True, "train_faces": 256, "width": 0.125, "epochs": 6, "batch": 32},
    ),
    "cpu": Preset(
        "cpu",
        "real faces, slim networks, few training faces: a direction, not a reproduction",
        dataset="mtfl",
        tries=3,
        resolution={"resnet18": 48, "alexnet": 96},
        settings=COMMON
        | {"holdout": True, "train_faces": 2000, "width": 0.25, "epochs": 40, "batch": 64},
        selects=True,
    ),
    "paper": Preset(
        "paper",
        "the paper's protocol: full width, all training faces, 300 epochs, three tries",
        dataset="mtfl",
        tries=3,
        resolution={"resnet18": 112, "alexnet": 112},
        settings=COMMON
        | {"holdout": False, "train_faces": None, "width": 1.0, "epochs": 300, "batch": 32},
    ),
}


def experiment(
    preset: str, method: str, underlying: str = "resnet18", **changes: Any
) -> Experiment:
    """One experiment of a preset, at the method's selected learning rate, changed as asked.

    Raises:
        ValueError: unknown preset, field or value.
        RunError: the preset selects its learning rates and this method's is not selected yet.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; choose from {list(PRESETS)}")
    p = PRESETS[preset]
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    lr, unit_rate, penalty = SHARED_RATE, METHODS[method].unit_rate, METHODS[method].penalty
    if p.selects and "lr" not in changes:
        lr, unit_rate, penalty = selection.chosen(preset, method, underlying)
    fields: dict[str, Any] = {
        "dataset": p.dataset,
        "split": "test",
        "method": method,
        "underlying": underlying,
        "resolution": p.resolution.get(underlying, p.resolution["resnet18"]),
        "lr": lr,
        "unit_rate": unit_rate,
        "penalty": penalty,
        "try_": 0,
        "preset": preset,
        **p.settings,
    }
    if unknown := changes.keys() - fields.keys() - {"fingerprint"}:
        raise ValueError(f"experiments have no fields {sorted(unknown)}")
    fields |= changes
    fields.setdefault("fingerprint", DATASETS[fields["dataset"]].fingerprint)
    return Experiment(**fields)


RESNET = ("DCNet", "XS", "RNx", "RN", "RN-S", "RN-Sx", "XSx")
ALEXNET = ("DCNet", "XS", "ANx", "AN", "AN-S", "AN-Sx", "XSx")
FIG3 = {"resnet18": RESNET, "alexnet": ALEXNET}
NO_RELATED = (("gender", 0.0), ("smile", 0.0), ("glasses", 0.0), ("profile", 0.0))


def rates(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """The grid that learning rates are chosen from, on validation faces, the same for all."""
    return [
        experiment(preset, method, underlying, lr=lr, split="validation", holdout=True)
        for method in FIG3[underlying]
        for lr in RATES
    ]


def ready(preset: str, underlying: str = "resnet18") -> list[str]:
    """The methods of Fig. 3 that can be run at a preset: their learning rate is selected.

    Raises:
        RunError: none is.
    """
    if not PRESETS[preset].selects:
        return list(FIG3[underlying])
    able, last = [], None
    for method in FIG3[underlying]:
        try:
            selection.chosen(preset, method, underlying)
            able.append(method)
        except RunError as error:
            last = error
    if not able and last:
        raise last
    return able


def unit_rates(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """The grid of Cross-Stitch's unit rate, at the learning rate chosen for it before."""
    chosen = experiment(preset, "XS", underlying)
    return [
        replace(chosen, split="validation", holdout=True, unit_rate=rate) for rate in UNIT_RATES
    ]


def fig3(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """Fig. 3: all methods of section 4.2 that are `ready`, and the capacity controls."""
    methods = ready(preset, underlying)
    controls: list[dict[str, Any]] = [{"related": NO_RELATED}] if "DCNet" in methods else []
    return [
        e
        for try_ in range(PRESETS[preset].tries)
        for e in [
            *(experiment(preset, method, underlying, try_=try_) for method in methods),
            *(experiment(preset, "DCNet", underlying, try_=try_, **c) for c in controls),
        ]
    ]


def fig3_alexnet(preset: str) -> list[Experiment]:
    """The AlexNet half of Fig. 3."""
    return fig3(preset, "alexnet")


def fig3_per_task(preset: str) -> list[Experiment]:
    """Fig. 3 when every task, not every cross-entropy, weighs the same."""
    return [replace(e, weighting="per_task") for e in fig3(preset) if not e.related]


def fig3_shared_rate(preset: str) -> list[Experiment]:
    """Fig. 3 with the same learning rate for every method."""
    return [replace(e, lr=SHARED_RATE) for e in fig3(preset)]


FIGURES: dict[str, Callable[[str], list[Experiment]]] = {
    "rates": rates,
    "unit-rates": unit_rates,
    "fig3": fig3,
    "fig3-per-task": fig3_per_task,
    "fig3-shared-rate": fig3_shared_rate,
    "fig3-alexnet": fig3_alexnet,
}


def experiments(figure: str, preset: str) -> list[Experiment]:
    """The experiments of a figure, in the order of their value to a reader.

    Raises:
        ValueError: unknown figure or preset.
        RunError: learning rates have to be selected first.
    """
    if figure not in FIGURES:
        raise ValueError(f"figure {figure!r} is unknown; choose from {list(FIGURES)}")
    return FIGURES[figure](preset)
