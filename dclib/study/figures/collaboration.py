"""Fig. 1: a collaborative block, drawn from the module itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dclib.block import CollaborativeBlock
from dclib.study.figures import layers, sketch
from dclib.study.figures.layers import Shape
from dclib.study.figures.sketch import (
    CARD,
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
    symbol,
    task_colour,
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
class Row:
    """A column in Fig. 1: where it is on the sheet, and how large its feature maps are drawn."""

    task: int
    y: float
    out: int  # 1 above the central aggregation, -1 below
    shape: Shape
    thick: float
    front: float

    @property
    def colour(self) -> str:
        return task_colour(self.task)


def fig1(block: CollaborativeBlock, size: int | Sequence[int] = 28) -> Figure:
    """Fig. 1: a collaborative block on the feature maps of its columns.

    Args:
        block: any block.
        size: side of the incoming feature maps in pixels, one for all or one for each column.
    """
    tasks = len(block.channels)
    sides = [size] * tasks if isinstance(size, int) else list(size)
    inputs = [
        torch.zeros(1, c, s, s, device=layers.device(block))
        for c, s in zip(block.channels, sides, strict=True)
    ]
    z = layers.shapes(block, inputs)[block.central]
    scale = min(0.5 / sum(block.channels), 0.3 / (max(block.channels) + z[0]))
    top = tasks * ROW + LANE + MARGIN
    fig, ax = sketch.sheet(STAGES[-1][1], top + HEADER)
    above = (tasks + 1) // 2
    lane = MARGIN + (tasks - above) * ROW + LANE / 2
    rows = []
    for t, (x, side) in enumerate(zip(inputs, sides, strict=True)):
        out = 1 if t < above else -1
        y = lane + out * (LANE + ROW) / 2 + (above - t - (out > 0)) * ROW
        rows.append(Row(t, y, out, tuple(x.shape[1:]), scale * x.shape[1], _front(side, sides)))
    for number, (left, right, words) in enumerate(STAGES, 1):
        sketch.heading(ax, left, right, top + 0.24, f"({number}) {words}")
    _central(ax, block, rows, lane, z, scale, _front(min(sides), sides))
    for row in rows:
        _task_specific(ax, block, row, z, scale)
    return fig


def _front(side: int, sides: Sequence[int]) -> float:
    return FRONT * max(0.4, side / max(sides))


def _central(
    ax: Axes,
    block: CollaborativeBlock,
    rows: Sequence[Row],
    lane: float,
    z: Shape,
    scale: float,
    front: float,
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
    face, back = maps(ax, ALL, high, front, [(row.colour, row.thick) for row in rows])
    names = [f"x_{row.task + 1}" for row in rows]
    inside = ", ".join(names if len(names) < 4 else [names[0], r"\ldots", names[-1]])
    label(ax, (ALL + face) / 2, high, front, f"$[{inside}]$", (sum(block.channels), *z[1:]))
    arrow(ax, [(back, high), (CENTRAL - CARD / 2, high)], SHARED)
    top, bottom = high - card_height(first) / 2, low + card_height(second) / 2
    arrow(ax, [(CENTRAL, top), (CENTRAL, bottom)], SHARED)
    card(ax, CENTRAL, high, first, SHARED)
    card(ax, CENTRAL, low, second, SHARED)
    symbol(ax, CENTRAL, high + card_height(first) / 2 + 0.12, r"\mathcal{H}")
    arrow(ax, [(CENTRAL + CARD / 2, low), (Z, low)], SHARED)
    face, back = maps(ax, Z, low, front, [(SHARED, scale * z[0])])
    label(ax, (Z + face) / 2, low, front, "$z$", z)
    for row in rows:
        y = row.y - row.out * 0.13
        arrow(ax, [(back, low), (BUS, low), (BUS, y), (PAIR, y)], SHARED)


def _task_specific(ax: Axes, block: CollaborativeBlock, row: Row, z: Shape, scale: float) -> None:
    """The row of a column: its input, and stages 3 to 5."""
    t, y, colour, ink = row.task + 1, row.y, row.colour, dark(row.colour)
    _, back = maps(ax, INPUT, y, row.front, [(colour, row.thick)])
    label(ax, INPUT + 0.12, y, row.front, f"$x_{{{t}}}$", row.shape, ink)
    arrow(ax, [(back, y), (PAIR, y)], colour)
    _, back = maps(ax, PAIR, y, row.front, [(colour, row.thick), (SHARED, scale * z[0])])
    both = (row.shape[0] + z[0], *row.shape[1:])
    upper = row.out < 0
    label(ax, PAIR, y, row.front, f"$[x_{{{t}}}, z]$", both, ink, above=upper, ha="left")
    first, second = layers.steps(block.specific[row.task])
    after = OWN + CARD + 0.1
    arrow(ax, [(back, y), (OWN - CARD / 2, y)], colour)
    arrow(ax, [(OWN + CARD / 2, y), (after - CARD / 2, y)], colour)
    card(ax, OWN, y, first, colour)
    card(ax, after, y, second, colour)
    edge = max(card_height(first), card_height(second)) / 2 + 0.12
    symbol(ax, (OWN + after) / 2, y - row.out * edge, rf"\mathcal{{F}}_{{{t}}}", ink)
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
    maps(ax, OUTPUT, y, row.front, [(colour, row.thick)])
    label(ax, OUTPUT + 0.12, y, row.front, f"$y_{{{t}}}$", row.shape, ink)
