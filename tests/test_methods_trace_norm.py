"""Trace norms against singular values, and their gradients against U V^T and differences."""

import numpy as np
import pytest
import torch
from toy_columns import CHANNELS, TASKS, column, loss, network, untouched

from dclib.methods import METHODS
from dclib.methods.trace_norm import last_axis_flattening, nuclear_norm, tensor_train, tucker

NORMS = {"LAF": last_axis_flattening, "Tucker": tucker, "TT": tensor_train}
MATRICES = pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (1, 5), (300, 2)])


def singular(matrix: np.ndarray) -> float:
    return np.linalg.svd(matrix, compute_uv=False).sum()


def norm_by_numpy(name: str, w: np.ndarray) -> float:
    """With indices written out: which axes are rows, which are columns."""
    axes = list(range(w.ndim))
    if name == "LAF":
        rows = [[axes[-1]]]
    elif name == "Tucker":
        rows = [[i] for i in axes]
    else:
        rows = [axes[:j] for j in axes[1:]]
    total = 0.0
    for front in rows:
        back = [i for i in axes if i not in front]
        height = int(np.prod([w.shape[i] for i in front]))
        total += singular(w.transpose(front + back).reshape(height, -1))
    return total


@pytest.mark.parametrize(
    ("tasks", "norm"), [([[3, 4], [3, 4]], 50**0.5), ([[3, 0], [0, 4]], 7.0), ([[3, 4]], 5.0)]
)
def test_two_tasks_by_hand(tasks, norm):
    """Both (3, 4): 5 sqrt 2; (3, 0) and (0, 4): 3 + 4; a single one: its length."""
    weights = torch.tensor(tasks, dtype=torch.float32).T  # task axis last
    assert last_axis_flattening(weights).item() == pytest.approx(norm, abs=1e-6)


@MATRICES
def test_the_norm_is_the_sum_of_singular_values(shape):
    matrix = torch.randn(shape)
    assert nuclear_norm(matrix).item() == pytest.approx(singular(matrix.numpy()), rel=1e-6)
    assert nuclear_norm(matrix).dtype == torch.float32


@MATRICES
def test_the_gradient_at_full_rank_is_that_of_the_singular_vectors(shape):
    matrix = torch.randn(shape, requires_grad=True)
    nuclear_norm(matrix).backward()
    u, _, vh = torch.linalg.svd(matrix.detach().double(), full_matrices=False)
    torch.testing.assert_close(matrix.grad, (u @ vh).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NORMS)
def test_tensors_against_numpy_and_differences(name):
    torch.manual_seed(0)
    w = torch.randn(4, 3, 2, 2, 3, dtype=torch.double, requires_grad=True)
    assert NORMS[name](w).item() == pytest.approx(norm_by_numpy(name, w.detach().numpy()))
    assert torch.autograd.gradcheck(NORMS[name], w)


@pytest.mark.parametrize("name", NORMS)
def test_zeros_and_copies_have_finite_gradients(name):
    zeros = torch.zeros(4, 3, 3, 3, 5, requires_grad=True)
    NORMS[name](zeros).backward()
    assert NORMS[name](zeros).item() == 0
    assert not zeros.grad.any()
    one = torch.randn(4, 3, 3, 3)
    copies = one[..., None].repeat(1, 1, 1, 1, 5).requires_grad_()
    value = NORMS[name](copies)
    value.backward()
    assert value.item() == pytest.approx(norm_by_numpy(name, copies.detach().numpy()), rel=1e-5)
    assert torch.isfinite(copies.grad).all()
    # the gradient treats copies alike, so they stay copies
    torch.testing.assert_close(copies.grad, copies.grad[..., :1].expand_as(copies.grad))
    if name == "LAF":  # a matrix of rank one, sqrt(T) |w|: its singular vectors are known
        assert value.item() == pytest.approx((5**0.5 * one.norm()).item())
        expected = one / (5**0.5 * one.norm())
        torch.testing.assert_close(copies.grad[..., 2], expected)


def test_small_singular_values_get_less_gradient_never_more():
    """Also beside large ones, where a Gram matrix in single precision would be all noise."""
    for small in (1e-1, 1e-3, 1e-5, 1e-7):
        matrix = torch.diag(torch.tensor([30.0, small])).requires_grad_()
        nuclear_norm(matrix).backward()
        expected = torch.diag(torch.tensor([1.0, small / (small**2 + 1e-8) ** 0.5]))
        torch.testing.assert_close(matrix.grad, expected, atol=1e-4, rtol=0)


def test_weights_that_are_not_finite_give_a_norm_that_is_not():
    for bad in (torch.nan, torch.inf):
        matrix = torch.ones(3, 4)
        matrix[1, 2] = bad
        assert not torch.isfinite(nuclear_norm(matrix))


@pytest.mark.parametrize("name", NORMS)
def test_the_penalty_is_the_sum_over_convolutions(name):
    net = network(METHODS[name])
    kernels = [[c[d][0].weight.detach().numpy() for c in net.columns] for d in range(len(CHANNELS))]
    stacked = [  # (k, k, in, out, T)
        np.stack([w.transpose(2, 3, 1, 0) for w in layer], axis=-1) for layer in kernels
    ]
    expected = sum(norm_by_numpy(name, w) for w in stacked)
    assert net.penalty([]).item() == pytest.approx(expected, rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net.penalty([]).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_any_blocks_and_one_task(name):
    for tasks in (TASKS, TASKS[:1]):
        net = network(METHODS[name], tasks)
        assert untouched(net) == []
        assert torch.isfinite(loss(net, torch.bfloat16))


def test_columns_that_differ_are_refused():
    with pytest.raises(ValueError, match="equal convolutions"):
        METHODS["LAF"].assemble(TASKS[:2], [column((8, 9)), column((8, 10))], [(8, 9), (8, 10)])
