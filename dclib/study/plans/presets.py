"""Presets: how much of the paper's protocol a run follows, and an experiment of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dclib import data
from dclib.methods import METHODS
from dclib.records.experiment import Experiment
from dclib.study.plans import selection

SHARED_RATE = 0.1  # the authors' example rate, at which every method is also compared


@dataclass(frozen=True)
class Grid:
    """What learning rates are chosen from, on validation faces: named before any of it is run.

    Attributes:
        rates: learning rates of every method.
        unit_rates: at the learning rate chosen from these, of every method with units.
        changes: fields of its experiments that differ from the preset's. Tries from 100 on keep
            what is chosen by validation apart from what is tested.
    """

    rates: tuple[float, ...]
    unit_rates: tuple[float, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """How much of the paper's protocol a run follows.

    Attributes:
        about: what its numbers may be taken for, shown under every figure.
        dataset: what it trains on.
        tries: how many times each run is made.
        resolution: input side by underlying network, pixels.
        settings: the remaining fields of its experiments.
        grid: what learning rates are chosen from; None where all methods share one.
        shorter: fields in which the shorter form of its Fig. 3 differs, if there is one.
        plans: the only figures that it is for; None for all.
    """

    name: str
    about: str
    dataset: str
    tries: int
    resolution: dict[str, int]
    settings: dict[str, Any]
    grid: Grid | None = None
    shorter: dict[str, Any] = field(default_factory=dict)
    plans: tuple[str, ...] | None = None


COMMON = {
    "pretrained": False,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "one-cycle",
    "augmentation": "standard",
    "weighting": "per_output",
    "related": (),
}

GRID = Grid((0.03, 0.1, 0.3, 1.0), (0.1, 0.3, 1.0, 10.0, 100.0))  # where runs are not dear

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
        grid=GRID,
    ),
    "long": Preset(
        "long",
        "the paper's faces and training length, slim networks and small images",
        dataset="mtfl",
        tries=3,
        resolution={"resnet18": 48},
        settings=COMMON
        | {"holdout": False, "train_faces": None, "width": 0.25, "epochs": 300, "batch": 64},
        grid=Grid((0.1, 0.3), (0.1, 0.3, 1.0), {"epochs": 20, "try_": 100}),
        shorter={"holdout": True, "epochs": 80},
        plans=(
            *("rates", "own-settings", "fig3-shorter", "page-network", "fig3", "identity-start"),
            *("fig3-shared-rate", "fig3-per-task", "rates-relatives", "relatives", "fig6"),
        ),
    ),
    "pretrained": Preset(
        "pretrained",
        "columns of full width that start from ImageNet, small images, short training",
        dataset="mtfl",
        tries=1,
        resolution={"resnet18": 64},
        settings=COMMON
        | {"pretrained": "imagenet-mlnet", "holdout": True, "train_faces": None}
        | {"width": 1.0, "epochs": 30, "batch": 32},
        grid=Grid((0.03, 0.1, 0.2), (), {"train_faces": 2000, "epochs": 10, "try_": 100}),
        shorter={"train_faces": 2000},
        plans=("rates", "fig3-shorter", "identity-start", "fig3", "table1", "fig5"),
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
    preset: str, method: str, underlying: str | None = None, **changes: Any
) -> Experiment:
    """One experiment of a preset, at the method's selected learning rate, changed as asked.

    Args:
        underlying: by default what the method's name stands for, else ResNet18.

    Raises:
        ValueError: unknown preset, field or value.
        RunError: the preset selects its learning rates and this method's is not selected yet.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; choose from {list(PRESETS)}")
    p = PRESETS[preset]
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    underlying = underlying or METHODS[method].underlying or "resnet18"
    lr, unit_rate, penalty = SHARED_RATE, METHODS[method].unit_rate, METHODS[method].penalty
    if p.grid and "lr" not in changes:
        tuned = METHODS[method].ablates or method
        known = (preset, tuned, underlying, plan_of_rates(tuned, underlying))
        lr, unit_rate, penalty = selection.chosen(*known)
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
        "precision": None,
        "revision": METHODS[method].revision,
        **p.settings,
    }
    if unknown := changes.keys() - fields.keys() - {"fingerprint"}:
        raise ValueError(f"experiments have no fields {sorted(unknown)}")
    fields |= changes
    fields.setdefault("fingerprint", data.find(fields["dataset"]).fingerprint)
    return Experiment(**fields)


RESNET = ("DCNet", "XS", "RNx", "RN", "RN-S", "RN-Sx", "XSx")
ALEXNET = ("DCNet", "XS", "ANx", "AN", "AN-S", "AN-Sx", "XSx", "HF", "TCDCN")
FIG3 = {"resnet18": RESNET, "alexnet": ALEXNET}
NO_RELATED = (("gender", 0.0), ("smile", 0.0), ("glasses", 0.0), ("profile", 0.0))


def has_own_network(method: str) -> bool:
    """Whether a method is a network of its own, as TCDCN is, and not one on the others'."""
    return METHODS[method].underlying not in (None, *FIG3)


def own_underlying(method: str, underlying: str) -> str:
    """The underlying network of a method, where its name may stand for one of its own."""
    return METHODS[method].underlying or underlying


def ready(preset: str, underlying: str = "resnet18", methods: Sequence[str] = ()) -> list[str]:
    """The methods that can be run at a preset.

    Their learning rate is selected, if it has to be; and where all faces are trained on, a method
    that needs held-out ones is left out, since nobody else has them.

    Args:
        methods: by default those of Fig. 3.
    """
    return [
        method
        for method in methods or FIG3[underlying]
        if (PRESETS[preset].settings["holdout"] or not METHODS[method].stopped)
        and not (METHODS[method].widened and PRESETS[preset].settings["pretrained"])
        and own_underlying(method, underlying) in (*PRESETS[preset].resolution, "tcdcn")
        and (
            not PRESETS[preset].grid
            or selection.is_chosen(
                preset, METHODS[method].ablates or method, own_underlying(method, underlying)
            )
        )
    ]


def plan_of_rates(method: str, underlying: str) -> str | None:
    """The plan of the runs that a method's learning rate is chosen from; None where none is."""
    for plan, on, methods in (
        ("rates", "resnet18", FIG3["resnet18"]),
        ("rates-alexnet", "alexnet", FIG3["alexnet"]),
        ("rates-relatives", "resnet18", relatives()),
    ):
        if method in methods and underlying == own_underlying(method, on):
            return plan
    return None


def relatives(underlying: str = "resnet18") -> list[str]:
    """The methods beyond Fig. 3: what else the paper names, and newer ones."""
    return [
        name
        for name, method in METHODS.items()
        if name not in FIG3[underlying]
        and not method.ablates
        and method.underlying not in FIG3.keys() - {underlying}
    ]
