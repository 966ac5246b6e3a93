"""A handful of photos in both layouts of Tiny-ImageNet: the official one and the subset's."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("n00000020", "n00000003", "n00000100")  # not in the order of their labels
COUNTS = {"train": 3, "val": 2}  # photos of each class


def jpeg(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    """A photo of one colour, or of one grey."""
    colour = tuple(np.random.default_rng(seed).integers(0, 256, 3).tolist())
    photo = Image.new("RGB", size, colour).convert(mode)
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=95)
    return content.getvalue()


class Tiny:
    """The files of a subset by their place in it; tests may change them before writing."""

    def __init__(self) -> None:
        self.photos: dict[tuple[str, str, int], bytes] = {}  # part, class, number -> content
        seed = 0
        for part, count in COUNTS.items():
            for kind in KINDS:
                for k in range(count):
                    # validation numbers run through all classes; as numbers, 10 comes after 9
                    self.photos[part, kind, k if part == "train" else seed] = jpeg(seed)
                    seed += 1

    def bare(self) -> dict[str, bytes]:
        """Files of the bare subset, by path."""
        files = {"classes.txt": "".join(f"{kind}\tthing, {kind}\n" for kind in KINDS).encode()}
        for (part, kind, number), content in self.photos.items():
            name = f"{kind}_{number}" if part == "train" else f"val_{number}"
            files[f"{part}/{kind}/{name}.JPEG"] = content
        return files

    def official(self) -> dict[str, bytes]:
        """Files of the official archive, which has more of everything, by path."""
        files = {"wnids.txt": "".join(f"{kind}\n" for kind in reversed(KINDS)).encode()}
        rows = []
        more = {(p, kind, 4000 + i): jpeg(99) for p in COUNTS for i, kind in enumerate(KINDS)}
        for (part, kind, number), content in {**more, **self.photos}.items():
            if part == "train":
                files[f"train/{kind}/images/{kind}_{number}.JPEG"] = content
            else:
                files[f"val/images/val_{number}.JPEG"] = content
                rows.append(f"val_{number}.JPEG\t{kind}\t0\t0\t63\t63\n")
        files["val/val_annotations.txt"] = "".join(rows).encode()
        files["test/images/test_0.JPEG"] = jpeg(98)
        return files

    def write_bare(self, folder: Path, packed: bool) -> None:
        """As a folder, or with its two parts as archives."""
        for name, content in self.bare().items():
            part = name.partition("/")[0]
            if packed and part in COUNTS:
                folder.mkdir(parents=True, exist_ok=True)
                with zipfile.ZipFile(folder / f"{part}.zip", "a") as archive:
                    archive.writestr(name, content)
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)

    def write_official(self, archive: Path) -> None:
        with zipfile.ZipFile(archive, "w") as file:
            for name, content in self.official().items():
                file.writestr(f"tiny-imagenet-200/{name}", content)
