"""Sluice networks: halves by hand and by loops, and what heads read."""

import numpy as np
import pytest
import torch
from toy_columns import CHANNELS, TASKS, loss, network, untouched

from dclib.methods.sluice import METHOD, Sluice, overlap
from dclib.study import plans
from dclib.training.loop import make_network
from dclib.training.optimiser import make_optimiser


def test_by_hand():
    """x_A = 1 2 3 4, x_B = 5 6 7 8; half of A's first part and half of B's: 3 4."""
    unit = Sluice([4, 4])
    with torch.no_grad():
        unit.alpha[0] = torch.tensor([0.5, 0.0, 0.5, 0.0])  # A1 from A1, A2, B1, B2
    maps = [torch.arange(4.0).reshape(1, 4, 1, 1) + start for start in (1, 5)]
    values = [y.flatten().tolist() for y in unit(maps)]
    assert values[0][:2] == [3, 4]
    rest = 0.1 / 3  # the other parts are still mostly themselves
    expected = 0.9 * 3 + rest * (1 + 5 + 7), 0.9 * 4 + rest * (2 + 6 + 8)
    assert values[0][2:] == pytest.approx(expected)


@pytest.mark.parametrize(("tasks", "channels"), [(1, 4), (2, 6), (3, 5), (2, 2), (2, 3)])
def test_parts_are_mixed_as_loops_say(tasks, channels):
    """An odd last channel goes through as it is."""
    unit = Sluice([channels] * tasks).double()
    torch.nn.init.normal_(unit.alpha)
    maps = torch.randn(tasks, 2, channels, 3, 3, dtype=torch.double)
    half = channels // 2
    alpha, x = unit.alpha.detach().numpy(), maps.numpy()
    expected = x.copy()
    for target in range(2 * tasks):
        for channel in range(half):
            expected[target // 2, :, target % 2 * half + channel] = sum(
                alpha[target, source] * x[source // 2, :, source % 2 * half + channel]
                for source in range(2 * tasks)
            )
    np.testing.assert_allclose(torch.stack(unit(list(maps))).detach().numpy(), expected)


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_parts_start_as_convex_combinations(tasks):
    alpha = Sluice([4] * tasks).alpha
    torch.testing.assert_close(alpha.sum(dim=1), torch.ones(2 * tasks))
    assert alpha.diagonal().tolist() == pytest.approx([0.9] * 2 * tasks)


def test_halves_of_kernels_overlap_by_their_products():
    kernels = torch.randn(5, 3, 2, 2)
    rows = kernels.reshape(5, -1).numpy()
    expected = sum(np.dot(rows[i], rows[j]) ** 2 for i in (0, 1) for j in (2, 3))
    assert overlap(kernels).item() == pytest.approx(expected, rel=1e-5)
    apart = torch.eye(6).reshape(6, 6, 1, 1)
    assert overlap(apart).item() == 0
    assert overlap(torch.cat([apart[:3], apart[:3]])).item() == 3  # the same three twice


def test_the_penalty_is_the_sum_over_columns_and_convolutions():
    net = network(METHOD)
    expected = 0.0
    for column in net.columns:
        for block, channels in zip(column, CHANNELS, strict=True):
            rows, half = block[0].weight.detach().flatten(1).numpy(), channels // 2
            expected += ((rows[:half] @ rows[half : 2 * half].T) ** 2).sum()
    assert net.penalty([]).item() == pytest.approx(expected, rel=1e-5)


def test_heads_read_every_depth():
    """Beta starts at 0.9 for the last depth; features are its combination of projected means."""
    net = network(METHOD).eval()
    assert net.beta.shape == (len(TASKS), len(CHANNELS))
    torch.testing.assert_close(net.beta.sum(dim=1), torch.ones(len(TASKS)))
    assert net.beta[:, -1].tolist() == pytest.approx([0.9] * len(TASKS))
    torch.nn.init.normal_(net.beta)
    images = torch.randn(2, 3, 32, 32)
    means = [[x.mean(dim=(2, 3)) for x in maps] for maps in net.depths(images)]
    for t, found in enumerate(net.features(images)):
        expected = net.beta[t, 2] * means[2][t]
        for depth in (0, 1):
            weight = net.projections[t][depth].weight
            expected = expected + net.beta[t, depth] * torch.einsum(
                "oi,bi->bo", weight, means[depth][t]
            )
        torch.testing.assert_close(found, expected)


def test_columns_alone_are_single_task_networks():
    """With alpha the identity and beta on the last depth, a task depends on its column only."""
    net = network(METHOD).eval()
    with torch.no_grad():
        for unit in net.mixers:
            unit.alpha.copy_(torch.eye(2 * len(TASKS)))
        net.beta.copy_(torch.tensor([0.0, 0.0, 1.0]).expand_as(net.beta))
    images = torch.randn(2, 3, 32, 32)
    for column, found in zip(net.columns, net.features(images), strict=True):
        x = images
        for block in column:
            x = block(x)
        torch.testing.assert_close(found, x.mean(dim=(2, 3)))


def test_alpha_learns_apart_and_without_decay():
    experiment = plans.experiment("smoke", "Sluice", unit_rate=10.0)
    net = make_network(experiment)
    others, units = make_optimiser(experiment, net).param_groups
    assert {id(p) for p in units["params"]} == {id(unit.alpha) for unit in net.mixers}
    assert units["weight_decay"] == 0
    assert units["lr"] == pytest.approx(10 * others["lr"])


def test_any_blocks_one_depth_and_one_task():
    for tasks in (TASKS, TASKS[:1]):
        for channels in (CHANNELS, (7,)):
            net = network(METHOD, tasks, channels)
            assert untouched(net) == []
            assert torch.isfinite(loss(net, torch.bfloat16))


@pytest.mark.parametrize("channels", [[4, 8], [1, 1]])
def test_columns_that_cannot_be_halved_alike_are_refused(channels):
    with pytest.raises(ValueError, match="equal channels"):
        Sluice(channels)
