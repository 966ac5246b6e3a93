"""A sound folder of photos with a table and an about.toml, for tests that take it or damage it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FACES, WIDTH, HEIGHT = 20, 40, 30
ABOUT = """
eyes = [1, 2]
rolled = ["roll"]
[mirror]
points = [[1, 2]]
negated = ["roll"]
[mirror.classes]
side = [["left", "right"]]
"""
HEADER = ["file", "x1", "y1", "x2", "y2", "x3", "y3", "smile", "side", "roll_deg"]


def photo(at: int) -> Image.Image:
    """Red grows from left to right, green downwards; blue tells which one it is."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 0] = 4 * np.arange(WIDTH)
    pixels[..., 1] = 4 * np.arange(HEIGHT)[:, None]
    pixels[..., 2] = 10 * at
    return Image.fromarray(pixels)


def rows() -> list[dict[str, str]]:
    """Points at (12, 10), (22, 10) and (17, 20), moved by a pixel from photo to photo."""
    sides = ("left", "front", "right")
    return [
        {
            "file": f"photos/{at:02d}.png",
            **{"x1": f"{12 + at % 5}", "y1": "10.5", "x2": f"{22 + at % 5}", "y2": "10.5"},
            **{"x3": f"{17 + at % 5}", "y3": "20"},
            **{"smile": ("no", "yes")[at % 2], "side": sides[at % 3], "roll_deg": f"{3 * at - 30}"},
        }
        for at in range(FACES)
    ]


def write(place: Path, lines: list[dict[str, str]], header: list[str] | None = None) -> None:
    with (place / "table.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, header or list(lines[0]), restval="")
        table.writeheader()
        table.writerows(lines)


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound folder, and a data folder to prepare it in."""
    for name in ("DATA", "STORE", "RESULTS"):
        monkeypatch.setenv(f"DCLIB_{name}", str(tmp_path / name.lower()))
    place = tmp_path / "own"
    (place / "photos").mkdir(parents=True)
    for at in range(FACES):
        photo(at).save(place / f"photos/{at:02d}.png")
    write(place, rows())
    (place / "about.toml").write_text(ABOUT)
    return place


def number(faces, at: int) -> int:
    """Which of the photos a face is from."""
    return int(Path(faces.names[at]).stem)
