"""How fast a training step is, against plain code: in one process, in turn, on one core.

Absolute times are of one machine in one mood; what can be compared are ratios. The plain contender
is the network as it is written, in PyTorch's defaults; other people's code can stand beside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from dclib import fast
from dclib.errors import RunError
from dclib.factory import build
from dclib.study.speed import other_code
from dclib.tasks import Classes, Task, mtfl_tasks
from dclib.training.optimiser import sgd

if TYPE_CHECKING:
    import pandas as pd


class Setting(NamedTuple):
    """The size of what is trained: width, side of the images in pixels, batch, number of tasks."""

    width: float
    resolution: int
    batch: int
    tasks: int = 5


SETTINGS: dict[str, Setting] = {
    "full": Setting(1.0, 64, 32),
    "slim": Setting(0.25, 48, 64),
    "small": Setting(0.25, 32, 32),
}
PLAIN = {"layout": "contiguous", "precision": "fp32", "forms": "plain", "optimiser": "plain"}


@dataclass(frozen=True)
class Work:
    """What each contender does in a step: images (B, 3, R, R) and a target (B, ...) for each task.

    More than MTFL's five tasks are labels with two values.
    """

    tasks: tuple[Task, ...]
    images: Tensor
    targets: tuple[Tensor, ...]

    @classmethod
    def of(cls, setting: Setting) -> "Work":
        """Random images and targets of a size."""
        _, size, batch, count = setting
        labels = [Classes(f"label {n}", 2) for n in range(count)]
        tasks = (*mtfl_tasks(size), *labels)[:count]
        truth = [torch.rand(batch, 5, 2) * size] + [torch.zeros(batch, dtype=torch.long)] * count
        targets = tuple(task.encode(t) for task, t in zip(tasks, truth, strict=False))
        return cls(tasks, torch.randn(batch, 3, size, size), targets)


class Contender:
    """A network and its work; a call is a training step.

    Args:
        net: gives logits of the tasks in order, as a list or by name.
        work: the same for all that are compared.
        how: it is computed, as `dclib.fast.choose` says; by default as it is written.
    """

    def __init__(self, net: nn.Module, work: Work, how: Mapping[str, Any] = PLAIN) -> None:
        self.net, self.work, self.images, self.forms = net, work, work.images, "plain"
        self.bf16 = how["precision"] == "bf16"
        if how["layout"] == "channels_last":
            net.to(memory_format=torch.channels_last)
            self.images = work.images.contiguous(memory_format=torch.channels_last)
        if how["forms"] != "plain":
            batch, _, side, _ = work.images.shape
            self.forms = fast.settle(net, how, batch, side)["forms"]
        self.optimiser = sgd(
            [{"params": list(net.parameters())}],
            fused=how["optimiser"] == "fused",
            **{"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True},
        )

    def __call__(self) -> None:
        """One training step."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.net(self.images)
        values = list(logits.values()) if isinstance(logits, dict) else logits
        losses = [
            task.loss(task.shape(v.flatten(1)).float(), target)
            for task, v, target in zip(self.work.tasks, values, self.work.targets, strict=True)
        ]
        self.optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        self.optimiser.step()


def choice(setting: Setting, precision: str = "fp32") -> dict[str, Any]:
    """How runs of a size are computed on a CPU."""
    how = fast.choose(torch.device("cpu"), setting.width, setting.resolution, precision)
    return how | {"precision": precision}


def contender(
    method: str, setting: Setting, work: Work, how: Mapping[str, Any] = PLAIN
) -> Contender:
    """The network of a method at its work."""
    width, size = setting.width, setting.resolution
    return Contender(build(method, tasks=work.tasks, width=width, resolution=size), work, how)


def contenders(
    setting: Setting,
    method: str = "DCNet",
    authors: Path | None = None,
    libmtl: Path | None = None,
) -> dict[str, Contender]:
    """All that train a method, or the same in other people's code, on the same work.

    Args:
        authors: a folder with the authors' `dcnet.py`, for DCNet.
        libmtl: a clone of LibMTL, for Cross-Stitch, XS.

    Raises:
        RunError: a folder without what it should hold.
    """
    work = Work.of(setting)
    hows = {"plain": PLAIN, "ours": choice(setting)}
    if has_bf16():
        hows["ours, bf16"] = choice(setting, "bf16")
    found = {name: contender(method, setting, work, how) for name, how in hows.items()}
    if authors and method == "DCNet":
        found["authors"] = Contender(other_code.authors(authors, work.tasks, setting.width), work)
    if libmtl and method == "XS":
        found["LibMTL"] = Contender(other_code.libmtl(libmtl, work.tasks, setting.width), work)
    return found


def has_bf16() -> bool:
    """Whether this processor has instructions for bf16."""
    return bool(
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def find(names: Sequence[str]) -> dict[str, Setting]:
    """Some of `SETTINGS`, or all.

    Raises:
        RunError: a setting that does not exist.
    """
    for name in names:
        if name not in SETTINGS:
            raise RunError(f"setting {name!r}: choose from {list(SETTINGS)}")
    return {name: SETTINGS[name] for name in names or SETTINGS}


def table(
    seconds: "Mapping[str, Sequence[float]] | pd.DataFrame", than: str = "plain"
) -> "pd.DataFrame":
    """One row per contender: least and median step, and how many times as fast as one of them.

    `ratio` is of the least steps; `low` and `high` are the range of the ratios round by round.

    Args:
        seconds: of each contender, one a round, as `dclib.study.speed.measuring.turns` gives them.
    """
    import pandas as pd

    frame = pd.DataFrame(seconds)
    least, each = frame.min(), frame.rdiv(frame[than], axis=0)
    return pd.DataFrame(
        {
            "least (ms)": 1e3 * least,
            "median (ms)": 1e3 * frame.median(),
            "ratio": least[than] / least,
            "low": each.min(),
            "high": each.max(),
        }
    )
