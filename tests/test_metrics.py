"""Metrics against hand-worked values, a second implementation and what must not change them."""

import doctest

import numpy as np
import pytest
import torch

import dclib.metrics
from dclib.metrics import (
    accuracy,
    auc,
    box_sizes,
    ced,
    face_sizes,
    failure_rate,
    interocular_distances,
    landmark_errors,
    landmark_failure_rate,
    mean_error,
    missed_faces,
    normalised_errors,
)

EYES = [[30.0, 40.0], [70.0, 40.0]]  # 40 px apart
FACE = [*EYES, [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]]


def faces(seed=0, count=40, points=5):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(10, 90, (count, points, 2))
    return truth + rng.normal(0, 3, truth.shape), truth


def shifted(*offsets):
    """The hand-made face, its landmarks moved by these offsets, and the face itself."""
    truth = np.array([FACE])
    return truth + np.array([offsets], dtype=float), truth


def test_doctests():
    assert doctest.testmod(dclib.metrics).failed == 0


class TestLandmarkErrors:
    def test_hand_value(self):
        # Distances 5, 13, 0, 4, 8: mean 6 of an interocular distance of 40.
        pred, truth = shifted((3, 4), (-5, 12), (0, 0), (4, 0), (0, -8))
        assert landmark_errors(pred, truth).tolist() == [0.15]

    def test_perfect_prediction(self):
        _, truth = faces()
        assert (landmark_errors(truth, truth) == 0).all()

    def test_second_implementation(self):
        pred, truth = faces()
        expected = [
            sum(abs(complex(*(p - t))) for p, t in zip(face, true, strict=True))
            / len(true)
            / abs(complex(*(true[0] - true[1])))
            for face, true in zip(pred, truth, strict=True)
        ]
        np.testing.assert_allclose(landmark_errors(pred, truth), expected, rtol=1e-12)

    def test_bin_centres_cost_the_known_floor(self):
        # floor + 0.5 costs 0.3826 px on average, here over eyes 40 px apart.
        truth = np.array([FACE]) + np.random.default_rng(0).uniform(0, 1, (20000, 5, 2))
        truth[:, 1] = truth[:, 0] + [40.0, 0.0]
        errors = landmark_errors(np.floor(truth) + 0.5, truth)
        assert errors.mean() * 40 == pytest.approx(0.3826, abs=0.002)

    def test_other_eyes(self):
        pred, truth = shifted((0, 0), (0, 0), (0, 0), (0, 3), (0, 0))
        assert landmark_errors(pred, truth, eyes=(3, 4))[0] == pytest.approx(3 / 5 / 30)

    def test_moving_and_turning_and_enlarging_together_changes_nothing(self):
        pred, truth = faces()
        angle = 0.7
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = [3.7 * points @ turn + [12.0, -5.0] for points in (pred, truth)]
        np.testing.assert_allclose(landmark_errors(*moved), landmark_errors(pred, truth))

    def test_order_of_faces_and_of_landmarks(self):
        pred, truth = faces()
        errors = landmark_errors(pred, truth)
        order = np.random.default_rng(1).permutation(len(truth))
        np.testing.assert_array_equal(landmark_errors(pred[order], truth[order]), errors[order])
        mirror = [1, 0, 2, 4, 3]
        np.testing.assert_allclose(landmark_errors(pred[:, mirror], truth[:, mirror]), errors)

    def test_batches_equal_one_shot(self):
        pred, truth = faces()
        batches = [landmark_errors(pred[i : i + 7], truth[i : i + 7]) for i in range(0, 40, 7)]
        np.testing.assert_array_equal(np.concatenate(batches), landmark_errors(pred, truth))

    def test_no_faces(self):
        assert landmark_errors(np.zeros((0, 5, 2)), np.zeros((0, 5, 2))).shape == (0,)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_tensors(self, dtype):
        pred, truth = shifted((3, 4), (0, 0), (0, 0), (0, 0), (0, 0))
        tensors = (
            torch.tensor(pred, dtype=dtype, requires_grad=True),
            torch.tensor(truth),
        )
        assert landmark_errors(*tensors).tolist() == landmark_errors(pred, truth).tolist()

    def test_invisible_landmark_does_not_count(self):
        pred, truth = shifted((3, 4), (0, 0), (100, 0), (0, 0), (0, 3))
        truth[0, 2] = np.nan
        assert landmark_errors(pred, truth)[0] == (5 + 3) / 4 / 40

    def test_undetected_face(self):
        pred, truth = faces(count=3)
        pred[1] = np.nan
        errors = landmark_errors(pred, truth)
        assert np.isinf(errors).tolist() == [False, True, False]


