"""The skin of a head: one smooth surface around ellipsoids, the same from every side.

Lengths are in inter-ocular distances of the average head. The head's own frame has its origin
between the eyes, X to the right of a picture of it from the front, Y down, Z towards the viewer.
Each ellipsoid i has q_i(p) = 1 on its surface; the skin is where

    sum_i exp(k_i (1 - q_i(p))) = 1,    k_i = SHARPNESS * (mean radius of i) / 2

so the ellipsoids keep their shape and melt into each other over about 1 / SHARPNESS.
"""

from dataclasses import dataclass

import numpy as np

SHARPNESS = 13.0
NEGLIGIBLE = 4.5  # a term below exp(-4.5) is left out
TINY = 1e-12


@dataclass(frozen=True)
class Ellipsoids:
    """n ellipsoids in one frame."""

    centres: np.ndarray  # (n, 3)
    forms: np.ndarray  # (n, 3, 3): q(p) = (p - c)^T form (p - c)
    spreads: np.ndarray  # (n, 3, 3): inverse forms
    sharpness: np.ndarray  # (n,): k_i

    def seen(self, rotation: np.ndarray, origin: np.ndarray) -> "Ellipsoids":
        """The same in the viewer's frame, whose origin is at `origin` (3,) of this one."""
        return Ellipsoids(
            (self.centres - origin) @ rotation.T,
            rotation @ self.forms @ rotation.T,
            rotation @ self.spreads @ rotation.T,
            self.sharpness,
        )


