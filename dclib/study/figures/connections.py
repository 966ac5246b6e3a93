"""Which maps are made of which, read from a network in one pass.

Where the maps after a block, and after what joins the columns there, are cut off from what made
them, a gradient that reaches them came directly and not through another block: so gradients show
the connections.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dclib.network import Apart, Network

Place = tuple[int, int]  # a column and a depth


@dataclass(frozen=True)
class Join:
    """What joins the columns at a depth.

    Attributes:
        kind: the name of its class.
        reads: reads[t][s], whether column t goes on with something of column s.
        maps: the most maps of one column that a map is made of: one, those of some parts, or all.
        central: some of its weights serve several columns.
    """

    kind: str
    reads: tuple[tuple[bool, ...], ...]
    maps: int
    central: bool

    @property
    def apart(self) -> bool:
        """Nothing is joined."""
        return not any(r for t, row in enumerate(self.reads) for s, r in enumerate(row) if s != t)


class Seen:
    """A pass through a network whose maps are cut off after each block and each mixer.

    Attributes:
        within: the maps after the layers of the blocks, the last ones those after the block.
        mixed: by depth, the columns in a mixer's own order, what it got and what it gave.
        given: the maps after the mixers.
        features: what the heads get.
    """

    def __init__(self, net: Network, images: Tensor) -> None:
        self.net = net
        self.within: dict[Place, list[Tensor]] = {}
        self.mixed: dict[int, tuple[list[int], list[Tensor], list[Tensor]]] = {}
        self.given: dict[Place, Tensor] = {}
        with self._cut():
            self.features = net.features(images)

    @contextmanager
    def _cut(self) -> Iterator[None]:
        hooks = []
        for c, column in enumerate(self.net.columns):
            for d, block in enumerate(column.children()):
                for part in (*block.children(), block):  # a method may read within a block, too
                    hooks.append(part.register_forward_hook(self._after_block((c, d))))
        for d, mixer in enumerate(self.net.mixers):
            hooks.append(mixer.register_forward_hook(self._after_mixer(d)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _after_block(self, place: Place) -> Callable[..., Tensor]:
        def hook(block: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            self.within.setdefault(place, []).append(output.detach().requires_grad_())
            return self.made(place)

        return hook

    def _after_mixer(self, depth: int) -> Callable[..., list[Tensor]]:
        def hook(mixer: nn.Module, inputs: Any, outputs: list[Tensor]) -> list[Tensor]:
            columns = [c for x in inputs[0] for c, d in self.within if self.made((c, d)) is x]
            self.mixed[depth] = (columns, list(inputs[0]), list(outputs))
            cut = [y.detach().requires_grad_() for y in outputs]
            self.given |= {(c, depth): y for c, y in zip(columns, cut, strict=True)}
            return cut

        return hook

    def made(self, place: Place) -> Tensor:
        """The maps after a block."""
        return self.within[place][-1]

    def join(self, depth: int) -> Join:
        """What joins the columns at a depth, map by map."""
        mixer, count = self.net.mixers[depth], len(self.net.columns)
        reads = [[s == t for s in range(count)] for t in range(count)]
        columns, inputs, outputs = self.mixed.get(depth, ([], [], []))
        weights, maps = list(mixer.parameters()), 1
        used = [torch.zeros_like(w) for w in weights]
        for t, y in zip(columns, outputs, strict=True) if not isinstance(mixer, Apart) else ():
            for channel in range(y.shape[1]):
                pulls = gradients(some(y[:, channel]), inputs)
                for s, pull in zip(columns, pulls, strict=True):
                    sources = int(pull.any(dim=0).flatten(1).any(dim=1).sum())
                    reads[t][s] |= sources > 0
                    maps = max(maps, sources)
            for use, pull in zip(used, gradients(some(y), weights), strict=True):
                use += pull != 0
        central = any(bool((use > 1).any()) for use in used)
        return Join(type(mixer).__name__, tuple(map(tuple, reads)), maps, central)

    def reads(self) -> tuple[frozenset[Place], ...]:
        """For each head, the places that its features come from directly."""
        cut = [(place, maps) for place, all_of_it in self.within.items() for maps in all_of_it]
        cut += self.given.items()
        maps = [x for _, x in cut]
        return tuple(
            frozenset(
                place
                for (place, _), pull in zip(cut, gradients(some(f), maps), strict=True)
                if pull.any()
            )
            for f in self.features
        )

    def uses(self) -> list[tuple[nn.Parameter, set[int]]]:
        """Each weight that is in no column, mixer or head, and the heads that it serves."""
        parts = (self.net.columns, self.net.mixers, self.net.heads)
        inside = {id(p) for part in parts for p in part.parameters()}
        weights = [p for p in self.net.parameters() if id(p) not in inside]
        served: list[set[int]] = [set() for _ in weights]
        for t, f in enumerate(self.features):
            for heads, pull in zip(served, gradients(some(f), weights), strict=True):
                heads |= {t} if pull.any() else set()
        return list(zip(weights, served, strict=True))


def gradients(value: Tensor, of: Iterable[Tensor]) -> list[Tensor]:
    """Of a number by tensors; zero where it does not depend on one."""
    of = list(of)
    if not of or not value.requires_grad:
        return [torch.zeros_like(x) for x in of]
    found = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, of, strict=True)]


def some(values: Tensor) -> Tensor:
    """A number that depends on all of them, on each in its own way."""
    return (values * torch.randn_like(values)).sum()
