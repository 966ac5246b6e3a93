"""Boxes around faces, how they overlap and move, and what a photo shows in them.

Boxes are (left, top, right, bottom) in pixels of a photo, where pixel i covers [i, i + 1).
"""

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision import ops


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (N, 4) with others (M, 4), as (N, M)."""
    overlaps: Tensor = ops.box_iou(boxes, others)
    return overlaps


def _shared(boxes: Tensor, others: Tensor) -> Tensor:
    """The area that boxes (N, 4) share with others (M, 4), as (N, M)."""
    first = torch.maximum(boxes[:, None, :2], others[:, :2])  # (N, M, 2)
    last = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    return (last - first).clamp(min=0).prod(dim=2)


def over(boxes: Tensor, regions: Tensor, share: float) -> Tensor:
    """Which boxes (N,) lie with this share of their own area or more over one of the regions."""
    return (_shared(boxes, regions) >= share * ops.box_area(boxes)[:, None]).any(dim=1)


def suppress(boxes: Tensor, scores: Tensor, threshold: float, by: str = "union") -> Tensor:
    """Non-maximum suppression: which boxes overlap no better one that stays by more than a share.

    Args:
        boxes, scores: (N, 4) and (N,); the higher, the better.
        threshold: the share, of the union; or by the "smaller" of both boxes, which also counts a
            box within another as the same face (the last stage of MTCNN).

    Returns:
        Numbers of the boxes that stay, by falling score.
    """
    if by == "union":
        kept: Tensor = ops.nms(boxes, scores, threshold)
        return kept
    if by != "smaller":
        raise ValueError(f"by={by!r}: choose 'union' or 'smaller'")
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    areas = ops.box_area(boxes)
    over = (_shared(boxes, boxes) > threshold * torch.minimum(areas[:, None], areas)).triu(
        diagonal=1
    )
    # one box after the other would do; here all are judged at once until nothing changes any more,
    # which is at the same boxes, for the best one is right from the start, and so on
    stays = torch.ones_like(order, dtype=torch.bool)
    while not torch.equal(stays, now := ~(over & stays[:, None]).any(dim=0)):
        stays = now
    return order[stays]


def _sizes(boxes: Tensor) -> Tensor:
    """Width, height, width and height of boxes, as (N, 4)."""
    return (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def offsets(boxes: Tensor, truth: Tensor) -> Tensor:
    """How far each side of the true boxes is off, in widths and heights of the boxes; (N, 4)."""
    return (truth - boxes) / _sizes(boxes)


def calibrate(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Boxes (N, 4) moved by such offsets."""
    return boxes + offsets * _sizes(boxes)


def square(boxes: Tensor) -> Tensor:
    """The squares (N, 4) around the same centres whose sides are the longer ones of the boxes."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centres - halves, centres + halves], dim=1)


class Areas:
    """A photo from which squares are cut and that is reduced, each new pixel the mean of its area.

    Means are exact for areas of any size and place. Beyond the photo everything is black.

    Args:
        image: uint8 or float (3, H, W).
    """

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self.size = (image.shape[1], image.shape[2])  # height before width

    @cached_property
    def sums(self) -> Tensor:
        """The sum of all pixels left of and above each corner, float64 (3, H + 1, W + 1)."""
        exact = torch.int32 if self.image.dtype == torch.uint8 else torch.float64
        rows = self.image.cumsum(dim=1, dtype=exact)
        return functional.pad(rows.cumsum(dim=2, dtype=torch.float64), (1, 0, 1, 0))

    @cached_property
    def columns(self) -> Tensor:
        """The photo as float32 (W, H, 3)."""
        return self.image.permute(2, 1, 0).contiguous().float()

    def cut(self, squares: Tensor, size: int) -> Tensor:
        """What squares (N, 4) show, float32 (N, 3, size, size), in values of the photo.

        Raises:
            ValueError: a square whose side is not above 0.
        """
        if not (squares[:, 2:] > squares[:, :2]).all():
            raise ValueError("a square to be cut has no area")
        squares = squares.double()
        sides = squares[:, 2:] - squares[:, :2]  # (N, 2)
        steps = torch.linspace(0, 1, size + 1, dtype=torch.float64, device=squares.device)
        corners = squares[:, None, :2] + sides[:, None] * steps[:, None]  # (N, size + 1, 2)
        # from -1 to 1, as grid_sample counts; it holds what is further out at the border
        corners = corners * 2 / corners.new_tensor(self.size[::-1]) - 1
        x, y = corners.unbind(dim=2)
        places = torch.stack(torch.broadcast_tensors(x[:, None], y[:, :, None]), dim=3)
        sums = functional.grid_sample(
            self.sums[None], places.flatten(0, 1)[None], padding_mode="border", align_corners=True
        )  # (1, 3, N (size + 1), size + 1)
        sums = sums[0].unflatten(1, (-1, size + 1)).diff(dim=2).diff(dim=3)  # (3, N, size, size)
        means = sums * (size**2 / sides.prod(dim=1))[:, None, None]
        return means.transpose(0, 1).float()

    def reduce(self, height: int, width: int) -> Tensor:
        """The whole photo in so many pixels, float32 (3, height, width)."""
        narrow = _reduced(self.columns, width)  # (width, H, 3)
        return _reduced(narrow.transpose(0, 1), height).permute(2, 0, 1)


def _reduced(rows: Tensor, count: int) -> Tensor:
    """Rows (N, ...) as fewer rows (count, ...), each the mean of an equally long stretch."""
    index, shares = _stretches(len(rows), count)
    sums = functional.embedding_bag(
        index.to(rows.device),
        rows.flatten(1),
        mode="sum",
        per_sample_weights=shares.to(rows.device),
    )  # which adds up weighted rows in one go
    return sums.unflatten(1, rows.shape[1:])


def _stretches(size: int, count: int) -> tuple[Tensor, Tensor]:
    """Which of `size` rows lie in each of `count` stretches, and their shares of it: (count, K)."""
    ends = np.arange(count + 1) * (size / count)
    index = np.floor(ends[:-1, None] + np.arange(math.ceil(size / count) + 1))  # (count, K)
    shared = np.minimum(index + 1, ends[1:, None]) - np.maximum(index, ends[:-1, None])
    shares = np.maximum(shared, 0) * (count / size)
    index = torch.from_numpy(index.clip(max=size - 1).astype(np.int64))
    return index, torch.from_numpy(shares.astype(np.float32))


def cut(image: Tensor, squares: Tensor, size: int) -> Tensor:
    """What squares of a photo show, see `Areas`: the one way in which crops are cut."""
    return Areas(image).cut(squares, size)
