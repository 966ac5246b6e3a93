"""Blocks and units that write over what nobody needs any more."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from dclib.block import CollaborativeBlock
from dclib.methods.cross_stitch import CrossStitch


class FastBasicBlock(BasicBlock):
    """A residual block that writes its sum and its ReLUs over what nobody needs any more."""

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = functional.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu_(y.add_(shortcut))


class FastCollaborativeBlock(CollaborativeBlock):
    """A collaborative block that does the same for Eq. 1."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if len({x.shape[-2:] for x in maps}) > 1:
            return super().forward(maps)
        z = self.central(torch.cat(list(maps), dim=1))  # (B, Z, h, w)
        outputs = []
        for x, aggregate in zip(maps, self.specific, strict=True):
            y = aggregate(torch.cat([x, z], dim=1)).add_(x)
            outputs.append(functional.relu_(y) if self.outer_relu else y)
        return outputs


class _Combinations(torch.autograd.Function):
    """y_t = sum_s alpha_ts * x_s of maps (B, C, h, w), added up in place."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        """Weights (target, source, C or 1) and maps to as many maps."""
        ctx.save_for_backward(alpha, *maps)
        return tuple(_combine(row, maps) for row in alpha)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, ...]:
        """The gradients of weights and maps, of their shapes."""
        alpha, *maps = ctx.saved_tensors
        of_maps = [_combine(column, above) for column in alpha.transpose(0, 1)]
        g, x = (
            torch.stack([m.transpose(0, 1).flatten(1) for m in of], dim=1) for of in (above, maps)
        )  # (C, T, B h w) each
        of_alpha = torch.bmm(g, x.mT).permute(1, 2, 0)  # (target, source, C)
        return of_alpha.sum_to_size(alpha.shape), *of_maps


def _combine(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, h, w), each by its weights (C or 1), added up."""
    scales = weights[:, :, None, None]  # (T, C or 1, 1, 1)
    y = scales[0] * maps[0]
    for scale, x in zip(scales[1:], maps[1:], strict=True):
        y.addcmul_(scale, x)
    return y


class FastCrossStitch(CrossStitch):
    """Cross-Stitch units that add their products up as they go."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if any(x.dtype != self.alpha.dtype or x.shape != maps[0].shape for x in maps):
            return super().forward(maps)
        return list(_Combinations.apply(self.alpha, *maps))
