"""Presets: how much of the paper's protocol a run follows, and an experiment of each.

They are data, in `presets.toml` beside this file.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    plans: Sequence[str] | None = None


def _read() -> dict[str, Preset]:
    with Path(__file__).with_name("presets.toml").open("rb") as file:
        tables = tomllib.load(file)
    common = {"train_faces": None, "related": (), **tables.pop("common")}
    for table in tables.values():
        table["settings"] = common | table["settings"]
        if grid := table.get("grid"):
            lists = {name: tuple(grid.get(name, ())) for name in ("rates", "unit_rates")}
            table["grid"] = Grid(**grid | lists)
    return {name: Preset(name, **table) for name, table in tables.items()}


PRESETS = _read()
GRID = PRESETS["cpu"].grid or Grid(())  # also of presets that name none


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
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    p, of = PRESETS[preset], METHODS[method]
    underlying = underlying or of.underlying or "resnet18"
    lr, unit_rate, penalty = SHARED_RATE, of.unit_rate, of.penalty
    if p.grid and "lr" not in changes:
        tuned = of.ablates or method
        plan = plan_of_rates(tuned, underlying)
        lr, unit_rate, penalty = selection.chosen(preset, tuned, underlying, plan)
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
        "revision": of.revision,
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
    p = PRESETS[preset]

    def can(name: str) -> bool:
        method, on = METHODS[name], own_underlying(name, underlying)
        return (
            (p.settings["holdout"] or not method.stopped)
            and not (method.widened and p.settings["pretrained"])
            and on in (*p.resolution, "tcdcn")
            and (not p.grid or selection.is_chosen(preset, method.ablates or name, on))
        )

    return list(filter(can, methods or FIG3[underlying]))


def plan_of_rates(method: str, underlying: str) -> str | None:
    """The plan of the runs that a method's learning rate is chosen from; None where none is."""
    for plan, on, methods in (
        ("rates", "resnet18", RESNET),
        ("rates-alexnet", "alexnet", ALEXNET),
        ("rates-relatives", "resnet18", relatives()),
    ):
        if method in methods and underlying == own_underlying(method, on):
            return plan
    return None


def relatives() -> list[str]:
    """The methods beyond Fig. 3 on ResNet18: what else the paper names, and newer ones."""
    return [
        name
        for name, method in METHODS.items()
        if name not in RESNET and not method.ablates and method.underlying != "alexnet"
    ]
