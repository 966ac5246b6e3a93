"""The runs that each figure and table needs, at each preset."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dclib.methods import METHODS
from dclib.records.experiment import Experiment
from dclib.study.plans import section4
from dclib.study.plans.extensions import half_precision, regimes, relatives_panel, truth
from dclib.study.plans.presets import (
    FIG3,
    GRID,
    PRESETS,
    SHARED_RATE,
    experiment,
    own_underlying,
    ready,
    relatives,
)
from dclib.study.plans.section4 import changed, fig3, of_methods


def rates(
    preset: str, underlying: str = "resnet18", methods: Sequence[str] = ()
) -> list[Experiment]:
    """The grid that learning rates are chosen from, on validation faces, the same for all.

    Args:
        methods: by default those of Fig. 3.
    """
    p = PRESETS[preset]
    grid = p.grid or GRID
    asked = {"split": "validation", "holdout": True, **grid.changes}
    return [
        experiment(preset, method, own_underlying(method, underlying), lr=lr, **asked)
        for method in methods or FIG3[underlying]
        if underlying in p.resolution and not (p.settings["pretrained"] and METHODS[method].widened)
        for lr in grid.rates
    ]


def own_settings(preset: str, underlying: str = "resnet18") -> list[Experiment]:
    """The grids of what only some methods have, at the learning rate chosen for them before.

    Units, the weights of mixers: rates of their own. Additions to the loss: the `penalties` of
    their methods.
    """
    grid, made = PRESETS[preset].grid or GRID, []
    asked = {"split": "validation", "holdout": True, **grid.changes}
    for name in ready(preset, underlying, list(METHODS)):
        method = METHODS[name]
        chosen = experiment(preset, name, own_underlying(name, underlying), **asked)
        if method.ablates:
            continue
        if method.has_units:
            made += [replace(chosen, unit_rate=rate) for rate in grid.unit_rates]
        made += [replace(chosen, penalty=weight) for weight in method.penalties]
    return made


FIGURES: dict[str, Callable[[str], list[Experiment]]] = {
    "rates": rates,
    "rates-alexnet": lambda preset: rates(preset, "alexnet"),
    "rates-relatives": lambda preset: rates(preset, methods=relatives()),
    "own-settings": own_settings,
    "own-settings-alexnet": lambda preset: own_settings(preset, "alexnet"),
    "slow-start": section4.slow_start,
    "fig3-shorter": section4.fig3_shorter,
    "page-network": section4.page_network,
    "fig3": fig3,
    "identity-start": section4.identity_start,
    "fig3-per-task": section4.fig3_per_task,
    "fig3-shared-rate": lambda preset: changed(fig3(preset), lr=SHARED_RATE),
    "table1": section4.table1,
    "fig5": section4.fig5,
    "fig6": lambda preset: of_methods(fig3(preset), "DCNet"),  # the networks that are ablated
    "regimes": regimes,
    "truth": truth,
    "fig3-alexnet": lambda preset: fig3(preset, "alexnet"),
    "fig3-pretrained": section4.fig3_pretrained,
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
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; choose from {list(PRESETS)}")
    only = PRESETS[preset].plans
    return FIGURES[figure](preset) if only is None or figure in only else []
