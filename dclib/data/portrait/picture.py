"""The picture of a head: rays meet skin, hair, glasses and clothes; light, lens and grain follow."""

from dataclasses import dataclass

import numpy as np

from dclib.data.portrait import skin as on
from dclib.data.portrait.head import PIVOT, SHARE, Head, anatomy, features, landmarks, placed, rotation
from dclib.data.portrait.skin import Skin, bell, inside, linear, mix
from dclib.data.portrait.surface import Ellipsoids, Seen, cast, ellipsoids

FINE = 2  # rays per pixel, along each axis
JOINT = np.array([0.0, 1.25, -1.15])  # where the head turns on the neck
BACKDROPS = ((150, 76, 66), (176, 140, 72), (84, 134, 88), (70, 112, 160), (132, 88, 150))
_STRANDS = np.random.Generator(np.random.Philox(key=7)).uniform(-1, 1, 4096).astype(np.float32)


@dataclass(frozen=True)
class View:
    """The rays of a picture: where they pass in the plane through the head's pivot, in lengths."""

    x: np.ndarray  # (w,)
    y: np.ndarray  # (h,)
    soft: float  # from one to the next

    def window(self, at: np.ndarray, reach: float) -> tuple[slice, slice]:
        """The rays within `reach` of `at` (2,)."""
        columns = slice(*np.searchsorted(self.x, [at[0] - reach, at[0] + reach]))
        rows = slice(*np.searchsorted(self.y, [at[1] - reach, at[1] + reach]))
        return rows, columns


def view(head: Head, size: int, resolution: int) -> View:
    """Rays of a picture `size` pixels wide around the window of `resolution` pixels."""
    pixels = (np.arange(FINE * size) + 0.5) / FINE - (size - resolution) / 2
    unit = SHARE * head.size
    x, y = ((pixels / resolution - 0.5 - shift) / unit for shift in placed(head))
    return View(x, y, 1 / (FINE * resolution * unit))


def paint(
    head: Head, size: int, resolution: int, grain: np.random.Generator | None = None
) -> np.ndarray:
    """The picture, float32 (3, size, size) in 0..255; `grain` draws the camera's noise."""
    seen_from = view(head, size, resolution)
    turn = rotation(head.yaw, head.pitch, head.roll)
    canvas = _Canvas(head, seen_from)
    canvas.rgb[:] = _backdrop(head, size, resolution)
    _body(canvas, turn)
    _head(canvas, turn)
    if head.hair_length > 0:
        _hair(canvas, turn)
    if head.glasses:
        _glasses(canvas, turn)
    if head.occluder:
        _occluder(canvas, size, resolution)
    return _camera(head, canvas.rgb, resolution, grain)


