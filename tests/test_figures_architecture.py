"""Fig. 1, Fig. 2 and their tables: do they show what the modules hold?"""

from functools import lru_cache

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from dclib import CollaborativeBlock, build, count_parameters, mtfl_tasks
from dclib.study.figures import architecture, layers, sizes
from dclib.tasks import Angle, Classes, Landmarks


@lru_cache
def network(method="DCNet", underlying=None, tasks=5, width=1.0, resolution=112):
    chosen = (*mtfl_tasks(resolution), Angle("yaw"), Classes("hat", 3))[:tasks]
    with torch.device("meta" if width == 1 else "cpu"):  # what is slim is faster without
        return build(
            method, tasks=chosen, underlying=underlying, width=width, resolution=resolution
        )


def words(fig: Figure) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def assert_legible(fig: Figure) -> None:
    """Every text lies on the sheet, none on another, and letters are at least 8 points."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    texts = [text for ax in fig.axes for text in ax.texts if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for text, at in zip(texts, boxes, strict=True):
        assert fig.bbox.x0 <= at.x0, text
        assert at.x1 <= fig.bbox.x1, text
        assert fig.bbox.y0 <= at.y0, text
        assert at.y1 <= fig.bbox.y1, text
        assert text.get_fontsize() >= 8
    for i, one in enumerate(boxes):
        for j in range(i):
            assert not one.overlaps(boxes[j]), (texts[i], texts[j])


def test_fig1_shows_the_numbers_of_an_unusual_block():
    """7 and 13 maps: 20 together, a quarter of them 5, and 12 and 18 before each F."""
    told = words(architecture.fig1(CollaborativeBlock([7, 13]), size=9))
    for change in ("20 → 5", "5 → 5", "12 → 7", "7 → 7", "18 → 13", "13 → 13"):
        assert told.count(change) == 1
    for shape, times in (("20", 1), ("5", 1), ("12", 1), ("18", 1), ("7", 2), ("13", 2)):
        assert told.count(f"{shape} × 9 × 9") == times
    assert told.count("Conv 1×1") == told.count("Conv 3×3") == 3


def test_fig1_changes_with_the_module():
    block = CollaborativeBlock([8, 8])
    before = words(architecture.fig1(block))
    block.central[3] = nn.Conv2d(4, 4, kernel_size=5, padding=2, bias=False)
    after = words(architecture.fig1(block))
    assert "Conv 5×5" not in before
    assert after.count("Conv 5×5") == 1


def test_fig1_has_a_relu_behind_the_addition_only_if_the_block_has():
    for outer_relu, pills in ((True, 3), (False, 0)):
        told = words(architecture.fig1(CollaborativeBlock([4] * 3, outer_relu=outer_relu)))
        assert told.count("ReLU") == pills


def test_fig1_finds_the_smallest_size_for_z():
    told = words(architecture.fig1(CollaborativeBlock([24, 40, 16]), size=[16, 8, 32]))
    assert {"20 × 8 × 8", "44 × 16 × 16", "60 × 8 × 8", "36 × 32 × 32"} <= set(told)


@pytest.mark.parametrize("channels", [[64] * 2, [512] * 5, [24, 40, 16], [4], [8] * 7])
def test_fig1_is_legible(channels):
    with torch.device("meta"):
        block = CollaborativeBlock(channels)
    assert_legible(architecture.fig1(block))


@pytest.mark.parametrize("tasks", [2, 5])
def test_fig2_shows_dcnet_on_resnet18(tasks):
    net = network(tasks=tasks)
    told = words(architecture.fig2(net, resolution=112))
    assert [w for w in told if w.startswith("Block ")][:5] == [f"Block {d}" for d in range(1, 6)]
    shapes = ("64 × 28 × 28", "128 × 14 × 14", "256 × 7 × 7", "512 × 4 × 4", "5 × 2 × 112")
    assert set(shapes) <= set(told)
    for maps in (64, 128, 256, 512):
        assert f"$z$: {tasks * maps // 4} maps" in told
    assert [w for w in told if w in {t.name for t in net.tasks}] == [t.name for t in net.tasks]
    assert "collaborative block" in told
    assert told.count("head") == tasks


def test_fig2_shows_the_detailed_block_and_head():
    """Block 3: two residual blocks, the first with a shortcut of its own and half the size."""
    told = words(architecture.fig2(network(), detail=3))
    assert told.count("Conv 3×3") == 4
    assert told.count("Conv 1×1, stride 2, BN") == 1
    assert told.count("64 → 128") == 1
    assert told.count("128 → 128") == 3
    assert {"512 → 816", "816 → 1120"} <= set(told)
    stem = words(architecture.fig2(network(width=0.25, resolution=64), 64, detail=1))
    assert {"Conv 7×7", "3 → 16", "MaxPool"} <= set(stem)


def test_fig2_shows_alexnet_cut_after_each_pooling():
    told = words(architecture.fig2(network(underlying="alexnet"), detail=3))
    assert {"64 × 13 × 13", "192 × 6 × 6", "256 × 2 × 2", "256 → 688"} <= set(told)
    assert told.count("Conv 3×3") == 3
    assert "Block 4" not in told


def test_fig2_follows_width_and_resolution():
    told = words(architecture.fig2(network(width=0.25, resolution=48), resolution=48))
    assert {"3 × 48 × 48", "16 × 12 × 12", "128 × 2 × 2", "$z$: 20 maps"} <= set(told)


@pytest.mark.parametrize(("name", "tasks"), [("alexnet", 1), ("alexnet", 2), ("resnet18", 5)])
def test_fig2_is_legible(name, tasks):
    assert_legible(architecture.fig2(network("DCNet", name, tasks)))


def test_drawing_leaves_the_module_as_it_was():
    block = CollaborativeBlock([8, 8]).train()
    before = {k: v.clone() for k, v in block.state_dict().items()}
    architecture.fig1(block)
    assert block.training
    assert all(not part._forward_hooks for part in block.modules())
    assert all(torch.equal(v, before[k]) for k, v in block.state_dict().items())


def test_parts_of_a_plain_module_by_hand():
    module = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()
    )
    conv, flat = layers.parts(module)
    assert (conv.title, conv.text) == ("Conv 3×5", ("3 → 8", "stride 2", "BN · ReLU"))
    assert flat.title == "Flatten"


@pytest.mark.parametrize(("name", "total"), [("resnet18", 84_745_818), ("alexnet", 21_600_090)])
def test_parts_add_up_to_the_published_number(name, total):
    net = network("DCNet", name)
    frame = sizes.by_part(net)
    assert frame.loc["all", "parameters"] == count_parameters(net) == total
    assert frame["parameters"].drop("all").sum() == total
    by_formula = frame["by formula"].dropna()
    assert len(by_formula) == 2 * len(net.mixers)
    assert (by_formula == frame.loc[by_formula.index, "parameters"]).all()
    assert frame["% of all"].drop("all").sum() == pytest.approx(100)


def test_formula_by_hand():
    """Two columns of 4: Z = 2, H = 8*2 + 9*4 + 8, F = 6*4 + 9*16 + 16 each."""
    assert sizes.formula([4, 4]) == (60, 2 * 184)
    uneven = CollaborativeBlock([3, 5, 10])
    assert sizes.formula([3, 5, 10]) == (
        count_parameters(uneven.central),
        count_parameters(uneven.specific),
    )


@pytest.mark.parametrize("method", ["XS", "RN", "AN-S"])
def test_parts_of_other_methods_add_up(method):
    net = network(method)
    frame = sizes.by_part(net)
    assert frame["parameters"].drop("all").sum() == count_parameters(net)
    assert frame["by formula"].isna().all()


def test_methods_have_the_size_of_their_networks_and_the_paper_its_own():
    frame = sizes.by_method(mtfl_tasks(112), "alexnet")
    assert frame.loc["DCNet", "parameters (M)"] == pytest.approx(21.600090)
    assert frame.loc["XS", "between networks (M)"] == pytest.approx(0.012800)
    widened = frame.loc[["ANx", "XSx", "AN-Sx"], "parameters (M)"]
    assert (abs(widened / 21.600090 - 1) < 0.02).all()
    assert "paper: about (M)" not in frame
    assert frame.loc["AN", "networks"] == 1
    assert frame.loc["AN", "parameters (M)"] == pytest.approx(3.554906)


def test_multiply_adds_by_hand():
    """AN-S: each convolution's output positions times its weights, and the head's weights."""
    frame = sizes.by_method((Landmarks(64),), "alexnet", resolution=64, width=0.25)
    net = network("AN-S", width=0.25, resolution=64, tasks=1)
    added = []
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(
                lambda part, _, made: added.append(part.weight.numel() * made[0, 0].numel())
            )
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 64, 64))
    expected = sum(added)
    assert 1e6 * frame.loc["AN-S", "multiply-adds (M)"] == pytest.approx(expected)


@pytest.mark.parametrize("underlying", ["mobilenet_v3_small", "resnet18+alexnet"])
def test_fig2_is_refused_where_it_would_be_wrong(underlying):
    with torch.device("meta"):
        net = build("DCNet", tasks=mtfl_tasks(64)[:2], underlying=underlying, resolution=64)
    with pytest.raises(ValueError, match="columns that are alike"):
        architecture.fig2(net, 64)


def test_fig2_is_refused_of_another_method():
    with pytest.raises(ValueError, match="a DCNet"):
        architecture.fig2(network("XS", width=0.25, resolution=64), 64)
