"""Rays, light and depth: how surfaces become a picture."""

from dataclasses import dataclass

import numpy as np

from dclib.data.portrait.head import SHARE, Head, placed
from dclib.data.portrait.surface import Ellipsoids, Seen, cast

FINE = 2  # rays per pixel, along each axis
AHEAD = np.array([0, 0, 1], dtype=np.float32)  # towards the viewer
Window = tuple[slice, slice]


@dataclass(frozen=True)
class View:
    """The rays: where they pass the plane through the head's pivot, in the head's lengths."""

    x: np.ndarray  # (w,) float32
    y: np.ndarray  # (h,) float32
    soft: float  # from one to the next

    def near(self, at: np.ndarray, reach: float) -> Window:
        """The rays within `reach` of `at`, along both axes."""
        return self._within(at[:2] - reach, at[:2] + reach)

    def around(self, shape: Ellipsoids) -> Window:
        """The rays that may meet a shape in the viewer's frame."""
        reach = np.sqrt(shape.spreads[:, [0, 1], [0, 1]])
        centres = shape.centres[:, :2]
        return self._within((centres - reach).min(axis=0), (centres + reach).max(axis=0))

    def grid(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """The window's x (1, w) and y (h, 1)."""
        rows, columns = window
        return self.x[None, columns], self.y[rows, None]

    def _within(self, low: np.ndarray, high: np.ndarray) -> Window:
        columns = np.searchsorted(self.x, [low[0], high[0]])
        rows = np.searchsorted(self.y, [low[1], high[1]])
        return slice(*rows), slice(*columns)


def view(head: Head, size: int, resolution: int) -> View:
    """Rays of a picture `size` pixels wide, centred on the window of `resolution` pixels."""
    pixels = (np.arange(FINE * size) + 0.5) / FINE - (size - resolution) / 2
    unit = SHARE * head.size
    x, y = (
        ((pixels / resolution - 0.5 - shift) / unit).astype(np.float32) for shift in placed(head)
    )
    return View(x, y, 1 / (FINE * resolution * unit))


@dataclass(frozen=True)
class Layer:
    """One surface in the picture: where, how it faces, and its points in its own frame."""

    window: Window
    seen: Seen
    points: np.ndarray  # (3, h, w)

    def part(self, window: Window) -> Window:
        """The part of the layer in a window of the picture."""
        rows, columns = (
            slice(max(wanted.start - own.start, 0), max(wanted.stop - own.start, 0))
            for wanted, own in zip(window, self.window, strict=True)
        )
        return rows, columns


class Canvas:
    """The light that reaches the lens along each ray, and the depth it comes from."""

    def __init__(self, head: Head, rays: View, backdrop: np.ndarray) -> None:
        self.rays = rays
        self.rgb = backdrop  # (3, h, w) linear light
        self.depth = np.full(backdrop.shape[1:], -np.inf, dtype=np.float32)
        azimuth, elevation = np.radians([head.side * head.azimuth, head.elevation])
        level = np.cos(elevation)
        self.light = np.array(
            [np.sin(azimuth) * level, -np.sin(elevation), np.cos(azimuth) * level], np.float32
        )
        warm = 0.06 * head.warmth
        self.key = (0.75 + 0.75 * head.hardness) * np.array([1 + warm, 1, 1 - warm], np.float32)
        self.sky = (0.75 - 0.48 * head.hardness) * np.array([1, 1, 1.04], np.float32)

    def layer(self, shape: Ellipsoids, turn: np.ndarray, origin: np.ndarray) -> Layer:
        """What is seen of a shape that `turn` (3, 3) turns about `origin` (3,) of its frame."""
        turned = shape.seen(turn, origin)
        window = self.rays.around(turned)
        x, y = self.rays.grid(window)
        seen = cast(turned, x[0], y[:, 0])
        z = np.maximum(seen.depth, -9)
        points = np.empty((3, *z.shape), dtype=np.float32)
        for point, (a, b, c), start in zip(points, turn.T.astype(np.float32), origin, strict=True):
            np.multiply(z, c, out=point)
            point += a * x + float(start)
            point += b * y
        return Layer(window, seen, points)

    def add(
        self,
        window: Window,
        seen: Seen,
        colour: np.ndarray,
        cover: np.ndarray | float = 1.0,
        gloss: float = 0.0,
        blood: float = 0.0,
    ) -> None:
        """Lights a surface of `colour` (3, h, w) and lays it over what is farther away.

        Args:
            cover: how much of each ray the surface stops, 0 to 1.
            gloss: how much it shines.
            blood: how far red light bleeds under it into the shade.
        """
        depth, rgb = self.depth[window], self.rgb[:, *window]
        nearer = seen.depth > depth
        cover = cover * nearer
        facing = _along(self.light, seen.normal)
        above = 0.85 - 0.15 * seen.normal[1]
        shine = np.maximum(_along(_unit(self.light + AHEAD), seen.normal), 0)
        shine *= shine * shine
        shine *= shine
        shine *= shine
        shine *= gloss * shine
        for channel, wrap in enumerate((0.10 + blood, 0.10 + blood / 3, 0.10)):
            out = np.maximum((facing + wrap) * (self.key[channel] / (1 + wrap)), 0)
            out += self.sky[channel] * above
            out *= colour[channel]
            out += self.key[channel] * shine
            out -= rgb[channel]
            out *= cover
            rgb[channel] += out
        np.copyto(depth, seen.depth, where=cover > 0.5)


def _along(direction: np.ndarray, normal: np.ndarray) -> np.ndarray:
    x, y, z = direction.tolist()
    share = x * normal[0]
    share += y * normal[1]
    share += z * normal[2]
    return share


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
