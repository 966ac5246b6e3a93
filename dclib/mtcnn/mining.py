"""What R and O learn from: what the stages before them take for faces, rightly or wrongly."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dclib.data.photos import PhotoSet
from dclib.mtcnn.boxes import square
from dclib.mtcnn.detect import Cascade, Settings
from dclib.mtcnn.samples import NEGATIVE, NEITHER, Recipe, Samples, crops, each, join, judge, over

SURE, APART = 0.95, 0.05  # score and IoU beyond which a negative may be a face without a box


def mine(
    photos: PhotoSet,
    cascade: Cascade,
    before: str,
    size: int,
    recipe: Recipe,
    settings: Settings,
    seed: int,
) -> Samples:
    """Squares around all that a cascade finds, as samples for its next stage.

    Of photos in which not every face has a box, what R is sure of and what lies apart from the
    annotated faces may be one more face: it is left out and counted. What lies over ignored regions
    is left out as well.

    Args:
        before: the last stage that looks, "P" or "R".
        size: side of the crops in pixels.
        recipe: of its numbers only `negatives` counts, at most so many of each photo.
        seed: of the choice where there are more.
    """
    parts, left_out = [], 0
    for number, image, boxes, ignored in each(photos, f"mine behind {before}"):
        found, scores, _ = cascade.candidates(image, settings, before)
        squares, scores = square(found).cpu(), scores.cpu()
        kind, face, overlap = judge(squares, boxes)
        negative = (kind == NEGATIVE) & ~over(squares, ignored)
        if before == "R" and not photos.complete:
            unknown = negative & (scores > SURE) & (overlap < APART)
            negative &= ~unknown
            left_out += int(unknown.sum())
        stream = np.random.default_rng([seed, number])
        candidates = stream.permutation(torch.nonzero(negative)[:, 0].numpy())
        faces = torch.nonzero((kind != NEGATIVE) & (kind != NEITHER))[:, 0]
        chosen = torch.cat([torch.from_numpy(candidates[: recipe.negatives]), faces])
        told = (of[chosen] for of in (squares, kind, face, scores))
        parts.append(crops(photos, number, image, size, *told))
    return replace(join(parts), left_out=left_out)


def hardest(samples: Samples, photos: PhotoSet, count: int = 64) -> list[dict[str, Any]]:
    """The mined negatives with the highest scores: photo, square and score of each."""
    negatives = torch.nonzero(samples.kind == NEGATIVE)[:, 0]
    order = negatives[samples.scores[negatives].argsort(descending=True, stable=True)[:count]]
    return [
        {
            "photo": photos.names[int(samples.photo[at])],
            "square": [round(side, 1) for side in samples.squares[at].tolist()],
            "score": round(float(samples.scores[at]), 4),
        }
        for at in order.tolist()
    ]
