"""What the stages of a cascade learn from: crops of photos, drawn around faces and elsewhere.

Kinds and numbers are those of DFace, the code that the paper followed, with three differences.
Sides of negatives are drawn evenly on a logarithmic scale, up to the photo's shorter side: so each
step of the pyramid in which faces are looked for gets as many, and wide views with a small face in
them are among them. Crops may reach beyond the photo, where all is black, as they do when faces are
looked for. And a landmark face is kept once, in a larger crop, which `dclib.mtcnn.views` shows
anew each time, where DFace keeps ten jittered crops of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from dclib.data.photos import PhotoSet
from dclib.data.progress import progress
from dclib.mtcnn.boxes import cut, iou, offsets, square
from dclib.mtcnn.boxes import over as over_by

KINDS = ("negative", "positive", "part", "landmark")
NEGATIVE, POSITIVE, PART, LANDMARK = range(len(KINDS))
NEITHER = -1  # overlaps a face too much for a negative, too little for a part of one
NEGATIVE_BELOW, PART_FROM, POSITIVE_FROM = 0.3, 0.4, 0.65  # IoU with the nearest face
SCALES, SHIFT = (0.8, 1.25), 0.2  # of jittered crops, in sides of the face's box
AROUND = 1.6  # side of what is kept of a landmark face, in sides of its box
FINER = 2.5  # pixels along it, in sides of the stage's input


@dataclass(frozen=True, eq=False)
class Samples:
    """Square crops of photos, and what a stage is to say of them."""

    pixels: Tensor  # uint8 (N, 3, S, S); of landmark faces larger than the stage's input
    kind: Tensor  # int8 (N,), numbers of `KINDS`
    offsets: Tensor  # float32 (N, 4), from square to box, see `boxes.offsets`; NaN for negatives
    points: Tensor  # float32 (N, 5, 2), as shares of the square; NaN where not known
    photo: Tensor  # int32 (N,), number of the photo
    squares: Tensor  # float32 (N, 4), in pixels of the photo
    scores: Tensor  # float32 (N,), what the stage before gave; NaN for what was drawn
    left_out: int = 0  # crops that may show a face that nobody annotated, see `mining.mine`

    def __len__(self) -> int:
        return len(self.kind)

    def counts(self) -> dict[str, int]:
        """How many there are of each kind, and how many were left out."""
        numbers = {name: int((self.kind == kind).sum()) for kind, name in enumerate(KINDS)}
        return numbers | {"left out": self.left_out}


def join(parts: Sequence[Samples]) -> Samples:
    """All samples of one or more parts whose crops have the same size, in order."""
    tensors = [field.name for field in fields(Samples) if field.name != "left_out"]
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in tensors}
    return Samples(**columns, left_out=sum(part.left_out for part in parts))


@dataclass(frozen=True)
class Recipe:
    """How many crops are drawn."""

    negatives: int = 50  # of each photo, anywhere; also how many one gives at most when mined
    near: int = 5  # around each face, of which those that overlap it little become negatives
    jitters: int = 20  # of each face, shifted and scaled, for positives and parts
    smallest: float = 40.0  # side of the smallest box that the last two and landmarks are of


def judge(squares: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What squares (N, 4) are, by their overlap with the boxes (K, 4) of the faces.

    Returns:
        Kinds int8 (N,), `NEITHER` included; the face (N,) that each overlaps most, 0 where there is
        none; and by how much (N,), as IoU.
    """
    if len(boxes) == 0:
        nowhere = torch.zeros(len(squares))
        return nowhere.to(torch.int8), nowhere.long(), nowhere
    overlap, face = iou(squares, boxes).max(dim=1)
    kind = torch.full((len(squares),), NEITHER, dtype=torch.int8)
    kind[overlap < NEGATIVE_BELOW] = NEGATIVE
    kind[overlap >= PART_FROM] = PART
    kind[overlap > POSITIVE_FROM] = POSITIVE
    return kind, face, overlap


def over(squares: Tensor, regions: Tensor) -> Tensor:
    """Which squares (N, 4) lie with `NEGATIVE_BELOW` of their area or more over one of regions."""
    return over_by(squares, regions, NEGATIVE_BELOW)


def crops(
    photos: PhotoSet,
    number: int,
    image: Tensor,
    size: int,
    squares: Tensor,
    kind: Tensor,
    face: Tensor,
    scores: Tensor | None = None,
) -> Samples:
    """Samples of one photo: squares (N, 4) of known kind (N,) and face (N,), `size` pixels wide."""
    count = len(squares)
    boxes, points = (torch.from_numpy(of[number]) for of in (photos.boxes, photos.points))
    to_box = torch.full((count, 4), torch.nan)
    to_points = torch.full((count, 5, 2), torch.nan)
    faces = kind != NEGATIVE
    whole = (kind == POSITIVE) | (kind == LANDMARK)
    to_box[faces] = offsets(squares[faces], boxes[face[faces]])
    sides = squares[whole, 2:] - squares[whole, :2]
    to_points[whole] = (points[face[whole]] - squares[whole, None, :2]) / sides[:, None]
    return Samples(
        pixels=cut(image, squares, size).round().to(torch.uint8),
        kind=kind,
        offsets=to_box,
        points=to_points,
        photo=torch.full((count,), number, dtype=torch.int32),
        squares=squares,
        scores=torch.full((count,), torch.nan) if scores is None else scores,
    )


