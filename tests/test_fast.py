"""Fast forms against plain ones: the same outputs, gradients and statistics, with every method."""

import copy
import json

import pytest
import torch
from test_methods import AGAIN
from torch import nn
from torch.nn import functional

from dclib import METHODS, CollaborativeBlock, build, fast, mtfl_tasks
from dclib.errors import RunError
from dclib.fast import winograd
from dclib.fast.forms import PLAIN, FastCrossStitch
from dclib.fast.small_maps import convolve
from dclib.fast.stacked import StackedNetwork
from dclib.fast.ways import TABLES, FastConv2d, Ways, fastest, possible
from dclib.methods.cross_stitch import CrossStitch
from dclib.network import Apart, Network

EVERYWHERE = [
    n for n, m in METHODS.items() if not m.widened and m.underlying != "tcdcn" and n not in AGAIN
]


def make(method: str, underlying: str | None = None, size: int = 48, width: float = 0.25):
    torch.manual_seed(0)
    tasks = mtfl_tasks(size)[:3]
    net = build(method, tasks=tasks, underlying=underlying, resolution=size, width=width)
    for module in net.modules():  # statistics and scales that are no round numbers
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return net


def in_forms(net: nn.Module, forms: str = "fast") -> nn.Module:
    twin = copy.deepcopy(net)
    assert fast.apply(twin, forms) == forms
    return twin


def trained_once(net: Network, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """All that one step of training computes: logits, gradients, statistics."""
    torch.manual_seed(1)
    tasks = net.tasks
    points = torch.rand(len(images), 5, 2).to(images) * images.shape[-1]
    labels = torch.arange(len(images)) % 2
    features = net.features(images)
    logits = net.logits(features)
    loss = sum(
        t.loss(logits[t.name], t.encode(points if t.name == "landmarks" else labels)) for t in tasks
    )
    penalty = net.penalty(features)
    (loss if penalty is None else loss + penalty).backward()
    found = {f"logits {name}": values.detach() for name, values in logits.items()}
    found |= {f"gradient {n}": p.grad for n, p in net.named_parameters() if p.grad is not None}
    return found | {f"buffer {n}": b.detach() for n, b in net.named_buffers()}


STACKED = ["DCNet", "XS", "XS-layer", "XSx", "NDDR", "XS-single"]
CASES = [(n, "fast") for n in EVERYWHERE] + [(n, "stacked") for n in STACKED]


@pytest.mark.parametrize(("method", "forms"), CASES)
def test_every_method_computes_the_same(method, forms):
    """In double precision: outputs, all gradients, BatchNorm's statistics."""
    size = 96 if METHODS[method].underlying == "alexnet" else 48
    compare(make(method, size=size), size, forms)


@pytest.mark.parametrize(("underlying", "size"), [("resnet18", 32), ("alexnet", 96)])
def test_columns_are_stacked_on_other_networks_and_sizes(underlying, size):
    compare(make("DCNet", underlying, size), size, "stacked")


CONVOLVED = ("DCNet", "XS", "NDDR", "MTAN", "RN", "AN")  # all convolutions that there are


@pytest.mark.parametrize("method", CONVOLVED)
def test_every_convolution_in_half_the_products(method, monkeypatch):
    """All forms of convolutions in one network: the table is made to choose Winograd's for all."""
    monkeypatch.setattr(winograd, "pays", lambda channels, height: height > 2)
    size = 96 if METHODS[method].underlying == "alexnet" else 48
    compare(make(method, size=size), size, "winograd")


class Chosen(Ways):
    """The first or the last of all ways that there are, for every shape; all columns together."""

    def __init__(self, which: int, together: str = "") -> None:
        super().__init__({"together": together} if together else {})
        self.which, self.met = which, set()

    def find(self, key, x, weight, groups, stride):
        names = possible(weight.shape[-1], stride, groups, x.shape[-1])
        name = names[min(self.which, len(names) - 1)]
        self.met.add(name)
        return name


LAST = 9
EACH = [(n, LAST) for n in CONVOLVED] + [("DCNet", 1), ("DCNet", 2), ("DCNet", 3), ("XS", 3)]


@pytest.mark.parametrize(("method", "which"), EACH)
def test_every_convolution_in_every_way(method, which):
    """The ways that a measurement may choose, with columns together at all depths, or at some."""
    size = 96 if METHODS[method].underlying == "alexnet" else 48
    ways = Chosen(which, "1 3" if which == 3 else "0 1 2 3 4")
    compare(make(method, size=size), size, "measured", ways)
    assert (ways.met <= {"plain"}) == (METHODS[method].underlying == "alexnet")


def compare(net: Network, size: int, forms: str, ways: Ways | None = None) -> None:
    net = net.double().to(memory_format=torch.channels_last)
    twin = copy.deepcopy(net)
    assert fast.apply(twin, forms, ways) == forms
    images = torch.randn(4, 3, size, size, dtype=torch.double)
    images = images.contiguous(memory_format=torch.channels_last)
    expected, found = trained_once(net, images), trained_once(twin, images)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        scale = max(1.0, values.abs().max().item()) if values.is_floating_point() else 1
        torch.testing.assert_close(
            found[name], values, atol=1e-10 * scale, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )
    with torch.no_grad():
        for name, values in twin.eval()(images).items():
            torch.testing.assert_close(values, net.eval()(images)[name], atol=1e-10, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "width", "faces", "forms"),  # "winograd" has the tiny convolutions of "fast", and more
    [(64, 1.0, 2, "winograd"), (32, 0.25, 4, "winograd"), (32, 0.25, 4, "fast")],
)
def test_the_largest_and_the_smallest_maps_too(size, width, faces, forms):
    torch.manual_seed(0)
    tasks = mtfl_tasks(size)[:2]
    net = build("DCNet", tasks=tasks, resolution=size, width=width).double()
    twin = in_forms(net, forms)
    images = torch.randn(faces, 3, size, size, dtype=torch.double)
    expected, found = trained_once(net, images), trained_once(twin, images)
    for name, values in expected.items():
        scale = max(1.0, values.abs().max().item()) if values.is_floating_point() else 1
        torch.testing.assert_close(found[name], values, atol=1e-10 * scale, rtol=0)


