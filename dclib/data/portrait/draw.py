"""Draws heads by number: head i of a seed is the same however many are drawn."""

import math

import numpy as np

from dclib.data.portrait.head import Colour, Factors, Head

SKIN = (
    (250, 224, 204),
    (240, 204, 174),
    (224, 176, 138),
    (190, 134, 94),
    (142, 92, 62),
    (92, 60, 44),
)
HAIR = ((22, 19, 19), (50, 35, 28), (86, 58, 38), (134, 94, 58), (204, 166, 108), (126, 60, 34))
GREY_HAIR = (172, 168, 164)
IRIS = ((54, 34, 22), (84, 56, 32), (98, 106, 62), (74, 112, 136), (98, 130, 148))
FRAMES = ((20, 20, 24), (72, 40, 24), (150, 122, 76), (38, 48, 90), (126, 32, 40), (112, 114, 118))


def draw(seed: int, index: int) -> Head:
    """Head `index` of `seed`, from a counter-based generator keyed by the two."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))
    uniform, normal = rng.uniform, _bounded(rng)
    own, told = _factors(rng), _factors(rng)
    femininity = 0.5 + (0.5 if own.female else -0.5) * uniform(0.35, 1)
    tone = uniform(0, len(SKIN) - 1)
    smile = uniform(0.5, 1) if own.smiling else uniform(0, 0.2)
    laughs = rng.random() < (0.6 if own.smiling else 0.2)
    length = _hair_length(rng, own.female)
    return Head(
        side=1,
        yaw=own.yaw,
        pitch=9 * normal(),
        roll=8 * normal(),
        size=math.exp(0.08 * normal()),
        place=(0.04 * normal(), 0.035 * normal()),
        female=own.female,
        femininity=femininity,
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
        skin=_between(SKIN, tone),
        iris=_between(IRIS, uniform(0, 1.2) if tone > 2.5 else uniform(0, len(IRIS) - 1)),
        hair=_hair_colour(rng, tone),
        hair_length=length,
        hair_volume=uniform(0, 1),
        hairline=normal(),
        fringe=uniform(-1, 1),
        curls=uniform(0, 1),
        beard=max(0.0, uniform(-1, 1)) if not own.female else 0.0,
        smiling=own.smiling,
        smile=smile,
        opening=uniform(0.2, 0.9) * (0.5 + 0.5 * smile) if laughs else 0.0,
        lids=uniform(0, 1),
        gaze=(normal(), normal()),
        glasses=own.glasses,
        frame=FRAMES[rng.integers(len(FRAMES))],
        frame_square=uniform(0, 1),
        frame_weight=uniform(0, 1),
        tint=uniform(0.8, 1) if rng.random() < 0.2 else uniform(0, 0.15),
        azimuth=uniform(-75, 75),
        elevation=uniform(-5, 60),
        hardness=uniform(0.25, 1),
        warmth=normal(),
        exposure=0.22 * normal(),
        shirt=_colour(rng),
        told=told,
        clutter=tuple(_clutter(rng) for _ in range(rng.integers(1, 6))),
        occluder=_occluder(rng) if rng.random() < 0.1 else (),
        grey=bool(rng.random() < 0.04),
        blur=0.012 * uniform(0, 1) ** 3,
        noise=0.03 * uniform(0, 1) ** 2,
    )


def _bounded(rng: np.random.Generator):
    return lambda: float(np.clip(rng.standard_normal(), -2.5, 2.5))


def _factors(rng: np.random.Generator) -> Factors:
    """Shares of about MTFL's size; yaw has Laplace's distribution, cut at 75 degrees."""
    female, smiling, glasses, turn = rng.random(4)
    at = 2 * turn - 1
    yaw = -math.copysign(15 * math.log(1 - abs(at) * (1 - math.exp(-75 / 15))), at)
    return Factors(bool(female < 0.45), bool(smiling < 0.55), bool(glasses < 0.15), yaw)


def _between(colours: tuple[Colour, ...], at: float) -> Colour:
    low = min(int(at), len(colours) - 2)
    share = at - low
    a, b = colours[low], colours[low + 1]
    return tuple((1 - share) * p + share * q for p, q in zip(a, b))


def _hair_colour(rng, tone):
    u = rng.random(2)
    if u[0] < 0.08:
        return GREY_HAIR
    return _between(HAIR, u[1] * (1.2 if tone > 2.5 else 5))


def _hair_length(rng, female):
    u, v = rng.random(2)
    if female:
        return 0.55 + 0.45 * v if u < 0.75 else 0.1 + 0.3 * v
    if u < 0.12:
        return 0.0
    return 0.05 + 0.35 * v if u < 0.95 else 0.6 + 0.3 * v


def _colour(rng):
    return tuple(255 * rng.uniform(0.08, 0.9, 3) ** 1.2)


def _clutter(rng):
    x, y, r, k = rng.random(4)
    return (1.6 * x - 0.8, 1.4 * y - 0.8, 0.05 + 0.2 * r, k, *_colour(rng))


def _occluder(rng):
    return ()
