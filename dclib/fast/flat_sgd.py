"""SGD in one pass over parameters, each as the row of numbers that it is in memory.

PyTorch's fused step does the same, but copies each gradient that is not contiguous and then does
not use the copy; and it takes for granted that a gradient lies in memory as its parameter does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def _flat(x: Tensor) -> Tensor:
    return x.detach().as_strided((x.numel(),), (1,))


def _laid_out_as(p: Tensor, gradient: Tensor) -> Tensor:
    same = p.stride() == gradient.stride() or (p.is_contiguous() and gradient.is_contiguous())
    return gradient if same else torch.empty_like(p).copy_(gradient)


class FlatSGD(torch.optim.SGD):
    """The same steps as those of `torch.optim.SGD`; its state is flat, too.

    Args:
        groups: groups of parameters as PyTorch's optimisers take them, dense in memory.
        settings: what `torch.optim.SGD` takes besides.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], **settings: Any) -> None:
        groups = [group | {"params": list(group["params"])} for group in groups]
        self.trained = [p for group in groups for p in group["params"]]
        flat = [group | {"params": [_flat(p) for p in group["params"]]} for group in groups]
        super().__init__(flat, fused=True, **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Learn from the gradients of the parameters."""
        flat = [p for group in self.param_groups for p in group["params"]]
        for row, p in zip(flat, self.trained, strict=True):
            row.grad = None if p.grad is None else _flat(_laid_out_as(p, p.grad))
        super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        super().zero_grad()
        for p in self.trained:
            p.grad = None
