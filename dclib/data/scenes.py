"""Drawn scenes: heads of many sizes on clutter, every face known exactly, and nothing to obtain.

They stand in for photos where there are none, so that the cascade of section 4.5 runs everywhere.
The heads are those of `dclib.data.portrait`; who is nearer is lower, and never hides the face of
who is farther. Clutter has the colours of skin and hair as well, so that colour tells no face.

The box of a face follows from its points by the mean rule of LFWNet, measured on its 13,466 faces:
it is a square, SPREAD root mean square distances of the points from their mean wide (median 3.29,
deviation 8 %; of the distance between the eyes it is 2.12, deviation 13 %, for that shrinks as the
head turns), and its centre is UP widths above that mean (median 0.017, and 0.011 to the left, which
is taken as 0). Box and rule overlap with an IoU of 0.84 in the median.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dclib.data.cache import kept
from dclib.data.faces import mark
from dclib.data.photos import Photos, PhotoSet, nothing
from dclib.data.portrait import Head, draw, landmarks, project, stream
from dclib.data.portrait.canvas import FINE, Canvas, View
from dclib.data.portrait.draw import HAIRS, SKINS
from dclib.data.portrait.head import SHARE, Colour, placed
from dclib.data.portrait.picture import develop, put
from dclib.data.portrait.skin import inside, linear
from dclib.data.progress import progress
from dclib.errors import DataError

VERSION = 2  # raise it whenever the scenes of a number change
SEED = 2
TRAINING, HELD_OUT = 96, 32  # scenes
HELD_OUT_START = 1_000_000  # number of the first held-out scene; training scenes count from 0
WIDTH, HEIGHT = 208, 160  # pixels
SMALLEST, LARGEST = 24, 90  # widths of face boxes, pixels
MOST = 6  # heads in a scene
TRIES = 40  # places that are tried for them
SHAPES = 24  # of clutter
LIGHT = ("azimuth", "elevation", "hardness", "warmth")  # of a head, where it comes from
LENS = 64  # pixels of the window whose share a camera's blur is
SPREAD, UP = 3.3, 0.017
FILE = "scenes.npz"


def around(points: np.ndarray) -> np.ndarray:
    """The box (4,) of a face by its points (5, 2), as a detector would draw it."""
    middle = points.mean(axis=0)
    side = SPREAD * np.sqrt(((points - middle) ** 2).sum(axis=1).mean())
    centre = middle - [0, UP * side]
    return np.concatenate([centre - side / 2, centre + side / 2])


@dataclass(frozen=True)
class Person:
    """A head in a scene."""

    head: Head
    window: float  # width of the head's window in pixels of the scene
    at: np.ndarray  # (2,), where the window's corner is

    @property
    def points(self) -> np.ndarray:
        """The five points (5, 2), in pixels of the scene."""
        return project(self.head, landmarks(self.head), 1) * self.window + self.at

    def rays(self) -> View:
        """The rays of the whole scene, in the head's lengths."""
        unit = SHARE * self.head.size
        x, y = (
            (((np.arange(FINE * size) + 0.5) / FINE - at) / self.window - 0.5 - shift) / unit
            for size, at, shift in zip((WIDTH, HEIGHT), self.at, placed(self.head), strict=True)
        )
        soft = 1 / (FINE * self.window * unit)
        return View(x.astype(np.float32), y.astype(np.float32), soft)


def load(source: Path | None = None, fetch: bool = False) -> Photos:
    """Training and held-out scenes, from the cache once they have been drawn."""
    if source is not None:
        raise DataError(f"scenes are drawn by dclib itself: leave out {source}")
    return kept(f"scenes-{fingerprint()}", _draw, _read)


def fingerprint() -> str:
    """Names the scenes that `load` gives."""
    return mark(f"scenes {VERSION} {SEED} {TRAINING} {HELD_OUT}")


def people(number: int) -> list[Person]:
    """Who is in a scene, from the farthest to the nearest."""
    rng = stream(SEED, number, "scene")
    wanted = rng.integers(0, MOST + 1)
    first = draw(SEED, number * TRIES)
    light = {name: getattr(first, name) for name in LIGHT}  # all heads stand in that of the first
    chosen: list[tuple[np.ndarray, Person]] = []
    for candidate in range(number * TRIES, (number + 1) * TRIES):
        if len(chosen) == wanted:
            break
        head = replace(draw(SEED, candidate), **light)
        box = around(project(head, landmarks(head), 1))
        width = SMALLEST * (LARGEST / SMALLEST) ** rng.random()
        window = width / (box[2] - box[0])
        corner = rng.random(2) * (np.array([WIDTH, HEIGHT]) - width)
        person = Person(head, window, corner - box[:2] * window)
        placed_box = np.concatenate([corner, corner + width])
        if all(_apart(placed_box, other) for other, _ in chosen):
            chosen.append((placed_box, person))
    return [person for _, person in sorted(chosen, key=lambda one: float(one[0][3]))]


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether of two faces the nearer, with hair and shoulders, leaves the other's box free."""
    far, near = sorted((one, other), key=lambda box: float(box[3]))
    x, y = (near[:2] + near[2:]) / 2
    width = near[2] - near[0]
    hides = far[3] > y - 1.75 * width and _meet(far, x, 1.2 * width)
    return not (hides or (far[3] > y + 0.4 * width and _meet(far, x, 1.6 * width)))


