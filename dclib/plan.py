"""The runs that each figure and table needs, at each preset."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dclib.beyond import half_precision, regimes, relatives_panel, truth
from dclib.experiment import Experiment
from dclib.methods import METHODS
from dclib.presets import FIG3, experiment, own_underlying, ready, relatives
from dclib.section4 import (
    fig3,
    fig3_alexnet,
    fig3_per_task,
    fig3_pretrained,
    fig3_shared_rate,
    fig5,
    fig6,
    table1,
)

RATES = (0.03, 0.1, 0.3, 1.0)
UNIT_RATES = (1.0, 10.0, 100.0)  # of methods whose mixers learn at a rate of their own


def rates(
    preset: str, underlying: str = "resnet18", methods: Sequence[str] = ()
) -> list[Experiment]:
    """The grid that learning rates are chosen from, on validation faces, the same for all.

    Args:
        methods: by default those of Fig. 3.
    """
    return [
        experiment(
            preset,
            method,
            own_underlying(method, underlying),
            lr=lr,
            split="validation",
            holdout=True,
        )
        for method in methods or FIG3[underlying]
        for lr in RATES
    ]


def own_settings(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """The grids of what only some methods have, at the learning rate chosen for them before.

    Mixers that learn at a rate of their own: `UNIT_RATES`. Additions to the loss: the `penalties`
    of their methods.
    """
    made = []
    for name in ready(preset, underlying, list(METHODS)):
        method = METHODS[name]
        on = own_underlying(name, underlying)
        chosen = experiment(preset, name, on, split="validation", holdout=True)
        if method.unit_rate != 1:
            made += [replace(chosen, unit_rate=rate) for rate in UNIT_RATES]
        made += [replace(chosen, penalty=weight) for weight in method.penalties]
    return made


FIGURES: dict[str, Callable[[str], list[Experiment]]] = {
    "rates": rates,
    "rates-alexnet": lambda preset: rates(preset, "alexnet"),
    "rates-relatives": lambda preset: rates(preset, methods=relatives()),
    "own-settings": own_settings,
    "own-settings-alexnet": lambda preset: own_settings(preset, "alexnet"),
    "fig3": fig3,
    "fig3-per-task": fig3_per_task,
    "fig3-shared-rate": fig3_shared_rate,
    "table1": table1,
    "fig5": fig5,
    "fig6": fig6,
    "regimes": regimes,
    "truth": truth,
    "fig3-alexnet": fig3_alexnet,
    "fig3-pretrained": fig3_pretrained,
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
