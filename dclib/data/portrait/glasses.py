"""Glasses: two rims on a bent sheet before the eyes, a bridge, and arms to the ears."""

import numpy as np

from dclib.data.portrait.canvas import Canvas, Window
from dclib.data.portrait.head import PIVOT, Head, features, landmarks
from dclib.data.portrait.skin import inside, linear, mix

BEND = 0.14  # how far the sheet falls back at one length from the middle
HEIGHT = 0.05  # of the lenses' centres, below the eyes


def glasses(canvas: Canvas, head: Head, turn: np.ndarray) -> None:
    """Lays the head's glasses over what is on the canvas."""
    across = features(head)["eye"][0]
    ahead = float(landmarks(head)[0, 2]) + 0.27
    a, b = 0.35 + 0.03 * head.frame_square, 0.27 + 0.03 * head.frame_weight  # a lens's half axes
    weight = 0.022 + 0.035 * head.frame_weight
    window = canvas.rays.near(turn @ (np.array([0, HEIGHT, ahead]) - PIVOT), 1.1)
    x, y, z = _sheet(canvas, window, turn, ahead)
    near = (z > canvas.depth[window] - 0.03).astype(np.float32)

    u, v = (np.abs(x) - across) / a, (y - HEIGHT) / b
    round_, square = np.sqrt(u * u + v * v), np.sqrt(np.sqrt(u**4 + v**4))
    rim = round_ + head.frame_square * (square - round_)  # 1 on the middle of the rim
    soft = canvas.rays.soft
    bridge = inside(weight - np.abs(y + 0.03 - 0.4 * x * x), soft) * (np.abs(x) < across - 0.9 * a)
    frame = np.maximum(inside(weight - 0.8 * b * np.abs(rim - 1), soft), bridge)
    lens = near * inside(1 - rim, soft / a)

    rgb = canvas.rgb[:, *window]
    mix(rgb, 0.96 * head.tint * lens, 0.35 * linear(head.frame))
    slant = head.side * np.sign(x) * u + 0.8 * v + 0.25
    gleam = np.clip(1 - np.abs(slant) / 0.28, 0, 1)
    mix(rgb, (0.05 + 0.22 * gleam) * lens, np.full(3, 0.85, dtype=np.float32))
    mix(rgb, near * frame, linear(head.frame) * (0.7 + 0.5 * head.hardness))
    for side in (-1, 1):
        hinge = (side * (across + 0.97 * a), -0.02, ahead - BEND * (across + a) ** 2)
        ear = (side * 1.10, 0.02, -1.05)
        _arm(canvas, head, (np.array([hinge, ear]) - PIVOT) @ turn.T, 0.7 * weight + 0.012)


def _sheet(
    canvas: Canvas, window: Window, turn: np.ndarray, ahead: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The head's X and Y, and the depth, at which rays meet the bent sheet of the lenses."""
    x, y = canvas.rays.grid(window)
    back = turn.T.astype(np.float32)
    flat = (ahead - float(PIVOT[2]) - back[2, 0] * x - back[2, 1] * y) / back[2, 2]
    z = flat
    for _ in range(2):  # the bend is slight, so this settles
        across = back[0, 0] * x + back[0, 1] * y + back[0, 2] * z
        z = flat - BEND / back[2, 2] * across * across
    across = back[0, 0] * x + back[0, 1] * y + back[0, 2] * z
    return across, back[1, 0] * x + back[1, 1] * y + back[1, 2] * z + float(PIVOT[1]), z


def _arm(canvas: Canvas, head: Head, ends: np.ndarray, weight: float) -> None:
    window = canvas.rays.near(ends.mean(axis=0), 0.9)
    x, y = canvas.rays.grid(window)
    start, along = ends[0].astype(np.float32), (ends[1] - ends[0]).astype(np.float32)
    dx, dy = x - start[0], y - start[1]
    t = np.clip((dx * along[0] + dy * along[1]) / (along[:2] @ along[:2] + 1e-6), 0, 1)
    off = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2)
    near = start[2] + t * along[2] > canvas.depth[window] - 0.06
    mix(
        canvas.rgb[:, *window],
        near * inside(weight - off, canvas.rays.soft),
        0.8 * linear(head.frame),
    )
