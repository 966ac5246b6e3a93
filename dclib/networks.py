"""Networks by the paper's names of their methods."""

from collections.abc import Sequence
from functools import lru_cache

import torch

from dclib import underlying as underlying_networks
from dclib.columns import Method, Network, count_parameters
from dclib.methods import METHODS
from dclib.tasks import Task


def build(
    method: str,
    *,
    tasks: Sequence[Task],
    underlying: str | None = None,
    resolution: int = 112,
    width: float = 1.0,
    pretrained: bool = False,
) -> Network:
    """Make a network by the paper's name of its method.

    Args:
        method: a key of `METHODS`.
        tasks: the tasks, the main one first, e.g. `mtfl_tasks(resolution)`.
        underlying: the underlying network: what the method's name stands for, else "resnet18".
        resolution: side of the input in pixels.
        width: multiplies the feature maps of the underlying network; a widened method is widened
            until it has as many parameters as DCNet at this width.
        pretrained: columns start as identical copies of the official ImageNet weights.

    Raises:
        ValueError: unknown names, a method on an underlying network that its name excludes, or an
            argument out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    chosen = METHODS[method]
    underlying = underlying or chosen.underlying or "resnet18"
    if chosen.underlying not in (None, underlying):
        raise ValueError(
            f"{method} is the paper's name for {chosen.title} on {chosen.underlying}, not on"
            f" {underlying}"
        )
    if not tasks:
        raise ValueError("tasks is empty: a network needs at least one task")
    if chosen.widened:
        if pretrained:
            raise ValueError(f"{method} is widened, so pre-trained weights do not fit its columns")
        width, _ = matched_width(method, tuple(tasks), underlying, width)
    return _assemble(chosen, tasks, underlying, width, pretrained, resolution)


def _assemble(
    method: Method,
    tasks: Sequence[Task],
    underlying: str,
    width: float,
    pretrained: bool = False,
    resolution: int | None = None,
) -> Network:
    tasks = tasks[:1] if method.main_only else tasks
    count = method.columns(len(tasks))
    columns = [
        underlying_networks.blocks(underlying, width, pretrained, resolution) for _ in range(count)
    ]
    channels = [underlying_networks.channels(underlying, width)] * count
    return method.assemble(tasks, columns, channels)


@lru_cache(maxsize=256)
def matched_width(
    method: str, tasks: tuple[Task, ...], underlying: str, width: float
) -> tuple[float, float]:
    """The width at which `method` has as many parameters as DCNet has at `width`.

    Bisection between `width` and 8 times it; counting needs no memory for the weights.

    Returns:
        The width, and the relative difference that remains, since layers have whole channels.

    Raises:
        ValueError: when more than 2 % of difference remain.
    """

    def size(name: str, at: float) -> int:
        with torch.device("meta"):
            return count_parameters(_assemble(METHODS[name], tasks, underlying, at))

    target = size("DCNet", width)
    low, high = width, 8 * width
    differences = {w: size(method, w) / target - 1 for w in (low, high)}
    while high - low > 1e-4 * width and min(map(abs, differences.values())) > 0.0005:
        middle = (low + high) / 2
        differences[middle] = size(method, middle) / target - 1
        low, high = (middle, high) if differences[middle] < 0 else (low, middle)
    best, difference = min(differences.items(), key=lambda found: abs(found[1]))
    if abs(difference) > 0.02:
        raise ValueError(
            f"{method} cannot be widened to DCNet's {target:,} parameters at width {width}:"
            f" {100 * difference:+.1f} % remain"
        )
    return best, difference
