"""Section 4.5: what cascades see in single photos (Fig. 7), and what they mistake for faces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from dclib.data import photos
from dclib.data.photos import PhotoSet
from dclib.errors import DataError
from dclib.mtcnn.boxes import cut
from dclib.mtcnn.records import CascadeRecord
from dclib.study.figures import BLUE, ORANGE, SKY, VERMILION, WIDTH

GROUP = "group"
# Where the noses of the 29 people in the group photo are, x,y in its pixels, from left to right;
# read off the photo by eye, to a few pixels.
PLACES = """
97,582  151,643  244,610  274,435  315,653  389,471  404,586  472,507  481,640  583,588
606,497  660,656  748,510  774,578  870,483  871,640  910,577  1004,486  1008,638  1061,590
1134,483  1147,635  1236,597  1247,481  1331,650  1333,431  1398,606  1406,480  1456,667
"""
NOSES = np.array([place.split(",") for place in PLACES.split()], dtype=int)  # (29, 2)
MINED = ("R", "O")  # the stages that learn from mistakes of those before them
SHOWN, SIDE = 16, 48  # hardest negatives of a stage, and pixels of each


def people(boxes: np.ndarray) -> np.ndarray:
    """Which of the 29 people of the group photo were found.

    Args:
        boxes: (K, 4) of all detections.

    Returns:
        (29,), true where a nose lies in the middle of a box: between the quarters of its sides.
    """
    quarter = (boxes[:, 2:] - boxes[:, :2]) / 4
    above = (boxes[:, None, :2] + quarter[:, None]) < NOSES  # (K, 29, 2)
    below = (boxes[:, None, 2:] - quarter[:, None]) > NOSES
    return np.asarray((above & below).all(axis=2).any(axis=0))


def counts(name: str, shown: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """How many faces a picture has, how many of them were found, how many detections are others.

    None where the faces are not known.
    """
    found = len(shown["boxes"])
    if name == GROUP:
        seen = int(people(np.asarray(shown["boxes"]).reshape(-1, 4)).sum())
        return len(NOSES), seen, found - seen
    if "truth" not in shown:
        return None
    return shown["truth"], shown["found"], found - shown["found"]


def chosen(record: CascadeRecord) -> str | None:
    """The picture that stands for Fig. 7: the group photo or a drawn scene, never another."""
    names = record.findings.pictures
    return next((name for name in names if name == GROUP or name.startswith("scenes/")), None)


def picture(pixels: np.ndarray | None, name: str, shown: Mapping[str, Any]) -> Figure:
    """Fig. 7: a photo with the boxes and points of all that was found in it.

    Args:
        pixels: uint8 (3, H, W); without it boxes and points stand on a blank sheet.
        name: of the picture; in the group photo crosses mark the people that were not found.
        shown: what was found, see `dclib.mtcnn.findings.Findings.pictures`.
    """
    width, height = shown["size"]
    fig = Figure(figsize=(WIDTH, WIDTH * height / width + 0.4), layout="constrained")
    ax = fig.subplots()
    if pixels is not None:
        ax.imshow(pixels.transpose(1, 2, 0), extent=(0, width, height, 0))
    boxes = np.asarray(shown["boxes"]).reshape(-1, 4)
    _outlines(ax, boxes, ORANGE, 1.2)
    for points in np.asarray(shown["points"]):
        ax.plot(*points.T, ".", color=SKY, markersize=2)
    handles = [
        Line2D([], [], color=ORANGE, label="found"),
        Line2D([], [], color=SKY, marker=".", linestyle="", label="its landmarks"),
    ]
    missed = NOSES[~people(boxes)] if name == GROUP else NOSES[:0]
    if len(missed):
        rim = [withStroke(linewidth=3, foreground="white")]
        cross: dict[str, Any] = {
            "color": VERMILION,
            "markersize": 7,
            "mew": 2,
            "label": "not found",
        }
        handles += ax.plot(*missed.T, "x", path_effects=rim, **cross)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
    ax.grid(visible=False)
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return fig


def _outlines(ax: Axes, boxes: np.ndarray, colour: str, line: float, alpha: float = 1) -> None:
    left, top, right, bottom = boxes.reshape(-1, 4).T
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1)
    looks: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": line}
    ax.add_collection(PolyCollection(list(corners.reshape(-1, 4, 2)), alpha=alpha, **looks))


def mined_from(record: CascadeRecord, allowed: bool) -> PhotoSet | None:
    """The photos that the hardest negatives of a cascade are from.

    None where they are not on this machine, or may not be shown; drawn scenes always may.

    Args:
        allowed: whether pixels of photos may be shown.
    """
    name = record.experiment.datasets[0]  # of several, the one with all faces annotated
    if name != "scenes" and not allowed:
        return None
    try:
        return photos.load(name)[0]
    except DataError:
        return None


def hardest(record: CascadeRecord, photo_set: PhotoSet | None) -> Figure:
    """The negatives that the stage before was surest to be faces, for R and for O.

    Args:
        record: of the cascade.
        photo_set: the photos that it was mined on; without them squares are drawn where they lie,
            those of all photos over one another.
    """
    known = {stage: record.mined[stage].get("hardest", []) for stage in MINED}
    if photo_set is None:
        return _lying(known)
    numbers = {name: number for number, name in enumerate(photo_set.names)}
    fig = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    parts: Any = fig.subfigures(len(MINED), 1)
    for part, before, (stage, told) in zip(parts, "PR", known.items(), strict=True):
        grid = np.ravel(part.subplots(2, SHOWN // 2))
        for ax, one in zip(grid, told[:SHOWN], strict=False):
            ax.imshow(crop(photo_set.read(numbers[one["photo"]]), one["square"]))
            ax.set_title(f"{one['score']:.3f}", fontsize="xx-small", pad=2)
        for ax in grid:
            ax.set_axis_off()
        part.suptitle(f"for {stage}, scores by {before}", fontsize="small")
    return fig


def crop(pixels: np.ndarray, square: Sequence[float]) -> np.ndarray:
    """What a square of a photo (3, H, W) shows, as stages see it: uint8 (SIDE, SIDE, 3)."""
    seen = cut(torch.from_numpy(pixels), torch.tensor([square], dtype=torch.float32), SIDE)[0]
    return np.asarray(seen.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0))


def _lying(known: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    fig = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    panels = fig.subplots(1, len(MINED), sharex=True, sharey=True)
    for ax, (stage, told) in zip(panels, known.items(), strict=True):
        squares = np.array([one["square"] for one in told], dtype=float).reshape(-1, 4)
        _outlines(ax, squares, BLUE, 0.8, alpha=0.6)
        ax.autoscale_view()
        ax.set_aspect("equal")
        ax.set_title(f"for {stage}", fontsize="small")
        ax.set_xlabel("pixels of the photo")
    panels[0].invert_yaxis()
    return fig
