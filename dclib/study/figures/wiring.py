"""A picture of how a method is wired, drawn from what `dclib.study.figures.structure` reads."""

import re
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import Circle

from dclib.study.figures.connections import Join
from dclib.study.figures.sketch import (
    INK,
    SHARED,
    Colour,
    Point,
    arrow,
    box,
    dot,
    maps,
    mixed,
    task_colour,
    text,
)
from dclib.study.figures.structure import Structure

# In inches.
IMAGE, FIRST, PITCH = 0.12, 0.92, 0.92  # to the image, to block 1, from block to block
LOW, HIGH = 0.36, 0.10  # below the last row, above the first
ROW, WIDE = 0.46, 0.60  # from row to row; the same where something lies between rows
JOIN, BAR = 0.57, 0.30  # from a block to what joins the columns; its width
FRONTS, THICK = (0.36, 0.28, 0.21), (0.07, 0.10, 0.14)  # of the maps after each block
LANE = 0.28  # of what passes by the blocks, above its row
FORK, MEET, HEAD, NAME = 0.06, 0.24, 0.50, 1.00  # behind the last block
CELL = 0.12  # side of what stands for features


class Wiring:
    """Where everything in the picture of a structure is, in inches.

    Each row of solids is a column, its feature maps after each block; it has the colour of the task
    that it belongs to, or is grey where it belongs to several.
    """

    def __init__(self, found: Structure) -> None:
        self.found = found
        self.last = len(found.joins) - 1
        self.readers = [
            {t for t, places in enumerate(found.reads) if (c, self.last) in places}
            for c in range(found.columns)
        ]
        self.shared = [c for c, readers in enumerate(self.readers) if len(readers) != 1]
        passing = any(d < self.last for places in found.reads for _, d in places)
        self.lanes = bool(self.shared) and passing and not found.same  # of tasks, beside a column
        above = len(self.shared) if self.lanes or len(self.shared) < found.columns else 0
        between = (passing and not self.shared) or found.ties.columns
        pitch, count = WIDE if between else ROW, len(found.reads) + above
        low = LOW if self.notes() else HIGH
        places = [low + pitch * (k + 0.5) for k in reversed(range(count))]
        self.rows = places[above:]  # of the tasks
        middle = (self.rows[0] + self.rows[-1]) / 2
        shared = dict(zip(self.shared, places if above else [middle] * count, strict=False))
        self.ys = [
            shared[c] if c in shared else self.rows[min(readers)]
            for c, readers in enumerate(self.readers)
        ]
        self.height = low + HIGH + pitch * count
        self.end = self.x(self.last) + JOIN + BAR / 2
        self.width = self.end + HEAD + 0.46  # without words
        joins = [join.maps for join in found.joins if not join.apart]
        self.parts = joins[0] if len(set(joins)) == 1 else 1  # that each column is divided into

    def joined(self, depth: int) -> bool:
        return not self.found.joins[depth].apart

    def x(self, depth: int) -> float:
        """The left edge of the maps after a block."""
        return FIRST + PITCH * depth

    def behind(self, depth: int) -> float:
        """Where the maps after a block, and after what joins the columns there, can be had."""
        return self.x(depth) + (JOIN + BAR / 2 + 0.05 if self.joined(depth) else 0.30)

    def colour(self, column: int) -> str:
        return SHARED if column in self.shared else task_colour(min(self.readers[column]))

    def draw(self, ax: Axes) -> None:
        """The picture, without a word."""
        middle = (max(self.ys) + min(self.ys)) / 2
        _, edge = maps(ax, IMAGE, middle, 0.36, [(SHARED, 0.04)])
        for y in self.ys:
            arrow(ax, _turned((edge, middle), 0.5, (FIRST - 0.02, y)), SHARED)
        for c in range(self.found.columns):
            self._column(ax, c)
        for depth, join in enumerate(self.found.joins):
            if not join.apart:
                self._join(ax, self.x(depth) + JOIN, join)
        for t in range(len(self.rows)):
            self._head(ax, t)
            if self.lanes:
                self._lane(ax, t)
            else:
                self._ways(ax, t)
        self._ties(ax)
        self._stages(ax)

    def _column(self, ax: Axes, c: int) -> None:
        """The chain of blocks."""
        y, colour = self.ys[c], self.colour(c)
        shades = [mixed(colour, 1 - 0.5 * k / self.parts) for k in range(self.parts)]
        for d, (front, thick) in enumerate(zip(FRONTS, THICK, strict=True)):
            _, edge = maps(ax, self.x(d), y, front, [(s, thick / self.parts) for s in shades])
            end = self.behind(d) if self.lanes and c in self.shared else self.end + FORK
            to = self.x(d + 1) - 0.02 if d < self.last else end
            arrow(ax, [(edge, y), (to, y)], colour, head=d < self.last)

    def _join(self, ax: Axes, x: float, join: Join) -> None:
        """What joins the columns: lines from where to where, or a centre that all go through."""
        pairs = [(s, t) for t, row in enumerate(join.reads) for s, on in enumerate(row) if on]
        touched = [self.ys[c] for s, t in pairs if s != t for c in (s, t)]
        low, high = min(touched), max(touched)
        middle, left, right = (low + high) / 2, x - BAR / 2, x + BAR / 2
        box(ax, x, middle, BAR, high - low + 0.34, SHARED, fill=0.16, zorder=2.5)
        own = join.maps > 1 and self.parts == 1  # the columns that read others have weights for it
        boxes = {t for s, t in pairs if s != t} if own else set()

        def line(start: Point, end: Point, colour: Colour) -> None:
            ends = ([start[0], end[0]], [start[1], end[1]])
            ax.plot(*ends, color=colour, linewidth=1.0, zorder=3, solid_capstyle="butt")

        if join.central:
            hub = (left + 0.09, middle)
            for c, y in enumerate(self.ys):
                line((left, y), hub, self.colour(c))
                line(hub, (right, y), SHARED)
            ax.add_patch(Circle(hub, 0.065, facecolor=SHARED, edgecolor="white", zorder=4))
        else:
            offsets = [0.09 * (k - (self.parts - 1) / 2) for k in range(self.parts)]
            for s, t in pairs:
                inner = right - CELL if t in boxes else right
                for a in offsets:
                    for b in offsets:
                        line((left, self.ys[s] + a), (inner, self.ys[t] + b), self.colour(s))
        for t in boxes:
            box(ax, right - CELL / 2, self.ys[t], CELL, 0.17, self.colour(t), fill=0.6, edge=1)

    def _head(self, ax: Axes, t: int) -> None:
        x, y, colour = self.end + HEAD + 0.15, self.rows[t], task_colour(t)
        box(ax, x, y, 0.3, 0.22, colour, fill=0.35)
        arrow(ax, [(x + 0.15, y), (x + 0.29, y)], colour)
        if self.found.stops and t:
            _sign(ax, x, y, (8, 0, 22.5), 8)

    def _ways(self, ax: Axes, t: int) -> None:
        """All that leads from the columns to a head."""
        found, y, colour = self.found, self.rows[t], task_colour(t)
        head, meet = self.end + HEAD, self.end + MEET
        first = t == 0 or not found.same  # what all heads get is drawn once
        direct = sorted((c for c, d in found.reads[t] if d == self.last), key=self.shared.count)
        weights = (found.own or found.common) and len(direct) == 1
        fork = meet + CELL / 2 + 0.05 if weights and found.same else self.end + FORK
        for c, d in sorted(found.reads[t]) if first else ():
            if d < self.last:
                at, low, high = self.behind(d), self.ys[c], self.ys[c] + LANE
                dot(ax, at, low, self.colour(c))
                path = [(at, low), (at, high), (meet, high), (meet, low + 0.09)]
                arrow(ax, path, self.colour(c))
        for k, c in enumerate(direct):  # the task's own column first
            at = meet + CELL * (k - (len(direct) - 1) / 2)
            if k and self.ys[c] != y:
                arrow(ax, [(fork, self.ys[c]), (at, self.ys[c]), (at, y)], SHARED, head=False)
            elif not k:
                if weights and found.same and first:
                    arrow(
                        ax, [(self.end, self.ys[c]), (fork, self.ys[c])], self.colour(c), head=False
                    )
                arrow(ax, _turned((fork, self.ys[c]), fork, (head, y)), colour)
            if len(direct) > 1:
                box(ax, at, y, CELL, 0.17, self.colour(c), fill=0.6, edge=1, zorder=4)
        if weights and first:
            where, tint = (self.ys[direct[0]], SHARED) if found.same else (y, colour)
            box(ax, meet, where, CELL, 0.18, tint, fill=0.6, edge=1, zorder=4)

    def _lane(self, ax: Axes, t: int) -> None:
        """A path of the task's own, that reads the maps of a shared column at several depths."""
        y, colour = self.rows[t], task_colour(t)
        places = sorted(self.found.reads[t])
        for c, d in places:
            dot(ax, self.behind(d), self.ys[c], SHARED)
            arrow(ax, [(self.behind(d), self.ys[c]), (self.behind(d), y + 0.1)], SHARED)
        start = min(self.behind(d) for _, d in places)
        arrow(ax, [(start, y), (self.end + HEAD, y)], colour)
        for _, d in places:
            box(ax, self.behind(d), y, 0.18, 0.2, colour, fill=0.6, edge=1, zorder=4)

    def _ties(self, ax: Axes) -> None:
        """Dashes along which a penalty acts."""
        ties, meet = self.found.ties, self.end + MEET
        for one, other, d in ties.columns:
            low, high = sorted((self.ys[one], self.ys[other]))
            if not any(low < y < high for y in self.ys):
                half = FRONTS[d] / 2
                _dashes(ax, self.x(d) + THICK[d] / 2, low + half + 0.07, high - half - 0.01)
        for d in range(len(self.found.joins)) if ties.within else ():
            for y in self.ys:
                _dashes(ax, self.x(d) + THICK[d] / 2, y - FRONTS[d] / 2, y + FRONTS[d] / 2)
        acted = [self.rows[t] for t in sorted(ties.heads)]
        for high, low in pairwise(acted):
            _dashes(ax, meet if self.found.own else meet + 0.35, low + 0.1, high - 0.1)
        for t in ties.features:
            _dashes(ax, meet, self.rows[t] - 0.15, self.rows[t] + 0.15)
        if ties.judge:
            y = max(self.ys)
            ax.plot([self.end, meet + 0.2], [y, y], color=INK, linewidth=1.4, dashes=(2.0, 1.2))
            box(ax, meet + 0.35, y, 0.3, 0.22, SHARED, fill=0.0)

    def _stages(self, ax: Axes) -> None:
        """Numbers that say what is trained first, and what then."""
        order = self.found.order
        if order.stages == 1:
            return
        places = [(FIRST - 0.22, y, stage) for y, stage in zip(self.ys, order.columns, strict=True)]
        if order.joins not in order.columns:
            top = max(self.ys) + 0.16
            joined = [d for d in range(len(self.found.joins)) if self.joined(d)]
            places += [(self.x(d) + JOIN, top, order.joins) for d in joined]
        for x, y, stage in places:
            _sign(ax, x, y, "o", 11)
            text(ax, x, y - 0.008, str(stage + 1), fontsize=8)

    def notes(self) -> list[str]:
        """What joins the columns, by its class, and what the signs in this picture mean."""
        names = [_words(join.kind) for join in self.found.joins if not join.apart]
        signs = {
            "dashes: a penalty": self.found.ties,
            "numbers: the order of training": self.found.order.stages > 1,
            "octagons: may end early": self.found.stops,
        }
        return [*dict.fromkeys(names), *(words for words, there in signs.items() if there)]


def _words(name: str) -> str:
    """The name of a class as words."""
    return name if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _turned(start: Point, turn: float, end: Point) -> list[Point]:
    """From one height to another, with the turn at a place, or straight on."""
    level = abs(start[1] - end[1]) < 1e-6
    return [start, end] if level else [start, (turn, start[1]), (turn, end[1]), end]


def _sign(ax: Axes, x: float, y: float, marker: object, points: float) -> None:
    """A sign that is as large in a small picture."""
    looks = {"markersize": points, "markerfacecolor": "white", "markeredgecolor": INK}
    ax.plot(x, y, marker=marker, zorder=5.5, **looks)  # type: ignore[arg-type]


def _dashes(ax: Axes, x: float, low: float, high: float) -> None:
    ax.plot([x, x], [low, high], color=INK, linewidth=1.4, dashes=(2.0, 1.2), zorder=5.5)
