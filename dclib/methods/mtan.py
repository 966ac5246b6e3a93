"""MTAN (Liu et al., CVPR 2019): one trunk, from which each task attends to features of its own.

Written anew, after the paper and lorenmt/mtan (MIT).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dclib.methods.taps import entering, layers, probe
from dclib.network import Channels, Columns, Method, Network
from dclib.tasks import Task


def attention(incoming: int, channels: int) -> nn.Sequential:
    """What makes a mask in (0, 1) for `channels` maps, by way of a quarter as many."""
    middle = max(1, channels // 4)
    return nn.Sequential(
        nn.Conv2d(incoming, middle, kernel_size=1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.Sigmoid(),
    )


class Refinement(nn.Module):
    """A residual bottleneck from the maps of a stage to as many as the next has."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__()
        middle = max(1, outgoing // 4)
        self.main = nn.Sequential(
            nn.Conv2d(incoming, middle, kernel_size=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, middle, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, outgoing, kernel_size=1, bias=False),
            nn.BatchNorm2d(outgoing),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(incoming, outgoing, kernel_size=1, bias=False), nn.BatchNorm2d(outgoing)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, incoming, h, w) to (B, outgoing, h, w)."""
        return functional.relu(self.main(x) + self.shortcut(x))


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, H, W) max-pooled to a size (h, w); left as they are where they have it."""
    return x if x.shape[-2:] == size else functional.adaptive_max_pool2d(x, size)


class MTAN(Network):
    """One trunk, and for each task a mask over the maps of each stage.

        a_t = mask_t([u_b, refine(a_t of the stage before)]) * u_t

    A stage is a block; its last layer is its last residual block or, where there are none, its last
    convolution with all that follows. u_b goes into that layer and u_t comes out of it. The first
    block is the stem, to which nobody attends, unless there is no other. `refine` is shared by the
    tasks. Where sizes differ, both parts of the mask's input are max-pooled to the size of u_t.
    Before a BatchNorm there is no bias, in which the public versions differ.
    """

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        super().__init__(tasks, columns, channels, features=[channels[0][-1]] * len(tasks))
        blocks = columns[0]
        self.first = min(1, len(blocks) - 1)  # block that is attended to
        self.last_layers = [layers(block)[-1] for block in blocks[self.first :]]
        shapes, _ = probe(blocks, self.last_layers)
        stages = channels[0][self.first :]
        refined = [0, *stages[1:]]  # maps that come from the stage before
        self.attention = nn.ModuleList(
            nn.ModuleList(attention(shapes[layer][1] + more, count) for _ in tasks)
            for layer, more, count in zip(self.last_layers, refined, stages, strict=True)
        )
        self.refine = nn.ModuleList(Refinement(here, after) for here, after in pairwise(stages))

    def features(self, images: Tensor) -> list[Tensor]:
        """The spatial mean (B, C) of what each task attends to at the last stage."""
        with entering(self.last_layers) as seen:
            after = [x for (x,) in self.depths(images)][self.first :]  # u_t of each stage
        attended: list[Tensor] = []
        for stage, (layer, x) in enumerate(zip(self.last_layers, after, strict=True)):
            size = (x.shape[-2], x.shape[-1])
            before = fitted(seen[layer], size)  # u_b (B, C_b, h, w)
            if stage:
                earlier = [fitted(self.refine[stage - 1](a), size) for a in attended]
                inputs = [torch.cat([before, a], dim=1) for a in earlier]
            else:
                inputs = [before] * len(self.tasks)
            masks = cast(Sequence[nn.Module], self.attention[stage])
            attended = [mask(i) * x for mask, i in zip(masks, inputs, strict=True)]  # (B, C, h, w)
        return [a.mean(dim=(2, 3)) for a in attended]


METHOD = Method(
    "MTAN",
    source="liu2019mtan",
    equation=r"a_t^{\ell} = \sigma(\mathcal{A}_t^{\ell}([u_b^{\ell},"
    r" \mathcal{E}^{\ell}(a_t^{\ell-1})])) \odot u^{\ell}",
    network=MTAN,
)
