"""Networks in the form in which they are used: BatchNorms folded away, and what suits onnxruntime.

The forms compute the same as the network, in fewer or other steps; none of them can be trained.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from dclib import fast
from dclib.block import CollaborativeBlock
from dclib.fast.stacked import StackedNetwork
from dclib.network import Network
from dclib.splitting.watching import generators, private, same_chance, state

TOLERANCE = 1e-3  # of the largest output, well above rounding and well below any other layer
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


def _like(net: nn.Module) -> Tensor:
    return next(net.parameters())


def _black(net: nn.Module, resolution: int) -> Tensor:
    like = _like(net)
    return torch.zeros(1, 3, resolution, resolution, dtype=like.dtype, device=like.device)


@torch.no_grad()
def fold(net: Network, resolution: int = 224) -> Network:
    """A copy of a network in evaluation mode whose BatchNorms are part of the layers before them.

    Which BatchNorm gets the output of which convolution or linear layer, and whether nobody else
    does, is seen while a copy runs; so it makes no difference how the network is written.
    BatchNorms that follow anything else stay, and all do where the outcome would not be the same.

    Args:
        net: a network of any method on any underlying network; it stays as it is.
        resolution: of the images with which this is found out, in pixels.
    """
    plain = cast(Network, private(net)[0]).eval().requires_grad_(False)
    if isinstance(plain, StackedNetwork):  # whose steps know the original's weights only
        del plain.steps
        plain.__class__ = Network  # type: ignore[assignment]
    fast.apply(plain, "plain")
    folded = copy.deepcopy(plain) if (pairs := _pairs(plain, resolution)) else plain
    for layer, norm in pairs:
        absorbed = folded.get_submodule(norm)
        _absorb(folded.get_submodule(layer), absorbed)
        for name, module in list(folded.named_modules(remove_duplicate=False)):
            if module is absorbed:
                folded.set_submodule(name, nn.Identity())
    return folded if _alike(plain, folded, resolution) else plain


def _pairs(net: Network, resolution: int) -> set[tuple[str, str]]:
    """Names of layers, and of the BatchNorms that get all their output while nobody else does.

    Seen for images of several sizes and numbers, and on the meta device, where there are no values:
    so it holds for every image. None where something is decided by values, by chance or by what
    was before.
    """
    with same_chance(), torch.device("meta"):
        try:
            found = [_met(net, batch, resolution) for batch in (1, 2)]
        except Exception:  # a step that needs values
            return set()
        with suppress(Exception):  # many take images of one size only
            found.append(_met(net, 2, 2 * resolution))
    return set.intersection(*found)


def _met(net: Network, batch: int, resolution: int) -> set[tuple[str, str]]:
    made, _ = private(net, "meta")
    layers = {m: name for name, m in made.named_modules() if _usual(m)}
    runs: Counter[nn.Module] = Counter()
    source: dict[int, nn.Module] = {}
    met: list[tuple[Any, Any, Tensor]] = []  # layer, norm, what lies between

    def after(module: nn.Module, inputs: Any, named: dict[str, Any], output: Tensor) -> None:
        x = next(iter((*inputs, *named.values())))
        layer = source.get(id(x))
        # channels are last behind a linear layer, and second in what is normalised
        if NORMS.get(type(layer)) is type(module) and (type(layer) is nn.Conv2d or x.dim() == 2):
            met.append((layer, module, x))
        runs[module] += 1
        source[id(output)] = module
        uses.kept.append(output)

    for layer in layers:
        layer.register_forward_hook(after, with_kwargs=True)
    before, chance = state(made), generators()
    with _Uses() as uses:
        given = made(torch.zeros(batch, 3, resolution, resolution, dtype=_like(net).dtype))
    uses.of.update(id(x) for x in tree_leaves(given) if isinstance(x, Tensor))
    if state(made) != before or generators() != chance:
        return set()
    alone = Counter((layer, norm) for layer, norm, x in met if uses.of[id(x)] == 1)
    return {
        (layers[layer], layers[norm])
        for (layer, norm), times in alone.items()
        if runs[layer] == runs[norm] == times
        and norm.running_var is not None
        and not norm.training
        and all(
            uses.of[id(tensor)] == times and tensor.dtype == layer.weight.dtype
            for part in (layer, norm)
            for tensor in (*part.parameters(), *part.buffers())
            if tensor.is_floating_point()
        )
    }


def _usual(module: nn.Module) -> bool:
    """Whether it is a layer or a BatchNorm that does what its class does, and nothing else."""
    kind = type(module) in {*NORMS, *NORMS.values()}
    return kind and not (
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    )


def _absorb(layer: Any, norm: Any) -> None:
    """Let a layer do what the BatchNorm behind it does."""
    kind, bias = layer.weight.dtype, layer.bias
    weight, bias = fuse_conv_bn_weights(
        layer.weight.double(),
        None if bias is None else bias.double(),
        norm.running_mean.double(),
        norm.running_var.double(),
        norm.eps,
        norm.weight,
        norm.bias,
    )
    layer.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(kind), requires_grad=False)


def _alike(net: Network, other: Network, resolution: int) -> bool:
    """Whether two networks give the same for a random image, up to rounding."""
    like = _like(net)
    noise = torch.randn(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))
    close = TOLERANCE if like.dtype in (torch.float32, torch.float64) else 100 * TOLERANCE
    with same_chance():
        try:
            pairs = [tree_leaves(one(noise.to(like))) for one in (net, other)]
        except Exception:  # layers that were taken away are asked for
            return False
    for one, same in zip(*pairs, strict=True):
        expected = one.double().nan_to_num()
        if (same.double().nan_to_num() - expected).abs().max() > close * expected.abs().max():
            return False
    return True


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

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input.flatten(1), self.weight, self.bias).unflatten(1, self.after)


@torch.no_grad()
def suit(net: Network, resolution: int) -> None:
    """Give a folded network those forms, the second where maps have fewer pixels than kernels.

    From then on it takes images of this resolution only.
    """
    sizes: dict[Any, set[torch.Size]] = {
        m: set() for m in net.modules() if type(m) is nn.Conv2d and _usual(m)
    }

    def note(conv: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        sizes[conv].add(next(iter((*inputs, *named.values()))).shape[1:])

    hooks = [conv.register_forward_pre_hook(note, with_kwargs=True) for conv in sizes]
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
