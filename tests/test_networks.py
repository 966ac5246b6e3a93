"""Networks against the published parameter counts, and what must not change between methods."""

import pytest
import torch
import torchvision
from torch import nn

from dclib import METHODS, build, count_parameters, mtfl_tasks, underlying
from dclib.methods.cross_stitch import CrossStitch
from dclib.networks import matched_width

TASKS = mtfl_tasks(112)


def count(method: str, underlying: str | None = None, **arguments) -> int:
    with torch.device("meta"):
        return count_parameters(build(method, tasks=TASKS, underlying=underlying, **arguments))


@pytest.mark.parametrize(
    ("method", "underlying", "parameters"),
    [
        ("DCNet", "resnet18", 84_745_818),
        ("DCNet", "alexnet", 21_600_090),
        ("RN", "resnet18", 13_044_570),
        ("AN", "alexnet", 3_554_906),
    ],
)
def test_parameters_of_the_paper_at_112_px(method, underlying, parameters):
    assert count(method, underlying) == parameters


@pytest.mark.parametrize(("name", "stitches"), [("resnet18", 25_600), ("alexnet", 12_800)])
def test_cross_stitch_adds_a_matrix_per_channel(name, stitches):
    columns = 5 * sum(p.numel() for p in underlying.blocks(name).parameters())
    net = build("XS", tasks=TASKS, underlying=name)
    assert count_parameters(net.mixers) == stitches
    assert count_parameters(net) == columns + stitches + count_parameters(net.heads)
    depths = {"resnet18": 5, "alexnet": 3}[name]
    assert count_parameters(build("XS-layer", tasks=TASKS, underlying=name).mixers) == 25 * depths


@pytest.mark.parametrize(
    ("method", "underlying", "width"),
    [
        ("RNx", "resnet18", 2.644),
        ("XSx", "resnet18", 1.214),
        ("ANx", "alexnet", 2.775),
        ("XSx", "alexnet", 1.284),
    ],
)
def test_widened_networks_match_dcnet(method, underlying, width):
    found, difference = matched_width(method, TASKS, underlying, 1.0)
    assert found == pytest.approx(width, abs=0.003)
    assert abs(difference) < 0.005
    target = {"resnet18": 84_745_818, "alexnet": 21_600_090}[underlying]
    assert count(method, underlying) == pytest.approx(target, rel=0.005)


@pytest.mark.parametrize("width", [0.125, 0.25, 0.5])
@pytest.mark.parametrize("method", ["RNx", "RN-Sx", "XSx", "ANx", "AN-Sx"])
def test_widened_networks_match_at_slim_widths_too(method, width):
    name = METHODS[method].underlying or "resnet18"
    assert count(method, width=width) == pytest.approx(count("DCNet", name, width=width), rel=0.02)


def test_width_grows_the_network():
    assert count("RN") < count("RN", width=1.5)


def test_trunks_are_torchvisions():
    """Cut from the official classes, and equal to them in weights and output to the bit."""
    images = torch.randn(2, 3, 64, 64)
    for name, features in (
        ("resnet18", lambda m: nn.Sequential(*list(m.children())[:-2])),
        ("alexnet", lambda m: m.features),
    ):
        official = torchvision.models.get_model(name, weights=None).eval()
        made = underlying.blocks(name).eval()
        cut = underlying.UNDERLYING[name].cut(official)
        assert [p.shape for p in made.parameters()] == [p.shape for p in cut.parameters()]
        made.load_state_dict(cut.state_dict())
        x = images
        for block, channels in zip(made, underlying.channels(name), strict=True):
            x = block(x)
            assert x.shape[1] == channels
        assert torch.equal(x, features(official)(images))


def test_resnet_starts_as_torchvisions():
    weights = [
        m.weight for m in underlying.blocks("resnet18").modules() if isinstance(m, nn.Conv2d)
    ]
    for weight in weights:
        fan_out = weight.shape[0] * weight[0, 0].numel()
        assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_every_parameter(method):
    """Shapes as the contract says; the loss is finite and its gradient reaches each parameter."""
    tasks = mtfl_tasks(64)
    torch.manual_seed(0)
    net = build(method, tasks=tasks, resolution=64, width=0.125)
    logits = net(torch.randn(4, 3, 64, 64))
    shapes = {"landmarks": (4, 5, 2, 64), "gender": (4, 2), "smile": (4, 2), "glasses": (4, 2)}
    shapes["profile"] = (4, 5)
    assert {k: tuple(v.shape) for k, v in logits.items()} == {
        task.name: shapes[task.name] for task in net.tasks
    }
    truth = {"landmarks": torch.rand(4, 5, 2) * 64}
    losses = [
        task.loss(logits[task.name], task.encode(truth.get(task.name, torch.tensor([0, 1, 1, 0]))))
        for task in net.tasks
    ]
    total = sum(losses)
    total.backward()
    assert torch.isfinite(total)
    without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize("method", METHODS)
