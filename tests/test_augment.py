"""Augmentation against pictures whose points can be found again, and values worked by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dclib.data.augment import DRAWS, Augmentation, augment, centre, normalise
from dclib.data.faces import Symmetry

SYMMETRY = Symmetry(
    points=(1, 0, 2, 4, 3),
    classes={"profile": (4, 3, 2, 1, 0)},
    negated=("yaw", "roll"),
    rolled=("roll",),
)


def draws_of(faces: int = 1, **values: float) -> Tensor:
    """Draws that change nothing but what is named."""
    columns = {"scale": 0, "x": 1, "y": 2, "rotation": 3, "mirror": 4}
    draws = torch.full((faces, DRAWS), 0.5)
    for name, value in values.items():
        draws[:, columns[name]] = value
    return draws


def blobs(points: np.ndarray, size: int) -> Tensor:
    """One picture per point, (L, 3, S, S): a bright round blob on black, centred on the point."""
    centres = np.arange(size) + 0.5
    x = np.exp(-((centres - points[:, :1]) ** 2) / 8)  # (L, S)
    y = np.exp(-((centres - points[:, 1:]) ** 2) / 8)
    grey = np.rint(255 * y[:, :, None] * x[:, None, :]).astype(np.uint8)
    return torch.from_numpy(np.repeat(grey[:, None], 3, axis=1))


def centroids(images: Tensor) -> np.ndarray:
    grey = images[:, 0].numpy().astype(float)
    at = np.arange(grey.shape[-1]) + 0.5
    mass = grey.sum((1, 2))
    return np.stack([grey.sum(1) @ at / mass, grey.sum(2) @ at / mass], axis=1)


def moved(
    images: Tensor,
    points: Tensor,
    draws: Tensor,
    resolution: int,
    augmentation: Augmentation = Augmentation(),  # noqa: B008
    symmetry: Symmetry = SYMMETRY,
    **labels: Tensor,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    settings = {"symmetry": symmetry, "augmentation": augmentation}
    return augment(images, points, labels, draws, resolution=resolution, **settings)


@pytest.mark.parametrize(("size", "resolution"), [(60, 48), (61, 49), (48, 48)])
def test_draws_in_the_middle_give_the_centre_window(size: int, resolution: int) -> None:
    images = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
    points = torch.rand(4, 5, 2) * size
    augmented, at, _ = moved(images, points, draws_of(4), resolution)
    window, expected = centre(images, points, resolution)
    # 1e-4 of the pixel's place makes up to 255e-4 of its brightness
    assert (augmented - window).abs().max() < 255e-4
    torch.testing.assert_close(at, expected, atol=1e-4, rtol=0)
    edge = (size - resolution) // 2
    assert window[0, 0, 0, 0] == images[0, 0, edge, edge]


@pytest.mark.parametrize(
    "change",
    [
        {"mirror": 0.0},
        {"rotation": 0.9},
        {"rotation": 0.05},
        {"scale": 0.0},
        {"scale": 0.99},
        {"x": 0.02, "y": 0.97},
        {"mirror": 0.2, "rotation": 0.93, "scale": 0.1, "x": 0.9, "y": 0.15},
        {"mirror": 0.8, "rotation": 0.07, "scale": 0.95, "x": 0.1, "y": 0.7},
    ],
)
@pytest.mark.parametrize(("size", "resolution"), [(80, 64), (61, 49)])
def test_points_move_with_pixels(change: dict[str, float], size: int, resolution: int) -> None:
    points = size * np.array([[0.42, 0.41], [0.61, 0.43], [0.5, 0.52], [0.44, 0.6], [0.57, 0.63]])
    images = blobs(points, size)
    faces = torch.from_numpy(points).float().expand(5, 5, 2)
    augmented, at, _ = moved(images, faces, draws_of(5, **change), resolution)
    found = centroids(augmented)
    order = SYMMETRY.points if change.get("mirror", 1) < 0.5 else range(5)
    for blob in range(5):
        place = list(order).index(blob)
        np.testing.assert_allclose(at[blob, place].numpy(), found[blob], atol=0.1)


def test_a_quarter_turn_worked_by_hand() -> None:
    # draw 1 - 1/8 of 120 degrees is 90 degrees; one pixel right of the middle goes above it
    images = torch.zeros(1, 3, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 3] = 200
    points = torch.tensor([[[3.5, 2.5]] * 5])
    turned, at, labels = moved(
        images,
        points,
        draws_of(rotation=0.875),
        5,
        Augmentation(rotation=120.0),
        roll=torch.tensor([10.0]),
        yaw=torch.tensor([20.0]),
    )
    assert turned[0, 0].argmax().item() == 1 * 5 + 2
    torch.testing.assert_close(at[0, 0], torch.tensor([2.5, 1.5]), atol=1e-5, rtol=0)
    assert labels["roll"].item() == pytest.approx(100.0)
    assert labels["yaw"].item() == 20.0


def test_rotation_turns_the_eye_line_as_roll_says() -> None:
    # in AFLW the eyes of a face with roll r lie on a line that rises by r to the right
    roll = torch.tensor([-5.0])
    half = 10 * torch.tensor([math.cos(math.radians(-5)), -math.sin(math.radians(-5))])
    middle = torch.tensor([32.0, 32.0])
    eyes = torch.stack([middle - half, middle + half, middle, middle, middle])[None]
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    for change in ({"rotation": 0.8}, {"rotation": 0.8, "mirror": 0.1}, {"mirror": 0.1}):
        _, at, labels = moved(images, eyes, draws_of(**change), 64, roll=roll)
        across, down = (at[0, 1] - at[0, 0]).tolist()
        assert across > 0
        assert labels["roll"].item() == pytest.approx(math.degrees(math.atan2(-down, across)), 1e-4)


def test_mirror_twice_changes_nothing() -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    points = torch.rand(3, 5, 2) * 32
    labels = {
        "profile": torch.tensor([0, 3, -1]),
        "gender": torch.tensor([1, -1, 0]),
        "yaw": torch.tensor([30.0, -7.5, math.nan]),
    }
    mirror = draws_of(3, mirror=0.25)
    once, at, swapped = moved(images, points, mirror, 32, **labels)
    twice, back, restored = moved(once.round().byte(), at, mirror, 32, **swapped)
    torch.testing.assert_close(twice, images.float(), atol=0.51, rtol=0)
    torch.testing.assert_close(back, points, atol=1e-4, rtol=0)
    torch.testing.assert_close(once, images.float().flip(-1), atol=0.05, rtol=0)
    for name, values in labels.items():
        torch.testing.assert_close(restored[name], values, equal_nan=True)


def test_mirror_swaps_points_and_classes_and_keeps_what_is_missing() -> None:
    points = torch.tensor([[[10.0, 5], [22, 6], [18, 12], [math.nan, math.nan], [21, 20]]])
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    _, at, labels = moved(
        images,
        points,
        draws_of(mirror=0.0),
        32,
        profile=torch.tensor([1]),
        gender=torch.tensor([1]),
        roll=torch.tensor([12.0]),
        yaw=torch.tensor([-40.0]),
        pitch=torch.tensor([8.0]),
    )
    expected = torch.tensor([[[10.0, 6], [22, 5], [14, 12], [11, 20], [math.nan, math.nan]]])
    torch.testing.assert_close(at, expected, atol=1e-4, rtol=0, equal_nan=True)
    read = {name: value.item() for name, value in labels.items()}
    assert read == {"profile": 3, "gender": 1, "roll": -12.0, "yaw": 40.0, "pitch": 8.0}
    _, _, unknown = moved(images, points, draws_of(mirror=0.0), 32, profile=torch.tensor([-1]))
    assert unknown["profile"].item() == -1


def test_a_mirror_can_be_refused() -> None:
    images = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    points = torch.rand(1, 5, 2) * 16
    kept, at, _ = moved(images, points, draws_of(mirror=0.0), 16, Augmentation(mirror=False))
    torch.testing.assert_close(kept, images.float(), atol=0.05, rtol=0)
    torch.testing.assert_close(at, points, atol=1e-4, rtol=0)


def test_a_face_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (37, 3, 60, 60), dtype=torch.uint8)
    points = torch.rand(37, 5, 2) * 60
    draws = torch.rand(37, DRAWS, dtype=torch.float64)
    together = moved(images, points, draws, 48, roll=torch.rand(37))
    for i in (0, 5, 36):
        alone = moved(images[i : i + 1], points[i : i + 1], draws[i : i + 1], 48)
        assert torch.equal(alone[0][0], together[0][i])
        assert torch.equal(alone[1][0], together[1][i])


def test_amounts_are_the_largest_that_draws_can_reach() -> None:
    size = 100
    points = torch.tensor([[[60.0, 50.0]] * 5])
    images = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    amounts = Augmentation(scale=0.2, shift=0.1)
    _, smallest, _ = moved(images, points, draws_of(scale=0.0), size, amounts)
    _, left, _ = moved(images, points, draws_of(x=0.0), size, amounts)
    torch.testing.assert_close(smallest[0, 0], torch.tensor([58.0, 50.0]))
    torch.testing.assert_close(left[0, 0], torch.tensor([50.0, 50.0]))


def test_bad_shapes_are_refused() -> None:
    images = torch.zeros(2, 3, 33, 33, dtype=torch.uint8)
    points = torch.zeros(2, 5, 2)
    with pytest.raises(ValueError, match="window of 32 px"):
        centre(images, points, 32)
    with pytest.raises(ValueError, match="window of 35 px"):
        moved(images, points, draws_of(2), 35)
    with pytest.raises(ValueError, match="2 faces need 6 draws"):
        moved(images, points, draws_of(1), 33)


def test_normalise_gives_imagenets_mean_and_deviation() -> None:
    images = torch.tensor([0.0, 255.0, 127.5]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    out = normalise(images)
    np.testing.assert_allclose(out[0, :, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    np.testing.assert_allclose(
        out[1, :, 0, 0], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rtol=1e-5
    )
    assert out.dtype == torch.float32


def test_faces_of_unknown_symmetry_are_never_mirrored() -> None:
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    points = torch.rand(2, 3, 2) * 48
    unknown = Symmetry(points=(0, 1, 2), classes={}, mirror=False)
    draws = torch.rand(2, DRAWS)
    seen = []
    for mirror_draw in (0.1, 0.9):  # mirrored and not, where symmetry is known
        draws[:, 4] = mirror_draw
        seen.append(moved(images, points, draws, 48, symmetry=unknown)[:2])
    torch.testing.assert_close(seen[0], seen[1], atol=0, rtol=0)


def test_faces_without_landmarks_are_moved_all_the_same() -> None:
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    draws = torch.rand(2, DRAWS)
    seen = []
    for count in (0, 2):
        symmetry = Symmetry(points=tuple(range(count)), classes={})
        seen.append(moved(images, torch.zeros(2, count, 2), draws, 40, symmetry=symmetry))
    assert torch.equal(seen[0][0], seen[1][0])
    assert seen[0][1].shape == (2, 0, 2)
