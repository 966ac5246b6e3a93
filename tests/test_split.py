"""Splitting: the same numbers to the bit, cut where the rule says, whatever the network is like."""

import copy
import random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model

from dclib.splitting.series import align, shapes, split
from dclib.underlying import UNDERLYING


def network(name: str) -> nn.Module:
    """A torchvision network without weights' files; without classifiers half way up."""
    halfway = name in ("googlenet", "inception_v3")
    model = get_model(name, weights=None, **dict.fromkeys(HALFWAY if halfway else (), False))
    if name.startswith(("alexnet", "vgg")):  # classifiers of half a gigabyte
        features = 36 * 256 if name == "alexnet" else 49 * 512
        model.classifier = nn.Sequential(nn.Dropout(), nn.Linear(features, 10))
    return model


HALFWAY = ("aux_logits", "init_weights")


def drawn(name: str) -> nn.Module:
    """The same with weights that take little time to draw."""
    if name.startswith("regnet"):  # computes its widths with tensors
        return network(name)
    with torch.device("meta"):
        model = network(name)
    model.to_empty(device="cpu")
    for p in model.parameters():
        nn.init.kaiming_uniform_(p, nonlinearity="relu") if p.dim() > 1 else nn.init.ones_(p)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return model


def assert_exact(model: nn.Module, size: int, **arguments) -> None:
    """Block after block and then the rest give what the network gives, in both modes."""
    found = split(model, **{"resolution": size} | arguments)
    images = torch.randn(2, 3, size, size)
    for training in (False, True):
        for part in (model, found.blocks, found.rest):
            part.train(training)
        with torch.no_grad():
            torch.manual_seed(1)
            random.seed(1)
            expected = model(images.clone())
            torch.manual_seed(1)
            random.seed(1)
            maps = images.clone()
            for block, channels in zip(found.blocks, found.channels, strict=True):
                maps = block(maps)
                assert maps.shape[1] == channels
            assert torch.equal(found.rest(maps), expected)
        assert torch.isfinite(expected).all()
        assert not torch.equal(expected[0], expected[1])  # they tell the images apart


# torchvision

# The smallest with each kind of layers and wiring; transformers are refused, see below.
KINDS = {
    "alexnet": "large kernels, overlapping pooling",
    "convnext_tiny": "depthwise 7x7, layer normalisation, stochastic depth",
    "densenet121": "concatenations, normalised before the convolution",
    "efficientnet_b0": "inverted residuals, squeeze-and-excitation, SiLU",
    "efficientnet_v2_s": "the same with fused ones",
    "googlenet": "branches, pooling that rounds up",
    "inception_v3": "branches that part again, unpadded convolutions",
    "mnasnet0_5": "inverted residuals, normalised at its own momentum",
    "mobilenet_v2": "linear bottlenecks, ReLU6",
    "mobilenet_v3_small": "squeeze-and-excitation in some, hard swish",
    "regnet_x_400mf": "grouped bottlenecks",
    "regnet_y_400mf": "with squeeze-and-excitation",
    "resnet18": "residual sums, shortcuts with a convolution",
    "resnext50_32x4d": "bottlenecks as in ResNet50 and Wide ResNet, grouped",
    "shufflenet_v2_x0_5": "channels parted, shuffled and joined",
    "squeezenet1_0": "fire modules, a convolution as classifier",
    "squeezenet1_1": "pooled elsewhere",
    "vgg11": "plain, a large classifier",
    "vgg11_bn": "normalised",
}


@pytest.mark.parametrize("name", KINDS)
def test_equal_to_the_bit(name):
    assert_exact(drawn(name), size=80 if name == "inception_v3" else 64)


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_the_authors_blocks(name):
    """What was cut by hand after the paper: the same number, and the same maps after each."""
    official = drawn(name).eval()
    found = split(official, 96)
    ours, theirs = found.blocks, UNDERLYING[name].cut(official)
    assert list(found.channels) == list(UNDERLYING[name].channels)
    one = other = torch.randn(1, 3, 96, 96)
    for mine, their in zip(ours, theirs, strict=True):
        one, other = mine(one), their(other)
        assert torch.equal(one, other)
        assert list(map(id, mine.parameters())) == list(map(id, their.parameters()))


