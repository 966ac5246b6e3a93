"""How one stage of a cascade is trained on its samples, resumable to the bit."""

import json
import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dclib.errors import RunError
from dclib.mtcnn.losses import WEIGHTS, accuracy, landmark_error, losses
from dclib.mtcnn.samples import KINDS, NEGATIVE, POSITIVE, Samples
from dclib.mtcnn.stages import SIZES, Stage
from dclib.mtcnn.views import DRAWS, Batch, look, together
from dclib.training.checkpoint import read_state, write_checkpoint
from dclib.training.optimiser import through

VALIDATED = 2000  # held-out samples of each kind, at most
AT_ONCE = 256  # of them

OnEpoch = Callable[[dict[str, Any]], None]  # called with each epoch's row of the history


@dataclass(frozen=True)
class Training:
    """How a stage is trained, by Adam at a rate that first rises and then falls."""

    epochs: int
    batch: int  # samples per step, or about so many
    lr: float  # the highest rate
    samples: int  # how many an epoch goes through, of all kinds together
    # shares of negatives, positives, parts and landmark faces, in every batch; what a stage has
    # none of, drops out; of each kind, all are seen before any is seen again
    mix: tuple[float, float, float, float] = (3.0, 1.0, 1.0, 2.0)
    # faces are told apart by this share of a batch's negatives and positives, those with the
    # highest losses; None for all of them
    online: float | None = 0.7
    weighting: str = "MTCNN"  # of the losses; "DFace" gives landmarks a fifth as much


def batches(kinds: np.ndarray, training: Training, seed: list[int], epoch: int) -> list[np.ndarray]:
    """Which samples, of kinds (N,), an epoch sees step by step, from seed and epoch alone."""
    present = [k for k, share in enumerate(training.mix) if share and (kinds == k).any()]
    total = sum(training.mix[k] for k in present)
    stream = np.random.default_rng([*seed, len(KINDS), epoch])
    index, places = [], []
    for k in present:
        count = round(training.samples * training.mix[k] / total)
        index.append(_walk(np.flatnonzero(kinds == k), epoch * count, count, [*seed, k]))
        places.append((np.arange(count) + stream.random(count)) / count)  # evenly spread
    order = np.concatenate(index)[np.argsort(np.concatenate(places), kind="stable")]
    return np.array_split(order, max(1, round(len(order) / training.batch)))


def _walk(members: np.ndarray, start: int, count: int, seed: list[int]) -> np.ndarray:
    """Steps `start` to `start + count` of a walk through all members, again and again, shuffled."""
    first, last = start // len(members), (start + count - 1) // len(members)
    rounds = [
        np.random.default_rng([*seed, n]).permutation(members) for n in range(first, last + 1)
    ]
    return np.concatenate(rounds)[start - first * len(members) :][:count]


