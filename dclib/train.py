"""One run: from an experiment to its record, resumable to the bit."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from dclib import data, environment, paths, runs
from dclib.batches import Faces, draws_of_epoch, face_sets
from dclib.data.augment import Augmentation, centre, normalise
from dclib.errors import RunError
from dclib.experiment import Experiment
from dclib.networks import METHODS, Network, build, count_parameters
from dclib.outcomes import judge
from dclib.runs import Record
from dclib.tasks import Landmarks, task_weights

LAST = 5  # the paper averages over the last five epochs
CHECKPOINT = "checkpoint.pt"

Report = Callable[[dict[str, Any]], None]  # called with each epoch's row of the history


def execution(device: torch.device) -> dict[str, Any]:
    """How networks are computed on a device, from a fixed table: a run's numbers depend on it."""
    if device.type == "cuda":
        return {"device": "cuda", "threads": 1, "precision": "bf16", "layout": "channels_last"}
    return {"device": "cpu", "threads": 1, "precision": "fp32", "layout": "channels_last"}


def default_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_network(experiment: Experiment) -> Network:
    """The untrained network of an experiment; its weights depend on the try alone."""
    torch.manual_seed(experiment.try_)
    return build(
        experiment.method,
        tasks=data.DATASETS[experiment.dataset].tasks(experiment.resolution),
        underlying=experiment.underlying,
        resolution=experiment.resolution,
        width=experiment.width,
        pretrained=experiment.pretrained,
    )


def make_optimiser(experiment: Experiment, net: nn.Module, device: str) -> torch.optim.SGD:
    """SGD with Nesterov's momentum; Cross-Stitch units have a rate of their own and no decay."""
    assert isinstance(net, Network)
    has_units = METHODS[experiment.method].unit_rate
    units = list(net.mixers.parameters()) if has_units else []
    theirs = {id(p) for p in units}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in net.parameters() if id(p) not in theirs], "lr": experiment.lr}
    ]
    if units:
        rate = experiment.lr * experiment.unit_rate
        groups.append({"params": units, "lr": rate, "weight_decay": 0.0})
    return torch.optim.SGD(
        groups,
        lr=experiment.lr,
        momentum=experiment.momentum,
        weight_decay=experiment.weight_decay,
        nesterov=experiment.momentum > 0,
        fused=device == "cuda",
    )


def rate(schedule: str, progress: float) -> float:
    """Share of the peak learning rate after a share of the training, both between 0 and 1."""
    if schedule == "constant":
        return 1.0
    warm = 0.3
    if progress < warm:
        return 0.04 + 0.96 * progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