def without(which: str, *at: object, value: object = np.nan) -> tuple[np.ndarray, np.ndarray]:
    """Faces, in which a part of the predicted or of the true points is replaced."""
    pred, truth = faces()
    {"pred": pred, "truth": truth}[which][at] = value
    return pred, truth


LIMITS, LANDMARKS = (float("nan"), -0.1, float("inf")), np.zeros((3, 4, 2))
BAD = [
    *(
        (lambda s=shape: landmark_errors(np.zeros(s), np.zeros(s)), "must be")
        for shape in ((5, 2), (3, 10), (3, 5, 3), (1, 3, 5, 2))
    ),
    (lambda: landmark_errors(LANDMARKS, faces(count=3)[1]), "must be equal"),
    (lambda: landmark_errors(*faces(), eyes=(0, 5)), "there are 5 landmarks"),
    (lambda: landmark_errors(*faces(), eyes=(-1, 1)), "there are 5 landmarks"),
    (
        lambda: landmark_errors(*without("truth", 2, slice(2), value=3.0)),
        "face 2 has both eyes",
    ),
    (lambda: landmark_errors(*without("truth", 4, 1, 0)), "face 4 has an eye"),
    (lambda: normalised_errors(*without("truth", 6), 10.0), "face 6 has no visible landmark"),
    (lambda: landmark_errors(*without("pred", 5, 3, 1)), "face 5 is predicted in part"),
    (lambda: normalised_errors(*faces(), scale=0.0), "face 0 has a scale"),
    *((lambda f=score: f([]), "no face to score") for score in (failure_rate, mean_error, auc)),
    (lambda: failure_rate([0.1, np.nan]), "1 of 2 errors are NaN"),
    (lambda: failure_rate([0.1, -0.1]), "1 of 2 errors are negative"),
    (lambda: mean_error([np.inf]), "no face was detected"),
    (lambda: accuracy([1, 0], [-1, -1]), "no label is known"),
    (lambda: accuracy([1, 0], [1]), "must be equal"),
    (lambda: box_sizes([[[1.0, 2.0], [5.0, 2.0]]]), "span no area"),
    *((lambda n=n: failure_rate([0.1, 0.2], n), "not negative and finite") for n in LIMITS),
    *((lambda n=n: auc([0.1, 0.2], n), "not negative and finite") for n in LIMITS),
    *(
        (lambda n=n: landmark_failure_rate(*faces(), threshold=n), "not negative and finite")
        for n in LIMITS
    ),
    (lambda: auc([0.1], 0.0), "no area"),
    (lambda: ced([0.1], [0.1, float("nan")]), "NaN"),
    *(
        (lambda f=score, e=eyes: f(*faces(), e), "two landmarks")
        for score in (landmark_errors, lambda pred, truth, e: face_sizes(truth, e))
        for eyes in ((0, 1, 2), (0,), (1, 1))
    ),
]


@pytest.mark.parametrize(("score", "message"), BAD)
def test_what_cannot_be_scored_is_refused(score, message):
    with pytest.raises(ValueError, match=message):
        score()