def _meet(box: np.ndarray, x: float, reach: float) -> bool:
    return bool(box[0] < x + reach and box[2] > x - reach)


def paint(number: int) -> np.ndarray:
    """The picture uint8 (3, HEIGHT, WIDTH) of a scene."""
    rgb = _clutter(stream(SEED, number, "clutter"))
    for person in people(number):
        put(Canvas(person.head, person.rays(), rgb), person.head)  # adds to `rgb`
    camera = draw(SEED, number * TRIES)
    picture = develop(camera, rgb, LENS, stream(SEED, number, "grain"))
    return np.rint(picture).astype(np.uint8)


def _clutter(rng: np.random.Generator) -> np.ndarray:
    """Light (3, FINE * HEIGHT, FINE * WIDTH) of what is behind all heads."""
    x, y = (  # (1, w) and (h, 1), in heights of the scene
        (np.arange(FINE * size, dtype=np.float32) + 0.5) / (FINE * HEIGHT)
        for size in (WIDTH, HEIGHT)
    )
    x, y = x[None, :], y[:, None]
    rgb = np.empty((3, y.size, x.size), dtype=np.float32)
    rgb[:] = linear(_colour(rng))[:, None, None]
    light, slope, start = rng.random(3).tolist()
    rgb *= 0.4 + light * (1 + 0.8 * np.cos(4 * slope * (x + y) + 6 * start))
    for _ in range(rng.integers(SHAPES // 2, SHAPES + 1)):
        _shape(rng, rgb, x, y)
    return rgb


def _shape(rng: np.random.Generator, rgb: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """An ellipse or a bar, bright in its middle as a head is, some of them striped."""
    across, down, turn, wide, long, kind, cover, stripes = rng.random(8).tolist()
    across, angle = across * WIDTH / HEIGHT, math.pi * turn
    wide, long = 0.02 + 0.2 * wide**2, 0.02 + 0.3 * long**2  # half of width and length
    reach = 1.03 * math.hypot(wide, long)
    columns = slice(*np.searchsorted(x[0], [across - reach, across + reach]))
    rows = slice(*np.searchsorted(y[:, 0], [down - reach, down + reach]))
    x, y = x[:, columns] - across, y[rows] - down
    u = (math.cos(angle) * x + math.sin(angle) * y) / wide
    v = (math.cos(angle) * y - math.sin(angle) * x) / long
    square = u * u + v * v
    distance = np.sqrt(square) if kind < 0.6 else np.maximum(np.abs(u), np.abs(v))
    shade = 0.35 + 0.65 * np.clip(1.2 - 0.5 * square, 0, 1)
    if stripes < 0.3:
        shade *= 1 + 0.7 * np.sign(np.cos(40 * (x - turn * y)))
    colour = linear(_colour(rng))[:, None, None] * shade
    under = rgb[:, rows, columns]
    under += (0.5 + 0.5 * cover) * inside(1 - distance, 0.06) * (colour - under)


def _colour(rng: np.random.Generator) -> Colour:
    """Of skin, of hair, or any."""
    kind = rng.random()
    table = np.array(SKINS if kind < 0.35 else HAIRS)
    colour = table[rng.integers(len(table))] if kind < 0.5 else 255 * rng.random(3)
    return tuple(colour.tolist())


def _draw(folder: Path) -> None:
    numbers = [*range(TRAINING), *range(HELD_OUT_START, HELD_OUT_START + HELD_OUT)]
    pixels = [paint(number) for number in progress(numbers, "draw scenes", len(numbers))]
    points = [np.array([one.points for one in people(number)]) for number in numbers]
    np.savez(
        folder / FILE,
        numbers=np.array(numbers),
        pixels=np.array(pixels),  # (N, 3, HEIGHT, WIDTH)
        counts=np.array([len(of) for of in points]),
        points=np.concatenate([of.reshape(-1, 5, 2) for of in points]),
    )


def _read(folder: Path) -> Photos:
    with (folder / FILE).open("rb") as file, np.load(file) as table:
        arrays = dict(table)
    every = arrays["points"]
    points = np.split(every.astype(np.float32), np.cumsum(arrays["counts"])[:-1])
    boxes = [np.array([around(p) for p in of], np.float32).reshape(-1, 4) for of in points]
    scenes = PhotoSet(
        name="scenes",
        fingerprint=fingerprint(),
        names=tuple(f"scenes/{number:07d}" for number in arrays["numbers"]),
        boxes=tuple(boxes),
        points=tuple(points),
        ignored=nothing(len(boxes)),
        groups=arrays["numbers"],
        complete=True,
        read=arrays["pixels"].__getitem__,
        source="nowhere: drawn by dclib itself",
    )
    return scenes.subset(range(TRAINING)), scenes.subset(range(TRAINING, len(scenes)))
