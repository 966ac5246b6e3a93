"""Convolutions as matrix products, few of them, by the library that multiplies them fastest.

A 3x3 convolution of a map of h rows is, along the height, a product of polynomials of which h
coefficients are wanted. That takes as many products as the values at some points, not 3 h: one for
a row, 3 for two, 5 for three (modulo x^4 - 1), 6 for four (Winograd's points). Along the width too,
a map of 2 x 2 pixels takes 9 matrix products in place of 36, one of 3 x 3 takes 25 in place of 81.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dclib.fast import winograd

SMALL = 4  # rows of maps, up to which there are sums here

# Rows of the input, the kernel and the output, as sums by which products are few.
SUMS: dict[int, tuple[list[list[float]], ...]] = {
    1: ([[1]], [[0, 1, 0]], [[1]]),
    2: ([[1, 1], [0, 1], [1, 0]], [[0, 1, 0], [0, -1, 1], [1, -1, 0]], [[1, 1, 0], [1, 0, 1]]),
    3: (
        [[1, 1, 1], [1, -1, 1], [1, 0, -1], [0, 1, 0], [1, 1, -1]],
        [[1, 1, 1], [1, -1, 1], [-1, 0, 1], [0, 1, 0], [-1, 1, 1]],
        [
            [1 / 4, -1 / 4, -1 / 2, -1 / 2, 1 / 2],
            [1 / 4, 1 / 4, -1 / 2, 1 / 2, 0],
            [1 / 4, -1 / 4, 1 / 2, 1 / 2, -1 / 2],
        ],
    ),
}


def _sums(side: int) -> list[np.ndarray]:
    if side in SUMS:
        return [np.array(sums, dtype=float) for sums in SUMS[side]]
    before, after, kernel = winograd.transforms(side, torch.float64, torch.device("cpu"))
    return [before.numpy(), kernel.numpy(), after.numpy()]


@lru_cache(maxsize=64)
def transforms(
    height: int, width: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of places of the input (P, h w), of the kernel (P, 9) and of products (h w, P)."""
    both = zip(_sums(height), _sums(width), strict=True)
    made = [torch.from_numpy(np.kron(rows, columns)).to(device, dtype) for rows, columns in both]
    return made[0], made[1], made[2]


def _onednn() -> Callable[..., Tensor] | None:
    """PyTorch's private operator for oneDNN's product of a matrix and a transposed one."""
    a, b = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        linear = torch.ops.mkldnn._linear_pointwise
        right = torch.equal(linear(a, b, None, "none", [], ""), a @ b.t())
    except (AttributeError, RuntimeError, TypeError):  # in a PyTorch that has it otherwise, or not
        return None
    return linear if right else None


ONEDNN = _onednn()
LIBRARIES = ("blas", "onednn") if ONEDNN else ("blas",)


def product(a: Tensor, b: Tensor, library: str, out: Tensor) -> Tensor:
    """Matrices a (n, M, K) and b (n, N, K) to a b' (n, M, N), by PyTorch's BLAS or by oneDNN."""
    if library == "onednn" and ONEDNN and a.dtype == torch.float32 and a.device.type == "cpu":
        for x, y, place in zip(a.contiguous(), b.contiguous(), out, strict=True):
            place.copy_(ONEDNN(x, y, None, "none", [], ""))
    elif out.is_contiguous():
        torch.bmm(a, b.mT, out=out)
    else:
        for x, y, place in zip(a, b, out, strict=True):
            torch.mm(x, y.t(), out=place)
    return out


def _products(a: Tensor, b: Tensor, library: str) -> Tensor:
    return product(a, b, library, a.new_empty(len(a), a.shape[1], b.shape[1]))


def _apart(x: Tensor, groups: int) -> Tensor:
    """Maps (B, T C, h, w) as (h w, T B C)."""
    places = x.unflatten(1, (groups, -1)).permute(3, 4, 1, 0, 2)
    return places.reshape(places.shape[0] * places.shape[1], -1)


