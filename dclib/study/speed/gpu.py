"""What a quarter of an hour on a GPU is for, in the order of its worth: `train --plan gpu`.

First, do the fast forms compute there what plain code does, and how fast? Then the paper's own
training, campaign row 4 at full width, and after it rows 5, 6 and 8.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from dclib import environment, fast, files, paths
from dclib.errors import RunError
from dclib.network import count_parameters
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.study import plans
from dclib.study.speed import cost, forecast, measuring
from dclib.sweep import require
from dclib.sweep.attempt import duration
from dclib.training.loop import make_network

PRESET, RESOLUTION = "paper", 64  # at 112 px, two runs would take all the time
ROW_4 = ("DCNet", "RNx", "XS", "RN")
LATER = (("pretrained", "fig3"), ("pretrained", "table1"), (PRESET, "fig3-alexnet"))  # rows 5, 6, 8
HOW = {"threads": 1, "layout": "channels_last", "optimiser": "fused", "compile": "no"}
FORMS = tuple(forms for forms in fast.FORMS if forms != "measured")  # which are a CPU's
TOLERANCE = 1e-10  # of the largest value, in double precision
MEASURED = "gpu.json"  # the file of the store with what was measured

Say = Callable[[str], None]


def experiments() -> list[Experiment]:
    """The runs, the most valuable first; each plan's first try, where its rates are chosen."""
    main = {e.label: e for e in _first_tries(PRESET, "fig3")}
    made = [main[method] for method in ROW_4]
    for preset, figure in LATER:
        with suppress(RunError):
            made += _first_tries(preset, figure)
    return list(dict.fromkeys(made))


def _first_tries(preset: str, figure: str) -> list[Experiment]:
    chosen = [e for e in plans.experiments(figure, preset) if e.try_ == 0]
    return [replace(e, resolution=RESOLUTION) for e in chosen]


def run(minutes: float, say: Say) -> list[runs.Record]:
    """Measure the forms, and train as many runs as fit; records and measurements are in the store.

    Raises:
        RunError: there is no GPU, a form computes something else than plain code, or a run failed.
    """
    if not torch.cuda.is_available():
        raise RunError("no GPU is here: --dry-run shows what would be done with one")
    wanted = experiments()
    budget = forecast.Budget(minutes, forecast.Estimates(say))
    measured = measure(wanted[0], torch.device("cuda"), say)
    paths.store().mkdir(parents=True, exist_ok=True)
    files.write_atomically(paths.store() / MEASURED, json.dumps(measured, indent=1).encode())
    found = require(wanted, budget=budget, workers=1)
    say(budget.summary(wanted))
    return found


def measure(experiment: Experiment, device: torch.device, say: Say = print) -> dict[str, Any]:
    """How far each form is from plain code in double precision, and how fast it trains.

    The network is that of an experiment, the faces are drawn ones.

    Returns:
        Machine and commit; under "differences" the largest of each form, as shares of the largest
        value; under "steps" the seconds of a training step by form and precision.

    Raises:
        RunError: a form differs by more than `TOLERANCE`.
    """
    drawn = _drawn(experiment)
    differences, steps = {}, {}
    for forms in FORMS[1:]:
        differences[forms] = difference(drawn, forms, device)
        say(f"{forms}: differs from plain code by {differences[forms]:.1e}")
        if not differences[forms] <= TOLERANCE:
            raise RunError(f"forms={forms} compute something else than plain code on {device.type}")
    faces = cost.batch(drawn, device.type)
    hows = [(forms, precision) for precision in ("fp32", "bf16") for forms in FORMS]
    for forms, precision in hows:
        how = HOW | {"device": device.type, "forms": forms, "precision": precision}
        took = steps[f"{forms}, {precision}"] = cost.Trainer(drawn, faces, how).seconds(0, steps=5)
        ratio = steps["plain, fp32"] / took
        say(f"{forms}, {precision}: {drawn.batch / took:,.0f} faces/s, {ratio:.2f} of plain code")
    about = {**environment.machine(), **environment.code(), "experiment": experiment.to_json()}
    return about | {"differences": differences, "steps": steps}


def _drawn(experiment: Experiment) -> Experiment:
    return replace(forecast.on_drawn_faces(experiment), train_faces=None, pretrained=False)


def difference(experiment: Experiment, forms: str, device: torch.device) -> float:
    """How far logits, and gradients, of a form are from plain code, as a share of the largest."""
    size = experiment.resolution
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0)).double()
    images = images.to(device, memory_format=torch.channels_last)
    found = []
    for name in ("plain", forms):
        net = make_network(experiment).double().to(device)
        fast.apply(net, name)
        logits = net.train()(images)
        torch.stack([values.pow(2).mean() for values in logits.values()]).sum().backward()
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        found.append([[values.detach() for values in logits.values()], grads])
    shares = []
    for plain, other in zip(*found, strict=True):
        largest = max(float(a.abs().max()) for a in plain)  # of all: some are 0 but for rounding
        shares += [float((a - b).abs().max()) / largest for a, b in zip(plain, other, strict=True)]
    return max(shares)


# Without a GPU


def rehearsal(minutes: float | None) -> str:
    """What would be done, a line a run, and how much memory it needs."""
    lines = ["1. forms on the GPU against plain code: equal in double precision, and how fast"]
    for at, e in enumerate(experiments(), 2):
        there = " (its record is here)" if runs.existing(e) else ""
        margin = 2 * round(e.resolution / 8)
        faces = 3 * (e.resolution + margin) ** 2 * forecast.FACES.get(e.dataset, (10_000, 0))[0]
        held = _memory(replace(_drawn(e), related=())) + faces
        lines.append(
            f"{at}. {e.id} {e.title}, {e.epochs} epochs: at most {held / 2**30:.1f} GiB{there}"
        )
    limit = f", in {duration(60 * minutes)}" if minutes is not None else ""
    return "\n".join([*lines, f"as many as fit, in this order{limit}"])


@lru_cache
def _memory(experiment: Experiment) -> int:
    """Bytes that a training step holds: parameters, gradients, momentum, maps for the backward.

    Found without a GPU, by tensors that have a device and a shape, but no values; and in single
    precision, which half needs less than.
    """
    net = make_network(experiment).train()
    forms = fast.choose(torch.device("cuda"), experiment.width)["forms"]
    size = (experiment.batch, 3, experiment.resolution, experiment.resolution)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fast.apply(net.to("cuda"), forms)
        images = torch.empty(size, device="cuda")
        return measuring.kept(lambda: net(images), net) + 3 * 4 * count_parameters(net)
