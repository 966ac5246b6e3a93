"""TCDCN: its layers, and the rule by which tasks stop, against values worked by hand."""

import numpy as np
import pytest
import torch
from interrupted import Interruption, assert_same_bits, interrupt_after
from torch.nn import functional

from dclib import build, count_parameters, mtfl_tasks
from dclib.methods import tcdcn
from dclib.methods.tcdcn import stopped, stopping_score
from dclib.study import plans
from dclib.tasks import Classes, Landmarks
from dclib.training.loop import Run, train
from dclib.underlying import AbsoluteTanh, SmallGrey

NAMES = ("landmarks", "gender", "smile", "glasses", "profile")


def test_parameters_are_the_originals():
    """With ten regressed coordinates, which here are ten axes of one bin."""
    classes = [Classes(name, n) for name, n in zip(NAMES[1:], (2, 2, 2, 5), strict=True)]
    net = build("TCDCN", tasks=(Landmarks(1), *classes))
    convolutions = (
        (5 * 5 * 1 * 16 + 16)
        + (3 * 3 * 16 * 48 + 48)
        + (3 * 3 * 48 * 64 + 64)
        + (2 * 2 * 64 * 64 + 64)
    )
    full, heads = 2 * 2 * 64 * 100 + 100, 100 * (10 + 2 + 2 + 2 + 5) + 21
    assert count_parameters(net.columns) == convolutions
    assert count_parameters(net) == convolutions + full + heads == 79_357


@pytest.mark.parametrize("resolution", [16, 40, 64, 112])
def test_sizes_are_the_originals_at_any_input(resolution):
    net = build("TCDCN", tasks=mtfl_tasks(64))
    x, found = torch.randn(2, 3, resolution, resolution), []
    for block in net.columns[0]:
        for layer in block:
            x = layer(x)
            found.append(x.shape[-1])
    assert list(dict.fromkeys(found)) == [40, 36, 18, 16, 8, 6, 3, 2]


def absolute_tanh(x: torch.Tensor) -> torch.Tensor:
    decay = (-2 * x.abs()).exp()
    return (1 - decay) / (1 + decay)


def test_is_its_layers_written_out():
    net = build("TCDCN", tasks=mtfl_tasks(64), width=0.5).double()
    images = torch.randn(3, 3, 40, 40, dtype=torch.double)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.double)
    x = torch.einsum("bchw,c->bhw", images, luma)[:, None]
    first, second, third, fourth = net.columns[0]
    for conv, pooled in ((first[1], True), (second[0], True), (third[0], True), (fourth[0], False)):
        x = absolute_tanh(functional.conv2d(x, conv.weight, conv.bias))
        if pooled:
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(-1, -2))
    full = net.shared[0]
    shared = absolute_tanh(x.flatten(1) @ full.weight.T + full.bias)
    assert shared.shape == (3, 50)
    logits = net(images)
    for name, head in zip(NAMES, net.heads, strict=True):
        expected = shared @ head.weight.T + head.bias
        torch.testing.assert_close(logits[name].flatten(1), expected, atol=1e-9, rtol=1e-9)


def test_activation_by_hand():
    x = torch.tensor([-1.0, 0.0, 2.0])
    assert AbsoluteTanh()(x).tolist() == pytest.approx([0.76159, 0.0, 0.96403], abs=1e-5)


def test_grey_images_stay_as_they_are():
    grey = torch.rand(2, 1, 40, 40)
    torch.testing.assert_close(SmallGrey()(grey.expand(2, 3, 40, 40)), grey)
    red = torch.zeros(1, 3, 80, 100)
    red[:, 0] = 1
    torch.testing.assert_close(SmallGrey()(red), torch.full((1, 1, 40, 40), 0.299))


def test_halving_averages_so_that_no_pixel_is_lost():
    image = torch.zeros(1, 3, 80, 80)
    image[0, :, 41, 41] = 4.0
    assert SmallGrey()(image).sum().item() == pytest.approx(1.0, abs=1e-4)


def test_the_name_stands_for_its_own_network():
    assert count_parameters(build("TCDCN", tasks=mtfl_tasks(64), width=0.125)) < 20_000
    with pytest.raises(ValueError, match="tcdcn"):
        build("TCDCN", tasks=mtfl_tasks(64), underlying="resnet18")


# The rule


def test_score_is_the_formula_on_any_sequence():
    draws = np.random.default_rng(0)
    for _ in range(20):
        training, held_out = draws.uniform(0.5, 2, 12), draws.uniform(0.5, 2)
        k = 5
        med = np.median(training[-k - 1 :])
        denominator = max(sum(training[j] for j in range(12 - k - 1, 12)) - k * med, 1e-8)
        least = training.min()
        expected = k * med / denominator * (held_out - least) / least
        assert stopping_score(list(training), held_out) == pytest.approx(expected)


def test_score_sees_the_least_loss_of_all_epochs():
    plateau = [2.0] * 6
    assert stopping_score([0.5, *plateau], 1.0) == pytest.approx(5 * 1.0)
    assert stopping_score(plateau, 1.0) < 0  # better on held-out faces than in training


