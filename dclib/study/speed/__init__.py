"""The record of the speed chapter: training and inference, limits of the machine, growth, memory.

Everything is measured on one core of a CPU, with random images, and whatever is compared takes
turns in one process.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

import dclib.study.speed.bench as bench
import dclib.study.speed.measuring as measuring
import dclib.study.speed.roofline as roofline
import dclib.study.speed.scaling as scaling
from dclib import environment
from dclib.errors import RunError
from dclib.factory import build
from dclib.network import count_parameters
from dclib.study.speed.bench import SETTINGS, Contender, Setting
from dclib.study.speed.scaling import exponent as exponent
from dclib.tasks import mtfl_tasks
from dclib.use import inference

KIND = "speed"  # the folder of its records
METHOD = "DCNet"  # what is measured of one method only is measured of this one


@dataclass(frozen=True)
class Plan:
    """What is measured at a preset.

    Attributes:
        settings: what is trained, by name.
        methods: which methods, and at which of the settings.
        alone: settings at which inference, convolutions and shares are measured.
        rounds: turns of training steps and of inference.
        fewer: turns of all else.
        around: the setting around which growth is measured.
        axes: along what.
        matrices: sides of the matrices that are multiplied.
        copied: how many numbers are copied.
        onnx: onnxruntime predicts as well, where it is installed; the file takes a while to make.
        profiles: how often a step is profiled.
    """

    settings: dict[str, Setting]
    methods: dict[str, tuple[str, ...]]
    alone: tuple[str, ...]
    rounds: int = 7
    fewer: int = 5
    around: Setting = SETTINGS["slim"]
    axes: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: scaling.AXES)
    onnx: bool = True
    profiles: int = 5
    matrices: tuple[int, ...] = roofline.SIZES
    copied: int = roofline.COPIED


TINY = Setting(0.125, 32, 8)
PRESETS = {
    "smoke": Plan(
        {"slim": TINY, "small": TINY._replace(batch=4)},
        {METHOD: ("slim", "small"), "XS": ("slim",), "RN": ("slim",)},
        alone=("slim",),
        rounds=2,
        fewer=1,
        onnx=False,
        profiles=1,
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
Rows = list[dict[str, Any]]


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
        rounds: turns of everything, in place of the preset's.
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
    chosen = PRESETS[preset]
    often, fewer = (chosen.rounds, chosen.fewer) if rounds is None else (rounds, rounds)
    record: dict[str, Any] = {
        "what": "seconds of training steps, inference and convolutions in each round, in turn",
        "preset": preset,
        "rounds": often,
        "threads": 1,
        **environment.machine(),
        **environment.code(),
        "settings": {name: setting._asdict() for name, setting in chosen.settings.items()},
        **{part: [] for part in ("steps", "inference", "limits", "convolutions", "shares")},
        **{part: [] for part in ("scaling", "memory")},
    }
    with measuring.one_core():
        report("rates of the machine")
        sizes = (chosen.matrices, chosen.copied, bench.has_bf16())
        record["limits"] = roofline.limits(fewer, *sizes)
        for name, setting in chosen.settings.items():
            for method in (m for m, names in chosen.methods.items() if name in names):
                report(f"training, {method}, {name}")
                found = bench.contenders(setting, method, authors, libmtl)
                about = {"setting": name, "method": method}
                record["steps"] += _steps(about, found, often)
                own = {who: found[who] for who in ("plain", "ours")}
                record["memory"] += _memory(about, own)
                if method == METHOD and name in chosen.alone:
                    record["shares"] += _shares(name, own, chosen.profiles)
                del found, own
            if name in chosen.alone:
                report(f"inference and convolutions, {name}")
                record["inference"] += _inference(name, setting, chosen.onnx, often)
                record["convolutions"] += _convolutions(name, setting, fewer)
        report("growth")
        methods = list(chosen.methods)
        record["scaling"] = scaling.measure(chosen.around, chosen.axes, methods, fewer)
    return record


def _steps(about: dict[str, str], found: Mapping[str, Contender], rounds: int) -> Rows:
    """Training steps."""
    return [
        {**about, "contender": who, "forms": found[who].forms, "seconds": seconds}
        for who, seconds in measuring.turns(found, rounds).items()
    ]


def _memory(about: dict[str, str], own: Mapping[str, Contender]) -> Rows:
    """What networks hold, and what a step keeps for its backward pass."""
    return [
        {
            **{**about, "contender": who, "parameters": count_parameters(one.net)},
            "kept": measuring.kept(one, one.net),
        }
        for who, one in own.items()
    ]


def _shares(name: str, own: Mapping[str, Contender], profiles: int) -> Rows:
    """Where the time of a step goes."""
    return [
        {"setting": name, "contender": who, "kind": kind, "seconds": seconds}
        for who, one in own.items()
        for kind, seconds in roofline.shares(one, profiles).items()
    ]


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
        steps = {road: partial(run, images) for road, run in roads.items()}
        seconds = measuring.turns(steps, rounds)
    about = {"setting": name, "method": METHOD}
    return [{**about, "contender": road, "seconds": took} for road, took in seconds.items()]


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


# Where the record of a preset is; keep one; the one of a preset, None where nothing was measured.
path = partial(measuring.path, KIND)
write = partial(measuring.write, KIND)
read = partial(measuring.read, KIND)


def about(record: dict[str, Any]) -> str:
    """What was measured where, in a line."""
    return (
        f"training steps, inference and convolutions at preset {record['preset']},"
        f" {record['rounds']} rounds in turn, {measuring.where(record)}"
    )
