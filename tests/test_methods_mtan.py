"""MTAN against a closed form of its size, values by hand and a second implementation."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from dclib import METHODS, build, count_parameters, mtfl_tasks, underlying
from dclib.methods.mtan import MTAN, fitted

TASKS = mtfl_tasks(64)


def slim(name: str = "resnet18", tasks=TASKS) -> MTAN:
    net = build("MTAN", tasks=tasks, underlying=name, resolution=64, width=0.125)
    assert isinstance(net, MTAN)
    return net


@pytest.mark.parametrize("tasks", [1, 5])
def test_parameters_on_resnet18_are_the_closed_form(tasks):
    stages = (64, 128, 256, 512)

    def mask(incoming, c):
        return incoming * c // 4 + 2 * c // 4 + c // 4 * c + 2 * c

    def bottleneck(before, c):
        m = c // 4
        return before * m + 2 * m + 9 * m * m + 2 * m + m * c + 2 * c + before * c + 2 * c

    masks = mask(64, 64) + sum(mask(2 * c, c) for c in stages[1:])
    shared = sum(bottleneck(b, c) for b, c in pairwise(stages))
    with torch.device("meta"):
        net = build("MTAN", tasks=TASKS[:tasks])
        hard = build("RN", tasks=TASKS[:tasks])
    assert count_parameters(net) - count_parameters(hard) == tasks * masks + shared
    assert count_parameters(net.refine) == shared


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_masks_without_weights_are_one_half(name):
    """Then every task gets half of what hard sharing gives."""
    net = slim(name).double()
    masks = [m for m in net.attention.modules() if isinstance(m, nn.Sequential)]
    assert len(masks) == {"resnet18": 4, "alexnet": 2}[name] * 5
    seen = []
    for mask in masks:
        nn.init.zeros_(mask[3].weight)
        nn.init.zeros_(mask[4].bias)
        mask.register_forward_hook(lambda module, inputs, output: seen.append(output))
    for training in (True, False):
        seen.clear()
        images = torch.randn(4, 3, 64, 64, dtype=torch.double)
        features = net.train(training).features(images)
        assert len(seen) == len(masks)
        assert all(torch.equal(values, torch.full_like(values, 0.5)) for values in seen)
        trunk = nn.Sequential(*net.columns[0])(images).mean(dim=(2, 3))
        for x in features:
            torch.testing.assert_close(x, 0.5 * trunk, atol=1e-12, rtol=1e-9)


def test_is_its_equation_written_out():
    """Stage by stage, on the halves of ResNet18's stages; at 64 px each halves the size."""
    net = slim().double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.double)
    stem, *stages = net.columns[0]
    x = stem(images)
    pool = nn.MaxPool2d(2)
    attended: list = [None] * 5
    for number, stage in enumerate(stages):
        u_b = stage[0](x)
        u_t = x = stage[1](u_b)
        for t in range(5):
            inputs = u_b
            if number:
                before = net.refine[number - 1](attended[t])
                before = pool(before)
                inputs = torch.cat([u_b, before], dim=1)
            attended[t] = net.attention[number][t](inputs) * u_t
    for a, feature in zip(attended, net.features(images), strict=True):
        torch.testing.assert_close(feature, a.mean(dim=(2, 3)), atol=1e-12, rtol=1e-9)


def test_sizes_are_fitted_by_max_pooling():
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(fitted(x, (4, 4)), nn.functional.max_pool2d(x, 2))
    assert fitted(x, (8, 8)) is x
    odd = torch.arange(7.0).expand(1, 1, 7, 7)
    assert fitted(odd, (4, 4))[0, 0, 0].tolist() == [1, 3, 5, 6]  # windows 0-1, 1-3, 3-5, 5-6


def test_what_masks_see_in_alexnet():
    """pool1's maps before conv2; conv4's, and the refined ones, before conv5."""
    with torch.device("meta"):
        net = build("MTAN", tasks=TASKS, underlying="alexnet")
    assert [stage[0][0].in_channels for stage in net.attention] == [64, 256 + 256]
    assert [stage[0][3].out_channels for stage in net.attention] == [192, 256]
    assert [(r.main[0].in_channels, r.main[6].out_channels) for r in net.refine] == [(192, 256)]
    trunk = net.columns[0]
    assert net.last_layers == [trunk[1][0], trunk[2][4]]


def test_blocks_that_are_no_sequence():
    """Their last layer is the whole block: masks see what goes into it."""

    class Stranger(nn.Module):
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            self.down = nn.Conv2d(before, after, 3, stride=2, padding=1)
            self.same = nn.Conv2d(after, after, 3, padding=1)

        def forward(self, x):
            x = self.down(x).relu()
            return (x + self.same(x)).relu()

    blocks = nn.ModuleList([Stranger(3, 6), Stranger(6, 10)])
    net = METHODS["MTAN"].assemble(TASKS, [blocks], [(6, 10)])
    assert [stage[0][0].in_channels for stage in net.attention] == [6]
    assert [tuple(x.shape) for x in net.features(torch.randn(2, 3, 20, 20))] == [(2, 10)] * 5


def test_a_single_block_is_attended_to():
    blocks = nn.ModuleList([nn.Conv2d(3, 6, 3)])
    net = METHODS["MTAN"].assemble(TASKS, [blocks], [(6,)])
    assert [stage[0][0].in_channels for stage in net.attention] == [3]
    assert len(net.refine) == 0


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_every_task_reaches_the_whole_trunk(name):
    net = slim(name)
    images = torch.randn(4, 3, 64, 64)
    for task in TASKS:
        net.zero_grad()
        net(images)[task.name].square().sum().backward()
        without = [
            n for n, p in net.columns.named_parameters() if p.grad is None or not p.grad.any()
        ]
        assert without == []


def test_masks_are_the_tasks_own_and_refinement_is_shared():
    net = slim().eval()
    images = torch.randn(2, 3, 64, 64)

    def changed(module: nn.Module) -> list[bool]:
        before = net.features(images)
        for p in module.parameters():
            p.data += 0.1 * torch.randn_like(p)
        return [not torch.equal(x, y) for x, y in zip(before, net.features(images), strict=True)]

    assert changed(net.attention[1][2]) == [False, False, True, False, False]
    assert changed(net.refine[0]) == [True] * 5


def test_width_and_blocks_decide_the_masks():
    blocks = underlying.blocks("resnet18", 0.5)
    net = METHODS["MTAN"].assemble(TASKS[:2], [blocks], [underlying.channels("resnet18", 0.5)])
    assert [stage[0][0].out_channels for stage in net.attention] == [8, 16, 32, 64]