def each(photos: PhotoSet, doing: str) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Of each photo its number, pixels (3, H, W), boxes (K, 4) and ignored regions; a bar tells."""
    for number in progress(range(len(photos)), doing, len(photos)):
        shown = (photos.read(number), photos.boxes[number], photos.ignored[number])
        yield number, *map(torch.from_numpy, shown)  # type: ignore[misc]


def _large(boxes: Tensor, recipe: Recipe) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).amin(dim=1) >= recipe.smallest


def draw(photos: PhotoSet, size: int, recipe: Recipe, seed: int) -> Samples:
    """Samples of the first stage: negatives anywhere and near faces, positives and parts.

    Args:
        size: side of the crops in pixels; no negative is cut from fewer.
        seed: of all draws; a photo's depend on its number and on nothing else.
    """
    parts = []
    for number, image, boxes, ignored in each(photos, f"draw {size}-px samples"):
        stream = np.random.default_rng([seed, number])
        large = boxes[_large(boxes, recipe)]
        anywhere = _within(image.shape, size, 2 * recipe.negatives, stream)
        touched = large.repeat_interleave(recipe.near, dim=0)
        near = _within(image.shape, size, len(touched), stream, touched)
        jittered = _jittered(large.repeat_interleave(recipe.jitters, dim=0), stream)

        chosen = []
        for squares, kinds, most in (
            (anywhere, (NEGATIVE,), recipe.negatives),
            (near, (NEGATIVE,), len(near)),
            (jittered, (POSITIVE, PART), len(jittered)),
        ):
            kind, _, _ = judge(squares, boxes)
            wanted = torch.isin(kind, torch.tensor(kinds, dtype=torch.int8))
            if NEGATIVE in kinds:
                wanted &= ~over(squares, ignored)
            chosen.append(squares[wanted][:most])
        squares = torch.cat(chosen)
        kind, face, _ = judge(squares, boxes)
        parts.append(crops(photos, number, image, size, squares, kind, face))
    return join(parts)


def draw_landmarks(photos: PhotoSet, size: int, recipe: Recipe) -> Samples:
    """Every face with all five points, with what lies around it: 1.6 sides of its box.

    Args:
        size: side of the stage's input in pixels; the crops have 2.5 times as many.
    """
    parts = []
    for number, image, boxes, _ in each(photos, "cut landmark faces"):
        known = torch.from_numpy(photos.points[number]).isfinite().all(dim=2).all(dim=1)
        face = torch.nonzero(known & _large(boxes, recipe))[:, 0]
        kind = torch.full((len(face),), LANDMARK, dtype=torch.int8)
        squares = _widened(square(boxes[face]), AROUND)
        parts.append(crops(photos, number, image, round(FINER * size), squares, kind, face))
    return join(parts)


def _widened(squares: Tensor, share: float) -> Tensor:
    """Squares (N, 4) around the same centres, this many times as wide."""
    centres = (squares[:, :2] + squares[:, 2:]) / 2
    halves = share * (squares[:, 2:] - squares[:, :2]) / 2
    return torch.cat([centres - halves, centres + halves], dim=1)


def _within(
    shape: Sequence[int],
    size: int,
    count: int,
    stream: np.random.Generator,
    near: Tensor | None = None,
) -> Tensor:
    """Squares (count, 4) within a photo, `size` pixels wide or wider; none if it is smaller.

    Their sides are even on a logarithmic scale, up to the photo's. They lie anywhere, or such that
    each touches one of the boxes `near` (count, 4), or nearly does.
    """
    extent = np.array([shape[2], shape[1]])
    if extent.min() < size:
        return torch.zeros(0, 4)
    sides = size * (extent.min() / size) ** stream.random((count, 1))
    room = extent - sides
    first, last = np.zeros((count, 2)), room
    if near is not None:
        first, last = near[:, :2].numpy() - sides, near[:, 2:].numpy()
    corners = first + stream.random((count, 2)) * (last - first)
    return _squares(np.clip(corners, 0, room), sides)


def _jittered(boxes: Tensor, stream: np.random.Generator) -> Tensor:
    """For each of boxes (N, 4) a square (N, 4) of about its size and place."""
    around = boxes.numpy()
    extent = around[:, 2:] - around[:, :2]  # (N, 2)
    smallest, largest = SCALES[0] * extent.min(axis=1), SCALES[1] * extent.max(axis=1)
    sides = (smallest + stream.random(len(boxes)) * (largest - smallest))[:, None]  # (N, 1)
    shifts = SHIFT * (2 * stream.random((len(boxes), 2)) - 1) * extent
    return _squares((around[:, :2] + around[:, 2:]) / 2 + shifts - sides / 2, sides)


def _squares(corners: np.ndarray, sides: np.ndarray) -> Tensor:
    """Squares (N, 4) from their left and top (N, 2) and their sides (N, 1)."""
    return torch.from_numpy(np.hstack([corners, corners + sides]).astype(np.float32))