@pytest.mark.parametrize(
    ("name", "parts", "sizes"),
    [
        ("resnet18", ["conv1 – maxpool", "layer1", "layer2", "layer3", "layer4"], "56 56 28 14 7"),
        (
            "vgg11",  # after each max-pooling
            [
                f"features.{a} – features.{b}"
                for a, b in ((0, 2), (3, 5), (6, 10), (11, 15), (16, 20))
            ],
            "112 56 28 14 7",
        ),
        (
            "mobilenet_v2",  # strides in features.0, 2, 4, 7 and 14, of the paper's Table 2
            [
                f"features.{a} – features.{b}"
                for a, b in ((0, 1), (2, 3), (4, 6), (7, 13), (14, 18))
            ],
            "112 56 28 14 7",
        ),
        (
            "densenet121",  # ends behind the pooling of each transition
            [
                "features.conv0 – features.pool0",
                *(f"features.denseblock{k} – features.transition{k}" for k in (1, 2, 3)),
                "features.denseblock4 – relu",
            ],
            "56 28 14 7 7",
        ),
        (
            "convnext_tiny",  # downsampling layers begin a stage
            [f"features.{k} – features.{k + 1}" for k in (0, 2, 4, 6)],
            "56 28 14 7",
        ),
        (
            "squeezenet1_1",  # its classifier, a convolution, is left out
            [f"features.{a} – features.{b}" for a, b in ((0, 2), (3, 5), (6, 8), (9, 12))],
            "55 27 13 13",
        ),
        (
            "inception_v3",  # unpadded convolutions do not make a new size
            [
                *("Conv2d_1a_3x3 – maxpool1", "Conv2d_3b_1x1 – maxpool2", "Mixed_5b – Mixed_5d"),
                *("Mixed_6a – Mixed_6e", "Mixed_7a – Mixed_7c"),
            ],
            "54 25 25 12 5",
        ),
    ],
)
def test_where_blocks_end(name, parts, sizes):
    with torch.device("meta"):
        table = split(network(name)).table
    assert list(table["parts"]) == parts
    assert list(table["size"]) == [f"{s} × {s}" for s in map(int, sizes.split())]


def test_table():
    """ResNet18: 1, 4, 5, 5 and 5 layers with weights, with the shortcuts' convolutions."""
    model = network("resnet18")
    found = split(model, resolution=112)
    assert list(found.table["layers with weights"]) == [1, 4, 5, 5, 5]
    assert list(found.table["channels"]) == [64, 64, 128, 256, 512]
    assert list(found.table["size"]) == [f"{s} × {s}" for s in (28, 28, 14, 7, 4)]
    assert found.table["parameters"].sum() == sum(p.numel() for p in model.parameters()) - 513_000
    assert str(found) == found.table.to_string()


def test_a_network_without_classifier_is_all_blocks():
    trunk = nn.Sequential(*list(network("resnet18").children())[:-2])
    found = split(trunk, 64)
    assert isinstance(found.rest, nn.Identity)
    assert len(found.blocks) == 5
    pooled = network("mobilenet_v2")
    pooled.classifier = nn.Identity()
    assert split(pooled, 64).channels == (16, 24, 32, 96, 1280)
    weightless = nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert split(weightless, 64).channels == (3,)


# Other cuts


def test_every_so_many_layers():
    """16 + 1 layers on the main path of ResNet18 but its shortcuts are counted where they are."""
    found = split(drawn("resnet18"), 64, every=3)
    assert list(found.table["parts"])[:3] == [
        "conv1 – layer1.0",
        "layer1.1 – layer2.0",
        "layer2.1 – layer3.0",
    ]
    assert list(found.table["layers with weights"]) == [3, 5, 5, 5, 2]
    assert_exact(drawn("mobilenet_v3_small"), 64, every=1)


def test_after_named_modules():
    found = split(drawn("resnet18"), 64, after=["layer3", "conv1"])
    assert list(found.table["parts"]) == ["conv1", "bn1 – layer3", "layer4"]
    assert found.channels == (64, 256, 512)
    assert_exact(drawn("resnet18"), 64, after=["layer1.0"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"after": ["layer5"]}, "no module of this name"),
        ({"after": ["layer1.0.conv1"]}, "no cut is possible"),  # a shortcut jumps over it
        ({"after": ["bn1"]}, "no cut is possible"),  # the next layer works in place
        ({"after": ["fc"]}, "no cut is possible"),
        ({"every": 0}, "positive"),
        ({"every": 2, "after": ["layer1"]}, "choose one"),
    ],
)
def test_impossible_cuts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        split(network("resnet18"), **arguments)


