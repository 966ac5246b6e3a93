"""Winograd's convolutions against torch's own: every height, both gradients, single precision."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from dclib import build, fast, mtfl_tasks
from dclib.fast import winograd
from dclib.fast.ways import FastConv2d, usual


def layer(channels: int = 64, maps: int = 72, **others) -> FastConv2d:
    torch.manual_seed(0)
    settings = {"kernel_size": 3, "padding": 1, "bias": False} | others
    net = nn.Sequential(nn.Conv2d(channels, maps, **settings))
    fast.apply(net, "winograd")
    return net[0]


def halved(conv: FastConv2d, x: torch.Tensor) -> bool:
    """Whether a convolution is computed in half the products."""
    return usual(conv) and conv.ways.choose(x, conv.weight, 1, conv.stride[0]) == "winograd"


def both_gradients(y: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> list[torch.Tensor]:
    above = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y.detach(), *torch.autograd.grad(y, (x, weight), above)]


@pytest.fixture
def everywhere(monkeypatch):
    """The table is made to choose these convolutions for all maps."""
    monkeypatch.setattr(winograd, "pays", lambda channels, height: True)


SIZES = [(3, 3), (3, 5), (4, 4), (4, 7), (5, 3), (6, 6), (7, 4), (8, 8), (9, 3), (12, 12), (13, 5)]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_a_convolution(size, batch, everywhere):
    """Heights that are no multiple of four rows too, in double precision."""
    conv = layer().double()
    x = torch.randn(batch, 64, *size, dtype=torch.double, requires_grad=True)
    assert halved(conv, x)
    y = conv(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    found = both_gradients(y, x, conv.weight)
    expected = both_gradients(functional.conv2d(x, conv.weight, padding=1), x, conv.weight)
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-11)


def test_a_product_of_two_numbers_by_hand(everywhere):
    """One pixel of input 2 in the second of five rows, one of the kernel 3 in its upper row."""
    conv = layer(64, 64).double()
    x = torch.zeros(1, 64, 5, 5, dtype=torch.double)
    x[0, 7, 1, 2] = 2
    with torch.no_grad():
        conv.weight.zero_()[9, 7, 0, 1] = 3
    y = conv(x)
    assert y[0, 9, 2, 2].item() == pytest.approx(6)  # a row below, as the upper row looks up
    assert y.abs().sum().item() == pytest.approx(6)


@pytest.mark.parametrize(("channels", "side"), [(64, 16), (128, 8), (256, 4)])
def test_single_precision_loses_a_bit_at_most(channels, side):
    """Against double precision, each result's error is below 3 times that of torch's own."""
    assert winograd.pays(channels, side)
    conv = layer(channels, channels).to(memory_format=torch.channels_last)
    x = torch.randn(4, channels, side, side).relu_()
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    exact_x, exact_weight = (t.detach().double().requires_grad_() for t in (x, conv.weight))
    exact = functional.conv2d(exact_x, exact_weight, padding=1)
    truth = both_gradients(exact, exact_x, exact_weight)
    plain = both_gradients(functional.conv2d(x, conv.weight, padding=1), x, conv.weight)
    found = both_gradients(conv(x), x, conv.weight)
    for own, theirs, true in zip(found, plain, truth, strict=True):
        assert (own - true).norm() < 3 * (theirs - true).norm()


def test_points_are_those_with_little_rounding():
    """The sums' coefficients do not exceed 1.5 ** 4, where points 1 and 2 would have 8."""
    before, after, kernel = winograd.transforms(8, torch.double, torch.device("cpu"))
    assert before.shape == (12, 8)
    assert after.shape == (8, 12)
    assert kernel.shape == (6, 3)
    for sums in (before, after, kernel):
        assert sums.abs().max() <= 1.5**4


@pytest.mark.parametrize(
    ("others", "size"),
    [
        ({"bias": True}, 16),
        ({"groups": 2}, 16),
        ({"padding_mode": "reflect"}, 16),
        ({"dilation": 2, "padding": 2}, 16),
        ({"stride": 2}, 16),
        ({"kernel_size": 1, "padding": 0}, 16),
        ({"channels": 32}, 16),
        ({"maps": 16}, 16),
        ({"channels": 128, "maps": 128}, 6),  # two tiles, half of one of them empty
        ({}, 2),
    ],
    ids=str,
)
def test_others_are_torchs_own(others, size):
    conv = layer(**{"maps": 64} | others)
    x = torch.randn(2, conv.in_channels, size, size)
    assert not halved(conv, x)
    torch.testing.assert_close(conv(x), nn.Conv2d.forward(conv, x), atol=1e-5, rtol=1e-5)


def test_mixed_precision_is_torchs_own():
    conv, x = layer(), torch.randn(2, 64, 16, 16)
    assert halved(conv, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
        assert torch.equal(conv(x), nn.Conv2d.forward(conv, x))


@pytest.mark.slow
def test_a_network_in_single_precision_is_as_good_as_the_plain_one():
    """DCNet at width 1/2: logits and the norm of all gradients, at most 3 times the plain error.

    In the median of five batches: whether rounding flips a ReLU makes single ones differ sevenfold.
    """
    torch.manual_seed(0)
    exact = build("DCNet", tasks=mtfl_tasks(64), width=0.5, resolution=64).double()
    plain = copy.deepcopy(exact).float()
    quick = copy.deepcopy(plain)
    fast.apply(quick, "winograd")

    def results(net: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
        net.zero_grad()
        logits = net(images.to(next(net.parameters())))
        (sum(v.square().mean() for v in logits.values())).backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
        return [torch.cat([v.flatten() for v in logits.values()]).detach(), gradient]

    ratios = []
    for _ in range(5):
        images = torch.randn(4, 3, 64, 64)
        each = (results(net, images) for net in (quick, plain, exact))
        ratios.append(
            [
                (own - true).norm() / (theirs - true).norm()
                for own, theirs, true in zip(*each, strict=True)
            ]
        )
    assert (torch.tensor(ratios).median(dim=0).values <= 3).all()
