"""The data page: what the faces look like, how often each label occurs, how large faces are."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dclib.data import MTFL_WORDS
from dclib.data.faces import FaceSet
from dclib.study.figures import BLUE, GREEN, GREY, VERMILION, WIDTH

Labels = Mapping[str, Sequence[str]]
HALVES = {"training": BLUE, "test": VERMILION}
COLUMNS = 8  # of a sheet
LINE = 0.12  # inches that a line of text below a picture takes


def sheet(faces: FaceSet, count: int, labels: Labels = MTFL_WORDS) -> Figure:
    """The first faces of a set, as the network sees them, with their landmarks and labels.

    Args:
        labels: the words of their values, such as `dclib.data.find(name).words()`.

    Raises:
        ValueError: there is no face to show.
    """
    count = min(count, len(faces))
    if count < 1:
        raise ValueError(f"a sheet of {count} faces shows nothing")
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    height = WIDTH / columns + len(_named(faces, labels)) * LINE + 0.08
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    fig = Figure(figsize=(WIDTH, rows * height), layout=tight)
    panels = fig.subplots(rows, columns, squeeze=False).flat
    size = faces.resolution
    for face, ax in enumerate(panels):
        ax.set_axis_off()
        if face < count:
            seen, points = window(faces, face)
            ax.imshow(seen, extent=(0, size, size, 0))
            ax.plot(*points.T, "o", color=GREEN, markersize=2, markeredgecolor="white", mew=0.3)
            ax.set(xlim=(0, size), ylim=(size, 0))
            told = "\n".join(_words(faces, face, labels))
            ax.text(0.5, -0.03, told, transform=ax.transAxes, ha="center", va="top", size=6)
    return fig


def window(faces: FaceSet, face: int) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of a face (H, W, 3), without the margin, and its points (L, 2)."""
    size = faces.resolution
    margin = (faces.images.shape[-1] - size) // 2
    inside = slice(margin, margin + size)
    points = np.asarray(faces.landmarks[face], dtype=float) - margin
    return faces.images[face][:, inside, inside].transpose(1, 2, 0), points


def _named(faces: FaceSet, labels: Labels) -> list[str]:
    return [name for name in labels if name in faces.labels]


def _is_angle(faces: FaceSet, name: str) -> bool:
    return faces.labels[name].dtype.kind == "f"


def _words(faces: FaceSet, face: int, labels: Labels) -> list[str]:
    told = []
    for name in _named(faces, labels):
        value = faces.labels[name][face]
        if _is_angle(faces, name):
            told.append(f"{name} –" if np.isnan(value) else f"{name} {value:.0f}°")
        else:
            told.append(labels[name][value] if value >= 0 else "–")
    return told


def label_balance(train: FaceSet, test: FaceSet, labels: Labels = MTFL_WORDS) -> Figure:
    """How often each value of each label occurs, in % of the faces that have the label.

    Args:
        labels: the words of their values; angles are left out.
    """
    names = [name for name in _named(train, labels) if not _is_angle(train, name)]
    heights = [len(labels[name]) for name in names]
    fig = Figure(figsize=(WIDTH, 0.30 * sum(heights) + 1.0), layout="constrained")
    panels = fig.subplots(len(names), 1, sharex=True, squeeze=False, height_ratios=heights)
    for ax, name in zip(panels.flat, names, strict=True):
        values = np.arange(len(labels[name]))
        for step, half, faces in ((-0.2, "training", train), (0.2, "test", test)):
            share = _shares(faces.labels[name], len(values))
            bars = ax.barh(values + step, share, height=0.38, color=HALVES[half], label=half)
            ax.bar_label(bars, fmt="%.1f", padding=2, fontsize="x-small", color=GREY)
        ax.set_yticks(values, labels[name])
        ax.set_ylim(len(values) - 0.5, -0.5)
        ax.set_xlim(0, 105)
        ax.grid(visible=False, axis="y")
    panels[-1, 0].set_xlabel("faces (%)")
    handles, halves = panels[0, 0].get_legend_handles_labels()
    fig.legend(handles, halves, loc="outside upper center", ncols=2, frameon=False)
    return fig


def _shares(labels: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    return 100 * counts / max(counts.sum(), 1)


def scale_distribution(train: FaceSet, test: FaceSet) -> Figure:
    """Inter-ocular distance as a share of the window's width, over the faces of both halves."""
    fig = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    ax = fig.subplots()
    for half, faces in (("training", train), ("test", test)):
        share = interocular_share(faces)
        middle = float(np.nanmedian(share))
        colour = HALVES[half]
        label = f"{half}: {len(faces):,} faces, median {middle:.3f}"
        sns.kdeplot(x=share, ax=ax, color=colour, fill=True, alpha=0.15, cut=0, label=label)
        ax.axvline(middle, color=colour, linewidth=1, linestyle="--")
    ax.set(xlabel="inter-ocular distance / width of the window", ylabel="density")
    ax.legend(frameon=False)
    return fig


def interocular_share(faces: FaceSet) -> np.ndarray:
    """Inter-ocular distance (N,) as a share of the window's width; NaN where an eye is missing."""
    left, right = faces.landmarks[:, :2].astype(float).swapaxes(0, 1)
    return np.linalg.norm(right - left, axis=1) / faces.resolution
