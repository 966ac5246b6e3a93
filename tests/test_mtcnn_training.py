"""Training of a stage: losses worked by hand, every sample in its turn, the same bits whatever."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupted import Interruption, interrupt_after
from torch import Tensor

from dclib.errors import RunError
from dclib.mtcnn.losses import WEIGHTS, accuracy, landmark_error, losses
from dclib.mtcnn.samples import LANDMARK, NEGATIVE, PART, POSITIVE, Samples
from dclib.mtcnn.stages import SIZES, Stage, build
from dclib.mtcnn.training import Training, batches, train_stage
from dclib.mtcnn.views import Batch

NAN = float("nan")
SHORT = Training(epochs=3, batch=8, lr=0.01, samples=24)


def batch_of(kinds: list[int], offsets: Tensor | None = None, points: Tensor | None = None):
    count = len(kinds)
    return Batch(
        images=torch.zeros(count, 3, 12, 12),
        kind=torch.tensor(kinds, dtype=torch.int8),
        offsets=torch.full((count, 4), NAN) if offsets is None else offsets,
        points=torch.full((count, 5, 2), NAN) if points is None else points,
    )


def logits_of(losses: list[float]) -> Tensor:
    """Logits (N, 2) whose cross-entropy with class 1 is this."""
    first = [math.log(math.expm1(loss)) for loss in losses]
    return torch.tensor([[value, 0.0] for value in first])


def stage(name: str = "P", method: str = "DC-MTCNN", try_: int = 0) -> Stage:
    torch.manual_seed(try_)
    return build(name, method, width=0.25)


def discs(count: int, size: int, kinds: tuple[int, ...] = (0, 1, 2), seed: int = 0) -> Samples:
    """Faces are bright discs; of parts the disc is off the middle, negatives have none."""
    stream = np.random.default_rng(seed)
    kind = np.resize(np.array(kinds, dtype=np.int8), count)
    middle = np.full((count, 2), 0.5) + stream.uniform(-0.05, 0.05, (count, 2))
    middle[kind == PART] += 0.25
    radius = np.where(kind == NEGATIVE, 0, 0.4 if LANDMARK not in kinds else 0.25)[:, None]
    at = (np.arange(size) + 0.5) / size
    off = np.hypot(at - middle[:, :1, None], at[:, None] - middle[:, 1:, None])  # (N, s, s)
    grey = np.where(off < radius[:, :, None], 200, 60) + stream.integers(
        -20, 20, (count, size, size)
    )
    corners = np.hstack([middle - radius, middle + radius - 1])
    corners[kind == NEGATIVE] = NAN
    shape = np.array([[-0.4, -0.3], [0.4, -0.3], [0, 0], [-0.3, 0.4], [0.3, 0.4]])
    points = middle[:, None] + radius[:, None] * shape
    points[(kind == NEGATIVE) | (kind == PART)] = NAN
    return Samples(
        pixels=torch.from_numpy(np.repeat(grey[:, None], 3, axis=1).astype(np.uint8)),
        kind=torch.from_numpy(kind),
        offsets=torch.from_numpy(corners.astype(np.float32)),
        points=torch.from_numpy(points.astype(np.float32)),
        photo=torch.zeros(count, dtype=torch.int32),
        squares=torch.zeros(count, 4),
        scores=torch.full((count,), NAN),
    )


def test_the_hardest_seventy_percent_of_ten_losses():
    each = [round(0.1 * k, 1) for k in range(1, 11)]
    outputs = {"face": logits_of(each)}
    batch = batch_of([POSITIVE] * 10)
    assert losses(outputs, batch)["face"].item() == pytest.approx(0.55)
    assert losses(outputs, batch, online=0.7)["face"].item() == pytest.approx(0.7)


def test_each_kind_of_sample_tells_of_its_tasks_alone():
    kinds = [NEGATIVE, POSITIVE, PART, LANDMARK]
    offsets, points = torch.zeros(4, 4), torch.full((4, 5, 2), NAN)
    offsets[0] = NAN
    points[3] = 0.25
    outputs = {
        "face": torch.zeros(4, 2, requires_grad=True),
        "box": torch.tensor([[9.0], [0.1], [0.2], [0.3]]).repeat(1, 4).requires_grad_(),
        "landmarks": torch.full((4, 5, 2), 0.75, requires_grad=True),
    }
    found = losses(outputs, batch_of(kinds, offsets, points))
    assert found["face"].item() == pytest.approx(math.log(2))
    assert found["box"].item() == pytest.approx(4 * (0.01 + 0.04 + 0.09) / 3)
    assert found["landmarks"].item() == pytest.approx(10 * 0.25)
    torch.stack(list(found.values())).sum().backward()
    told = {name: of.grad.flatten(1).abs().sum(dim=1) > 0 for name, of in outputs.items()}
    assert told["face"].tolist() == [True, True, False, False]
    assert told["box"].tolist() == [False, True, True, True]
    assert told["landmarks"].tolist() == [False, False, False, True]


def test_dface_weights_are_those_of_mean_squares():
    offsets = torch.tensor([[0.1, 0.2, 0.3, 0.4], [NAN] * 4])
    points = torch.stack([torch.full((5, 2), 0.5), torch.full((5, 2), NAN)])
    outputs = {
        "face": torch.zeros(2, 2),
        "box": torch.zeros(2, 4),
        "landmarks": torch.zeros(2, 5, 2),
    }
    found = losses(outputs, batch_of([POSITIVE, NEGATIVE], offsets, points))
    weights = WEIGHTS["DFace"]["O"]
    total = sum(weights[task] * loss.item() for task, loss in found.items())
    assert total == pytest.approx(0.8 * math.log(2) + 0.6 * 0.3 / 4 + 1.5 * 0.25)


def test_accuracy_and_error_worked_by_hand():
    points = torch.full((4, 5, 2), NAN)
    points[3] = torch.tensor([[0.2, 0.3], [0.7, 0.3], [0.5, 0.5], [0.3, 0.8], [0.7, 0.8]])
    found = torch.zeros(4, 5, 2)
    found[3] = points[3]
    found[3, 2] += torch.tensor([0.03, 0.04])  # 0.05 off, one of five; the eyes are 0.5 apart
    outputs = {
        "face": torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]),
        "landmarks": found,
    }
    batch = batch_of([NEGATIVE, POSITIVE, POSITIVE, LANDMARK], points=points)
    assert accuracy(outputs, batch) == pytest.approx(2 / 3)
    assert landmark_error(outputs, batch) == pytest.approx(0.05 / 5 / 0.5)


def test_a_batch_that_tells_nothing_of_a_task_costs_nothing():
    outputs = {"face": torch.zeros(1, 2), "box": torch.ones(1, 4)}
    found = losses(outputs, batch_of([LANDMARK]))
    assert found["face"].item() == found["box"].item() == 0


def test_every_batch_has_the_mix():
    kinds = np.repeat([NEGATIVE, POSITIVE, PART, LANDMARK], [1000, 300, 70, 500])
    training = Training(epochs=1, batch=70, lr=0.1, samples=1400)
    steps = batches(kinds, training, [0, 2], epoch=0)
    assert len(steps) == 20
    for index in steps:
        counts = np.bincount(kinds[index], minlength=4)
        assert abs(counts - [30, 10, 10, 20]).max() <= 2
    everything = np.concatenate(steps)
    assert np.bincount(kinds[everything]).tolist() == [600, 200, 200, 400]


def test_what_a_stage_lacks_drops_out_of_the_mix():
    kinds = np.repeat([NEGATIVE, POSITIVE, PART], 100)
    steps = batches(kinds, Training(epochs=1, batch=50, lr=0.1, samples=500), [0, 0], 0)
    assert np.bincount(kinds[np.concatenate(steps)]).tolist() == [300, 100, 100]
    only = replace(SHORT, mix=(1.0, 1.0, 0.0, 0.0))
    assert PART not in kinds[np.concatenate(batches(kinds, only, [0, 0], 0))]


def test_all_of_a_kind_are_seen_before_one_is_seen_again():
    kinds = np.repeat([NEGATIVE, POSITIVE], [100, 40])
    training = replace(SHORT, samples=60, mix=(1.0, 1.0, 0.0, 0.0))
    seen = [np.concatenate(batches(kinds, training, [0, 0], epoch)) for epoch in range(10)]
    for kind, each in ((NEGATIVE, 3), (POSITIVE, 7.5)):
        times = np.bincount(np.concatenate(seen), minlength=140)[kinds == kind]
        assert times.min() == math.floor(each)
        assert times.max() == math.ceil(each)
    assert not np.array_equal(seen[0], seen[1])
    again = np.concatenate(batches(kinds, training, [0, 0], 1))
    assert np.array_equal(seen[1], again)
    assert not np.array_equal(seen[1], np.concatenate(batches(kinds, training, [1, 0], 1)))


def test_discs_are_learnt():
    net = stage()
    training = Training(epochs=5, batch=32, lr=0.02, samples=640)
    rows = train_stage(net, [discs(300, 12)], training, 0, held_out=[discs(90, 12, seed=1)])
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[-1]["validation.accuracy"] > 0.95
    assert rows[-1]["validation.box"] < rows[0]["validation.box"] / 2
    assert rows[-1]["loss.face"] < rows[0]["loss.face"] / 2
    assert not net.training


def test_landmarks_of_discs_are_learnt():
    net = stage("O", "MTCNN")
    training = Training(epochs=4, batch=16, lr=0.004, samples=160, mix=(1.0, 1.0, 0.0, 6.0))
    plain, larger = discs(30, 48, (NEGATIVE, POSITIVE)), discs(40, 120, (LANDMARK,))
    rows = train_stage(net, [plain, larger], training, 0, held_out=[larger])
    assert rows[-1]["loss.landmarks"] < rows[0]["loss.landmarks"] / 4
    assert rows[-1]["validation.error"] < 0.3
    assert set(rows[0]) == {
        "epoch", "lr", "loss.face", "loss.box", "loss.landmarks", "accuracy", "seconds",
        "validation.face", "validation.box", "validation.landmarks", "validation.accuracy",
        "validation.error",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["P", "O"])
def test_an_interrupted_training_ends_with_the_same_bits(name, tmp_path):
    samples = [discs(24, SIZES[name])]
    whole, resumed = stage(name), stage(name)
    history = train_stage(whole, samples, SHORT, 0)
    file = tmp_path / "checkpoint.pt"
    for epochs in (1, 2):
        with pytest.raises(Interruption):
            train_stage(resumed, samples, SHORT, 0, file, interrupt_after(epochs))
        resumed = stage(name, try_=9)  # whatever it begins with
    again = train_stage(resumed, samples, SHORT, 0, file)
    assert [row | {"seconds": 0} for row in again] == [row | {"seconds": 0} for row in history]
    for key, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[key]), key
    finished = stage(name, try_=9)
    assert train_stage(finished, samples, SHORT, 0, file) == again
    assert torch.equal(finished.heads[0].weight, whole.heads[0].weight)


def test_tries_see_samples_in_orders_of_their_own():
    nets = [stage(), stage()]
    for try_, net in enumerate(nets):
        train_stage(net, [discs(60, 12)], replace(SHORT, epochs=1), try_)
    assert not torch.equal(nets[0].heads[0].weight, nets[1].heads[0].weight)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    file, samples = tmp_path / "checkpoint.pt", [discs(60, 12)]
    train_stage(stage(), samples, replace(SHORT, epochs=1), 0, file)
    others = (
        (samples, SHORT, 0),
        (samples, replace(SHORT, epochs=1), 1),
        ([discs(60, 12, seed=1)], replace(SHORT, epochs=1), 0),
    )
    for parts, training, try_ in others:
        with pytest.raises(RunError, match=r"checkpoint\.pt belongs to another experiment"):
            train_stage(stage(), parts, training, try_, file)


@pytest.mark.parametrize(("kept", "missing"), [((1, 2), "negative"), ((0, 2), "positive")])
def test_a_stage_needs_negatives_and_positives(kept, missing):
    with pytest.raises(RunError, match=f"stage P has no {missing} samples"):
        train_stage(stage(), [discs(30, 12, kept)], SHORT, 0)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(RunError, match=r"stage P.*in epoch 0, step \d+: lower lr"):
        train_stage(stage("P", "MTCNN"), [discs(60, 12)], replace(SHORT, lr=1e30), 0, file)
    assert not file.exists()
