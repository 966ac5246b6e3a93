"""Records of cascades with findings made up from a seed, for tests of what is made from them."""

from pathlib import Path

import numpy as np

from dclib.mtcnn.experiment import STAGES
from dclib.mtcnn.findings import Findings
from dclib.mtcnn.presets import experiment
from dclib.mtcnn.records import CascadeRecord

GROUP = {  # two detections in the group photo: Lorentz, and a wall
    "size": [1600, 1158],
    "boxes": np.array([[625.0, 600, 690, 690], [1100, 100, 1140, 140]]),
    "scores": np.array([0.99, 0.71]),
    "points": np.array([[[640.0, 635], [672, 635], [656, 652], [643, 670], [670, 670]]] * 2),
}


def fake_findings(scale=1.0, missed=20, faces=400, seed=0, on="mtfl-test", heldout="lfwnet"):
    """Errors are `scale` times those of any other on the same faces; the first ones are missed."""
    difficulty = np.random.default_rng(0).gamma(4.0, 0.02, faces)
    rng = np.random.default_rng([seed, 1])
    found = np.arange(faces) >= missed
    overlaps = rng.uniform(0.55, 0.95, 300)
    overlaps[: missed * 3 // 4] = 0.0
    return Findings(
        faces=on,
        scores=np.where(found, rng.uniform(0.7, 1.0, faces), np.nan),
        errors=np.where(found, scale * difficulty * rng.uniform(0.9, 1.1, faces), np.nan),
        points=np.where(found[:, None, None], rng.uniform(0, 150, (faces, 5, 2)), np.nan),
        heldout=heldout,
        overlaps=overlaps,
        heldout_scores=np.where(overlaps > 0, 0.9, np.nan),
        others=rng.integers(0, 4, 300),
        stages={"P": 0.99, "R": 0.97, "O": float((overlaps >= 0.5).mean())},
        pictures={"group": GROUP},
    )


def fake_cascade(method="DC-MTCNN", scale=1.0, missed=20, try_=0, preset="cpu", **more):
    """A record of a cascade of a preset, with made-up findings."""
    made = experiment(preset, method, try_=try_)
    epochs = range(1, 4)
    history = {
        stage: [
            {"epoch": n, "seconds": 2.0}
            | {f"{start}.{task}": 1 / n for start in ("loss", "validation") for task in tasks}
            for n in epochs
        ]
        for stage, tasks in zip(
            STAGES, (("face", "box"), ("face", "box"), ("face", "box", "landmarks")), strict=True
        )
    }
    counts = {"negative": 3000, "positive": 1000, "part": 1000, "landmark": 0, "left out": 5}
    hardest = [
        {"photo": f"photo {k}", "square": [10.0 * k, 20.0, 10.0 * k + 30, 50.0], "score": 0.9}
        for k in range(20)
    ]
    mined = {
        "P": counts | {"left out": 0, "hardest": []},
        "R": counts | {"hardest": hardest},
        "O": counts | {"landmark": 500, "hardest": hardest},
    }
    environment = {
        "parameters": {"P": 22_000, "R": 293_000, "O": 1_685_000},
        "seconds": {"samples P": 60.0, "training P": 120.0, "training O": 600.0},
        "trained_on": 9000,
        "device": "cpu",
        "processor": "a processor",
        "commit": "0" * 40,
        "clean": True,
    }
    findings = fake_findings(scale, missed, seed=100 * try_ + len(method), **more)
    return CascadeRecord(made, environment, history, mined, findings, Path("nowhere"))


def fake_cascades(scales, tries=2, **more):
    """Records of several methods: {method: (scale, missed)}, each tried so many times."""
    return [
        fake_cascade(method, scale, missed, try_, **more)
        for try_ in range(tries)
        for method, (scale, missed) in scales.items()
    ]
