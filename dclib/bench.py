"""How fast a training step is, against plain code: in one process, in turn, on one core.

Absolute times are of one machine in one mood; what can be compared are ratios. The plain contender
is `dclib.block` as it stands, in PyTorch's defaults; the authors' published file can stand beside.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from dclib import execution, underlying
from dclib.errors import RunError
from dclib.networks import build
from dclib.tasks import Task, mtfl_tasks

# Width, side of the images, batch.
SETTINGS: dict[str, tuple[float, int, int]] = {
    "full": (1.0, 64, 32),
    "slim": (0.25, 48, 64),
    "small": (0.25, 32, 32),
}
Step = Callable[[], None]


def steps(setting: str, method: str = "DCNet", authors: Path | None = None) -> dict[str, Step]:
    """A training step of each contender, on the same random images and targets.

    Args:
        setting: a key of `SETTINGS`.
        method: the method that is trained; the authors' code has DCNet only.
        authors: a folder that holds the authors' `dcnet.py`.

    Raises:
        RunError: a setting that does not exist, or no such file there.
    """
    if setting not in SETTINGS:
        raise RunError(f"setting {setting!r}: choose from {list(SETTINGS)}")
    width, size, batch = SETTINGS[setting]
    tasks = mtfl_tasks(size)
    images = torch.randn(batch, 3, size, size)
    truth = [torch.rand(batch, 5, 2) * size, *[torch.zeros(batch, dtype=torch.long)] * 4]
    targets = [task.encode(t) for task, t in zip(tasks, truth, strict=True)]
    how = execution.choose(torch.device("cpu"), width, size)

    def contender(how: dict[str, Any] | None) -> Step:
        net = build(method, tasks=tasks, width=width, resolution=size)
        if how is None:
            return _step(net, images, tasks, targets)
        net = net.to(memory_format=torch.channels_last)
        execution.apply(net, how["forms"])
        bf16 = how["precision"] == "bf16"
        return _step(net, images, tasks, targets, torch.channels_last, bf16)

    found = {"plain": contender(None), "ours": contender(how)}
    if _has_bf16():
        found["ours, bf16"] = contender(how | {"precision": "bf16"})
    if authors and method == "DCNet":
        net = _authors(authors, width, tasks)
        found["authors"] = _step(net, images, tasks, targets)
    return found


def _step(
    net: nn.Module,
    images: Tensor,
    tasks: Sequence[Task],
    targets: Sequence[Tensor],
    layout: torch.memory_format = torch.contiguous_format,
    bf16: bool = False,
) -> Step:
    images = images.contiguous(memory_format=layout)
    tuned = layout is not torch.contiguous_format
    optimiser = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=tuned
    )

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = net(images)
        values = list(logits.values()) if isinstance(logits, dict) else logits
        losses = [
            task.loss(task.shape(v.flatten(1)).float(), target)
            for task, v, target in zip(tasks, values, targets, strict=True)
        ]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()

    return step


def _has_bf16() -> bool:
    return bool(
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _authors(folder: Path, width: float, tasks: Sequence[Task]) -> nn.Module:
    """The authors' network, its underlying network made slim from outside."""
    module = _load(folder / "dcnet.py")
    channels = underlying.channels("resnet18", width)

    def series(name: str, pretrained: bool) -> tuple[nn.Module, list[int]]:
        return nn.Sequential(*underlying.blocks(name, width)), channels

    module.network_as_series_of_blocks = series  # type: ignore[attr-defined]
    net: nn.Module = module.DeepCollaborationNetwork("resnet18", [t.outputs for t in tasks], False)
    return net


def _load(path: Path) -> ModuleType:
    if not path.exists():
        raise RunError(f"{path}: no such file; give the folder of a clone of the authors' code")
    spec = importlib.util.spec_from_file_location("authors_dcnet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(contenders: dict[str, Step], rounds: int = 7) -> pd.DataFrame:
    """Seconds (contender, round), all in turn in each round, after one to get warm.

    Raises:
        ValueError: fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least 1")
    torch.set_num_threads(1)
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, step in contenders.items():
            start = time.perf_counter()
            step()
            if number:
                took[name].append(time.perf_counter() - start)
    return pd.DataFrame(took).T


def table(seconds: pd.DataFrame) -> pd.DataFrame:
    """One row per contender: least and median step, and how many times as fast as the plain one.

    `ratio` is of the least steps; `paired` is the range of the ratios round by round.
    """
    least, plain = seconds.min(axis=1), seconds.loc["plain"]
    paired = plain / seconds
    return pd.DataFrame(
        {
            "least (ms)": 1e3 * least,
            "median (ms)": 1e3 * seconds.median(axis=1),
            "ratio": least["plain"] / least,
            "paired, least": paired.min(axis=1),
            "paired, most": paired.max(axis=1),
        }
    )
