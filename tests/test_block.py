"""The collaborative block against values worked by hand and a second implementation."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import dclib
from dclib import CollaborativeBlock, count_parameters, fast
from dclib.fast import FORMS
from dclib.fast.stacked import collaborate


def randomise(net: nn.Module, seed: int = 0) -> None:
    """Every weight and statistic at random, so that nothing is hidden by 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.data = 0.5 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean = torch.randn(m.num_features, generator=generator, dtype=m.weight.dtype)
            m.running_var = 0.5 + torch.rand(m.num_features, generator=generator).to(m.weight)


@pytest.mark.parametrize(
    ("tasks", "channels", "parameters"),
    [(2, 4, 428), (5, 64, 315_200), (5, 128, 1_257_600), (5, 256, 5_024_000), (5, 512, 20_083_200)],
)
def test_parameters_are_the_formula_of_eq_2_and_3(tasks, channels, parameters):
    assert count_parameters(CollaborativeBlock([channels] * tasks)) == parameters


def test_central_aggregation_divides_by_four_rounding_down():
    block = CollaborativeBlock([10, 10, 10])
    assert block.central[0].out_channels == 7
    small = CollaborativeBlock([4, 4])
    assert count_parameters(small.central) == 60
    assert [count_parameters(f) for f in small.specific] == [184, 184]


@pytest.mark.parametrize(("value", "expected"), [(5.0, 2.0), (1.0, 0.0), (-1.0, 0.0)])
def test_skip_and_outer_relu_by_hand(value, expected):
    """With F constantly -3, y = max(0, x - 3)."""
    block = CollaborativeBlock([4, 4]).eval()
    for aggregate in block.specific:
        nn.init.zeros_(aggregate[-1].weight)
        nn.init.constant_(aggregate[-1].bias, -3.0)
    for y in block([torch.full((1, 4, 3, 3), value)] * 2):
        assert torch.equal(y, torch.full((1, 4, 3, 3), expected))


def test_identity_case_leaves_positive_maps_untouched():
    block = CollaborativeBlock([3, 5]).eval()
    for aggregate in block.specific:
        nn.init.zeros_(aggregate[-1].weight)
    maps = [torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)]
    assert all(torch.equal(x, y) for x, y in zip(maps, block(maps), strict=True))


def test_without_outer_relu_negative_values_pass():
    block = CollaborativeBlock([4, 4], outer_relu=False).eval()
    for aggregate in block.specific:
        nn.init.zeros_(aggregate[-1].weight)
    x = -torch.ones(1, 4, 2, 2)
    assert torch.equal(block([x, x])[0], x)


def test_equals_eq_1_to_3_written_with_plain_arithmetic():
    """A second implementation: einsum for 1x1, unfold for 3x3, BatchNorm spelled out."""
    block = CollaborativeBlock([3, 3]).double().eval()
    randomise(block)
    maps = [torch.randn(2, 3, 5, 4, dtype=torch.double) for _ in range(2)]

    def norm(x, m):
        shape = (1, -1, 1, 1)
        centred = (x - m.running_mean.view(shape)) / (m.running_var.view(shape) + m.eps).sqrt()
        return centred * m.weight.view(shape) + m.bias.view(shape)

    def conv1(x, m):
        return torch.einsum("bchw,oc->bohw", x, m.weight[:, :, 0, 0])

    def conv3(x, m):
        b, c, h, w = x.shape
        patches = functional.unfold(x, 3, padding=1).view(b, c, 9, h, w)
        return torch.einsum("bckhw,ock->bohw", patches, m.weight.flatten(2))

    def positive(x):
        return x * (x > 0)

    h = block.central
    z = positive(norm(conv1(torch.cat(maps, 1), h[0]), h[1]))
    z = positive(norm(conv3(z, h[3]), h[4]))
    for x, f, y in zip(maps, block.specific, block(maps), strict=True):
        inner = positive(norm(conv1(torch.cat([x, z], 1), f[0]), f[1]))
        expected = positive(x + norm(conv3(inner, f[3]), f[4]))
        torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)


