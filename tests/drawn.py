"""What a figure shows, read back from it, and failure rates from outcomes alone."""

import numpy as np

from dclib.data.faces import FaceSet, Symmetry
from dclib.study import figures

figures.theme()


def marks(ax, marker):
    """(x, y) of all points that an axes draws with a marker."""
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return [tuple(map(float, point)) for line in lines for point in line.get_xydata()]


def curve(ax, label):
    """(x, y) of the one line of that name."""
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line.get_data()


def titles(fig):
    return [ax.get_title(loc="left") for ax in fig.axes]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def names(labels):
    """What ticks, or the entries of a legend, say."""
    return [label.get_text() for label in labels]


def rate(records, decoder="bin", faces=slice(None), **settings):
    """Failure rate of the runs with these settings, in %."""
    own = [
        r.outcomes.errors[decoder][:, faces] > 0.10
        for r in records
        if all(getattr(r.experiment, name) == value for name, value in settings.items())
    ]
    return 100 * np.mean(own)


def fake_faces(images, landmarks, labels, resolution=48):
    """A face set of given pictures, points and labels."""
    return FaceSet(
        images=images,
        landmarks=np.asarray(landmarks, dtype=np.float32),
        labels=labels,
        names=tuple(map(str, range(len(images)))),
        groups=np.arange(len(images)),
        resolution=resolution,
        symmetry=Symmetry(tuple(range(landmarks.shape[1])), {}),
        fingerprint="0" * 12,
    )
