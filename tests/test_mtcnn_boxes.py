"""Boxes against values worked by hand and plain loops."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from dclib.mtcnn.boxes import Areas, calibrate, cut, iou, offsets, square, suppress


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = 15 * torch.rand(count, 2, generator=generator)
    return torch.cat([corners, corners + 10 + 20 * torch.rand(count, 2, generator=generator)], 1)


def random_photo(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def mean_of_area(photo: torch.Tensor, left, top, right, bottom) -> np.ndarray:
    """Pixel by pixel; what lies beyond the photo counts as 0."""
    total = np.zeros(3)
    for row, column in np.ndindex(*photo.shape[1:]):
        high = max(0.0, min(row + 1, bottom) - max(row, top))
        wide = max(0.0, min(column + 1, right) - max(column, left))
        if high and wide:
            total += high * wide * photo[:, row, column].double().numpy()
    return total / ((right - left) * (bottom - top))


def test_overlap_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    others = torch.tensor([[5.0, 0, 15, 10], [0, 0, 10, 10], [10, 0, 20, 10], [2, 2, 7, 6]])
    torch.testing.assert_close(iou(boxes, others), torch.tensor([[1 / 3, 1, 0, 0.2]]))


def test_calibration_and_square_by_hand():
    """In inclusive pixels: [10, 10, 29, 49] to [12, 10, 27, 49], then [0, 10, 39, 49]."""
    box = torch.tensor([[10.0, 10, 30, 50]])
    moved = calibrate(box, torch.tensor([[0.1, 0, -0.1, 0]]))
    torch.testing.assert_close(moved, torch.tensor([[12.0, 10, 28, 50]]))
    torch.testing.assert_close(square(moved), torch.tensor([[0.0, 10, 40, 50]]))


def test_offsets_are_what_calibration_adds():
    boxes, truth = random_boxes(20), random_boxes(20, seed=1)
    torch.testing.assert_close(calibrate(boxes, offsets(boxes, truth)), truth)


@pytest.mark.parametrize("by", ["union", "smaller"])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppression_equals_one_box_after_the_other(by, threshold):
    boxes = random_boxes(60)
    scores = torch.rand(60, generator=torch.Generator().manual_seed(2))

    def overlap(a, b):
        sides = torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])
        shared = float(sides.clamp(min=0).prod())
        areas = [float((x[2:] - x[:2]).prod()) for x in (a, b)]
        return shared / (sum(areas) - shared if by == "union" else min(areas))

    expected = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in expected):
            expected.append(i)
    assert suppress(boxes, scores, threshold, by).tolist() == expected
    assert 1 < len(expected) < 60


def test_a_box_within_another_is_the_same_face_by_the_smaller_only():
    boxes = torch.tensor([[0.0, 0, 40, 40], [10, 10, 20, 20]])
    scores = torch.tensor([0.8, 0.9])
    assert suppress(boxes, scores, 0.7).tolist() == [1, 0]
    assert suppress(boxes, scores, 0.7, by="smaller").tolist() == [1]


def test_nothing_is_suppressed_where_nothing_is_and_by_nothing_else():
    for by in ("union", "smaller"):
        assert suppress(torch.zeros(0, 4), torch.zeros(0), 0.5, by).tolist() == []
    with pytest.raises(ValueError, match="by='area'"):
        suppress(random_boxes(2), torch.rand(2), 0.5, by="area")


def test_crops_are_means_of_areas_of_any_place_and_size():
    photo = random_photo(20, 30)
    squares = torch.tensor(
        [[3.25, 4.5, 13.0, 14.25], [-5.5, -3.0, 6.5, 9.0], [20.0, 10, 38, 28], [7.1, 7.2, 8.6, 8.7]]
    )
    crops = cut(photo, squares, 3)
    assert crops.shape == (4, 3, 3, 3)
    assert crops.dtype == torch.float32
    for crop, (left, top, right, _) in zip(crops, squares.double().tolist(), strict=True):
        step = (right - left) / 3
        for row, column in np.ndindex(3, 3):
            x, y = left + column * step, top + row * step
            expected = mean_of_area(photo, x, y, x + step, y + step)
            np.testing.assert_allclose(crop[:, row, column], expected, atol=1e-3)


def test_a_crop_of_whole_pixels_is_them():
    photo = random_photo(40, 50)
    squares = torch.tensor([[5.0, 10, 17, 22], [20, 0, 44, 24]])
    crops = cut(photo, squares, 12)
    torch.testing.assert_close(crops[0], photo[:, 10:22, 5:17].float(), atol=1e-4, rtol=0)
    halved = functional.avg_pool2d(photo[:, :24, 20:44].float(), 2)
    torch.testing.assert_close(crops[1], halved, atol=1e-4, rtol=0)
    torch.testing.assert_close(cut(photo.double(), squares, 12), crops)


def test_beyond_the_photo_it_is_black():
    white = torch.full((3, 10, 10), 255, dtype=torch.uint8)
    squares = torch.tensor([[-4.0, -4, 4, 4], [2, 2, 6, 6], [50, 50, 60, 60]])
    corner, inside, outside = cut(white, squares, 2)
    expected = torch.tensor([[0.0, 0], [0, 255]]).expand(3, 2, 2)
    torch.testing.assert_close(corner, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(inside, torch.full((3, 2, 2), 255.0))
    assert outside.abs().max() < 1e-3


def test_no_squares_make_no_crops_and_empty_ones_are_refused():
    assert cut(random_photo(20, 20), torch.zeros(0, 4), 24).shape == (0, 3, 24, 24)
    with pytest.raises(ValueError, match="no area"):
        cut(random_photo(20, 20), torch.tensor([[5.0, 5, 5, 9]]), 12)


@pytest.mark.parametrize("size", [(13, 17), (6, 34), (40, 25)])
def test_a_reduced_photo_is_one_large_crop(size):
    """Reducing is another piece of code than cutting; it must show the same."""
    height, width = size
    photo = random_photo(23, 31)
    reduced, (x, y) = Areas(photo).reduce(height, width), (31 / width, 23 / height)
    for row, column in np.ndindex(height, width):
        area = (column * x, row * y, (column + 1) * x, (row + 1) * y)
        expected = mean_of_area(photo, *area)
        np.testing.assert_allclose(reduced[:, row, column], expected, atol=1e-3)


def test_what_p_sees_in_a_reduced_photo_is_the_crop_it_is_trained_on():
    areas = Areas(random_photo(60, 90))
    reduced = areas.reduce(40, 60)
    window = torch.tensor([[8.0, 6, 20, 18]]) * 1.5
    torch.testing.assert_close(areas.cut(window, 12)[0], reduced[:, 6:18, 8:20], atol=1e-3, rtol=0)
