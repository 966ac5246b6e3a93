"""Networks in the form in which they are used: BatchNorms folded away, and what suits onnxruntime.

The forms compute the same as the network, in fewer or other steps; none of them can be trained.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from dclib import fast
from dclib.block import CollaborativeBlock
from dclib.columns import Network
from dclib.fast.stacked import StackedNetwork

NORMS = {nn.Conv2d: nn.BatchNorm2d, nn.Linear: nn.BatchNorm1d}  # what a layer can take over

# A BatchNorm in evaluation mode is a scale and a shift, which the layer before can do.


class _Uses(TorchFunctionMode):
    """Within it, how often each tensor goes into a step that makes tensors is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[int] = Counter()  # by id, so the tensors must not go away
        self.kept: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if any(isinstance(x, Tensor) for x in tree_leaves(found)):  # not x.shape and the like
            used = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            self.of.update(map(id, used))
            self.kept += used
        return found


def _black(net: nn.Module, resolution: int) -> Tensor:
    like = next(net.parameters())
    return torch.zeros(1, 3, resolution, resolution, dtype=like.dtype, device=like.device)


@torch.no_grad()
def fold(net: Network, resolution: int = 224) -> Network:
    """A copy of a network in evaluation mode whose BatchNorms are part of the layers before them.

    Which BatchNorm gets the output of which convolution or linear layer, and whether nobody else
    does, is seen while the copy runs on a black image; so it makes no difference how the network is
    written. BatchNorms that follow anything else stay.

    Args:
        net: a network of any method on any underlying network; it stays as it is.
        resolution: of the black image, in pixels. The copy takes images of every size.
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)
    if isinstance(net, StackedNetwork):  # whose steps know the original's weights only
        del net.steps
        net.__class__ = Network  # type: ignore[assignment]
    fast.apply(net, "plain")
    for layer, norm in _pairs(net, resolution):
        _absorb(layer, norm)
        for name, module in list(net.named_modules(remove_duplicate=False)):
            if module is norm:
                net.set_submodule(name, nn.Identity())
    return net


def _pairs(net: nn.Module, resolution: int) -> list[tuple[nn.Module, nn.Module]]:
    """Layers, and the BatchNorms that get all their output while nothing else gets any."""
    layers = [m for m in net.modules() if type(m) in {*NORMS, *NORMS.values()}]
    runs: Counter[nn.Module] = Counter()
    made: dict[int, Any] = {}
    met: list[tuple[Any, Any, Tensor]] = []  # layer, norm, what lies between

    def after(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        layer, x = made.get(id(inputs[0])), inputs[0]
        # channels are last behind a linear layer, and second in what is normalised
        if NORMS.get(type(layer)) is type(module) and (type(layer) is nn.Conv2d or x.dim() == 2):
            met.append((layer, module, x))
        runs[module] += 1
        made[id(output)] = module
        uses.kept.append(output)

    hooks = [layer.register_forward_hook(after) for layer in layers]
    with _Uses() as uses:
        net(_black(net, resolution))
    for hook in hooks:
        hook.remove()
    alone = Counter((layer, norm) for layer, norm, x in met if uses.of[id(x)] == 1)
    return [
        (layer, norm)
        for (layer, norm), times in alone.items()
        if runs[layer] == runs[norm] == uses.of[id(layer.weight)] == times
        and norm.running_var is not None
    ]


def _absorb(layer: Any, norm: Any) -> None:
    """Let a layer do what the BatchNorm behind it does."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()  # (C,)
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    weight = (layer.weight.double().transpose(0, -1) * scale).transpose(0, -1)
    bias = shift if layer.bias is None else shift + layer.bias * scale
    kind = layer.weight.dtype
    layer.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(kind), requires_grad=False)


# Forms that suit onnxruntime, which lays out maps by 16 channels: maps that are put together must
# be laid out anew, and tiny ones are mostly padding. Both are the same sums in another order.


class _SplitBlock(nn.Module):
    """A collaborative block that convolves x_t and z apart: W [x, z] = W_x x + W_z z."""

    def __init__(self, block: CollaborativeBlock) -> None:
        super().__init__()
        self.block = block
        specific: Any = block.specific
        kernels = [aggregate[0].weight for aggregate in specific]  # (C_t, C_t + Z, 1, 1)
        parts = [w.split([w.shape[0], w.shape[1] - w.shape[0]], dim=1) for w in kernels]
        self.own = nn.ParameterList(own.contiguous() for own, _ in parts)
        self.common = nn.ParameterList(common.contiguous() for _, common in parts)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if len({x.shape[-2:] for x in maps}) > 1:
            return self.block(maps)
        z = self.block.central(torch.cat(list(maps), dim=1))  # (B, Z, h, w)
        specific: Any = self.block.specific
        outputs = []
        for x, aggregate, own, common in zip(maps, specific, self.own, self.common, strict=True):
            first = functional.conv2d(x, own, aggregate[0].bias) + functional.conv2d(z, common)
            y = x + aggregate[1:](first)
            outputs.append(functional.relu(y) if self.block.outer_relu else y)
        return outputs


class _Matrix(nn.Conv2d):
    """A convolution of maps of one size, as a matrix over all their values; `after`: (C, h, w)."""

    after: torch.Size

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.flatten(1), self.weight, self.bias).unflatten(1, self.after)


@torch.no_grad()
def suit(net: Network, resolution: int) -> None:
    """Give a folded network those forms, the second where maps have fewer pixels than kernels.

    From then on it takes images of this resolution only.
    """
    sizes: dict[Any, set[torch.Size]] = {m: set() for m in net.modules() if type(m) is nn.Conv2d}

    def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[conv].add(inputs[0].shape[1:])

    hooks = [conv.register_forward_pre_hook(note) for conv in sizes]
    net(_black(net, resolution))
    for hook in hooks:
        hook.remove()
    for conv, seen in sizes.items():
        plain = conv.groups == 1 and conv.padding_mode == "zeros" and len(seen) == 1
        if plain and (before := seen.pop())[1:].numel() < conv.weight[0, 0].numel():
            _as_matrix(conv, before)
    for depth, mixer in enumerate(net.mixers):
        if type(mixer) is CollaborativeBlock:
            net.mixers[depth] = _SplitBlock(mixer)


def _as_matrix(conv: Any, before: torch.Size) -> None:
    """Turn a convolution of maps (C, h, w) into a `_Matrix`, by its answer to each single pixel."""
    (channels, height, width), (maps, _, *kernel) = before, conv.weight.shape
    pixels = torch.eye(height * width).to(conv.weight).reshape(-1, 1, height, width)
    answers = functional.conv2d(  # (h w, D C, h', w'): each kernel on its own
        pixels, conv.weight.reshape(-1, 1, *kernel), None, conv.stride, conv.padding, conv.dilation
    )
    conv.after = torch.Size([maps, *answers.shape[2:]])
    matrix = answers.unflatten(1, (maps, channels)).permute(1, 3, 4, 2, 0)  # (D, h', w', C, h w)
    conv.weight = nn.Parameter(matrix.reshape(conv.after.numel(), -1), requires_grad=False)
    if conv.bias is not None:
        each = conv.bias[:, None, None].expand(conv.after)
        conv.bias = nn.Parameter(each.flatten().clone(), requires_grad=False)
    conv.__class__ = _Matrix
