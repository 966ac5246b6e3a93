"""Networks whose forward does more than compute: split as they are, or refused, and unchanged."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torchvision.ops import StochasticDepth

from dclib import build, mtfl_tasks
from dclib.fast.folding import fold
from dclib.splitting.series import split
from dclib.splitting.watching import private

SEEN: list[Tensor] = []
CALLS = 0
DICE = random.Random(0)
ARRAYS = np.random.default_rng(0)


class Unit(nn.Module):
    """A convolution, and something else at a time, given by `way`."""

    shared = 0

    def __init__(self, channels: int, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.count = nn.Buffer(torch.zeros(()))
        self.plain = torch.zeros(1)
        self.cache: dict[object, Tensor] = {}
        self.last: Tensor | None = None
        self.log: list[Tensor] = []
        self.dice = random.Random(0)
        self.flips = torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        y = getattr(self, self.way)(x)
        return functional.relu(y)

    def nothing(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def weights(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.weight.exp() + self.norm.weight.mean()

    def keywords(self, x: Tensor) -> Tensor:
        return self.norm(input=self.conv(input=x))

    def gradients(self, x: Tensor) -> Tensor:
        return self.conv(x) if torch.is_grad_enabled() else self.conv(x) * 2

    def counter(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.conv(x) * self.count

    def added(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return self.conv(x) + self.count

    def viewed(self, x: Tensor) -> Tensor:
        self.plain.view(1)[0] += 1
        return self.conv(x) + self.plain

    def constant(self, x: Tensor) -> Tensor:
        total = torch.zeros(1, self.conv.out_channels, 1, 1)
        total += x.mean((0, 2, 3), keepdim=True)
        return self.conv(x) + total

    def remembered(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        self.last, before = y.detach(), self.last
        return y if before is None else y + before.mean()

    def logged(self, x: Tensor) -> Tensor:
        self.log.append(x)
        return self.conv(x) * len(self.log)

    def cached(self, x: Tensor) -> Tensor:
        if "grid" not in self.cache:
            self.cache["grid"] = torch.arange(x.shape[3]) / 10
        return self.conv(x) + self.cache["grid"]

    def variable(self, x: Tensor) -> Tensor:
        type(self).shared += 1
        return self.conv(x) * type(self).shared

    def outside(self, x: Tensor) -> Tensor:
        global CALLS
        CALLS += 1
        return self.conv(x) * CALLS

    def appended(self, x: Tensor) -> Tensor:
        SEEN.append(x)
        return self.conv(x) * len(SEEN)

    def python(self, x: Tensor) -> Tensor:
        return x if random.random() < 0.5 else self.conv(x)

    def numpys(self, x: Tensor) -> Tensor:
        return self.conv(x) * np.random.rand()  # noqa: NPY002

    def torchs(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.rand(1)

    def own_dice(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.dice.random()

    def own_flips(self, x: Tensor) -> Tensor:
        return self.conv(x) * torch.rand(1, generator=self.flips)

    def common_dice(self, x: Tensor) -> Tensor:
        return self.conv(x) * DICE.random()

    def common_arrays(self, x: Tensor) -> Tensor:
        return self.conv(x) * float(ARRAYS.random())

    def noise(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.randn_like(x)

    def seeded(self, x: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.conv(x) + torch.randn_like(x)

    def dropped(self, x: Tensor) -> Tensor:
        return functional.dropout2d(self.conv(x), 0.5, self.training)

    def precision(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.conv(x).float()

    def converted(self, x: Tensor) -> Tensor:
        return self.conv(x).half().float()

    def frozen(self, x: Tensor) -> Tensor:
        self.norm.eval()
        return self.norm(self.conv(x))

    def switched(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.conv(x)

    def asked(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if isinstance(x, Tensor) else self.conv(x)

    def decided(self, x: Tensor) -> Tensor:
        return self.conv(x) * 2 if x.mean() > 0 else self.conv(x)

    def written(self, x: Tensor) -> Tensor:
        return self.conv(x.mul_(2))

    def clamped(self, x: Tensor) -> Tensor:
        self.conv.weight.data.clamp_(-0.01, 0.01)
        return self.conv(x)

    def replaced(self, x: Tensor) -> Tensor:
        self.norm = nn.BatchNorm2d(self.conv.out_channels)
        return self.norm(self.conv(x))


WAYS = [
    name for name in vars(Unit) if name not in ("forward", "shared") and not name.startswith("_")
]


class Within(nn.Module):
    """The unit deep inside."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.unit = nn.Sequential(unit, nn.Conv2d(8, 8, 3, 2, 1))
        self.classifier = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.unit(self.first(x)).mean((2, 3)))


