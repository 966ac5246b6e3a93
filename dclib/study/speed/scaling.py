"""How the time of a training step grows with width, resolution, number of tasks and batch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dclib.network import count_parameters
from dclib.study.speed import bench, measuring
from dclib.study.speed.bench import Setting

AXES: dict[str, tuple[float, ...]] = {
    "width": (1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1),
    "resolution": (32, 48, 64, 96, 112),
    "tasks": (1, 2, 3, 5, 8),
    "batch": (8, 16, 32, 64, 128),
}


def points(
    around: Setting, axes: Mapping[str, Sequence[float]]
) -> dict[tuple[str, float], Setting]:
    """The settings that differ from one of them in one way, by what it is and its value."""
    found = {}
    for axis, values in axes.items():
        for value in values:
            changed: dict[str, Any] = {axis: value}
            found[axis, value] = around._replace(**changed)
    return found


def measure(
    around: Setting,
    axes: Mapping[str, Sequence[float]],
    methods: Sequence[str],
    rounds: int,
) -> list[dict[str, Any]]:
    """Seconds of a training step of each method, computed as in training, at all points in turn.

    The point that several axes share is measured once.

    Returns:
        A row for each method, axis and value: the forms that it is computed in, which may change
        along an axis, seconds of each round, bytes that are kept for the backward pass, parameters.
    """
    wanted = points(around, axes)
    work = {setting: bench.Work.of(setting) for setting in wanted.values()}
    ours = {
        (method, setting): bench.contender(method, setting, own, bench.choice(setting))
        for method in methods
        for setting, own in work.items()
    }
    seconds = measuring.turns(ours, rounds)
    kept = {key: measuring.kept(step, step.net) for key, step in ours.items()}
    return [
        {
            **{"method": method, "axis": axis, "value": value},
            "forms": ours[method, setting].forms,
            "seconds": seconds[method, setting],
            "kept": kept[method, setting],
            "parameters": count_parameters(ours[method, setting].net),
        }
        for method in methods
        for (axis, value), setting in wanted.items()
    ]


def exponent(values: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """The power of the values that times grow with, and its standard error.

    The slope of the line through the logarithms by least squares, and what is left of them says how
    sure it is: two points leave nothing, and the error is not a number.

    Args:
        values: where it was measured.
        seconds: one for each value.

    Raises:
        ValueError: fewer than two different values, or a number that is not positive.
    """
    if len(set(values)) < 2 or min(*values, *seconds) <= 0:
        raise ValueError("an exponent needs two different values, and all numbers positive")
    x, y = np.log(values), np.log(seconds)
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    if len(x) < 3:
        return slope, math.nan
    rest = y - slope * x
    return slope, math.sqrt(float(rest @ rest) / (len(x) - 2) / float(x @ x))
