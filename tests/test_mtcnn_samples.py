"""Drawn samples against photos whose colours tell places, and overlaps computed one by one."""

import numpy as np
import pytest
import torch
from coloured_photos import SIDE, photo_set, places
from test_mtcnn_evaluate import iou as overlap

from dclib.mtcnn import samples
from dclib.mtcnn.samples import LANDMARK, NEGATIVE, NEITHER, PART, POSITIVE, Recipe

FACE = [80.0, 60.0, 140.0, 120.0]
OTHER = [170.0, 150.0, 200.0, 190.0]
POINTS = np.array([[95, 80], [125, 80], [110, 95], [97, 108], [123, 108]], dtype=np.float32)


@pytest.fixture(scope="module")
def drawn() -> samples.Samples:
    return samples.draw(photo_set([[FACE], [FACE, OTHER], []]), 12, Recipe(smallest=20), seed=3)


def test_kinds_are_by_the_overlap_with_the_nearest_face(drawn):
    faces = {0: [FACE], 1: [FACE, OTHER], 2: []}
    for square, kind, photo in zip(drawn.squares.tolist(), drawn.kind, drawn.photo, strict=True):
        most = max((overlap(square, face) for face in faces[int(photo)]), default=0)
        low, high = {NEGATIVE: (0, 0.3), PART: (0.4, 0.65), POSITIVE: (0.65, 1)}[int(kind)]
        assert low - 1e-5 <= most <= high + 1e-5
    assert set(drawn.kind.tolist()) == {NEGATIVE, PART, POSITIVE}


def test_numbers_are_those_of_the_recipe(drawn):
    for photo, faces in ((0, 1), (1, 2), (2, 0)):
        kinds = drawn.kind[drawn.photo == photo]
        negatives = int((kinds == NEGATIVE).sum())
        assert 50 <= negatives <= 50 + 5 * faces
        assert len(kinds) - negatives <= 20 * faces
    counts = [int((drawn.kind == kind).sum()) for kind in (NEGATIVE, POSITIVE, PART)]
    assert list(drawn.counts().values()) == [*counts, 0, 0]


def test_pixels_are_those_of_the_squares(drawn):
    inside = ((drawn.squares >= 0) & (drawn.squares <= SIDE)).all(dim=1)
    assert inside.sum() > 100
    middle = torch.full((len(drawn), 1, 2), 0.5)
    seen = places(drawn.pixels, middle)[inside, 0]
    expected = (drawn.squares[inside, :2] + drawn.squares[inside, 2:]) / 2
    # colours are rounded, and squares narrower than a few pixels do not show a straight slope
    assert (seen - expected).abs().max() < 1


def test_offsets_lead_from_the_square_to_the_box(drawn):
    told = drawn.kind != NEGATIVE
    assert drawn.offsets[~told].isnan().all()
    squares = drawn.squares[told]
    sides = squares[:, 2:] - squares[:, :2]
    torch.testing.assert_close(sides[:, 0], sides[:, 1])
    boxes = squares + drawn.offsets[told] * sides.repeat(1, 2)
    nearest = [
        min((FACE, OTHER), key=lambda face, box=box: abs(face[0] - box[0]))
        for box in boxes.tolist()
    ]
    torch.testing.assert_close(boxes, torch.tensor(nearest), atol=1e-3, rtol=0)


def test_draws_depend_on_the_seed_alone():
    photos = photo_set([[FACE]] * 2)
    one, same, other = (samples.draw(photos, 12, Recipe(), seed) for seed in (0, 0, 1))
    assert torch.equal(one.pixels, same.pixels)
    assert torch.equal(one.squares, same.squares)
    assert not torch.equal(one.squares, other.squares)
    assert not torch.equal(one.squares[one.photo == 0], one.squares[one.photo == 1])


