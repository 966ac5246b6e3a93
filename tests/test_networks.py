"""Networks against the published parameter counts, and what must not change between methods."""

import copy
import re

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model

from dclib import METHODS, build, count_parameters, mtfl_tasks, underlying
from dclib.factory import matched_width
from dclib.methods.cross_stitch import CrossStitch
from dclib.study.figures.sizes import formula
from dclib.tasks import Angle, Orientation

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
    net = build("DCNet", tasks=TASKS, pretrained="imagenet").eval()
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


# Any CNN


class Branched(nn.Module):
    """A stranger's CNN: two branches, a residual sum, no Sequential, a classifier for 28 px."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.near, self.far = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 5, padding=2)
        self.down = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.same = nn.Conv2d(24, 24, 3, padding=1)
        self.norm = nn.BatchNorm2d(24)
        self.classifier = nn.Linear(24 * 7 * 7, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem(x)), 2)
        x = functional.relu(torch.cat([self.near(x), self.far(x)], dim=1))
        x = functional.relu(self.down(x))
        x = functional.relu(x + self.norm(self.same(x)))
        return self.classifier(x.flatten(1))


BLOCKS = (8, 16, 24)  # of Branched: behind the pooling, before the stride, and the end


def loss_of(net, size: int) -> Tensor:
    logits = net(torch.randn(4, 3, size, size))
    truth = {"landmarks": torch.rand(4, 5, 2) * size}
    labels = torch.tensor([0, 1, 1, 0])
    return sum(
        task.loss(logits[task.name], task.encode(truth.get(task.name, labels)))
        for task in net.tasks
    )


@pytest.mark.parametrize(
    ("underlying", "size", "channels"),
    [
        (Branched(), 32, [BLOCKS] * 3),
        (Branched, 32, [BLOCKS] * 3),
        ("squeezenet1_1", 64, [(64, 128, 256, 512)] * 3),
        # AlexNet has the fewest blocks, three: the others keep the cuts nearest to its sizes
        (
            "resnet18+mobilenet_v3_small+alexnet",
            64,
            [(128, 256, 512), (24, 48, 576), (64, 192, 256)],
        ),
        (["alexnet", Branched], 64, [(64, 192, 256), BLOCKS, BLOCKS]),
    ],
)
def test_any_network_trains_every_parameter(underlying, size, channels):
    """The blocks join what the columns have; parameters are the sum of those of the parts."""
    torch.manual_seed(0)
    net = build("DCNet", tasks=mtfl_tasks(size)[:3], underlying=underlying, resolution=size)
    assert [mixer.channels for mixer in net.mixers] == list(zip(*channels, strict=True))
    parts = [sum(p.numel() for p in part.parameters()) for part in net.columns]
    parts += [sum(formula(mixer.channels)) for mixer in net.mixers]
    for task, own in zip(net.tasks, channels, strict=True):
        hidden = (own[-1] + task.outputs) // 2
        parts.append((own[-1] + 3) * hidden + (hidden + 1) * task.outputs)
    assert count_parameters(net) == sum(parts)
    loss_of(net, size).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_networks_of_a_strangers_have_its_blocks():
    model = Branched()
    trunk = [model.stem, model.near, model.far, model.down, model.same, model.norm]
    net = build("DCNet", tasks=mtfl_tasks(28), underlying=model, resolution=28)
    expected = 5 * sum(count_parameters(layer) for layer in trunk)
    assert count_parameters(net.columns) == expected
    for method in ("XS", "XS-layer"):
        build(method, tasks=mtfl_tasks(28), underlying=model, resolution=28)(
            torch.randn(2, 3, 28, 28)
        )


def test_columns_of_a_module_are_copies():
    """They start with its weights and share nothing, neither with it nor among each other."""
    model = Branched()
    before = copy.deepcopy(model.state_dict())
    net = build("DCNet", tasks=mtfl_tasks(32), underlying=model, resolution=32)
    first, *others = (dict(column.named_parameters()) for column in net.columns)
    for name, parameter in first.items():
        assert torch.equal(parameter, before[name.partition(".")[2]])
        assert all(torch.equal(parameter, other[name]) for other in others)
    with torch.no_grad():
        for parameter in first.values():
            parameter.fill_(7)
    assert not any((parameter == 7).all() for other in others for parameter in other.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("underlying", [Branched, "squeezenet1_1"])
def test_columns_by_name_or_function_start_differently(underlying):
    torch.manual_seed(0)
    net = build("DCNet", tasks=mtfl_tasks(64), underlying=underlying, resolution=64)
    columns = [dict(column.named_parameters()) for column in net.columns]
    for name, parameter in columns[0].items():
        if parameter.dim() > 1:
            assert not any(torch.equal(parameter, other[name]) for other in columns[1:])
    torch.manual_seed(0)
    again = build("DCNet", tasks=mtfl_tasks(64), underlying=underlying, resolution=64)
    for one, other in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_any_network_is_saved_and_loaded(tmp_path):
    def make():
        return build(
            "DCNet", tasks=mtfl_tasks(64), underlying=["alexnet", Branched], resolution=64
        ).eval()

    first, other, images = make(), make(), torch.randn(2, 3, 64, 64)
    expected = first(images)["landmarks"]
    assert not torch.equal(other(images)["landmarks"], expected)
    torch.save(first.state_dict(), tmp_path / "net.pt")
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert torch.equal(other(images)["landmarks"], expected)


@pytest.mark.parametrize("name", ["squeezenet1_1", "inception_v3"])
def test_official_weights_of_other_networks(name, monkeypatch):
    """Loaded into every column; of inception also with the classifier that comes with them."""
    official = get_model(name, weights=None, **({"init_weights": False} if "inc" in name else {}))
    monkeypatch.setattr(
        "dclib.underlying.state", lambda name, width, weights, cut: cut(official).state_dict()
    )
    columns = underlying.columns([name, name], pretrained="imagenet")
    for column in columns:
        maps = images = torch.randn(2, 3, 96, 96)
        for block in column.eval():
            maps = block(maps)
        if name == "squeezenet1_1":
            assert torch.equal(maps, official.eval().features(images))
    for one, other in zip(*(column.parameters() for column in columns), strict=True):
        assert torch.equal(one, other)
        assert one is not other


def test_channels_of_any_network():
    torch.manual_seed(0)
    assert underlying.channels("squeezenet1_1") == [64, 128, 256, 512]
    assert underlying.channels(Branched) == list(BLOCKS)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


MIXED = "resnet18+squeezenet1_1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "XS", "underlying": MIXED}, f"XS cannot join {re.escape(MIXED)}"),
        ({"method": "RN", "underlying": MIXED}, "paper's name"),
        ({"method": "RN", "underlying": Branched}, "not on Branched"),
        ({"method": "XSx", "underlying": "squeezenet1_1"}, "XSx is widened"),
        ({"method": "XSx", "underlying": Branched}, "XSx is widened"),
        ({"method": "DCNet", "underlying": "+".join(["alexnet"] * 6)}, "5 columns"),
        ({"method": "DCNet", "underlying": "squeezenet1_1", "width": 0.5}, "no width multiplier"),
        ({"method": "DCNet", "underlying": Branched, "width": 0.5}, "no width multiplier"),
        ({"method": "DCNet", "underlying": Branched, "pretrained": "imagenet"}, "by name"),
        ({"method": "DCNet", "underlying": lambda: 3}, "must make an nn.Module"),
        ({"method": "DCNet", "underlying": "vit_b_32"}, "no feature maps"),
        (
            {"method": "DCNet", "underlying": "squeezenet1_1", "resolution": 16},
            "squeezenet1_1.*16 px",
        ),
        ({"method": "DCNet", "underlying": Branched, "resolution": 1}, "Branched.*1 px"),
        ({"method": "DCNet", "underlying": []}, "underlying is empty"),
        ({"method": "DCNet", "underlying": nn.ModuleList()}, "no blocks"),
        ({"method": "DCNET"}, "unknown"),
        ({"method": "RN", "underlying": "alexnet"}, "paper's name"),
        ({"method": "DCNet", "underlying": "vgg"}, "unknown"),
        ({"method": "DCNet", "width": 0.0}, "width"),
        ({"method": "DCNet", "tasks": ()}, "tasks"),
        ({"method": "AN", "resolution": 62}, "63 px"),
        ({"method": "RN", "resolution": 64}, r"\[112\] px, and the network is for 64 px"),
        ({"method": "RN", "tasks": (*TASKS, TASKS[1])}, "'gender'"),
        ({"method": "RN", "tasks": (Orientation(), Angle("yaw"))}, "'yaw'"),
        ({"method": "RN", "width": float("inf")}, "width=inf"),
        ({"method": "RN", "width": float("nan")}, "width=nan"),
        ({"method": "RN", "resolution": 1_000_000}, "resolution=1000000"),
        ({"method": "RNx", "pretrained": "imagenet"}, "widened"),
        ({"method": "RN", "pretrained": "imagenet", "width": 0.5}, "width 1 only"),
        ({"method": "DCNet", "pretrained": "cifar"}, "choose False or from"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        build(**{"tasks": TASKS} | arguments)
    assert "\n" not in str(error.value)