class Run:
    """The state of a training in progress."""

    def __init__(self, experiment: Experiment, how: dict[str, Any]) -> None:
        self.experiment = experiment
        self.how = how
        torch.set_num_threads(how["threads"])
        self.device = torch.device(how["device"])
        train, self.order, scored = face_sets(experiment)
        net = make_network(experiment)
        if how["layout"] == "channels_last":
            net = net.to(memory_format=torch.channels_last)
        self.net = net.to(self.device)
        self.optimiser = make_optimiser(experiment, net, how["device"])
        self.faces = Faces(train, net.tasks, self.device)
        self.scored = scored
        self.weights = task_weights(
            net.tasks,
            experiment.weighting,
            {n: w for n, w in experiment.related if n in {t.name for t in net.tasks}},
        )
        self.history: list[dict[str, Any]] = []
        self.last: list[dict[str, np.ndarray]] = []  # predictions of the last epochs

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        bf16 = self.how["precision"] == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self.net(images.contiguous(memory_format=torch.channels_last))
        return {name: values.float() for name, values in logits.items()}

    def step(self, images: Tensor, targets: dict[str, Tensor]) -> dict[str, float]:
        logits = self.predict(images)
        losses = {t.name: t.loss(logits[t.name], targets[t.name]) for t in self.net.tasks}
        total = sum(self.weights[name] * loss for name, loss in losses.items())
        assert isinstance(total, Tensor)
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        return {name: loss.item() for name, loss in losses.items()}

    def epoch(self) -> dict[str, Any]:
        """Train through the faces once and return the row of the history."""
        e, number = self.experiment, len(self.history)
        start = time.perf_counter()
        keys, uniforms = draws_of_epoch(e.try_, number, len(self.faces.images))
        index = self.order[np.argsort(keys[self.order], kind="stable")]
        batches = [b for b in np.split(index, range(e.batch, len(index), e.batch)) if len(b) > 1]
        augmentation = Augmentation() if e.augmentation == "standard" else None
        sums = dict.fromkeys(self.weights, 0.0)
        self.net.train()
        for k, batch in enumerate(batches):
            share = rate(e.schedule, (number + k / len(batches)) / e.epochs)
            for group, peak in zip(self.optimiser.param_groups, self._peaks(), strict=True):
                group["lr"] = peak * share
            draws = torch.from_numpy(uniforms[batch]).to(self.device)
            chosen = torch.from_numpy(batch).to(self.device)
            losses = self.step(*self.faces.batch(chosen, draws, augmentation))
            if not all(math.isfinite(loss) for loss in losses.values()):
                raise RunError(
                    f"run {e.id} ({e.title}): loss {losses} in epoch {number}, step {k}:"
                    " lower lr or the task weights"
                )
            for name, loss in losses.items():
                sums[name] += loss / len(batches)
        row = {f"loss.{name}": round(value, 5) for name, value in sums.items()}
        row |= {"epoch": number, "lr": round(e.lr * share, 6)}
        return row | {"seconds": round(time.perf_counter() - start, 2)}

    def _peaks(self) -> list[float]:
        base = self.experiment.lr
        return [base, base * self.experiment.unit_rate][: len(self.optimiser.param_groups)]

    @torch.no_grad()
    def score(self) -> dict[str, np.ndarray]:
        """Predictions on every face that outcomes are on."""
        self.net.eval()
        parts: list[dict[str, np.ndarray]] = []
        size = self.experiment.resolution
        for start in range(0, len(self.scored), 256):
            images = torch.from_numpy(np.array(self.scored.images[start : start + 256]))
            points = torch.zeros(len(images), 1, 2)
            seen, _ = centre(images.to(self.device), points.to(self.device), size)
            logits = self.predict(normalise(seen))
            part = {}
            for task in self.net.tasks:
                if isinstance(task, Landmarks):
                    part["bin"] = task.decode(logits[task.name]).cpu().numpy()
                    part["soft"] = task.decode(logits[task.name], "soft").cpu().numpy()
                else:
                    part[task.name] = logits[task.name].argmax(dim=1).cpu().numpy()
            parts.append(part)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def describe(self) -> dict[str, Any]:
        """What the record says of where and how the run was made."""
        return {
            **self.how,
            **environment.machine(),
            "parameters": count_parameters(self.net),
            "trained_on": len(self.order),
            "scored_on": len(self.scored),
            "seconds": round(sum(row["seconds"] for row in self.history), 1),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def state(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment.to_json(),
            "how": self.how,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": json.dumps(self.history),
            "last": [{k: torch.from_numpy(v) for k, v in p.items()} for p in self.last],
        }

    def resume(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history = json.loads(state["history"])
        self.last = [{k: v.numpy() for k, v in p.items()} for p in state["last"]]


def read_checkpoint(path: Path, experiment: Experiment) -> dict[str, Any]:
    """The state of an interrupted run.

    Raises:
        RunError: the file is corrupt, or belongs to another experiment.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, and advises to load unsafely
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}): remove it, and the run starts anew"
        ) from error
    if state.get("experiment") != experiment.to_json():
        raise RunError(
            f"{path} belongs to another experiment than {experiment.id}: remove it, and the run"
            " starts anew"
        )
    return state


def train(experiment: Experiment, report: Report = lambda row: None) -> Record:
    """Train one experiment and leave its record and weights in the store.

    An interrupted run goes on after its last finished epoch, with the execution it began with, and
    ends with the same bits as one that was not interrupted.

    Raises:
        RunError: the loss is not finite, the disk is full, or the checkpoint is not this run's.
        DataError: the data set is missing or not the one named.
    """
    folder = paths.store() / experiment.id
    folder.mkdir(parents=True, exist_ok=True)
    code = environment.code()
    checkpoint = folder / CHECKPOINT
    state = read_checkpoint(checkpoint, experiment) if checkpoint.exists() else None
    run = Run(experiment, state["how"] if state else execution(default_device()))
    if state:
        run.resume(state)
    while len(run.history) < experiment.epochs:
        row = run.epoch()
        run.history.append(row)
        if len(run.history) > experiment.epochs - LAST:
            run.last.append(run.score())
        _write_checkpoint(checkpoint, run.state())
        report(row)
    weights = {name: t.detach().cpu().contiguous() for name, t in run.net.state_dict().items()}
    about = {"experiment": json.dumps(asdict(experiment))}
    runs.write_atomically(folder / runs.WEIGHTS, safetensors_bytes(weights, about))
    about_run = code | run.describe()
    found = judge(run.last, run.scored, run.net.tasks)
    record = runs.save(folder, experiment, about_run, run.history, found)
    checkpoint.unlink()
    return record


def _write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    try:
        torch.save(state, partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise RunError(
            f"{path} cannot be written ({error}): free space or change DCLIB_STORE, then run again;"
            " the last finished epoch is kept"
        ) from error