@pytest.mark.parametrize("forms", ["fast", "stacked", "measured"])
def test_single_precision_is_as_good_as_the_plain_one(forms):
    """Against double precision, at most three times the plain form's own error."""
    exact = make("DCNet").double()
    plain = copy.deepcopy(exact).float()
    quick = copy.deepcopy(plain)
    assert fast.apply(quick, forms, Chosen(LAST, "0 1 2 3 4")) == forms
    images = torch.randn(16, 3, 48, 48)
    truth = trained_once(exact, images.double())
    errors = []
    for net in (plain, quick):
        found = trained_once(net, images)
        logits = [name for name in truth if name.startswith("logits")]
        errors.append(max((found[n].double() - truth[n]).abs().max().item() for n in logits))
    assert errors[1] <= 3 * errors[0]


@pytest.mark.parametrize("forms", ["winograd", "measured"])
def test_second_derivatives_are_refused(forms):
    """Rather than wrong: what these forms compute backward is not followed again."""
    for kernel, side in ((3, 4), (3, 2), (1, 4))[: 3 if forms == "measured" else 2]:
        net = nn.Sequential(nn.Conv2d(128, 128, kernel, padding=kernel // 2, bias=False))
        fast.apply(net, forms, Chosen(LAST))
        x = torch.randn(2, 128, side, side, requires_grad=True)
        (once,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            once.square().sum().backward()


def test_what_cannot_be_stacked_is_fast():
    for method, underlying in (("RN", None), ("L2", None), ("DCNet", "resnet18+alexnet")):
        net = make(method, underlying, size=64)
        assert fast.apply(net, "stacked") == "fast"


def column(dilation=1, first=None, **norm):
    """Two blocks, the second of them with settings that its weights do not show."""
    conv = nn.Conv2d(8, 8, 3, 1, dilation, dilation=dilation, bias=False)
    return nn.ModuleList(
        [
            first or nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.ReLU()),
            nn.Sequential(conv, nn.BatchNorm2d(8, **norm), nn.ReLU()),
        ]
    )


def shared():
    one, two = column(), column()
    two[1][0] = one[1][0]
    return one, two


def frozen():
    one, two = column(), column()
    two[1][0].weight.requires_grad_(False)
    return one, two


def hooked():
    one, two = column(), column()
    two[1][1].register_forward_hook(lambda layer, x, y: 2 * y)
    return one, two


def biased():
    one, two = column(), column()
    two[1][0] = nn.Conv2d(8, 8, 3, 1, 1)
    return one, two


def without_weights():
    kinds = [nn.Sequential(nn.AvgPool2d(2), nn.BatchNorm2d(3)) for _ in range(2)]
    columns = [column(first=kind) for kind in kinds]
    for blocks in columns:
        blocks[1][0] = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
    return columns


DIFFERENT = {
    "dilation": lambda: (column(1), column(2)),
    "eps": lambda: (column(), column(eps=1.0)),
    "momentum": lambda: (column(momentum=0.1), column(momentum=0.9)),
    "cumulative": lambda: (column(momentum=None), column(momentum=None)),
    "no scale": lambda: (column(affine=False), column(affine=False)),
    "no statistics": lambda: [column(track_running_stats=False) for _ in range(2)],
    **{f.__name__: f for f in (shared, frozen, hooked, biased, without_weights)},
}


@pytest.mark.parametrize("name", [*DIFFERENT, "equal"])
@pytest.mark.parametrize("forms", ["stacked", "measured"])
def test_only_columns_that_are_equal_are_stacked(name, forms):
    """What is not stacked computes as before, and was not touched; the other is, and comes back."""
    torch.manual_seed(0)
    columns = DIFFERENT.get(name, lambda: (column(), column()))()
    channels = [[3, 8] if name == "without_weights" else [8, 8]] * 2
    mixer = Apart if name == "without_weights" else CollaborativeBlock
    net = Network(mtfl_tasks(32)[:2], columns, channels, mixer).double()
    twin = copy.deepcopy(net)
    places = [p.data_ptr() for p in twin.parameters()]
    found = fast.apply(twin, forms, {"together": "0 1"})
    assert found == ("fast" if forms == "stacked" and name != "equal" else forms)
    assert (type(twin) is StackedNetwork) == (name == "equal")
    if name != "equal":
        assert [p.data_ptr() for p in twin.parameters()] == places
    images = torch.randn(6, 3, 32, 32, dtype=torch.double)
    for _ in range(2):
        for logits, expected in zip(twin(images).values(), net(images).values(), strict=True):
            torch.testing.assert_close(logits, expected, atol=1e-10, rtol=0)
    assert fast.apply(twin, "plain") == "plain"
    assert type(twin) is Network
    for one in (net, twin):
        sum(y.sum() for y in one(images).values()).backward()
    for p, q in zip(twin.parameters(), net.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad, atol=1e-9, rtol=0)
    for b, c in zip(twin.buffers(), net.buffers(), strict=True):
        torch.testing.assert_close(b, c, atol=1e-10, rtol=0)


@pytest.mark.parametrize("size", [32, 48])
def test_columns_are_stacked_in_mixed_precision_too(size):
    """From the first block on; as near to single precision as the plain form in mixed precision."""
    net = make("DCNet", size=size)
    twin, images = in_forms(net, "stacked"), torch.randn(8, 3, size, size)
    exact = net(images)["landmarks"].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, found = (n(images)["landmarks"].float() for n in (net, twin))
    found.square().mean().backward()
    assert all(p.grad is not None for p in twin.columns[0].parameters())
    assert (found - exact).norm() < 2 * (plain - exact).norm()


def test_stacked_parameters_are_those_of_the_columns():
    """Loading, stepping and saving go through the columns' own parameters and buffers."""
    net, other = make("DCNet"), make("DCNet")
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.01)
    twin = in_forms(net, "stacked")
    twin.load_state_dict(other.state_dict())
    images = torch.randn(4, 3, 48, 48)
    expected = other.eval()(images)["landmarks"]
    torch.testing.assert_close(twin.eval()(images)["landmarks"], expected, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        twin.columns[2][0][0].weight.zero_()
    assert not torch.allclose(twin(images)["smile"], other(images)["smile"])
    assert list(twin.state_dict()) == list(other.state_dict())


def test_gradients_add_up_until_they_are_cleared():
    twin = in_forms(make("XS"), "stacked")
    images = torch.randn(4, 3, 48, 48)
    once, twice = [], []
    for found in (once, twice):
        twin.eval()(images)["landmarks"].sum().backward()
        found += [p.grad.clone() for p in twin.columns.parameters()]
    for one, two in zip(once, twice, strict=True):
        torch.testing.assert_close(two, 2 * one, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 3), (3, 3), (4, 3), (4, 4), (5, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_tiny_convolutions_side_by_side_and_with_a_stride(size, stride):
    """Two groups, each with its own kernels; the third way of computing is torch's."""
    torch.manual_seed(0)
    x = torch.randn(3, 2 * 5, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2 * 4, 5, 3, 3, dtype=torch.double, requires_grad=True)
    expected = functional.conv2d(x, weight, padding=1, stride=stride, groups=2)
    found = convolve(x, weight, 2, stride)
    torch.testing.assert_close(found, expected)
    above = torch.randn_like(expected)
    gradients = [torch.autograd.grad(y, (x, weight), above) for y in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("forms", "stride", "sizes"),
    [
        ("fast", 1, {(1, 2): True, (2, 1): True, (2, 2): True, (3, 3): False}),
        ("winograd", 2, {(3, 3): True, (4, 4): True, (5, 5): False}),
    ],
)
def test_tiny_maps_are_convolved_by_matrices(forms, stride, sizes):
    layer = nn.Conv2d(96, 100, 3, stride=stride, padding=1, bias=False).double()
    quick = in_forms(nn.Sequential(layer), forms)[0]
    for size, matrices in sizes.items():
        x = torch.randn(2, 96, *size, dtype=torch.double)
        y = quick(x)
        assert ("TinyConvolution" in type(y.grad_fn).__name__) == matrices
        torch.testing.assert_close(y, layer(x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(128, 128, 3, padding=1),  # a bias
        nn.Conv2d(128, 128, 3, padding=1, bias=False, groups=2),
        nn.Conv2d(128, 128, 3, padding=1, bias=False, padding_mode="circular"),
        nn.Conv2d(128, 128, 3, padding=2, bias=False, dilation=2),
        nn.Conv2d(128, 128, 3, padding=1, bias=False, stride=2),
        nn.Conv2d(128, 128, 1, bias=False),
    ],
    ids=["bias", "groups", "circular", "dilation", "stride", "1x1"],
)
def test_other_convolutions_stay_as_they_are(layer):
    x = torch.randn(2, 128, 2, 2)
    assert torch.equal(in_forms(nn.Sequential(layer))(x), layer(x))


def test_convolutions_take_their_input_by_its_name():
    layer, x = nn.Conv2d(8, 8, 3, padding=1, bias=False), torch.randn(2, 8, 4, 4)
    expected = layer(input=x)
    torch.testing.assert_close(in_forms(nn.Sequential(layer))[0](input=x), expected)


@pytest.mark.parametrize("change", [copy.deepcopy, nn.Module.double])
def test_a_stacked_network_that_was_copied_or_converted_needs_forms_again(change):
    net, images = make("DCNet").eval(), torch.randn(2, 3, 48, 48)
    assert fast.apply(net, "stacked") == "stacked"
    net(images)
    changed = change(net)
    images = images.to(next(changed.parameters()))
    with pytest.raises(RuntimeError, match="forms again"):
        changed(images)
    assert fast.apply(changed, "stacked") == "stacked"
    expected = copy.deepcopy(changed)
    fast.apply(expected, "plain")
    for name, logits in expected(images).items():
        torch.testing.assert_close(changed(images)[name], logits)


def test_names_and_parameters_stay_and_plain_comes_back():
    net = make("DCNet")
    before = {name: p.data_ptr() for name, p in net.named_parameters()}
    classes = [(type(m), getattr(m, "inplace", None)) for m in net.modules()]
    fast.apply(net, "fast")
    assert {name: p.data_ptr() for name, p in net.named_parameters()} == before
    assert {type(m) for m in net.modules()} & set(PLAIN)
    fast.apply(net, "winograd")
    assert {name: p.data_ptr() for name, p in net.named_parameters()} == before
    conv = net.columns[0][1][0].conv1
    assert type(conv) is FastConv2d
    assert conv.ways is TABLES["winograd"]
    fast.apply(net, "plain")
    assert [(type(m), getattr(m, "inplace", None)) for m in net.modules()] == classes


def test_columns_of_other_sizes_are_joined_as_by_the_plain_block():
    block = CollaborativeBlock([6, 10]).double()
    maps = [torch.randn(2, 6, 8, 8).double(), torch.randn(2, 10, 4, 4).double()]
    for found, expected in zip(in_forms(block)(maps), block(maps), strict=True):
        torch.testing.assert_close(found, expected)


def test_what_is_chosen_and_what_overrides_it(monkeypatch):
    monkeypatch.delenv("DCLIB_EXECUTION")
    cpu = fast.choose(torch.device("cpu"))
    assert (cpu["device"], cpu["precision"], cpu["forms"]) == ("cpu", "fp32", "measured")
    for width, resolution, forms in (
        (1, 64, "winograd"),
        (0.25, 48, "stacked"),
        (0.5, 32, "stacked"),
    ):
        how = fast.choose(torch.device("cpu"), width, resolution, "bf16")
        assert how["forms"] == forms
    cuda = fast.choose(torch.device("cuda"))
    assert (cuda["precision"], cuda["forms"]) == ("bf16", "stacked")
    assert cpu["optimiser"] == cuda["optimiser"] == "fused"
    monkeypatch.setenv("DCLIB_EXECUTION", "forms=plain,compile=yes,optimiser=plain")
    assert fast.choose(torch.device("cpu")) == cpu | {
        **{"forms": "plain", "compile": "yes", "optimiser": "plain"}
    }
    for wrong in ("forms=quick", "precision=bf16", "forms"):  # a precision is the experiment's
        monkeypatch.setenv("DCLIB_EXECUTION", wrong)
        with pytest.raises(RunError, match=rf"'{wrong}' is no setting.*plain or fast"):
            fast.choose(torch.device("cpu"))


@pytest.mark.parametrize("method", ["DCNet", "RN"])
def test_forms_are_measured_once_and_computed_as_the_record_says(method, tmp_path, monkeypatch):
    """Equal to the bit from a record, which is small; measuring leaves network and draws alone."""
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path))
    monkeypatch.delenv("DCLIB_EXECUTION")
    timed = []
    slowest = lambda steps: timed.append(steps) or list(steps)[-1]  # noqa: E731
    monkeypatch.setattr("dclib.fast.ways.fastest", slowest)
    images = torch.randn(4, 3, 48, 48)
    first, again, third = (make(method) for _ in range(3))
    state, weights = torch.get_rng_state(), copy.deepcopy(first.state_dict())
    how = fast.choose(torch.device("cpu"))
    found = fast.settle(first, how, 4, 48)
    assert torch.equal(torch.get_rng_state(), state)
    for name, values in first.state_dict().items():
        assert torch.equal(values, weights[name])
    assert found["forms"] == "measured"
    assert len(json.dumps(found)) < 1000
    assert ("together" in found["ways"]) == (method == "DCNet")
    count = len(timed)
    assert count > 5
    assert fast.settle(again, how, 4, 48) == found
    assert len(timed) == count
    monkeypatch.setattr("dclib.fast.ways.Measured.find", None)  # a record is enough
    record = fast.recorded(how | found | {"torch": "2.0"})
    assert fast.settle(third, record, 4, 48) == found
    results = [trained_once(net, images) for net in (first, again, third)]
    for name, values in results[0].items():
        assert all(torch.equal(other[name], values) for other in results[1:]), name


def test_the_fastest_is_the_plain_one_unless_another_gains(monkeypatch):
    """By a clock that tells what each step takes."""
    now = [0.0]
    monkeypatch.setattr("dclib.fast.ways.time.perf_counter", lambda: now[0])

    def step(seconds: float):
        return lambda: now.__setitem__(0, now[0] + seconds)

    for other, expected in ((0.5, "b"), (0.99, "a"), (5.0, "a")):
        assert fastest({"a": step(1.0), "b": step(other)}) == expected


def test_records_without_a_setting_were_made_without_it():
    old = {"device": "cpu", "threads": 1, "precision": "fp32", "layout": "channels_last"}
    without = {"forms": "plain", "optimiser": "plain", "compile": "no"}
    assert fast.recorded(old) == old | without
    new = fast.choose(torch.device("cpu"))
    assert fast.recorded(new | {"torch": "2.0"}) == new


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("tasks", [1, 3, 5])
def test_combinations_are_einstein_sums(per_channel, tasks):
    """Values and all gradients, as PyTorch finds them for sum_s alpha_ts * x_s."""
    torch.manual_seed(tasks)
    unit = CrossStitch([4] * tasks, per_channel).double()
    nn.init.normal_(unit.alpha)
    maps = [torch.randn(3, 4, 5, 2, dtype=torch.double, requires_grad=True) for _ in range(tasks)]
    alpha = unit.alpha.detach().clone().requires_grad_()
    whole = alpha.expand(-1, -1, 4)
    expected = torch.einsum("tsc,sbchw->tbchw", whole, torch.stack(maps))
    found = in_forms(nn.Sequential(unit), "winograd")[0]
    assert isinstance(found, FastCrossStitch)
    values = torch.stack(found(maps))
    torch.testing.assert_close(values, expected)
    above = torch.randn_like(values)
    ours = torch.autograd.grad(values, [found.alpha, *maps], above)
    theirs = torch.autograd.grad(expected, [alpha, *maps], above)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="choose from"):
        fast.apply(nn.Sequential(), "faster")
