"""Run records with outcomes made up from a seed, for tests of what is made from records."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dclib.records.experiment import Experiment
from dclib.records.outcomes import Outcomes
from dclib.records.runs import Record

RELATED = ("gender", "smile", "glasses", "profile")
NO_RELATED = tuple((task, 0.0) for task in RELATED)

EXPERIMENT = Experiment(
    dataset="mtfl",
    fingerprint="0" * 12,
    split="test",
    holdout=True,
    train_faces=2000,
    method="DCNet",
    underlying="resnet18",
    width=0.25,
    resolution=48,
    pretrained=False,
    epochs=100,
    batch=64,
    lr=0.1,
    unit_rate=1.0,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="one-cycle",
    augmentation="standard",
    weighting="per_output",
    related=(),
    try_=0,
    preset="cpu",
)


def fake_record(method="DCNet", scale=1.0, faces=400, **changes):
    """A record whose landmark errors are `scale` times those of any other on the same faces."""
    experiment = replace(EXPERIMENT, method=method, **changes)
    kept = min(5, experiment.epochs)
    difficulty = np.random.default_rng(0).gamma(4.0, 0.02, faces)
    rng = np.random.default_rng([experiment.try_, *method.encode()])
    errors = scale * difficulty * rng.uniform(0.9, 1.1, (kept, faces))
    tasks = () if method.endswith(("-S", "-Sx")) else RELATED
    outcomes = Outcomes(
        errors={"bin": errors, "soft": 0.9 * errors},
        classes={task: rng.integers(0, 2, (kept, faces)) for task in tasks},
        accuracy={task: rng.uniform(0.5, 1.0, kept) for task in tasks},
        bins=rng.integers(0, experiment.resolution, (kept, faces, 5, 2)).astype(np.uint16),
        offsets=rng.uniform(-1, 1, (faces, 5, 2)),
    )
    history = [
        {"loss.landmarks": 3.0 / (1 + epoch), **{f"loss.{task}": 0.5 for task in tasks}}
        for epoch in range(experiment.epochs)
    ]
    environment = {
        "parameters": 1_000_000,
        "trained_on": 2000,
        "device": "cpu",
        "commit": "0" * 40,
        "clean": True,
    }
    record = Record(experiment, environment, history, Path("nowhere"))
    record.__dict__["outcomes"] = outcomes  # in place of reading a file
    return record


def fake_records(scales, tries=2, **changes):
    """Records of several methods: {method: scale}, each tried so many times."""
    return [
        fake_record(method, scale, try_=try_, **changes)
        for try_ in range(tries)
        for method, scale in scales.items()
    ]
