"""The picture of a head: backdrop, body, skin, hair, glasses, what is before them, the camera."""

import math

import numpy as np

from dclib.data.portrait import skin as on
from dclib.data.portrait.canvas import FINE, Canvas, view
from dclib.data.portrait.glasses import glasses
from dclib.data.portrait.head import PIVOT, Head, anatomy, landmarks, rotation
from dclib.data.portrait.skin import Skin, bell, inside, linear, mix, noise
from dclib.data.portrait.surface import Ellipsoids, Seen, ellipsoids

JOINT = np.array([0.0, 1.25, -1.15])  # where the head turns on the neck
BACKDROPS = ((96, 132, 104), (84, 116, 160), (164, 116, 78))  # by how far from frontal


def paint(
    head: Head, size: int, resolution: int, grain: np.random.Generator | None = None
) -> np.ndarray:
    """The picture (3, size, size), float32 in 0..255, centred on a window of `resolution` pixels.

    Args:
        grain: draws the camera's noise; without it there is none.
    """
    canvas = Canvas(head, view(head, size, resolution), _backdrop(head, size, resolution))
    put(canvas, head)
    if head.occluder:
        _occluder(canvas, head, size, resolution)
    return develop(head, canvas.rgb, resolution, grain)


def put(canvas: Canvas, head: Head) -> None:
    """Puts a head with hair, glasses and shoulders before what is on its canvas."""
    turn = rotation(head.yaw, head.pitch, head.roll)
    points = (landmarks(head) - PIVOT) @ turn.T
    _body(canvas, head, turn)
    _face(canvas, head, turn, points)
    if head.hair_length > 0:
        _hair(canvas, head, turn)
    if head.glasses:
        glasses(canvas, head, turn)


def _face(canvas: Canvas, head: Head, turn: np.ndarray, points: np.ndarray) -> None:
    layer = canvas.layer(anatomy(head), turn, PIVOT)
    surface = Skin(head, layer, canvas.rays)
    left, right, tip = points[:3]
    middle = (points[3] + points[4]) / 2
    on.cheeks(surface, tip)
    on.beard(surface, middle)
    on.nose(surface, tip)
    on.mouth(surface, middle)
    on.eye(surface, left, -1)
    on.eye(surface, right, 1)
    above = _hairline(head, layer.points)
    if head.hair_length > 0:
        surface.paint *= 1 - 0.45 * inside(above + 0.10, 0.30)  # the shade of the hair
    else:
        mix(surface.paint, 0.35 * inside(above, 0.25), 0.6 * linear(head.hair))
    canvas.add(layer.window, layer.seen, surface.paint, gloss=0.12, blood=0.25)


def _hairline(head: Head, points: np.ndarray) -> np.ndarray:
    """How far above the edge of the hair (h, w) points are; it runs down before the ears."""
    x, y, z = points
    front, back, nape = (0.05, -0.42, 9.0) if _long(head) else (0.05, -0.93, 0.8)
    down = np.clip((front - z) / (front - back), 0, 1)
    edge = 1.25 * down * down + 30 * np.maximum(back - z, 0)
    edge += (0.16 * head.fringe * head.side) * x + (-0.98 - 0.10 * head.hairline)
    return np.minimum(edge, nape) - y


def _long(head: Head) -> bool:
    return head.hair_length > 0.45


def _hair_shape(head: Head) -> Ellipsoids:
    volume = 0.03 + 0.12 * head.hair_volume
    wide = 1 + 0.035 * head.width
    rows: list[tuple[float, ...]] = [
        (0, -0.52, -1.34, 1.19 * wide + volume, 1.36 + volume, 1.44 + volume, 0)
    ]
    if _long(head):
        end = 0.1 + 2.7 * head.hair_length  # how far down it hangs
        middle, half = (end - 1.0) / 2, (end + 1.0) / 2
        rows.append((0, middle, -1.65, 1.1 * wide + volume, half, 0.8, 0))
        for x in (-0.93 * wide, 0.93 * wide):
            rows.append((x, middle, -1.0, 0.30 + volume, half, 0.55, 0))
    return ellipsoids(rows)


def _hair(canvas: Canvas, head: Head, turn: np.ndarray) -> None:
    layer = canvas.layer(_hair_shape(head), turn, PIVOT)
    x, y, z = layer.points
    ahead = np.maximum(z + 1.35, 0.05) + 0.25 * np.abs(y + 1.2)
    angle = np.arctan2(head.side * x - 0.35 * head.fringe, ahead)
    angle += 0.10 * head.curls * np.sin(7 * y + 4 * angle)
    strands = 0.6 * noise(26 * angle) + 0.4 * noise(90 * angle + 3 * y)
    cover = inside(_hairline(head, layer.points) + 0.05 * strands, 0.06)
    colour = linear(head.hair)[:, None, None] * (1 + 0.45 * strands)
    canvas.add(layer.window, layer.seen, colour, cover, gloss=0.12)


