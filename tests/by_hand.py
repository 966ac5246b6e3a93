"""Records and tables as `json` and `numpy` see them; nothing of dclib is used."""

import base64
import csv
import io
import json
import lzma
from pathlib import Path

import numpy as np
from scipy.stats import t

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "book" / "_static" / "output"
UNITS = 2000  # steps of an error: 1/2000 of the interocular distance, rounded up
FAILURE = 200  # steps: a tenth


class Run:
    """A record, read by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.name
        self.about = json.loads((folder / "record.json").read_text())
        self.e = self.about["experiment"]
        packed = lzma.decompress((folder / "outcomes.npz.xz").read_bytes())
        with np.load(io.BytesIO(packed)) as arrays:
            self.arrays = dict(arrays)
        alone = self.e["related"] and not any(weight for _, weight in self.e["related"])
        self.label = self.e["method"] + (" (related 0)" if alone else "")

    def failed(self, decoder: str) -> np.ndarray:
        return self.arrays[f"errors.{decoder}"].astype(int) > FAILURE  # (epochs, faces)


def every_run() -> list[Run]:
    return [Run(path.parent) for path in sorted((ROOT / "results/runs").glob("*/record.json"))]


def rows(name: str) -> list[dict[str, str]]:
    with (OUTPUT / f"{name}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def chosen(every: list[Run], **fields: object) -> dict[str, list[Run]]:
    """Runs of these settings by label."""
    found: dict[str, list[Run]] = {}
    for run in every:
        if all(run.e.get(field) == value for field, value in fields.items()):
            found.setdefault(run.label, []).append(run)
    return found


def rate(runs: list[Run], decoder: str) -> float:
    return 100 * float(np.mean([run.failed(decoder).mean() for run in runs]))


def interval(
    one: list[Run], other: list[Run] | None, decoder: str, setting: dict[str, list[Run]]
) -> tuple[float, float]:
    """Student's t over faces and tries; how much tries differ is pooled over the setting."""

    def matrix(runs: list[Run]) -> np.ndarray:
        return np.array([r.failed(decoder).mean(axis=0) for r in runs])  # (tries, faces)

    squares, noise, freedom = 0.0, 0.0, 0
    for runs in setting.values():
        m = matrix(runs)
        if len(m) > 1:
            squares += len(m) * m.mean(axis=1).var()
            left = m - m.mean(axis=0) - m.mean(axis=1)[:, None] + m.mean()
            noise += (left**2).sum() / (m.shape[1] - 1) / m.shape[1]
            freedom += len(m) - 1
    squares, noise = squares / freedom, noise / freedom
    share = 1 / len(one) + (1 / len(other) if other else 0)
    gaps = matrix(one).mean(axis=0) - (matrix(other).mean(axis=0) if other else 0)
    faces = gaps.var(ddof=1) / len(gaps)
    tries = share * max(squares, noise)
    variance = max(faces - share * noise, 0) + tries
    degrees = variance**2 / (tries**2 / freedom + faces**2 / (len(gaps) - 1))
    half = t.ppf(0.975, degrees) * variance**0.5
    return 100 * (gaps.mean() - half), 100 * (gaps.mean() + half)


class Evaluation:
    """An ablation, read by hand from its packed bits."""

    def __init__(self, file: Path) -> None:
        self.run = file.parent.name
        kept = json.loads(file.read_text())
        packed = lzma.decompress(base64.b64decode(kept["failed"]))
        self.tasks = list(kept["tasks"])
        faces, cells = kept["faces"], 4 * len(kept["tasks"]) * kept["blocks"]
        bits = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)
        self.intact = bits[: 2 * faces].reshape(2, faces)  # decoder, face
        flips = bits[2 * faces : 2 * faces + cells * faces]
        # content, decoder, task, block, face
        shape = (2, 2, len(self.tasks), kept["blocks"], faces)
        self.failed = flips.reshape(shape) ^ self.intact[None, :, None, None]


def every_evaluation() -> list[Evaluation]:
    return [Evaluation(file) for file in sorted((ROOT / "results/ablation").glob("*/*.json"))]
