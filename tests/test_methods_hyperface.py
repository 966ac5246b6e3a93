"""HyperFace against its own counts and a second implementation."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dclib import METHODS, build, count_parameters, mtfl_tasks, underlying
from dclib.methods.hyperface import Branch, FullyConnected, HyperFace, hyperface, taps

TASKS = mtfl_tasks(112)


def on_meta(name: str, width: float = 1.0) -> HyperFace:
    with torch.device("meta"):
        return build("HF", tasks=TASKS, underlying=name, width=width)


def sizes(net: HyperFace, resolution: int) -> list[tuple[int, ...]]:
    images = torch.zeros(1, 3, resolution, resolution, device=next(net.parameters()).device)
    return [tuple(x.shape[1:]) for x in net.eval().maps(images)]


def test_parameters_on_alexnet_are_the_originals():
    net = on_meta("alexnet")
    parts = [count_parameters(m) for m in (*net.branches, net.conv_all, net.fc_full)]
    assert parts == [262_400, 393_472, 147_648, 21_236_736]
    assert sum(parts) == 22_040_256
    assert [count_parameters(h[0]) for h in net.heads] == [1_573_376] * 5
    assert [h[2].in_features for h in net.heads] == [512] * 5
    outputs = [1120, 2, 2, 2, 5]
    heads = 5 * 1_573_376 + sum(513 * n for n in outputs)
    assert count_parameters(net) == 2_469_696 + 22_040_256 + heads


def test_maps_on_alexnet_are_6_by_6_at_227_px():
    net = on_meta("alexnet")
    assert sizes(net, 227) == [(256, 6, 6)] * 3
    assert [(b.conv.kernel_size, b.conv.stride) for b in net.branches] == [
        ((4, 4), (4, 4)),
        ((2, 2), (2, 2)),
    ]
    raw = [
        branch.conv(torch.zeros(1, c, s, s, device="meta")).shape[-1]
        for branch, c, s in zip(net.branches, (64, 384), (27, 13), strict=True)
    ]
    assert raw == [6, 6]  # without averaging


def test_form_on_resnet18():
    """Branches 8/8 and 2/2, 7 x 7 maps at 224 px, and the heads of all other methods."""
    net = on_meta("resnet18")
    assert sizes(net, 224) == [(256, 7, 7), (256, 7, 7), (512, 7, 7)]
    assert [b.conv.kernel_size[0] for b in net.branches] == [8, 2]
    assert [b.conv.in_channels for b in net.branches] == [64, 256]
    assert net.taps == [net.columns[0][2], net.columns[0][4]]  # what comes after the taps
    fusion = 64 * 64 * 256 + 256 + 256 * 4 * 256 + 256 + 1024 * 512 + 2 * 512
    with torch.device("meta"):
        shared = count_parameters(build("RN", tasks=TASKS))
    assert count_parameters(net) == shared + fusion


def test_width_follows_the_trunk():
    net = on_meta("alexnet", 0.125)
    c1, c3, last = 8, 48, 32
    fusion = [c1 * 16 * 32 + 32, c3 * 4 * 32 + 32, 3 * last * 24 + 24, 36 * 24 * 384 + 384]
    parts = (*net.branches, net.conv_all, net.fc_full)
    assert [count_parameters(m) for m in parts] == fusion
    assert count_parameters(net.heads[1]) == 384 * 64 + 64 + 64 * 2 + 2
    assert [b.conv.out_channels for b in on_meta("resnet18", 0.125).branches] == [32, 32]


@pytest.mark.parametrize("resolution", [63, 64, 112, 227])
def test_alexnet_form_is_its_layers_written_out(resolution):
    """A second implementation, on torchvision's flat list of layers."""
    net = METHODS["HF"].assemble(
        TASKS[1:3],
        [underlying.blocks("alexnet", 0.125)],
        [underlying.channels("alexnet", 0.125)],
    )
    net = net.double().eval()
    images = torch.randn(2, 3, resolution, resolution, dtype=torch.double)
    flat = [layer for block in net.columns[0] for layer in block]
    x, kept = images, {}
    for k, layer in enumerate(flat):
        x = layer(x)
        kept[k] = x  # 2: max1, 7: conv3 after its ReLU, 12: pool5
    side = {63: 1, 64: 1, 112: 2, 227: 6}[resolution]
    assert x.shape[-1] == side
    parts = []
    for source, stride, branch in zip((2, 7), (4, 2), net.branches, strict=True):
        conv = branch.conv
        y = functional.conv2d(kept[source], conv.weight, conv.bias, stride=stride).clamp(min=0)
        parts.append(functional.adaptive_avg_pool2d(y, side))
    mix = net.conv_all[0]
    stacked = torch.cat([*parts, kept[12]], dim=1)
    fused = torch.einsum("bchw,oc->bohw", stacked, mix.weight[:, :, 0, 0])
    fused = (fused + mix.bias[:, None, None]).clamp(min=0)
    large = functional.adaptive_avg_pool2d(fused, 6).flatten(1)
    shared = (large @ net.fc_full.weight.T + net.fc_full.bias).clamp(min=0)
    for task, head in zip(net.tasks, net.heads, strict=True):
        hidden = (shared @ head[0].weight.T + head[0].bias).clamp(min=0)
        expected = hidden @ head[2].weight.T + head[2].bias
        torch.testing.assert_close(net(images)[task.name], expected, atol=1e-12, rtol=1e-9)


