"""SGD on flat parameters against PyTorch's plain one, whatever lies how in memory."""

import copy

import pytest
import torch
from torch import nn

from dclib import build, fast, mtfl_tasks
from dclib.fast.flat_sgd import FlatSGD

SETTINGS = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}


@pytest.mark.parametrize("forms", ["fast", "stacked", "winograd"])
def test_a_network_learns_the_same(forms):
    torch.manual_seed(0)
    net = build("DCNet", tasks=mtfl_tasks(32)[:2], width=0.125, resolution=32)
    net = net.to(memory_format=torch.channels_last)
    twin = copy.deepcopy(net)
    fast.apply(net, forms)
    fast.apply(twin, forms)
    flat = FlatSGD([{"params": net.parameters()}], **SETTINGS)
    plain = torch.optim.SGD(twin.parameters(), **SETTINGS)
    for _ in range(3):
        images = torch.randn(4, 3, 32, 32)
        for model, optimiser in ((net, flat), (twin, plain)):
            optimiser.zero_grad()
            sum(v.square().mean() for v in model(images).values()).backward()
            optimiser.step()
    for found, expected in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_gradients_may_lie_otherwise(layout):
    p = torch.randn(4, 5, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    q = p.detach().clone().requires_grad_()
    flat, plain = FlatSGD([{"params": [p]}], **SETTINGS), torch.optim.SGD([q], **SETTINGS)
    for _ in range(3):
        gradient = torch.randn(4, 5, 3, 3)
        p.grad, q.grad = gradient.contiguous(memory_format=layout), gradient.clone()
        flat.step()
        plain.step()
    torch.testing.assert_close(p, q)


def test_groups_rates_gradients_and_state():
    """Groups keep their rates, what has no gradient stays, and a copy goes on where one stopped."""
    layers = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)])
    groups = [{"params": layers[0].parameters(), "peak": 1.0}]
    groups.append({"params": layers[1:].parameters(), "lr": 0.0, "weight_decay": 0.0})
    flat = FlatSGD(groups, **SETTINGS)
    assert [group["lr"] for group in flat.param_groups] == [0.1, 0.0]
    assert flat.param_groups[0]["peak"] == 1.0
    before = copy.deepcopy(layers)
    (layers[0](torch.ones(1, 3)) + layers[1](torch.ones(1, 3))).sum().backward()
    flat.step()
    assert not torch.equal(layers[0].weight, before[0].weight)
    assert torch.equal(layers[1].weight, before[1].weight)
    assert torch.equal(layers[2].weight, before[2].weight)
    flat.zero_grad()
    assert all(p.grad is None for p in layers.parameters())

    twins = copy.deepcopy(layers)
    other = FlatSGD([{"params": twins[0].parameters()}, {"params": twins[1:].parameters()}])
    other.load_state_dict(copy.deepcopy(flat.state_dict()))
    for model, optimiser in ((layers, flat), (twins, other)):
        optimiser.zero_grad()
        model[0](torch.full((1, 3), 2.0)).sum().backward()
        optimiser.step()
    assert torch.equal(layers[0].weight, twins[0].weight)
