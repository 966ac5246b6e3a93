"""Fig. 1: a collaborative block, drawn from the module itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dclib.block import CollaborativeBlock
from dclib.study.figures import layers, sketch
from dclib.study.figures.layers import Shape
from dclib.study.figures.sketch import (
    CARD,
    LARGE,
    SHARED,
    arrow,
    card,
    card_height,
    dark,
    dot,
    label,
    maps,
    pill,
    plus,
    task_colour,
    text,
)

# In inches.
ROW, LANE, HEADER = 1.10, 1.45, 0.36  # heights: a task's row, the central aggregation, the stages
MARGIN = 0.25  # below the last row
FRONT = 0.46  # height of the largest feature maps
SKIP = 0.40  # of the skip connection above its row
INPUT, RISE, ALL, CENTRAL, Z, BUS, PAIR, OWN, SUM, RELU, OUTPUT = (
    *(0.36, 1.02, 1.44, 2.70, 3.30, 3.80),
    *(3.98, 4.91, 6.46, 6.88, 7.34),
)
STAGES = (
    (0.08, 1.12, "inputs"),
    (1.34, 3.68, "central aggregation"),
    (3.94, 6.24, "task-specific aggregation"),
    (6.36, 7.16, "skip"),
    (7.28, 7.98, "outputs"),
)


@dataclass(frozen=True)
class Maps:
    """Feature maps in Fig. 1: their shape, and how large they are drawn."""

    shape: Shape
    thick: float
    front: float


@dataclass(frozen=True)
class Row(Maps):
    """The maps of a column, and where the column is on the sheet."""

    task: int
    y: float
    out: int  # 1 above the central aggregation, -1 below

    @property
    def colour(self) -> str:
        return task_colour(self.task)


def fig1(block: CollaborativeBlock, size: int | Sequence[int] = 28) -> Figure:
    """Fig. 1: a collaborative block on the feature maps of its columns.

    Args:
        block: any block.
        size: side of the incoming feature maps in pixels, one for all or one for each column.
    """
    channels, tasks = block.channels, len(block.channels)
    sides = [size] * tasks if isinstance(size, int) else list(size)
    fronts = [FRONT * max(0.4, side / max(sides)) for side in sides]
    first: Any = block.central[0]
    shape = (first.out_channels, min(sides), min(sides))
    scale = min(0.5 / sum(channels), 0.3 / (max(channels) + shape[0]))
    z = Maps(shape, scale * shape[0], min(fronts))
    top = tasks * ROW + LANE + MARGIN
    fig, ax = sketch.sheet(STAGES[-1][1], top + HEADER)
    above = (tasks + 1) // 2
    lane = MARGIN + (tasks - above) * ROW + LANE / 2
    rows = []
    for t, (count, side) in enumerate(zip(channels, sides, strict=True)):
        out = 1 if t < above else -1
        y = lane + out * (LANE + ROW) / 2 + (above - t - (out > 0)) * ROW
        rows.append(Row((count, side, side), scale * count, fronts[t], t, y, out))
    for number, (left, right, words) in enumerate(STAGES, 1):
        sketch.heading(ax, left, right, top + 0.24, f"({number}) {words}")
    _central(ax, block, rows, lane, z)
    for row in rows:
        _task_specific(ax, block, row, z)
    return fig


def _central(
    ax: Axes, block: CollaborativeBlock, rows: Sequence[Row], lane: float, z: Maps
) -> None:
    """Stage 2: all columns, concatenated, become z, which goes to every row."""
    first, second = layers.steps(block.central)
    high, low = lane + 0.34, lane - 0.34
    for row in rows:
        nearer = sum(r.out == row.out and abs(r.y - lane) < abs(row.y - lane) for r in rows)
        x = RISE + 0.09 * nearer
        y = high + 0.09 * ((len(rows) - 1) / 2 - row.task)
        dot(ax, x, row.y, row.colour)
        arrow(ax, [(x, row.y), (x, y), (ALL, y)], row.colour)
    face, back = maps(ax, ALL, high, z.front, [(row.colour, row.thick) for row in rows])
    names = [f"x_{row.task + 1}" for row in rows]
    inside = ", ".join(names if len(names) < 4 else [names[0], r"\ldots", names[-1]])
    together = (sum(block.channels), *z.shape[1:])
    label(ax, (ALL + face) / 2, high, z.front, f"$[{inside}]$", together)
    arrow(ax, [(back, high), (CENTRAL - CARD / 2, high)], SHARED)
    top, bottom = high - card_height(first) / 2, low + card_height(second) / 2
    arrow(ax, [(CENTRAL, top), (CENTRAL, bottom)], SHARED)
    card(ax, CENTRAL, high, first, SHARED)
    card(ax, CENTRAL, low, second, SHARED)
    above = high + card_height(first) / 2 + 0.12
    text(ax, CENTRAL, above, r"$\mathcal{H}$", fontsize=LARGE)
    arrow(ax, [(CENTRAL + CARD / 2, low), (Z, low)], SHARED)
    face, back = maps(ax, Z, low, z.front, [(SHARED, z.thick)])
    label(ax, (Z + face) / 2, low, z.front, "$z$", z.shape)
    for row in rows:
        y = row.y - row.out * 0.13
        arrow(ax, [(back, low), (BUS, low), (BUS, y), (PAIR, y)], SHARED)


def _task_specific(ax: Axes, block: CollaborativeBlock, row: Row, z: Maps) -> None:
    """The row of a column: its input, and stages 3 to 5."""
    t, y, colour, ink = row.task + 1, row.y, row.colour, dark(row.colour)
    own = [(colour, row.thick)]
    _, back = maps(ax, INPUT, y, row.front, own)
    label(ax, INPUT + 0.12, y, row.front, f"$x_{{{t}}}$", row.shape, ink)
    arrow(ax, [(back, y), (PAIR, y)], colour)
    _, back = maps(ax, PAIR, y, row.front, [*own, (SHARED, z.thick)])
    both, upper = (row.shape[0] + z.shape[0], *row.shape[1:]), row.out < 0
    label(ax, PAIR, y, row.front, f"$[x_{{{t}}}, z]$", both, ink, above=upper, ha="left")
    first, second = layers.steps(block.specific[row.task])
    after = OWN + CARD + 0.1
    arrow(ax, [(back, y), (OWN - CARD / 2, y)], colour)
    arrow(ax, [(OWN + CARD / 2, y), (after - CARD / 2, y)], colour)
    card(ax, OWN, y, first, colour)
    card(ax, after, y, second, colour)
    edge = y - row.out * (max(card_height(first), card_height(second)) / 2 + 0.12)
    text(ax, (OWN + after) / 2, edge, rf"$\mathcal{{F}}_{{{t}}}$", ink, fontsize=LARGE)
    radius = plus(ax, SUM, y, colour)
    arrow(ax, [(after + CARD / 2, y), (SUM - radius, y)], colour)
    fork, skip = BUS - 0.12, y + row.out * SKIP
    dot(ax, fork, y, colour)
    arrow(ax, [(fork, y), (fork, skip), (SUM, skip), (SUM, y + row.out * radius)], colour)
    x = SUM + radius
    if block.outer_relu:
        half = pill(ax, RELU, y, "ReLU", colour)
        arrow(ax, [(x, y), (RELU - half, y)], colour)
        x = RELU + half
    arrow(ax, [(x, y), (OUTPUT, y)], colour)
    maps(ax, OUTPUT, y, row.front, own)
    label(ax, OUTPUT + 0.12, y, row.front, f"$y_{{{t}}}$", row.shape, ink)
