"""Shared and private features (Liu et al., ACL 2017), adversarial or not. From the paper alone."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dclib.network import Channels, Columns, Method, Network
from dclib.tasks import Task

GAMMA = 0.1  # weight of the overlap; 0.01 in the paper, for its plain sum
LAMBDA = 0.05  # weight of the adversary, of the paper


def overlap(shared: Tensor, private: Tensor) -> Tensor:
    """||S^T H||^2 for features S (B, C) and H (B, D): zero where all of S is orthogonal to H."""
    return (shared.T @ private).square().sum()


def normalised(features: Tensor) -> Tensor:
    """Features (B, C) less their mean over samples, and of norm 1 altogether.

    In single precision at least, autocast or not.
    """
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    apart = features - features.mean(dim=0)
    return apart / apart.norm().clamp(min=1e-6)


class Reversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -weight (Ganin and Lempitsky, ICML 2015)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        """x of any shape, itself."""
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of x, of its shape; the weight has none."""
        return -ctx.weight * gradients[0], None


def reverse(x: Tensor, weight: float = 1.0) -> Tensor:
    """x itself; what is learned from it is unlearned before it, `weight` times as fast."""
    return Reversal.apply(x, weight)


class SharedPrivate(Network):
    """A column per task and one more that all heads read: head t gets [s, h_t].

    The penalty holds the private features h_t apart from the shared s,

        sum_t ||S^T H_t||^2 / (||S||^2 ||H_t||^2),

    where rows of S and H_t are samples, less their mean. The paper, whose features have both signs,
    has the plain ||S^T H_t||^2, which grows with samples, features and scale. Behind a ReLU, where
    features are never negative, it vanishes only where one of the two is silent, and BatchNorm in
    the heads lets both shrink at no cost: trained so, one of them does fall silent. What two
    columns can be is uncorrelated.

    With an adversary the penalty also holds the cross-entropy of a discriminator softmax(U s + b)
    that tells from s which task a sample belongs to, behind a `reverse`: U and b make it small, the
    shared column large. It gets the same s, without mean and of norm 1 for a sample on average;
    otherwise a column without BatchNorm makes s ever larger, which is the easiest way to confuse.
    The weight of the cross-entropy is the paper's, 0.05, when that of the penalty is the default.

    The paper has texts of its own for each task. Here every face serves every task, and each of a
    batch is assigned to one by its place, b modulo T. Faces come in random order, so s cannot tell:
    the discriminator ends at 1 / T for each task, a cross-entropy of log T, and its gradient is
    noise. The adversary is of use where tasks have images of their own.

    Args:
        tasks, columns, channels: as for `Network`; the last column is the shared one.
        adversary: with a discriminator, whose weights are trained by the penalty alone.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        columns: Columns,
        channels: Channels,
        adversary: bool = False,
    ) -> None:
        *private, self.common = [own[-1] for own in channels]
        super().__init__(tasks, columns, channels, features=[self.common + c for c in private])
        self.column_of = list(range(len(columns)))  # all are pooled, the shared one too
        self.discriminator = nn.Linear(self.common, len(tasks)) if adversary else None

    def features(self, images: Tensor) -> list[Tensor]:
        """What each head gets (B, C + C_t): the shared features, then the task's own."""
        *private, common = super().features(images)
        return [torch.cat([common, own], dim=1) for own in private]

    def penalty(self, features: Sequence[Tensor]) -> Tensor:
        shared = normalised(features[0][:, : self.common])  # (B, C)
        private = [normalised(x[:, self.common :]) for x in features]  # (B, C_t) each
        total = torch.stack([overlap(shared, own) for own in private]).sum()
        if self.discriminator is not None:
            task = torch.arange(len(shared), device=shared.device) % len(private)  # (B,)
            guess = self.discriminator(reverse(shared) * len(shared) ** 0.5)  # (B, T)
            total = total + LAMBDA / GAMMA * functional.cross_entropy(guess, task)
        return total


METHOD = Method(
    "shared and private features",
    source="liu2017adversarial",
    equation=r"\hat{y}_t = g_t([s, h_t]), \quad"
    r" \mathcal{L} + \gamma \textstyle\sum_t \lVert S^\top H_t \rVert_F^2"
    r" / (\lVert S \rVert_F^2 \lVert H_t \rVert_F^2)",
    columns=lambda tasks: tasks + 1,
    network=SharedPrivate,
    penalty=GAMMA,
    penalties=(0.1 * GAMMA, GAMMA, 10 * GAMMA),
)
ADVERSARIAL = replace(
    METHOD,
    title="shared and private features, adversarial",
    equation=METHOD.equation + r" + \lambda \mathcal{L}_{\mathrm{adv}}",
    network=partial(SharedPrivate, adversary=True),
)
