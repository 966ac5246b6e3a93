"""A picture of how a method is wired, drawn from what `dclib.study.figures.structure` says."""

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import Circle

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
    turned,
    words,
)
from dclib.study.figures.structure import DEPTHS, Structure

# In inches.
IMAGE, FIRST, PITCH = 0.12, 0.92, 0.92  # to the image, to block 1, from block to block
LOW, HIGH = 0.36, 0.10  # below the last row, above the first
ROW, WIDE = 0.46, 0.60  # from row to row; the same where something lies between rows
JOIN, BAR = 0.57, 0.30  # from a block to what joins the columns; its width
FRONTS, THICK = (0.36, 0.28, 0.21), (0.07, 0.10, 0.14)  # of the maps after each block
LANE = 0.28  # of what passes by the blocks, above its row
FORK, MEET, HEAD, NAME = 0.06, 0.24, 0.50, 1.00  # behind the last block
CELL = 0.12  # side of what stands for features
LAST = DEPTHS - 1


class Wiring:
    """Where everything in the picture of a structure is, in inches.

    Each row of solids is a column, its feature maps after each block; it has the colour of the task
    that it belongs to, or is grey where it belongs to several.
    """

    def __init__(self, found: Structure) -> None:
        self.found = found
        self.readers = [
            {t for t, places in enumerate(found.reads) if (c, LAST) in places}
            for c in range(found.columns)
        ]
        self.shared = [c for c, readers in enumerate(self.readers) if len(readers) != 1]
        passing = any(d < LAST for places in found.reads for _, d in places)
        self.lanes = bool(self.shared) and passing and not found.same  # of tasks, beside a column
        above = len(self.shared) if self.lanes or len(self.shared) < found.columns else 0
        between = (passing and not self.shared) or found.tied
        pitch, count = WIDE if between else ROW, len(found.reads) + above
        low = LOW if self.notes() else HIGH
        heights = [low + pitch * (k + 0.5) for k in reversed(range(count))]
        self.rows = heights[above:]  # of the tasks
        middle = (self.rows[0] + self.rows[-1]) / 2
        shared = dict(zip(self.shared, heights if above else [middle] * count, strict=False))
        self.ys = [
            shared[c] if c in shared else self.rows[min(readers)]
            for c, readers in enumerate(self.readers)
        ]
        self.height = low + HIGH + pitch * count
        self.end = self.x(LAST) + JOIN + BAR / 2
        self.width = self.end + HEAD + 0.46  # without words

    def x(self, depth: int) -> float:
        """The left edge of the maps after a block."""
        return FIRST + PITCH * depth

    def behind(self, depth: int) -> float:
        """Where the maps after a block, and after what joins the columns there, can be had."""
        return self.x(depth) + (JOIN + BAR / 2 + 0.05 if self.found.mixer else 0.30)

    def colour(self, column: int) -> str:
        return SHARED if column in self.shared else task_colour(min(self.readers[column]))

    def draw(self, ax: Axes) -> None:
        """The picture, without a word."""
        middle = (max(self.ys) + min(self.ys)) / 2
        _, edge = maps(ax, IMAGE, middle, 0.36, [(SHARED, 0.04)])
        for y in self.ys:
            arrow(ax, turned((edge, middle), 0.5, (FIRST - 0.02, y)), SHARED)
        for c in range(self.found.columns):
            self._column(ax, c)
        for depth in range(DEPTHS) if self.found.mixer else ():
            self._join(ax, self.x(depth) + JOIN)
        for t in range(len(self.rows)):
            self._head(ax, t)
            if self.lanes:
                self._lane(ax, t)
            else:
                self._ways(ax, t)
        self._penalty(ax)
        self._stages(ax)

    def _column(self, ax: Axes, c: int) -> None:
        """The chain of blocks."""
        y, colour, parts = self.ys[c], self.colour(c), self.found.parts or 1
        shades = [mixed(colour, 1 - 0.5 * k / parts) for k in range(parts)]
        for d, (front, thick) in enumerate(zip(FRONTS, THICK, strict=True)):
            _, edge = maps(ax, self.x(d), y, front, [(shade, thick / parts) for shade in shades])
            end = self.behind(d) if self.lanes and c in self.shared else self.end + FORK
            to = self.x(d + 1) - 0.02 if d < LAST else end
            arrow(ax, [(edge, y), (to, y)], colour, head=d < LAST)

    def _join(self, ax: Axes, x: float) -> None:
        """What joins the columns: lines from where to where, or a centre that all go through."""
        found, left, right = self.found, x - BAR / 2, x + BAR / 2
        pairs = [(s, t) for t, row in enumerate(found.hears) for s, on in enumerate(row) if on]
        touched = [self.ys[c] for s, t in pairs if s != t for c in (s, t)]
        low, high = min(touched), max(touched)
        middle = (low + high) / 2
        box(ax, x, middle, BAR, high - low + 0.34, SHARED, fill=0.16, zorder=2.5)
        boxes = {t for s, t in pairs if s != t} if not found.parts else set()  # weights of its own

        def line(start: Point, end: Point, colour: Colour) -> None:
            ends = ([start[0], end[0]], [start[1], end[1]])
            ax.plot(*ends, color=colour, linewidth=1.0, zorder=3, solid_capstyle="butt")

        if found.central:
            hub = (left + 0.09, middle)
            for c, y in enumerate(self.ys):
                line((left, y), hub, self.colour(c))
                line(hub, (right, y), SHARED)
            ax.add_patch(Circle(hub, 0.065, facecolor=SHARED, edgecolor="white", zorder=4))
        else:
            parts = found.parts or 1
            offsets = [0.09 * (k - (parts - 1) / 2) for k in range(parts)]
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
        direct = sorted((c for c, d in found.reads[t] if d == LAST), key=self.shared.count)
        weights = found.between and len(direct) == 1
        fork = meet + CELL / 2 + 0.05 if weights and found.same else self.end + FORK
        for c, d in sorted(found.reads[t]) if first else ():
            if d < LAST:
                at, low, high = self.behind(d), self.ys[c], self.ys[c] + LANE
                dot(ax, at, low, self.colour(c))
                path = [(at, low), (at, high), (meet, high), (meet, low + 0.09)]
                arrow(ax, path, self.colour(c))
        for k, c in enumerate(direct):  # the task's own column first
            at, there = meet + CELL * (k - (len(direct) - 1) / 2), self.ys[c]
            if k and there != y:
                arrow(ax, [(fork, there), (at, there), (at, y)], SHARED, head=False)
            elif not k:
                if weights and found.same and first:
                    arrow(ax, [(self.end, there), (fork, there)], self.colour(c), head=False)
                arrow(ax, turned((fork, there), fork, (head, y)), colour)
            if len(direct) > 1:
                box(ax, at, y, CELL, 0.17, self.colour(c), fill=0.6, edge=1, zorder=4)
        if weights and first:
            where, tint = (self.ys[direct[0]], SHARED) if found.same else (y, colour)
            box(ax, meet, where, CELL, 0.18, tint, fill=0.6, edge=1, zorder=4)

    def _lane(self, ax: Axes, t: int) -> None:
        """A path of the task's own, that reads the maps of a shared column at several depths."""
        y, colour, places = self.rows[t], task_colour(t), sorted(self.found.reads[t])
        for c, d in places:
            dot(ax, self.behind(d), self.ys[c], SHARED)
            arrow(ax, [(self.behind(d), self.ys[c]), (self.behind(d), y + 0.1)], SHARED)
        arrow(ax, [(min(self.behind(d) for _, d in places), y), (self.end + HEAD, y)], colour)
        for _, d in places:
            box(ax, self.behind(d), y, 0.18, 0.2, colour, fill=0.6, edge=1, zorder=4)

    def _penalty(self, ax: Axes) -> None:
        """Dashes along which it acts."""
        found, meet = self.found, self.end + MEET
        for d, (front, thick) in enumerate(zip(FRONTS, THICK, strict=True)):
            at = self.x(d) + thick / 2
            for low, high in (sorted((self.ys[s], self.ys[t])) for s, t in found.tied):
                if not any(low < y < high for y in self.ys):
                    _dashes(ax, at, low + front / 2 + 0.07, high - front / 2 - 0.01)
            for y in self.ys if found.penalty == "within" else ():
                _dashes(ax, at, y - front / 2, y + front / 2)
        for high, low in pairwise(self.rows) if found.penalty == "heads" else ():
            _dashes(ax, meet if found.between == "own" else meet + 0.35, low + 0.1, high - 0.1)
        for y in self.rows if found.penalty == "features" else ():
            _dashes(ax, meet, y - 0.15, y + 0.15)
        if found.judge:
            y = max(self.ys)
            ax.plot([self.end, meet + 0.2], [y, y], color=INK, linewidth=1.4, dashes=(2.0, 1.2))
            box(ax, meet + 0.35, y, 0.3, 0.22, SHARED, fill=0.0)

    def _stages(self, ax: Axes) -> None:
        """Numbers that say what is trained first, and what then."""
        trained, joined = self.found.trained, self.found.joined
        if not max(joined, *trained):
            return
        signs = [(FIRST - 0.22, y, stage) for y, stage in zip(self.ys, trained, strict=True)]
        if joined not in trained and self.found.mixer:
            signs += [(self.x(d) + JOIN, max(self.ys) + 0.16, joined) for d in range(DEPTHS)]
        for x, y, stage in signs:
            _sign(ax, x, y, "o", 11)
            text(ax, x, y - 0.008, str(stage + 1), fontsize=8)

    def notes(self) -> list[str]:
        """What joins the columns, by its class, and what the signs in this picture mean."""
        found = self.found
        signs = {
            words(found.mixer): found.mixer,
            "dashes: a penalty": found.penalty,
            "numbers: the order of training": max(found.joined, *found.trained),
            "octagons: may end early": found.stops,
        }
        return [sign for sign, there in signs.items() if there]


def _sign(ax: Axes, x: float, y: float, marker: object, points: float) -> None:
    """A sign that is as large in a small picture."""
    looks = {"markersize": points, "markerfacecolor": "white", "markeredgecolor": INK}
    ax.plot(x, y, marker=marker, zorder=5.5, **looks)  # type: ignore[arg-type]


def _dashes(ax: Axes, x: float, low: float, high: float) -> None:
    ax.plot([x, x], [low, high], color=INK, linewidth=1.4, dashes=(2.0, 1.2), zorder=5.5)
