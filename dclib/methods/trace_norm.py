"""Soft sharing by trace norms (Yang and Hospedales, ICLR workshop 2017): kernels of low rank.

The kernels of a convolution, stacked over tasks, are a tensor of shape (k, k, in, out, T): the
authors' order, on which TT depends. Its rank has several meanings, so there are three norms.
Written anew, after the paper and wOOL/TNRDMTL (public domain).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod

import torch
from torch import Tensor

from dclib.methods.l2_distance import kernels
from dclib.network import Channels, Columns, Method, Network, per_task
from dclib.tasks import Task

EPSILON = 1e-8  # on squared singular values: directions far below 1e-4 get no gradient


def nuclear_norm(matrix: Tensor) -> Tensor:
    """The sum of the singular values of M (m, n), with the subgradient U V^T.

    It is the inner product of M with D = (M M^T + 1e-8 I)^(-1/2) M, which is U V^T where singular
    values are well above 1e-4 and goes to zero with them: so it is finite for equal columns and for
    zeros. D is held constant in the gradient, as in the envelope theorem.

    M M^T has the square of the side that M is turned to have in front, the smaller one: five tasks
    by a million weights costs a 5 x 5 problem. Squaring halves the digits, and double precision,
    which autocast leaves alone, gives them back.
    """
    m = matrix.double()
    m = m if m.shape[0] <= m.shape[1] else m.T
    with torch.no_grad():
        gram = m @ m.T  # (m, m)
        # eigh fails on what is not finite; weights gone astray shall show in the norm instead
        values, vectors = torch.linalg.eigh(gram.where(gram.isfinite(), 0.0))
        inverse_root = vectors @ torch.diag((values.clamp(min=0) + EPSILON).rsqrt()) @ vectors.T
        direction = inverse_root @ m  # (m, n)
    return (direction * m).sum().to(matrix.dtype)


def last_axis_flattening(weights: Tensor) -> Tensor:
    """LAF: the norm of the one matrix that has a column per task; weights (..., T)."""
    return nuclear_norm(weights.flatten(0, -2))


def tucker(weights: Tensor) -> Tensor:
    """Tucker: the norms of the matrices that have one axis in front and the rest behind."""
    unfolded = [weights.movedim(axis, 0).flatten(1) for axis in range(weights.ndim)]
    return torch.stack([nuclear_norm(matrix) for matrix in unfolded]).sum()


def tensor_train(weights: Tensor) -> Tensor:
    """TT: the norms of the matrices that have the first axes in front and the rest behind."""
    rows = [prod(weights.shape[:axis]) for axis in range(1, weights.ndim)]
    return torch.stack([nuclear_norm(weights.reshape(r, -1)) for r in rows]).sum()


class TraceNorm(Network):
    """A column per task, without mixers; the penalty is a norm summed over convolutions.

    Args:
        tasks, columns, channels: as for `Network`.
        norm: weights (k, k, in, out, T) to a number.

    Raises:
        ValueError: when the columns differ in their convolutions.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        columns: Columns,
        channels: Channels,
        norm: Callable[[Tensor], Tensor] = last_axis_flattening,
    ) -> None:
        super().__init__(tasks, columns, channels)
        kernels(self.columns)  # refuses columns that cannot be stacked
        self.norm = norm

    def penalty(self, features: Sequence[Tensor]) -> Tensor:
        layers = [layer.permute(3, 4, 2, 1, 0) for layer in kernels(self.columns)]
        return torch.stack([self.norm(layer) for layer in layers]).sum()


def _method(name: str, norm: Callable[[Tensor], Tensor], matrices: str) -> Method:
    return Method(
        f"soft sharing by trace norm, {name}",
        source="yang2016trace",
        equation=rf"\mathcal{{L}} + \gamma \textstyle\sum_\ell {matrices}",
        columns=per_task,
        network=partial(TraceNorm, norm=norm),
        penalty=1e-2,
        penalties=(1e-3, 1e-2, 1e-1),
    )


LAF = _method("last axis flattened", last_axis_flattening, r"\lVert W^\ell_{(T)} \rVert_*")
TUCKER = _method("Tucker", tucker, r"\sum_i \lVert W^\ell_{(i)} \rVert_*")
TT = replace(
    _method("tensor train", tensor_train, r"\sum_i \lVert W^\ell_{[1..i]} \rVert_*"), revision=1
)