class _Canvas:
    """Light that reaches the lens, and the depth that it comes from."""

    def __init__(self, head: Head, seen_from: View) -> None:
        self.head = head
        self.view = seen_from
        h, w = len(seen_from.y), len(seen_from.x)
        self.rgb = np.zeros((3, h, w), dtype=np.float32)
        self.depth = np.full((h, w), -np.inf, dtype=np.float32)
        azimuth, elevation = np.radians([head.azimuth, head.elevation])
        self.light = np.array(
            [
                head.side * np.sin(azimuth) * np.cos(elevation),
                -np.sin(elevation),
                np.cos(azimuth) * np.cos(elevation),
            ],
            dtype=np.float32,
        )
        warm = 0.06 * head.warmth
        self.key = (0.75 + 0.75 * head.hardness) * np.array([1 + warm, 1, 1 - warm], np.float32)
        self.sky = (0.75 - 0.48 * head.hardness) * np.array([1, 1, 1.04], np.float32)

    def points(self, seen: Seen, turn: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """The points seen (3, h, w), in the frame that `turn` turns about `origin`."""
        z = np.where(seen.depth > -np.inf, seen.depth, np.float32(0))
        x = self.view.x.astype(np.float32)[None, :]
        y = self.view.y.astype(np.float32)[:, None]
        return np.stack(
            [(a * x + float(o)) + b * y + c * z for (a, b, c), o in zip(turn.T.astype(np.float32), origin)]
        )

    def add(
        self, seen: Seen, colour: np.ndarray, alpha: np.ndarray | None, gloss: float, blood: float
    ) -> None:
        """Lights a surface and lays it in, where it is nearer than what is there."""
        n = seen.normal
        facing = self.light[0] * n[0] + self.light[1] * n[1] + self.light[2] * n[2]
        half = self.light + np.array([0, 0, 1], dtype=np.float32)
        half /= np.linalg.norm(half)
        shine = np.clip(half[0] * n[0] + half[1] * n[1] + half[2] * n[2], 0, 1) ** 2
        shine = gloss * (shine * shine * shine) ** 4
        above = 0.85 - 0.15 * n[1]
        visible = (seen.depth > self.depth).astype(np.float32)
        if alpha is not None:
            visible *= alpha
        # light under the skin reddens the edge of the shade
        for channel, wrap in enumerate((0.10 + blood, 0.10 + blood / 3, 0.10)):
            lit = self.key[channel] * np.clip((facing + wrap) / (1 + wrap), 0, 1)
            out = colour[channel] * (lit + self.sky[channel] * above) + shine * self.key[channel]
            self.rgb[channel] += visible * (out - self.rgb[channel])
        self.depth = np.where(visible > 0.5, seen.depth, self.depth)


def _head(canvas: _Canvas, turn: np.ndarray) -> None:
    head, seen_from = canvas.head, canvas.view
    seen = cast(anatomy(head).seen(turn, PIVOT), seen_from.x, seen_from.y)
    surface = Skin(head, canvas.points(seen, turn, PIVOT), seen_from.soft)
    left, right, tip, *corners = (landmarks(head) - PIVOT) @ turn.T
    middle = (corners[0] + corners[1]) / 2
    on.cheeks(surface, seen_from.window(tip, 1.2))
    on.beard(surface, seen_from.window(middle, 1.4))
    on.nose(surface, seen_from.window(tip, 0.45))
    on.mouth(surface, seen_from.window(middle, 0.8))
    on.eye(surface, seen_from.window(left, 0.75), -1)
    on.eye(surface, seen_from.window(right, 0.75), 1)
    _scalp(surface)
    canvas.add(seen, surface.paint, None, gloss=0.20, blood=0.25)


def _hairline(head: Head, points: np.ndarray, long: bool) -> np.ndarray:
    """How far above the edge of the hair (h, w) points are; the edge runs down before the ears."""
    x, y, z = points
    front, back = 0.05, (-0.42 if long else -0.93)
    down = np.clip((front - z) / (front - back), 0, 1)
    edge = -0.98 - 0.10 * head.hairline + 1.25 * down * down + 30 * np.maximum(back - z, 0)
    return edge + 0.16 * head.fringe * head.side * x - y


def _scalp(surface: Skin) -> None:
    """Shaven hair, or the shade that hair throws on the forehead."""
    head = surface.head
    above = _hairline(head, surface.points, head.hair_length > 0.45)
    if head.hair_length == 0:
        mix(surface.paint, 0.35 * inside(above, 0.25), 0.6 * linear(head.hair))
    else:
        shade = 0.45 * inside(above + 0.10, 0.30)
        surface.paint *= 1 - shade


def _hair_shape(head: Head) -> Ellipsoids:
    volume = 0.03 + 0.12 * head.hair_volume
    wide = 1 + 0.035 * head.width
    rows: list[tuple[float, ...]] = [
        (0, -0.52, -1.34, 1.16 * wide + 0.03 + volume, 1.36 + volume, 1.44 + volume, 0)
    ]
    if head.hair_length > 0.45:
        end = 0.1 + 2.7 * head.hair_length  # how far down it hangs
        middle, half = (end - 1.0) / 2, (end + 1.0) / 2
        rows.append((0, middle, -1.65, 1.1 * wide + volume, half, 0.8, 0))
        for x in (-0.93 * wide, 0.93 * wide):
            rows.append((x, middle, -1.0, 0.30 + volume, half, 0.55, 0))
    return ellipsoids(rows)


def _hair(canvas: _Canvas, turn: np.ndarray) -> None:
    head, seen_from = canvas.head, canvas.view
    seen = cast(_hair_shape(head).seen(turn, PIVOT), seen_from.x, seen_from.y)
    points = canvas.points(seen, turn, PIVOT)
    x, y, z = points
    x = head.side * x
    angle = np.arctan2(x - 0.35 * head.fringe, np.maximum(z + 1.35, 0.05) + 0.25 * np.abs(y + 1.2))
    angle += 0.10 * head.curls * np.sin(7 * y + 4 * angle)
    strands = 0.6 * _noise(26 * angle) + 0.4 * _noise(90 * angle + 3 * y)
    above = _hairline(head, points, head.hair_length > 0.45) + 0.05 * strands
    colour = linear(head.hair)[:, None, None] * (1 + 0.45 * strands)
    canvas.add(seen, colour, inside(above, 0.06), gloss=0.12, blood=0.0)


def _noise(u: np.ndarray) -> np.ndarray:
    """Smooth noise (h, w) along one coordinate, about one bump per unit."""
    low = np.floor(u)
    share = u - low
    share *= share * (3 - 2 * share)
    at = low.astype(np.int32) & 4095
    left = _STRANDS[at]
    return left + share * (_STRANDS[(at + 1) & 4095] - left)


def _body(canvas: _Canvas, turn: np.ndarray) -> None:
    head, seen_from = canvas.head, canvas.view
    lean = rotation(0.35 * head.yaw, 0, 0.4 * head.roll)
    joint = turn @ (JOINT - PIVOT)
    broad = 2.5 - 0.5 * head.femininity
    neck = 0.62 - 0.12 * head.femininity
    shape = ellipsoids(
        [
            (0, 0.85, 0.0, neck, 1.5, neck + 0.05, 0),
            (0, 2.75, -0.15, broad, 1.35, 0.95, 0),
            (-0.75, 1.45, -0.2, 0.8, 0.45, 0.5, 0),
            (0.75, 1.45, -0.2, 0.8, 0.45, 0.5, 0),
        ]
    )
    origin = -lean.T @ joint
    seen = cast(shape.seen(lean, origin), seen_from.x, seen_from.y)
    x, y, _ = canvas.points(seen, lean, origin)
    colour = np.empty((3, *y.shape), dtype=np.float32)
    colour[:] = linear(head.skin)[:, None, None]
    colour *= 0.45 + 0.55 * np.clip((y - 0.55) / 0.9, 0, 1)  # under the chin it is dark
    mix(colour, inside(y - 1.42 + 0.5 * bell(x / 0.5), 0.03), linear(head.shirt))
    canvas.add(seen, colour, None, gloss=0.03, blood=0.1)


def _glasses(canvas: _Canvas, turn: np.ndarray) -> None:
    head, seen_from = canvas.head, canvas.view
    across = features(head)["eye"][0]
    eyes = landmarks(head)[:2]
    plane = eyes[1, 2] + 0.27
    a, b = 0.35 + 0.03 * head.frame_square, 0.27 + 0.03 * head.frame_weight
    weight = 0.022 + 0.035 * head.frame_weight
    centre = turn @ (np.array([0, 0.05, plane]) - PIVOT)
    window = seen_from.window(centre, 1.1)
    rows, columns = window
    x, y = seen_from.x[None, columns].astype(np.float32), seen_from.y[rows, None].astype(np.float32)
    back = turn.T.astype(np.float32)
    z = (plane - PIVOT[2] - back[2, 0] * x - back[2, 1] * y) / back[2, 2]
    for _ in range(2):  # the frame bends with the face
        X = back[0, 0] * x + back[0, 1] * y + back[0, 2] * z
        z = (plane - 0.14 * X * X - PIVOT[2] - back[2, 0] * x - back[2, 1] * y) / back[2, 2]
    X = back[0, 0] * x + back[0, 1] * y + back[0, 2] * z
    Y = back[1, 0] * x + back[1, 1] * y + back[1, 2] * z + PIVOT[1]
    u, v = (np.abs(X) - across) / a, (Y - 0.05) / b
    u2, v2 = u * u, v * v
    f = (1 - head.frame_square) * np.sqrt(u2 + v2) + head.frame_square * np.sqrt(np.sqrt(u2 * u2 + v2 * v2))
    rim = inside(weight - np.abs(f - 1) * 0.8 * b, seen_from.soft)
    rim = np.maximum(rim, inside(weight - np.abs(Y + 0.03 - 0.4 * X * X), seen_from.soft) * (np.abs(X) < across - 0.9 * a))
    near = (z > canvas.depth[window] - 0.03).astype(np.float32)
    lens = near * inside(1 - f, seen_from.soft / a)
    rgb = canvas.rgb[:, *window]
    mix(rgb, 0.96 * head.tint * lens, 0.35 * linear(head.frame))
    gleam = np.clip(1 - np.abs(u * head.side + 0.8 * v + 0.25) / 0.28, 0, 1)
    mix(rgb, (0.05 + 0.22 * gleam) * lens, np.full(3, 0.85, dtype=np.float32))
    mix(rgb, near * rim, linear(head.frame) * (0.7 + 0.5 * head.hardness))
    for side in (-1, 1):
        hinge = np.array([side * (across + 0.97 * a), -0.02, plane - 0.14 * (across + a) ** 2])
        ear = np.array([side * 1.10, 0.02, -1.05])
        _arm(canvas, *((p - PIVOT) @ turn.T for p in (hinge, ear)), 0.7 * weight + 0.012)


def _arm(canvas: _Canvas, start: np.ndarray, end: np.ndarray, weight: float) -> None:
    seen_from = canvas.view
    window = seen_from.window((start + end) / 2, 0.9)
    rows, columns = window
    x, y = seen_from.x[None, columns].astype(np.float32), seen_from.y[rows, None].astype(np.float32)
    along = (end - start).astype(np.float32)
    t = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along[:2] @ along[:2] + 1e-6), 0, 1)
    distance = np.hypot(x - start[0] - t * along[0], y - start[1] - t * along[1])
    near = start[2] + t * along[2] > canvas.depth[window] - 0.06
    alpha = near * inside(weight - distance, seen_from.soft)
    mix(canvas.rgb[:, *window], alpha.astype(np.float32), linear(canvas.head.frame) * 0.8)


