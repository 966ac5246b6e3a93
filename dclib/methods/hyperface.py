"""HyperFace (Ranjan et al., 2016): three depths of one trunk, fused for all tasks.

The layers of the AlexNet form are those that three public versions agree on, none the authors':
takiyu/hyperface, ashishtrivedi16/HyperFace and shashanktyagi/HyperFace-TensorFlow-implementation.
Nothing is taken from them. Detection, visibility and the original's losses are left out, and so is
dropout, which not all have: what differs from hard sharing is the fusion. The original's ResNet
form is not public; the one here reads "early, middle and late" with the heads of this paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from dclib.methods.taps import entering, layers, probe
from dclib.network import Channels, Columns, Method, Network
from dclib.tasks import Task
from dclib.underlying import scaled

SIDE = 6  # of the fused maps that fc_full gets, as the original has them at 227 px


def taps(blocks: nn.ModuleList) -> dict[nn.Module, torch.Size]:
    """Where a trunk is read before its end: the layers that come next, and the shapes there.

    Early: after the last block whose maps are as large as the first one's; AlexNet's max1,
    ResNet18's layer1. Middle: in the last block before its second convolution or residual block, if
    the maps are still as large as those that the block gets, otherwise before the last block;
    AlexNet's conv3, ResNet18's layer3. A trunk of few blocks has fewer of them.
    """
    second = layers(blocks[-1])[1:2]
    shapes, _ = probe(blocks, [*blocks, *second])
    sizes = {layer: shape[-2:] for layer, shape in shapes.items()}
    early = [block for block in blocks[1:] if sizes[block] == sizes[blocks[1]]][-1:]
    middle = [layer for layer in second if sizes[layer] == sizes[blocks[-1]]] or [blocks[-1]]
    places = dict.fromkeys([*early, *middle])  # without doubles
    return {layer: shapes[layer] for layer in places if layer is not blocks[0]}


class Branch(nn.Module):
    """A convolution, its kernel as large as its stride, that leads maps of a tap to a size.

    What remains of a difference in size is averaged; maps smaller than the kernel are padded.
    """

    def __init__(self, incoming: int, outgoing: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(incoming, outgoing, kernel_size=kernel, stride=kernel)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (B, C, H, W) to (B, outgoing, h, w), with (h, w) the size."""
        (height, width), (h, w) = self.conv.kernel_size, x.shape[-2:]
        x = functional.pad(x, (0, max(0, width - w), 0, max(0, height - h)))
        return functional.adaptive_avg_pool2d(functional.relu(self.conv(x)), size)


class HyperFace(Network):
    """One trunk with three depths fused, after ResNet18: the form for trunks with normalisation.

    Side branches lead the maps of the early and middle taps to the size of the last ones. All are
    stacked, a 1x1 convolution fuses them, and the heads get its spatial mean. The branches' strides
    are the ratios of the sizes at 224 px, rounded down. The numbers of maps follow the trunk's
    width: they are those given here when its last block has `last` maps.
    """

    last, branch, fused, shared = 512, 256, 512, 512  # maps; shared: features

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        blocks, last = columns[0], channels[0][-1]
        width = last / self.last
        shared = scaled(self.shared, width)
        super().__init__(tasks, columns, channels, features=[shared] * len(tasks))
        places = taps(blocks)
        _, end = probe(blocks, [])
        self.taps = list(places)
        branch, fused = scaled(self.branch, width), scaled(self.fused, width)
        self.branches = nn.ModuleList(
            Branch(shape[1], branch, max(1, shape[-1] // end[-1])) for shape in places.values()
        )
        self.conv_all = self.make_conv_all(len(places) * branch + last, fused)

    def make_conv_all(self, stacked: int, fused: int) -> nn.Module:
        """What fuses the stacked maps."""
        return nn.Sequential(
            nn.Conv2d(stacked, fused, kernel_size=1, bias=False), nn.BatchNorm2d(fused), nn.ReLU()
        )

    def maps(self, images: Tensor) -> list[Tensor]:
        """The maps that are fused (B, C, h, w): of the branches and of the last block."""
        with entering(self.taps) as seen:
            (last,) = self.last_maps(images)
        size = (last.shape[-2], last.shape[-1])
        return [*(b(x, size) for b, x in zip(self.branches, seen.values(), strict=True)), last]

    def features(self, images: Tensor) -> list[Tensor]:
        """The one fused feature (B, shared) that all heads get."""
        fused = self.conv_all(torch.cat(self.maps(images), dim=1))  # (B, fused, h, w)
        return [self.condense(fused)] * len(self.tasks)

    def condense(self, fused: Tensor) -> Tensor:
        """Fused maps (B, fused, h, w) to features (B, shared)."""
        return fused.mean(dim=(2, 3))


class FullyConnected(HyperFace):
    """The form for trunks without normalisation, the original's on AlexNet.

    Fully connected layers follow the fused maps, one for all tasks and one for each. The maps are
    averaged to 6 x 6, the size that they have by themselves at the original's 227 px.
    """

    last, branch, fused, shared = 256, 256, 192, 3072
    hidden = 512

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        super().__init__(tasks, columns, channels)
        width = channels[0][-1] / self.last
        self.fc_full = nn.Linear(
            SIDE * SIDE * scaled(self.fused, width), scaled(self.shared, width)
        )

    def make_conv_all(self, stacked: int, fused: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(stacked, fused, kernel_size=1), nn.ReLU())

    def make_head(self, features: int, outputs: int) -> nn.Module:
        hidden = scaled(self.hidden, features / self.shared)
        return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def condense(self, fused: Tensor) -> Tensor:
        fused = functional.adaptive_avg_pool2d(fused, SIDE)  # (B, fused, 6, 6)
        return functional.relu(self.fc_full(fused.flatten(1)))


def hyperface(tasks: Sequence[Task], columns: Columns, channels: Channels) -> HyperFace:
    """The form that suits a trunk: AlexNet's where nothing is normalised, else ResNet18's."""
    norms = (_NormBase, nn.GroupNorm, nn.LayerNorm)
    normalised = any(isinstance(layer, norms) for layer in columns[0].modules())
    return (HyperFace if normalised else FullyConnected)(tasks, columns, channels)


METHOD = Method(
    "HyperFace",
    source="ranjan2016",
    equation=r"\hat{y}_t = \mathrm{head}_t(\mathcal{G}([\mathcal{B}_1(x_{\mathrm{early}}),"
    r" \mathcal{B}_2(x_{\mathrm{middle}}), x_{\mathrm{late}}]))",
    network=hyperface,
)
