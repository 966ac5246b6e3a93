"""Draws heads by number: head i of a seed is the same however many are drawn."""

import math

import numpy as np

from dclib.data.portrait.head import Bar, Blob, Colour, Factors, Head

SKINS: tuple[Colour, ...] = (
    (250, 224, 204),
    (240, 204, 174),
    (224, 176, 138),
    (190, 134, 94),
    (142, 92, 62),
    (92, 60, 44),
)
HAIRS: tuple[Colour, ...] = (
    (22, 19, 19),
    (50, 35, 28),
    (86, 58, 38),
    (134, 94, 58),
    (204, 166, 108),
    (126, 60, 34),
)
GREY_HAIR: Colour = (172, 168, 164)
IRISES: tuple[Colour, ...] = (
    (54, 34, 22),
    (84, 56, 32),
    (98, 106, 62),
    (74, 112, 136),
    (98, 130, 148),
)
FRAMES: tuple[Colour, ...] = (
    (20, 20, 24),
    (72, 40, 24),
    (150, 122, 76),
    (38, 48, 90),
    (126, 32, 40),
    (112, 114, 118),
)


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """The random numbers of one head for one purpose: a counter-based generator keyed by them."""
    counter = [0, 0, 0, ("head", "grain", "labels", "scene", "clutter").index(purpose)]
    key = np.array([seed, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def draw(seed: int, index: int) -> Head:
    """Head `index` of `seed`."""
    rng = stream(seed, index, "head")
    uniform = rng.uniform

    def normal() -> float:
        return float(np.clip(rng.standard_normal(), -2.5, 2.5))

    own, told = _factors(rng), _factors(rng)
    smile = uniform(0.5, 1) if own.smiling else uniform(0, 0.2)
    dark = uniform(0, 1)
    skin = _between(SKINS, dark)
    return Head(
        side=1,
        yaw=own.yaw,
        pitch=9 * normal(),
        roll=8 * normal(),
        size=math.exp(0.08 * normal()),
        place=(0.04 * normal(), 0.035 * normal()),
        female=own.female,
        femininity=0.5 + (0.5 if own.female else -0.5) * uniform(0.35, 1),
        width=normal(),
        jaw=normal(),
        chin=normal(),
        cheeks=normal(),
        eyes_apart=normal(),
        eye_size=normal(),
        eye_tilt=normal(),
        brow_height=normal(),
        brow_weight=normal(),
        nose_length=normal(),
        nose_width=normal(),
        nose_height=normal(),
        mouth_width=normal(),
        mouth_height=normal(),
        lips=normal(),
        ears=normal(),
        skin=skin,
        iris=_between(IRISES, uniform(0, 0.3 if dark > 0.5 else 1)),
        hair=_hair_colour(rng, dark),
        hair_length=_hair_length(rng, own.female),
        hair_volume=uniform(0, 1) + (1.5 if rng.random() < 0.1 else 0),
        hairline=normal() - (4 if rng.random() < (0.3 if own.female else 0.1) else 0),
        fringe=uniform(-1, 1),
        curls=uniform(0, 1),
        beard=0.0 if own.female else max(0.0, uniform(-1, 1)),
        smiling=own.smiling,
        smile=smile,
        opening=uniform(0.2, 0.9) * (0.4 + 0.6 * smile)
        if rng.random() < (0.65 if own.smiling else 0.2)
        else 0.0,
        lids=uniform(0, 1) if rng.random() < 0.97 else -6.0,
        gaze=(normal(), normal()),
        glasses=own.glasses,
        frame=FRAMES[rng.integers(len(FRAMES))],
        frame_square=uniform(0, 1),
        frame_weight=uniform(0, 1),
        tint=uniform(0.8, 1) if rng.random() < 0.2 else uniform(0, 0.15),
        azimuth=uniform(-75, 75),
        elevation=uniform(-5, 60),
        hardness=uniform(0.2, 1),
        warmth=normal(),
        exposure=0.25 * normal(),
        shirt=_colour(rng),
        told=told,
        clutter=tuple(_blob(rng) for _ in range(rng.integers(0, 5))),
        occluder=_occluder(rng, skin) if rng.random() < 0.08 else (),
        grey=bool(rng.random() < 0.04),
        blur=0.010 * uniform(0, 1) ** 3,
        noise=0.03 * uniform(0, 1) ** 2,
    )


def _factors(rng: np.random.Generator) -> Factors:
    """Shares of about MTFL's size; yaw has Laplace's distribution, cut at 75 degrees."""
    female, smiling, glasses, turn = rng.random(4)
    at = 2 * turn - 1
    yaw = -math.copysign(17 * math.log(1 - abs(at) * (1 - math.exp(-75 / 17))), at)
    return Factors(bool(female < 0.45), bool(smiling < 0.55), bool(glasses < 0.15), yaw)


def _between(colours: tuple[Colour, ...], at: float) -> Colour:
    """The colour at a share `at` of the way along a row of colours."""
    place = at * (len(colours) - 1)
    low = min(int(place), len(colours) - 2)
    mixed = (1 - place + low) * np.array(colours[low]) + (place - low) * np.array(colours[low + 1])
    return tuple(mixed.tolist())


def _hair_colour(rng: np.random.Generator, dark: float) -> Colour:
    grey, at = rng.random(2)
    return GREY_HAIR if grey < 0.08 else _between(HAIRS, at * (0.25 if dark > 0.5 else 1))


def _hair_length(rng: np.random.Generator, female: bool) -> float:
    kind, at = rng.random(2)
    if kind < (0.75 if female else 0.06):
        return 0.55 + 0.45 * at
    return 0.0 if not female and kind > 0.88 else 0.05 + 0.35 * at


def _colour(rng: np.random.Generator) -> Colour:
    """Muted: half way to its own grey."""
    colour = 20 + 200 * rng.random(3)
    return tuple((0.5 * colour + 0.5 * colour.mean()).tolist())


def _blob(rng: np.random.Generator) -> Blob:
    x, y, radius, stretch, disc = rng.random(5).tolist()
    return Blob(
        1.6 * x - 0.8, 1.4 * y - 0.8, 0.05 + 0.2 * radius, 0.3 + stretch, disc < 0.5, _colour(rng)
    )


def _occluder(rng: np.random.Generator, skin: Colour) -> tuple[Bar, ...]:
    """Fingers of a hand in the head's own colour, or one bar of any colour, from below."""
    x, y, lean, length, radius, hand = rng.random(6).tolist()
    angle = -math.pi / 2 + 1.2 * (0.5 - x) + 0.8 * (lean - 0.5)
    x, y = 0.9 * (x - 0.5), 0.50 + 0.12 * y
    length = 0.2 + 0.3 * length
    if hand < 0.4:
        return (Bar(x, y, angle, length, 0.06 + 0.06 * radius, _colour(rng)),)
    across = -0.085 * math.sin(angle), 0.085 * math.cos(angle)
    return tuple(
        Bar(x + i * across[0], y + i * across[1], angle + 0.06 * i, length * reach, 0.046, skin)
        for i, reach in enumerate((0.72, 0.95, 1.0, 0.85), -2)
    )