class Above(Unit):
    """The same at the top."""

    def __init__(self, way: str) -> None:
        super().__init__(8, way)
        self.first, self.down = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(super().forward(self.first(x))).mean((2, 3))


def everything(model: nn.Module) -> list[object]:
    """What must not change: weights, buffers, attributes, modes, generators, what lies outside."""
    plain = [
        {k: v for k, v in vars(part).items() if not k.startswith("_") and k not in HELD}
        for part in model.modules()
    ]
    held = [
        (list(part.cache), list(part.log), part.dice.getstate(), part.flips.get_state().tolist())
        for part in model.modules()
        if isinstance(part, Unit)
    ]
    tensors = {k: v.tolist() for k, v in model.state_dict().items()}
    outside = (CALLS, len(SEEN), DICE.getstate(), ARRAYS.bit_generator.state, Unit.shared)
    chance = (random.getstate()[1], torch.get_rng_state().tolist(), Above.shared)
    return [plain, held, tensors, outside, chance]


HELD = ("cache", "log", "dice", "flips")


def assert_split_or_refused(model: nn.Module, size: int = 32) -> str | None:
    """Two runs in either mode give what copies of the network give; or why it is refused."""
    before, why, found = everything(model), None, None
    try:
        found = split(model, size)
    except ValueError as error:
        why = str(error)
    assert everything(model) == before
    if found is None:
        return why
    (whole, _), (parts, _) = private(model), private(nn.Sequential(*found.blocks, found.rest))
    generator = torch.Generator().manual_seed(3)
    for run, training in enumerate((True, False, True, False)):
        images = torch.randn(2, 3, size, size, generator=generator)
        outcomes = []
        for one in (whole, parts):
            torch.manual_seed(run)
            random.seed(run)
            np.random.seed(run)  # noqa: NPY002
            with torch.set_grad_enabled(training):
                outcomes.append(one.train(training)(images.clone()))
        assert torch.equal(*outcomes)
    return None


FOLLOWED = {"nothing", "weights", "keywords", "noise", "dropped", "converted", "written"}


@pytest.mark.parametrize("way", WAYS)
def test_what_forward_does_besides(way):
    """At the top as deep inside; what only computes is split."""
    torch.manual_seed(0)
    for model in (Within(Unit(8, way)), Above(way)):
        why = assert_split_or_refused(model)
        assert why is None or (way not in FOLLOWED and "cannot be split" in why)


def test_what_gives_no_single_tensor_is_compared_too():
    class Several(Within):
        def forward(self, x: Tensor) -> dict[str, object]:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.lower):
                logits = super().forward(x).float()
                return {"logits": logits, "more": [logits.mean(), None]}

    for lower in (False, True):
        model = Several(Unit(8, "nothing"))
        model.lower = lower
        if lower:  # which the steps do not tell
            with pytest.raises(ValueError, match="give other numbers"):
                split(model, 32)
        else:
            assert len(split(model, 32).blocks) == 2


def hooked(conv: nn.Conv2d) -> nn.Conv2d:
    conv.register_forward_hook(lambda module, inputs, output: output * 2)
    return conv