def test_seed_and_weights_determine_the_network(method):
    def make(seed):
        torch.manual_seed(seed)
        return build(method, tasks=mtfl_tasks(64), resolution=64, width=0.125).eval()

    images = torch.randn(2, 3, 64, 64)
    first, again, other = make(1), make(1), make(2)
    expected = first(images)["landmarks"]
    assert torch.equal(again(images)["landmarks"], expected)
    assert not torch.equal(other(images)["landmarks"], expected)
    other.load_state_dict(first.state_dict())
    assert torch.equal(other(images)["landmarks"], expected)


def test_batched_equals_single_in_evaluation():
    net = build("DCNet", tasks=mtfl_tasks(64), resolution=64, width=0.125).double().eval()
    images = torch.randn(3, 3, 64, 64, dtype=torch.double)
    together = net(images)["profile"]
    for k in range(3):
        torch.testing.assert_close(
            net(images[k : k + 1])["profile"][0], together[k], atol=1e-10, rtol=0
        )


def test_columns_start_differently_and_share_nothing():
    net = build("DCNet", tasks=mtfl_tasks(64), resolution=64, width=0.125)
    first, second = net.columns[0], net.columns[1]
    before = second[0][0].weight.clone()
    assert not torch.equal(first[0][0].weight, before)
    first[0][0].weight.data.zero_()
    assert torch.equal(second[0][0].weight, before)


def test_pretrained_columns_are_copies_of_the_official_weights(tmp_path, monkeypatch):
    """The real loading road, with a state dict in the official format and file name."""
    official = torchvision.models.resnet18()
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    file = tmp_path / "hub" / "checkpoints" / weights.url.rsplit("/", 1)[1]
    torch.save(official.state_dict(), file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        "torchvision.models._api.WeightsEnum.get_state_dict",
        lambda self, *args, **kwargs: torch.load(file, weights_only=True),
    )
    net = build("DCNet", tasks=TASKS, pretrained=True).eval()
    images = torch.randn(1, 3, 64, 64)
    trunk = nn.Sequential(*list(official.eval().children())[:-2])
    for column in net.columns:
        torch.testing.assert_close(nn.Sequential(*column)(images), trunk(images), atol=1e-6, rtol=0)
    net.columns[0][0][0].weight.data.zero_()
    assert net.columns[1][0][0].weight.abs().sum() > 0


def test_cross_stitch_by_hand():
    """T=3, own 0.9, others 0.05: (1, 2, 3) becomes (1.15, 2, 2.85); no gradient transposed."""
    unit = CrossStitch([1, 1, 1])
    maps = [torch.full((1, 1, 1, 1), float(v)) for v in (1, 2, 3)]
    values = unit(maps)
    assert [v.item() for v in values] == pytest.approx([1.15, 2.0, 2.85])
    values[0].sum().backward()
    assert unit.alpha.grad[0, 1].item() == 2
    assert unit.alpha.grad[1, 0].item() == 0


def test_cross_stitch_is_the_einsum():
    unit = CrossStitch([3, 3]).double()
    nn.init.normal_(unit.alpha)
    maps = torch.randn(2, 4, 3, 5, 5, dtype=torch.double)
    expected = torch.einsum("tsc,sbchw->tbchw", unit.alpha, maps)
    torch.testing.assert_close(torch.stack(unit(list(maps))), expected)


def test_cross_stitch_rows_start_convex():
    for tasks in (1, 2, 5):
        alpha = CrossStitch([4] * tasks).alpha
        torch.testing.assert_close(alpha.sum(dim=1), torch.ones(tasks, 4))
    with pytest.raises(ValueError, match="equal channels"):
        CrossStitch([4, 8])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "DCNET"}, "unknown"),
        ({"method": "RN", "underlying": "alexnet"}, "paper's name"),
        ({"method": "DCNet", "underlying": "vgg"}, "unknown"),
        ({"method": "DCNet", "width": 0.0}, "width"),
        ({"method": "DCNet", "tasks": ()}, "tasks"),
        ({"method": "AN", "resolution": 62}, "63 px"),
        ({"method": "RNx", "pretrained": True}, "widened"),
        ({"method": "RN", "pretrained": True, "width": 0.5}, "width 1 only"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**{"tasks": TASKS} | arguments)
