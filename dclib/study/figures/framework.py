"""Section 4.1: bins and what they cost, the two decoders, the metric worked by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from dclib import metrics
from dclib.study.figures import BLACK, BLUE, GREEN, GREY, SKY, VERMILION, WIDTH
from dclib.tasks import Landmarks

FLOOR = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 6  # mean distance to a unit square's centre
WORST = math.sqrt(0.5)  # from a corner

# Interocular distance as a share of the image's width: the median of MTFL's test faces.
INTEROCULAR = 0.298
RESOLUTIONS = (48, 64, 96, 112, 150, 224)  # widths of inputs, in pixels


def bin_distances() -> np.ndarray:
    """Distances, in pixels, of uniformly drawn points to the centres of the bins they fall in.

    The bins are those of the landmark task: encoded and decoded again, two axes a point.

    Returns:
        Distances (200,000,).
    """
    task = Landmarks(bins=112, points=200_000)
    truth = torch.from_numpy(np.random.default_rng(0).uniform(0, 112, (1, task.points, 2)))
    centres = task.encode(truth) + 0.5
    return (centres - truth).norm(dim=-1).flatten().numpy()


def quantisation_floor(resolutions: Sequence[int] = RESOLUTIONS) -> pd.DataFrame:
    """What 1-px bins cost at least, in % of the interocular distance, by input width.

    Args:
        resolutions: widths of the network's input, pixels.
    """
    eyes = np.asarray(resolutions) * INTEROCULAR
    return pd.DataFrame(
        {
            "mean error": 100 * FLOOR / eyes,
            "largest error": 100 * WORST / eyes,
            "one bin, of the threshold": 100 / (metrics.THRESHOLD * eyes),
        },
        index=pd.Index(resolutions, name="input (px)"),
    )


def floor() -> Figure:
    """How far a point lies from its bin's centre, and what that costs at each input width."""
    fig = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = fig.subplots(1, 2)
    distances = bin_distances()
    left.hist(distances, bins=70, range=(0, WORST), density=True, color=SKY, linewidth=0)
    left.axvline(distances.mean(), color=BLUE, label=f"simulated mean {distances.mean():.4f} px")
    left.axvline(FLOOR, color=BLACK, linestyle=":", label=f"formula {FLOOR:.4f} px")
    left.set(xlabel="distance to the bin's centre (px)", ylabel="density", xlim=(0, 0.75))
    left.set_ylim(0, 4.4)
    left.legend(loc="upper left", framealpha=1, fontsize="small")

    width = np.arange(32, 241)
    curve = quantisation_floor(width.tolist())
    right.fill_between(width, 0, curve["largest error"], color=SKY, alpha=0.4, linewidth=0)
    right.plot(width, curve["largest error"], color=SKY, label="largest")
    right.plot(width, curve["mean error"], color=BLUE, label="mean, formula")
    simulated = [100 * distances.mean() / (INTEROCULAR * r) for r in RESOLUTIONS]
    right.plot(RESOLUTIONS, simulated, "o", color=BLUE, markersize=4, label="mean, simulated")
    right.axhline(100 * metrics.THRESHOLD, color=VERMILION, linestyle="--", label="failure")
    right.set(xlabel="input width (px)", ylabel="error (% of interocular distance)")
    right.set(xlim=(32, 240), ylim=(0, 11))
    right.legend(loc="upper right", bbox_to_anchor=(1, 0.9), frameon=False, fontsize="small")
    return fig


# One axis of one landmark: the truth, and a network's made-up logits near it.
TRUE_X = 22.3
LOGITS = {19: -0.6, 20: 0.9, 21: 3.1, 22: 3.0, 23: 2.2, 24: 0.4, 31: 1.8}