WRAPS = [
    nn.Sequential,
    hooked,
    lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
    nn.utils.spectral_norm,
    nn.utils.weight_norm,
    parametrizations.spectral_norm,
    parametrizations.weight_norm,
    lambda conv: nn.Sequential(conv, StochasticDepth(0.5, "row")),
]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("wrap", WRAPS)
def test_layers_with_something_around_them(wrap):
    torch.manual_seed(0)
    model = Within(wrap(nn.Conv2d(8, 8, 3, 1, 1)))
    assert assert_split_or_refused(model) is None


def test_modules_with_hooks_stay_whole():
    model = Within(Unit(8, "nothing"))
    model.unit.register_forward_hook(lambda module, inputs, output: SEEN.append(output))
    before = len(SEEN)
    found = split(model, 32)
    assert len(SEEN) == before
    maps = torch.randn(2, 3, 32, 32)
    for block in found.blocks:
        maps = block(maps)
    assert len(SEEN) == before + 1
    SEEN.clear()
    model.register_forward_hook(lambda module, inputs, output: output + 1)
    with pytest.raises(ValueError, match="own hooks"):
        split(model, 32)


# Folding


class Gate(nn.Module):
    """Leaves its normalisation out now and then."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv, self.norm = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        self.calls += self.way == "calls"
        if self.way == "mask":
            return torch.where(x.mean() < 4, self.norm(y), y)
        if self.way == "weight":
            return self.norm(y) * torch.where(x.mean() < 4, 1, self.conv.weight.norm())
        use = {
            "always": lambda: True,
            "values": lambda: x.mean() < 0.5,
            "numbers": lambda: x.shape[0] < 2,
            "calls": lambda: self.calls % 2,
            "chance": lambda: random.random() < 0.5,
        }[self.way]
        return self.norm(y) if use() else y


@pytest.mark.parametrize(
    "way", ["always", "values", "mask", "weight", "numbers", "calls", "chance"]
)
def test_only_what_always_happens_is_folded(way):
    torch.manual_seed(0)
    blocks = nn.ModuleList([Gate(way), nn.Conv2d(8, 8, 3, 2, 1)])
    net = build("DCNet", tasks=mtfl_tasks(32)[:2], underlying=blocks, resolution=32)
    for _ in range(3):
        net.train()(torch.randn(4, 3, 32, 32))
    net.eval()
    folded = fold(net, 32)
    left = any(isinstance(m, nn.BatchNorm2d) for m in folded.columns.modules())
    assert left == (way != "always")
    same, drawn = torch.ones(1, 3, 32, 32), torch.randn(2, 3, 32, 32)
    for images in (0 * drawn, same, 9 * same, drawn):
        one = copy.deepcopy(net)
        random.seed(1)
        expected = one(images)
        random.seed(1)
        found = fold(net, 32)(images)
        for name, logits in expected.items():
            assert torch.allclose(found[name], logits, atol=1e-4)


# Blocks that write into what they get


def given(over: bool) -> nn.ModuleList:
    """Blocks that begin with a ReLU, in place or not."""
    return nn.ModuleList(
        nn.Sequential(nn.ReLU(inplace=over), nn.Conv2d(before, 8, 3, 2, 1), nn.BatchNorm2d(8))
        for before in (3, 8, 8)
    )


@pytest.mark.parametrize("method", ["DCNet", "Sluice", "HF", "MTAN", "Progressive"])
def test_blocks_that_begin_in_place(method):
    """They compute and train as if they did not, and leave the images alone."""
    torch.manual_seed(0)
    tasks, images = mtfl_tasks(32)[:2], torch.randn(4, 3, 32, 32)
    one, other = (
        build(method, tasks=tasks, underlying=lambda over=over: given(over))
        for over in (True, False)
    )
    other.load_state_dict(one.state_dict())
    before = images.clone()
    for net in (one, other):
        torch.stack([v.square().mean() for v in net(images).values()]).sum().backward()
    assert torch.equal(images, before)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or torch.allclose(p.grad, q.grad, atol=1e-6)
