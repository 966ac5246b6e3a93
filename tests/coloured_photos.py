"""Photos whose colours tell where they are: red is x, green is y, so crops can be checked."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dclib.data.photos import PhotoSet

SIDE = 240  # the largest whose coordinates colours can tell


def photo_set(
    boxes: Sequence[Sequence[Sequence[float]]],
    points: Sequence[np.ndarray] | None = None,
    ignored: Sequence[Sequence[Sequence[float]]] | None = None,
    complete: bool = True,
    shape: tuple[int, int] = (SIDE, SIDE),
) -> PhotoSet:
    """A photo for each list of boxes; without points, all of them are missing."""
    count = len(boxes)
    faces = tuple(np.array(of, dtype=np.float32).reshape(-1, 4) for of in boxes)
    if points is None:
        points = [np.full((len(of), 5, 2), np.nan, dtype=np.float32) for of in faces]
    regions = ignored or [[]] * count
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = np.stack([x, y, np.full(shape, 128)]).astype(np.uint8)
    return PhotoSet(
        name="coloured",
        fingerprint="0",
        names=tuple(f"{number}.png" for number in range(count)),
        boxes=faces,
        points=tuple(points),
        ignored=tuple(np.array(of, dtype=np.float32).reshape(-1, 4) for of in regions),
        groups=np.arange(count),
        complete=complete,
        read=lambda number: pixels,
    )


def places(images: Tensor, at: Tensor) -> Tensor:
    """Where in the photo images (N, 3, s, s) in 0..255 show the points (N, K, 2), in shares."""
    read = torch.nn.functional.grid_sample(
        images.float(), 2 * at[:, None] - 1, align_corners=False, padding_mode="border"
    )  # (N, 3, 1, K)
    return read[:, :2, 0].mT + 0.5  # a pixel's colour is its number, its centre half more