# Strangers' networks


class Residual(nn.Module):
    """Two convolutions and a shortcut, written with functions and an addition in place."""

    def __init__(self, incoming: int, channels: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(incoming, channels, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Conv2d(incoming, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norms[0](self.one(x)))
        y = self.norms[1](self.two(y))
        y += self.shortcut(x)
        return functional.relu(y)


class Stranger(nn.Module):
    """Functional pooling and dropout, the number of images used late, an argument more."""

    def __init__(self, residual=Residual) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.full((3, 1, 1), 0.1))
        self.scale = nn.Parameter(torch.ones(()))
        self.entry = nn.Conv2d(3, 8, 3, padding=1)
        self.first = residual(8, 8, 1)
        self.second = residual(8, 12, 2)
        self.third = residual(12, 16, 2)
        self.classifier = nn.Linear(16, 3)

    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        count = x.shape[0]
        x = functional.relu(self.entry((x - self.mean) * self.scale))
        x = functional.dropout2d(functional.max_pool2d(x, 2), 0.2, self.training)
        x = self.third(self.second(self.first(x)))
        x = functional.adaptive_avg_pool2d(x, 1)
        if features:
            return x
        x = x.view(count, -1)
        return self.classifier(functional.dropout(x, training=self.training))


def test_a_strangers_network():
    torch.manual_seed(0)
    model = Stranger()
    assert_exact(model, 32)
    assert list(split(model, 64).table["parts"]) == [
        "sub – dropout2d",
        "first",
        "second",
        "third",
    ]


class Undecided(Residual):
    """One that decides by values, and by chance while it is trained."""

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 1e6:
            return x
        y = super().forward(x)
        return y * 2 if self.training and random.random() < 0.5 else y


class Frozen(Residual):
    """One that is not trained."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(x)


@pytest.mark.parametrize("residual", [Undecided, Frozen])
def test_parts_that_cannot_be_followed_stay_whole(residual):
    model = Stranger(residual)
    for _ in range(3):  # by chance
        assert_exact(model, 32)
    blocks = split(model).blocks
    assert sum(isinstance(module, residual) for module in blocks.modules()) == 3
    if residual is Frozen:
        assert not blocks[1](torch.randn(2, 8, 8, 8, requires_grad=True)).requires_grad


class Digits(nn.Module):
    """PyTorch's own example, made for images of 28 px."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 10, 5), nn.Conv2d(10, 20, 5)
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = functional.relu(self.fc1(x.view(x.size(0), 320)))
        return self.fc2(functional.dropout(x, training=self.training))


@pytest.mark.parametrize("resolution", [28, 64, 224])
def test_the_classifier_may_want_other_images(resolution):
    """The ReLU behind a pooling belongs to its block."""
    found = split(Digits(), resolution)
    assert list(found.table["parts"]) == ["conv1 – relu", "conv2 – relu"]
    assert_exact(Digits(), 28, resolution=resolution)


class Recurrent(nn.Module):
    """The same convolution and normalisation at two sizes, with other weights than it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.down = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3, padding=1))
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        x = self.down(x + self.norm(self.conv(x)))
        x = x + self.norm(self.conv(x))
        return self.classifier(x.mean(dim=(2, 3)))


def test_parts_that_are_used_twice_stay_one():
    model = Recurrent()
    assert_exact(model, 32)
    blocks = copy.deepcopy(split(model).blocks)
    assert len(blocks) == 2
    assert shapes(blocks, 32) == [(8, 16, 16), (8, 8, 8)]
    trunk = [p for name, p in model.named_parameters() if "classifier" not in name]
    assert sum(p.numel() for p in blocks.parameters()) == sum(p.numel() for p in trunk)
    assert blocks[0].norm is blocks[1].norm
    assert all(t.device.type == "cpu" for t in blocks.state_dict().values())


class Odd(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.way == "values" and x.mean() > 0:
            x = x * 2
        if self.way == "training" and self.training:
            x = x * 2
        return self.fc(x.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Odd("values"), "control flow; give its blocks yourself"),
        (lambda: Odd("training"), "other layers in training; give its blocks yourself"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), "no feature maps"),
        (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), "no images of 224 px"),
        (lambda: nn.Sequential(nn.Conv2d(3, 3, 300), nn.ReLU()), "no images of 224 px"),
        (lambda: network("vit_b_32"), "no feature maps"),
        (lambda: network("swin_t"), "no CNN"),
        (lambda: network("swin_v2_t"), "no CNN"),
        (lambda: network("maxvit_t"), "no CNN"),
    ],
)
def test_networks_that_cannot_be_split(model, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message) as error:
        split(model())
    assert "\n" not in str(error.value)


def test_blocks_that_are_given():
    given = nn.ModuleList([nn.Conv2d(3, 4, 3, 2, 1), nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU())])
    found = split(given, 16)
    assert found.blocks is given
    assert found.channels == (4, 5)
    assert list(found.table["size"]) == ["8 × 8", "6 × 6"]
    assert list(found.table["layers with weights"]) == [1, 1]
    for wrong in (nn.Conv2d(3, 4, 3), nn.Flatten()):
        with pytest.raises(ValueError, match="block 3"):
            split(nn.ModuleList([*given, wrong]), 16)


# What blocks can be used for


def test_splitting_changes_nothing():
    """Neither the modes of the modules nor what is drawn next; the weights are the network's."""
    model = Stranger()
    model.second.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    found = split(model)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert [module.training for module in model.modules()] == modes
    theirs = {id(p) for part in (found.blocks, found.rest) for p in part.parameters()}
    assert theirs == {id(p) for p in model.parameters()}


def test_blocks_train_copy_and_load(tmp_path):
    torch.manual_seed(0)
    blocks = split(Stranger()).blocks
    other = copy.deepcopy(blocks)
    images = torch.randn(2, 3, 32, 32)

    def run(blocks):
        maps = images
        for block in blocks:
            maps = block(maps)
        return maps

    run(blocks.train()).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in blocks.parameters())
    assert all(p.grad is None for p in other.parameters())
    with torch.no_grad():
        for p in blocks.parameters():
            p += 0.1
    assert not torch.equal(run(blocks.eval()), run(other.eval()))
    torch.save(blocks.state_dict(), tmp_path / "blocks.pt")
    other.load_state_dict(torch.load(tmp_path / "blocks.pt", weights_only=True))
    assert torch.equal(run(blocks), run(other))


