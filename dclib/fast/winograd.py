"""3x3 convolutions in half the products: Winograd's minimal filtering along the height of maps.

Four rows of the output take twelve products of the kernel's three rows with rows of the input. As
the product of two polynomials follows from its values at six points, six products are enough: of
six sums of rows with six sums of the kernel's rows. With A, B and G for the sums, d for six rows
that overlap by two and g for the kernel,

    y = A' [(G g) * (B' d)]

where * convolves along the width. So padding, tiles and their overlap are in two matrices that act
on the height of maps, and libraries do the rest. The points are 0, 2/3, -2/3, 3/2, -3/2 and
infinity: with them single precision loses half a bit to one bit, with whole numbers one to two.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

POINTS = (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)  # and infinity
LOW = 4  # rows of maps, up to which kernels are convolved as matrices

COLUMNS = (  # in the kernel, and the parts of output and input that each joins
    (1, slice(None), slice(None)),
    (0, slice(1, None), slice(None, -1)),
    (2, slice(None, -1), slice(1, None)),
)


def pays(channels: int, height: int) -> bool:
    """Whether half the products outweigh the sums: a table from measurements at batch 32."""
    if height <= LOW:
        return channels >= 128 and height >= 3
    tiles = -(-height // 4)
    return channels >= 64 and channels * height >= 700 and height >= 3.5 * tiles


def _values(count: int) -> np.ndarray:
    """What turns `count` coefficients into values at the points; at infinity, the last of them."""
    return np.vstack([np.vander(POINTS, count, increasing=True), np.eye(count)[-1]])


@lru_cache(maxsize=64)
def transforms(
    height: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of rows of the input (6 I, h), of the output (h, 6 I) and of the kernel (6, 3).

    I tiles of four rows make the height; what the last one has too much is left out.
    """
    output, kernel, whole = _values(4), _values(3), np.linalg.inv(_values(6)).T
    tiles = -(-height // 4)
    before = np.zeros((6, tiles, 4 * tiles + 2))  # with a row of zeros above and below
    after = np.zeros((4 * tiles, 6, tiles))
    for i in range(tiles):
        before[:, i, 4 * i : 4 * i + 6] = whole
        after[4 * i : 4 * i + 4, :, i] = output.T
    before, after = before[:, :, 1 : height + 1], after[:height]
    sums = (before.reshape(-1, height), after.reshape(height, -1), kernel)
    made = [torch.from_numpy(np.ascontiguousarray(m)).to(device, dtype) for m in sums]
    return made[0], made[1], made[2]


def _as_maps(rows: Tensor) -> Tensor:
    """Rows (6, n, w, C) as maps (6, n, C, 1, w), channels last."""
    return rows.transpose(2, 3).unsqueeze(3)


def _as_rows(maps: list[Tensor]) -> Tensor:
    """Six maps (n, C, 1, w) as rows (6, n, w, C)."""
    return torch.cat(maps).squeeze(2).transpose(1, 2).unflatten(0, (6, -1))


def _convolved(v: Tensor, u: Tensor) -> Tensor:
    """Rows (6, I B, w, C) and kernels (6, D, 3, C) to rows (6, I B, w, D): 1x3 convolutions."""
    both = zip(_as_maps(v), _as_maps(u), strict=True)
    return _as_rows([functional.conv2d(a, b, padding=(0, 1)) for a, b in both])


def _of_convolved(m: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of rows and kernels, of their shapes."""
    of_v, of_u = [], []
    for above, a, b in zip(*map(_as_maps, (m, v, u)), strict=True):
        both = torch.ops.aten.convolution_backward(
            above, a, b, None, (1, 1), (0, 1), (1, 1), False, (0, 0), 1, (True, True, False)
        )
        of_v.append(both[0])
        of_u.append(both[1])
    return _as_rows(of_v), _as_rows(of_u)


def _multiplied(v: Tensor, u: Tensor) -> Tensor:
    """Rows (6, w, B, C) and kernels (6, 3, D, C) to (6, w, B, D): matrix products by column."""
    m = torch.bmm(v.flatten(1, 2), u[:, 1].mT).view(*v.shape[:3], -1)
    for column, out, into in COLUMNS[1:]:
        for product, a, b in zip(m, v, u, strict=True):
            product[out].flatten(0, 1).addmm_(a[into].flatten(0, 1), b[column].t())
    return m


def _of_multiplied(m: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of rows and kernels, of their shapes."""
    of_v = torch.bmm(m.flatten(1, 2), u[:, 1]).view_as(v)
    of_u = torch.empty_like(u)
    for column, out, into in COLUMNS:
        for above, a, b, of_a, of_b in zip(m, v, u, of_v, of_u, strict=True):
            part = above[out].flatten(0, 1)
            if column != 1:
                of_a[into].flatten(0, 1).addmm_(part, b[column])
            torch.mm(part.t(), a[into].flatten(0, 1), out=of_b[column])
    return of_v, of_u


class _WinogradConvolution(torch.autograd.Function):
    """3x3 convolution of maps, as sums of rows, six products of these, and sums again.

    On maps of up to four rows the products are matrix products by column, on others convolutions.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Maps (B, C, h, w) and weight (D, C, 3, 3) to (B, D, h, w)."""
        ctx.low = x.shape[2] <= LOW
        ctx.order, ctx.back = (
            ((2, 3, 0, 1), (2, 3, 0, 1)) if ctx.low else ((2, 0, 3, 1), (1, 3, 0, 2))
        )
        x, weight = x.permute(ctx.order), weight.permute(ctx.order)
        before, after, kernel = transforms(len(x), x.dtype, x.device)
        v = (before @ x.reshape(len(x), -1)).view(6, -1, *x.shape[2:])
        u = (kernel @ weight.reshape(3, -1)).view(6, *weight.shape[1:])
        ctx.save_for_backward(v, u)
        m = _multiplied(v, u) if ctx.low else _convolved(v, u)
        y = (after @ m.view(after.shape[1], -1)).view(*x.shape[:3], -1)
        return y.permute(ctx.back).contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of maps and weight, of their shapes."""
        v, u = ctx.saved_tensors
        above = gradients[0].permute(ctx.order)
        before, after, kernel = transforms(len(above), v.dtype, v.device)
        m = (after.t() @ above.reshape(len(above), -1)).view(6, -1, *above.shape[2:])
        of_v, of_u = (_of_multiplied if ctx.low else _of_convolved)(m, v, u)
        of_x = (before.t() @ of_v.view(before.shape[0], -1)).view(*above.shape[:3], -1)
        of_weight = (kernel.t() @ of_u.view(6, -1)).view(3, *u.shape[1:])
        return (
            of_x.permute(ctx.back).contiguous(memory_format=torch.channels_last),
            of_weight.permute(ctx.back).contiguous(memory_format=torch.channels_last),
        )


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """3x3 convolution, padding 1, of maps (B, C, h, w), three rows or higher."""
    y: Tensor = _WinogradConvolution.apply(x, weight)
    return y
