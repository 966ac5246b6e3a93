"""One cascade: from an experiment to its record, stage by stage, resumable.

P learns from crops that are drawn, R from what P takes for faces, O from what P and R do.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes

from dclib import environment, paths
from dclib.data.photos import PhotoSet
from dclib.errors import DAMAGE, RunError
from dclib.files import reading, write_atomically
from dclib.mtcnn import records
from dclib.mtcnn.detect import Cascade, Settings
from dclib.mtcnn.evaluate import evaluate
from dclib.mtcnn.experiment import STAGES, CascadeExperiment
from dclib.mtcnn.mining import hardest, mine
from dclib.mtcnn.records import CascadeRecord, weights_name
from dclib.mtcnn.samples import Recipe, Samples, draw, draw_landmarks
from dclib.mtcnn.sources import shown_background, split_sets
from dclib.mtcnn.stages import SIZES, TASKS, Stage, build
from dclib.mtcnn.training import Training, train_stage
from dclib.network import count_parameters
from dclib.sweep.attempt import claimed

THREADS = 1  # results depend on it in the last bits

Tell = Callable[[str, dict[str, Any]], None]  # the stage, and the row of an epoch of its history


def _silent(stage: str, row: dict[str, Any]) -> None:
    pass


class Making:
    """A cascade in the making; what is finished is in its folder."""

    def __init__(self, experiment: CascadeExperiment, tell: Tell) -> None:
        self.experiment, self.tell, e = experiment, tell, experiment
        self.folder = paths.store() / e.id
        self.folder.mkdir(parents=True, exist_ok=True)
        self.code = environment.code()
        self.stages: dict[str, Stage] = {}
        self.told: dict[str, dict[str, Any]] = {}  # of each finished stage
        self.training, self.held_out = split_sets(e)
        self.recipe = Recipe(e.negatives, e.near, e.jitters, e.smallest)

    def samples(
        self, stage: str, sets: Sequence[PhotoSet], finder: Cascade | None
    ) -> list[Samples]:
        """What a stage learns from: of each photo set the samples that it gives.

        Args:
            finder: the stages before it, which find them.
        """
        e, size, made = self.experiment, SIZES[stage], []
        seed = seed_of(e, stage)
        for at in shown_background(sets):
            if finder is None:
                made.append(draw(sets[at], size, self.recipe, seed))
            else:
                before = list(finder.stages)[-1]
                thresholds = (*e.mining_thresholds, e.thresholds[-1])
                mining = Settings(e.mining_minimum, e.factor, thresholds)
                made.append(mine(sets[at], finder, before, size, self.recipe, mining, seed))
        if "landmarks" in TASKS[stage]:
            pointed = [s for s in sets if any(np.isfinite(p).any() for p in s.points)]
            made += [draw_landmarks(s, size, self.recipe) for s in pointed]
        return made

    def stage(self, stage: str) -> None:
        """Train a stage, unless it is finished, and read its weights, which are written last.

        What is mined with them is the same then whether the training was interrupted or not.
        """
        weights, about = self.folder / weights_name(stage), self.folder / f"{stage}.json"
        if not weights.exists() and not self.taken_over(stage):
            self.train(stage, weights, about)
        self.told[stage] = json.loads(about.read_bytes())
        self.stages[stage] = untrained(self.experiment, stage)
        read_weights(self.stages[stage], weights)

    def taken_over(self, stage: str) -> bool:
        """Take a stage from a cascade in the store that differs in what follows it only."""
        name, about = weights_name(stage), f"{stage}.json"
        for file in sorted(paths.store().glob(f"*/{name}")):
            with suppress(*DAMAGE, SafetensorError):  # damaged: the stage is trained anew
                with safe_open(file, "np") as opened:
                    other = json.loads(opened.metadata()["experiment"])
                own = _until(self.experiment, stage)
                if _until(CascadeExperiment.from_dict(other), stage) == own:
                    told = json.loads((file.parent / about).read_bytes())
                    told = {"taken_from": file.parent.name} | told
                    write_atomically(self.folder / about, json.dumps(told).encode())
                    write_atomically(self.folder / name, file.read_bytes())
                    return True
        return False

    def train(self, stage: str, weights: Path, about: Path) -> None:
        """Train a stage on its samples; write what is told of it, and then its weights."""
        e, at, start = self.experiment, STAGES.index(stage), time.perf_counter()
        net = untrained(e, stage)
        finder = Cascade(self.stages) if self.stages else None
        samples, held_out = (self.samples(stage, s, finder) for s in (self.training, self.held_out))
        drawn = time.perf_counter()
        of = Training(
            e.epochs[at], e.batch[at], e.lr[at], e.samples[at], e.mix, e.online, e.weighting
        )
        checkpoint = self.folder / f"{stage}.checkpoint.pt"
        history = train_stage(
            net, samples, of, e.try_, checkpoint, lambda row: self.tell(stage, row), held_out
        )
        counts = [part.counts() for part in samples]
        first = self.training[shown_background(self.training)[0]]
        hard = hardest(samples[0], first) if stage != STAGES[0] else []
        told = {
            "parameters": count_parameters(net),
            "seconds": round(drawn - start + sum(row["seconds"] for row in history), 1),
            "history": history,
            "mined": {k: sum(each[k] for each in counts) for k in counts[0]} | {"hardest": hard},
        }
        write_atomically(about, json.dumps(told).encode())
        content = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
        write_atomically(weights, safetensors_bytes(content, {"experiment": e.to_json()}))
        checkpoint.unlink()

    def finish(self) -> CascadeRecord:
        """Score the trained cascade and leave its record."""
        e, start = self.experiment, time.perf_counter()
        settings = Settings(e.minimum, e.factor, e.thresholds)
        findings = evaluate(Cascade(self.stages), e.faces, e.heldout, settings)

        def told(part: str) -> dict[str, Any]:
            return {stage: of[part] for stage, of in self.told.items() if part in of}

        scoring = {"scoring": round(time.perf_counter() - start, 1)}
        about = {
            **self.code,
            **environment.machine(),
            "device": "cpu",
            "threads": THREADS,
            "parameters": told("parameters"),
            "trained_on": sum(map(len, self.training)),
            "fingerprints": {photos.name: photos.fingerprint for photos in self.training},
            "taken_from": told("taken_from"),
            "seconds": told("seconds") | scoring,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        return records.save(self.folder, e, about, told("history"), told("mined"), findings)


def train_cascade(experiment: CascadeExperiment, tell: Tell = _silent) -> CascadeRecord:
    """Train one cascade, score it, and leave its record and weights in the store.

    An interrupted one goes on after its last finished epoch: crops are drawn and mined again, the
    same ones. One that was made before, and left its weights, is only scored again.

    Raises:
        RunError: a loss is not finite, a stage finds nothing to learn from, the disk is full, or
            what is in the folder is not this cascade's.
        DataError: photos are missing or not those named.
    """
    torch.set_num_threads(THREADS)
    run = Making(experiment, tell)
    for stage in STAGES:
        run.stage(stage)
    return run.finish()


def _until(experiment: CascadeExperiment, stage: str) -> dict[str, Any]:
    """All that an experiment says, but for what it says of later stages alone."""
    values, count = asdict(experiment), STAGES.index(stage) + 1
    return values | {name: values[name][:count] for name in ("epochs", "batch", "lr", "samples")}


def seed_of(experiment: CascadeExperiment, stage: str) -> int:
    """A number for each stage of each try."""
    return experiment.try_ * len(STAGES) + STAGES.index(stage)


def untrained(experiment: CascadeExperiment, stage: str) -> Stage:
    """A stage of an experiment; its weights depend on the try alone."""
    e = experiment
    torch.manual_seed(seed_of(e, stage))
    return build(stage, e.method, width=e.width, pooling=e.pooling, kernel=e.kernel)


def read_weights(net: Stage, file: Path) -> None:
    """Give a stage the weights in a file.

    Raises:
        RunError: they cannot be read, or are those of another stage.
    """
    told, remedy = f"{file} holds no weights of this stage", "remove its folder and train again"
    with reading(told, remedy, RuntimeError, SafetensorError):
        net.load_state_dict(load_file(file))
    net.eval()


def trained(record: CascadeRecord) -> Cascade:
    """The trained cascade of a record.

    Raises:
        RunError: its weights are not in the store.
    """
    if (files := record.weights) is None:
        raise RunError(
            f"the weights of cascade {record.id} are not in {paths.store()}: train it again by"
            f" `python -m dclib cascade {record.id}`"
        )
    stages = {stage: untrained(record.experiment, stage) for stage in STAGES}
    for stage, file in files.items():
        read_weights(stages[stage], file)
    return Cascade(stages)


def require(
    experiments: Iterable[CascadeExperiment], progress: bool = True, weights: bool = False
) -> list[CascadeRecord]:
    """The records of all experiments, in order; what is missing is trained first, one by one.

    Interrupt it and call again: what is finished stays. Several processes may ask for the same
    cascades at once; each is trained by one of them.

    Args:
        progress: a line per stage and epoch on standard error.
        weights: also the trained weights are needed, which committed records come without.

    Raises:
        RunError, DataError: as `train_cascade`.
    """
    wanted = list(experiments)
    waiting = [e for e in dict.fromkeys(wanted) if not records.SHELF.has(e, weights)]
    while waiting:
        for experiment in list(waiting):
            with suppress(Timeout), claimed(experiment.id):  # else another process trains it
                if not records.SHELF.has(experiment, weights):
                    train_cascade(experiment, _teller(experiment) if progress else _silent)
                waiting.remove(experiment)
        if waiting:
            time.sleep(1)
    return records.find(wanted)


def _teller(experiment: CascadeExperiment) -> Tell:
    """Tells of each epoch on standard error."""

    def tell(stage: str, row: dict[str, Any]) -> None:
        losses = ", ".join(f"{k[5:]} {v:.4f}" for k, v in row.items() if k.startswith("loss."))
        of = experiment.epochs[STAGES.index(stage)]
        print(
            f"{experiment.label} {experiment.id} {stage}: epoch {row['epoch'] + 1} of {of},"
            f" {losses}, {row['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    return tell