def test_denominators_are_clamped():
    assert stopping_score([0.0] * 6, 1.0) == 0  # nothing left to learn: the median is 0
    assert stopping_score([0.0, 3, 3, 3, 3, 3], 1.0) == pytest.approx(15e8 * 1e8)
    falls_then_stands = stopping_score([0.5, 3, 3, 3, 3, 3], 1.0)
    assert falls_then_stands == pytest.approx(15 / 0.5 * 0.5 / 0.5)


def history(**tasks: tuple[list[float], list[float]]) -> list[dict]:
    """Rows as the trainer writes them, from {task: (training losses, held-out losses)}."""
    epochs = len(next(iter(tasks.values()))[0])
    return [
        {"epoch": e, "lr": 0.1, "seconds": 1.0}
        | {f"loss.{name}": training[e] for name, (training, _) in tasks.items()}
        | {f"held_out.{name}": held_out[e] for name, (_, held_out) in tasks.items()}
        for e in range(epochs)
    ]


def test_a_task_that_stands_still_and_overfits_stops():
    """At epoch 5 smile scores 5 x 0.5; gender 5 x 0.1, which is below 1."""
    flat = [1.0] * 8
    rows = history(landmarks=(flat, [9.0] * 8), gender=(flat, [1.1] * 8), smile=(flat, [1.5] * 8))
    weights = dict.fromkeys(("landmarks", "gender", "smile"), 1.0)
    assert stopped(rows, weights) == {"smile"}
    for epochs in range(6):  # a window is six epochs
        assert stopped(rows[:epochs], weights) == set()
    assert stopped(rows[:6], weights) == {"smile"}


def test_what_weighs_more_in_the_loss_stops_later():
    """The score 5 x 0.5 of a plateau is divided by the weight: 2.5, 1, 10."""
    rows = history(landmarks=([1.0] * 6, [9.0] * 6), smile=([1.0] * 6, [1.5] * 6))
    assert stopping_score([1.0] * 6, 1.5, weight=0.25) == pytest.approx(10)
    ended = {w: stopped(rows, {"landmarks": 1.0, "smile": w}) for w in (0.25, 2.4, 2.6)}
    assert ended == {0.25: {"smile"}, 2.4: {"smile"}, 2.6: set()}
    assert stopped(rows, {"landmarks": 0.25, "smile": 2.6}) == set()  # its own, not another's
    assert stopped(rows, {"landmarks": 1.0, "smile": 0.0}) == {"smile"}  # and nothing is lost


def test_it_never_returns():
    """A bad sixth epoch is enough, however good the later ones are."""
    flat, recovered = [1.0] * 12, [1.0] * 5 + [1.5] + [0.5] * 6
    rows = history(landmarks=(flat, flat), smile=(flat, recovered))
    weights = {"landmarks": 1.0, "smile": 1.0}
    later = [stopped(rows[:epochs], weights) for epochs in range(6, 13)]
    assert later == [{"smile"}] * 7
    rows[5]["held_out.smile"] = 0.5
    assert stopped(rows, weights) == set()


def test_the_main_task_is_the_first_whichever_it_is():
    flat = [1.0] * 7
    rows = history(landmarks=(flat, [9.0] * 7), smile=(flat, [9.0] * 7))
    assert stopped(rows, {"landmarks": 1.0, "smile": 1.0}) == {"smile"}
    assert stopped(rows, {"smile": 1.0, "landmarks": 1.0}) == {"landmarks"}
    assert stopped(rows, {"smile": 1.0}) == set()


def test_a_task_that_still_learns_goes_on():
    """Halved in each epoch: 5 x 6 / (63 - 30) = 0.91, times a gap of 0.5."""
    falling = [32.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    rows = history(landmarks=(falling, falling), smile=(falling, [1.5] * 6))
    assert stopped(rows, {"landmarks": 1.0, "smile": 1.0}) == set()
    assert stopping_score(falling, 1.5) == pytest.approx(30 / 33 * 0.5)


# In training


@pytest.mark.parametrize("method", ["TCDCN", "RN-stop"])
def test_a_run_stops_tasks_and_resumes_to_the_same_bits(method, tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(tcdcn, "WINDOW", 2)
    monkeypatch.setattr(tcdcn, "THRESHOLD", -0.05)
    step, used = Run.step, []

    def watched(self, images, targets, weights):
        used.append((len(self.history), dict(weights)))
        return step(self, images, targets, weights)

    monkeypatch.setattr(Run, "step", watched)
    experiment = plans.experiment("smoke", method, train_faces=48, batch=16, epochs=6, lr=0.1)

    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "whole"))
    whole = train(experiment)
    first = used[0][1]  # per output: ten coordinates, four labels, and five tasks in all
    assert first == pytest.approx({n: (10 if n == "landmarks" else 1) * 5 / 14 for n in NAMES})
    ended = [stopped(whole.history[:epoch], first) for epoch in range(6)]
    assert ended[:3] == [set()] * 3
    assert ended[5]  # with the lowered threshold at least one task has stopped
    assert "landmarks" not in ended[5]
    for epoch, weights in used:
        assert {name for name, weight in weights.items() if weight == 0} == ended[epoch]
    assert {"held_out.smile", "loss.smile"} <= whole.history[-1].keys()

    monkeypatch.setenv("DCLIB_STORE", str(tmp_path / "resumed"))
    for epochs in (2, 4, 6):  # before and after a task stops
        with pytest.raises(Interruption):
            train(experiment, interrupt_after(epochs))
    resumed = train(experiment)
    assert_same_bits(resumed, whole)
