"""Presets, and the runs that each figure and table of the paper needs at each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dclib import data, selection
from dclib.experiment import Experiment
from dclib.methods import METHODS

SHARED_RATE = 0.1  # the authors' example rate, at which every method is also compared
RATES = (0.03, 0.1, 0.3, 1.0)
UNIT_RATES = (1.0, 10.0, 100.0)  # of methods whose mixers learn at a rate of their own
PENALTIES = (0.1, 1.0, 10.0)  # of methods that add to the loss: multiples of their own weight


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
        "precision": None,
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
HALF = ("DCNet", "XS", "RN", "RN-S")  # whose accuracy in half precision is looked at
NO_RELATED = (("gender", 0.0), ("smile", 0.0), ("glasses", 0.0), ("profile", 0.0))


def _on(method: str, underlying: str) -> str:
    """The underlying network of a method, where its name may stand for one of its own."""
    return METHODS[method].underlying or underlying


def relatives(underlying: str = "resnet18") -> list[str]:
    """The methods beyond Fig. 3: what else the paper names, and newer ones."""
    return [
        name
        for name, method in METHODS.items()
        if name not in FIG3[underlying] and method.underlying not in FIG3.keys() - {underlying}
    ]


def rates(
    preset: str, underlying: str = "resnet18", methods: Sequence[str] = ()
) -> list[Experiment]:
    """The grid that learning rates are chosen from, on validation faces, the same for all.

    Args:
        methods: by default those of Fig. 3.
    """
    return [
        experiment(preset, method, _on(method, underlying), lr=lr, split="validation", holdout=True)
        for method in methods or FIG3[underlying]
        for lr in RATES
    ]


def own_settings(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """The grids of what only some methods have, at the learning rate chosen for them before.

    Mixers that learn at a rate of their own: `UNIT_RATES`. Additions to the loss: `PENALTIES`.
    """
    made = []
    for name in ready(preset, underlying, list(METHODS)):
        method = METHODS[name]
        on = _on(name, underlying)
        chosen = experiment(preset, name, on, split="validation", holdout=True)
        if method.unit_rate != 1:
            made += [replace(chosen, unit_rate=rate) for rate in UNIT_RATES]
        if method.penalty:
            made += [replace(chosen, penalty=method.penalty * factor) for factor in PENALTIES]
    return made


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
        and (
            not PRESETS[preset].selects
            or selection.is_chosen(preset, method, _on(method, underlying))
        )
    ]


def fig3(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """Fig. 3: all methods of section 4.2 that are `ready`, and the capacity controls.

    Raises:
        RunError: none is.
    """
    methods = ready(preset, underlying) or [experiment(preset, "DCNet", underlying).method]
    controls: list[dict[str, Any]] = [{"related": NO_RELATED}] if "DCNet" in methods else []
    return [
        e
        for try_ in range(PRESETS[preset].tries)
        for e in [
            *(experiment(preset, m, _on(m, underlying), try_=try_) for m in methods),
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


# Table 1: the share of AFLW's faces that is trained on, in %; and, at `cpu`, how many epochs give
# every run 1,500 steps at least.
RATIOS = {10: 375, 30: 137, 50: 84, 70: 60, 90: 46}
SCARCE = ("DCNet", "XS", "RN", "RN-S")


def table1(preset: str) -> list[Experiment]:
    """Table 1: few training faces. Learning rates are those chosen on MTFL.

    Drawn faces, where the preset has no others, are divided likewise.
    """
    p = PRESETS[preset]
    made = []
    for ratio, epochs in RATIOS.items():
        changes: dict[str, Any] = {"dataset": f"aflw-{ratio}", "train_faces": None}
        if p.dataset == "synthetic":
            changes = {"train_faces": p.settings["train_faces"] * ratio // 100}
        elif p.selects:
            changes |= {"epochs": epochs, "holdout": False}
        else:
            changes |= {"pretrained": "imagenet"}
        made += [experiment(preset, method, **changes) for method in ready(preset, methods=SCARCE)]
    return [replace(e, try_=try_) for try_ in range(2 if p.selects else p.tries) for e in made]


def half_precision(preset: str) -> list[Experiment]:
    """Methods of Fig. 3 in bf16, to be paired with their runs in fp32."""
    return [
        replace(e, precision="bf16") for e in fig3(preset) if e.method in HALF and not e.related
    ]


def relatives_panel(preset: str) -> list[Experiment]:
    """The relatives beside the methods of Fig. 3: those that are `ready`, one try each."""
    return [experiment(preset, method) for method in ready(preset, methods=relatives())]


FIGURES: dict[str, Callable[[str], list[Experiment]]] = {
    "rates": rates,
    "rates-alexnet": lambda preset: rates(preset, "alexnet"),
    "rates-relatives": lambda preset: rates(preset, methods=relatives()),
    "own-settings": own_settings,
    "own-settings-alexnet": lambda preset: own_settings(preset, "alexnet"),
    "fig3": fig3,
    "fig3-per-task": fig3_per_task,
    "fig3-shared-rate": fig3_shared_rate,
    "fig3-alexnet": fig3_alexnet,
    "table1": table1,
    "bf16": half_precision,
    "relatives": relatives_panel,
}


GRIDS = ("rates", "rates-alexnet", "rates-relatives")  # of learning rates
OWN_GRIDS = ("own-settings", "own-settings-alexnet")  # at the learning rates chosen in those


def experiments(figure: str, preset: str) -> list[Experiment]:
    """The experiments of a figure, in the order of their value to a reader.

    Raises:
        ValueError: unknown figure or preset.
        RunError: learning rates have to be selected first.
    """
    if figure not in FIGURES:
        raise ValueError(f"figure {figure!r} is unknown; choose from {list(FIGURES)}")
    return FIGURES[figure](preset)
