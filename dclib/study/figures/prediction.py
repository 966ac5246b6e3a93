"""What a trained network says of one photo."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from dclib.data import MTFL_WORDS
from dclib.study.figures import BLACK, BLUE, GREEN, GREY, WIDTH
from dclib.use.prediction import Prediction


def draw(
    photo: Image.Image,
    prediction: Prediction,
    landmarks: np.ndarray | None = None,
    labels: dict[str, int] | None = None,
) -> Figure:
    """The photo with the predicted landmarks, and beside it the probability of each label.

    Args:
        photo: what was looked at.
        prediction: what `dclib.use.prediction.predict` made of it.
        landmarks: the true ones (L, 2), in pixels of the photo, where they are known.
        labels: the true ones by task, where they are known; they are printed in bold.
    """
    rows = [
        (task, value, share)
        for task, shares in prediction.labels.items()
        for value, share in enumerate(shares)
    ]
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2)
    left.imshow(photo, extent=(0, photo.width, photo.height, 0))
    rim = [withStroke(linewidth=3, foreground="white")]
    if landmarks is not None:
        left.plot(*landmarks.T, "o", color=GREEN, path_effects=rim, label="true")
    points = prediction.landmarks.T
    left.plot(*points, "x", color=BLUE, mew=2, path_effects=rim, label="predicted")
    left.set(xlim=(0, photo.width), ylim=(photo.height, 0), xticks=[], yticks=[])
    left.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
    if not rows:
        right.set_axis_off()
        return fig
    tasks = list(prediction.labels)
    places = [row + 0.6 * tasks.index(task) for row, (task, _, _) in enumerate(rows)]
    right.barh(places, [share for _, _, share in rows], height=0.8, color=BLUE)
    words = MTFL_WORDS | prediction.words
    names = [words[task][value] if task in words else f"{task} {value}" for task, value, _ in rows]
    right.set_yticks(places, names)
    for (task, value, _), tick in zip(rows, right.get_yticklabels(), strict=True):
        if labels is not None and task in labels:
            true = labels[task] == value
            tick.set(color=BLACK if true else GREY, fontweight="bold" if true else "normal")
    right.set(xlim=(0, 1), ylim=(places[-1] + 0.6, -0.6), xlabel="probability")
    right.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    right.grid(visible=False, axis="y")
    return fig
