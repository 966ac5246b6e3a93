"""Progressive networks: what is learned first is never touched again."""

import copy

import pytest
import torch
from interrupted import Interruption, assert_same_bits, interrupt_after
from torch import nn
from torch.nn.functional import cross_entropy

from dclib import build
from dclib.fast import choose
from dclib.methods.progressive import Laterals
from dclib.study import plans
from dclib.tasks import Classes
from dclib.training.loop import Run, train
from dclib.training.optimiser import make_optimiser

CPU = choose(torch.device("cpu"))
TASKS = (Classes("main", 3), Classes("first", 2), Classes("second", 4))


def make(tasks=TASKS, width=0.125):
    torch.manual_seed(0)
    return build("Progressive", tasks=tasks, resolution=32, width=width)


def constant(*values: float) -> list[torch.Tensor]:
    return [torch.full((1, 1, 1, 1), v) for v in values]


def test_three_maps_by_hand():
    """C = 1: the second takes 2 ReLU(3 * 0.01 x_1); the third 4 ReLU(0.01 (x_2 - x_1)).

    With one adapter for each earlier column the third would take something of x_2 = 1.
    """
    mixer = Laterals([1, 1, 1])
    for k, v, u in ((1, [3.0], 2.0), (2, [-1.0, 1.0], 4.0)):
        mixer.into[k].reduce.weight.data[0, :, 0, 0] = torch.tensor(v)
        mixer.into[k].give.weight.data.fill_(u)
    y = mixer(constant(10, -1, 7))
    # -1 + 0.6 stays below zero and is cut; the third takes the second as its block gave it
    assert [v.item() for v in y] == pytest.approx([10, 0, 7])
    y = mixer(constant(10, 1, 7))
    assert [v.item() for v in y] == pytest.approx([10, 1.6, 7])
    y = mixer(constant(10, 12, 7))
    assert [v.item() for v in y] == pytest.approx([10, 12.6, 7.08])


def test_it_is_the_formula_with_any_weights():
    torch.manual_seed(0)
    mixer = Laterals([4, 6, 5]).double()
    for parameter in mixer.parameters():
        nn.init.normal_(parameter)
    maps = [torch.randn(2, c, 3, 3, dtype=torch.double) for c in (4, 6, 5)]
    y = mixer(maps)
    assert torch.equal(y[0], maps[0])
    for k in (1, 2):
        into = mixer.into[k]
        v, u = (w.weight.detach()[:, :, 0, 0] for w in (into.reduce, into.give))
        earlier = torch.cat([into.scale[j] * maps[j] for j in range(k)], dim=1)
        hidden = torch.einsum("rc,bchw->brhw", v, earlier).clamp(min=0)
        total = maps[k] + torch.einsum("or,brhw->bohw", u, hidden)
        torch.testing.assert_close(y[k], total.clamp(min=0))


def test_columns_may_differ_in_size():
    """By hand: a lateral that passes everything on gives the mean, or the pixel to each place."""
    mixer = Laterals([1, 1])
    for parameter in mixer.parameters():
        nn.init.ones_(parameter)
    square, dot = torch.tensor([[1.0, 2], [3, 6]]).view(1, 1, 2, 2), torch.full((1, 1, 1, 1), 10.0)
    assert mixer([square, dot])[1].item() == pytest.approx(10 + 3)
    assert mixer([dot, square])[1].flatten().tolist() == pytest.approx([11, 12, 13, 16])


def test_laterals_begin_small_and_reduce():
    """All earlier columns together are led to as many maps as the column has, the original's."""
    mixer = Laterals([64, 64, 32])
    assert not list(mixer.into[0].parameters())
    for k, count in ((1, 64), (2, 32)):
        assert mixer.into[k].scale.tolist() == pytest.approx([0.01] * k)
        shapes = [tuple(w.weight.shape) for w in (mixer.into[k].reduce, mixer.into[k].give)]
        assert shapes == [(count, 64 * k, 1, 1), (count, count, 1, 1)]


def test_the_main_task_comes_last():
    net = make()
    assert net.stages == 3
    assert [net.enter(stage) for stage in range(3)] == [("first",), ("second",), ("main",)]


def test_nothing_of_a_column_depends_on_later_ones():
    net = make().eval()
    images = torch.randn(2, 3, 32, 32)
    before = net(images)
    for parameter in net.parts(2) + net.parts(1):
        for p in parameter.parameters():
            p.data.mul_(3.0)
    after = net(images)
    assert torch.equal(after["first"], before["first"])
    assert not torch.equal(after["second"], before["second"])
    assert not torch.equal(after["main"], before["main"])