def test_a_task_zeroed_in_the_central_aggregation_reaches_only_itself():
    block = CollaborativeBlock([4, 4]).eval()
    randomise(block)

    def without_task_2(module, inputs):
        together = inputs[0].clone()
        together[:, 4:] = 0
        return (together,)

    block.central.register_forward_pre_hook(without_task_2)
    x1, x2 = torch.randn(2, 2, 4, 6, 6).unbind()
    before, after = block([x1, x2]), block([x1, x2 + torch.randn_like(x2)])
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_every_input_reaches_every_output():
    block = CollaborativeBlock([12, 16, 20]).eval()
    randomise(block)
    maps = [torch.randn(1, c, 4, 4, requires_grad=True) for c in (12, 16, 20)]
    for y in block(maps):
        grads = torch.autograd.grad(y.sum(), maps, retain_graph=True)
        assert all(g.abs().sum() > 0 for g in grads)


def test_swapping_equal_columns_swaps_the_outputs():
    block = CollaborativeBlock([4, 4]).double().eval()
    randomise(block)
    x1, x2 = torch.randn(2, 1, 4, 3, 3, dtype=torch.double).unbind()
    y1, y2 = block([x1, x2])
    swapped = CollaborativeBlock([4, 4]).double().eval()
    swapped.load_state_dict(block.state_dict())
    swapped.specific = nn.ModuleList(reversed(block.specific))
    first = swapped.central[0].weight.data
    swapped.central[0].weight.data = torch.cat([first[:, 4:], first[:, :4]], dim=1)
    for expected, y in zip((y2, y1), swapped([x2, x1]), strict=True):
        torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)


def test_columns_of_other_channels_and_sizes_keep_theirs():
    block = CollaborativeBlock([6, 4])
    maps = [torch.randn(2, 6, 8, 8), torch.randn(2, 4, 4, 6)]
    assert [y.shape for y in block(maps)] == [x.shape for x in maps]


def test_larger_maps_are_averaged_down_before_the_central_aggregation():
    """A map that is constant within each 2 x 2 cell gives the z of its half-sized version."""
    block = CollaborativeBlock([4, 4]).double().eval()
    randomise(block)
    small = torch.randn(1, 4, 3, 3, dtype=torch.double)
    other = torch.randn(1, 4, 3, 3, dtype=torch.double)
    large = small.repeat_interleave(2, -1).repeat_interleave(2, -2)
    seen = []
    block.central.register_forward_hook(lambda module, inputs, z: seen.append(z))
    block([small, other])
    block([large, other])
    torch.testing.assert_close(seen[0], seen[1], atol=1e-12, rtol=0)


def test_with_kernels_of_1_each_place_is_on_its_own():
    block = CollaborativeBlock([4, 6], kernel=1).double().eval()
    randomise(block)
    maps = [torch.randn(2, c, 5, 4, dtype=torch.double) for c in (4, 6)]
    for y, alone in zip(block(maps), block([x[..., 2:3, 1:2] for x in maps]), strict=True):
        torch.testing.assert_close(y[..., 2:3, 1:2], alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kernel", [1, 5])
def test_faster_forms_take_kernels_of_any_side(kernel):
    block = CollaborativeBlock([4, 4], kernel=kernel).double().eval()
    randomise(block)
    maps = [torch.randn(2, 4, 6, 6, dtype=torch.double) for _ in range(2)]
    expected = torch.cat(block(maps), dim=1)
    found = [torch.cat(block(maps), dim=1) for form in FORMS if fast.apply(block, form)]
    found.append(collaborate(block)(torch.cat(maps, dim=1)))
    for y in found:
        torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel=2"):
        CollaborativeBlock([4, 4], kernel=2)


@pytest.mark.parametrize("channels", [[], [0, 4], [1, 2]])
def test_impossible_channels_are_refused(channels):
    with pytest.raises(ValueError, match="channels"):
        CollaborativeBlock(channels)


def test_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError, match="3 feature maps for a block of 2"):
        CollaborativeBlock([4, 4])([torch.zeros(1, 4, 2, 2)] * 3)


def test_the_file_alone_is_enough_for_the_example_of_the_page(tmp_path):
    """In an empty folder, with nothing of dclib but `block.py`."""
    root = Path(dclib.__file__).parents[1]
    cells = json.loads((root / "notebooks" / "01_own_network.ipynb").read_text())["cells"]
    (example,) = ("".join(cell["source"]) for cell in cells if cell["id"] == "example")
    assert len([line for line in example.splitlines() if line.strip()]) <= 26
    shutil.copy(root / "dclib" / "block.py", tmp_path)
    code = example.replace("from dclib.block import", "from block import")
    (tmp_path / "mine.py").write_text(f"{code}\nimport sys\nassert 'dclib' not in sys.modules\n")
    variables = {name: of for name, of in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 1
