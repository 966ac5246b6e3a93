"""Convolutions of tiny maps as sums of matrix products, one for each place of the kernel.

Products that would only meet the zeros around the map are left out: a 2 x 2 map needs 16 of 36.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TINY = 2  # sides of maps, in pixels, up to which a convolution is a sum of matrix products
DEEP = 96  # and the least number of channels, where maps are more than a pixel

Region = tuple[int, int, tuple[slice, slice], tuple[slice, slice]]


def tiny(x: Tensor, channels: int, stride: int = 1) -> bool:
    """Whether maps of so many channels are convolved faster as here: a table."""
    side = stride * TINY if channels >= DEEP else 1
    return max(x.shape[-2:]) <= side


def _regions(height: int, width: int, stride: int) -> list[Region]:
    """Row and column in the kernel, and the parts of output and input that they join."""
    found: list[Region] = []
    for row in range(3):
        for column in range(3):
            spans = [_span(row, height, stride), _span(column, width, stride)]
            if all(first < end for first, end in spans):
                out, into = [], []
                for place, (first, end) in zip((row, column), spans, strict=True):
                    out.append(slice(first, end))
                    start = stride * first + place - 1
                    into.append(slice(start, start + stride * (end - first - 1) + 1, stride))
                found.append((row, column, (out[0], out[1]), (into[0], into[1])))
    return found


def _span(place: int, side: int, stride: int) -> tuple[int, int]:
    """The first output, and the one after the last, that a place of the kernel has an input for."""
    return int(place == 0), min((side - 1) // stride, (side - place) // stride) + 1


class _TinyConvolution(torch.autograd.Function):
    """3x3 convolution, padding 1, without bias, of maps side by side in T groups."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1) -> Tensor:
        """Maps (B, T C, h, w) and weight (T D, C, 3, 3) to (B, T D, h / stride, w / stride)."""
        inside = _apart(x, groups)
        _, height, width, batch, channels = inside.shape
        kernel = weight.unflatten(0, (groups, -1))  # (T, D, C, 3, 3)
        sides = [(side - 1) // stride + 1 for side in (height, width)]
        y = inside.new_zeros(groups, *sides, batch, kernel.shape[1])
        for row, column, out, into in _regions(height, width, stride):
            part = inside[:, *into]
            product = part.reshape(groups, -1, channels) @ kernel[..., row, column].mT
            y[:, *out] += product.view(*part.shape[:4], -1)
        ctx.save_for_backward(inside, weight)
        ctx.stride = stride
        return _together(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The gradients of maps and weight, of their shapes."""
        inside, weight = ctx.saved_tensors
        groups, height, width, _, channels = inside.shape
        above = _apart(gradients[0], groups)
        kernel = weight.unflatten(0, (groups, -1))
        regions = _regions(height, width, ctx.stride)
        of_weight = torch.empty_like(weight)
        if len(regions) < 9:  # places of the kernel that meet nothing but zeros
            of_weight.zero_()
        of_kernel = of_weight.unflatten(0, (groups, -1))
        of_inside = torch.zeros_like(inside)
        for row, column, out, into in regions:
            g = above[:, *out].reshape(groups, -1, kernel.shape[1])
            part = inside[:, *into]
            of_inside[:, *into] += (g @ kernel[..., row, column]).view(*part.shape)
            part = part.reshape(groups, -1, channels)
            for one, other, place in zip(g, part, of_kernel, strict=True):
                torch.mm(one.t(), other, out=place[..., row, column])
        return _together(of_inside), of_weight, None, None


def _apart(x: Tensor, groups: int) -> Tensor:
    """Maps (B, T C, h, w) as (T, h, w, B, C)."""
    return x.unflatten(1, (groups, -1)).permute(1, 3, 4, 0, 2).contiguous()


def _together(y: Tensor) -> Tensor:
    """The way back."""
    return y.permute(3, 0, 4, 1, 2).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def convolve(x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1) -> Tensor:
    """3x3 convolution, padding 1, of maps (B, T C, h, w) with weight (T D, C, 3, 3) in T groups."""
    y: Tensor = _TinyConvolution.apply(x, weight, groups, stride)
    return y