def decoders(bins: int = 48) -> Figure:
    """One axis of a landmark as a classification: probabilities, and what each decoder reads."""
    task = Landmarks(bins=bins, points=1)
    logits = torch.full((1, 1, 2, bins), -3.0)
    for position, value in LOGITS.items():
        logits[..., position] = value
    share = logits[0, 0, 0].softmax(dim=0).numpy()
    fig = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    ax = fig.subplots()
    ax.bar(np.arange(bins) + 0.5, share, width=1.0, color=SKY, edgecolor="white", linewidth=0.5)
    everywhere = float((share * (np.arange(bins) + 0.5)).sum())
    marks = (
        (TRUE_X, GREEN, "-", "truth"),
        (float(task.decode(logits, "bin")[0, 0, 0]), BLUE, "--", "bin: centre of the highest"),
        (float(task.decode(logits, "soft")[0, 0, 0]), VERMILION, "-.", "soft-argmax, five bins"),
        (everywhere, GREY, ":", "soft-argmax over all bins"),
    )
    for x, colour, dashes, name in marks:
        ax.axvline(x, color=colour, linestyle=dashes, label=f"{name}: {x:.2f}")
    ax.set(xlim=(17, 35), xlabel="x (px), one bin per pixel", ylabel="probability")
    ax.xaxis.set_major_locator(MultipleLocator(1))
    ax.legend(loc="upper right", framealpha=1)
    return fig


# A face worked by hand: eyes 40 px apart, distances 5, 3, 0, 4 and 4 px.
POINTS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
TRUTH = np.array([[30, 40], [70, 40], [50, 62], [35, 82], [65, 82]], dtype=float)
PREDICTED = TRUTH + np.array([[3, 4], [0, -3], [0, 0], [-4, 0], [0, 4]])


def worked_example() -> pd.DataFrame:
    """The face worked by hand: one row per landmark, its distance in pixels."""
    names = ("true x", "true y", "predicted x", "predicted y")
    values = np.hstack([TRUTH, PREDICTED])
    frame = pd.DataFrame(values, columns=names, index=pd.Index(POINTS, name="landmark"))
    return frame.assign(distance=np.hypot(*(PREDICTED - TRUTH).T))


def metric() -> Figure:
    """The face worked by hand: distances, interocular distance, error."""
    fig = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    ax, words = fig.subplots(1, 2, width_ratios=(1, 1))
    rows = worked_example()
    for true, predicted, distance in zip(TRUTH, PREDICTED, rows["distance"], strict=True):
        ax.plot(*zip(true, predicted, strict=True), color=VERMILION, linewidth=1.5)
        ax.annotate(f"{distance:g} px", true, xytext=(14, 6), textcoords="offset points")
    ax.plot(*TRUTH.T, "o", color=GREEN, markersize=7, label="true")
    ax.plot(*PREDICTED.T, "x", color=BLUE, markersize=7, markeredgewidth=2, label="predicted")
    left, right = TRUTH[:2] - [0, 12]
    ax.annotate("", right, left, arrowprops={"arrowstyle": "<->", "color": BLACK})
    ax.text(50, 26, "interocular distance 40 px", ha="center", va="bottom")
    ax.set(xlim=(15, 90), ylim=(98, 15), aspect="equal")
    ax.set(xlabel="x (px)", ylabel="y (px)")
    ax.legend(loc="lower center", ncols=2, frameon=False, bbox_to_anchor=(0.5, 1.0))

    error = float(metrics.landmark_errors(PREDICTED[None], TRUTH[None])[0])
    eyes = float(metrics.interocular_distances(TRUTH[None])[0])
    mean = float(rows["distance"].mean())
    sum_of = " + ".join(f"{distance:g}" for distance in rows["distance"])
    outcome = "> {:.2f}: a failure" if error > metrics.THRESHOLD else "≤ {:.2f}: no failure"
    lines = (
        f"mean distance = ({sum_of}) / {len(rows)} = {mean:g} px",
        f"error = {mean:g} / {eyes:g} = {error:.3f}",
        f"{error:.3f} {outcome.format(metrics.THRESHOLD)}",
    )
    words.text(0, 0.5, "\n\n".join(lines), va="center", transform=words.transAxes)
    words.set_axis_off()
    return fig
