"""One run: from an experiment to its record, resumable to the bit."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from dclib import data, environment, fast, files, paths, pretrained
from dclib.data.augment import Augmentation, centre, normalise
from dclib.data.faces import split_validation
from dclib.errors import RunError
from dclib.factory import build
from dclib.files import reading
from dclib.methods import METHODS
from dclib.metrics import failure_rate
from dclib.network import Network, count_parameters
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.tasks import KINDS, Landmarks, Task, describe, label_logits, label_tasks, task_weights
from dclib.training.batches import Faces, draws_of_epoch, face_sets
from dclib.training.checkpoint import CHECKPOINT, REMEDY, read_checkpoint, write_checkpoint
from dclib.training.judging import judge
from dclib.training.optimiser import make_optimiser, through

LAST = 5  # the paper averages over the last five epochs
CURVE = 10  # how often in a run the faces are scored, at least, for its curve of failure rates
AT_ONCE = 256  # faces, where nothing is learned from them

OnEpoch = Callable[[dict[str, Any]], None]  # called with each epoch's row of the history


def default_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_network(experiment: Experiment, tasks: Sequence[Task] = ()) -> Network:
    """The untrained network of an experiment; its weights depend on the try alone.

    Args:
        tasks: by default those that its data set has now.

    Raises:
        RunError: its method has changed its meaning since, or is not there.
    """
    if experiment.method not in METHODS:
        raise RunError(
            f"run {experiment.id}: method {experiment.method!r} is unknown; there are"
            f" {', '.join(METHODS)}"
        )
    now = METHODS[experiment.method].revision
    if experiment.revision != now:
        raise RunError(
            f"run {experiment.id} is of revision {experiment.revision} of {experiment.method},"
            f" which is at {now} and computes something else: use the code that made the run, or"
            " train the method anew"
        )
    torch.manual_seed(experiment.try_)
    return build(
        experiment.method,
        tasks=tasks or data.find(experiment.dataset).tasks(experiment.resolution),
        underlying=experiment.underlying,
        resolution=experiment.resolution,
        width=experiment.width,
        pretrained=experiment.pretrained,
    )


class Run:
    """The state of a training in progress."""

    def __init__(self, experiment: Experiment, how: dict[str, Any]) -> None:
        self.experiment = experiment
        torch.set_num_threads(how["threads"])
        self.device = torch.device(how["device"])
        train, self.order, self.scored = face_sets(experiment)
        net = make_network(experiment)
        if how["layout"] == "channels_last":
            net = net.to(memory_format=torch.channels_last)
        self.net = net.to(self.device)
        how = how | ({"precision": experiment.precision} if experiment.precision else {})
        self.how = how | fast.settle(net, how, experiment.batch, experiment.resolution)
        self.forward = self.predict
        if how.get("compile") == "yes":  # on a GPU a step becomes a few CUDA graphs
            self.forward = torch.compile(self.predict, mode="reduce-overhead", dynamic=False)
        self.parameters = count_parameters(net)
        self.faces = Faces(train, net.tasks, self.device)
        self.stopped = METHODS[experiment.method].stopped
        self.held_out = split_validation(train)[1] if self.stopped else np.zeros(0, dtype=np.int64)
        if self.stopped and not experiment.holdout:
            raise RunError(
                f"run {experiment.id}: {experiment.method} ends tasks by faces that are not trained"
                " on, so its runs need holdout=True, and so does every run beside it"
            )
        known = {task.name for task in data.find(experiment.dataset).tasks(experiment.resolution)}
        if unknown := {name for name, _ in experiment.related} - known:
            raise RunError(
                f"run {experiment.id}: related={experiment.related} names {sorted(unknown)}, and"
                f" {experiment.dataset} has the tasks {sorted(known)}"
            )
        own = {task.name for task in net.tasks}
        related = {name: weight for name, weight in experiment.related if name in own}
        self.weights = task_weights(net.tasks, experiment.weighting, related)
        self.history: list[dict[str, Any]] = []
        self.last: list[dict[str, np.ndarray]] = []  # predictions of the last epochs
        self.epochs = experiment.epochs * net.stages
        self.enter(0)

    def enter(self, stage: int) -> None:
        """Begin a stage of training, with a new optimiser."""
        self.stage = stage
        self.trained = self.net.enter(stage)
        fused = self.how.get("optimiser") == "fused"
        self.optimiser = make_optimiser(self.experiment, self.net, fused)

    def predict(self, images: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Logits of every task, and the features that the heads made them of."""
        bf16 = self.how["precision"] == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            features = self.net.features(images.contiguous(memory_format=torch.channels_last))
            logits = self.net.logits(features)
        return {name: values.float() for name, values in logits.items()}, features

    def step(
        self, images: Tensor, targets: dict[str, Tensor], weights: dict[str, float]
    ) -> dict[str, float]:
        logits, features = self.forward(images)
        tasks = [task for task in self.net.tasks if task.name in weights]
        losses = {t.name: t.loss(logits[t.name], targets[t.name]) for t in tasks}
        total = sum(weights[name] * loss for name, loss in losses.items())
        assert isinstance(total, Tensor)
        penalty = self.net.penalty(features) if self.experiment.penalty else None
        if penalty is not None:
            total = total + self.experiment.penalty * penalty
            losses["penalty"] = penalty
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        values = torch.stack([loss.detach() for loss in losses.values()]).tolist()  # waits but once
        return dict(zip(losses, values, strict=True))

    def current_weights(self) -> dict[str, float]:
        """The weights of the tasks trained now: those of the stage, without those that ended."""
        names = [task.name for task in self.net.tasks]
        ended = self.stopped(self.history, self.weights) if self.stopped else set()
        return {n: 0.0 if n in ended else self.weights[n] for n in names if n in self.trained}

    def epoch(self) -> dict[str, Any]:
        """Train through the faces once and return the row of the history."""
        e, stage, number = self.experiment, *divmod(len(self.history), self.experiment.epochs)
        if stage != self.stage:
            self.enter(stage)
        start = time.perf_counter()
        keys, uniforms = draws_of_epoch(e.try_, number, len(self.faces.images))
        index = self.order[np.argsort(keys[self.order], kind="stable")]
        batches = [b for b in np.split(index, range(e.batch, len(index), e.batch)) if len(b) > 1]
        augmentation = Augmentation() if e.augmentation == "standard" else None
        weights = self.current_weights()

        def step(batch: np.ndarray) -> dict[str, float]:
            draws = torch.from_numpy(uniforms[batch]).to(self.device)
            chosen = torch.from_numpy(batch).to(self.device)
            return self.step(*self.faces.batch(chosen, draws, augmentation), weights)

        self.net.train()
        name = f"run {e.id} ({e.title})"
        losses, share = through(batches, step, self.optimiser, e.schedule, number, e.epochs, name)
        row = {f"loss.{name}": round(value, 5) for name, value in losses.items()}
        if self.stopped:
            row |= {f"held_out.{n}": round(loss, 5) for n, loss in self.validate().items()}
        row |= {"epoch": len(self.history), "lr": round(e.lr * share, 6)}
        return row | {"seconds": round(time.perf_counter() - start, 2)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss of each task on the held-out faces."""
        self.net.eval()
        sums = {task.name: 0.0 for task in self.net.tasks}
        for chosen in torch.from_numpy(self.held_out).to(self.device).split(AT_ONCE):
            images, targets = self.faces.batch(chosen, torch.zeros(0, 0), None)
            logits, _ = self.predict(images)
            share = len(chosen) / len(self.held_out)
            for task in self.net.tasks:
                sums[task.name] += share * task.loss(logits[task.name], targets[task.name]).item()
        return sums

    @torch.no_grad()
    def score(self) -> dict[str, np.ndarray]:
        """Predictions on every face that outcomes are on."""
        self.net.eval()
        parts: list[dict[str, Tensor]] = []
        size = self.experiment.resolution
        for start in range(0, len(self.scored), AT_ONCE):
            images = torch.from_numpy(np.array(self.scored.images[start : start + AT_ONCE]))
            points = torch.zeros(len(images), 1, 2)
            seen, _ = centre(images.to(self.device), points.to(self.device), size)
            logits, _ = self.predict(normalise(seen))
            part = {}
            for task in self.net.tasks:
                if isinstance(task, Landmarks):
                    for decoder in ("bin", "soft"):
                        part[decoder] = task.decode(logits[task.name], decoder)
            for name, own in label_logits(self.net.tasks, logits).items():
                part[name] = own.argmax(dim=1)
            parts.append(part)
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}

    def answers(self) -> dict[str, Any] | None:
        """What the record says of the outputs of the network; None of tasks of other kinds."""
        if any(type(task) not in KINDS for task in self.net.tasks):
            return None
        names = {task.name for task in label_tasks(self.net.tasks)}
        words = data.find(self.experiment.dataset).words()
        told = {name: list(of) for name, of in words.items() if name in names}
        return {"tasks": describe(self.net.tasks), "words": told}

    def describe(self) -> dict[str, Any]:
        """What the record says of where and how the run was made."""
        e = self.experiment
        start: dict[str, Any] = {}
        if isinstance(e.pretrained, str):
            start["started_from"] = pretrained.origin(e.underlying, e.width, e.pretrained)
        return {
            **self.how,
            **start,
            **environment.machine(),
            "parameters": self.parameters,
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
        self.history = json.loads(state["history"])
        self.enter((len(self.history) - 1) // self.experiment.epochs)
        self.optimiser.load_state_dict(state["optimiser"])
        self.last = [{k: v.numpy() for k, v in p.items()} for p in state["last"]]


def _as_before(record: Record) -> dict[str, Any] | None:
    """How a finished run was computed, to do it again."""
    told = f"{record.folder / runs.RECORD} does not say how its run was computed"
    with reading(told, "restore it, or remove the folder and run again"):
        return fast.recorded(record.environment)


def train(experiment: Experiment, report: OnEpoch = lambda row: None) -> Record:
    """Train one experiment and leave its record and weights in the store.

    An interrupted run goes on after its last finished epoch, with the execution it began with, and
    ends with the same bits as one that was not interrupted. One that was made before, and left a
    record, is computed as it was then.

    Raises:
        RunError: the loss is not finite, the disk is full, or the checkpoint is not this run's.
        DataError: the data set is missing or not the one named.
    """
    folder = paths.store() / experiment.id
    folder.mkdir(parents=True, exist_ok=True)
    code = environment.code()
    checkpoint = folder / CHECKPOINT
    state = read_checkpoint(checkpoint, experiment) if checkpoint.exists() else None
    before = runs.existing(experiment)
    if state:
        run = Run(experiment, state["how"])  # what fails here, as for want of memory, is not its
        with reading(f"{checkpoint} does not fit run {experiment.id}", REMEDY, RuntimeError):
            run.resume(state)
    else:
        how = _as_before(before) if before else None
        asked = (experiment.width, experiment.resolution, experiment.precision)
        run = Run(experiment, how or fast.choose(default_device(), *asked))
    while len(run.history) < run.epochs:
        row = run.epoch()
        run.history.append(row)
        last = len(run.history) > run.epochs - min(LAST, experiment.epochs)
        if last or len(run.history) % max(1, run.epochs // CURVE) == 0:
            predicted = run.score()
            run.last += [predicted] if last else []
            of_epoch = judge([predicted], run.scored, run.net.tasks).errors
            row |= {f"failure.{d}": round(failure_rate(e), 5) for d, e in of_epoch.items()}
        write_checkpoint(checkpoint, run.state())
        report(row)
    own = torch.contiguous_format  # parts of stacked parameters become tensors of their own
    state_dict = run.net.state_dict()
    weights = {n: t.detach().cpu().clone(memory_format=own) for n, t in state_dict.items()}
    about = {"experiment": experiment.to_json()}
    files.write_atomically(folder / runs.WEIGHTS, safetensors_bytes(weights, about))
    made = judge(run.last, run.scored, run.net.tasks), run.answers()
    record = runs.save(folder, experiment, code | run.describe(), run.history, *made)
    checkpoint.unlink()
    return record
