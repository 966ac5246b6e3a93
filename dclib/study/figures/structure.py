"""How a method shares: what columns hear of each other, what heads read, what a penalty ties.

What mixers do is found by trying. What a method's network does otherwise than the rule stands in
`SHARING`; tests hold it against the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from dclib.block import CollaborativeBlock
from dclib.methods import METHODS
from dclib.methods.progressive import Laterals
from dclib.methods.sluice import Sluice
from dclib.network import Apart, Mixer

DEPTHS = 3  # blocks of the columns that are drawn
MAPS = 8  # of each column, where mixers are tried

Place = tuple[int, int]  # a column and a depth
Hears = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Sharing:
    """What a method's network does otherwise than to give each head the last maps of its column.

    Attributes:
        mixer: makes what joins the columns, where the network makes it itself.
        since: heads read the maps after all blocks from this one on, counted from 0.
        between: whose weights lie between the maps and the heads: "own" of each, "common" to all.
        common: how many columns all heads read besides their own.
        penalty: acts on the "columns" in pairs, "within" each, on the "heads" or the "features".
        judge: the penalty has weights of its own.
        sequence: columns are trained one after the other, the first task's last.
    """

    mixer: Mixer = Apart
    since: int = DEPTHS - 1
    between: str = ""
    common: int = 0
    penalty: str = ""
    judge: bool = False
    sequence: bool = False


SHARING = {
    "TCDCN": Sharing(between="common"),
    "HF": Sharing(since=0, between="common"),
    "MTAN": Sharing(since=1, between="own"),
    "DRN": Sharing(between="own", penalty="heads"),
    "Sluice": Sharing(Sluice, since=0, between="own", penalty="within"),
    **{name: Sharing(penalty="columns") for name in ("L2", "LAF", "Tucker", "TT")},
    "Private": Sharing(common=1, penalty="features"),
    "Private-adv": Sharing(common=1, penalty="features", judge=True),
    "Progressive": Sharing(Laterals, sequence=True),
}


@dataclass(frozen=True)
class Structure:
    """How a method shares between some tasks.

    Attributes:
        columns: how many.
        mixer: the class of what joins them after each block; "" where nothing does.
        central: it first makes one thing of all columns.
        hears: hears[t][s], whether column t goes on with something of column s.
        parts: a map is made of so many maps of a column, one of each part of it; 0 for all maps.
        reads: for each head, from which columns and depths its features come directly.
        same: all heads get the same features.
        between, penalty, judge: as in `Sharing`.
        trained, joined: in which stage of training each column is trained, and joined, first.
        stops: tasks can end before the others.
    """

    columns: int
    mixer: str
    central: bool
    hears: Hears
    parts: int
    reads: tuple[frozenset[Place], ...]
    same: bool
    between: str
    penalty: str
    judge: bool
    trained: tuple[int, ...]
    joined: int
    stops: bool

    @property
    def tied(self) -> list[tuple[int, int]]:
        """Pairs of columns that a penalty ties."""
        return list(combinations(range(self.columns), 2)) if self.penalty == "columns" else []

    @property
    def drawn(self) -> "Structure":
        """All but the name of what joins the columns."""
        return replace(self, mixer="")


def structure(method: str, tasks: int = 3) -> Structure:
    """How a method of `METHODS` shares between this many tasks."""
    chosen, sharing = METHODS[method], SHARING.get(method, Sharing())
    heads = 1 if chosen.main_only else tasks
    columns = chosen.columns(heads)
    private = columns - sharing.common
    trained = [(t - 1) % columns if sharing.sequence else 0 for t in range(columns)]
    places = [
        [(c, d) for c in {min(t, private - 1), *range(private, columns)} for d in range(DEPTHS)]
        for t in range(heads)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixer = (chosen.mixer if chosen.mixer is not Apart else sharing.mixer)([MAPS] * columns)
        joins = columns > 1 and not isinstance(mixer, Apart)
        hears, parts, alike = _tried(mixer, sorted(range(columns), key=lambda c: trained[c]))
    return Structure(
        columns=columns,
        mixer=type(mixer).__name__ if joins else "",
        central=isinstance(mixer, CollaborativeBlock),
        hears=hears,
        parts=parts,
        reads=tuple(frozenset((c, d) for c, d in own if d >= sharing.since) for own in places),
        same=alike and sharing.between != "own",
        between=sharing.between,
        penalty=sharing.penalty,
        judge=sharing.judge,
        trained=tuple(trained),
        joined=int(chosen.single_first or sharing.sequence),
        stops=chosen.stopped is not None,
    )


def _tried(mixer: nn.Module, order: Sequence[int]) -> tuple[Hears, int, bool]:
    """What a mixer makes of maps, by its slopes; and whether all columns get the same of it.

    Args:
        order: in which it gets the columns.
    """
    for p in mixer.eval().parameters():  # a weight that starts at zero would hide a connection
        p.data.add_(0.1 * torch.randn_like(p))
    maps = [torch.randn(8, MAPS, 4, 4) for _ in order]
    made = torch.stack(mixer(maps))

    def total(*maps: Tensor) -> Tensor:
        """Of each map that comes out (T, MAPS)."""
        return torch.stack(mixer(list(maps))).sum(dim=(1, 3, 4))

    slopes = torch.stack(jacobian(total, tuple(maps)))  # (S, T, MAPS, faces, MAPS, 4, 4)
    moved = slopes.ne(0).any(dim=3).flatten(4).any(dim=4)  # (S, T, map out, map in)
    most = int(moved.sum(dim=3).max())
    hears = moved.flatten(2).any(dim=2).T | torch.eye(len(order), dtype=torch.bool)
    back = torch.tensor(order).argsort()
    rows = hears[back][:, back].tolist()
    return tuple(map(tuple, rows)), most if most < MAPS else 0, bool((made == made[0]).all())
