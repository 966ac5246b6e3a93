"""The cascade at work: faces and their landmarks in photos of any size.

P looks everywhere in the photo at many scales, R and O look again at the squares around what the
stage before has found. Steps and constants are those of Zhang et al. 2016, but for two: boxes
follow the reduced photo's true scale and are never rounded.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dclib.data.photo import read
from dclib.fast.folding import fold
from dclib.mtcnn.boxes import Areas, calibrate, square, suppress
from dclib.mtcnn.stages import SIZES, Stage
from dclib.mtcnn.views import SWAPPED

STRIDE = 2  # of P's maps, in pixels
WITHIN, ACROSS = 0.5, 0.7  # greatest overlap of P's boxes of one scale, and of all scales
REFINED, FINAL = 0.7, 0.7  # and of R's, and of O's, there of the smaller box
BATCH = 256  # crops at a time
STRIP = 100_000  # pixels that P looks at at a time: maps stay in the processor's cache

Photo = Path | str | Image.Image | np.ndarray | Tensor
Candidates = tuple[Tensor, Tensor, Tensor | None]  # boxes (N, 4), scores (N,), points (N, 5, 2)


@dataclass(frozen=True)
class Settings:
    """What is looked for; a value out of range is a ValueError."""

    minimum: float = 20.0  # side of the smallest faces, in pixels
    factor: float = 0.709  # between one scale and the next
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)  # least probabilities in P, R, O

    def __post_init__(self) -> None:
        if not SIZES["P"] <= self.minimum < math.inf:
            rule = f"give the side of the smallest faces, at least the {SIZES['P']} px that P sees"
            raise ValueError(f"minimum={self.minimum}: {rule}")
        if not 0 < self.factor < 1:
            raise ValueError(f"factor={self.factor}: give a number between 0 and 1")
        if not (len(self.thresholds) == 3 and all(0 <= t <= 1 for t in self.thresholds)):
            raise ValueError(f"thresholds={self.thresholds}: give three numbers from 0 to 1")


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of a photo, by falling score, in its pixels."""

    boxes: np.ndarray  # float32 (N, 4); they may reach beyond the photo
    scores: np.ndarray  # float32 (N,), probabilities of a face
    points: np.ndarray  # float32 (N, 5, 2), x then y

    def __len__(self) -> int:
        return len(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: a list of faces, pixels with two decimals."""
        faces = zip(self.boxes, self.scores, self.points, strict=True)
        return {
            "faces": [
                {
                    "box": np.round(box.astype(float), 2).tolist(),
                    "score": round(float(score), 4),
                    "landmarks": np.round(points.astype(float), 2).tolist(),
                }
                for box, score, points in faces
            ]
        }


def photo(source: Photo) -> Tensor:
    """A photo as uint8 (3, H, W), RGB and upright.

    Args:
        source: a file or a PIL image, as `dclib.data.photo.read` reads it, or uint8 (3, H, W).

    Raises:
        DataError: as `dclib.data.photo.read`.
        ValueError: an array of another kind or shape.
    """
    if isinstance(source, (np.ndarray, Tensor)):
        pixels = source if isinstance(source, Tensor) else torch.from_numpy(np.array(source))
        if pixels.dtype != torch.uint8 or pixels.shape[:-2] != (3,) or not pixels.numel():
            kind = f"{pixels.dtype} {tuple(pixels.shape)}".removeprefix("torch.")
            raise ValueError(f"a photo is uint8 (3, height, width), not {kind}")
        return pixels
    name = "the photo" if isinstance(source, Image.Image) else str(source)
    rgb = np.array(read(Path(source) if isinstance(source, str) else source, name))  # (H, W, 3)
    return torch.from_numpy(rgb).permute(2, 0, 1).contiguous()


def scales(height: int, width: int, settings: Settings) -> list[float]:
    """How much a photo is reduced for P: first so that the smallest faces have P's 12 pixels."""
    found, scale = [], SIZES["P"] / settings.minimum
    while min(height, width) * scale >= SIZES["P"]:
        found.append(scale)
        scale *= settings.factor
    return found


class Cascade:
    """Trained stages, ready to detect.

    Args:
        stages: "P", "R" and "O"; the last ones may be missing while they are still to be trained.
            They stay as they are, and later changes to them have no effect.
        mirrored: O also sees the mirror images of the faces that stay, and their points are the
            mean of both, as the published cascade does it.

    Raises:
        ValueError: no stage, or one without the one before it.
    """

    def __init__(self, stages: Mapping[str, Stage], mirrored: bool = False) -> None:
        if not stages or list(stages) != list(SIZES)[: len(stages)]:
            raise ValueError(f"stages {list(stages)}: give P; P and R; or P, R and O, in order")
        self.stages = {name: _ready(stage) for name, stage in stages.items()}
        self.device = next(self.stages["P"].parameters()).device
        self.mirrored = mirrored

    @torch.no_grad()
    def candidates(
        self, image: Photo, settings: Settings | None = None, stage: str = "O"
    ) -> Candidates:
        """What comes out of one of the stages that are there, by falling score.

        Returns:
            Boxes (N, 4), calibrated and not yet made square; scores (N,); and O's points
            (N, 5, 2), None from the others.

        Raises:
            ValueError: a stage that is not there.
        """
        if stage not in self.stages:
            raise ValueError(f"stage {stage!r} is not in this cascade of {list(self.stages)}")
        settings = settings or Settings()
        areas = Areas(photo(image).to(self.device))
        # scores are logits until the end: as probabilities, many would be 1 and equally good
        least = dict(zip(SIZES, torch.tensor(settings.thresholds).logit().tolist(), strict=True))
        boxes, scores = self._everywhere(areas, scales(*areas.size, settings), least["P"])
        points = None
        for name in list(SIZES)[1 : list(SIZES).index(stage) + 1]:
            boxes, scores, points = self._again(name, areas, square(boxes), least[name])
        return boxes, scores.sigmoid(), points

    def detect(self, image: Photo, settings: Settings | None = None) -> Detections:
        """The faces of a photo, which is all that `photo` takes."""
        boxes, scores, points = self.candidates(image, settings)
        assert points is not None
        return Detections(*(x.cpu().numpy() for x in (boxes, scores, points)))

    def _everywhere(
        self, areas: Areas, scales: Sequence[float], least: float
    ) -> tuple[Tensor, Tensor]:
        """P on the whole photo at all scales: boxes (N, 4), and scores (N,)."""
        found = [torch.zeros(0, 9, device=self.device)]  # box, offsets, score
        for scale in scales:
            # even, so that pooling leaves nothing out
            height, width = (2 * math.ceil(side * scale / 2) for side in areas.size)
            maps = self._maps(areas.reduce(height, width)[None])
            scores = maps["face"][0].diff(dim=0)[0]  # (h, w)
            places = (scores >= least).nonzero()  # (N, 2), y before x
            y, x = places.unbind(dim=1)
            corners = STRIDE * places.flip(1)
            boxes = torch.cat([corners, corners + SIZES["P"]], dim=1).float()
            # whole numbers: boxes two places apart share exactly half, wherever they are
            kept = suppress(boxes, scores[y, x], WITHIN)
            x, y, boxes = x[kept], y[kept], boxes[kept]
            boxes *= boxes.new_tensor([areas.size[1] / width, areas.size[0] / height] * 2)
            offsets = maps["box"][0, :, y, x].t()
            found.append(torch.cat([boxes, offsets, scores[y, x, None]], dim=1))
        rows = torch.cat(found)
        rows = rows[suppress(rows[:, :4], rows[:, 8], ACROSS)]
        return _with_area(calibrate(rows[:, :4], rows[:, 4:8]), rows[:, 8])

    def _maps(self, image: Tensor) -> dict[str, Tensor]:
        """P's maps of an image (1, 3, h, w), strip by strip where each place is on its own."""
        stage, size = self.stages["P"], SIZES["P"]
        if not stage.local:
            return stage.maps(image)
        step = max(1, STRIP // (STRIDE * image.shape[3])) * STRIDE
        starts = range(0, image.shape[2] - size + 1, step)
        parts = [stage.maps(image[:, :, top : top + step + size - STRIDE]) for top in starts]
        return {task: torch.cat([part[task] for part in parts], dim=2) for task in parts[0]}

    def _again(self, name: str, areas: Areas, squares: Tensor, least: float) -> Candidates:
        """R or O on squares (N, 4)."""
        found = self._looked(name, areas, squares)
        scores = found["face"].diff(dim=1)[:, 0]
        good = scores >= least
        squares, scores, box = squares[good], scores[good], found["box"][good]
        if name == "R":
            kept = suppress(squares, scores, REFINED)
            return *_with_area(calibrate(squares[kept], box[kept]), scores[kept]), None
        boxes = calibrate(squares, box)
        kept = suppress(boxes, scores, FINAL, by="smaller")
        squares, points = squares[kept], found["landmarks"][good][kept]
        if self.mirrored:
            seen = self._looked(name, areas, squares, mirror=True)["landmarks"][:, list(SWAPPED)]
            points = (points + torch.stack([1 - seen[..., 0], seen[..., 1]], dim=2)) / 2
        sides = squares[:, None, 2:] - squares[:, None, :2]  # (N, 1, 2)
        return boxes[kept], scores[kept], squares[:, None, :2] + points * sides

    def _looked(
        self, name: str, areas: Areas, squares: Tensor, mirror: bool = False
    ) -> dict[str, Tensor]:
        """What R or O says of squares (N, 4), or of their mirror images."""
        stage = self.stages[name]
        crops = [areas.cut(some, stage.size) for some in squares.split(BATCH)]
        crops = [crop.flip(3) for crop in crops] if mirror else crops
        answers = [stage(crop.contiguous(memory_format=torch.channels_last)) for crop in crops]
        return {task: torch.cat([a[task] for a in answers]) for task in answers[0]}


def _with_area(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Without those that offsets have turned inside out."""
    good = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return boxes[good], scores[good]


@torch.no_grad()
def _ready(stage: Stage) -> Stage:
    """A stage for use on values of a photo: without BatchNorms, and the first layer normalises."""
    folded = cast(Stage, fold(stage, stage.size))
    for column in cast(list[nn.ModuleList], folded.columns):
        first = cast(nn.Conv2d, cast(nn.Sequential, column[0])[0])
        assert first.bias is not None
        first.weight /= 128
        first.bias -= 127.5 * first.weight.sum(dim=(1, 2, 3))  # no padding: the same everywhere
    return folded.to(memory_format=torch.channels_last)
