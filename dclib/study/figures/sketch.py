"""The visual language of the architecture figures: feature maps, layers, additions, arrows.

A sheet is measured in inches, so that sizes of things and of letters keep their proportion.
Each task has a colour; what belongs to all tasks is grey.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from dclib.study.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from dclib.study.figures.layers import Shape, Step, by

INK = "#222222"
SMALL, NORMAL, LARGE = 8.5, 9.5, 11.0  # points
TASKS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
SHARED = GREY
LEAN = (0.20, 0.16)  # how far the back of a feature map is right of and above its front, per height
CURVE = 0.07  # inches that a line takes to turn a corner, on either side of it
LINE = 0.155  # inches between lines of small text
CARD = 0.84  # width of a step's card

Colour = str | tuple[float, float, float]
Point = tuple[float, float]


def task_colour(task: int) -> str:
    """Its colour; beyond six tasks they repeat."""
    return TASKS[task % len(TASKS)]


def mixed(colour: Colour, share: float, other: Colour = "white") -> tuple[float, float, float]:
    """`share` of a colour, the rest of another."""
    pairs = zip(to_rgb(colour), to_rgb(other), strict=True)
    red, green, blue = (share * c + (1 - share) * o for c, o in pairs)
    return red, green, blue


def dark(colour: Colour) -> tuple[float, float, float]:
    """The same colour, legible as text on white."""
    return mixed(colour, 0.72, "black")


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure whose coordinates are inches from the lower left corner."""
    fig = Figure(figsize=(width, height), facecolor="white")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return fig, ax


def text(ax: Axes, x: float, y: float, words: str, colour: Colour = INK, **looks: object) -> None:
    """Words centred at a point, unless `looks` says otherwise."""
    style = {"ha": "center", "va": "center", "fontsize": SMALL, "linespacing": 1.25} | looks
    ax.text(x, y, words, color=colour, zorder=6, **style)  # type: ignore[arg-type]


def heading(ax: Axes, left: float, right: float, y: float, words: str) -> None:
    """Words over a thin line."""
    text(ax, left, y, words, SHARED, ha="left")
    ax.plot([left, right], [y - 0.14, y - 0.14], color=mixed(SHARED, 0.35), linewidth=0.8)


def label(
    ax: Axes,
    x: float,
    y: float,
    front: float,
    name: str,
    shape: Shape,
    colour: Colour = INK,
    *,
    above: bool = False,
    ha: str = "center",
) -> None:
    """The name and the shape of feature maps, below or above them."""
    first = y + front * (0.5 + LEAN[1]) + 0.27 if above else y - front / 2 - 0.12
    text(ax, x, first, name, colour, fontsize=NORMAL, ha=ha)
    text(ax, x, first - LINE - 0.015, by(shape), ha=ha)


def maps(
    ax: Axes, x: float, y: float, height: float, parts: Sequence[tuple[Colour, float]]
) -> Point:
    """Feature maps as a solid: its thickness is their number, its height their size.

    Args:
        x, y: left edge and centre of the front.
        height: of the front.
        parts: colour and thickness of what is concatenated, in order.

    Returns:
        The x of the front's and of the back's right edge.
    """
    low, high = y - height / 2, y + height / 2
    right, up = LEAN[0] * height, LEAN[1] * height
    for colour, width in parts:
        end = x + width
        faces = {  # by their share of the colour
            0.95: [(end, low), (end, high), (end + right, high + up), (end + right, low + up)],
            0.32: [(x, high), (end, high), (end + right, high + up), (x + right, high + up)],
            0.62: [(x, low), (end, low), (end, high), (x, high)],
        }
        for share, outline in faces.items():
            looks: dict[str, Any] = {"facecolor": mixed(colour, share), "edgecolor": "white"}
            looks |= {"linewidth": 0.5, "joinstyle": "round", "zorder": 4}
            ax.add_patch(Polygon(outline, **looks))
        x = end
    return x, x + right


def box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    colour: Colour,
    *,
    fill: float = 0.12,
    edge: float = 0.75,
    zorder: float = 3,
) -> None:
    """A rounded rectangle around a centre, in tints of a colour."""
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={min(0.06, width / 3, height / 3)}",
            facecolor=mixed(colour, fill),
            edgecolor=mixed(colour, edge),
            linewidth=0.8,
            zorder=zorder,
        )
    )


def card(ax: Axes, x: float, y: float, step: Step, colour: Colour) -> None:
    """A step of computation around a centre: its layer in bold, then what it does."""
    height = card_height(step)
    box(ax, x, y, CARD, height, colour)
    top = y + height / 2 - 0.06 - LINE / 2
    text(ax, x, top, step.title, fontweight="bold")
    for row, line in enumerate(step.text, 1):
        text(ax, x, top - row * LINE, line)


def card_height(step: Step) -> float:
    return 0.12 + LINE * (1 + len(step.text))


def pill(ax: Axes, x: float, y: float, words: str, colour: Colour) -> float:
    """A function without weights; returns half its width."""
    width = 0.070 * len(words) + 0.16
    box(ax, x, y, width, 0.24, colour, fill=0.0)
    text(ax, x, y, words)
    return width / 2


def plus(ax: Axes, x: float, y: float, colour: Colour) -> float:
    """An addition; returns its radius."""
    radius = 0.095
    ax.add_patch(
        Circle((x, y), radius, facecolor="white", edgecolor=dark(colour), linewidth=1.1, zorder=5)
    )
    for dx, dy in ((0.055, 0), (0, 0.055)):
        ax.plot([x - dx, x + dx], [y - dy, y + dy], color=dark(colour), linewidth=1.1, zorder=6)
    return radius


def dot(ax: Axes, x: float, y: float, colour: Colour) -> None:
    """Where a line divides."""
    ax.add_patch(Circle((x, y), 0.032, facecolor=colour, edgecolor="none", zorder=3))


def turned(start: Point, turn: float, end: Point) -> list[Point]:
    """The way from one height to another, with the turn at an x, or straight on."""
    level = abs(start[1] - end[1]) < 1e-6
    return [start, end] if level else [start, (turn, start[1]), (turn, end[1]), end]


def arrow(ax: Axes, points: Sequence[Point], colour: Colour, head: bool = True) -> None:
    """A line through points, with rounded corners, in front of the lines drawn before it."""
    way = [np.array(point) for point in points]
    vertices, codes = way[:1], [Path.MOVETO]
    for before, corner, after in zip(way, way[1:], way[2:], strict=False):
        for end in (before, after):
            length = max(np.abs(end - corner).sum(), 1e-9)
            vertices.append(corner + min(0.5, CURVE / length) * (end - corner))
        vertices.insert(-1, corner)
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    path = Path([*vertices, way[-1]], [*codes, Path.LINETO])
    ax.add_patch(PathPatch(path, fill=False, edgecolor="white", linewidth=4.2, zorder=1.9))
    ax.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>,head_length=3.2,head_width=1.7" if head else "-",
            color=colour,
            linewidth=1.3,
            capstyle="butt",
            joinstyle="round",
            zorder=2,
        )
    )


def words(name: str) -> str:
    """The name of a class as words."""
    return name if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
