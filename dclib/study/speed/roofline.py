"""How little a step's time could be, convolution by convolution, and where it goes.

No program multiplies faster than large matrix products do by the fastest library at hand, nor moves
bytes faster than a plain copy. The more of the two times that a convolution needs at these rates is
its floor.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from dclib import fast
from dclib.fast import products
from dclib.fast.ways import Measured
from dclib.splitting.tracing import on_meta
from dclib.study.speed import measuring

SIZES = (512, 1024, 2048)  # sides of square matrices
COPIED = 1 << 26  # numbers in a copy, far more than caches hold
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def limits(
    rounds: int, sizes: Sequence[int] = SIZES, copied: int = COPIED, bf16: bool = True
) -> dict[str, Any]:
    """The best rates of this machine on one core.

    Args:
        rounds: of each size.
        sizes: sides of square matrices that are multiplied.
        copied: how many numbers are copied.
        bf16: measure that too.

    Returns:
        "gemm": multiplications and additions a second, by precision, of the fastest library;
        "libraries": those of each in fp32; "copy": bytes a second, read and written.
    """
    steps = {
        (precision, library, n): step
        for precision in (DTYPES if bf16 else ["fp32"])
        for n in sizes
        for library, step in _products(n, DTYPES[precision]).items()
    }
    best: dict[str, dict[str, float]] = {}
    for (precision, library, n), seconds in measuring.turns(steps, rounds).items():
        own = best.setdefault(precision, {})
        own[library] = max(own.get(library, 0.0), 2 * n**3 / min(seconds))
    source, target = torch.ones(copied), torch.ones(copied)
    copy = measuring.turns({"copy": lambda: target.copy_(source)}, rounds)["copy"]
    gemm = {precision: max(own.values()) for precision, own in best.items()}
    return {"gemm": gemm, "libraries": best["fp32"], "copy": 2 * source.nbytes / min(copy)}


def _products(size: int, dtype: torch.dtype) -> dict[str, measuring.Step]:
    """The product of two square matrices by each library at hand."""
    a, b, c = (torch.randn(size, size).to(dtype) for _ in range(3))
    steps: dict[str, measuring.Step] = {"PyTorch's BLAS": lambda: torch.mm(a, b.t(), out=c)}
    known = dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if (linear := products.ONEDNN) and known:
        steps["oneDNN"] = lambda: linear(a, b, None, "none", [], "")
    if dtype == torch.float32:
        one, other = a.numpy(), b.numpy()
        steps["NumPy's BLAS"] = lambda: one @ other.T
    return steps


class Convolution(NamedTuple):
    """A square convolution at work: PyTorch's arguments, and the side of its input in pixels.

    `first` is one that reads the images, which need no gradient.
    """

    kernel: int
    stride: int
    padding: int
    incoming: int
    outgoing: int
    side: int
    first: bool = False

    def __str__(self) -> str:
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        size = f"{self.kernel}×{self.kernel}{stride}"
        return f"{size}, {self.incoming} → {self.outgoing}, {self.side} px"

    @property
    def reached(self) -> int:
        """Side of its output, in pixels."""
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    def flops(self, batch: int) -> int:
        """Multiplications and additions forward and for both gradients, zeros around the map too.

        Each of the three is as large; the first layer has no gradient of its input.
        """
        one = 2 * batch * self.reached**2 * self.outgoing * self.incoming * self.kernel**2
        return one * (2 if self.first else 3)

    def bytes(self, batch: int) -> int:
        """Bytes that must be moved: input, weight, output and their gradients, each once."""
        x = batch * self.incoming * self.side**2
        weight = self.outgoing * self.incoming * self.kernel**2
        y = batch * self.outgoing * self.reached**2
        return 4 * (x * (1 if self.first else 2) + 2 * weight + 2 * y)


def convolutions(net: nn.Module, resolution: int) -> Counter[Convolution]:
    """How many times a network computes which convolution, in the order in which they come."""
    images = torch.empty(2, 3, resolution, resolution, device="meta")
    found: Counter[Convolution] = Counter()

    def note(layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        (kernel, _), (stride, _), (padding, _) = layer.kernel_size, layer.stride, layer.padding
        channels, side = inputs[0].shape[1:3]
        sizes = (kernel, stride, padding, channels, layer.out_channels, side)
        found[Convolution(*sizes, first=inputs[0] is images)] += 1

    hooks = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        on_meta(net, images)
    for hook in hooks:
        hook.remove()
    return found


def layer(shape: Convolution, batch: int, how: Mapping[str, Any]) -> measuring.Step:
    """One such layer alone, forward and backward, computed in some way on random maps."""
    conv = nn.Conv2d(
        shape.incoming, shape.outgoing, shape.kernel, shape.stride, shape.padding, bias=False
    )
    layout = FORMATS[how["layout"]]
    conv.to(memory_format=layout)
    fast.apply(conv, how["forms"], Measured() if how["forms"] == "measured" else None)
    x = torch.randn(batch, shape.incoming, shape.side, shape.side).contiguous(memory_format=layout)
    x.requires_grad_(not shape.first)
    above = torch.randn_like(conv(x))

    def step() -> None:
        x.grad = conv.weight.grad = None
        conv(x).backward(above)

    return step


# Where a step's time goes: how the names of PyTorch's steps begin that are of a kind, together with
# all steps within them.
NAMES = {
    "optimiser": r"Optimizer\.",
    "convolution": r"aten::conv|Convolution|_\w*Convolution|_Few|_Rows",
    "normalisation": r"aten::batch_norm|NativeBatchNorm",
    "mixing and sums": (
        r"aten::(cat|stack|sum|add_?|mul_?)$|(Cat|Stack|Sum|Add|Mul)Backward|_Combinations"
    ),
}
KINDS = ("convolution", "normalisation", "mixing and sums", "optimiser", "rest")


def kind(names: Sequence[str]) -> str:
    """What a step is part of, by its own name and those around it, outermost first."""
    matches = (of for name in names for of, how in NAMES.items() if re.match(how, name))
    return next(matches, "rest")


def shares(step: Callable[[], Any], repeats: int = 5) -> dict[str, float]:
    """Seconds of a training step by `KINDS`, each the least of some steps, on one core.

    The profiler's own time is not in them; neither is that of Python.
    """
    with measuring.one_core(), _silence():
        step()
        seen = [_profiled(step) for _ in range(repeats)]
    return {kind: min(found[kind] for found in seen) for kind in KINDS}


def _profiled(step: Callable[[], Any]) -> dict[str, float]:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    found = dict.fromkeys(KINDS, 0.0)
    for event in seen.events() or ():
        names, around = [event.name], event.cpu_parent
        while around:
            names.insert(0, around.name)
            around = around.cpu_parent
        found[kind(names)] += event.self_cpu_time_total / 1e6
    return found


@contextmanager
def _silence() -> Iterator[None]:
    """Within it nothing is written to standard error, where the profiler says what it does."""
    before = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
