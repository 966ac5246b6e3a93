"""The roofline: arithmetic by hand and by PyTorch's counter, layers of a network, shares."""

import os

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dclib import fast
from dclib.factory import build
from dclib.study.speed import bench, roofline
from dclib.study.speed.roofline import Convolution
from dclib.tasks import mtfl_tasks

SHAPE = Convolution(3, 1, 1, 64, 32, 16)


def dcnet(width=1.0, size=64):
    with torch.device("meta"):
        return build("DCNet", tasks=mtfl_tasks(size), width=width, resolution=size)


def test_arithmetic_by_hand():
    assert SHAPE.reached == 16
    assert SHAPE.flops(10) == 3 * 2 * 10 * 16 * 16 * 32 * 64 * 9
    assert SHAPE.bytes(10) == 2 * 4 * (10 * 64 * 256 + 32 * 64 * 9 + 10 * 32 * 256)
    assert str(SHAPE) == "3×3, 64 → 32, 16 px"


def test_the_first_layer_has_no_gradient_of_the_images():
    stem = Convolution(7, 2, 3, 3, 64, 64, first=True)
    assert stem.reached == 32
    assert stem.flops(2) == 2 * 2 * 2 * 32 * 32 * 64 * 3 * 49
    assert stem.bytes(2) == 4 * (2 * 3 * 64 * 64 + 2 * 64 * 3 * 49 + 2 * 2 * 64 * 32 * 32)
    assert str(stem) == "7×7, stride 2, 3 → 64, 64 px"


@pytest.mark.parametrize(
    "shape",
    [SHAPE, Convolution(1, 2, 0, 8, 16, 9), Convolution(7, 2, 3, 3, 8, 33, first=True)],
)
def test_arithmetic_is_that_of_pytorch(shape):
    """Its counter takes a multiplication and an addition for two, as here."""
    step = roofline.layer(shape, 5, bench.PLAIN)
    with FlopCounterMode(display=False) as counter:
        step()
    assert counter.get_total_flops() == shape.flops(5)


def test_every_convolution_of_the_network_is_counted():
    net = dcnet(0.25, 48)
    found = roofline.convolutions(net, 48)
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert sum(found.values()) == len(layers) == 5 * 20 + 5 * (2 + 5 * 2)
    weights = sum(n * s.incoming * s.outgoing * s.kernel**2 for s, n in found.items())
    assert weights == sum(layer.weight.numel() for layer in layers)
    assert [shape for shape in found if shape.first] == [Convolution(7, 2, 3, 3, 16, 48, True)]
    assert found[Convolution(7, 2, 3, 3, 16, 48, True)] == 5


def test_arithmetic_of_a_step_of_the_full_network():
    """216 GFLOP at 64 px and batch 32, counted before this was written; and as PyTorch counts."""
    found = roofline.convolutions(dcnet(), 64)
    total = sum(count * shape.flops(32) for shape, count in found.items())
    assert total == pytest.approx(216e9, rel=0.005)
    net, images = dcnet(), torch.empty(32, 3, 64, 64, device="meta")
    with FlopCounterMode(display=False) as counter:
        sum(x.sum() for x in net(images).values()).backward()
    counts = counter.get_flop_counts()["Global"]
    of_layers = sum(n for op, n in counts.items() if "convolution" in str(op))
    assert total == of_layers


def test_a_layer_computes_all_its_gradients_each_time(monkeypatch):
    made = []
    plain = nn.Conv2d

    def conv(*sizes, **settings):
        made.append(plain(*sizes, **settings))
        return made[-1]

    monkeypatch.setattr(roofline.nn, "Conv2d", conv)
    step = roofline.layer(Convolution(3, 1, 1, 4, 6, 5), 2, bench.PLAIN)
    step()
    first = made[0].weight.grad.clone()
    step()
    assert torch.allclose(made[0].weight.grad, first)  # not the sum of both
    assert (first != 0).all()


