"""What would run on a GPU, on tensors of one that have a device, a kind and a shape but no values.

They find what is on another device, of another kind or of another shape. Their backward pass wants
a driver, so it is left out.
"""

import ast
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

from dclib import fast
from dclib.__main__ import main
from dclib.data.augment import Augmentation
from dclib.errors import RunError
from dclib.methods import METHODS
from dclib.network import count_parameters
from dclib.study import plans
from dclib.study.speed import gpu
from dclib.training import loop
from dclib.training.judging import judge
from dclib.training.loop import Run

CUDA = torch.device("cuda")


@pytest.fixture
def fake(monkeypatch):
    """Tensors without values, whose values are all 0 where somebody asks."""

    def numpy(x):
        return np.zeros(tuple(x.shape), str(x.dtype).removeprefix("torch."))

    monkeypatch.setattr(FakeTensor, "numpy", numpy, raising=False)
    monkeypatch.setattr(FakeTensor, "tolist", lambda x: numpy(x).tolist())
    monkeypatch.setattr(torch.Tensor, "backward", lambda x: None)

    for asked, answer in (
        ("amp.common.amp_definitely_not_available", False),
        ("is_bf16_supported", True),
    ):
        monkeypatch.setattr(f"torch.cuda.{asked}", lambda answer=answer: answer)
    made = loop.make_network

    def make_network(experiment):
        with unset_fake_temporarily():  # parameters that are moved must have been real ones
            return made(experiment)

    monkeypatch.setattr(loop, "make_network", make_network)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def rehearse(method, forms, precision="bf16", dataset=None):
    """A training step on augmented faces, and the scores of the test faces."""
    changes = {"dataset": dataset} if dataset else {}
    e = plans.experiment("smoke", method, train_faces=32, batch=16, **changes)
    how = fast.choose(CUDA, e.width, e.resolution)
    run = Run(e, how | {"forms": forms, "precision": precision, "layout": "contiguous"})
    index = torch.arange(16, device=CUDA)
    draws = torch.rand(16, 6, device=CUDA)
    images, targets = run.faces.batch(index, draws, Augmentation())
    assert images.device.type == "cuda"
    if method == "DCNet":
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        assert {of.dtype for of in run.predict(images)[1]} == {kind}
    if method == "DRN":  # which decides by a count, and a fake number is none
        del run.net.calls
        run.net.calls = 0
    for stage in range(run.net.stages):
        run.enter(stage)
        run.net.train()
        losses = run.step(images, targets, run.current_weights())
        assert set(losses) - {"penalty"} <= {task.name for task in run.net.tasks}
    last = run.score()
    assert len(judge([last], run.scored, run.net.tasks).bins[0]) == len(run.scored)
    return run


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_there(method, fake):
    run = rehearse(method, fast.choose(CUDA)["forms"])
    on = {p.device.type for p in run.net.parameters()} | {b.device.type for b in run.net.buffers()}
    assert on == {"cuda"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("forms", gpu.FORMS)
@pytest.mark.parametrize("method", ["DCNet", "XS"])
def test_every_form_runs_there(method, forms, precision, fake):
    rehearse(method, forms, precision)


# The plan


@pytest.mark.parametrize("forms", gpu.FORMS[1:])
def test_forms_are_compared_with_plain_code(forms, monkeypatch):
    e = plans.experiment("smoke", "DCNet", width=0.0625, resolution=32)
    assert gpu.difference(e, forms, torch.device("cpu")) < gpu.TOLERANCE

    def wrong(net, name):
        if name != "plain":
            net.columns[0][0][0].weight.data *= 1 + 1e-6
        return name

    monkeypatch.setattr(fast, "apply", wrong)
    assert gpu.difference(e, forms, torch.device("cpu")) > 100 * gpu.TOLERANCE


def test_forms_are_measured_and_a_wrong_one_stops_it(monkeypatch):
    e = plans.experiment("smoke", "DCNet", width=0.0625, batch=4, train_faces=8)
    told = []
    found = gpu.measure(e, torch.device("cpu"), told.append)
    assert list(found["differences"]) == list(gpu.FORMS[1:])
    assert len(found["steps"]) == 2 * len(gpu.FORMS)
    assert "1.00 of plain code" in told[len(gpu.FORMS) - 1]
    monkeypatch.setattr(gpu, "difference", lambda *_: float("nan"))
    with pytest.raises(RunError, match="forms=fast compute something else"):
        gpu.measure(e, torch.device("cpu"), told.append)


def test_the_plan_begins_with_the_papers_training_at_full_width():
    found = gpu.experiments()
    assert [e.method for e in found[:4]] == list(gpu.ROW_4)
    for e in found[:4]:
        assert (e.dataset, e.width, e.epochs, e.train_faces) == ("mtfl", 1.0, 300, None)
        assert (e.holdout, e.pretrained, e.try_, e.related) == (False, False, 0, ())
    assert len({e.id for e in found}) == len(found) > 4


def test_a_rehearsal_says_what_would_be_done_and_how_much_memory_it_needs(monkeypatch, capsys):
    slim = [plans.experiment("smoke", name) for name in ("RN", "DCNet")]
    monkeypatch.setattr(gpu, "experiments", lambda: slim)
    assert main(["train", "--plan", "gpu", "--dry-run", "--budget-minutes", "15"]) == 0
    first, *each, last = capsys.readouterr().out.splitlines()
    assert "forms" in first
    assert [e.id in line and "GiB" in line for e, line in zip(slim, each, strict=True)] == [
        True
    ] * 2
    assert "15 min" in last
    held = [gpu._memory(e) for e in slim]
    weights = [4 * count_parameters(loop.make_network(e)) for e in slim]
    for total, own in zip(held, weights, strict=True):
        assert 3 * own < total < 40 * own
    assert held[1] > held[0]


def test_without_a_gpu_nothing_is_trained(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--plan", "gpu", "--budget-minutes", "15"]) == 1
    assert "no GPU is here" in capsys.readouterr().err
    assert main(["train", "--plan", "fig3", "--dry-run"]) == 1
    assert "goes with --plan gpu" in capsys.readouterr().err


def test_training_and_predicting_need_no_package_of_books_clusters_and_files():
    modules = "dclib.training.loop, dclib.use.prediction"
    modules += ", dclib.study.speed.gpu, dclib.records.parcel"
    code = f"import sys, {modules}; print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ast.literal_eval(done.stdout)}
    unwanted = {"IPython", "dask", "distributed", "pandas", "seaborn", "matplotlib", "scipy"}
    unwanted |= {"onnx", "onnxruntime", "onnxscript"}
    assert not unwanted & loaded
