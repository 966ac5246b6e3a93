"""How weights are learned: stochastic gradient descent, its rate as training goes, an epoch."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from dclib.errors import RunError
from dclib.fast.flat_sgd import FlatSGD
from dclib.methods import METHODS
from dclib.network import Network
from dclib.records.experiment import Experiment

B = TypeVar("B")


def make_optimiser(experiment: Experiment, net: Network, fused: bool = False) -> torch.optim.SGD:
    """SGD with Nesterov's momentum on all that is trained; a method's mixers may differ in rate."""
    method = METHODS[experiment.method]
    apart = experiment.unit_rate != 1 or not method.units_decay
    units = [p for p in net.mixers.parameters() if p.requires_grad] if apart else []
    theirs = {id(p) for p in units}
    others = [p for p in net.parameters() if p.requires_grad and id(p) not in theirs]
    groups: list[dict[str, Any]] = [{"params": others, "peak": experiment.lr}]
    if units:
        decay = experiment.weight_decay if method.units_decay else 0.0
        peak = experiment.lr * experiment.unit_rate
        groups.append({"params": units, "lr": peak, "peak": peak, "weight_decay": decay})
    settings: dict[str, Any] = {
        "lr": experiment.lr,
        "momentum": experiment.momentum,
        "weight_decay": experiment.weight_decay,
        "nesterov": experiment.momentum > 0,
    }
    return sgd(groups, fused, **settings)


def sgd(groups: Sequence[dict[str, Any]], fused: bool, **settings: Any) -> torch.optim.SGD:
    """Stochastic gradient descent, on request by one operation for all of a step's sums."""
    if fused and groups[0]["params"][0].device.type == "cpu":
        return FlatSGD(groups, **settings)
    return torch.optim.SGD(groups, fused=fused, **settings)


def rate(schedule: str, progress: float) -> float:
    """Share of the peak learning rate after a share of the training, both between 0 and 1."""
    if schedule == "constant":
        return 1.0
    warm = 0.3
    if progress < warm:
        return 0.04 + 0.96 * progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def through(
    batches: Sequence[B],
    step: Callable[[B], dict[str, float]],
    optimiser: torch.optim.Optimizer,
    schedule: str,
    epoch: int,
    epochs: int,
    name: str,
) -> tuple[dict[str, float], float]:
    """An epoch: a step for each batch, at the rate that the schedule has then.

    Args:
        step: takes a batch and returns its losses.
        optimiser: whose groups have a "peak", the highest rate of each.
        name: of what is trained.

    Returns:
        Mean losses, and the share of the peak rate at the last step.

    Raises:
        RunError: a loss is not finite.
    """
    sums, share = dict[str, float](), 0.0
    for k, batch in enumerate(batches):
        share = rate(schedule, (epoch + k / len(batches)) / epochs)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * share
        losses = step(batch)
        if not all(map(math.isfinite, losses.values())):
            raise RunError(
                f"{name}: loss {losses} in epoch {epoch}, step {k}: lower lr or the task weights"
            )
        for task, loss in losses.items():
            sums[task] = sums.get(task, 0.0) + loss / len(batches)
    return sums, share
