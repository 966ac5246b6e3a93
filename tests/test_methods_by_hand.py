"""Every method against small numbers worked by hand, or by numpy from its paper's formula alone."""

import numpy as np
import pytest
import torch
from torch import nn
from toy_columns import TASKS, column, network

from dclib.methods import METHODS
from dclib.methods.cross_stitch import CrossStitch
from dclib.methods.hyperface import Branch
from dclib.methods.l2_distance import distance
from dclib.methods.mtan import attention, fitted
from dclib.methods.relationship import precision, quadratic_form, task_covariance
from dclib.methods.sluice import Sluice
from dclib.methods.sluice import overlap as halves_overlap
from dclib.methods.tcdcn import stopping_score
from dclib.methods.trace_norm import last_axis_flattening, tensor_train, tucker
from dclib.network import Network


def dots(*values: float) -> list[torch.Tensor]:
    """A column of one map of one pixel for each value."""
    return [torch.full((1, 1, 1, 1), float(v)) for v in values]


def test_hard_sharing_reads_one_mean_and_a_single_task_is_a_part_of_it():
    """Head t is W_2 ReLU(BN(W_1 m + b_1)) + b_2 of the mean m of the last maps."""
    net, images = network(METHODS["RN"]).eval(), torch.randn(3, 3, 32, 32)
    assert len(net.columns) == 1
    mean = nn.Sequential(*net.columns[0])(images).mean((2, 3)).detach().numpy()
    for task, head in zip(TASKS, net.heads, strict=True):
        (w1, b1), (w2, b2) = ([p.detach().numpy() for p in head[k].parameters()] for k in (0, 3))
        hidden = np.maximum((mean @ w1.T + b1) / np.sqrt(1 + 1e-5), 0)  # BN as it starts
        found = net(images)[task.name].flatten(1).detach().numpy()
        np.testing.assert_allclose(found, hidden @ w2.T + b2, atol=1e-5)
    alone = METHODS["RN-S"].assemble(TASKS[:1], [net.columns[0]], [(8, 17, 32)]).eval()
    alone.heads[0].load_state_dict(net.heads[0].state_dict())
    assert torch.equal(alone(images)["landmarks"], net(images)["landmarks"])


def test_cross_stitch_has_a_factor_for_each_map_or_one_for_all():
    unit = CrossStitch([2, 2])
    unit.alpha.data[0, 1] = torch.tensor([1.0, -1.0])
    x = [torch.tensor(v).view(1, 2, 1, 1) for v in ([1.0, 2.0], [10.0, 20.0])]
    assert unit(x)[0].flatten().tolist() == pytest.approx([10.9, -18.2])
    assert CrossStitch([2, 2], per_channel=False).alpha.shape == (2, 2, 1)


def test_hyperfaces_branches_step_as_far_as_they_see():
    """A 4 x 4 map under a 2 x 2 kernel of quarters: the means of its four corners, rectified."""
    branch = Branch(1, 1, 2)
    nn.init.constant_(branch.conv.weight, 0.25)
    nn.init.zeros_(branch.conv.bias)
    x = torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, -4, -4], [3, 3, -4, -4]])
    assert branch(x.view(1, 1, 4, 4), (2, 2)).flatten().tolist() == [1, 2, 3, 0]
    assert branch(x.view(1, 1, 4, 4), (1, 1)).item() == 1.5


def test_mtans_mask_is_a_sigmoid_and_pools_by_the_maximum():
    """Without weights in its last BatchNorm but beta = log 3, a mask is 3 / 4."""
    mask = attention(3, 8).eval()
    assert [m.out_channels for m in mask if isinstance(m, nn.Conv2d)] == [2, 8]
    nn.init.zeros_(mask[4].weight)
    nn.init.constant_(mask[4].bias, np.log(3))
    assert mask(torch.randn(1, 3, 2, 2)).flatten().tolist() == pytest.approx([0.75] * 32)
    x = torch.tensor([[1.0, 5, 0, 0], [2, 3, 0, -1], [-1, -2, 7, 8], [-3, -4, 6, 5]])
    assert fitted(x.view(1, 1, 4, 4), (2, 2)).flatten().tolist() == [5, 0, -1, 8]


def test_sluice_mixes_halves_in_the_order_of_channels():
    unit = Sluice([4, 4])
    unit.alpha.data.copy_(torch.eye(4).roll(1, dims=1))  # each part takes the next one
    maps = [torch.arange(4.0).view(1, 4, 1, 1) + start for start in (1, 5)]
    values = [y.flatten().tolist() for y in unit(maps)]
    assert values == [[3, 4, 5, 6], [7, 8, 1, 2]]


def test_sluices_penalty_does_not_depend_on_the_order_of_kernels():
    """(1, 2) and (3, 4) against (5, 6) and (7, 8): 17, 23, 39, 53 squared; F_1^T F_2 changes."""
    rows = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]])
    expected = 17**2 + 23**2 + 39**2 + 53**2
    for order in ([0, 1, 2, 3], [1, 0, 2, 3], [0, 1, 3, 2]):
        kernels = torch.tensor(rows[order]).view(4, 2, 1, 1)
        assert halves_overlap(kernels).item() == pytest.approx(expected)
        first, second = rows[order][:2], rows[order][2:]
        gram = np.sum((first @ first.T) * (second @ second.T))  # as large a matrix either way
        assert np.sum((first.T @ second) ** 2) == pytest.approx(gram)