class Course:
    """The training of one stage, in progress."""

    def __init__(
        self,
        net: Stage,
        samples: Sequence[Samples],
        training: Training,
        try_: int,
        held_out: Sequence[Samples],
    ) -> None:
        self.net, self.samples, self.training = net, samples, training
        self.kinds = np.concatenate([part.kind.numpy() for part in samples])
        self.starts = np.cumsum([0, *map(len, samples)])
        self.content = [zlib.crc32(part.pixels.numpy().data) for part in samples]
        self.seed = [try_, list(SIZES).index(net.name)]
        for kind in (NEGATIVE, POSITIVE):
            if not (self.kinds == kind).any():
                raise RunError(
                    f"stage {net.name} has no {KINDS[kind]} samples to learn from: train the stage"
                    " before it for longer, or mine at lower thresholds and with more photos"
                )
        self.validated = [_validated(part, net.size) for part in held_out if len(part)]
        net.to(memory_format=torch.channels_last)
        groups = [{"params": list(net.parameters()), "peak": training.lr}]
        self.optimiser = torch.optim.Adam(groups, lr=training.lr, fused=True)
        self.history: list[dict[str, Any]] = []

    def batch(self, index: np.ndarray, stream: np.random.Generator) -> Batch:
        """What the network sees of samples, counted through all parts."""
        draws = torch.from_numpy(stream.random((len(index), DRAWS), dtype=np.float32))
        part = np.searchsorted(self.starts, index, side="right") - 1
        views = []
        for p in np.unique(part):
            rows = np.flatnonzero(part == p)
            at = torch.from_numpy(index[rows] - self.starts[p])
            views.append(look(self.samples[p], at, self.net.size, draws[torch.from_numpy(rows)]))
        return together(views)

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; the losses, and the share of faces told rightly."""
        outputs = self.net(batch.images.contiguous(memory_format=torch.channels_last))
        found = losses(outputs, batch, self.training.online)
        weights = WEIGHTS[self.training.weighting][self.net.name]
        total = torch.stack([weights[task] * loss for task, loss in found.items()]).sum()
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        values = {f"loss.{task}": loss.item() for task, loss in found.items()}
        return values | {"accuracy": accuracy(outputs, batch)}

    def epoch(self) -> dict[str, Any]:
        """Train for one epoch and return its row of the history."""
        start, number, of = time.perf_counter(), len(self.history), self.training
        stream = np.random.default_rng([*self.seed, len(KINDS) + 1, number])
        torch.manual_seed(int(stream.integers(2**62)))  # of what the network itself may draw
        chosen = batches(self.kinds, of, self.seed, number)
        self.net.train()
        values, share = through(
            chosen,
            lambda index: self.step(self.batch(index, stream)),
            *(self.optimiser, "one-cycle", number, of.epochs, f"stage {self.net.name}"),
        )
        row = {"epoch": number, "lr": _short(of.lr * share)}
        row |= {name: _short(value) for name, value in (values | self.validate()).items()}
        return row | {"seconds": round(time.perf_counter() - start, 2)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses, accuracy and landmark error on the held-out samples; empty if there are none."""
        if not self.validated:
            return {}
        self.net.eval()
        batch = together(self.validated)
        channels_last = torch.channels_last
        split = batch.images.split(AT_ONCE)
        parts = [self.net(some.contiguous(memory_format=channels_last)) for some in split]
        outputs = {task: torch.cat([part[task] for part in parts]) for task in parts[0]}
        values = {task: loss.item() for task, loss in losses(outputs, batch).items()}
        values["accuracy"] = accuracy(outputs, batch)
        if "landmarks" in outputs:
            values["error"] = landmark_error(outputs, batch)
        return {f"validation.{name}": value for name, value in values.items()}

    def state(self) -> dict[str, Any]:
        return {
            "experiment": self.identity(),
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": json.dumps(self.history),
        }

    def identity(self) -> str:
        """What must be the same for a training to go on."""
        return json.dumps([*self.seed, asdict(self.training), self.content])

    def resume(self, path: Path) -> None:
        state = read_state(path, self.identity())
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history = json.loads(state["history"])


def _validated(samples: Samples, size: int) -> Batch:
    """At most so many samples of each kind, evenly spread, unmirrored and upright."""
    kinds = samples.kind.numpy()
    members = [np.flatnonzero(kinds == kind) for kind in range(len(KINDS))]
    spread = [some[:: math.ceil(len(some) / VALIDATED) or 1] for some in members]
    return look(samples, torch.from_numpy(np.concatenate(spread)), size)


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def train_stage(
    net: Stage,
    samples: Sequence[Samples],
    training: Training,
    try_: int,
    checkpoint: Path | None = None,
    report: OnEpoch = lambda row: None,
    held_out: Sequence[Samples] = (),
) -> list[dict[str, Any]]:
    """Train one stage, in place.

    With a checkpoint, an interrupted training goes on after its last finished epoch and ends with
    the same bits as one that was not interrupted; a finished one returns at once. The file is the
    caller's to remove, when the weights are safe.

    Args:
        samples: one or more; landmark faces come apart from others, since their crops are larger.
        try_: seeds the order of samples and how they are mirrored, shifted and turned.
        report: called with each epoch's row as it is finished.
        held_out: samples like these, of photos that are not trained on.

    Returns:
        The history, a row per epoch: epoch, lr, loss.TASK, accuracy, seconds; with held-out samples
        validation.TASK, validation.accuracy and validation.error, that of landmarks as a share of
        the inter-ocular distance.

    Raises:
        RunError: there are no negatives or no positives, a loss is not finite, the disk is full,
            or the checkpoint is not of this training.
    """
    course = Course(net, samples, training, try_, held_out)
    if checkpoint is not None and checkpoint.exists():
        course.resume(checkpoint)
    while len(course.history) < training.epochs:
        row = course.epoch()
        course.history.append(row)
        if checkpoint is not None:
            write_checkpoint(checkpoint, course.state())
        report(row)
    net.eval()
    return course.history
