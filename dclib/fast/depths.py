"""At which depths of a network columns are trained faster together: measured."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from dclib.fast.stacked import Layer, StackedNetwork
from dclib.fast.ways import fastest, seconds

LONG = 0.2  # seconds


def faster_together(
    net: StackedNetwork, images: Tensor, best: Callable[[str, Callable[[], str]], str]
) -> list[int]:
    """The depths at which the columns of a network are trained faster together.

    Args:
        net: a copy to measure with.
        images: (B, 3, R, R).
        best: a name of what is measured, how -> what was measured before, or is now.
    """
    x, tasks, found = images, len(net.columns), list[int]()
    columns = zip(*cast(Sequence[nn.ModuleList], net.columns), strict=True)
    numbered = enumerate(zip(columns, net.mixers, net.steps, strict=True))
    for depth, (same, mixer, (blocks, mix)) in numbered:
        x = x.detach().requires_grad_(depth > 0)

        def together(x: Tensor = x, blocks: Layer = blocks, mix: Layer = mix) -> list[Tensor]:
            return [mix(blocks(x))]

        def apart(
            x: Tensor = x, same: Sequence[nn.Module] = same, mixer: nn.Module = mixer
        ) -> list[Tensor]:
            parts = list(x.chunk(tasks, dim=1)) if x.requires_grad else [x] * tasks
            layout = torch.channels_last
            parts = [part.contiguous(memory_format=layout) for part in parts]
            return mixer([block(part) for block, part in zip(same, parts, strict=True)])

        def trained(forward: Callable[[], list[Tensor]]) -> None:
            net.zero_grad()
            maps = forward()
            torch.autograd.backward(maps, [torch.ones_like(y) for y in maps])

        about = f"{same[0]} {mixer} {tuple(x.shape)}"
        what = f"depth {depth}, {hashlib.sha256(about.encode()).hexdigest()[:8]}"
        steps = (partial(trained, apart), partial(trained, together))
        if best(what, partial(_faster, *steps)) == "together":
            found.append(depth)
        with torch.no_grad():
            x = torch.cat(apart(), dim=1)
    return found


def _faster(apart: Callable[[], None], together: Callable[[], None]) -> str:
    """Which is faster; where one step is work for long, starting fewer operations is no gain."""
    apart()  # to get warm
    if seconds(apart) > LONG:
        return "apart"
    return fastest({"apart": apart, "together": together})
