"""Shown by running copies: that parts do what a whole does, and what a block writes into."""

import random
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from dclib.splitting.tracing import BATCH, REMEDY, UnlikeError, evaluating, first_line, on_meta
from dclib.splitting.watching import generators, private, same_chance

# Training or not, with gradients or not, batch after batch: state may build up.
MODES = ((True, True), (False, True), (False, False), (True, True))
SMALL = 96  # pixels: enough to tell, for networks that take images of any size
SIDES = (224, 64, 32, 28)  # for networks that take neither these nor what they are given


def refuse_unlike(whole: nn.Module, parts: Sequence[nn.Module], resolution: int) -> None:
    """Run copies of both on random images, with the same random numbers, trained and not.

    They must give the same, draw as many random numbers, and have the same gradients and weights
    at the end. Nothing is compared where weights have no values, or where the whole takes no images
    of any usual size.

    Raises:
        ValueError: the network has lazy layers.
        UnlikeError: the parts fail or do something else.
    """
    name, row = type(whole).__name__, nn.Sequential(*parts)
    named = [*whole.named_parameters(), *whole.named_buffers()]
    if any(is_lazy(t) for _, t in named):
        raise ValueError(f"{name} has lazy layers without weights: run it on images before")
    if not named or any(t.is_meta for _, t in named):
        return
    device = named[0][1].device
    kind = next((t.dtype for _, t in named if t.is_floating_point()), torch.float32)
    drawn = torch.Generator().manual_seed(0)
    with same_chance(), device, torch.enable_grad():
        for side in (min(resolution, SMALL), resolution, *SIDES):
            images = torch.randn(len(MODES), 2, 3, side, side, generator=drawn, device="cpu")
            images = images.to(device, kind)
            (one, ones), (other, others) = private(whole), private(row)
            try:
                expected = _outcomes(one, images)
            except Exception:
                continue
            break
        else:
            return
        try:
            found = _outcomes(other, images)
        except Exception as error:
            raise UnlikeError(
                f"{name} cannot be split: its blocks fail ({first_line(error)}); {REMEDY}"
            ) from error
    outcomes = zip(MODES, expected, found, strict=True)
    for (training, _), (results, chance), (same, chances) in outcomes:
        pairs = zip(results, same, strict=True)
        if chance != chances or not all(_alike(x, y, device.type) for x, y in pairs):
            mode = "training" if training else "evaluation"
            raise UnlikeError(
                f"{name} cannot be split: in {mode} its blocks give other numbers than it does,"
                f" as forward does more than can be followed; {REMEDY}"
            )
    for where, tensor in named:
        mine, theirs = ones[id(tensor)], others.get(id(tensor), tensor.detach())
        if not _alike(mine, theirs, device.type) or not _equally_trained(mine.grad, theirs.grad):
            raise UnlikeError(
                f"{name} cannot be split: its blocks do not change {where} as it does; {REMEDY}"
            )


def _outcomes(model: nn.Module, batches: Tensor) -> list[tuple[list[Tensor], dict[str, bytes]]]:
    """The tensors that a model gives for each batch, and the state of chance after it."""
    outcomes = []
    for seed, ((training, gradients), images) in enumerate(zip(MODES, batches, strict=True)):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        with torch.set_grad_enabled(gradients):
            given = tree_leaves(model.train(training)(images.clone()))
        found = [x for x in given if isinstance(x, Tensor)]
        if not found:
            raise TypeError(f"it gives no tensor but {given}")
        outcomes.append(([x.detach().clone() for x in found], generators()))
        losses = [x.square().mean() for x in found if x.requires_grad]
        if losses:
            with suppress(RuntimeError):  # then there are no gradients to be compared
                torch.stack(losses).sum().backward()
    return outcomes


def _alike(one: Tensor, other: Tensor, device: str) -> bool:
    """To the bit on a CPU; a GPU may add in another order."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if device == "cpu":
        return bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def _equally_trained(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    scale = one.abs().max().nan_to_num().item()
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)


def unshared(blocks: nn.ModuleList, resolution: int) -> nn.ModuleList:
    """Blocks that leave their input as it is, for others read it too.

    Those that would write into it, or of which nothing can be said, work on a copy from now on.
    """
    maps = torch.empty(BATCH, 3, resolution, resolution, device="meta")
    with torch.device("meta"), torch.no_grad(), evaluating(blocks):
        for block in blocks:
            after = on_meta(block.eval(), maps)
            if _writes(block, maps):
                _copy_first(block)
            maps = after
    return blocks


def _writes(block: nn.Module, maps: Tensor) -> bool:
    for training in (False, True):
        made, _ = private(block, "meta")
        given = maps.clone()
        try:
            made.train(training)(given)
        except Exception:  # it needs values, by which it may decide to
            return True
        if given._version:
            return True
    return False


def _copy_first(block: nn.Module) -> None:
    if not isinstance(block, fx.GraphModule):
        block.register_forward_pre_hook(_copied)
        return
    given = next(node for node in block.graph.nodes if node.op == "placeholder")
    with block.graph.inserting_after(given):
        own = block.graph.call_method("clone", (given,))
    given.replace_all_uses_with(own, lambda user: user is not own)
    block.recompile()


def _copied(block: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return inputs[0].clone(), *inputs[1:]