def test_resnet18_form_is_its_layers_written_out():
    net = build("HF", tasks=TASKS, width=0.125).double().eval()
    images = torch.randn(2, 3, 112, 112, dtype=torch.double)
    stem, layer1, layer2, layer3, layer4 = net.columns[0]
    early = layer1(stem(images))
    middle = layer3(layer2(early))
    late = layer4(middle)
    sides = [
        functional.relu(functional.conv2d(x, b.conv.weight, b.conv.bias, stride=s))
        for x, b, s in zip((early, middle), net.branches, (8, 2), strict=True)
    ]
    # 28 / 8 leaves 3, 7 / 2 leaves 3: averaged to layer4's 4
    sides = [functional.adaptive_avg_pool2d(x, 4) for x in sides]
    expected = net.conv_all(torch.cat([*sides, late], dim=1)).mean(dim=(2, 3))
    for feature in net.features(images):
        torch.testing.assert_close(feature, expected, atol=1e-12, rtol=1e-9)


def trained_with(net: HyperFace) -> dict[str, bool]:
    """Which convolutions of an AlexNet trunk the loss reaches when pool5 is cut off."""
    hook = net.columns[0][2].register_forward_hook(lambda module, inputs, output: output.detach())
    logits = net(torch.randn(2, 3, 64, 64))
    hook.remove()
    sum(values.square().sum() for values in logits.values()).backward()
    first, second, third = net.columns[0]
    convs = {"conv1": first[0], "conv2": second[0], "conv3": third[0], "conv5": third[4]}
    grads = {name: conv.weight.grad for name, conv in convs.items()}
    return {name: g is not None and bool(g.any()) for name, g in grads.items()}


def test_early_layers_learn_through_the_branches_alone():
    net = build("HF", tasks=TASKS, underlying="alexnet", width=0.125)
    assert trained_with(net) == {"conv1": True, "conv2": True, "conv3": True, "conv5": False}
    net = build("HF", tasks=TASKS, underlying="alexnet", width=0.125)
    nn.init.zeros_(net.branches[1].conv.weight)  # conv3a; what remains is conv1a
    assert trained_with(net) == {"conv1": True, "conv2": False, "conv3": False, "conv5": False}


def plain(*channels: int, padding: int = 1) -> nn.ModuleList:
    """Blocks of two convolutions each, without normalisation."""
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(before, after, 3, padding=padding),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        for before, after in zip((3, *channels), channels, strict=False)
    )


def test_taps_of_other_trunks():
    blocks = plain(4, 5, 6)
    assert list(taps(blocks)) == [blocks[1], blocks[2][2]]
    assert [shape[1] for shape in taps(blocks).values()] == [4, 6]
    single = plain(4)
    assert list(taps(single)) == [single[0][2]]
    whole = nn.ModuleList([nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 5, 3, stride=2)])
    assert list(taps(whole)) == [whole[1]]  # early and middle are one place
    assert list(taps(whole[:1])) == []  # images are no features


def test_normalisation_decides_the_form():
    assert type(hyperface(TASKS, [plain(4, 5, 6)], [(4, 5, 6)])) is FullyConnected
    normalised = plain(4, 5, 6)
    normalised[0].append(nn.GroupNorm(2, 4))
    assert type(hyperface(TASKS, [normalised], [(4, 5, 6)])) is HyperFace


def test_maps_smaller_than_the_kernel_are_padded():
    """A 2 x 3 map under a 4 x 4 kernel of ones: the sum of what there is."""
    branch = Branch(1, 1, 4)
    nn.init.ones_(branch.conv.weight)
    nn.init.zeros_(branch.conv.bias)
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert branch(x, (1, 1)).item() == 15


@pytest.mark.parametrize(("resolution", "side"), [(1, 1), (16, 1), (48, 2), (64, 2), (112, 4)])
def test_resnet18_form_at_any_input(resolution, side):
    net = on_meta("resnet18", 0.125)
    assert sizes(net, resolution) == [(32, side, side), (32, side, side), (64, side, side)]
