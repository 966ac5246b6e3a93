"""Shown by running copies: that parts do what a whole does, and what a block writes into."""

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from dclib.splitting.tracing import BATCH, REMEDY, evaluating, first_line, on_meta
from dclib.splitting.watching import private, same_chance

MODES = (False, False, True, True)  # training or not, run after run: state may build up


@torch.no_grad()
def refuse_unlike(whole: nn.Module, parts: Sequence[nn.Module], resolution: int) -> None:
    """Run both on random images, with the same random numbers, in evaluation and in training.

    Nothing is compared where weights have no values, or where the whole takes no images of this
    size.

    Raises:
        ValueError: the parts fail, give other numbers, or leave other buffers behind.
    """
    name, row = type(whole).__name__, nn.Sequential(*parts)
    tensors = [*whole.parameters(), *whole.buffers()]
    if any(is_lazy(t) for t in tensors):
        raise ValueError(f"{name} has lazy layers without weights: run it on images before")
    if not tensors or any(t.is_meta for t in tensors):
        return
    (one, ones), (other, others) = private(whole), private(row)
    kind = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    device = tensors[0].device
    generator = torch.Generator().manual_seed(0)
    with same_chance(), device:
        for run, training in enumerate(MODES):
            images = torch.randn(2, 3, resolution, resolution, generator=generator, device="cpu")
            images = images.to(device, kind)
            try:
                expected = _run(one, images, training, run)
            except Exception:
                return
            try:
                found = _run(other, images, training, run)
            except Exception as error:
                raise ValueError(
                    f"{name} cannot be split: its blocks fail ({first_line(error)}); {REMEDY}"
                ) from error
            if not _alike(expected, found, device.type):
                mode = "training" if training else "evaluation"
                raise ValueError(
                    f"{name} cannot be split: in {mode} its blocks give other numbers than it does,"
                    f" as forward does more than can be followed; {REMEDY}"
                )
    for tensor in tensors:
        mine, theirs = ones[id(tensor)], others.get(id(tensor))
        if theirs is None or not _alike(mine, theirs, device.type):
            where = next(n for n, t in _named(whole) if t is tensor)
            if theirs is not None or not torch.equal(mine, tensor):
                raise ValueError(
                    f"{name} cannot be split: its blocks do not change {where} as it does; {REMEDY}"
                )


def _named(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _run(model: nn.Module, images: Tensor, training: bool, seed: int) -> Tensor:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    found = model.train(training)(images.clone())
    if not isinstance(found, Tensor):
        raise TypeError(f"it gives no tensor but a {type(found).__name__}")
    return found


def _alike(one: Tensor, other: Tensor, device: str) -> bool:
    """To the bit on a CPU; a GPU may add in another order."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if device == "cpu":
        return bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


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
