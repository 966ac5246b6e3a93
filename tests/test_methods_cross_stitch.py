"""Cross-Stitch from single-task nets: apart first, then joined (Misra et al. recommend it)."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from dclib import build
from dclib.fast import choose
from dclib.study import plans
from dclib.tasks import Classes
from dclib.training.loop import Run, train
from dclib.training.optimiser import make_optimiser

CPU = choose(torch.device("cpu"))
TASKS = (Classes("main", 3), Classes("other", 2))


def make():
    torch.manual_seed(0)
    return build("XS-single", tasks=TASKS, resolution=32, width=0.125)


def test_apart_each_column_is_a_single_task_network():
    """The same weights in networks of one task each give the same logits, to the bit."""
    net = make()
    images = torch.randn(4, 3, 32, 32)
    assert net.enter(0) == ("main", "other")
    for t, task in enumerate(TASKS):
        alone = build("RN-S", tasks=(task,), resolution=32, width=0.125)
        alone.columns[0].load_state_dict(net.columns[t].state_dict())
        alone.heads[0].load_state_dict(net.heads[t].state_dict())
        for mode in (True, False):
            one, other = (copy.deepcopy(n).train(mode)(images) for n in (net, alone))
            assert torch.equal(one[task.name], other[task.name])


def test_joined_it_is_cross_stitch():
    net = make().eval()
    images = torch.randn(2, 3, 32, 32)
    net.enter(1)
    torch.manual_seed(0)
    plain = build("XS", tasks=TASKS, resolution=32, width=0.125).eval()
    for name, logits in plain(images).items():
        assert torch.equal(net(images)[name], logits)
    net.mixers[0].alpha.data.copy_(torch.eye(2)[:, :, None].expand(-1, -1, 8))
    assert not torch.equal(net(images)["main"], plain(images)["main"])


@pytest.mark.parametrize(("stage", "learns"), [(0, False), (1, True)])
def test_units_learn_only_when_joined(stage, learns):
    net = make()
    net.enter(stage)
    experiment = plans.experiment("smoke", "XS-single", lr=0.1)
    optimiser = make_optimiser(experiment, net)
    before = [mixer.alpha.detach().clone() for mixer in net.mixers]
    logits = net(torch.randn(4, 3, 32, 32))
    sum(cross_entropy(x, torch.arange(4) % 2) for x in logits.values()).backward()
    optimiser.step()
    for mixer, alpha in zip(net.mixers, before, strict=True):
        assert (mixer.alpha.grad is not None) == learns
        assert torch.equal(mixer.alpha, alpha) != learns


def test_the_second_stage_begins_where_the_first_ended_with_a_new_optimiser():
    run = Run(tiny(), CPU)
    for _ in range(2):
        run.history.append(run.epoch())
    ended, used = copy.deepcopy(run.net.state_dict()), run.optimiser
    assert used.state
    assert run.net.apart
    seen = {}

    def look(*_):
        seen.setdefault("weights", copy.deepcopy(run.net.state_dict()))
        seen.setdefault("optimiser", run.optimiser)
        return {"landmarks": 1.0}

    run.step = look
    run.epoch()
    assert not run.net.apart
    assert seen["optimiser"] is not used
    assert not seen["optimiser"].state
    assert all(torch.equal(ended[key], now) for key, now in seen["weights"].items())


def test_a_run_has_the_epochs_of_both_stages(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_STORE", str(tmp_path))
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    record = train(tiny())
    assert [row["epoch"] for row in record.history] == [0, 1, 2, 3]
    rates = [row["lr"] for row in record.history]
    assert rates[:2] == rates[2:]


def tiny():
    return plans.experiment("smoke", "XS-single", train_faces=32, batch=16, epochs=2, lr=0.1)
