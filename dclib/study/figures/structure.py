"""How a method shares, read from its network: what reaches what, what is tied, what comes first.

The network is built on small underlying networks and run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor, nn

from dclib.methods import METHODS
from dclib.network import Network
from dclib.study.figures.connections import Join, Place, Seen, gradients, some
from dclib.tasks import Classes

CHANNELS = (8, 12, 16)  # feature maps of the small underlying network after each block


@dataclass(frozen=True)
class Ties:
    """What a penalty acts on.

    Attributes:
        columns: pairs of columns whose weights are tied, with the depth.
        within: it acts on each column by itself.
        heads: those whose own weights it acts on, before or in the head.
        features: heads whose features it acts on.
        judge: it has weights of its own.
    """

    columns: frozenset[tuple[int, int, int]]
    within: bool
    heads: frozenset[int]
    features: frozenset[int]
    judge: bool

    def __bool__(self) -> bool:
        return bool(self.columns or self.within or self.heads or self.features)


@dataclass(frozen=True)
class Order:
    """In which stage each column, and what joins them, is trained first; how many there are."""

    columns: tuple[int, ...]
    joins: int
    stages: int


@dataclass(frozen=True)
class Structure:
    """How a method shares.

    Attributes:
        joins: what joins the columns after each block.
        reads: for each head, from which columns and depths its features come directly.
        same: all heads get the same features.
        own, common: between columns and heads are weights that serve one head, or several.
        ties: what a penalty acts on.
        order: what is trained first.
        stops: tasks can end before the others.
    """

    columns: int
    joins: tuple[Join, ...]
    reads: tuple[frozenset[Place], ...]
    same: bool
    own: bool
    common: bool
    ties: Ties
    order: Order
    stops: bool

    @property
    def drawn(self) -> "Structure":
        """All but the names of what joins the columns."""
        return replace(self, joins=tuple(replace(join, kind="") for join in self.joins))


@lru_cache(maxsize=64)
def structure(method: str, tasks: int = 3) -> Structure:
    """How a method of `METHODS` shares between this many tasks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = small(method, tasks)
        images = torch.randn(8, 3, 16, 16)
        seen = Seen(net, images)
        uses = seen.uses()
        return Structure(
            columns=len(net.columns),
            joins=tuple(seen.join(d) for d in range(len(net.mixers))),
            reads=seen.reads(),
            same=all(torch.equal(f, seen.features[0]) for f in seen.features),
            own=any(len(heads) == 1 for _, heads in uses),
            common=any(len(heads) > 1 for _, heads in uses),
            ties=_ties(net, images, uses),
            order=_order(net, images),
            stops=METHODS[method].stopped is not None,
        )


def small(method: str, tasks: int = 3) -> Network:
    """A method's network on small underlying networks of three blocks, with random weights."""
    chosen = METHODS[method]
    heads = [Classes(f"task {t + 1}", 2 + t) for t in range(1 if chosen.main_only else tasks)]
    count = chosen.columns(len(heads))
    net = chosen.assemble(heads, [_column() for _ in range(count)], [CHANNELS] * count)
    with torch.no_grad():
        for p in net.parameters():  # a weight that starts at zero would hide a connection
            p.add_(0.1 * torch.randn_like(p))
    return net.eval()


def _column() -> nn.ModuleList:
    def block(incoming: int, channels: int) -> nn.Sequential:
        return nn.Sequential(
            *(nn.Conv2d(incoming, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()),
            *(nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.ReLU()),
        )

    return nn.ModuleList(map(block, (3, *CHANNELS[:-1]), CHANNELS))


def _ties(net: Network, images: Tensor, uses: Sequence[tuple[nn.Parameter, set[int]]]) -> Ties:
    features = [f.detach().requires_grad_() for f in net.features(images)]

    def pulls(weights: Iterable[Tensor]) -> list[Tensor]:
        penalty = net.penalty(features)
        return [] if penalty is None else gradients(penalty, weights)

    def acts(weights: Iterable[Tensor]) -> bool:
        return any(bool(pull.any()) for pull in pulls(weights))

    def tied(one: Sequence[nn.Parameter], other: Sequence[nn.Parameter]) -> bool:
        """Whether the pull on some weights changes where others move."""
        before = pulls(one)
        kept = [p.detach().clone() for p in other]
        with torch.no_grad():
            for p in other:
                p.mul_(1.5)
        after = pulls(one)
        with torch.no_grad():
            for p, value in zip(other, kept, strict=True):
                p.copy_(value)
        return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))

    blocks = [[list(block.parameters()) for block in cast(Any, c)] for c in net.columns]
    pairs = frozenset(
        (one, other, depth)
        for one, other in combinations(range(len(blocks)), 2)
        for depth in range(len(net.mixers))
        if tied(blocks[one][depth], blocks[other][depth])
    )
    own = [
        [*head.parameters(), *(p for p, heads in uses if heads == {t})]
        for t, head in enumerate(net.heads)
    ]
    return Ties(
        columns=pairs,
        within=not pairs and acts(net.columns.parameters()),
        heads=frozenset(t for t, weights in enumerate(own) if acts(weights)),
        features=frozenset(t for t, f in enumerate(features) if acts([f])),
        judge=acts(p for p, heads in uses if not heads),
    )


def _order(net: Network, images: Tensor) -> Order:
    """Goes through the stages of training, last of all: it leaves the network in one of them."""
    parts = [net.mixers, *net.columns]
    first = [net.stages] * len(parts)
    for stage in range(net.stages):
        names = net.enter(stage)
        logits = net.train()(images)
        loss = torch.stack([some(logits[name]) for name in names]).sum()
        for k, part in enumerate(parts):
            able = [p for p in part.parameters() if p.requires_grad]
            if any(bool(pull.any()) for pull in gradients(loss, able)):
                first[k] = min(first[k], stage)
    return Order(tuple(first[1:]), first[0], net.stages)
