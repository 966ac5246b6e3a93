"""What a network is shown of samples in training: mirrored at random, landmark faces ever anew.

A landmark face is kept with what lies around it. Each time it is asked for, it is turned about the
middle of its box, and seen through a square that is drawn as DFace draws its jittered crops: scaled
by 0.8 to 1.25 and shifted by at most a fifth of the box, such that the IoU with it is above 0.65.
DFace does not turn faces. But it learns from many more of them, and heads in its test are tilted
more than those in LFWNet.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dclib.mtcnn.samples import POSITIVE_FROM, SCALES, SHIFT, Samples
from dclib.mtcnn.stages import normalise

SWAPPED = (1, 0, 2, 4, 3)  # points of a mirrored face
TURN = 15.0  # degrees at most, in either direction
TRIES = 8  # squares that are drawn for a view; the first that overlaps the box enough is taken
DRAWS = 2 + 3 * TRIES  # mirror, turn, and each square's scale, shift in x and in y


@dataclass(frozen=True, eq=False)
class Batch:
    """Views of B samples: normalised images (B, 3, s, s); the rest as in `Samples`."""

    images: Tensor
    kind: Tensor
    offsets: Tensor
    points: Tensor


def look(samples: Samples, index: Tensor, size: int, draws: Tensor | None = None) -> Batch:
    """The samples of an index (B,), as crops of `size` pixels.

    Args:
        draws: (B, `DRAWS`) uniforms in [0, 1); None shows everything unmirrored, and landmark faces
            upright and through the square around their box.
    """
    pixels, kind = samples.pixels[index], samples.kind[index]
    offsets, points = samples.offsets[index], samples.points[index]
    if pixels.shape[-1] == size:
        images = pixels.float()
    else:
        images, offsets, points = _through(pixels, offsets, points, size, draws)
    if draws is not None:
        mirrored = draws[:, 0] < 0.5
        images[mirrored] = images[mirrored].flip(3)
        offsets[mirrored] = offsets[mirrored][:, [2, 1, 0, 3]] * offsets.new_tensor([-1, 1, -1, 1])
        points[mirrored] = points[mirrored][:, list(SWAPPED)] * points.new_tensor([-1, 1])
        points[mirrored] += points.new_tensor([1, 0])
    return Batch(normalise(images), kind, offsets, points)


def together(batches: Sequence[Batch]) -> Batch:
    """All of one or more batches, in order."""
    names = ("images", "kind", "offsets", "points")
    return Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in names))


def _through(
    pixels: Tensor, offsets: Tensor, points: Tensor, size: int, draws: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops (B, 3, S, S) seen through squares about their faces; all in shares of the crop."""
    box = offsets + offsets.new_tensor([0, 0, 1, 1])  # (B, 4)
    middle = (box[:, :2] + box[:, 2:]) / 2
    corner, side = _squares(box, draws)  # (B, 2), (B, 1)
    angle = torch.zeros(len(box)) if draws is None else (2 * draws[:, 1] - 1) * math.radians(TURN)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)

    at = (torch.arange(size) + 0.5) / size
    seen = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=2).flatten(0, 1)  # (s * s, 2)
    places = (corner - middle)[:, None] + seen * side[:, None]  # (B, s * s, 2)
    # a row times the matrix is the transposed matrix, that is the turn back, times the column
    grid = 2 * (places @ turn + middle[:, None]) - 1
    images = functional.grid_sample(
        pixels.float(), grid.unflatten(1, (size, size)), align_corners=False
    )
    turned = (points - middle[:, None]) @ turn.mT + (middle - corner)[:, None]  # (B, 5, 2)
    square = torch.cat([corner, corner + side], dim=1)
    return images, (box - square) / side, turned / side[:, None]


def _squares(box: Tensor, draws: Tensor | None) -> tuple[Tensor, Tensor]:
    """Corner (B, 2) and side (B, 1) of a square about each box (B, 4)."""
    extent = box[:, 2:] - box[:, :2]  # (B, 2)
    side = extent.amax(dim=1, keepdim=True)
    middle = (box[:, :2] + box[:, 2:]) / 2
    if draws is None:
        return middle - side / 2, side
    drawn = draws[:, 2:].unflatten(1, (TRIES, 3))
    scales = SCALES[0] + (SCALES[1] - SCALES[0]) * drawn[..., :1]  # (B, TRIES, 1)
    shifts = SHIFT * (2 * drawn[..., 1:] - 1)  # (B, TRIES, 2)
    # where no square will do, the one around the box itself
    sides = side[:, None] * torch.cat([scales, torch.ones(len(box), 1, 1)], dim=1)
    middles = middle[:, None] + side[:, None] * functional.pad(shifts, (0, 0, 0, 1))
    corners = middles - sides / 2
    last = torch.minimum(corners + sides, box[:, None, 2:])
    shared = (last - torch.maximum(corners, box[:, None, :2])).clamp(min=0).prod(dim=2)
    union = sides[..., 0] ** 2 + extent.prod(dim=1)[:, None] - shared
    fits = shared > POSITIVE_FROM * union  # (B, TRIES + 1)
    fits[:, -1] = True
    taken = fits.to(torch.uint8).argmax(dim=1)
    rows = torch.arange(len(box))
    return corners[rows, taken], sides[rows, taken]
