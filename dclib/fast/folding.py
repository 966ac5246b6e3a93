"""Networks in the form in which they are used: BatchNorms folded away, and what suits onnxruntime.

The forms compute the same as the network, in fewer or other steps; none of them can be trained.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dclib import fast
from dclib.block import CollaborativeBlock
from dclib.network import Network
from dclib.splitting.watching import generators, private, same_chance, state

TOLERANCE = 1e-9  # of the largest output in double precision: well above rounding
NORMS = {nn.Conv2d: nn.BatchNorm2d, nn.Linear: nn.BatchNorm1d}  # what a layer can take over

Pair = tuple[str, str]  # the names of a layer and of the BatchNorm behind it

# A BatchNorm in evaluation mode is a scale and a shift, which the layer before can do.


@torch.no_grad()
def fold(net: Network, resolution: int = 224) -> Network:
    """A copy of a network in evaluation mode whose BatchNorms are part of the layers before them.

    Which BatchNorm gets the output of which convolution or linear layer is seen while a copy runs,
    and that nothing else changes by folding is tried in double precision; so it makes no difference
    how the network is written. All other BatchNorms stay.

    Args:
        net: a network of any method on any underlying network; it stays as it is.
        resolution: of the images with which this is found out, in pixels.
    """
    plain = cast(Network, private(net)[0]).eval().requires_grad_(False)
    fast.apply(plain, "plain")
    tensors = [*plain.parameters(), *plain.buffers()]
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    if len(kinds) > 1 or not (pairs := _pairs(plain, resolution)):
        return plain
    exact = copy.deepcopy(plain).double()
    found = _equal_when_folded(exact, sorted(pairs), resolution)
    return _folded(exact, found).to(kinds.pop()) if found else plain


def _pairs(net: Network, resolution: int) -> set[Pair]:
    """The layers and the BatchNorms that get what they give, whatever the images.

    They are met on the meta device, so it holds for every image. None where something is decided by
    values, by chance or by what was before.
    """
    with same_chance(), torch.device("meta"):
        try:
            found = [_met(net, batch, resolution) for batch in (1, 2)]
        except Exception:  # a step that needs values
            return set()
        with suppress(Exception):  # many take images of one size only
            found.append(_met(net, 2, 2 * resolution))
    return set.intersection(*found)


class _Uses(TorchDispatchMode):
    """What operations get, once for each of them; also those whose results may be masked.

    And whether one of them failed, which whoever called it may keep to itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []
        self.failed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.given += [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        try:
            return func(*args, **(kwargs or {}))
        except Exception:
            self.failed = True
            raise


def _met(net: Network, batch: int, resolution: int) -> set[Pair]:
    made, _ = private(net, "meta")
    layers = {m: name for name, m in made.named_modules() if _usual(m)}
    runs: Counter[nn.Module] = Counter()
    met: Counter[tuple[Any, Any]] = Counter()  # layer, norm
    source: dict[int, nn.Module] = {}
    results: dict[nn.Module, list[Tensor]] = {m: [] for m in layers}

    def after(module: nn.Module, inputs: Any, named: dict[str, Any], output: Tensor) -> None:
        x = next(iter((*inputs, *named.values())))
        layer = source.get(id(x))
        # channels are last behind a linear layer, and second in what is normalised
        if NORMS.get(type(layer)) is type(module) and (type(layer) is nn.Conv2d or x.dim() == 2):
            met[layer, module] += 1
        runs[module] += 1
        source[id(output)] = module
        results[module].append(output)

    for layer in layers:
        layer.register_forward_hook(after, with_kwargs=True)
    before = state(made) | generators()
    with _Uses() as uses:
        made(torch.zeros(batch, 3, resolution, resolution, dtype=next(net.parameters()).dtype))
    if uses.failed or state(made) | generators() != before:
        return set()

    times_used = Counter(map(id, uses.given))  # all of them are held, so no id is there twice

    def alone(layer: nn.Module, norm: Any) -> bool:
        """Whether nobody else gets what the layer gives, or the numbers of the two."""
        numbers = [*layer.parameters(), *norm.parameters(), norm.running_mean, norm.running_var]
        once = all(times_used[id(result)] == 1 for result in results[layer])
        return once and all(times_used[id(number)] == runs[layer] for number in numbers)

    return {
        (layers[layer], layers[norm])
        for (layer, norm), times in met.items()
        if runs[layer] == runs[norm] == times and norm.running_var is not None and not norm.training
        if alone(layer, norm)
    }


def _usual(module: nn.Module) -> bool:
    """Whether it is a layer or a BatchNorm that does what its class does, and nothing else."""
    kind = type(module) in {*NORMS, *NORMS.values()}
    return kind and not (
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    )


def _folded(net: Network, pairs: Iterable[Pair]) -> Network:
    made = copy.deepcopy(net)
    for name, norm in pairs:
        layer, absorbed = cast(Any, made.get_submodule(name)), cast(Any, made.get_submodule(norm))
        fused = fuse_conv_bn_eval(layer, absorbed)
        layer.weight, layer.bias = fused.weight, fused.bias
        for place, module in list(made.named_modules(remove_duplicate=False)):
            if module is absorbed:
                made.set_submodule(place, nn.Identity())
    return made.requires_grad_(False)


def _equal_when_folded(net: Network, pairs: list[Pair], resolution: int) -> list[Pair]:
    """Those of the pairs whose folding changes nothing but rounding."""
    if _alike(net, _folded(net, pairs), resolution):
        return pairs
    half = len(pairs) // 2
    parts = (pairs[:half], pairs[half:]) if half else ()
    return [pair for part in parts for pair in _equal_when_folded(net, part, resolution)]


def _alike(net: Network, other: Network, resolution: int) -> bool:
    """Whether two networks give the same for random images, up to rounding."""
    noise = torch.randn(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))
    with same_chance():
        try:
            outputs = [tree_leaves(one(noise.to(next(net.parameters())))) for one in (net, other)]
        except Exception:  # layers that were taken away are asked for
            return False
    pairs = [(one.nan_to_num(), same.nan_to_num()) for one, same in zip(*outputs, strict=True)]
    return all((x - y).abs().max() <= TOLERANCE * x.abs().max() for x, y in pairs)


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
    net(torch.zeros(1, 3, resolution, resolution).to(next(net.parameters())))
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
