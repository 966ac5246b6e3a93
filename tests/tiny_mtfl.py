"""A tiny MTFL in the official layout, with pixels made here."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

TRAINING = {  # photo, its size
    "lfw_5590/Ada_Alpha_0001.jpg": (250, 250),
    "lfw_5590/Ada_Alpha_0002.jpg": (250, 250),
    "lfw_5590/Ben_Beta_0001.jpg": (250, 250),
    "net_7876/17_0_0.jpg": (400, 400),
    "net_7876/17_1_0.jpg": (400, 400),
    "net_7876/18_0_0.jpg": (400, 400),
    "net_7876/_-20_17_0.jpg": (160, 216),
    "net_7876/_40_17_1.jpg": (160, 216),
}
TESTING = {
    "AFLW/0001-image00007.jpg": (150, 150),
    "AFLW/0002-image00007.jpg": (150, 150),
    "AFLW/0003-image00008.jpg": (150, 150),
}
GREY = "AFLW/0003-image00008.jpg"


def photo(name: str, size: tuple[int, int]) -> bytes:
    """A smooth colourful JPEG that depends on the name."""
    rng = np.random.default_rng(list(name.encode()))
    coarse = Image.fromarray(rng.integers(0, 255, (7, 5, 3), dtype=np.uint8))
    picture = coarse.resize(size, Image.Resampling.BICUBIC)
    content = io.BytesIO()
    (picture.convert("L") if name == GREY else picture).save(content, "jpeg", quality=90)
    return content.getvalue()


def points(size: tuple[int, int], shift: float) -> list[float]:
    """x1 ... x5 then y1 ... y5, pixels counted from 1."""
    across, down = size
    xs = [0.4, 0.6, 0.5, 0.42, 0.58]
    ys = [0.4, 0.4, 0.5, 0.6, 0.6]
    return [across * x + shift for x in xs] + [down * y + shift for y in ys]


class Tiny:
    """The files of the archive, to be changed at will and then written."""

    def __init__(self) -> None:
        self.photos = {name: photo(name, size) for name, size in (TRAINING | TESTING).items()}
        self.training = [
            self.line(name.replace("/", "\\"), size, at)
            for at, (name, size) in enumerate(TRAINING.items())
        ]
        self.testing = [
            self.line(name, size, at) for at, (name, size) in enumerate(TESTING.items())
        ]
        self.boxes = []
        for at, (name, (across, down)) in enumerate(TRAINING.items()):
            width = 60 + at
            left, top = across // 2 - 30, down // 2 - 35
            told = points((across, down), at - 1)
            pairs = " ".join(f"{x:.6f} {y:.6f}" for x, y in zip(told[:5], told[5:], strict=True))
            path = name.replace("/", "\\")
            self.boxes.append(f"{path} {left} {left + width} {top} {top + width} {pairs}")

    @staticmethod
    def line(name: str, size: tuple[int, int], at: int) -> str:
        numbers = " ".join(f"{value:.6f}" for value in points(size, at))
        return f"{name} {numbers} {1 + at % 2} 2 {2 - at % 2} {1 + at % 5}"

    def lists(self) -> dict[str, bytes]:
        """As published: Windows line ends, each followed by a blank, which also ends the file."""
        join = "\r\n "
        return {
            "training.txt": (join.join(self.training) + join).encode(),
            "testing.txt": (join.join(self.testing) + join).encode(),
        }

    def files(self) -> dict[str, bytes]:
        return {**self.photos, **self.lists()}

    def fingerprint(self) -> str:
        """Computed anew from the definition."""
        boxes = {}
        for row in self.boxes:
            name, left, right, top, bottom = row.split()[:5]
            left, right, top, bottom = map(float, (left, right, top, bottom))
            centre = (left + right + 1) / 2, (top + bottom + 1) / 2
            boxes[name.replace("\\", "/")] = (*centre, (right - left + bottom - top) / 2)
        content = b""
        for row in self.training + self.testing:
            name, *rest = row.split()
            name = name.replace("\\", "/")
            digest = hashlib.sha256(self.photos[name]).hexdigest()
            content += f"{name} {' '.join(rest)} {boxes.get(name)} {digest}\n".encode()
        return hashlib.sha256(content).hexdigest()[:16]

    def write_zip(self, path: Path, top: str = "") -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in self.files().items():
                archive.writestr(top + name, content)
        return path

    def write_folder(self, path: Path) -> Path:
        for name, content in self.files().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return path

    def write_boxes(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(self.boxes) + "\n")
        return path
