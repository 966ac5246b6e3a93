"""Reading a trunk within its blocks, for methods that need more than the maps after each of them.

A place is named by the layer that it lies before: the layer's input is what is read.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from dclib.splitting.tracing import evaluating, on_meta

NOMINAL = 224  # pixels, what underlying networks were designed for


def layers(block: nn.Module) -> list[nn.Module]:
    """Where the parts of a block that hold a convolution begin, in order: the layer of each.

    Of ResNet18 the parts are its residual blocks, of AlexNet its convolutions. Of a block that
    `dclib.splitting.series` has cut out they begin at the convolutions over which nothing jumps. A
    block that
    can be read in neither way counts as one part: itself.
    """
    if isinstance(block, fx.GraphModule):
        return list(_unjumped(block)) or [block]
    parts = list(block) if isinstance(block, nn.Sequential) else []
    return [part for part in parts if _convolves(part)] or [block]


def _convolves(part: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) for m in part.modules())


def _unjumped(block: fx.GraphModule) -> Iterator[nn.Module]:
    """The convolutions whose input is all that is still needed of what came before them."""
    nodes = list(block.graph.nodes)
    last_use = {n: max(map(nodes.index, n.users), default=-1) for n in nodes if n.op != "get_attr"}
    for at, node in enumerate(nodes):
        if node.op == "call_module" and _convolves(part := block.get_submodule(str(node.target))):
            needed = [n for n in nodes[:at] if last_use.get(n, -1) >= at]
            if needed == [node.args[0]]:
                yield part


@contextmanager
def entering(places: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Within it, what goes into some layers is copied when they run: {layer: (B, C, h, w)}.

    Copied, as what comes later may write into it.
    """
    seen: dict[nn.Module, Tensor] = {}

    def noting(place: nn.Module) -> Callable[..., None]:
        def note(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            seen[place] = next(iter((*inputs, *named.values()))).clone()

        return note

    hooks = [
        place.register_forward_pre_hook(noting(place), prepend=True, with_kwargs=True)
        for place in places
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def probe(
    blocks: nn.ModuleList, places: Sequence[nn.Module]
) -> tuple[dict[nn.Module, torch.Size], torch.Size]:
    """Shapes (B, C, h, w) of what goes into some layers and out of the last block, at 224 px.

    The blocks run on the meta device: nothing is computed, and nothing of them changes.
    """
    with torch.device("meta"), evaluating(blocks), entering(places) as seen:
        x = torch.empty(2, 3, NOMINAL, NOMINAL)
        for block in blocks:
            x = on_meta(block, x)
    return {place: value.shape for place, value in seen.items()}, x.shape
