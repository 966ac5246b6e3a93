"""The runs beyond the paper: regimes, known truth, half precision, relatives."""

from dataclasses import replace
from typing import Any

from dclib.data import RELATEDNESS
from dclib.records.experiment import Experiment
from dclib.study.plans.presets import NO_RELATED, PRESETS, experiment, ready, relatives
from dclib.study.plans.section4 import changed, fig3, of_methods

HALF = ("DCNet", "XS", "RN", "RN-S")  # whose accuracy in half precision is looked at

# What is varied around Fig. 3, one thing at a time.
REGIMES: dict[str, dict[str, tuple[Any, ...]]] = {
    "smoke": {"train_faces": (64, 256)},
    "cpu": {
        "train_faces": (500, 1000, 2000, 4000, 8000),
        "epochs": (10, 20, 40, 80),
        "width": (0.125, 0.25, 0.5),
    },
    "paper": {
        "train_faces": (1250, 2500, 5000, None),
        "epochs": (75, 150, 300),
        "width": (0.25, 0.5, 1.0),
    },
}
REGIME_METHODS = ("DCNet", "XS", "RNx", "RN", "RN-S")


def regimes(preset: str) -> list[Experiment]:
    """Where the ranking turns: training faces, epochs and width, each varied alone; one try.

    With other numbers of faces the number of training steps stays as it is, so that only what is
    learned from differs, not for how long.
    """
    methods = ("DCNet", "RN") if preset == "smoke" else REGIME_METHODS
    base = PRESETS[preset].settings
    made = []
    for field, values in REGIMES.get(preset, {}).items():
        for value in values:
            changes = {field: value}
            if field == "train_faces" and value:
                epochs = base["epochs"] * (base["train_faces"] or 10_000) / value
                changes["epochs"] = round(epochs)
            made += [experiment(preset, m, **changes) for m in ready(preset, methods=methods)]
    return list(dict.fromkeys(made))


def truth(preset: str) -> list[Experiment]:
    """Known truth: drawn faces whose labels are related to the landmarks as much as one wants.

    Few faces and many epochs, so that it is data that limits, as in the paper. Networks that do not
    learn the labels are the same on all of them, and run on one.
    """
    smoke = preset == "smoke"
    changes: dict[str, Any] = {} if smoke else {"train_faces": 250, "epochs": 160, "holdout": False}
    made = []
    for name in RELATEDNESS[:2] if smoke else RELATEDNESS:
        dataset = f"synthetic-{name}" + ("" if smoke else "-many")
        if smoke and name == "100":
            dataset = "synthetic"
        alone = name in ("profile", "others") or smoke
        methods = ["DCNet"] if alone else ["DCNet", "XS", "RN"]
        methods += ["RN-S"] * (name == "100")
        there = ready(preset, methods=methods)
        made += [experiment(preset, m, dataset=dataset, **changes) for m in there]
        if name == "100":
            made += [replace(e, related=NO_RELATED) for e in made if e.method == "DCNet"]
    tries = 1 if smoke else 2
    return [replace(e, try_=try_) for try_ in range(tries) for e in made]


def half_precision(preset: str) -> list[Experiment]:
    """Methods of Fig. 3 in bf16, to be paired with their runs in fp32."""
    return changed(of_methods(fig3(preset), *HALF), precision="bf16")


def relatives_panel(preset: str) -> list[Experiment]:
    """The relatives beside the methods of Fig. 3: those that are `ready`, two tries at most."""
    methods = ready(preset, methods=relatives())
    tries = range(min(2, PRESETS[preset].tries))
    return [experiment(preset, method, try_=try_) for try_ in tries for method in methods]