def test_negatives_are_as_frequent_at_every_step_of_the_pyramid():
    drawn = samples.draw(photo_set([[]] * 20), 12, Recipe(), seed=0)
    sides = (drawn.squares[:, 2] - drawn.squares[:, 0]).log()
    steps = torch.histc(sides, 4, np.log(12), np.log(SIDE))
    assert len(drawn) == 1000
    assert (steps - 250).abs().max() < 60  # five deviations of such a count are 68


def test_small_faces_are_neither_learnt_nor_negatives():
    drawn = samples.draw(photo_set([[[100, 100, 130, 130]]] * 10), 12, Recipe(), seed=0)
    assert set(drawn.kind.tolist()) == {NEGATIVE}
    assert all(overlap(s, [100, 100, 130, 130]) < 0.3 for s in drawn.squares.tolist())


def test_no_negative_lies_over_an_ignored_region():
    photos = photo_set([[]], ignored=[[[0, 0, SIDE, SIDE / 2]]])
    squares = samples.draw(photos, 12, Recipe(), seed=0).squares
    assert len(squares) > 0
    above = (SIDE / 2 - squares[:, 1]).clamp(min=0) / (squares[:, 3] - squares[:, 1])
    assert above.max() < 0.3


def test_photos_smaller_than_a_crop_give_no_negatives():
    photos = photo_set([[[1, 1, 9, 9]]], shape=(10, 30))
    drawn = samples.draw(photos, 12, Recipe(smallest=4), seed=0)
    assert NEGATIVE not in drawn.kind
    assert POSITIVE in drawn.kind


def test_kinds_worked_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    squares = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 3.5], [0, 0, 10, 2], [51, 50, 61, 60]]
    )
    kind, face, by = samples.judge(squares, boxes)
    assert kind.tolist() == [POSITIVE, PART, NEITHER, NEGATIVE, POSITIVE]
    assert face.tolist() == [0, 0, 0, 0, 1]
    torch.testing.assert_close(by, torch.tensor([1, 0.5, 0.35, 0.2, 90 / 110]))


def test_what_lies_over_a_region_worked_by_hand():
    squares = torch.tensor([[0.0, 0, 10, 10], [8, 0, 18, 10], [40, 40, 50, 50]])
    regions = torch.tensor([[9.0, -5, 11.5, 50]])  # covers 10 %, 25 % and nothing
    assert samples.over(squares, regions).tolist() == [False, False, False]
    regions = torch.tensor([[9.0, -5, 12.5, 50], [45, 45, 46, 46]])  # the second: 35 %
    assert samples.over(squares, regions).tolist() == [False, True, False]
    assert not samples.over(squares, torch.zeros(0, 4)).any()


def test_landmark_faces_keep_what_lies_around():
    without = np.stack([POINTS, np.full((5, 2), np.nan)]).astype(np.float32)
    photos = photo_set([[FACE, OTHER], []], points=[without, np.zeros((0, 5, 2), np.float32)])
    kept = samples.draw_landmarks(photos, 48, Recipe(smallest=20))
    assert kept.kind.tolist() == [LANDMARK]
    assert kept.pixels.shape == (1, 3, 120, 120)
    # 60 x 1.6 = 96 wide about (110, 90)
    torch.testing.assert_close(kept.squares, torch.tensor([[62.0, 42, 158, 138]]))
    seen = places(kept.pixels, kept.points)
    assert (seen - torch.from_numpy(POINTS)).abs().max() < 1
    torch.testing.assert_close(kept.offsets, torch.tensor([[18 / 96, 18 / 96, -18 / 96, -18 / 96]]))


def test_joined_samples_are_all_of_both(drawn):
    both = samples.join([drawn, drawn])
    assert len(both) == 2 * len(drawn)
    assert torch.equal(both.kind[len(drawn) :], drawn.kind)
    assert both.counts()["part"] == 2 * drawn.counts()["part"]


def test_photos_without_points_give_no_landmark_faces():
    kept = samples.draw_landmarks(photo_set([[FACE], []]), 48, Recipe())
    assert kept.pixels.shape == (0, 3, 120, 120)
