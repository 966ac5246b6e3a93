"""Who is in a synthetic picture: every number that decides it, and the geometry of the head.

Lengths are in inter-ocular distances of the average head (see `surface`). Angles have AFLW's signs:
yaw grows as the nose turns to the image's left, pitch as it rises, roll as the head turns
counter-clockwise as seen.
"""

from dataclasses import dataclass, replace

import numpy as np

from dclib.data.portrait.surface import Ellipsoids, ellipsoids, height

PIVOT = np.array([0.0, 0.54, 0.05])  # the point of the head that the window is centred on
SHARE = 0.305  # the average inter-ocular distance as a share of the window, as in MTFL's test faces

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Blob:
    """A disc or box; places and lengths in shares of the window, from its middle."""

    x: float
    y: float
    radius: float
    stretch: float
    disc: bool
    colour: Colour


@dataclass(frozen=True)
class Bar:
    """A bar with round ends, from one end; in shares of the window, from its middle."""

    x: float
    y: float
    angle: float  # radians
    length: float
    radius: float
    colour: Colour


@dataclass(frozen=True)
class Factors:
    """What the four related tasks of MTFL ask about a head."""

    female: bool
    smiling: bool
    glasses: bool
    yaw: float

    def labels(self) -> dict[str, int]:
        """With MTFL's meaning, from 0: male, smiling and wearing glasses are 0; the profile goes
        from the image's left (0) to its right (4) in steps about 30 degrees apart."""
        return {
            "gender": int(self.female),
            "smile": int(not self.smiling),
            "glasses": int(not self.glasses),
            "profile": int(np.searchsorted([-45, -15, 15, 45], -self.yaw, side="right")),
        }


@dataclass(frozen=True)
class Head:
    """All that one picture is made from: 0 to 1, or about 0 with deviation 1, unless it says so."""

    side: int  # 1, or -1 for a mirror image: the sign of all that is not symmetric
    # pose in degrees, place in the window
    yaw: float
    pitch: float
    roll: float
    size: float  # factor
    place: tuple[float, float]  # shares of the window
    # identity
    female: bool
    femininity: float
    width: float
    jaw: float
    chin: float
    cheeks: float
    eyes_apart: float
    eye_size: float
    eye_tilt: float
    brow_height: float
    brow_weight: float
    nose_length: float
    nose_width: float
    nose_height: float
    mouth_width: float
    mouth_height: float
    lips: float
    ears: float
    skin: Colour
    iris: Colour
    hair: Colour
    hair_length: float  # 0 shaven, 0.5 to the chin, 1 to the shoulders
    hair_volume: float
    hairline: float
    fringe: float  # -1 to 1: slant of the hairline, towards one side
    curls: float
    beard: float
    # expression
    smiling: bool
    smile: float
    opening: float
    lids: float
    gaze: tuple[float, float]
    # glasses
    glasses: bool
    frame: Colour
    frame_square: float
    frame_weight: float
    tint: float
    # light, surroundings, camera
    azimuth: float  # degrees
    elevation: float  # degrees
    hardness: float
    warmth: float
    exposure: float
    shirt: Colour
    told: Factors  # by the backdrop: those of another head
    clutter: tuple[Blob, ...]  # behind the head
    occluder: tuple[Bar, ...]  # before the face
    grey: bool
    blur: float  # standard deviation, shares of the window
    noise: float  # standard deviation, shares of full scale


def factors(head: Head) -> Factors:
    """The head's own."""
    return Factors(head.female, head.smiling, head.glasses, head.yaw)


def mirrored(head: Head) -> Head:
    """The head whose picture is the mirror image."""
    told = replace(head.told, yaw=-head.told.yaw)
    return replace(head, side=-head.side, yaw=-head.yaw, roll=-head.roll, told=told)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The matrix (3, 3) that turns a head, in degrees: pitch first, then yaw, then roll."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    by_pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    by_yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    by_roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return by_roll @ by_yaw @ by_pitch


