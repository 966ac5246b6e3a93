"""NDDR layers against values worked by hand and a sum written out."""

import numpy as np
import pytest
import torch
from torch import nn

from dclib import build, count_parameters, mtfl_tasks
from dclib.methods.nddr import NDDR, shares


def test_two_maps_by_hand():
    """C = 1, BatchNorm in evaluation nearly the identity: (2, 4) becomes (2.2, 3.8)."""
    layer = NDDR([1, 1]).eval()
    y = layer([torch.full((1, 1, 1, 1), v) for v in (2.0, 4.0)])
    assert [v.item() for v in y] == pytest.approx([2.2, 3.8], rel=1e-4)


def test_what_is_below_zero_is_cut():
    layer = NDDR([1, 1]).eval()
    y = layer([torch.full((1, 1, 1, 1), v) for v in (-2.0, 4.0)])
    assert [v.item() for v in y] == pytest.approx([0.0, 3.4], rel=1e-4)


@pytest.mark.parametrize(("tasks", "pair"), [(1, (1, 0)), (2, (0.9, 0.1)), (5, (0.8, 0.05))])
def test_the_published_shares(tasks, pair):
    assert shares(tasks) == pytest.approx(pair)


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5, 12])
def test_shares_are_a_convex_combination(tasks):
    own, other = shares(tasks)
    assert own + (tasks - 1) * other == pytest.approx(1)
    assert own > other >= 0


def test_five_columns_start_as_weighted_sums():
    maps = [torch.rand(2, 3, 4, 4) for _ in range(5)]
    y = NDDR([3] * 5).eval()(maps)
    for own, seen in zip(maps, y, strict=True):
        expected = 0.8 * own + 0.05 * (sum(maps) - own)
        torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-5)


def test_it_is_the_formula_with_any_weights():
    """Loops in numpy: convolution over all columns, then normalisation over batch and space."""
    torch.manual_seed(0)
    layer = NDDR([3, 3]).double()
    for convolution, norm in layer.reductions:
        nn.init.normal_(convolution.weight)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    maps = [torch.randn(2, 3, 4, 5, dtype=torch.double) for _ in range(2)]
    y = layer(maps)
    together = np.concatenate([x.numpy() for x in maps], axis=1)
    for (convolution, norm), seen in zip(layer.reductions, y, strict=True):
        weight, gamma, beta = (
            p.detach().numpy() for p in (convolution.weight, norm.weight, norm.bias)
        )
        for c in range(3):
            mixed = sum(weight[c, s, 0, 0] * together[:, s] for s in range(6))
            normed = (mixed - mixed.mean()) / np.sqrt(mixed.var() + 1e-5)
            expected = np.maximum(0, gamma[c] * normed + beta[c])
            np.testing.assert_allclose(seen[:, c].detach().numpy(), expected, atol=1e-10)


def test_running_statistics_move_by_a_twentieth():
    layer = NDDR([1, 1])
    layer([torch.full((2, 1, 1, 1), 10.0)] * 2)
    assert layer.reductions[0][1].running_mean.item() == pytest.approx(0.05 * 10)


def test_columns_may_differ_in_channels():
    layer = NDDR([2, 3]).eval()
    narrow, wide = torch.tensor([1.0, 2]), torch.tensor([10.0, 20, 30])
    y = layer([narrow.view(1, 2, 1, 1), wide.view(1, 3, 1, 1)])
    assert y[0].flatten().tolist() == pytest.approx([1.9, 3.8], rel=1e-4)
    assert y[1].flatten().tolist() == pytest.approx([9.1, 18.2, 27.0], rel=1e-4)


def test_columns_may_differ_in_size():
    """Each takes the others at its own size: means of four pixels, or the one pixel four times."""
    layer = NDDR([1, 1]).eval()
    large, small = torch.tensor([[1.0, 2], [3, 6]]), torch.tensor([[10.0]])
    y = layer([large.view(1, 1, 2, 2), small.view(1, 1, 1, 1)])
    assert y[0].flatten().tolist() == pytest.approx([1.9, 2.8, 3.7, 6.4], rel=1e-4)
    assert y[1].flatten().tolist() == pytest.approx([9.3], rel=1e-4)


@pytest.mark.parametrize(("underlying", "added"), [("resnet18", 8_816_640), ("alexnet", 2_667_520)])
def test_what_it_adds_for_five_tasks(underlying, added):
    with torch.device("meta"):
        net = build("NDDR", tasks=mtfl_tasks(112), underlying=underlying)
    assert count_parameters(net.mixers) == added
    for mixer in net.mixers:
        assert {type(m) for m in mixer.reductions[0]} == {nn.Conv2d, nn.BatchNorm2d}


def test_from_single_task_nets_the_layers_come_second():
    net = build("NDDR-single", tasks=mtfl_tasks(64), resolution=64, width=0.125).eval()
    images = torch.randn(2, 3, 64, 64)
    joined = net(images)["gender"]
    net.enter(0)
    x = images
    for block in net.columns[1]:
        x = block(x)
    assert torch.equal(net(images)["gender"], net.heads[1](x.mean(dim=(2, 3))))
    net.enter(1)
    assert torch.equal(net(images)["gender"], joined)
