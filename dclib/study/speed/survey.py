"""The record of the speed chapter: training and inference, limits of the machine, growth, memory.

Everything is measured on one core of a CPU, with random images, and whatever is compared takes
turns in one process.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dclib import environment
from dclib.errors import RunError
from dclib.factory import build
from dclib.network import count_parameters
from dclib.study.speed import bench, measuring, roofline
from dclib.study.speed.bench import SETTINGS, Contender, Setting
from dclib.tasks import mtfl_tasks
from dclib.use import inference

KIND = "speed"  # the folder of its records
METHOD = "DCNet"  # what is measured of one method only is measured of this one
FEWER = 5  # rounds, at most, of all but training steps and inference
AXES: dict[str, tuple[float, ...]] = {
    "width": (1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1),
    "resolution": (32, 48, 64, 96, 112),
    "tasks": (1, 2, 3, 5, 8),
    "batch": (8, 16, 32, 64, 128),
}

Axes = Mapping[str, Sequence[float]]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What is measured at a preset.

    Attributes:
        settings: what is trained, by name.
        methods: which methods, and at which of the settings.
        alone: settings at which inference, convolutions and shares are measured.
        around, axes: growth is measured around this setting, along these.
        matrices, copied: sides of matrices that are multiplied, and how many numbers are copied.
        onnx: onnxruntime predicts as well, where it is installed; the file takes a while to make.
    """

    settings: Mapping[str, Setting]
    methods: Mapping[str, Sequence[str]]
    alone: Sequence[str]
    rounds: int = 7
    around: Setting = SETTINGS["slim"]
    axes: Axes = field(default_factory=lambda: AXES)
    onnx: bool = True
    matrices: Sequence[int] = roofline.SIZES
    copied: int = roofline.COPIED


TINY = Setting(0.125, 32, 8)
PRESETS = {
    "smoke": Plan(
        {"slim": TINY, "small": TINY._replace(batch=4)},
        {METHOD: ("slim", "small"), "XS": ("slim",), "RN": ("slim",)},
        alone=("slim",),
        rounds=2,
        onnx=False,
        around=TINY,
        axes={
            "width": (1 / 8, 3 / 16, 1 / 4),
            "resolution": (32, 48, 64),
            "tasks": (1, 3, 5),
            "batch": (4, 8, 16),
        },
        matrices=(256,),
        copied=1 << 22,
    ),
    "cpu": Plan(
        SETTINGS,
        {METHOD: ("full", "slim", "small"), "XS": ("full", "slim"), "RN": ("slim",)},
        alone=("full", "slim"),
    ),
    "paper": Plan(
        {"full": Setting(1.0, 112, 32)},
        {METHOD: ("full",), "XS": ("full",), "RN": ("full",)},
        alone=("full",),
    ),
}


