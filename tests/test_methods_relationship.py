"""Deep relationship networks against explicit Kronecker products, and how the prior is learned."""

import numpy as np
import pytest
import torch
from toy_columns import TASKS, loss, network, untouched

from dclib.methods.relationship import EVERY, METHOD, precision, quadratic_form, task_covariance
from dclib.study import plans
from dclib.training.loop import train


def positive_definite(size: int, rng: np.random.Generator) -> np.ndarray:
    a = rng.normal(size=(size, size))
    return a @ a.T + np.eye(size)


def test_the_covariance_is_the_most_likely_one():
    """Of many draws from a tensor-normal prior it is the covariance that they were drawn with."""
    rng = np.random.default_rng(0)
    covariances = [positive_definite(n, rng) for n in (3, 40, 50)]
    roots = [np.linalg.cholesky(s) for s in covariances]
    drawn = np.einsum("st,op,iq,tpq->soi", *roots, rng.normal(size=(3, 40, 50)))
    inverses = [torch.from_numpy(np.linalg.inv(s)) for s in covariances[1:]]
    found = task_covariance(torch.from_numpy(drawn), *inverses).numpy()
    np.testing.assert_allclose(found, covariances[0], atol=0.1 * covariances[0].max())


def test_against_explicit_kronecker_products():
    rng = np.random.default_rng(0)
    tasks, out, incoming = 3, 2, 4
    w = rng.normal(size=(tasks, out, incoming))
    covariances = [positive_definite(n, rng) for n in (tasks, out, incoming)]
    inverses = [torch.from_numpy(np.linalg.inv(s)) for s in covariances]
    whole = np.kron(np.kron(covariances[0], covariances[1]), covariances[2])
    expected = w.ravel() @ np.linalg.solve(whole, w.ravel())
    weights = torch.from_numpy(w)
    assert quadratic_form(weights, *inverses).item() == pytest.approx(expected)
    unfolded = w.reshape(tasks, -1)
    inner = np.linalg.inv(np.kron(covariances[1], covariances[2]))
    found = task_covariance(weights, *inverses[1:]).numpy()
    expected = unfolded @ inner @ unfolded.T / (out * incoming) + 1e-5 * np.eye(tasks)
    np.testing.assert_allclose(found, expected)
    identities = torch.eye(out).double(), torch.eye(incoming).double()
    torch.testing.assert_close(task_covariance(weights), task_covariance(weights, *identities))
    assert torch.autograd.gradcheck(
        lambda x: quadratic_form(x, *inverses), weights.requires_grad_()
    )


def test_the_precision_is_the_inverse_but_bounded():
    rng = np.random.default_rng(0)
    covariance = torch.from_numpy(positive_definite(4, rng))
    torch.testing.assert_close(precision(covariance), torch.linalg.inv(covariance))
    alike = torch.ones(2, 2, dtype=torch.double)  # variances 2 and 0
    expected = [1 / 2, 1 / 0.1]
    assert torch.linalg.eigvalsh(precision(alike, 0.1)).tolist() == pytest.approx(expected)
    assert torch.isfinite(precision(torch.full((2, 2), torch.nan))).all()


def test_the_covariance_follows_the_weights_every_so_many_steps():
    net = network(METHOD).train()
    for layer in net.hidden:
        torch.nn.init.normal_(layer.weight)
    seen = []
    for _ in range(2 * EVERY):
        net.penalty([])
        seen.append(net.precision.clone())
        with torch.no_grad():
            net.hidden[0].weight.mul_(1.01)
    changes = [k + 1 for k in range(1, 2 * EVERY) if not torch.equal(seen[k], seen[k - 1])]
    assert changes == [EVERY, 2 * EVERY]
    w = torch.stack([layer.weight for layer in net.hidden]).detach().flatten(1).double().numpy()
    w[0] /= 1.01  # as it was at the last estimate
    np.testing.assert_allclose(
        seen[-1].numpy(), w.shape[1] * np.linalg.inv(w @ w.T), rtol=1e-3, atol=1e-3
    )


def test_a_new_estimate_makes_the_quadratic_form_the_number_of_weights():
    """The trace of W^T (W W^T / D)^-1 W, with T D weights: whatever they are, above the bound."""
    net = network(METHOD).train()
    for layer in net.hidden:
        torch.nn.init.normal_(layer.weight)
    weights = torch.stack([layer.weight for layer in net.hidden]).detach()
    for _ in range(EVERY - 1):
        assert net.penalty([]).item() == pytest.approx(0.5 * weights.square().sum().item())
    assert net.penalty([]).item() == pytest.approx(weights.numel() / 2, rel=1e-4)


def test_the_prior_is_kept_in_training_and_saved():
    net, other = network(METHOD).train(), network(METHOD).train()
    assert {"precision", "calls"} == {name for name, _ in net.named_buffers() if "." not in name}
    for _ in range(EVERY - 1):
        net.penalty([])
    net.eval()
    for _ in range(3):  # evaluation neither counts nor estimates
        net.penalty([])
    assert torch.equal(net.precision, torch.eye(len(TASKS)))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.penalty([]), net.train().penalty([]))  # the hundredth of both
    assert torch.equal(other.precision, net.precision)
    assert not torch.equal(net.precision, torch.eye(len(TASKS)))


def test_any_blocks_and_one_task():
    for tasks in (TASKS, TASKS[:1]):
        net = network(METHOD, tasks)
        assert untouched(net) == []
        assert torch.isfinite(loss(net, torch.bfloat16))
        assert [layer.out_features for layer in net.hidden] == [16] * len(tasks)


def test_a_larger_weight_makes_the_penalty_smaller(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path))
    short = {"train_faces": 48, "batch": 16, "epochs": 3, "lr": 0.1}
    slight, strong = (
        train(plans.experiment("smoke", "DRN", penalty=weight, **short)).history
        for weight in (METHOD.penalty, 0.1)
    )
    assert np.isfinite([row["loss.penalty"] for row in slight]).all()
    assert strong[-1]["loss.penalty"] < 0.9 * slight[-1]["loss.penalty"]
