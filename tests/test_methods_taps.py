"""Reading a trunk within its blocks, and the methods that do so on blocks that are given."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from dclib import METHODS, mtfl_tasks, underlying
from dclib.methods.taps import entering, layers, probe
from dclib.splitting.series import split


def toy(*channels: int) -> nn.ModuleList:
    """A stranger's CNN: each block one convolution, halved in size."""
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        for before, after in zip((3, *channels), channels, strict=False)
    )


def assembled(method: str, channels: tuple[int, ...]):
    torch.manual_seed(0)
    return METHODS[method].assemble(mtfl_tasks(32), [toy(*channels)], [channels])


def test_layers_are_residual_blocks_or_convolutions():
    residual = underlying.blocks("resnet18", 0.125)[4]
    assert layers(residual) == [residual[0], residual[1]]
    plain = underlying.blocks("alexnet", 0.125)[2]
    assert layers(plain) == [plain[0], plain[2], plain[4]]
    other = nn.Module()
    assert layers(other) == [other]
    pooling = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    assert layers(pooling) == [pooling]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", ["layer4.0.conv1", "layer4.1.conv1", "layer4.2.conv1"]),
        ("vgg11", ["features.16", "features.18"]),
    ],
)
def test_layers_of_a_block_that_was_cut_out(name, expected):
    """The bottlenecks of ResNet50's last stage, not the convolutions that their shortcuts skip."""
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    block = split(model, 224).blocks[-1]
    assert layers(block) == [model.get_submodule(path) for path in expected]


def test_both_ways_find_the_same_places():
    """ResNet18 as made here, and as cut out of torchvision's."""
    images = torch.randn(2, 3, 64, 64)
    model = torchvision.models.resnet18().eval()
    cut = split(model, 224).blocks
    made = underlying.UNDERLYING["resnet18"].cut(model)
    for theirs, ours in zip(cut[-4:], made[-4:], strict=True):
        with entering([layers(theirs)[-1], layers(ours)[-1]]) as seen:
            nn.Sequential(*cut)(images)
            nn.Sequential(*made)(images)
        first, second = seen.values()
        assert torch.equal(first, second)


def test_what_enters_a_layer_is_noted_within_the_context_alone():
    block = toy(4)[0]
    images = torch.randn(2, 3, 8, 8)
    with entering([block[0], block[3]]) as seen:
        block(images)
    assert torch.equal(seen[block[0]], images)  # a copy, since what comes later may write into it
    assert torch.equal(seen[block[3]], block[:3](images))
    before = dict(seen)
    block(torch.zeros(2, 3, 8, 8))
    assert seen == before


def test_hooks_go_when_the_network_fails():
    block = toy(4)[0]
    with pytest.raises(RuntimeError), entering([block]):
        block(torch.zeros(2, 5, 8, 8))
    assert not block._forward_pre_hooks


def test_a_probe_gives_shapes_and_changes_nothing():
    blocks = toy(4, 6)
    blocks.append(nn.Dropout(0.5))
    blocks[0][1].eval()
    state = {name: t.clone() for name, t in blocks.state_dict().items()}
    generator = torch.get_rng_state()
    shapes, end = probe(blocks, [blocks[1], blocks[1][3]])
    assert [tuple(s[1:]) for s in shapes.values()] == [(4, 112, 112), (6, 112, 112)]
    assert tuple(end[1:]) == (6, 56, 56)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(t, state[name]) for name, t in blocks.state_dict().items())
    assert blocks.training
    assert not blocks[0][1].training
    assert all(p.device.type == "cpu" and p.grad is None for p in blocks.parameters())


@pytest.mark.parametrize("channels", [(8, 16, 32), (5, 7), (6,), (4, 4, 4, 4)])
@pytest.mark.parametrize("method", ["HF", "MTAN"])
def test_given_blocks(method, channels):
    """The loss is finite, and its gradient reaches every parameter."""
    net = assembled(method, channels)
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 1, 0])
    logits = net(images)
    truth = {"landmarks": torch.rand(4, 5, 2) * 32}
    total = sum(t.loss(logits[t.name], t.encode(truth.get(t.name, labels))) for t in net.tasks)
    assert torch.isfinite(total)
    total.backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("method", ["HF", "MTAN"])
def test_copies_read_their_own_trunk(method):
    net = assembled(method, (8, 16, 32)).eval()
    images = torch.randn(2, 3, 32, 32)
    before = net(images)
    twin = copy.deepcopy(net)
    for p in net.parameters():
        p.data.zero_()
    assert torch.equal(twin(images)["smile"], before["smile"])
    assert not any(m._forward_pre_hooks for m in [*net.modules(), *twin.modules()])


@pytest.mark.parametrize("underlying_network", ["resnet18", "alexnet", "tcdcn"])
@pytest.mark.parametrize("method", ["HF", "MTAN"])
def test_in_bf16_too(method, underlying_network):
    blocks = underlying.blocks(underlying_network, 0.125)
    channels = underlying.channels(underlying_network, 0.125)
    net = METHODS[method].assemble(mtfl_tasks(64), [blocks], [channels])
    net = net.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(torch.randn(4, 3, 64, 64).contiguous(memory_format=torch.channels_last))
    assert all(torch.isfinite(values).all() for values in logits.values())
    sum(values.float().square().mean() for values in logits.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