def _together(y: Tensor, height: int, groups: int, batch: int) -> Tensor:
    """The way back, channels last."""
    places = y.view(height, -1, groups, batch, y.shape[1] // (groups * batch))
    width, channels = places.shape[1], places.shape[4]
    maps = _maps(y, batch, groups * channels, height, width)
    inside = maps.permute(0, 2, 3, 1).view(batch, height, width, groups, channels)
    inside.copy_(places.permute(3, 0, 1, 2, 4))
    return maps


def _maps(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


class _Few(torch.autograd.Function):
    """3x3 convolution, padding 1, without bias, of small maps side by side in T groups."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int, library: str) -> Tensor:
        """Maps (B, T C, h, w) and weight (T D, C, 3, 3) to (B, T D, h, w)."""
        batch, _, height, width = x.shape
        before, kernel, after = transforms(height, width, x.dtype, x.device)
        count, channels = len(before) * groups, weight.shape[1]
        v = (before @ _apart(x, groups)).view(count, batch, channels)
        u = (kernel @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(count, -1, channels)
        m = _products(v, u, library)
        ctx.save_for_backward(v, u)
        ctx.about = height, width, groups, library
        return _together(after @ m.view(len(before), -1), height, groups, batch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The gradients of maps and weight, of their shapes."""
        v, u = ctx.saved_tensors
        height, width, groups, library = ctx.about
        before, kernel, after = transforms(height, width, v.dtype, v.device)
        m = (after.t() @ _apart(above, groups)).view(len(v), v.shape[1], -1)
        of_x = before.t() @ _products(m, u.mT, library).view(len(before), -1)
        of_u = _products(m.mT, v.mT, library).view(len(before), -1)
        of_weight = (kernel.t() @ of_u).view(3, 3, -1, v.shape[2]).permute(2, 3, 0, 1)
        return (
            _together(of_x, height, groups, v.shape[1]),
            of_weight.contiguous(memory_format=torch.channels_last),
            None,
            None,
        )


def _rows(x: Tensor, groups: int) -> Tensor:
    """Maps (B, T C, h, w) as (T, B h w, C): a view of those whose channels are last."""
    return x.permute(0, 2, 3, 1).reshape(-1, groups, x.shape[1] // groups).transpose(0, 1)


class _Rows(torch.autograd.Function):
    """1x1 convolution without bias of maps side by side in T groups."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, groups: int, stride: int, library: str
    ) -> Tensor:
        """Maps (B, T C, h, w) and weight (T D, C, 1, 1) to (B, T D, h / stride, w / stride)."""
        seen = x[:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(seen, weight)
        ctx.about = x.shape, groups, stride, library
        kernel = weight.flatten(1).unflatten(0, (groups, -1))  # (T, D, C)
        return _as_maps(_rows(seen, groups), kernel, seen, library)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """The gradients of maps and weight, of their shapes."""
        seen, weight = ctx.saved_tensors
        shape, groups, stride, library = ctx.about
        kernel = weight.flatten(1).unflatten(0, (groups, -1))
        rows = _rows(above, groups)
        of_weight = _products(rows.mT, _rows(seen, groups).mT, library).view_as(weight)
        of_x = _as_maps(rows, kernel.mT, seen, library)
        if stride > 1:
            whole = above.new_zeros(shape).contiguous(memory_format=torch.channels_last)
            whole[:, :, ::stride, ::stride] = of_x
            of_x = whole
        return of_x, of_weight, None, None, None


def _as_maps(rows: Tensor, kernel: Tensor, like: Tensor, library: str) -> Tensor:
    """Rows (T, N, C) times kernels (T, D, C) as maps (B, T D, h, w), channels last."""
    maps = _maps(rows, len(like), len(kernel) * kernel.shape[1], *like.shape[2:])
    product(rows, kernel, library, _rows(maps, len(kernel)))
    return maps


def few(x: Tensor, weight: Tensor, groups: int = 1, library: str = "blas") -> Tensor:
    """3x3 convolution, padding 1, of maps (B, T C, h, w) of up to `SMALL` rows and columns."""
    y: Tensor = _Few.apply(x, weight, groups, library)
    return y


def rows(
    x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1, library: str = "blas"
) -> Tensor:
    """1x1 convolution of maps (B, T C, h, w) with weight (T D, C, 1, 1) in T groups."""
    y: Tensor = _Rows.apply(x, weight, groups, stride, library)
    return y