def ellipsoids(rows: list[tuple[float, ...]]) -> Ellipsoids:
    """From rows x, y, z, radius in x, y, z and a tilt in degrees that leans the top backwards."""
    table = np.array(rows)  # (n, 7)
    radii, tilt = table[:, 3:6], np.radians(table[:, 6])
    turn = np.zeros((len(table), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(tilt)
    turn[:, 1, 2], turn[:, 2, 1] = -np.sin(tilt), np.sin(tilt)
    forms, spreads = (
        turn @ (radii[:, :, None] ** power * np.eye(3)) @ turn.transpose(0, 2, 1)
        for power in (-2, 2)
    )
    return Ellipsoids(table[:, :3], forms, spreads, SHARPNESS * np.cbrt(radii.prod(axis=1)) / 2)


def height(shape: Ellipsoids, points: np.ndarray) -> np.ndarray:
    """Depth Z (m,) of the skin at `points` (m, 2), seen along Z."""
    dx, dy = (points[:, None, :] - shape.centres[:, :2]).transpose(2, 0, 1)  # (m, n)
    form, k = shape.forms, shape.sharpness
    a = form[:, 2, 2]
    b = 2 * (form[:, 0, 2] * dx + form[:, 1, 2] * dy)
    c = form[:, 0, 0] * dx**2 + 2 * form[:, 0, 1] * dx * dy + form[:, 1, 1] * dy**2
    under = b**2 - 4 * a * (c - 1)
    front = shape.centres[:, 2] + (np.sqrt(np.maximum(under, 0)) - b) / (2 * a)
    z = np.where(under > 0, front, -np.inf).max(axis=1)  # (m,)
    for _ in range(6):
        along = z[:, None] - shape.centres[:, 2]
        terms = np.exp(k * (1 - (a * along + b) * along - c))  # (m, n)
        slope = (-k * (2 * a * along + b) * terms).sum(axis=1)
        z = z - np.log(terms.sum(axis=1)) * terms.sum(axis=1) / slope
    return z


@dataclass(frozen=True)
class Seen:
    """A surface as seen along parallel rays: depth towards the viewer and unit normals."""

    depth: np.ndarray  # (h, w), -inf where the ray misses
    normal: np.ndarray  # (3, h, w)


def cast(shape: Ellipsoids, x: np.ndarray, y: np.ndarray) -> Seen:
    """Follows the rays at `x` (w,) and `y` (h,), in the viewer's frame, to the skin.

    The outermost single ellipsoid is the first guess. Two Newton steps on the logarithm of the sum,
    which is nearly linear in depth, go from there; the second shares its terms with the normal.
    """
    pieces = _pieces(shape, x, y)
    z = np.full((len(y), len(x)), -np.inf, dtype=np.float32)
    for piece in pieces:
        np.maximum(z[piece.window], piece.front(), out=z[piece.window])
    missed = np.isneginf(z)
    np.copyto(z, 0, where=missed)

    total, slope = np.full_like(z, TINY), np.zeros_like(z)
    for piece in pieces:
        piece.add_term(z[piece.window], total[piece.window], slope[piece.window])
    _step(z, total, slope)

    total, gradient = np.full_like(z, TINY), np.zeros((3, *z.shape), dtype=np.float32)
    for piece in pieces:
        piece.add_gradient(z[piece.window], total[piece.window], gradient[:, *piece.window])
    _step(z, total, gradient[2])
    np.copyto(z, -np.inf, where=missed)
    gradient /= -np.sqrt(np.einsum("chw,chw->hw", gradient, gradient)) - TINY
    return Seen(z, gradient)


def _step(z: np.ndarray, total: np.ndarray, slope: np.ndarray) -> None:
    """Moves depths `z` towards a sum of 1, by a little at most: rays that graze have no slope."""
    step = np.log(total)
    step *= total
    step /= np.minimum(slope, -0.05 * total)
    z -= np.clip(step, -0.15, 0.15, out=step)


def _pieces(shape: Ellipsoids, x: np.ndarray, y: np.ndarray) -> list["_Piece"]:
    spread = shape.spreads[:, [0, 1], [0, 1]] * (1 + NEGLIGIBLE / shape.sharpness[:, None])
    reach = np.sqrt(spread)  # (n, 2)
    low, high = shape.centres[:, :2] - reach, shape.centres[:, :2] + reach
    left, right = np.searchsorted(x, [low[:, 0], high[:, 0]]).tolist()
    top, bottom = np.searchsorted(y, [low[:, 1], high[:, 1]]).tolist()
    return [
        _Piece(shape, i, (slice(top[i], bottom[i]), slice(left[i], right[i])), x, y)
        for i in range(len(reach))
        if left[i] < right[i] and top[i] < bottom[i]
    ]


class _Piece:
    """One ellipsoid on the rays near it: q - 1 along a ray is (a z + b) z + c."""

    def __init__(
        self,
        shape: Ellipsoids,
        i: int,
        window: tuple[slice, slice],
        x: np.ndarray,
        y: np.ndarray,
    ) -> None:
        rows, columns = self.window = window
        self.k = float(shape.sharpness[i])
        at_x, at_y, self.z = shape.centres[i].tolist()
        form = shape.forms[i].astype(np.float32)
        dx, dy = (x[columns] - at_x)[None, :], (y[rows] - at_y)[:, None]
        (xx, xy, xz), (_, yy, yz), (_, _, self.a) = shape.forms[i].tolist()
        self.b = (2 * xz) * dx + (2 * yz) * dy  # (h, w)
        self.c = (xx * dx * dx - 1) + yy * dy * dy  # (h, w)
        self.c += (2 * xy * dy) * dx
        # the gradient of q is twice the form times the offset: its parts along x, y and z
        self.by_x, self.by_y = form[:, 0, None, None] * dx, form[:, 1, None, None] * dy
        self.by_z = form[:, 2, None, None]

    def front(self) -> np.ndarray:
        """Depth (h, w) of the ellipsoid itself, -inf beside it."""
        z = self.b * self.b
        z -= (4 * self.a) * self.c
        beside = z < 0
        np.maximum(z, 0, out=z)
        np.sqrt(z, out=z)
        z -= self.b
        z *= 1 / (2 * self.a)
        z += self.z
        np.copyto(z, -np.inf, where=beside)
        return z

    def add_term(self, z: np.ndarray, total: np.ndarray, slope: np.ndarray) -> None:
        """Adds the ellipsoid's term at depth `z` (h, w), and its change with depth."""
        along = z - self.z
        half = self.a * along
        half += self.b
        term = self._term(half, along)
        total += term
        half += self.a * along
        term *= self.k
        half *= term
        slope -= half

    def add_gradient(self, z: np.ndarray, total: np.ndarray, gradient: np.ndarray) -> None:
        along = z - self.z
        term = self._term(self.a * along + self.b, along)
        total += term
        term *= -2 * self.k
        change = self.by_z * along  # (3, h, w)
        change += self.by_x
        change += self.by_y
        change *= term
        gradient += change

    def _term(self, half: np.ndarray, along: np.ndarray) -> np.ndarray:
        """exp(-k (q - 1)), with `half` = a z + b."""
        term = half * along
        term += self.c
        term *= -self.k
        np.exp(term, out=term)
        return term