def features(head: Head) -> dict[str, tuple[float, float]]:
    """X and Y of the right eye, the nose and the right mouth corner."""
    return {
        "eye": (0.5 + 0.018 * head.eyes_apart, 0.0),
        "nose": (0.0, 0.60 + 0.035 * head.nose_length),
        "corner": (
            0.36 + 0.022 * head.mouth_width + 0.09 * head.smile - 0.03 * head.opening,
            1.06 + 0.04 * head.mouth_height - 0.11 * head.smile + 0.03 * head.opening,
        ),
    }


def anatomy(head: Head) -> Ellipsoids:
    """The ellipsoids of skull, face, nose and ears, in the head's frame."""
    wide = 1 + 0.035 * head.width
    jaw = 0.86 + 0.03 * head.jaw - 0.07 * (head.femininity - 0.5)
    chin = 0.04 * head.chin - 0.06 * (head.femininity - 0.5) + 0.05 * head.opening
    brow = 0.04 * (0.5 - head.femininity)
    mouth = features(head)["corner"][1] - 0.04
    tip = features(head)["nose"][1]
    out = 0.03 * head.nose_height
    nose = 1 + 0.10 * head.nose_width - 0.12 * (head.femininity - 0.5)
    cheek = 0.03 * head.cheeks + 0.05 * head.smile
    ear = 0.02 * head.ears
    middle = [
        (0, -0.50, -1.32, 1.16 * wide, 1.30, 1.42, 0),  # skull
        (0, 0.40, -0.80, 1.03 * wide, 1.10, 0.84, 0),  # face
        (0, 0.93 + chin / 2, -0.80, jaw * wide, 0.93 + chin / 2, 0.77, 0),  # jaw
        (0, 1.49 + chin, -0.44, 0.38, 0.36, 0.43, 0),  # chin
        (0, mouth, -0.34, 0.50, 0.42, 0.46, 0),  # lips
        (0, 0.28 * tip / 0.6, 0.07 + out / 2, 0.115 * nose, 0.50, 0.20 + out, 30),  # ridge of nose
        (0, tip, 0.33 + out, 0.145 * nose, 0.13, 0.17, 0),  # tip of nose
    ]
    right = [
        (0.54, 0.48 - cheek, -0.44, 0.46, 0.50, 0.39 + cheek, 0),  # cheek
        (0.40, -0.36, -0.38, 0.47, 0.26, 0.34 + brow, 0),  # brow
        (0.155 * nose, tip + 0.06, 0.18, 0.115 * nose, 0.105, 0.16, 0),  # wing of nose
        (1.08 * wide, 0.27, -1.02, 0.12 + ear, 0.32 + ear, 0.20, 12),  # ear
    ]
    return ellipsoids([*middle, *(row for x, *rest in right for row in ((-x, *rest), (x, *rest)))])


def landmarks(head: Head) -> np.ndarray:
    """The five points (5, 3) on the skin in the head's frame, in MTFL's order.

    Left eye, right eye, nose, left mouth corner, right mouth corner; left is the image's left.
    """
    (ex, ey), (nx, ny), (cx, cy) = features(head).values()
    flat = np.array([[-ex, ey], [ex, ey], [nx, ny], [-cx, cy], [cx, cy]])
    return np.column_stack([flat, height(anatomy(head), flat)])


def project(head: Head, points: np.ndarray, resolution: int) -> np.ndarray:
    """Points (m, 3) of the head's frame to pixels (m, 2) of a window of `resolution` pixels."""
    turned = (points - PIVOT) @ rotation(head.yaw, head.pitch, head.roll).T
    return resolution * (0.5 + placed(head) + SHARE * head.size * turned[:, :2])


def placed(head: Head) -> np.ndarray:
    """Where the pivot is, from the middle of the window, in shares of the window (2,)."""
    return np.array([head.side * head.place[0], head.place[1]])
