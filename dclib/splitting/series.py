"""Any CNN as a series of blocks, by the paper's rule, and the blocks of several CNNs in step.

The paper takes its blocks by "grouping all layers with matching spatial dimensions" (section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dclib.splitting.cuts import Place, Traced, layers_with_weights
from dclib.splitting.proof import refuse_unlike
from dclib.splitting.tracing import (
    BATCH,
    REMEDY,
    UnlikeError,
    evaluating,
    first_line,
    on_meta,
    trace,
)
from dclib.splitting.watching import Outside, owned, same_chance

if TYPE_CHECKING:
    import pandas as pd

SMALLER = 3 / 4  # below it a size is another one; unpadded convolutions, 149 to 147, keep it

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, eq=False)
class Split:
    """A network as blocks in a row, and what it does after them.

    Attributes:
        blocks: run one after the other and then followed by `rest`, they equal the network to the
            bit, in training and in evaluation. They hold the network's layers, not copies.
        rest: pooling and classifier; `nn.Identity` where there is nothing.
        channels: feature maps after each block.
        table: one row a block: its parts, how many layers with weights (convolutional and fully
            connected ones) and parameters it has, its feature maps and their size.
    """

    blocks: nn.ModuleList
    rest: nn.Module
    channels: tuple[int, ...]
    table: "pd.DataFrame"

    def __str__(self) -> str:
        return self.table.to_string()


def split(
    model: nn.Module,
    resolution: int = 224,
    every: int | None = None,
    after: Sequence[str] | None = None,
    check: bool = True,
) -> Split:
    """Cut a network into blocks, at places where nothing but feature maps (B, C, h, w) goes on.

    A block ends where the size of the maps changes, which means to less than 3/4 of itself. If a
    layer without weights, a pooling, lowers it, the block ends behind this layer, or behind the
    layers without parameters that follow: so the authors cut AlexNet. Else it ends before the layer
    with weights that lowers it, as between the stages of ResNet18. Where there are several places,
    it is the one between the outermost modules, the last of these if there are more: a block of
    MobileNet ends with a whole inverted residual, not inside one.

    The last block ends before the step after which the size no longer follows that of the image,
    mostly a global pooling. If no layer with weights comes after that, and the last one is a 1x1
    convolution without normalisation, this is the classifier (SqueezeNet) and in no block. A
    network that ends in feature maps is all blocks.

    Args:
        model: what torch.fx can follow at least as a whole; parts that it cannot follow stay in
            one piece. An `nn.ModuleList` is taken as the blocks themselves.
        resolution: side of the images in pixels.
        every: cut instead after every so many layers with weights, at the next possible place.
        after: cut instead after the modules of these names, such as "layer1".
        check: compare blocks and network by running copies of both, where the weights have values.

    Raises:
        ValueError: the network cannot be followed, has no feature maps, or takes no images of this
            size; a name does not exist, or no cut is possible there; blocks would not do what the
            network does.
    """
    if every is not None and (every < 1 or after is not None):
        raise ValueError(f"every={every}, after={after}: choose one, and a positive number")
    outside = Outside(model)
    unlike: UnlikeError | None = None
    with same_chance():
        try:
            if isinstance(model, nn.ModuleList):
                return _as_given(model, resolution)
            for whole in _kept_whole(model):
                try:
                    steps = trace(model, dict.fromkeys(whole, "it does more than it returns"))
                    if outside.restore():
                        raise UnlikeError(
                            f"{type(model).__name__} cannot be split: it changes what lies outside"
                            f" of it; {REMEDY}"
                        )
                    found = _cut(Traced(model, steps, resolution), resolution, every, after)
                    if check:
                        refuse_unlike(model, [*found.blocks, found.rest], resolution)
                    return found
                except UnlikeError as error:
                    unlike = unlike or error
                except ValueError as error:
                    raise unlike or error from None
        finally:
            outside.restore()
    assert unlike is not None
    raise unlike


def _kept_whole(model: nn.Module) -> Iterator[list[str]]:
    """Which modules not to follow, one try after the other: none, or the user's own ones."""
    own = [
        n for n, part in model.named_modules() if n and owned(type(part)) and any(part.children())
    ]
    inner = [name for name in own if not any(other.startswith(f"{name}.") for other in own)]
    outer = [name for name in own if not any(name.startswith(f"{other}.") for other in own)]
    yield []
    if own:
        yield inner
    if outer != inner:
        yield outer


def _cut(traced: Traced, resolution: int, every: int | None, after: Sequence[str] | None) -> Split:
    places = _trunk(traced)
    if after is not None:
        ends = [_behind(traced, places, name) for name in after]
    elif every is not None:
        ends = _by_count(places, every)
    else:
        ends = _by_size(places, resolution)
    ends = sorted({*ends, places[-1]}, key=lambda place: place.at)
    starts = [0, *(place.at for place in ends)]
    spans = [(start, place.at) for start, place in zip(starts, ends, strict=False)]
    blocks = nn.ModuleList(traced.module(start, end) for start, end in spans)
    table = _table(
        [traced.parts(start, end) for start, end in spans],
        [sum(p.layers for p in places if start < p.at <= end) for start, end in spans],
        blocks,
        [(place.channels, *place.size) for place in ends],
    )
    rest, channels = traced.module(starts[-1]), tuple(place.channels for place in ends)
    return Split(blocks, rest, channels, table)


def _table(
    parts: Sequence[str], layers: Sequence[int], blocks: nn.ModuleList, shapes: Sequence[Shape]
) -> "pd.DataFrame":
    columns = {
        "block": range(1, len(blocks) + 1),
        "parts": parts,
        "layers with weights": layers,
        "parameters": [sum(p.numel() for p in block.parameters()) for block in blocks],
        "channels": [c for c, _, _ in shapes],
        "size": [f"{h} × {w}" for _, h, w in shapes],
    }
    import pandas as pd

    return pd.DataFrame(columns).set_index("block")