# Columns in step


def halving(*strides: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(3, 3, 3, stride, 1) for stride in strides)


@pytest.mark.parametrize(
    ("strides", "target", "kept"),
    [
        ((4, 1, 2, 2, 2), (8, 2, 2), [8, 4, 2]),  # of 16, 16, 8, 4, 2 for 8, 4, 2
        ((2, 2, 2, 2), (2, 2), [32, 4]),  # of 32, 16, 8, 4 for 32, 16: the last one always
        ((2, 2, 2, 2), (4, 4), [16, 4]),  # for 16, 4
        ((4, 1, 2, 2), (4, 4), [16, 4]),  # of 16, 16, 8, 4
        ((4, 4), (2, 2), [16, 4]),  # nothing to do
        ((2, 2, 2), (64,), [8]),  # a single block
    ],
)
def test_align_keeps_the_nearest_sizes(strides, target, kept):
    long, short = halving(*strides), halving(*target)
    expected = nn.Sequential(*long)(torch.ones(1, 3, 64, 64))
    merged, same = align([long, short], 64)
    assert same is short
    assert [h for _, h, _ in shapes(merged, 64)] == kept
    assert torch.equal(nn.Sequential(*merged)(torch.ones(1, 3, 64, 64)), expected)


def test_align_takes_the_later_of_equal_cuts():
    merged, _ = align([halving(4, 1, 1, 4), halving(4, 4)], 64)
    assert [len(list(block.modules())) - 1 or 1 for block in merged] == [3, 1]


def test_align_of_known_networks():
    """AlexNet has three blocks, at 27, 13 and 6 px: ResNet18's at 28, 14 and 7 are the nearest."""
    with torch.device("meta"):
        columns = [split(network(name)).blocks for name in ("resnet18", "alexnet")]
    resnet, _ = align(columns)
    assert shapes(resnet, 224) == [(128, 28, 28), (256, 14, 14), (512, 7, 7)]