def measure(
    preset: str,
    authors: Path | None = None,
    libmtl: Path | None = None,
    rounds: int | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure all that the chapter shows.

    Args:
        preset: a key of `PRESETS`.
        authors: a folder with the authors' `dcnet.py`, to be timed as well.
        libmtl: a clone of LibMTL, likewise.
        rounds: turns, in place of the preset's; what is neither training nor inference has five at
            most.
        report: called with a line about what is done next.

    Returns:
        The record: settings, machine and commit, and rows under "steps", "inference",
        "convolutions", "shares", "scaling" and "memory"; rates of the machine under "limits".
        Times are in seconds, one a round; memory in bytes.

    Raises:
        RunError: an unknown preset, or a folder without what it should hold.
    """
    if preset not in PRESETS:
        raise RunError(f"preset {preset!r} is unknown; choose from {list(PRESETS)}")
    plan = PRESETS[preset]
    rounds = rounds or plan.rounds
    fewer = min(rounds, FEWER)
    record: dict[str, Any] = {
        "what": "seconds of training steps, inference and convolutions in each round, in turn",
        "preset": preset,
        "rounds": rounds,
        "threads": 1,
        **environment.machine(),
        **environment.code(),
        "settings": {name: setting._asdict() for name, setting in plan.settings.items()},
        **{part: [] for part in ("steps", "inference", "limits", "convolutions", "shares")},
        **{part: [] for part in ("scaling", "memory")},
    }
    with measuring.one_core():
        report("rates of the machine")
        sizes = (plan.matrices, plan.copied, bench.has_bf16())
        record["limits"] = roofline.limits(fewer, *sizes)
        for name, setting in plan.settings.items():
            for method in (m for m, names in plan.methods.items() if name in names):
                report(f"training, {method}, {name}")
                found = bench.contenders(setting, method, authors, libmtl)
                about = {"setting": name, "method": method}
                took = measuring.turns(found, rounds)
                record["steps"] += [
                    about | {"contender": who, "forms": found[who].forms, "seconds": seconds}
                    for who, seconds in took.items()
                ]
                own = {who: found[who] for who in ("plain", "ours")}
                record["memory"] += [
                    about | {"contender": who} | _size(one) for who, one in own.items()
                ]
                if method == METHOD and name in plan.alone:
                    record["shares"] += [
                        {"setting": name, "contender": who, "kind": kind, "seconds": seconds}
                        for who, one in own.items()
                        for kind, seconds in roofline.shares(one, fewer).items()
                    ]
                del found, own
            if name in plan.alone:
                report(f"inference and convolutions, {name}")
                record["inference"] += _inference(name, setting, plan.onnx, rounds)
                record["convolutions"] += _convolutions(name, setting, fewer)
        report("growth")
        record["scaling"] = growth(plan.around, plan.axes, list(plan.methods), fewer)
    return record


def _size(one: Contender) -> dict[str, int]:
    """Parameters of a network, and the bytes that its step keeps for the backward pass."""
    return {"parameters": count_parameters(one.net), "kept": measuring.kept(one, one.net)}


def _inference(name: str, setting: Setting, onnx: bool, rounds: int) -> Rows:
    """Predictions of a network as it is written, and in the forms in which it is used."""
    width, size, batch, _ = setting
    net = build(METHOD, tasks=mtfl_tasks(size), width=width, resolution=size).eval()
    images = torch.randn(batch, 3, size, size)
    roads: dict[str, inference.Run] = {"plain": net, "folded": inference.by_torch(net, size)}
    if onnx and all(map(importlib.util.find_spec, inference.PACKAGES)):
        ready = inference.session(inference.to_onnx(net, size, {}))
        roads["onnxruntime"] = inference.by_onnxruntime(ready)
    with torch.no_grad():
        took = measuring.turns({who: partial(run, images) for who, run in roads.items()}, rounds)
    about = {"setting": name, "method": METHOD}
    return [about | {"contender": who, "seconds": seconds} for who, seconds in took.items()]


def _convolutions(name: str, setting: Setting, rounds: int) -> Rows:
    """Each kind of convolution of a network alone."""
    width, size, batch, _ = setting
    with torch.device("meta"):
        net = build(METHOD, tasks=mtfl_tasks(size), width=width, resolution=size)
    shapes = roofline.convolutions(net, size)
    hows = {"plain": bench.PLAIN, "ours": bench.choice(setting)}
    layers = {
        (who, shape): roofline.layer(shape, batch, how)
        for shape in shapes
        for who, how in hows.items()
    }
    return [
        {
            **{"setting": name, "contender": who, "name": str(shape), "count": shapes[shape]},
            **{"flops": shape.flops(batch), "bytes": shape.bytes(batch), "seconds": took},
        }
        for (who, shape), took in measuring.turns(layers, rounds).items()
    ]


def points(around: Setting, axes: Axes) -> dict[tuple[str, float], Setting]:
    """The settings that differ from one of them in one way, by what it is and its value."""
    return {
        (axis, value): around._replace(**{axis: value})  # type: ignore[arg-type]
        for axis, values in axes.items()
        for value in values
    }


def growth(around: Setting, axes: Axes, methods: Sequence[str], rounds: int) -> Rows:
    """Seconds of a training step of each method, computed as in training, at all points in turn.

    The point that several axes share is measured once.

    Returns:
        A row for each method, axis and value: the forms that it is computed in, which may change
        along an axis, seconds of each round, bytes that are kept for the backward pass, parameters.
    """
    wanted = points(around, axes)
    work = {setting: bench.Work.of(setting) for setting in wanted.values()}
    ours = {
        (method, setting): bench.contender(method, setting, own, bench.choice(setting))
        for method in methods
        for setting, own in work.items()
    }
    seconds = measuring.turns(ours, rounds)
    sizes = {key: _size(step) for key, step in ours.items()}
    return [
        {
            **{"method": method, "axis": axis, "value": value},
            **{"forms": ours[method, at].forms, "seconds": seconds[method, at]},
            **{part: sizes[method, at][part] for part in ("kept", "parameters")},
        }
        for method in methods
        for (axis, value), at in wanted.items()
    ]


# Keep a record; the one of a preset, None where nothing was measured.
write = partial(measuring.write, KIND)
read = partial(measuring.read, KIND)


def about(record: dict[str, Any]) -> str:
    """What was measured where, in a line."""
    return (
        f"training steps, inference and convolutions at preset {record['preset']},"
        f" {record['rounds']} rounds in turn, {measuring.where(record)}"
    )
