"""The runs of the figures and tables of section 4."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dclib.records.experiment import Experiment
from dclib.study.plans.presets import (
    NO_RELATED,
    PRESETS,
    SHARED_RATE,
    experiment,
    own_underlying,
    ready,
)

STAND_IN = "tiny-imagenet"  # weights to start from where those of ImageNet are not to be had


def fig3(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """Fig. 3: all methods of section 4.2 that are `ready`, and the capacity controls.

    Raises:
        RunError: none is.
    """
    if underlying not in PRESETS[preset].resolution:
        return []
    methods = ready(preset, underlying) or [experiment(preset, "DCNet", underlying).method]
    controls: list[dict[str, Any]] = [{"related": NO_RELATED}] if "DCNet" in methods else []
    return [
        e
        for try_ in range(PRESETS[preset].tries)
        for e in [
            *(experiment(preset, m, own_underlying(m, underlying), try_=try_) for m in methods),
            *(experiment(preset, "DCNet", underlying, try_=try_, **c) for c in controls),
        ]
    ]


def fig3_shorter(preset: str) -> list[Experiment]:
    """The shorter form of a preset's Fig. 3, if it has one."""
    shorter = PRESETS[preset].shorter
    return [replace(e, **shorter) for e in fig3(preset) if shorter]


def identity_start(preset: str) -> list[Experiment]:
    """DCNet with its blocks started at identity, beside DCNet, at the lengths of Fig. 3."""
    made = [e for e in [*fig3_shorter(preset), *fig3(preset)] if e.label == "DCNet"]
    return [replace(e, method="DCNet-identity") for e in made]


SLOW_START = {"lr": (0.1, 0.2, 0.3, 0.6), "unit_rate": (0.1, 0.3, 1.0)}


def slow_start(preset: str) -> list[Experiment]:
    """Why DCNet starts slowly: both starts of its blocks, rates around the chosen ones.

    On validation faces, and a diagnosis: no published rate is chosen by it.
    """
    if preset != "cpu":
        return []
    return [
        experiment(preset, method, lr=lr, unit_rate=unit_rate, split="validation", holdout=True)
        for method in ("DCNet", "DCNet-identity")
        for lr in SLOW_START["lr"]
        for unit_rate in SLOW_START["unit_rate"]
    ]


def page_network(preset: str) -> list[Experiment]:
    """The small DCNet that runs in the book's pages: width 1/8, as long as the shorter Fig. 3."""
    if preset != "long":
        return []
    return [experiment(preset, "DCNet", width=0.125, **PRESETS[preset].shorter)]


def fig3_alexnet(preset: str) -> list[Experiment]:
    """The AlexNet half of Fig. 3."""
    return fig3(preset, "alexnet")


def fig3_per_task(preset: str) -> list[Experiment]:
    """Fig. 3 when every task, not every cross-entropy, weighs the same; rates as in Fig. 3."""
    return [replace(e, weighting="per_task") for e in fig3(preset) if not e.related]


def fig3_shared_rate(preset: str) -> list[Experiment]:
    """Fig. 3 with the same learning rate for every method."""
    return [replace(e, lr=SHARED_RATE) for e in fig3(preset)]


def fig3_pretrained(preset: str) -> list[Experiment]:
    """The pre-trained half of Fig. 3; widened networks have no weights to start from.

    From ImageNet at `paper`, from the stand-in at `cpu`; there are no weights for `smoke`. Learning
    rates are those chosen from scratch.
    """
    start = {"cpu": STAND_IN, "paper": "imagenet"}.get(preset)
    starting = ("DCNet", "XS", "RN", "RN-S", "HF", "AN", "AN-S")
    return [
        replace(e, pretrained=start)
        for underlying in ("resnet18", "alexnet")
        if start and ready(preset, underlying)
        for e in fig3(preset, underlying)
        if e.method in starting and not e.related
    ]


# Table 1: the share of AFLW's faces that is trained on, in %; and, at `cpu`, how many epochs give
# every run 1,500 steps at least.
RATIOS = {10: 375, 30: 137, 50: 84, 70: 60, 90: 46}
ALL_EPOCHS = 100  # from ImageNet, at every ratio
SCARCE = ("DCNet", "XS", "RN", "RN-S")


def table1(preset: str) -> list[Experiment]:
    """Table 1: few training faces. Learning rates are those chosen on MTFL.

    Drawn faces, where the preset has no others, are divided likewise, at two of the ratios.
    """
    p = PRESETS[preset]
    ratios = (10, 50) if p.dataset == "synthetic" else tuple(RATIOS)
    if p.settings["pretrained"]:
        ratios = (10, 50, 90, 30, 70)  # in the order of what they tell
    return [
        replace(e, try_=try_)
        for try_ in range(min(2, p.tries) if p.grid else p.tries)
        for ratio in ratios
        for e in _scarce(preset, ratio, ready(preset, methods=SCARCE))
    ]


def _scarce(preset: str, ratio: int, methods: Sequence[str]) -> list[Experiment]:
    """The first try of some methods, trained on so many percent of AFLW's faces."""
    p = PRESETS[preset]
    changes: dict[str, Any] = {"dataset": f"aflw-{ratio}", "train_faces": None}
    if p.dataset == "synthetic":
        changes = {"train_faces": p.settings["train_faces"] * ratio // 100}
    elif p.grid:
        epochs = ALL_EPOCHS if p.settings["pretrained"] else RATIOS[ratio]
        changes |= {"epochs": epochs, "holdout": False}
    else:
        changes |= {"pretrained": "imagenet"}
    return [experiment(preset, method, **changes) for method in methods]


DRAWS = {"smoke": 2, "cpu": 100, "pretrained": 10, "paper": 100}  # or as many as time allows


def drawn_weights(draw: int, tasks: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Weights of the related tasks in a draw of Fig. 5: log-uniform between 1e-4 and 1."""
    gammas = np.random.default_rng([5, draw]).uniform(np.log(1e-4), 0, len(tasks))
    return tuple((task, float(f"{np.exp(g):.4g}")) for task, g in zip(tasks, gammas, strict=True))


def fig5(preset: str) -> list[Experiment]:
    """Fig. 5: DCNet against Cross-Stitch at random weights of the related tasks, 50 % to train on.

    The draw counts as the try, so that each has an initialisation and an order of faces of its own.
    """
    drawn = PRESETS[preset].dataset == "synthetic"
    tasks = [n for n, _ in NO_RELATED] if drawn else ["gender", "glasses", "orientation"]
    pair = _scarce(preset, 50, ready(preset, methods=("DCNet", "XS")))
    return [
        replace(e, related=drawn_weights(draw, tasks), try_=draw)
        for draw in range(DRAWS.get(preset, 0))
        for e in pair
    ]


def fig6(preset: str) -> list[Experiment]:
    """Fig. 6: the networks that are ablated, which are those of Fig. 3."""
    return [e for e in fig3(preset) if e.label == "DCNet"]
