"""What is painted on the skin: eyes, brows, nostrils, mouth, beard, in the head's own frame.

Colours are linear light. Every feature is a function of the head's X and Y of the visible point,
so it turns with the head and its landmark is where the same functions have their centre or corner.
"""

import math
from functools import lru_cache

import numpy as np

from dclib.data.portrait.canvas import Layer, View
from dclib.data.portrait.head import Colour, Head, features

WHITE: Colour = (238, 232, 226)
DARK: Colour = (26, 14, 12)
TEETH: Colour = (240, 236, 222)
FOLD = np.array([0.42, 0.28, 0.26], dtype=np.float32)  # what folds and hollows leave of the skin
LIPS = np.array([0.80, 0.42, 0.42], dtype=np.float32)  # and lips
_NOISE = np.random.Generator(np.random.Philox(key=7)).uniform(-1, 1, 4096).astype(np.float32)


@lru_cache
def linear(colour: Colour) -> np.ndarray:
    """Screen values 0..255 to linear light 0..1, (3,); the screen's curve is taken as a square."""
    return (np.array(colour, dtype=np.float32) / 255) ** 2


def mix(paint: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> None:
    """Lays `colour` (3,) over `paint` (3, h, w), `alpha` (h, w) opaque."""
    change = colour[:, None, None] - paint
    change *= alpha
    paint += change


def inside(distance: np.ndarray, soft: float) -> np.ndarray:
    """1 well inside an outline, 0 well outside, half on it: `soft` is the width of the edge."""
    share = distance * (1 / soft)
    share += 0.5
    return np.minimum(np.maximum(share, 0, out=share), 1, out=share)


def bell(u: np.ndarray, v: np.ndarray | float = 0.0) -> np.ndarray:
    return np.exp(-(u * u + v * v))


def noise(u: np.ndarray) -> np.ndarray:
    """Smooth noise in -1..1 along one coordinate, about one bump per unit."""
    low = np.floor(u)
    share = u - low
    share *= share * (3 - 2 * share)
    at = low.astype(np.int32) & 4095
    left = _NOISE[at]
    return left + share * (_NOISE[(at + 1) & 4095] - left)


class Skin:
    """The visible skin: its points in the head's frame and what is painted on them."""

    def __init__(self, head: Head, layer: Layer, rays: View) -> None:
        self.head = head
        self.soft = rays.soft
        self._rays = rays
        self._layer = layer
        self.paint = np.empty_like(layer.points)  # (3, h, w)
        self.paint[:] = linear(head.skin)[:, None, None]

    def near(self, at: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The head's X and Y, and the paint, of the rays within `reach` of `at`."""
        part = self._layer.part(self._rays.near(at, reach))
        x, y, _ = self._layer.points[:, *part]
        return x, y, self.paint[:, *part]


def eye(skin: Skin, at: np.ndarray, side: int) -> None:
    """The eye on the image's left (-1) or right (1), with its socket and brow."""
    head = skin.head
    x, y, paint = skin.near(at, 0.75)
    _socket(head, paint, *_in_eye(head, x, y, side))
    _brow(skin, paint, side * x, y)
    x, y, paint = skin.near(at, 0.33)
    _eyeball(skin, paint, *_in_eye(head, x, y, side), side)


def _half_width(head: Head) -> float:
    return 0.235 + 0.012 * head.eye_size


def _in_eye(head: Head, x: np.ndarray, y: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of one eye, in its half widths: u grows outwards, v downwards."""
    middle, half = features(head)["eye"], _half_width(head)
    u = (side * x - middle[0]) / half
    return u, (y - middle[1]) / half + 0.08 * (head.eye_tilt + 0.5) * u


def _eyeball(skin: Skin, paint: np.ndarray, u: np.ndarray, v: np.ndarray, side: int) -> None:
    """White, iris, lashes and the crease of the lid."""
    head = skin.head
    soft = skin.soft / _half_width(head)
    bow = np.maximum(1 - u * u, -0.3)
    upper = -(0.36 + 0.10 * head.lids) * bow * (1 - 0.12 * u)
    lower = (0.30 - 0.10 * head.smile) * bow
    edge = np.clip(1.15 - np.abs(u), 0, 0.15) / 0.15
    crease = edge * inside(0.04 - np.abs(v - upper + 0.22 + 0.1 * u * u), 0.12)
    mix(paint, 0.45 * crease, linear(head.skin) * FOLD)
    opened = inside(np.minimum(v - upper, lower - v), soft) * (np.abs(u) < 1.05)
    mix(paint, opened, 0.8 * linear(WHITE))
    shadow = np.clip(1 - (v - upper) / 0.45, 0, 1)
    mix(paint, opened * (0.55 * shadow + 0.25 * np.abs(u) ** 3), linear((120, 90, 80)))
    gaze = 0.10 * head.gaze[0] * head.side * side
    _iris(head, paint, u - gaze, v - 0.03 - 0.05 * head.gaze[1], opened, soft, side)
    lash = 0.05 + 0.05 * head.femininity
    line = inside(lash * (1.1 + 0.5 * u) - np.abs(v - upper + lash / 2), soft)
    mix(paint, edge * line, linear(DARK))
    mix(paint, 0.35 * edge * inside(0.03 - np.abs(v - lower), soft + 0.05), linear(DARK))


def _socket(head: Head, paint: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    deep = linear(head.skin) * FOLD
    mix(paint, 0.45 * bell((u + 0.2) / 1.1, (v + 0.42) / 0.55), deep)
    mix(paint, 0.22 * bell((u - 0.05) / 0.9, (v - 0.62) / 0.22), deep)


def _iris(
    head: Head,
    paint: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    opened: np.ndarray,
    soft: float,
    side: int,
) -> None:
    r = np.sqrt(u * u + v * v)
    colour = linear(head.iris)
    mix(paint, opened * inside(0.42 - r, soft), 0.35 * colour)
    mix(paint, opened * inside(0.35 - r, soft + 0.1), 1.5 * colour)
    mix(paint, opened * inside(0.18 - r, soft), linear((10, 8, 8)))
    glint_x = 0.13 * side * head.side * math.copysign(1, head.azimuth)
    glint = np.sqrt((u - glint_x) ** 2 + (v + 0.15) ** 2)
    mix(paint, 0.95 * opened * inside(0.10 - glint, soft), np.full(3, 1.3, dtype=np.float32))


def _brow(skin: Skin, paint: np.ndarray, out: np.ndarray, y: np.ndarray) -> None:
    head = skin.head
    t = (out - 0.17) / 0.66  # 0 at the inner end, 1 at the outer
    middle = -0.30 - 0.03 * head.brow_height - 0.04 * head.femininity
    line = middle - 0.11 * (1 - ((t - 0.62) / 0.62) ** 2) + 0.02 * (1 - t)
    weight = 0.058 + 0.010 * head.brow_weight - 0.030 * (head.femininity - 0.5)
    tapered = max(weight, 0.022) * np.clip(1.15 - 0.75 * t, 0, 1)
    ends = np.clip(6 * (t + 0.02), 0, 1) * np.clip(6 * (1.03 - t), 0, 1)
    strands = 0.82 + 0.12 * noise(40 * (out + 0.6 * y))
    alpha = ends * strands * inside(tapered - np.abs(y - line), skin.soft + 0.035)
    mix(paint, alpha, 0.6 * linear(head.hair) + 0.08 * linear(head.skin))


def nose(skin: Skin, at: np.ndarray) -> None:
    """Nostrils, the creases of the wings and the shadow below the tip."""
    head = skin.head
    x, y, paint = skin.near(at, 0.45)
    tip = features(head)["nose"][1]
    wide = 1 + 0.10 * head.nose_width - 0.12 * (head.femininity - 0.5)
    deep = linear(head.skin) * np.array([0.30, 0.18, 0.17], dtype=np.float32)
    mix(paint, 0.35 * bell(x / 0.24, (y - tip - 0.20) / 0.09), deep)
    for side in (-1, 1):
        u = side * x
        mix(paint, 0.9 * bell((u - 0.095 * wide) / 0.055, (y - tip - 0.125) / 0.033), deep)
        mix(paint, 0.45 * bell((u - 0.275 * wide) / 0.035, (y - tip - 0.06) / 0.10), deep)
        # the blush of the wing
        mix(paint, 0.10 * bell((u - 0.17) / 0.1, (y - tip - 0.04) / 0.1), linear((200, 80, 70)))


def cheeks(skin: Skin, at: np.ndarray) -> None:
    """Blush, and the folds from the nose past the mouth that a smile deepens."""
    head = skin.head
    x, y, paint = skin.near(at, 1.2)
    out = np.abs(x)
    rosy = linear(head.skin) * np.array([1.0, 0.62, 0.60], dtype=np.float32)
    mix(paint, (0.30 + 0.35 * head.femininity) * bell((out - 0.62) / 0.34, (y - 0.52) / 0.28), rosy)
    corner = features(head)["corner"]
    t = (y - 0.68) / (corner[1] - 0.62)  # 0 at the wing, 1 beside the corner
    line = 0.30 + (corner[0] + 0.06 - 0.30) * np.clip(t, 0, 1.3) ** 0.8
    fade = np.clip(4 * t, 0, 1) * np.clip(3 * (1.25 - t), 0, 1)
    deep = linear(head.skin) * FOLD
    mix(paint, (0.10 + 0.42 * head.smile) * fade * bell((out - line) / 0.05), deep)


def beard(skin: Skin, at: np.ndarray) -> None:
    """Beard and moustache, from a shadow to full."""
    head = skin.head
    if not head.beard:
        return
    x, y, paint = skin.near(at, 1.4)
    out = np.abs(x)
    corner = features(head)["corner"]
    jaw = inside(y - 1.10 + 0.75 * np.clip(out - 0.30, 0, 0.8), 0.22)
    lip = inside(np.minimum(y - 0.83, corner[0] + 0.10 - out), 0.12) * inside(1.5 - y, 0.2)
    x = head.side * x
    strands = 0.88 + 0.25 * noise(30 * x + 12 * y) * noise(26 * y - 9 * x)
    alpha = np.maximum(jaw, lip) * (0.18 + 0.72 * head.beard**1.5) * strands
    mix(paint, alpha, 0.7 * linear(head.hair))


def mouth(skin: Skin, at: np.ndarray) -> None:
    """Lips, and teeth where they part; the corners are the landmarks."""
    head = skin.head
    x, y, paint = skin.near(at, 0.65)
    half, corner = features(head)["corner"]
    u = x / half
    bow = np.maximum(1 - u * u, 0)
    full = 1 + 0.14 * head.lips + 0.25 * (head.femininity - 0.5)
    gap = 0.26 * head.opening * bow
    sag = 0.012 + 0.085 * head.smile - 0.25 * 0.26 * head.opening
    line = corner + sag * bow  # under the upper lip
    top = line - full * (0.105 - 0.02 * head.smile) * bow * (1 - 0.22 * bell(u / 0.16))
    bottom = line + gap + full * 0.125 * bow**0.8
    soft = skin.soft
    mix(paint, 0.35 * bell(u / 0.8, (y - bottom - 0.10) / 0.06), linear(head.skin) * FOLD)
    red = 0.30 * head.femininity
    lips = (1 - red) * (1 - red / 2) * linear(head.skin) * LIPS + red * linear((176, 48, 62))
    across = inside(1.0 - np.abs(u), soft / half)
    mix(paint, across * inside(np.minimum(y - top, bottom - y), soft + 0.015), lips)
    mix(paint, across * 0.5 * inside(np.minimum(y - top, line - y), soft + 0.02), lips * 0.6)
    shine = bell(u / 0.45, (y - line - gap - 0.055 * full) / 0.028)
    mix(paint, 0.20 * shine, np.full(3, 0.9, dtype=np.float32))
    parted = across * inside(np.minimum(y - line, line + gap - y), soft)
    mix(paint, parted, linear((60, 16, 18)))
    if head.opening:
        teeth = inside(np.minimum(y - line, line + 0.62 * gap - y), soft + 0.01)
        teeth *= np.abs(u) < 0.86
        mix(paint, teeth, 0.85 * linear(TEETH))
        mix(paint, 0.45 * teeth * u * u, linear(DARK))
    crease = across * inside(0.016 - np.abs(y - line), soft + 0.02)
    mix(paint, (0.75 if not head.opening else 0.35) * crease, linear((58, 18, 18)))
    mix(paint, 0.6 * bell((np.abs(u) - 1) / 0.09, (y - corner) / 0.035), linear((70, 26, 24)))