def test_rates_come_from_the_fastest_round_and_size(monkeypatch):
    """64 and 128 squared numbers in the times given; a copy reads and writes 4 bytes a number."""
    blas, numpys, onednn = "PyTorch's BLAS", "NumPy's BLAS", "oneDNN"
    monkeypatch.setattr(roofline.products, "ONEDNN", torch.mm)
    seconds = {
        ("fp32", blas, 64): [1.0, 0.5],
        ("fp32", blas, 128): [3.0, 4.0],
        ("fp32", onednn, 64): [1.0, 1.0],
        ("fp32", onednn, 128): [2.0, 3.0],
        ("fp32", numpys, 64): [0.25, 1.0],
        ("fp32", numpys, 128): [4.0, 4.0],
        "copy": [0.25, 0.5],
    }
    monkeypatch.setattr(
        roofline.measuring, "turns", lambda steps, rounds: {key: seconds[key] for key in steps}
    )
    found = roofline.limits(2, sizes=(64, 128), copied=1000, bf16=False)
    each = {blas: 2 * 128**3 / 3.0, onednn: 2 * 128**3 / 2.0, numpys: 2 * 64**3 / 0.25}
    assert found == {"gemm": {"fp32": each[onednn]}, "libraries": each, "copy": 8000 / 0.25}


def test_products_are_products():
    """Of matrices that are as wide as they say, in either precision."""
    for dtype in roofline.DTYPES.values():
        torch.manual_seed(0)
        found = [torch.as_tensor(step()) for step in roofline._products(16, dtype).values()]
        torch.manual_seed(0)
        a, b = (torch.randn(16, 16).to(dtype) for _ in range(2))
        assert len(found) >= (2 if dtype == torch.float32 else 1)
        for product in found:
            assert product.dtype == dtype
            torch.testing.assert_close(product, a @ b.t(), atol=0.1, rtol=0.02)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["aten::conv2d", "aten::convolution", "aten::empty"], "convolution"),
        (["_TinyConvolution", "aten::add_"], "convolution"),
        (["aten::batch_norm", "aten::native_batch_norm", "aten::mul"], "normalisation"),
        (["autograd::engine::evaluate_function: ConvolutionBackward0"], "rest"),
        (
            ["autograd::engine::evaluate_function: ConvolutionBackward0", "aten::add"],
            "mixing and sums",
        ),
        (
            ["autograd::engine::evaluate_function: AddBackward0", "AddBackward0", "aten::mul"],
            "mixing and sums",
        ),
        (["Optimizer.step#SGD.step", "aten::add_"], "optimiser"),
        (["aten::cat"], "mixing and sums"),
        (["aten::linear", "aten::addmm"], "rest"),
        (["_TinyConvolutionBackward", "aten::mm"], "convolution"),
        (["_FewBackward", "aten::bmm"], "convolution"),
        (["_Rows", "aten::mm"], "convolution"),
        (["autograd::engine::evaluate_function: AddmmBackward0", "AddmmBackward0"], "rest"),
        (["aten::relu_"], "rest"),
        (["aten::max_pool2d"], "rest"),
    ],
)
def test_steps_of_pytorch_belong_to_kinds(names, kind):
    assert roofline.kind(names) == kind


@pytest.mark.parametrize("forms", fast.FORMS)
@pytest.mark.parametrize("side", [2, 4, 8])
def test_a_convolution_is_one_in_all_forms(forms, side):
    """Whatever it is made of; what PyTorch does to hand its gradients on is the rest."""
    step = roofline.layer(Convolution(3, 1, 1, 128, 128, side), 2, {**bench.PLAIN, "forms": forms})
    found = roofline.shares(step, repeats=1)
    assert found["convolution"] > 0
    assert found["mixing and sums"] == found["normalisation"] == found["optimiser"] == 0


def test_shares_of_a_step_add_up_to_what_was_seen(capfd):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    images = torch.randn(8, 3, 16, 16)
    found = roofline.shares(lambda: net(images).sum().backward(), repeats=1)
    assert tuple(found) == roofline.KINDS
    assert found["convolution"] > 0
    assert found["normalisation"] > 0
    assert found["optimiser"] == 0
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
