"""Shared and private features: orthogonality by hand, and an adversary that has nothing to find."""

import math

import numpy as np
import pytest
import torch
from toy_columns import CHANNELS, TASKS, column, loss, network, untouched

from dclib.methods.shared_private import ADVERSARIAL, METHOD, overlap, reverse

BOTH = pytest.mark.parametrize("method", [METHOD, ADVERSARIAL])


def test_overlap_by_hand():
    """Rows are samples: S^T H has an entry for each shared and private feature."""
    shared = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    private = torch.tensor([[3.0], [4.0]])
    assert overlap(shared, private).item() == 3**2 + 8**2
    assert overlap(torch.eye(2), torch.eye(2)).item() == 2
    assert overlap(torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [-1.0]])).item() == 0


def test_the_penalty_is_the_share_of_covariance_between_the_columns():
    net = network(METHOD)
    features = [torch.rand(10, 64) for _ in TASKS]
    for x in features:
        x[:, :32] = features[0][:, :32]  # the shared column's
    expected = 0.0
    for x in features:
        both = np.cov(x.numpy(), rowvar=False)  # (64, 64)
        shared, private = np.trace(both[:32, :32]), np.trace(both[32:, 32:])
        expected += (both[:32, 32:] ** 2).sum() / (shared * private)
    assert net.penalty(features).item() == pytest.approx(expected, rel=1e-4)
    twice = [torch.cat([x, x]) for x in features]  # the number of samples does not matter
    assert net.penalty(twice).item() == pytest.approx(expected, rel=1e-4)
    changed = [3 * x + 5 for x in features]  # nor do scale and mean
    assert net.penalty(changed).item() == pytest.approx(expected, rel=1e-3)


def test_the_penalty_goes_from_nothing_in_common_to_all():
    net = network(METHOD, TASKS[:1])
    wave = torch.arange(8) * torch.pi / 4
    first, second = wave.sin(), wave.cos()  # uncorrelated
    for shared, private, expected in ((first, second, 0), (first, first, 1), (first, 7 * first, 1)):
        features = torch.cat([shared[:, None].expand(8, 32), private[:, None].expand(8, 32)], dim=1)
        assert net.penalty([features]).item() == pytest.approx(expected, abs=1e-5)
    constant = torch.ones(8, 64, requires_grad=True)  # silent columns overlap with nothing
    net.penalty([constant]).backward()
    assert net.penalty([constant]).item() == 0
    assert torch.isfinite(constant.grad).all()


def test_a_head_reads_the_shared_and_its_own_column():
    net = network(METHOD)
    assert len(net.columns) == len(TASKS) + 1
    images = torch.randn(4, 3, 32, 32)
    for t, task in enumerate(TASKS):
        net.zero_grad()
        net(images)[task.name].square().sum().backward()
        reached = {k for k, c in enumerate(net.columns) if c[0][0].weight.grad is not None}
        assert reached == {t, len(TASKS)}


def test_the_shared_features_come_first():
    net = network(METHOD).eval()
    images = torch.randn(2, 3, 32, 32)
    means = []
    for blocks in net.columns:
        x = images
        for block in blocks:
            x = block(x)
        means.append(x.mean(dim=(2, 3)))
    for own, found in zip(means[:-1], net.features(images), strict=True):
        torch.testing.assert_close(found, torch.cat([means[-1], own], dim=1))


def test_reversal_is_the_identity_with_the_gradient_turned_around():
    x = torch.randn(3, 4, requires_grad=True)
    y = reverse(x, 0.3)
    assert torch.equal(y, x)
    gradient = torch.randn(3, 4)
    y.backward(gradient)
    torch.testing.assert_close(x.grad, -0.3 * gradient)


def test_discriminator_and_shared_features_pull_in_opposite_directions():
    net, plain = network(ADVERSARIAL), network(METHOD)
    features = [torch.rand(9, 64).requires_grad_() for _ in TASKS]
    adversary = net.penalty(features) - plain.penalty(features)
    adversary.backward()
    x = features[0].detach()[:, :32].requires_grad_()
    weight = net.discriminator.weight.detach().clone().requires_grad_()
    apart = x - x.mean(dim=0)
    scaled = 3 * apart / apart.square().sum().sqrt()  # nine samples
    scores = scaled @ weight.T + net.discriminator.bias.detach()
    chosen = scores.log_softmax(dim=1)[torch.arange(9), torch.tensor([0, 1, 2] * 3)]
    (0.5 * -chosen.mean()).backward()  # 0.05 / 0.1 times
    assert adversary.item() == pytest.approx(-0.5 * chosen.mean().item(), rel=1e-4)
    torch.testing.assert_close(net.discriminator.weight.grad, weight.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(features[0].grad[:, :32], -x.grad, atol=1e-5, rtol=1e-4)


def test_the_adversary_finds_nothing_where_every_face_serves_every_task():
    """Faces come in random order, so their place says nothing: it stays at log T."""
    torch.manual_seed(0)
    net = network(ADVERSARIAL)
    faces = torch.rand(256, 32)
    private = torch.zeros(64, 32)  # overlaps with nothing, which leaves the adversary's part
    optimiser = torch.optim.SGD(net.discriminator.parameters(), lr=0.02)
    values = []
    for _ in range(300):
        shared = faces[torch.randperm(256)[:64]]
        adversary = net.penalty([torch.cat([shared, private], dim=1)] * len(TASKS)) / 0.5
        optimiser.zero_grad()
        adversary.backward()
        optimiser.step()
        values.append(adversary.item())
    assert np.mean(values[-100:]) == pytest.approx(math.log(len(TASKS)), abs=0.02)


@BOTH
def test_any_blocks_also_different_ones(method):
    net = network(method)
    assert untouched(net) == []
    assert torch.isfinite(loss(net, torch.bfloat16))
    shapes = [(8, 16), (6, 9), (4, 5)]  # two tasks and the shared column
    mixed = method.assemble(TASKS[:2], [column(c) for c in shapes], shapes)
    assert untouched(mixed) == []
    assert [head[0].in_features for head in mixed.heads] == [5 + 16, 5 + 9]


@BOTH
def test_one_task(method):
    """There is no other task to tell from: the discriminator is there, but has nothing to learn."""
    names = ["discriminator.weight", "discriminator.bias"] if method is ADVERSARIAL else []
    assert untouched(network(method, TASKS[:1], CHANNELS)) == names
