"""Which way of computing a convolution is taken: by a table, or measured once for each shape.

A way changes the order of sums, so it is part of how a run was made, and stands in its record.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dclib import environment, paths
from dclib.fast import products, small_maps, winograd
from dclib.files import write_atomically

CACHE = ".ways.json"  # the file of the store with what was measured, by machine
ROUNDS = 4
ENOUGH = 0.5  # seconds, after which there is no other round
GAIN = 0.97  # of the plain way's time; what gains less than that is not worth another name

Way = Callable[[Tensor, Tensor, int, int], Tensor]  # maps, weight, groups, stride


def plain(x: Tensor, weight: Tensor, groups: int, stride: int) -> Tensor:
    """PyTorch's own convolution, its maps kept or halved in size."""
    padding = weight.shape[-1] // 2
    return functional.conv2d(x, weight, None, stride, padding, groups=groups)


WAYS: dict[str, Way] = {
    "plain": plain,
    "tiny": small_maps.convolve,
    "winograd": lambda x, weight, groups, stride: winograd.convolve(x, weight),
    "few blas": lambda x, weight, groups, stride: products.few(x, weight, groups, "blas"),
    "few onednn": lambda x, weight, groups, stride: products.few(x, weight, groups, "onednn"),
    "rows blas": partial(products.rows, library="blas"),
    "rows onednn": partial(products.rows, library="onednn"),
}


def possible(kernel: int, stride: int, groups: int, side: int) -> list[str]:
    """The ways in which a convolution of square maps can be computed."""
    if kernel == 1:
        return ["plain", *(f"rows {library}" for library in products.LIBRARIES)]
    if kernel != 3 or side > products.SMALL:
        halves = kernel == 3 and stride == groups == 1
        return ["plain", "winograd"] if halves else ["plain"]
    if stride > 1:
        return ["plain", "tiny"]
    more = ["winograd"] if groups == 1 and side >= 3 else []
    return ["plain", "tiny", *more, *(f"few {library}" for library in products.LIBRARIES)]


def usual(layer: nn.Conv2d) -> bool:
    """Whether a layer is a convolution that may be computed in other ways."""
    half = layer.kernel_size[0] // 2
    return (
        layer.kernel_size == (2 * half + 1,) * 2
        and layer.padding == (half, half)
        and layer.dilation == (1, 1)
        and layer.stride[0] == layer.stride[1]
        and layer.groups == 1
        and layer.bias is None
        and layer.padding_mode == "zeros"
    )


class Ways(dict[str, str]):
    """The way of each shape of convolution that is not computed in the plain one, as in a record.

    Under "together" are the depths, if any, at which columns are computed so.
    """

    @property
    def together(self) -> list[int]:
        """Those depths."""
        return [int(depth) for depth in self.get("together", "").split()]

    def convolve(self, x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1) -> Tensor:
        """A convolution without bias, padded by half its kernel, in T groups of maps."""
        if x.dtype != weight.dtype or torch.is_autocast_enabled(x.device.type):
            return plain(x, weight, groups, stride)
        return WAYS[self.choose(x, weight, groups, stride)](x, weight, groups, stride)

    def choose(self, x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1) -> str:
        """The name of the way of a convolution."""
        if x.shape[-1] != x.shape[-2]:
            return "plain"
        outgoing, incoming, kernel, _ = weight.shape
        key = f"{kernel}/{stride} {incoming}>{outgoing // groups} x{groups} @{x.shape[-1]}"
        return self.find(key, x, weight, groups, stride)

    def find(self, key: str, x: Tensor, weight: Tensor, groups: int, stride: int) -> str:
        """The name of the way of a shape."""
        return self.get(key, "plain")


class Table(Ways):
    """Ways of 3x3 convolutions by the rules of the forms "fast" and "winograd"."""

    def __init__(self, halves: bool) -> None:
        super().__init__()
        self.halves = halves  # products, by Winograd's convolutions, and maps

    def choose(self, x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1) -> str:
        """The name of the way of a convolution."""
        outgoing, incoming, kernel, _ = weight.shape
        if kernel != 3 or groups > 1 or stride > 1 + self.halves:
            return "plain"
        halves = self.halves and stride == 1 and x.shape[-1] >= 3
        halves = halves and x.dtype in (torch.float32, torch.float64)
        if halves and winograd.pays(min(incoming, outgoing), x.shape[-2]):
            return "winograd"
        return "tiny" if small_maps.tiny(x, incoming, stride) else "plain"


TABLES = {"fast": Table(False), "stacked": Table(False), "winograd": Table(True)}


class FastConv2d(nn.Conv2d):
    """A convolution that is computed in the way that suits its shape."""

    ways: Ways

    def forward(self, input: Tensor) -> Tensor:
        if usual(self):
            return self.ways.convolve(input, self.weight, 1, self.stride[0])
        return super().forward(input)


class Measured(Ways):
    """Ways that are measured as they are met; what was measured before is in the store."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = json.dumps(environment.machine(), sort_keys=True)
        try:
            self.known = json.loads((paths.store() / CACHE).read_text())
        except (OSError, ValueError):
            self.known = {}
        self.before = self.known.setdefault(self.machine, {})
        self.new: dict[str, str] = {}

    def find(self, key: str, x: Tensor, weight: Tensor, groups: int, stride: int) -> str:
        names = possible(weight.shape[-1], stride, groups, x.shape[-1])
        if len(names) == 1:
            return "plain"
        steps = {name: partial(_step, WAYS[name], x, weight, groups, stride) for name in names}
        chosen = self.best(f"{key} of {len(x)}", lambda: fastest(steps))
        if chosen != "plain":
            self[key] = chosen
        return chosen

    def best(self, what: str, measure: Callable[[], str]) -> str:
        """What was measured before, or is now."""
        if what not in self.before:
            self.before[what] = self.new[what] = measure()
        return self.before[what]

    def keep(self) -> None:
        """Keep what was measured, and say so."""
        if self.new:
            named = ", ".join(f"{what}: {way}" for what, way in self.new.items() if way != "plain")
            told = f"Forms of {len(self.new)} shapes measured here; {named or 'all plain'}"
            print(told, file=sys.stderr)
            paths.store().mkdir(parents=True, exist_ok=True)
            write_atomically(paths.store() / CACHE, json.dumps(self.known, indent=1).encode())


def _step(way: Way, x: Tensor, weight: Tensor, groups: int, stride: int) -> None:
    """Such a convolution forward and backward."""
    x, weight = (t.detach().requires_grad_() for t in (x, weight))
    with torch.enable_grad():
        y = way(x, weight, groups, stride)
        torch.autograd.grad(y, (x, weight), torch.ones_like(y))


def fastest(steps: Mapping[str, Callable[[], Any]]) -> str:
    """The name of the step that takes least, in turn; the first one if none gains clearly."""
    first, least = next(iter(steps)), dict.fromkeys(steps, math.inf)
    for step in steps.values():
        step()  # to get warm
    begun = time.perf_counter()
    for number in range(ROUNDS):
        for name, step in steps.items():
            if number == 0 or least[name] < 2 * least[first]:
                least[name] = min(least[name], seconds(step))
        if time.perf_counter() - begun > ENOUGH:
            break
    found = min(least, key=lambda name: least[name])
    return found if least[found] < GAIN * least[first] else first


def seconds(step: Callable[[], Any]) -> float:
    """What a step takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