# Where blocks end


def _best(places: Sequence[Place]) -> Place:
    """Between the outermost modules, the last of these."""
    return min(places, key=lambda place: (place.level, -place.at))


def _trunk(traced: Traced) -> list[Place]:
    """All possible places, up to the end of the last block."""
    places = traced.places
    if not places:
        raise ValueError(f"{traced.name} {traced.why_no_maps()}")
    traced.refuse_tokens(places[-1].at)
    if traced.goes_on(places[-1].at):
        return places
    layered = [k for k, place in enumerate(places) if place.layers]
    if len(layered) < 2:
        return places
    *_, before, last = layered
    classifier, after = places[last], places[last + 1 :]
    alone = classifier.pointwise and classifier.parameters == 1
    if not alone or any(place.parameters for place in after):
        return places
    end = _best(places[before:last])
    return [place for place in places if place.at <= end.at]


def _by_size(places: Sequence[Place], resolution: int) -> list[Place]:
    ends: list[Place] = []
    here: list[Place] = []  # where the present block may end
    layers, pooled, size = 0, False, (resolution, resolution)
    for place in places:
        lower = min(place.size[0] / size[0], place.size[1] / size[1]) < SMALLER
        if (lower and place.layers) or (pooled and place.parameters):
            if here and layers:
                ends.append(_best(here))
                layers = 0
            here, pooled = [], False
        if lower:
            here, size, pooled = [], place.size, not place.layers
        here.append(place)
        layers += place.layers
    return ends if layers else ends[:-1]


def _by_count(places: Sequence[Place], every: int) -> list[Place]:
    ends: list[Place] = []
    here: list[Place] = []
    layers = 0
    for place in places:
        if here and place.layers:
            ends.append(_best(here))
            here, layers = [], 0
        layers += place.layers
        if layers >= every:
            here.append(place)
    return ends


def _behind(traced: Traced, places: Sequence[Place], name: str) -> Place:
    if name not in traced.modules:
        raise ValueError(f"after={name!r}: {traced.name} has no module of this name")
    at = traced.behind(name)
    for place in places:
        if place.at == at:
            return place
    raise ValueError(
        f"after={name!r}: no cut is possible there, because something from before is used after it,"
        " or because it gives no feature maps, or is never run"
    )


# Blocks that are given


def shapes(blocks: nn.ModuleList, resolution: int, name: str = "") -> list[Shape]:
    """Channels, height and width after each block, found on the meta device, without computing.

    Raises:
        ValueError: a block does not take what it gets, or gives no feature maps (B, C, h, w); the
            network's name stands in front.
    """
    if not len(blocks):
        raise ValueError(f"{name or 'the network'} has no blocks: give one or more")
    found = []
    maps = torch.empty(BATCH, 3, resolution, resolution, device="meta")
    with torch.device("meta"), torch.no_grad(), evaluating(blocks):
        for number, block in enumerate(blocks, 1):
            here = f"{name} block {number}".strip()
            try:
                maps = on_meta(block, maps)
            except Exception as error:
                raise ValueError(
                    f"{here} takes no images of {resolution} px: {first_line(error)}"
                ) from error
            if not isinstance(maps, Tensor) or maps.dim() != 4:
                raise ValueError(f"{here} gives no feature maps (B, C, h, w)")
            found.append((maps.shape[1], maps.shape[2], maps.shape[3]))
    return found


def _as_given(blocks: nn.ModuleList, resolution: int) -> Split:
    found = shapes(blocks, resolution)
    names = [type(block).__name__ for block in blocks]
    layers = [layers_with_weights(block) for block in blocks]
    channels = tuple(c for c, _, _ in found)
    return Split(blocks, nn.Identity(), channels, _table(names, layers, blocks, found))


# Columns with different numbers of blocks


def align(columns: Sequence[nn.ModuleList], resolution: int = 224) -> list[nn.ModuleList]:
    """The columns with as many blocks each as the shortest of them has.

    Those with more keep the cuts at which the sizes of their maps are nearest to those of the
    shortest (the first of the shortest): the sum of the ratios' logarithms is smallest; with equal
    sums, the later cuts. Blocks between them become one.

    Raises:
        ValueError: a column takes no images of this size.
    """
    fewest = min(len(blocks) for blocks in columns)
    if all(len(blocks) == fewest for blocks in columns):
        return list(columns)
    sizes = [[log(h * w) / 2 for _, h, w in shapes(blocks, resolution)] for blocks in columns]
    target = next(own for own in sizes if len(own) == fewest)
    return [_merged(blocks, own, target) for blocks, own in zip(columns, sizes, strict=True)]


def _merged(
    blocks: nn.ModuleList, sizes: Sequence[float], target: Sequence[float]
) -> nn.ModuleList:
    if len(sizes) == len(target):
        return blocks
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}  # last cut: distance, all cuts
    for wanted in target:
        longer = {}
        for end in range(1, len(sizes) + 1):
            before = [found for last, found in best.items() if last < end]
            if before:
                distance, cuts = min(before, key=lambda found: (found[0], [-c for c in found[1]]))
                gap = abs(sizes[end - 1] - wanted)
                longer[end] = (round(distance + gap, 9), (*cuts, end))
        best = longer
    _, ends = best[len(sizes)]
    spans = zip((0, *ends), ends, strict=False)
    return nn.ModuleList(
        blocks[start] if end - start == 1 else nn.Sequential(*list(blocks)[start:end])
        for start, end in spans
    )
