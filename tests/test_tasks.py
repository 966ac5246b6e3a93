"""Bins, classes and angles against values worked by hand (methods of section 4.1)."""

import json
import math

import pytest
import torch
from torch.nn import functional

from dclib.simcc import SimCC
from dclib.tasks import (
    MISSING,
    Angle,
    Classes,
    Landmarks,
    Orientation,
    aflw_tasks,
    describe,
    from_description,
    label_logits,
    label_tasks,
    mtfl_tasks,
    task_weights,
    truth_of,
)


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


def test_the_words_of_an_angle_say_what_its_bins_hold():
    assert Angle("roll", 60.0).ranges == ("-60° to -30°", "-30° to 0°", "0° to 30°", "30° to 60°")
    assert len(Angle("yaw").ranges) == 6


def test_an_orientation_has_fourteen_bins_in_total():
    task = Orientation()
    assert [(angle.name, angle.outputs) for angle in task.angles] == [
        *(("yaw", 6), ("pitch", 4), ("roll", 4))
    ]
    assert (task.outputs, task.cross_entropies) == (14, 3)


def test_an_orientation_by_hand():
    task = Orientation()
    missing = float("nan")
    degrees = [[-75.0, -45.0, 59.0], [0.0, 0.0, 0.0], [31.0, missing, -70.0], [missing] * 3]
    target = task.encode(torch.tensor(degrees))
    assert target.tolist() == [[0, 0, 3], [3, 2, 2], [4, MISSING, 0], [MISSING] * 3]
    logits = torch.zeros(1, 14)
    logits[0, [4, 6 + 0, 6 + 4 + 3]] = 1
    assert task.decode(logits).tolist() == [[45.0, -45.0, 45.0]]


def test_the_loss_of_an_orientation_is_the_mean_of_its_angles():
    task = Orientation()
    logits = torch.randn(5, 14, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0, 1, 2], [5, 3, MISSING], [2, MISSING, 0], [1, 2, 3], [3, 0, 1]])
    each = [
        functional.cross_entropy(logits[:, :6], target[:, 0]),
        functional.cross_entropy(logits[[0, 1, 3, 4], 6:10], target[[0, 1, 3, 4], 1]),
        functional.cross_entropy(logits[[0, 2, 3, 4], 10:], target[[0, 2, 3, 4], 2]),
    ]
    torch.testing.assert_close(task.loss(logits, target), torch.stack(each).mean())
    assert task.loss(logits, torch.full((5, 3), MISSING)).item() == 0


def test_what_each_task_encodes():
    points = torch.rand(2, 21, 2)
    angles = {"roll": [3.0, 4.0], "yaw": [1.0, 2.0], "pitch": [-1.0, -2.0]}
    labels = {name: torch.tensor(values) for name, values in angles.items()}
    labels["gender"] = torch.tensor([0, 1])
    landmarks, gender, _, orientation = aflw_tasks(48)
    assert truth_of(landmarks, points, labels) is points
    assert truth_of(gender, points, labels) is labels["gender"]
    assert truth_of(orientation, points, labels).tolist() == [[1, -1, 3], [2, -2, 4]]


def test_an_orientation_is_predicted_as_its_angles():
    tasks = aflw_tasks(8)
    assert [task.name for task in label_tasks(tasks)] == [
        *("gender", "glasses", "yaw", "pitch", "roll")
    ]
    flat = torch.arange(14.0)[None]
    logits = {
        "landmarks": torch.zeros(1, 21, 2, 8),
        "gender": torch.tensor([[1.0, 2.0]]),
        "glasses": torch.tensor([[3.0, 4.0]]),
        "orientation": flat,
    }
    found = label_logits(tasks, logits)
    assert {name: own.tolist() for name, own in found.items()} == {
        "gender": [[1, 2]],
        "glasses": [[3, 4]],
        "yaw": [[0, 1, 2, 3, 4, 5]],
        "pitch": [[6, 7, 8, 9]],
        "roll": [[10, 11, 12, 13]],
    }
    assert label_tasks(tasks[:1]) == []
    assert label_logits(tasks[:1], logits) == {}


def test_tasks_of_aflw():
    tasks = aflw_tasks(112)
    assert [(t.name, t.outputs) for t in tasks] == [
        *(("landmarks", 21 * 2 * 112), ("gender", 2), ("glasses", 2), ("orientation", 14))
    ]
    # 42 axes, two labels and three angles: 47 cross-entropies share a total of 4
    weights = task_weights(tasks, "per_output", {"gender": 0.5})
    assert weights == pytest.approx(
        {
            "landmarks": 4 * 42 / 47,
            "gender": 0.5 * 4 / 47,
            "glasses": 4 / 47,
            "orientation": 4 * 3 / 47,
        }
    )


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


@pytest.mark.parametrize(
    "make",
    [
        *(lambda n=n: Classes("smile", n) for n in (1, 0, -2, 2.5)),
        *(lambda n=n: Landmarks(n) for n in (0, -1)),
        lambda: Landmarks(48, points=0),
        *(lambda w=w: Angle("yaw", 90, w) for w in (0, -30, 7, float("nan"), 360)),
        *(lambda at=at: Angle("yaw", at) for at in (-90, 0, float("inf"))),
    ],
)
def test_impossible_tasks_are_refused(make):
    with pytest.raises(ValueError, match=": give "):
        make()


@pytest.mark.parametrize("tasks", [mtfl_tasks(48), aflw_tasks(64), (Angle("yaw", 60.0, 20.0),)])
def test_tasks_return_from_their_description(tasks):
    assert from_description(json.loads(json.dumps(describe(tasks)))) == tasks


@pytest.mark.parametrize(
    "change", [{"kind": "Regression"}, {"bins": 12}, {"colour": 1}, {"outputs": 479}]
)
def test_descriptions_of_no_task_are_refused(change):
    (told,) = describe([Landmarks(48)])
    with pytest.raises(ValueError, match="describes no task"):
        from_description([{**told, **change}])
