"""A tiny MTFL with enough test crops for a division, and a table of AFLW's annotations of them."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import tiny_mtfl
from PIL import Image

NAMES = (
    *("LeftBrowLeftCorner", "LeftBrowCenter", "LeftBrowRightCorner"),
    *("RightBrowLeftCorner", "RightBrowCenter", "RightBrowRightCorner"),
    *("LeftEyeLeftCorner", "LeftEyeCenter", "LeftEyeRightCorner"),
    *("RightEyeLeftCorner", "RightEyeCenter", "RightEyeRightCorner"),
    *("LeftEar", "NoseLeft", "NoseCenter", "NoseRight", "RightEar"),
    *("MouthLeftCorner", "MouthCenter", "MouthRightCorner", "ChinCenter"),
)
HEADER = (
    *("file", "gender", "smile", "glasses", "profile", "aflw_faces_in_image", "face_match"),
    *("yaw_deg", "pitch_deg", "roll_deg", "n_visible21", "fit_points", "fit_rms_px"),
    *("row_alignment", *(f"{axis}_{name}" for name in NAMES for axis in "xy")),
)
CROPS = 24
NO_POINTS = 5  # the crop whose row is empty
SAME_PHOTO = (2, 3)  # crops from one photo, by their names
TWICE = (7, 11)  # crops of one picture under two numbers, the second one darker and moved
SHAPE = {  # across and down from the middle of the eyes, in distances between them
    "LeftBrowLeftCorner": (-0.9, -0.3),
    "LeftBrowCenter": (-0.55, -0.45),
    "LeftBrowRightCorner": (-0.2, -0.35),
    "LeftEyeLeftCorner": (-0.7, 0.0),
    "LeftEyeCenter": (-0.5, 0.0),
    "LeftEyeRightCorner": (-0.3, 0.0),
    "LeftEar": (-1.1, 0.4),
    "NoseLeft": (-0.2, 0.6),
    "NoseCenter": (0.0, 0.6),
    "MouthLeftCorner": (-0.35, 1.0),
    "MouthCenter": (0.0, 1.0),
    "ChinCenter": (0.0, 1.6),
}


def other_side(name: str) -> str:
    """The point that a point is in the mirror: the eye's left corner is the other's right one."""
    swap = {"Left": "Right", "Right": "Left"}
    return re.sub("Left|Right", lambda found: swap[found[0]], name)


def shape() -> np.ndarray:
    """A face that looks ahead (21, 2), its middle and the distance of its eyes being 0 and 1."""
    known = {**{other_side(name): (-x, y) for name, (x, y) in SHAPE.items()}, **SHAPE}
    return np.array([known[name] for name in NAMES])


def crop_name(at: int) -> str:
    number = SAME_PHOTO[0] if at in SAME_PHOTO else at
    return f"AFLW/{at + 1:04d}-image{number:05d}.jpg"


def move(at: int) -> int:
    """How many pixels a crop is moved to the right of the others."""
    return 6 if at == TWICE[1] else 0


class Tiny(tiny_mtfl.Tiny):
    """The files of MTFL's archive and the table, to be changed at will and then written."""

    def __init__(self) -> None:
        super().__init__()
        for name in tiny_mtfl.TESTING:
            del self.photos[name]
        names = [crop_name(at) for at in range(CROPS)]
        self.photos |= {name: self.crop(at) for at, name in enumerate(names)}
        self.testing = [self.line(name, (150, 150), at % 20) for at, name in enumerate(names)]
        self.rows = [self.row(at) for at in range(CROPS)]

    @staticmethod
    def crop(at: int) -> bytes:
        """Random coarse spots, so that no two crops are alike but those of TWICE."""
        seed = TWICE[0] if at in TWICE else at
        spots = np.random.default_rng(seed).integers(0, 255, (11, 11, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(spots).resize((150, 150), Image.Resampling.BICUBIC))
        picture = np.roll(picture, move(at), axis=1)
        content = io.BytesIO()
        Image.fromarray(picture // (1 + (at == TWICE[1]))).save(content, "jpeg", quality=95)
        return content.getvalue()

    @staticmethod
    def row(at: int) -> dict[str, str]:
        """A row as published; the eyes of every face are 50 pixels apart."""
        row = dict.fromkeys(HEADER, "")
        row |= {"file": crop_name(at), "gender": "1", "face_match": "none"}
        if at == NO_POINTS:
            return row
        for name, (x, y) in zip(NAMES, 50 * shape() + (75 + move(at), 55), strict=True):
            row |= {f"x_{name}": f"{x:.2f}", f"y_{name}": f"{y:.2f}"}
        row |= {"yaw_deg": f"{at - 10}", "pitch_deg": "-5.5", "roll_deg": f"{(at - 10) / 4}"}
        row |= {"n_visible21": "21", "fit_points": "5", "fit_rms_px": f"{1 + at / 10:.2f}"}
        return row | {"row_alignment": "yaw"}

    def hide(self, at: int, *names: str) -> None:
        """Take points from a row."""
        row = self.rows[at]
        row |= {f"{axis}_{name}": "" for name in names for axis in "xy"}
        row["n_visible21"] = str(sum(bool(row[f"x_{name}"]) for name in NAMES))

    def table(self) -> str:
        rows = [",".join(HEADER), *(",".join(row.values()) for row in self.rows)]
        return "\n".join(rows) + "\n"

    def table_fingerprint(self) -> str:
        """Computed anew from the definition."""
        return hashlib.sha256(self.table().strip().encode()).hexdigest()[:16]

    def write_table(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.table())
        return path
