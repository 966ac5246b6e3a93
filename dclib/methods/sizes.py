"""Feature maps of one size, where columns are of different networks."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (B, C, h, w) at another size: averaged where it is less, bilinear where it is more."""
    height, width = size
    least = (min(height, x.shape[-2]), min(width, x.shape[-1]))
    if least != x.shape[-2:]:
        x = functional.adaptive_avg_pool2d(x, least)
    if least != (height, width):
        x = functional.interpolate(x, (height, width), mode="bilinear", align_corners=False)
    return x