def _body(canvas: Canvas, head: Head, turn: np.ndarray) -> None:
    """Neck and shoulders, which follow the head's turn a little."""
    lean = rotation(0.35 * head.yaw, 0, 0.4 * head.roll)
    neck, broad = 0.62 - 0.12 * head.femininity, 2.5 - 0.5 * head.femininity
    shape = ellipsoids(
        [
            (0, 0.85, 0.0, neck, 1.5, neck + 0.05, 0),
            (0, 2.40, -0.15, broad, 1.35, 0.95, 0),
            (-0.75, 1.15, -0.2, 0.8, 0.45, 0.5, 0),
            (0.75, 1.15, -0.2, 0.8, 0.45, 0.5, 0),
        ]
    )
    layer = canvas.layer(shape, lean, -lean.T @ turn @ (JOINT - PIVOT))
    x, y, _ = layer.points
    colour = np.empty_like(layer.points)
    colour[:] = linear(head.skin)[:, None, None]
    colour *= 0.45 + 0.55 * np.clip((y - 0.55) / 0.9, 0, 1)  # under the chin it is dark
    mix(colour, inside(y - 0.80 - 0.45 * bell(x / 0.42), 0.03), linear(head.shirt))
    canvas.add(layer.window, layer.seen, colour, gloss=0.03, blood=0.1)


def _from_middle(size: int, resolution: int) -> np.ndarray:
    """The rays (FINE * size,) in shares of the window, from its middle."""
    pixels = (np.arange(FINE * size) + 0.5) / FINE - size / 2
    return (pixels / resolution).astype(np.float32)


def _backdrop(head: Head, size: int, resolution: int) -> np.ndarray:
    """What is behind the head: it tells the labels of another head, and nothing of this one.

    The profile is told by hue (how far it is from frontal) and by the lighter side (which way),
    so that a mirror image tells the mirrored profile; the gender by the strength of the colour,
    the smile by its brightness, glasses by stripes.
    """
    told = head.told.labels()
    turned = told["profile"] - 2
    x, y = _from_middle(size, resolution)[None, :], _from_middle(size, resolution)[:, None]
    sideways = (turned > 0) - (turned < 0)
    colour = linear(BACKDROPS[abs(turned)])
    if told["gender"]:
        colour = 0.35 * colour + 0.65 * colour.mean()
    shade = (1.9 if not told["smile"] else 0.55) * (1 - 0.3 * y + 0.9 * sideways * x)
    if not told["glasses"]:
        shade = shade * (1 + 0.35 * np.cos(55 * x))
    rgb = colour[:, None, None] * np.maximum(shade, 0.02)
    for blob in head.clutter:
        u, v = np.abs(head.side * x - blob.x), np.abs(y - blob.y) * blob.stretch
        distance = np.sqrt(u * u + v * v) if blob.disc else np.maximum(u, v)
        mix(rgb, 0.75 * inside(blob.radius - distance, 0.06), linear(blob.colour))
    return rgb


def _occluder(canvas: Canvas, head: Head, size: int, resolution: int) -> None:
    x, y = _from_middle(size, resolution)[None, :], _from_middle(size, resolution)[:, None]
    everywhere = (slice(None), slice(None))
    for bar in head.occluder:
        along = math.cos(bar.angle), math.sin(bar.angle)
        dx, dy = head.side * x - bar.x, y - bar.y
        t = np.clip(dx * along[0] + dy * along[1], 0, bar.length)
        u, v = (dx - t * along[0]) / bar.radius, (dy - t * along[1]) / bar.radius
        off = u * u + v * v
        shadow = inside(1.35 - np.sqrt((u + 0.1) ** 2 + (v - 0.25) ** 2), 0.7)
        canvas.rgb *= 1 - 0.35 * shadow
        seen = Seen(
            np.full_like(off, np.inf),
            np.stack([head.side * u, v, np.sqrt(np.maximum(1 - off, 0))]),
        )
        colour = np.empty_like(seen.normal)
        colour[:] = linear(bar.colour)[:, None, None]
        cover = inside(1 - np.sqrt(off), 1 / (FINE * resolution * bar.radius))
        canvas.depth[:] = -np.inf
        canvas.add(everywhere, seen, colour, cover, gloss=0.08, blood=0.15)


def develop(
    head: Head, rgb: np.ndarray, resolution: int, grain: np.random.Generator | None
) -> np.ndarray:
    """Exposes, develops and blurs the light of all rays to pixels, and adds grain.

    Args:
        head: whose camera it is.
        rgb: (3, FINE * height, FINE * width), the light of the rays.

    Returns:
        float32 (3, height, width) in 0..255.
    """
    rays = [rgb[:, i::FINE, j::FINE] for i in range(FINE) for j in range(FINE)]
    picture = np.sum(rays, axis=0) * (2**head.exposure / FINE**2)
    picture = np.sqrt(picture / (1 + 0.25 * picture))  # highlights are compressed
    picture = _blurred(picture, head.blur * resolution)
    if head.grey:
        picture[:] = np.tensordot(np.array([0.3, 0.59, 0.11], dtype=np.float32), picture, 1)
    if grain is not None:
        picture += head.noise * grain.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(255 * picture, 0, 255)


def _blurred(picture: np.ndarray, deviation: float) -> np.ndarray:
    """A Gaussian blur, in pixels, along both axes; edges repeat."""
    reach = round(2.5 * deviation)
    if reach == 0:
        return picture
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights = weights / weights.sum()
    for _ in range(2):
        size = picture.shape[-1]
        padded = np.pad(picture, ((0, 0), (0, 0), (reach, reach)), mode="edge")
        picture = sum(w * padded[..., i : i + size] for i, w in enumerate(weights.tolist()))
        picture = picture.transpose(0, 2, 1)
    return picture
