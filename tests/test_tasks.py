"""Bins, classes and angles against values worked by hand (methods of section 4.1)."""

import math

import pytest
import torch
from torch.nn import functional

from dclib.tasks import MISSING, Angle, Classes, Landmarks, SimCC, mtfl_tasks, task_weights


def one_axis(*shares: float, points: int = 1) -> torch.Tensor:
    """Logits whose softmax is the given shares, on both axes."""
    row = torch.tensor(shares).clamp(min=1e-30).log()
    return row.expand(1, points, 2, len(shares))


def test_bins_are_one_pixel_wide():
    task = Landmarks(8)
    points = torch.tensor([[[3.7, 0.0], [8.0, 7.999], [-2.0, 1.0], [0.999, 5.5], [4.0, 4.0]]])
    assert task.encode(points)[0].tolist() == [[3, 0], [7, 7], [0, 1], [0, 5], [4, 4]]


def test_bin_decoder_gives_the_centre():
    task = Landmarks(8, points=1)
    target = task.encode(torch.tensor([[[3.7, 3.7]]]))
    logits = functional.one_hot(target, 8).float()
    decoded = task.decode(logits)
    assert decoded.tolist() == [[[3.5, 3.5]]]
    assert (torch.tensor(3.7) - decoded[0, 0, 0]).abs().item() == pytest.approx(0.2, abs=1e-6)


def test_soft_decoder_by_hand():
    task = Landmarks(8, points=1)
    half = one_axis(0, 0, 0.5, 0.5, 0, 0, 0, 0)
    assert task.decode(half, "soft").flatten().tolist() == pytest.approx([3.0, 3.0])
    # bins 0 and 7 lie outside the window of two about bin 3 and do not pull
    tails = one_axis(0.2, 0, 0.1, 0.4, 0.1, 0, 0, 0.2)
    assert task.decode(tails, "soft").flatten().tolist() == pytest.approx([3.5, 3.5])
    with pytest.raises(ValueError, match="decoder"):
        task.decode(half, "mean")


def test_soft_decoder_stays_within_two_bins_of_the_bin_decoder():
    task = Landmarks(16)
    logits = torch.randn(64, 5, 2, 16, generator=torch.Generator().manual_seed(0))
    assert ((task.decode(logits, "soft") - task.decode(logits)).abs() <= 2).all()


def test_quantisation_floor():
    """Uniform points lose (sqrt 2 + ln(1 + sqrt 2)) / 6 pixels on average."""
    task = Landmarks(32, points=1)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200_000, 1, 2, generator=generator, dtype=torch.double) * 32
    loss = (task.encode(points) + 0.5 - points).norm(dim=-1).mean().item()
    assert loss == pytest.approx((math.sqrt(2) + math.log(1 + math.sqrt(2))) / 6, rel=0.01)


def test_landmark_loss_is_the_mean_over_axes():
    task = Landmarks(6, points=3)
    logits = torch.randn(4, 3, 2, 6)
    target = torch.randint(6, (4, 3, 2))
    each = [
        functional.cross_entropy(logits[:, p, axis], target[:, p, axis])
        for p in range(3)
        for axis in range(2)
    ]
    torch.testing.assert_close(task.loss(logits, target), torch.stack(each).mean())


def test_missing_points_do_not_count():
    task = Landmarks(6, points=2)
    points = torch.tensor([[[1.5, 2.5], [float("nan"), float("nan")]]])
    target = task.encode(points)
    assert target[0, 1].tolist() == [MISSING, MISSING]
    logits = torch.randn(1, 2, 2, 6)
    alone = Landmarks(6, points=1).loss(logits[:, :1], target[:, :1])
    torch.testing.assert_close(task.loss(logits, target), alone)
    assert task.loss(logits, torch.full((1, 2, 2), MISSING)).item() == 0


def test_shape_round_trip_keeps_points_and_axes_apart():
    task = Landmarks(7, points=3)
    flat = torch.arange(task.outputs)[None]
    logits = task.shape(flat)
    assert logits.shape == (1, 3, 2, 7)
    assert logits[0, 1, 0, 0].item() == 14  # point 1, axis x: after two axes of seven bins


