"""Section 3: Fig. 1 and Fig. 2, drawn from the modules that are trained.

Names, numbers of maps and kernels are read from the modules, and sizes are found by running them on
the meta device, which costs nothing: what changes in the code changes in the picture.
"""

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import fx

from dclib.block import CollaborativeBlock
from dclib.network import Network
from dclib.splitting.series import shapes
from dclib.study.figures import layers, sketch
from dclib.study.figures.collaboration import fig1
from dclib.study.figures.layers import Residual, Step
from dclib.study.figures.sketch import (
    CARD,
    LINE,
    SHARED,
    arrow,
    box,
    card,
    dark,
    dot,
    label,
    maps,
    pill,
    plus,
    task_colour,
    text,
    turned,
)
from dclib.tasks import Task

__all__ = ["fig1", "fig2"]

# In inches.
FIRST, PITCH, TASK = 1.82, 0.94, 0.58  # to block 1, from block to block, from task to task
JOIN, BAR = 0.66, 0.22  # from a block to what joins the columns; its width
ROWS, DETAIL, HEAD = 3.05, 1.5, 0.38  # heights: where rows begin, the block and the head in detail

Columns = Sequence[tuple[float, str]]  # the height and the colour of each


def fig2(net: Network, resolution: int = 112, detail: int = 3) -> Figure:
    """Fig. 2: the blocks of each column, interleaved with collaborative blocks, up to the heads.

    Below, one block and the head of the first task in detail.

    Args:
        net: a DCNet of `dclib.build`.
        resolution: side of its input in pixels.
        detail: which block to show in detail, counted from 1.

    Raises:
        ValueError: another method; columns that differ, or blocks that torch.fx has cut, whose
            layers do not tell the order in which they run.
    """
    kinds = {tuple(type(part) for part in column.modules()) for column in net.columns}
    joined = all(isinstance(mixer, CollaborativeBlock) for mixer in net.mixers)
    if not joined or len(kinds) > 1 or fx.GraphModule in next(iter(kinds)):
        raise ValueError(
            "Fig. 2 is drawn for a DCNet, of columns that are alike and made of layers in the order"
            " of their use: see the table of `dclib.splitting.series.split` for others"
        )
    blocks = list(net.columns[0].children())
    found = shapes(net.columns[0], resolution)  # type: ignore[arg-type]
    tasks, depths = len(net.tasks), len(net.mixers)
    columns = [(ROWS + TASK * (tasks - t - 0.5), task_colour(t)) for t in range(tasks)]
    middle = (columns[0][0] + columns[-1][0]) / 2
    last = FIRST + depths * PITCH  # where the heads stand
    block = layers.parts(blocks[detail - 1])
    fig, ax = sketch.sheet(max(last + 1.6, _width(block)), ROWS + tasks * TASK + 0.5)

    _, edge = maps(ax, 0.36, middle, 0.5, [(SHARED, 0.05)])
    label(ax, 0.48, middle, 0.5, "image", (3, resolution, resolution))
    for y, _ in columns:
        arrow(ax, turned((edge, middle), 1.0, (FIRST, y)), SHARED)
    above = ROWS + tasks * TASK + 0.32
    text(ax, 0.08, above - LINE, "maps × h × w", SHARED, ha="left")
    for d, mixer in enumerate(net.mixers):
        x, shape = FIRST + d * PITCH, found[d]
        text(ax, x + 0.14, above, f"Block {d + 1}", fontweight="bold")
        text(ax, x + 0.14, above - LINE, layers.by(shape))
        front = 0.14 + 0.22 * shape[1] / found[0][1]
        for y, colour in columns:
            _, edge = maps(ax, x, y, front, [(colour, 0.05 * math.log2(shape[0]) - 0.16)])
            arrow(ax, [(edge, y), (x + JOIN - BAR / 2, y)], colour)
            arrow(ax, [(x + JOIN + BAR / 2, y), (x + PITCH, y)], colour)
        _mixer(ax, x + JOIN, columns, mixer.central[0].out_channels)  # type: ignore[index,union-attr]
    low = columns[-1][0] - 0.43
    text(ax, FIRST + JOIN - 0.41, low, "collaborative block", SHARED, ha="right")
    for task, (y, colour) in zip(net.tasks, columns, strict=True):
        text(ax, 1.07, y + 0.1, task.name, dark(colour), ha="left", fontweight="bold")
        _head(ax, last, y, task, colour)
    _details(ax, net, block, detail, columns[0][1])
    return fig


def _mixer(ax: Axes, x: float, columns: Columns, central: int) -> None:
    """A collaborative block at a depth: its central aggregation, with so many maps, and others."""
    high, low = columns[0][0] + 0.24, columns[-1][0] - 0.24
    box(ax, x, (high + low) / 2, BAR, high - low, SHARED, fill=0.25, zorder=4)
    for y, colour in columns:
        box(ax, x, y, BAR - 0.08, BAR - 0.04, colour, fill=0.6, edge=1.0, zorder=5)
    text(ax, x, low - 0.19, f"$z$: {central} maps")


def _head(ax: Axes, x: float, y: float, task: Task, colour: str) -> None:
    box(ax, x + 0.25, y, 0.5, 0.32, colour)
    text(ax, x + 0.25, y, "head", fontweight="bold")
    arrow(ax, [(x + 0.5, y), (x + 0.72, y)], colour)
    logits = task.shape(torch.zeros(1, task.outputs))
    text(ax, x + 0.77, y, layers.by(tuple(logits.shape[1:])), ha="left")


# The lower part of Fig. 2: steps in a line.


def _details(
    ax: Axes, net: Network, block: Sequence[Step | Residual], detail: int, colour: str
) -> None:
    right = ax.get_xlim()[1] - 0.08
    sketch.heading(ax, 0.08, right, DETAIL + 0.92, f"Block {detail} of each column")
    _flow(ax, 0.2, DETAIL, block, colour)
    sketch.heading(ax, 0.08, right, HEAD + 0.55, f"Head of {net.tasks[0].name}")
    half = pill(ax, 0.72, HEAD, "spatial mean", colour)
    _flow(ax, 0.72 + half, HEAD, layers.parts(net.heads[0]), task_colour(0))


def _width(parts: Sequence[Step | Residual]) -> float:
    return 0.6 + sum(2.8 if isinstance(part, Residual) else 0.96 for part in parts)


def _flow(ax: Axes, x: float, y: float, parts: Sequence[Step | Residual], colour: str) -> None:
    """Steps from left to right, with shortcuts above them."""

    def forward(x: float, step: Step) -> float:
        arrow(ax, [(x, y), (x + 0.18, y)], colour)
        card(ax, x + 0.18 + CARD / 2, y, step, colour)
        return x + 0.18 + CARD

    for part in parts:
        if isinstance(part, Step):
            x = forward(x, part)
            continue
        fork, skip = x + 0.06, y + 0.54
        dot(ax, fork, y, colour)
        for step in part.steps:
            x = forward(x, step)
        end = x + 0.26
        radius = plus(ax, end, y, colour)
        arrow(ax, [(x, y), (end - radius, y)], colour)
        arrow(ax, [(fork, y), (fork, skip), (end, skip), (end, y + radius)], colour)
        for step in part.shortcut:
            words = ", ".join((step.title, *step.lines[1:], *step.followers))
            pill(ax, (fork + end) / 2, skip, words, colour)
        half = pill(ax, end + 0.44, y, "ReLU", colour)
        arrow(ax, [(end + radius, y), (end + 0.44 - half, y)], colour)
        x = end + 0.44 + half
    arrow(ax, [(x, y), (x + 0.18, y)], colour)