def test_l2_sums_all_pairs_over_the_weights_of_a_task():
    """Two weights a task, (0, 0), (1, 2), (3, 1): (5 + 10 + 5) / 2."""
    weights = torch.tensor([[0.0, 0], [1, 2], [3, 1]], requires_grad=True)
    value = distance(weights)
    value.backward()
    assert value.item() == pytest.approx(10)
    # 2 T (w - mean) / n, with T = 3, n = 2 and the mean (4 / 3, 1)
    expected = [[-4, -3], [-1, 3], [5, 0]]
    torch.testing.assert_close(weights.grad, torch.tensor(expected, dtype=torch.float32))


def test_tensor_train_depends_on_the_order_of_axes_and_the_others_do_not():
    """Ones at [0, 0, 0] and [1, 0, 1]: TT 2 + 2; with the first two axes swapped sqrt 2 + 2."""
    w = torch.zeros(2, 2, 2)
    w[0, 0, 0] = w[1, 0, 1] = 1
    swapped = w.transpose(0, 1)
    assert [tensor_train(x).item() for x in (w, swapped)] == pytest.approx([4, 2 + 2**0.5])
    assert [tucker(x).item() for x in (w, swapped)] == pytest.approx([4 + 2**0.5] * 2)
    assert [last_axis_flattening(x).item() for x in (w, swapped)] == pytest.approx([2, 2])


@pytest.mark.parametrize("name", ["LAF", "Tucker", "TT"])
def test_trace_norms_stack_kernels_as_the_authors_do(name):
    """(k, k, in, out, T), unfolded and reshaped as their code does; kernels of unequal sides."""
    shape = (2, 3)
    columns = [
        nn.ModuleList([nn.Conv2d(3, 4, shape, padding=1)]).requires_grad_() for _ in range(2)
    ]
    net = METHODS[name].assemble(TASKS[1:], columns, [(4,), (4,)])
    kernels = [c[0].weight.detach().double().numpy() for c in columns]  # (out, in, 2, 3)
    w = np.zeros((2, 3, 3, 4, 2))
    for t, kernel in enumerate(kernels):
        for index in np.ndindex(w.shape[:-1]):
            w[(*index, t)] = kernel[index[3], index[2], index[0], index[1]]
    matrices = {
        "LAF": [np.moveaxis(w, 4, 0).reshape(2, -1)],
        "Tucker": [np.moveaxis(w, i, 0).reshape(w.shape[i], -1) for i in range(5)],
        "TT": [w.reshape(int(np.prod(w.shape[:j])), -1) for j in range(1, 5)],
    }[name]
    expected = sum(np.linalg.svd(m, compute_uv=False).sum() for m in matrices)
    assert net.penalty([]).item() == pytest.approx(expected, rel=1e-5)


def test_the_covariance_of_tasks_is_that_of_their_weights():
    """Four weights a task, (2, 0, 2, 0) and (1, 1, 1, 1): 8 / 4, 4 / 4 and 4 / 4."""
    w = torch.tensor([[[2.0, 0], [2, 0]], [[1, 1], [1, 1]]], dtype=torch.double)
    covariance = task_covariance(w)
    expected = torch.tensor([[2.0, 1], [1, 1]], dtype=torch.double)
    torch.testing.assert_close(covariance, expected + 1e-5 * torch.eye(2).double())
    inverse = torch.tensor([[1.0, -1], [-1, 2]], dtype=torch.double)
    torch.testing.assert_close(precision(expected), inverse)
    # 8 - 2 * 4 + 2 * 4: as many as there are weights, which the most likely covariance makes it
    assert quadratic_form(w, inverse).item() == pytest.approx(8)


@pytest.mark.parametrize(
    ("training", "held_out", "weight", "expected"),
    [
        ([2, 2, 2, 2, 2], 2.5, 1.0, 1.0),
        ([16, 8, 4, 2, 1], 1.5, 1.0, 16 / 15 * 0.5),
        ([2, 2, 2, 2, 2], 2.5, 5 / 14, 2.8),  # a label's weight per output
        ([3, 1, 2, 2, 1], 2.0, 0.5, 8 / 1 * 1 / 0.5),  # median 2: 8 / (9 - 8), and gap 1
    ],
)
def test_tcdcns_score(training, held_out, weight, expected):
    found = stopping_score(training, held_out, window=4, weight=weight)
    assert found == pytest.approx(expected)


def test_a_fixed_order_of_columns_and_tasks():
    """Task t is predicted from column t by head t, in every method with a column for each."""
    images = torch.randn(2, 3, 32, 32)
    for name in ("L2", "LAF", "XS-single"):
        net = METHODS[name].assemble(TASKS, [column() for _ in TASKS], [(8, 17, 32)] * 3).eval()
        net.enter(0)
        for t, task in enumerate(TASKS):
            mean = nn.Sequential(*net.columns[t])(images).mean((2, 3))
            found = net(images)[task.name].flatten(1)
            torch.testing.assert_close(found, net.heads[t](mean))
    assert isinstance(net, Network)
