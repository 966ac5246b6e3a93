"""Batch augmentation that moves points with pixels, on whatever device the faces are.

Every random number comes from outside: one row of `DRAWS` uniforms in [0, 1) per face, used as

    0 scale, 1 shift in x, 2 shift in y, 3 rotation, 4 mirror (below 0.5), 5 spare

where 0.5 is the middle of the range, which changes nothing. About the centre of the window a face
is first mirrored, then rotated and scaled, then shifted. A positive rotation turns the picture
counter-clockwise as seen, which is the sign of AFLW's roll, so it adds to roll: in AFLW, roll
grows when the eye on the image's right rises.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dclib.data.faces import Symmetry

DRAWS = 6
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Augmentation:
    """How far a face may be moved: each amount is the largest, in either direction."""

    scale: float = 0.10  # share of the size
    shift: float = 0.06  # share of the window's width
    rotation: float = 15.0  # degrees
    mirror: bool = True


def augment(
    images: Tensor,
    landmarks: Tensor,
    labels: dict[str, Tensor],
    draws: Tensor,
    *,
    resolution: int,
    symmetry: Symmetry,
    augmentation: Augmentation,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The faces as seen through a window that is scaled, turned, shifted and maybe mirrored.

    A mirror swaps left and right points and classes and negates angles as `symmetry` says, and is
    left out where it does not say; a rotation adds to the angles that it names. Missing stays
    missing: points NaN, classes -1.

    Args:
        images: uint8 (B, 3, S, S); beyond their border the outermost pixels repeat.
        landmarks: (B, L, 2), x then y, in pixels of `images`.
        labels: classes (B,) as integers or angles (B,) in degrees.
        draws: (B, 6) uniforms in [0, 1).

    Returns:
        Images float32 (B, 3, R, R) in 0..255, landmarks in pixels of the R window, labels.

    Raises:
        ValueError: draws of another shape, or a window that cannot be centred (see `centre`).
    """
    size = images.shape[-1]
    _margin(size, resolution)
    if draws.shape != (len(images), DRAWS):
        raise ValueError(f"draws {tuple(draws.shape)}: {len(images)} faces need {DRAWS} draws each")
    scale_draw, x_draw, y_draw, rotation_draw, mirror_draw, _ = draws.float().unbind(1)
    scale = 1 + augmentation.scale * (2 * scale_draw - 1)  # (B,)
    shift = augmentation.shift * resolution * (2 * torch.stack([x_draw, y_draw], 1) - 1)  # (B, 2)
    degrees = augmentation.rotation * (2 * rotation_draw - 1)  # (B,)
    mirrored = (mirror_draw < 0.5) & (augmentation.mirror and symmetry.mirror)  # (B,)

    matrix = _matrix(scale, degrees, mirrored)  # (B, 2, 2)
    x, y = (landmarks.float() - size / 2).unbind(-1)  # (B, L)
    (a, b), (c, d) = matrix.permute(1, 2, 0)[..., None]  # each (B, 1)
    moved = torch.stack([a * x + b * y, c * x + d * y], dim=-1)  # (B, L, 2)
    moved = moved + shift[:, None] + resolution / 2
    return (
        _sample(images, matrix, shift, resolution),
        torch.where(mirrored[:, None, None], moved[:, list(symmetry.points)], moved),
        {name: _relabel(name, of, degrees, mirrored, symmetry) for name, of in labels.items()},
    )


def centre(images: Tensor, landmarks: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """The window in the middle of the faces, as the network sees them without augmentation.

    Images (B, 3, S, S) become float32 (B, 3, R, R); landmarks move to pixels of the window.

    Raises:
        ValueError: S below R, or S - R odd, where the middle falls between two pixels.
    """
    edge = _margin(images.shape[-1], resolution)
    window = images[..., edge : edge + resolution, edge : edge + resolution]
    return window.float(), landmarks - edge


def normalise(images: Tensor) -> Tensor:
    """Images (B, 3, R, R) in 0..255 to float32 with ImageNet's mean 0 and deviation 1."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return (images.float() - 255 * mean) / (255 * std)


def _margin(size: int, resolution: int) -> int:
    """Pixels between the edge of an image and the edge of its centred window."""
    if size < resolution or (size - resolution) % 2:
        raise ValueError(
            f"a window of {resolution} px has no exact centre place in images of {size} px"
        )
    return (size - resolution) // 2


def _matrix(scale: Tensor, degrees: Tensor, mirrored: Tensor) -> Tensor:
    """Turns offsets from the image's centre into offsets from the window's: (B, 2, 2)."""
    angle = degrees * (math.pi / 180)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    across = 1 - 2 * mirrored.float()  # -1 where mirrored
    # y points down, hence the sign of the sines: counter-clockwise as seen
    return torch.stack([across * cos, sin, -across * sin, cos], 1).view(-1, 2, 2)


def _sample(images: Tensor, matrix: Tensor, shift: Tensor, resolution: int) -> Tensor:
    """Bilinear samples (B, 3, R, R) of `images` at the window's pixel centres, moved back."""
    (a, b), (c, d) = matrix.permute(1, 2, 0)[..., None, None]  # each (B, 1, 1)
    determinant = a * d - b * c
    offset = torch.arange(resolution, device=images.device) + 0.5 - resolution / 2
    x = offset[None, None, :] - shift[:, 0, None, None]  # (B, 1, R)
    y = offset[None, :, None] - shift[:, 1, None, None]  # (B, R, 1)
    back = torch.stack([d * x - b * y, a * y - c * x], dim=-1) / determinant[..., None]
    # with align_corners=False, -1 and 1 are the outer edges 0 and S of the image
    grid = back * (2 / images.shape[-1])  # (B, R, R, 2)
    return functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _relabel(
    name: str, values: Tensor, degrees: Tensor, mirrored: Tensor, symmetry: Symmetry
) -> Tensor:
    if name in symmetry.classes:
        # the last entry is where -1 points
        swapped = torch.tensor([*symmetry.classes[name], -1], device=values.device)
        values = torch.where(mirrored, swapped[values], values)
    if name in symmetry.negated:
        values = torch.where(mirrored, -values, values)
    if name in symmetry.rolled:
        values = values + degrees
    return values