class TestScores:
    ERRORS = (0.02, 0.05, 0.12)  # hand values

    def test_hand_values(self):
        assert failure_rate(self.ERRORS) == 1 / 3
        assert auc(self.ERRORS) == pytest.approx(0.43333, abs=5e-6)
        assert mean_error(self.ERRORS) == pytest.approx(0.06333, abs=5e-6)

    @pytest.mark.parametrize("interocular", [30.0, 40.0, 50.0, 70.0, 110.0])
    def test_error_of_exactly_a_tenth_is_no_failure(self, interocular):
        # Every landmark off by a tenth: a length a float64 holds exactly, so the error is 0.10.
        truth = np.array([FACE])
        truth[0, 1] = truth[0, 0] + [interocular, 0.0]
        at, over = truth.copy(), truth.copy()
        at[..., 1] += interocular / 10
        over[..., 1] += interocular / 10 + 1e-9
        assert landmark_errors(at, truth)[0] == 0.10
        assert landmark_failure_rate(at, truth) == 0.0
        assert landmark_failure_rate(over, truth) == 1.0

    def test_failure_rate_of_predictions(self):
        pred, truth = faces()
        expected = np.mean([error > 0.25 for error in landmark_errors(pred, truth)])
        assert landmark_failure_rate(pred, truth, threshold=0.25) == expected

    def test_exact_auc_is_the_integral_of_the_ced(self):
        errors = np.random.default_rng(0).gamma(4.0, 0.02, 300)
        grid = (np.arange(200_000) + 0.5) / 200_000 * 0.1  # mid-points: no step past the limit
        assert auc(errors) == pytest.approx(ced(errors, grid).mean(), abs=1e-6)

    def test_ced_complements_the_failure_rate(self):
        errors = np.append(np.random.default_rng(0).gamma(4.0, 0.02, 300), 0.10)
        assert ced(errors, 0.10) == pytest.approx(1 - failure_rate(errors))
        assert ced(errors, [0.0, np.inf]).tolist() == [0.0, 1.0]

    def test_undetected_faces(self):
        errors = [0.02, np.inf, 0.05, 0.12]
        assert failure_rate(errors) == 0.5
        assert auc(errors) == pytest.approx((0.8 + 0.5) / 4)
        assert mean_error(errors) == pytest.approx(0.06333, abs=5e-6)
        assert missed_faces(errors) == 1

    def test_rates_of_batches_average_to_the_whole(self):
        errors = np.random.default_rng(0).gamma(4.0, 0.02, 300)
        sizes = np.diff([0, 64, 128, 300])
        for score in (failure_rate, mean_error, auc):
            parts = [score(part) for part in np.split(errors, [64, 128])]
            assert np.average(parts, weights=sizes) == pytest.approx(score(errors))

    def test_accuracy_ignores_unknown_labels(self):
        assert accuracy(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, -1, 0])) == 2 / 3


class TestBoxSizes:
    def test_hand_value(self):
        assert box_sizes([FACE])[0] == pytest.approx(40.0)  # 40 wide, 40 high

    def test_invisible_landmarks_do_not_span_the_box(self):
        truth = np.array([[*FACE, [500.0, 500.0]]])
        truth[0, 5] = np.nan
        assert box_sizes(truth)[0] == pytest.approx(40.0)

    def test_shrinks_less_than_the_eyes_when_a_head_turns(self):
        turned = np.array([FACE]) * [0.5, 1.0]  # half as wide, as high
        assert interocular_distances(turned)[0] == pytest.approx(20.0)
        assert box_sizes(turned)[0] == pytest.approx(40.0 * np.sqrt(0.5))


def test_faces_are_sized_by_their_eyes_or_else_by_their_points():
    """Eyes 3-4-5 apart; in a box 8 x 2 without an eye; where the eyes coincide; too few points."""
    nan = float("nan")
    truth = np.array(
        [
            [[0, 0], [3, 4], [8, 2]],
            [[0, 0], [nan, nan], [8, 2]],
            [[1, 1], [1, 1], [4, 13]],
            [[1, 1], [nan, nan], [nan, nan]],
            [[nan, nan]] * 3,
            [[0, 5], [6, 5], [nan, nan]],
        ]
    )
    expected = [5, 4, 6, nan, nan, 6]
    np.testing.assert_allclose(dclib.metrics.face_sizes(truth), expected)
    boxes = [np.sqrt(32), 4, 6, nan, nan, nan]  # two points side by side span no area
    np.testing.assert_allclose(dclib.metrics.face_sizes(truth, eyes=None), boxes)
    whole = truth[[0, 2]]
    np.testing.assert_allclose(
        dclib.metrics.face_sizes(whole, None), dclib.metrics.box_sizes(whole)
    )
