"""Networks by the paper's names of their methods."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import torch

from dclib import underlying as underlying_networks
from dclib.methods import METHODS
from dclib.network import Network, count_parameters
from dclib.splitting.series import align, shapes
from dclib.splitting.tracing import evaluating, first_line, on_meta
from dclib.tasks import Landmarks, Task, label_tasks

CNN = underlying_networks.CNN
CNNs = CNN | Sequence[CNN]  # one, or one for each column


def build(
    method: str,
    *,
    tasks: Sequence[Task],
    underlying: CNNs | None = None,
    resolution: int | None = None,
    width: float = 1.0,
    pretrained: str | bool = False,
) -> Network:
    """Make a network by the paper's name of its method.

    Args:
        method: a key of `METHODS`.
        tasks: the tasks, the main one first, e.g. `mtfl_tasks(resolution)`.
        underlying: the underlying network, anything that `dclib.underlying.blocks` takes: what the
            method's name stands for, else "resnet18". Or several, one for each column in order, the
            last one also for all after it; names may be joined by a plus sign. As most methods have
            a column for each task, "resnet18+mobilenet_v3_small" is ResNet18 for the main task and
            MobileNet for the others. Those with more blocks are shortened by
            `dclib.splitting.series.align`.
        resolution: side of the input in pixels; that of the tasks if not given, or 112.
        width: multiplies the feature maps of the underlying network; a widened method is widened
            until it has as many parameters as DCNet at this width.
        pretrained: columns start as identical copies of "imagenet" or "tiny-imagenet" weights.

    Raises:
        ValueError: unknown names, tasks of one name or for another resolution, a method on an
            underlying network that its name excludes or that its columns cannot differ in, or an
            argument out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; choose from {list(METHODS)}")
    chosen = METHODS[method]
    if underlying is None:
        underlying = chosen.underlying or "resnet18"
    several = _several(underlying)
    if not several:
        raise ValueError("underlying is empty: name a network, or give one")
    if chosen.underlying and several != (chosen.underlying,):
        raise ValueError(
            f"{method} is the paper's name for {chosen.title} on {chosen.underlying},"
            f" not on {_names(several)}"
        )
    _refuse_tasks(tasks)
    if chosen.widened:
        if pretrained:
            raise ValueError(f"{method} is widened, so pre-trained weights do not fit its columns")
        width, _ = matched_width(method, tuple(tasks), several, width)
    made_for = _resolutions(tasks)
    size = resolution if resolution is not None else next(iter(made_for), 112)
    net = _assemble(method, tasks, several, width, pretrained, size)
    if wrong := sorted({own for own in made_for if own != size}):
        raise ValueError(
            f"tasks have landmarks on images of {wrong} px, and the network is for {size} px: make"
            " both for one resolution"
        )
    return net


def _refuse_tasks(tasks: Sequence[Task]) -> None:
    if not tasks:
        raise ValueError("tasks is empty: a network needs at least one task")
    names = Counter(task.name for task in tasks)
    parts = Counter(task.name for task in label_tasks(tasks))  # angles are tasks of their own
    if twice := [name for name, times in (names | parts).items() if times > 1]:
        raise ValueError(f"tasks: {twice} is the name of several; give each task its own")


def _resolutions(tasks: Sequence[Task]) -> list[int]:
    """What images the tasks are made for, in pixels: landmarks have a bin a pixel."""
    return [task.bins for task in tasks if isinstance(task, Landmarks)]


def _several(underlying: CNNs) -> tuple[CNN, ...]:
    """The underlying networks in the order of the tasks; the last one is for all that follow."""
    if isinstance(underlying, str):
        return tuple(underlying.split("+"))
    return tuple(underlying) if isinstance(underlying, Sequence) else (underlying,)


def _names(underlying: Sequence[CNN]) -> str:
    return "+".join(map(underlying_networks.title, underlying))


def _assemble(
    method: str,
    tasks: Sequence[Task],
    underlying: tuple[CNN, ...],
    width: float,
    pretrained: str | bool = False,
    resolution: int | None = None,
) -> Network:
    chosen = METHODS[method]
    tasks = tasks[:1] if chosen.main_only else tasks
    count = chosen.columns(len(tasks))
    if len(underlying) > count:
        raise ValueError(
            f"{method} has {count} columns: too few for {len(underlying)} underlying networks,"
            f" {_names(underlying)}"
        )
    networks = [*underlying, *[underlying[-1]] * (count - len(underlying))]
    columns = underlying_networks.columns(networks, width, pretrained, resolution)
    if len(underlying) == 1 and underlying[0] in underlying_networks.UNDERLYING:
        channels = [underlying_networks.channels(underlying[0], width)] * count
        return chosen.assemble(tasks, columns, channels)
    size = resolution or underlying_networks.DEFAULT
    columns = align(columns, size)
    channels = [[c for c, _, _ in shapes(blocks, size)] for blocks in columns]
    try:
        net = chosen.assemble(tasks, columns, channels)
        with torch.no_grad(), evaluating(net):
            on_meta(net, torch.empty(2, 3, size, size, device="meta"))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{method} cannot join {_names(underlying)}: {first_line(error)}"
        ) from error
    return net


@lru_cache(maxsize=256)
def matched_width(
    method: str, tasks: tuple[Task, ...], underlying: CNNs, width: float
) -> tuple[float, float]:
    """The width at which `method` has as many parameters as DCNet has at `width`.

    Bisection between `width` and 8 times it; counting needs no memory for the weights.

    Returns:
        The width, and the relative difference that remains, since layers have whole channels.

    Raises:
        ValueError: underlying networks that have no width multiplier, or when more than 2 % of
            difference remain.
    """
    several = _several(underlying)
    if not set(several) <= underlying_networks.UNDERLYING.keys():
        raise ValueError(
            f"{method} is widened, and only {list(underlying_networks.UNDERLYING)} have a width"
            " multiplier"
        )

    def size(name: str, at: float) -> int:
        with torch.device("meta"):
            return count_parameters(_assemble(name, tasks, several, at))

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
