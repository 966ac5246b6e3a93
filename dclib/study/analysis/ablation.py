"""The ablation study of section 4.4: evaluations of trained networks, and where they are kept.

What is ablated, and how, is said in `dclib.study.analysis.ablating`. An evaluation is one file:
committed in `results/ablation`, or in the store beside the weights of its run.
"""

import base64
import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dclib import paths
from dclib.errors import DAMAGE, RunError
from dclib.files import write_atomically
from dclib.metrics import THRESHOLD
from dclib.records import runs
from dclib.records.runs import Record
from dclib.study.analysis.stats import DECODERS, Interval, relative_change

CONTENTS = ("zeros", "other face")  # what stands in for x_t at the input of H
BATCH = 64  # faces at a time, at most; they lend each other their features
SEED = 0  # of the order in which faces are put into batches
FORMAT = 1  # of the files: raised whenever they, or what they mean, change
FILE = "ablation.json"

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Ablation:
    """What the network of a run made of the N faces it was scored on, intact and ablated.

    There are T tasks, D blocks, and for each of `CONTENTS` as many ablations as T times D. A label
    is a task whose prediction is a number, as in `dclib.tasks.label_tasks`.

    Attributes:
        run: the id; the weights are those of its last epoch.
        tasks: whose features are replaced, the main task first.
        blocks: D.
        intact: decoder -> on which faces the intact network fails (N,).
        failed: content -> decoder -> on which the ablated ones do (T, D, N).
        errors: content -> decoder -> mean landmark error (T, D), as a share of the face's size.
        accuracy: content -> label -> share of right ones (T, D).
        turned: content -> label -> number of faces whose label turns from right to wrong, and of
            those where it turns from wrong to right (T, D, 2).
        intact_errors, intact_accuracy: by decoder and by label, of the intact network.
        known: label -> number of faces where it is known.
        added: the size of what F_t adds, as a share of x_t's (T, D): the ratio of their norms, mean
            over faces. Earlier evaluations do not have it.
        environment: versions, device, commit, seconds.
    """

    run: str
    tasks: tuple[str, ...]
    blocks: int
    intact: dict[str, Bits]
    failed: dict[str, dict[str, Bits]]
    errors: dict[str, dict[str, Floats]] = field(default_factory=dict)
    accuracy: dict[str, dict[str, Floats]] = field(default_factory=dict)
    turned: dict[str, dict[str, Counts]] = field(default_factory=dict)
    intact_errors: dict[str, float] = field(default_factory=dict)
    intact_accuracy: dict[str, float] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    added: Floats | None = None
    environment: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As JSON; failures as bits, those of ablations where they differ from the intact ones."""
        flips = [self.failed[c][d] ^ self.intact[d] for c in CONTENTS for d in DECODERS]
        bits = np.concatenate([*(self.intact[d] for d in DECODERS), *map(np.ravel, flips)])
        packed = lzma.compress(np.packbits(bits).tobytes(), preset=9)
        values = {
            "format": FORMAT,
            "run": self.run,
            "protocol": {"contents": CONTENTS, "decoders": DECODERS, "batch": BATCH, "seed": SEED},
            "environment": self.environment,
            "tasks": self.tasks,
            "blocks": self.blocks,
            "faces": len(self.intact[DECODERS[0]]),
            "known": self.known,
            "intact": {"errors": self.intact_errors, "accuracy": self.intact_accuracy},
            "errors": self.errors,
            "accuracy": self.accuracy,
            "turned": self.turned,
            **({} if self.added is None else {"added": self.added}),
            "failed": base64.b64encode(packed).decode(),
        }
        return (json.dumps(values, default=np.ndarray.tolist) + "\n").encode()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Ablation":
        """The inverse of `to_bytes`, after `json.loads`."""
        tasks, blocks, faces = tuple(values["tasks"]), values["blocks"], values["faces"]
        packed = lzma.decompress(base64.b64decode(values["failed"], validate=True))
        count = faces * len(DECODERS) * (1 + len(CONTENTS) * len(tasks) * blocks)
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).astype(bool)
        if not count <= len(bits) < count + 8:
            raise ValueError(f"{len(bits)} bits of failures, not {count}")
        first, rest = np.split(bits[:count], [faces * len(DECODERS)])
        intact = dict(zip(DECODERS, first.reshape(-1, faces), strict=True))
        flips = rest.reshape(len(CONTENTS), len(DECODERS), len(tasks), blocks, faces)

        def arrays(name: str, kind: type) -> dict[str, dict[str, Any]]:
            return {
                c: {n: np.array(of, dtype=kind) for n, of in values[name][c].items()}
                for c in CONTENTS
            }

        return cls(
            run=values["run"],
            tasks=tasks,
            blocks=blocks,
            intact=intact,
            failed={
                c: {d: own ^ intact[d] for d, own in zip(DECODERS, of, strict=True)}
                for c, of in zip(CONTENTS, flips, strict=True)
            },
            errors=arrays("errors", float),
            accuracy=arrays("accuracy", float),
            turned=arrays("turned", int),
            intact_errors=values["intact"]["errors"],
            intact_accuracy=values["intact"]["accuracy"],
            known=values["known"],
            added=np.array(values["added"], dtype=float) if "added" in values else None,
            environment=values["environment"],
        )


def effects(
    ablations: Sequence[Ablation], content: str = "zeros", decoder: str = "bin"
) -> list[list[Interval]]:
    """Relative change of the landmark failure rate, in %, by [task][block] (Fig. 6).

    (FR ablated - FR) / FR with its interval over faces and tries: positive is worse. The paper
    prints the same with the sign turned.

    Args:
        ablations: of the tries of one experiment.

    Raises:
        ValueError: none, or of networks with other tasks, blocks or faces than each other's.
    """
    if len({(a.tasks, a.blocks, len(a.intact[decoder])) for a in ablations}) != 1:
        raise ValueError("give ablations of one or more tries of the same experiment")
    before = np.stack([a.intact[decoder] for a in ablations])  # (tries, N)
    after = np.stack([a.failed[content][decoder] for a in ablations])  # (tries, T, D, N)
    tasks, blocks = after.shape[1:3]
    return [[relative_change(before, after[:, t, d]) for d in range(blocks)] for t in range(tasks)]


def accuracy_changes(
    ablations: Sequence[Ablation], label: str, content: str = "zeros"
) -> list[list[Interval]]:
    """Change of the accuracy of a label, in points, by [task][block]; negative is worse.

    The interval is normal. Its variance is that of paired shares, from the numbers of faces that
    turn from right to wrong and back in the mean of the tries, which share their faces; and that of
    a mean of tries, where there are several.
    """
    known = ablations[0].known[label]
    each = np.stack([a.turned[content][label] / known for a in ablations])  # (tries, T, D, 2)
    changes = each[..., 1] - each[..., 0]
    change, turning = changes.mean(axis=0), each.mean(axis=0).sum(axis=-1)
    variance = (turning - change**2) / known
    if len(each) > 1:
        variance += changes.var(axis=0, ddof=1) / len(each)
    spread = 1.96 * np.sqrt(variance)
    ends = 100 * np.stack([change, change - spread, change + spread], axis=-1)
    return [[Interval(*map(float, cell)) for cell in row] for row in ends]


# Files


def path(run: str, committed: bool = False) -> Path:
    """Where the evaluation of a run is, or would be."""
    return (paths.results() / "ablation" / run if committed else paths.store() / run) / FILE


def find(records: Sequence[Record]) -> list[Ablation]:
    """The evaluations that are there, committed ones first, in the order of the records.

    Raises:
        RunError: a file that is corrupt, of another version, or not of the network of the record.
    """
    found = []
    for record in records:
        files = [path(record.id, committed) for committed in (True, False)]
        if file := next((file for file in files if file.exists()), None):
            found.append(read(file))
            agree(found[-1], beside(record, file.parent))
    return found


def beside(record: Record, folder: Path) -> Record:
    """The record that is kept in a folder, in place of a committed one without weights.

    A run that was trained again to have its weights may differ in the last bits from what is
    committed: its network is compared with its own record.
    """
    return runs.read(folder) if (folder / runs.RECORD).exists() else record


def agree(ablation: Ablation, record: Record) -> None:
    """Check that the intact network fails where the record's last epoch does.

    One face in a thousand may differ: on other processors sums are rounded in another way.

    Raises:
        RunError: it fails elsewhere.
    """
    for decoder, failed in ablation.intact.items():
        recorded = record.outcomes.errors[decoder][-1] > THRESHOLD
        if len(failed) != len(recorded) or (failed != recorded).sum() > 1 + len(failed) // 1000:
            raise RunError(
                f"the network ablated for run {record.id} is not the one of its record: it fails on"
                f" other faces ({decoder}). Train it again by `python -m dclib train --run"
                f" {record.id}`, then `python -m dclib ablate {record.id}`"
            )


def keep(ablation: Ablation, committed: bool = False) -> Ablation:
    """Write an evaluation to the store, or to the committed results."""
    file = path(ablation.run, committed)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, ablation.to_bytes())
    return ablation


def publish(ablation: Ablation) -> Path:
    """Write an evaluation to the committed results."""
    return path(keep(ablation, committed=True).run, committed=True)


def read(file: Path) -> Ablation:
    """The evaluation in a file.

    Raises:
        RunError: it is missing, corrupt or of another version.
    """
    remedy = f"`python -m dclib ablate {file.parent.name}` makes it again"
    try:
        values = json.loads(file.read_bytes())
        if values["format"] != FORMAT:
            raise RunError(
                f"{file} has format {values['format']}, this version reads {FORMAT}: {remedy}"
            )
        return Ablation.from_dict(values)
    except DAMAGE as error:
        raise RunError(f"{file} cannot be read ({error}): {remedy}") from error
