"""What every method of the registry must do, on every kind of underlying network.

A new method is tested here from the moment it has its line in `METHODS`; what is particular to it
is tested in a file of its own.
"""

import copy
import functools
import re

import pytest
import torch
from torch import Tensor, nn

from dclib import METHODS, build, count_parameters, mtfl_tasks, paths
from dclib.methods.relationship import EVERY
from dclib.network import Network
from dclib.splitting.series import split
from dclib.study.plans import presets
from dclib.tasks import Angle, Classes, Landmarks

SIZE = 64
TASKS = mtfl_tasks(SIZE)[:3]


class Toy(nn.Module):
    """A stranger's CNN: three resolutions, a residual sum and a classifier of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.same = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.last = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 20, 3, padding=1))
        self.classifier = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.entry(x))
        x = self.last(self.down(x + self.same(x)))
        return self.classifier(x.mean(dim=(2, 3)))


@functools.cache
def cut() -> nn.ModuleList:
    with torch.random.fork_rng(devices=[]):  # what is drawn later stays the same
        return split(Toy(), SIZE).blocks


def toy() -> nn.ModuleList:
    """Its blocks, with weights of their own."""
    blocks = copy.deepcopy(cut())
    for module in blocks.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return blocks


UNDERLYING = {"resnet18": "resnet18", "alexnet": "alexnet", "toy": toy}


def networks(method: str) -> list[str]:
    """What a method is not excluded from."""
    chosen = METHODS[method]
    # an own CNN has no width multiplier, so nothing can be widened
    free = [u for u in UNDERLYING if not (chosen.widened and u == "toy")]
    return [chosen.underlying] if chosen.underlying else free


BOTH = ("method", "underlying")
CASES = pytest.mark.parametrize(BOTH, [(m, u) for m in METHODS for u in networks(m)])
AGAIN = ("RN-stop", "AN-stop", "AN-S", "DCNet-identity")  # these have the layers of another one
# for what does not depend on the network below
ONCE = pytest.mark.parametrize(BOTH, [(m, networks(m)[-1]) for m in METHODS])


def make(method: str, underlying: str, tasks=None, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build(
        method,
        tasks=tasks or TASKS,
        underlying=UNDERLYING.get(underlying, underlying),
        resolution=SIZE,
        width=1.0 if underlying == "toy" else 0.125,
    )


made = functools.cache(make)  # for tests that change nothing of it


def loss_of(net: Network, trained: tuple[str, ...] | None = None) -> Tensor:
    """All tasks, or those of a stage, and what the method adds: on the same faces each time."""
    torch.manual_seed(3)
    images, labels = torch.randn(8, 3, SIZE, SIZE), torch.arange(8) % 2
    truth = {"landmarks": torch.rand(8, 5, 2) * SIZE, "yaw": labels * 40.0 - 20.0}
    features = net.features(images)
    logits = net.logits(features)
    penalty = net.penalty(features)
    total = torch.zeros(()) if penalty is None else penalty
    for task in net.tasks:
        if trained is None or task.name in trained:
            target = task.encode(truth.get(task.name, labels))
            total = total + task.loss(logits[task.name], target)
    return total


@CASES
def test_shapes(method, underlying):
    net = made(method, underlying).eval()
    expected = {task.name: (4, task.outputs) for task in net.tasks}
    expected["landmarks"] = (4, 5, 2, SIZE)
    logits = net(torch.randn(4, 3, SIZE, SIZE))
    assert {name: tuple(values.shape) for name, values in logits.items()} == expected
    main_only = METHODS[method].main_only
    assert list(logits) == [task.name for task in TASKS[: 1 if main_only else None]]


@CASES
def test_the_loss_is_finite_and_moves_every_parameter(method, underlying):
    """In one of the stages of its training at least, where it has several."""
    net = make(method, underlying)
    reached = set()
    stages = [*range(net.stages)] * (
        2 if METHODS[method].ablates else 1
    )  # zeros hide what is behind
    for stage in stages:
        trained = net.enter(stage)
        net.train()
        net.zero_grad()
        loss = loss_of(net, trained)
        assert torch.isfinite(loss)
        loss.backward()
        reached |= {n for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
        torch.optim.SGD(net.parameters(), lr=0.1).step()
    assert {n for n, _ in net.named_parameters()} - reached == set()


@ONCE
def test_seed_and_weights_determine_it(method, underlying):
    first = made(method, underlying).eval()
    again, other = (make(method, underlying, seed=s).eval() for s in (0, 1))
    images = torch.randn(2, 3, SIZE, SIZE)
    expected = first(images)
    for name, values in again(images).items():
        assert torch.equal(values, expected[name])
    assert not torch.equal(other(images)["landmarks"], expected["landmarks"])
    other.load_state_dict(first.state_dict())
    for name, values in other(images).items():
        assert torch.equal(values, expected[name])


@ONCE
def test_a_face_is_judged_alone(method, underlying):
    """In evaluation no face of a batch influences another."""
    net = copy.deepcopy(made(method, underlying)).double().eval()
    images = torch.randn(3, 3, SIZE, SIZE, dtype=torch.double)
    together = net(images)
    for k in range(3):
        for name, values in net(images[k : k + 1]).items():
            torch.testing.assert_close(values[0], together[name][k], atol=1e-9, rtol=1e-9)


@CASES
def test_parameters_are_counted_without_their_memory(method, underlying):
    """The count on the meta device, which widening uses, is that of the real network."""
    net = made(method, underlying)
    with torch.device("meta"):
        assert count_parameters(make(method, underlying)) == count_parameters(net)
    columns = {id(p) for p in net.columns.parameters()}
    assert sum(p.numel() for p in net.columns.parameters()) < count_parameters(net)
    assert len(columns) == sum(len(list(column.parameters())) for column in net.columns)


@ONCE
def test_tasks_may_be_others(method, underlying):
    """A label in front and an angle behind: nothing is tied to faces with landmarks."""
    tasks = (Classes("species", 3), Landmarks(SIZE, points=5), Angle("yaw"))
    net = make(method, underlying, tasks=tasks)
    logits = net(torch.randn(4, 3, SIZE, SIZE))
    shapes = {"species": (4, 3), "landmarks": (4, 5, 2, SIZE), "yaw": (4, 6)}
    assert {n: tuple(v.shape) for n, v in logits.items()} == {n: shapes[n] for n in logits}
    net.train()
    assert torch.isfinite(loss_of(net))


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if not m.widened])
def test_one_task_is_enough(method):
    net = make(method, METHODS[method].underlying or "resnet18", tasks=TASKS[:1])
    assert torch.isfinite(loss_of(net))


@ONCE
def test_training_lowers_the_loss(method, underlying):
    """Ten steps on eight pictures, with the whole network trained at once."""
    net = make(method, underlying, mtfl_tasks(SIZE))
    net.train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    values = []
    for _ in range(10):
        loss = loss_of(net)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.97 * values[0]  # little where nothing is normalised


def test_sources_are_in_the_bibliography():
    bibliography = (paths.root() / "book" / "references.bib").read_text()
    known = set(re.findall(r"^@\w+\{([^,]+),", bibliography, flags=re.MULTILINE))
    assert {method.source for method in METHODS.values()} <= known


def test_titles_tell_methods_apart():
    titles = [(m.title, m.underlying) for m in METHODS.values()]
    assert len(set(titles)) == len(titles)


def test_the_example_of_the_book_is_a_method(monkeypatch):
    """The file that the page on extensions shows works as it stands there."""
    page = (paths.root() / "book" / "extend.md").read_text()
    code = re.search(r"```python\n(\"\"\"Every.*?)```", page, flags=re.DOTALL)
    assert code
    module: dict[str, object] = {}
    exec(code[1], module)
    monkeypatch.setitem(METHODS, "mean", module["METHOD"])
    net = make("mean", "toy").eval()
    first, *others = list(net.depths(torch.randn(2, 3, SIZE, SIZE)))[-1]
    assert all(torch.equal(first, other) for other in others)
    assert count_parameters(net.mixers) == 0


def test_blocks_started_at_identity_pass_on_what_they_get():
    block = METHODS["DCNet-identity"].mixer([8, 8])
    maps = [torch.rand(2, 8, 6, 6), torch.rand(2, 8, 6, 6)]  # behind a ReLU, as in a column
    for x, y in zip(maps, block(maps), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if m.penalty])
def test_a_penalty_is_felt_at_its_default_weight(method):
    """Its gradient is at least a tenth of weight decay's on the weights that it acts on.

    At the start; of a prior that is learned, from its first estimate on, as its file says.
    """
    net = make(method, "resnet18").train()
    images = torch.randn(8, 3, SIZE, SIZE)
    for _ in range(EVERY - 1 if method == "DRN" else 0):
        net.penalty([])
    net.penalty(net.features(images)).backward()
    reached = [p for p in net.parameters() if p.grad is not None and p.grad.any()]
    drawn = torch.cat([p.grad.flatten() for p in reached]).norm()
    decayed = torch.cat([p.detach().flatten() for p in reached]).norm()
    decay = presets.PRESETS["cpu"].settings["weight_decay"]
    assert METHODS[method].penalty * drawn >= 0.1 * decay * decayed