def test_the_first_column_is_a_network_of_its_own():
    """Its logits are those of its blocks and its head, with no mixer; it is at stage 0 already."""
    net = make()
    images = torch.randn(2, 3, 32, 32)
    alone = nn.Sequential(*copy.deepcopy(net.columns[1]), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    expected = copy.deepcopy(net.heads[1])(alone(images))
    net.enter(0)
    net.train()
    assert torch.equal(net.logits(net.features(images))["first"], expected)


def test_only_what_is_reached_is_computed_in_training():
    net = make()
    images = torch.randn(2, 3, 32, 32)
    for stage, names in enumerate((["first"], ["first", "second"], ["main", "first", "second"])):
        net.enter(stage)
        net.train()
        assert list(net(images)) == names
        assert [len(maps) for maps in net.depths(images)] == [stage + 1] * 5
        net.eval()
        assert list(net(images)) == ["main", "first", "second"]


def test_finished_columns_are_frozen_to_the_bit():
    """Steps of later stages, weight decay and all, leave parameters, statistics and outputs."""
    net = make()
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 2
    kept = {}
    for stage in range(3):
        (name,) = net.enter(stage)
        optimiser = make_optimiser(plans.experiment("smoke", "Progressive", lr=0.1), net)
        for _ in range(2):
            net.train()
            optimiser.zero_grad()
            cross_entropy(net(images)[name], labels).backward()
            optimiser.step()
        net.eval()
        for earlier, (states, outputs) in kept.items():
            for part, before in zip(net.parts(earlier), states, strict=True):
                assert all(torch.equal(before[key], now) for key, now in part.state_dict().items())
            assert torch.equal(net(images)[net.tasks[net.order[earlier]].name], outputs)
        states = [copy.deepcopy(part.state_dict()) for part in net.parts(stage)]
        assert any("running_mean" in key for key in states[0])
        kept[stage] = states, net(images)[name].detach()


def test_gradients_of_finished_columns_are_none():
    net = make()
    images = torch.randn(4, 3, 32, 32)
    net.enter(1)
    net.train()
    net(images)["second"].sum().backward()
    done, own = ([p.grad for part in net.parts(s) for p in part.parameters()] for s in (0, 1))
    assert done
    assert all(gradient is None for gradient in done)
    assert all(gradient is not None for gradient in own)


def test_before_training_every_parameter_counts():
    net = make()
    assert all(p.requires_grad for p in net.parameters())
    total = sum(p.numel() for p in net.parameters())
    parts = sum(p.numel() for s in range(3) for part in net.parts(s) for p in part.parameters())
    assert parts == total


def test_one_task_is_its_column_alone():
    net = make(tasks=TASKS[:1])
    assert net.stages == 1
    assert [p for p in net.mixers.parameters()] == []
    assert net.enter(0) == ("main",)


# Training in sequence, as the trainer does it.


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "store"


def tiny(method="Progressive", **changes):
    settings = {"train_faces": 32, "batch": 16, "epochs": 2, "lr": 0.1} | changes
    return plans.experiment("smoke", method, **settings)


def test_a_run_goes_through_all_epochs_in_each_stage_and_resumes_within(store, monkeypatch):
    experiment = tiny()
    whole = train(experiment)
    order = ["gender", "smile", "glasses", "profile", "landmarks"]
    assert [row["epoch"] for row in whole.history] == list(range(10))
    losses = [[k for k in row if k.startswith("loss.")] for row in whole.history]
    assert losses == [[f"loss.{name}"] for name in order for _ in range(2)]
    rates = [row["lr"] for row in whole.history]
    assert rates == rates[:2] * 5
    monkeypatch.setenv("DCLIB_STORE", str(store.with_name("other")))
    for epochs in (3, 4, 9):  # within the second stage, at its end, within the last
        with pytest.raises(Interruption):
            train(experiment, interrupt_after(epochs))
    resumed = train(experiment)
    assert_same_bits(resumed, whole)


def test_the_main_column_sees_the_faces_of_a_single_task_run():
    seen = {}
    for method, stages in (("Progressive", 5), ("RN-S", 1)):
        run = Run(tiny(method, batch=8), CPU)
        kept = seen.setdefault(method, [])
        run.step = lambda images, *_, kept=kept: kept.append(images) or {"landmarks": 1.0}
        for _ in range(stages * 2):
            run.history.append(run.epoch())
    main = seen["Progressive"][-len(seen["RN-S"]) :]
    assert len(main) == 2 * 4
    assert all(torch.equal(a, b) for a, b in zip(main, seen["RN-S"], strict=True))
    assert not torch.equal(main[0], main[4])  # another epoch, another order
