"""Deep relationship networks (Long and Wang, 2015): a prior learned over the weights of tasks.

The weights of a layer that each task has of its own, stacked to W (T, out, in), are given a
tensor-normal prior: vec(W) is normal with covariance Sigma_task ⊗ Sigma_out ⊗ Sigma_in. Written
anew, after the paper and thuml/MTlearn (no licence, so nothing is taken from it).
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from dclib.network import Channels, Columns, Method, Network, shared
from dclib.tasks import Task
from dclib.underlying import scaled

EPSILON = 1e-5  # added to covariances, as in the authors' code
EVERY = 100  # steps between two estimates of the covariance, from the authors' code
LEAST = 1 / 30  # over the inputs: a tenth of the variance with which weights start


def _multiplied(weights: Tensor, out: Tensor | None, incoming: Tensor | None) -> Tensor:
    """W (T, out, in) times precisions (out, out) and (in, in); None stands for the identity."""
    weights = weights if incoming is None else weights @ incoming
    return weights if out is None else out @ weights


def quadratic_form(
    weights: Tensor, task: Tensor, out: Tensor | None = None, incoming: Tensor | None = None
) -> Tensor:
    """vec(W)^T (P_task ⊗ P_out ⊗ P_in) vec(W), without forming the Kronecker product.

    Args:
        weights: W (T, out, in).
        task, out, incoming: symmetric precisions, inverse covariances, (T, T), (out, out) and
            (in, in); the identity where not given.
    """
    mixed = torch.einsum("st,t...->s...", task, _multiplied(weights, out, incoming))
    return (weights * mixed).sum()


def task_covariance(
    weights: Tensor, out: Tensor | None = None, incoming: Tensor | None = None
) -> Tensor:
    """The covariance of tasks (T, T), W_(task) (P_out ⊗ P_in) W_(task)^T / (D_out D_in) + 1e-5 I.

    It is the most likely one, but for the last term; D_out D_in are the weights of a task.

    Args:
        weights: W (T, out, in).
        out, incoming: precisions as for `quadratic_form`.
    """
    rows = _multiplied(weights, out, incoming).flatten(1)
    mean = weights.flatten(1) @ rows.T / rows.shape[1]
    return mean + EPSILON * torch.eye(len(weights)).to(weights)


def precision(covariance: Tensor, least: float = EPSILON) -> Tensor:
    """The inverse (T, T) of a covariance, in which smaller variances are taken for the least.

    Without a bound tasks that agree are drawn together without end, and the steps of SGD along
    their difference grow until it diverges. The authors' code has one, too.
    """
    # eigh fails on what is not finite; weights gone astray shall show in the penalty instead
    variances, vectors = torch.linalg.eigh(covariance.where(covariance.isfinite(), 0.0))
    return vectors @ torch.diag(1 / variances.clamp(min=least)) @ vectors.T


class Relationship(Network):
    """One trunk and, before each head, a hidden layer of the task's own under a common prior.

    The hidden layers have half as many units as the trunk has features, 256 for ResNet18. The
    penalty is the part of the negative log prior that depends on their weights,

        1/2 vec(W)^T (Sigma_task ⊗ I ⊗ I)^(-1) vec(W),

    with the covariance of tasks estimated anew, from the weights, in each hundredth call in
    training; it is the identity before. It is never trained, so it and the number of calls are
    buffers, saved and restored. The covariances of features stay the identity, as in the authors'
    code, and all layers learn at one rate.

    At its default weight the penalty is a fiftieth of weight decay until the first estimate, and
    then ten times weight decay, since variances are some thousandths. The paper's weight, 1 / N for
    the mean over N faces, is ten times larger or more: as BatchNorm in the heads lets weights
    shrink at no cost, they do, to the bound of `precision`, below which tasks are all alike.
    """

    precision: Tensor
    calls: Tensor

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        count, units = channels[0][-1], scaled(channels[0][-1], 0.5)
        super().__init__(tasks, columns, channels, features=[units] * len(tasks))
        self.hidden = nn.ModuleList(nn.Linear(count, units) for _ in tasks)
        self.register_buffer("precision", torch.eye(len(tasks)))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def features(self, images: Tensor) -> list[Tensor]:
        """What each head gets (B, units): the task's hidden layer on the trunk's features."""
        pooled = super().features(images)  # (B, C) each
        return [layer(x).relu() for layer, x in zip(self.hidden, pooled, strict=True)]

    def penalty(self, features: Sequence[Tensor]) -> Tensor:
        layers = cast(Sequence[nn.Linear], self.hidden)
        weights = torch.stack([layer.weight for layer in layers])  # (T, units, C)
        if self.training:
            self.calls += 1
            if self.calls % EVERY == 0:
                least = LEAST / weights.shape[-1]
                self.precision = precision(task_covariance(weights.detach()), least)
        return quadratic_form(weights, self.precision) / 2


METHOD = Method(
    "deep relationship network",
    source="long2015",
    equation=r"\mathcal{L} + \tfrac{\lambda}{2} \mathrm{vec}(W)^\top"
    r" (\Sigma_{\mathrm{task}} \otimes \Sigma_{\mathrm{out}}"
    r" \otimes \Sigma_{\mathrm{in}})^{-1} \mathrm{vec}(W)",
    columns=shared,
    network=Relationship,
    penalty=1e-5,
    penalties=(1e-6, 1e-5, 1e-4),
    revision=1,
)
