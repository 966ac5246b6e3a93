"""L2 distance: pairs against the mean, and what is and what is not held together."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn
from toy_columns import CHANNELS, TASKS, column, loss, network, untouched

from dclib import build, mtfl_tasks
from dclib.methods.l2_distance import METHOD, distance, kernels


def test_it_is_the_sum_over_all_pairs_for_each_weight():
    weights = torch.randn(5, 4, 3, 3, 3, dtype=torch.double)
    w = weights.numpy()
    expected = sum(np.mean((w[s] - w[t]) ** 2) for s, t in combinations(range(5), 2))
    assert distance(weights).item() == pytest.approx(expected)
    moved = weights + torch.randn(4, 3, 3, 3, dtype=torch.double)  # all tasks alike
    assert distance(moved).item() == pytest.approx(expected)


@pytest.mark.parametrize(("underlying", "convolutions"), [("resnet18", 20), ("alexnet", 5)])
def test_every_convolution_counts_and_nothing_else(underlying, convolutions):
    net = build("L2", tasks=mtfl_tasks(64), underlying=underlying, width=0.125)
    assert len(kernels(net.columns)) == convolutions
    before = net.penalty([])
    parameters = list(net.parameters())
    with torch.no_grad():
        for p in parameters:
            if p.ndim < 4:  # biases, BatchNorm, heads
                p.add_(torch.randn_like(p))
        assert torch.equal(net.penalty([]), before)
        for weight in (p for p in parameters if p.ndim == 4):
            weight.add_(torch.randn_like(weight))
            changed = net.penalty([])
            assert changed > before
            before = changed


def test_identical_columns_are_at_distance_zero():
    net = network(METHOD)
    for other in net.columns[1:]:
        other.load_state_dict(net.columns[0].state_dict())
    penalty = net.penalty([])
    penalty.backward()
    assert penalty.item() == pytest.approx(0, abs=1e-12)
    gradients = [p.grad for p in net.columns.parameters() if p.grad is not None]
    assert len(gradients) == len(TASKS) * len(CHANNELS)
    assert max(g.abs().max().item() for g in gradients) < 1e-8


def test_the_gradient_leads_to_the_mean():
    net = network(METHOD)
    means = [layer.mean(dim=0) for layer in kernels(net.columns)]
    for _ in range(2):  # 2 T / n of the way to the mean, times the rate, for each convolution
        net.zero_grad()
        net.penalty([]).backward()
        with torch.no_grad():
            for p in net.columns.parameters():
                if p.grad is not None:
                    p.sub_(p.grad * p.numel() / (2 * len(TASKS)))
        for layer, mean in zip(kernels(net.columns), means, strict=True):
            torch.testing.assert_close(layer, mean.expand_as(layer), atol=1e-6, rtol=0)


def test_any_blocks_and_one_task():
    assert untouched(network(METHOD)) == []
    alone = network(METHOD, TASKS[:1])
    assert untouched(alone) == []
    assert alone.penalty([]).item() == 0
    assert torch.isfinite(loss(network(METHOD), torch.bfloat16))


def test_columns_that_differ_are_refused():
    other = nn.ModuleList([*column(CHANNELS[:2]), nn.Sequential(nn.Conv2d(17, 32, 5))])
    with pytest.raises(ValueError, match="equal convolutions"):
        METHOD.assemble(TASKS[:2], [column(), other], [CHANNELS] * 2)
