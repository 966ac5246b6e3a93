"""The runs of the figures and tables of section 4."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dclib.records.experiment import Experiment
from dclib.study.plans.presets import NO_RELATED, PRESETS, experiment, own_underlying, ready

STAND_IN = "tiny-imagenet"  # weights to start from where those of ImageNet are not to be had
STARTING = ("DCNet", "XS", "RN", "RN-S", "HF", "AN", "AN-S")  # methods that have weights for it


def changed(runs: Iterable[Experiment], **changes: Any) -> list[Experiment]:
    """The same runs with other settings."""
    return [replace(e, **changes) for e in runs]


def of_methods(runs: Iterable[Experiment], *methods: str) -> list[Experiment]:
    """Those of some methods, controls left out."""
    return [e for e in runs if e.label in methods]


def fig3(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """Fig. 3: all methods of section 4.2 that are `ready`, and the capacity controls.

    Raises:
        RunError: none is.
    """
    if underlying not in PRESETS[preset].resolution:
        return []
    methods = ready(preset, underlying) or [experiment(preset, "DCNet", underlying).method]
    made = []
    for try_ in range(PRESETS[preset].tries):
        for method in methods:
            on = own_underlying(method, underlying)
            made.append(experiment(preset, method, on, try_=try_))
        if "DCNet" in methods:
            made.append(experiment(preset, "DCNet", underlying, try_=try_, related=NO_RELATED))
    return made


def fig3_shorter(preset: str) -> list[Experiment]:
    """The shorter form of a preset's Fig. 3, if it has one."""
    made, shorter = fig3(preset), PRESETS[preset].shorter
    return changed(made, **shorter) if shorter else []


def identity_start(preset: str) -> list[Experiment]:
    """DCNet with its blocks started at identity, beside DCNet, at the lengths of Fig. 3."""
    made = [*fig3_shorter(preset), *fig3(preset)]
    return changed(of_methods(made, "DCNet"), method="DCNet-identity")


def slow_start(preset: str) -> list[Experiment]:
    """Why DCNet starts slowly: both starts of its blocks, rates around the chosen ones.

    On validation faces, and a diagnosis: no published rate is chosen by it.
    """
    if preset != "cpu":
        return []
    return [
        experiment(preset, method, lr=lr, unit_rate=unit_rate, split="validation", holdout=True)
        for method in ("DCNet", "DCNet-identity")
        for lr in (0.1, 0.2, 0.3, 0.6)
        for unit_rate in (0.1, 0.3, 1.0)
    ]


def page_network(preset: str) -> list[Experiment]:
    """The small DCNet that runs in the book's pages: width 1/8, as long as the shorter Fig. 3."""
    shorter = PRESETS[preset].shorter
    return [experiment(preset, "DCNet", width=0.125, **shorter)] if preset == "long" else []


def fig3_per_task(preset: str) -> list[Experiment]:
    """Fig. 3 when every task, not every cross-entropy, weighs the same; rates as in Fig. 3."""
    return changed((e for e in fig3(preset) if not e.related), weighting="per_task")


def fig3_pretrained(preset: str) -> list[Experiment]:
    """The pre-trained half of Fig. 3; widened networks have no weights to start from.

    From ImageNet at `paper`, from the stand-in at `cpu`; there are no weights for `smoke`. Learning
    rates are those chosen from scratch.
    """
    start = {"cpu": STAND_IN, "paper": "imagenet"}.get(preset)
    made = []
    for underlying in ("resnet18", "alexnet"):
        if start and ready(preset, underlying):
            made += of_methods(fig3(preset, underlying), *STARTING)
    return changed(made, pretrained=start)


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