def test_simcc_by_hand():
    """Two bins a pixel: 3.7 rounds to bin 7, which lies at 3.5."""
    task = SimCC(8, points=1)
    target = task.encode(torch.tensor([[[3.7, 9.0]]]))
    assert target.tolist() == [[[7, 15]]]
    logits = functional.one_hot(target, 16).float()
    assert task.decode(logits).tolist() == [[[3.5, 7.5]]]
    assert task.shape(torch.zeros(1, task.outputs)).shape == (1, 1, 2, 16)


def test_simcc_loss_is_zero_at_its_own_label_and_the_cross_entropy_without_blur():
    soft, hard = SimCC(8, points=1, sigma=1.5), SimCC(8, points=1, sigma=0.0)
    target = soft.encode(torch.tensor([[[3.7, 2.0]], [[float("nan"), 1.0]]]))
    position = torch.arange(16)
    perfect = -((position - target[..., None]) ** 2) / (2 * 1.5**2)
    assert soft.loss(perfect, target).item() == pytest.approx(0, abs=1e-6)
    logits = torch.randn(2, 1, 2, 16)
    known = torch.stack([logits[0, 0, 0], logits[0, 0, 1], logits[1, 0, 1]])
    expected = functional.cross_entropy(known, torch.tensor([7, 4, 2]))
    torch.testing.assert_close(hard.loss(logits, target), expected)


def test_classes():
    task = Classes("glasses", 2)
    target = task.encode(torch.tensor([0, 1, -1]))
    assert target.tolist() == [0, 1, MISSING]
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [9.0, 0.0]])
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert task.loss(logits, target).item() == pytest.approx(expected)
    assert task.decode(logits)[0].item() == 0


@pytest.mark.parametrize(
    ("degrees", "label"), [(-90, 0), (-60.001, 0), (-60, 1), (-0.1, 2), (0, 3), (89.9, 5), (168, 5)]
)
def test_angles_are_thirty_degrees_wide(degrees, label):
    assert Angle("yaw").encode(torch.tensor([float(degrees)])).item() == label


def test_angle_decoding_and_missing():
    task = Angle("roll")
    assert task.outputs == 6
    logits = functional.one_hot(torch.arange(6)).float()
    assert task.decode(logits).tolist() == [-75, -45, -15, 15, 45, 75]
    assert task.encode(torch.tensor([float("nan")])).item() == MISSING


def test_tasks_of_mtfl():
    tasks = mtfl_tasks(112)
    assert [(t.name, t.outputs) for t in tasks] == [
        ("landmarks", 1120),
        ("gender", 2),
        ("smile", 2),
        ("glasses", 2),
        ("profile", 5),
    ]


def test_weightings_by_hand():
    tasks = mtfl_tasks(48)
    assert task_weights(tasks, "per_task") == dict.fromkeys([t.name for t in tasks], 1.0)
    weights = task_weights(tasks, "per_output")
    # 10 landmark axes and 4 labels: 14 cross-entropies share a total of 5
    assert weights["landmarks"] == pytest.approx(50 / 14)
    assert weights["gender"] == pytest.approx(5 / 14)
    assert sum(weights.values()) == pytest.approx(5)
    assert task_weights(tasks[:1], "per_output") == {"landmarks": 1.0}


def test_related_weights_multiply():
    weights = task_weights(mtfl_tasks(48), "per_task", {"gender": 0.01, "profile": 0.0})
    assert (weights["gender"], weights["profile"], weights["smile"]) == (0.01, 0.0, 1.0)


@pytest.mark.parametrize(
    ("weighting", "related"),
    [("equal", {}), ("per_task", {"age": 1.0}), ("per_task", {"smile": -1})],
)
def test_impossible_weights_are_refused(weighting, related):
    with pytest.raises(ValueError, match="weight"):
        task_weights(mtfl_tasks(48), weighting, related)