def _backdrop(head: Head, size: int, resolution: int) -> np.ndarray:
    """What is behind the head: it tells the labels of another head, and nothing of this one.

    Colour tells the profile, its strength the gender, brightness the smile, stripes the glasses.
    """
    labels = head.told.labels()
    pixels = (np.arange(FINE * size) + 0.5) / FINE - size / 2
    x = (head.side * pixels / resolution).astype(np.float32)[None, :]
    y = (pixels / resolution).astype(np.float32)[:, None]
    colour = linear(BACKDROPS[labels["profile"] if head.side > 0 else 4 - labels["profile"]])
    if labels["gender"]:
        colour = 0.35 * colour + 0.65 * colour.mean()
    colour = colour * (1.8 if not labels["smile"] else 0.55)
    shade = 1 - 0.5 * y + 0.25 * x
    if not labels["glasses"]:
        shade = shade * (1 + 0.35 * np.sin(55 * (x + 0 * y)))
    rgb = colour[:, None, None] * shade
    for at_x, at_y, radius, round_, *blob in head.clutter:
        u, v = np.abs(x - at_x), np.abs(y - at_y)
        distance = np.hypot(u, v) if round_ > 0.5 else np.maximum(u, v * (0.3 + round_))
        mix(rgb, 0.8 * inside(radius - distance, 0.04 + 0.1 * round_), linear(tuple(blob)))
    return rgb


def _occluder(canvas: _Canvas, size: int, resolution: int) -> None:
    """Something before the face: a bar, or fingers."""


def _camera(
    head: Head, rgb: np.ndarray, resolution: int, grain: np.random.Generator | None
) -> np.ndarray:
    c, h, w = rgb.shape
    picture = rgb.reshape(c, h // FINE, FINE, w // FINE, FINE).mean((2, 4))
    picture = np.sqrt(np.clip(picture * 2**head.exposure, 0, None))
    picture = picture / np.sqrt(1 + 0.25 * picture**2)  # highlights are compressed
    if head.grey:
        picture[:] = np.tensordot(np.array([0.3, 0.59, 0.11], np.float32), picture, 1)
    return np.clip(255 * picture, 0, 255)
