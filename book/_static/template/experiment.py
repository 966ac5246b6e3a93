"""What a run is: settings with a name of their own, and a record that says how it came about."""

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

RECORDS = Path(__file__).parent / "records"


@dataclass(frozen=True)
class Experiment:
    """One run. A new field needs a default that leaves the names of old runs as they are."""

    method: str
    seed: int
    steps: int = 100
    rate: float = 0.02

    @property
    def id(self) -> str:
        """The same settings have the same name, on every machine."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def train(experiment: Experiment) -> list[float]:
    """The losses of all steps: this is where your training goes."""
    random = np.random.default_rng(experiment.seed)
    scales = np.geomspace(1, 50, 20)  # curvatures of a valley, flat to steep
    weights, speed = random.normal(size=20), np.zeros(20)
    momentum = {"plain": 0.0, "momentum": 0.8}[experiment.method]
    losses = []
    for _ in range(experiment.steps):
        gradient = scales * weights
        speed = momentum * speed - experiment.rate * gradient
        weights = weights + speed
        losses.append(float((scales * weights**2).sum() / 2))
    return losses


def commit() -> str:
    """The version of the code, as git says it; empty where there is no git."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return said.stdout.strip()


def record(experiment: Experiment) -> dict:
    """The record of a run, trained only if there is none."""
    path = RECORDS / f"{experiment.id}.json"
    if not path.exists():
        losses = train(experiment)
        if not np.isfinite(losses).all():
            raise RuntimeError(f"{experiment} diverged: choose a smaller rate")
        environment = {"python": platform.python_version(), "numpy": np.__version__}
        made = {
            "experiment": asdict(experiment),
            **environment,
            "commit": commit(),
            "losses": losses,
        }
        RECORDS.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(made, indent=1))
        os.replace(part, path)  # whole, or not there
    return json.loads(path.read_text())
