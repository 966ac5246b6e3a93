"""The figures of the data page against counts and distances worked by hand."""

import numpy as np
import pytest
from drawn import fake_faces, names, texts
from matplotlib.container import BarContainer

from dclib.data.faces import FaceSet
from dclib.study.figures.data import interocular_share, label_balance, scale_distribution, sheet


def faces(count: int = 5) -> FaceSet:
    images = np.zeros((count, 3, 12, 12), dtype=np.uint8)
    images[:, 0] = np.arange(12)
    labels = {
        "gender": np.array([0, 0, 1, -1, 0][:count], dtype=np.int64),
        "profile": np.array([2, 2, 4, 0, 2][:count], dtype=np.int64),
        "yaw": np.zeros(count, dtype=np.float32),
    }
    points = np.array([[4, 5], [7, 9], [6, 7], [5, 9], [7, 9]])
    return fake_faces(images, np.tile(points, (count, 1, 1)), labels, resolution=8)


def test_a_sheet_shows_the_window_with_its_points_and_words() -> None:
    fig = sheet(faces(), count=3)
    shown = [ax for ax in fig.axes if ax.images]
    assert len(shown) == 3
    picture = np.asarray(shown[0].images[0].get_array())
    assert picture.shape == (8, 8, 3)
    assert picture[0, 0, 0] == 2  # the margin of two pixels is cut off
    np.testing.assert_allclose(shown[0].lines[0].get_xydata()[0], [2, 3])
    assert [texts(ax)[0] for ax in shown] == [
        "male\nfrontal",
        "male\nfrontal",
        "female\nright profile",
    ]
    assert fig.get_facecolor()[3] == 1


def test_a_sheet_takes_what_there_is() -> None:
    assert len(sheet(faces(), count=50).axes) == 5
    with pytest.raises(ValueError, match="shows nothing"):
        sheet(faces(), count=0)


def test_label_balance_counts_what_is_labelled() -> None:
    fig = label_balance(faces(5), faces(3))
    gender, profile = fig.axes
    bars = [c for c in gender.containers if isinstance(c, BarContainer)]
    np.testing.assert_allclose(bars[0].datavalues, [75, 25])  # one of five is not labelled
    np.testing.assert_allclose(bars[1].datavalues, [200 / 3, 100 / 3])
    assert names(profile.get_yticklabels())[2] == "frontal"
    bars = [c for c in profile.containers if isinstance(c, BarContainer)]
    np.testing.assert_allclose(bars[0].datavalues, [20, 0, 60, 0, 20])


def test_scale_is_the_interocular_distance_over_the_windows_width() -> None:
    some = faces()
    np.testing.assert_allclose(interocular_share(some), 5 / 8)
    some.landmarks[1, 0] = np.nan
    some.landmarks[2, 0] = [1, 5]
    share = interocular_share(some)
    assert np.isnan(share[1])
    fig = scale_distribution(some, some)
    labels = names(fig.axes[0].get_legend().get_texts())
    assert labels == ["training: 5 faces, median 0.625", "test: 5 faces, median 0.625"]


def test_own_labels_have_their_own_words_and_angles_their_degrees() -> None:
    some = faces(3)
    some.labels["yaw"][:] = [12.4, -30, np.nan]
    labels = {"gender": ("m", "f"), "yaw": ("left", "right"), "smile": ("no", "yes")}
    fig = sheet(some, count=3, labels=labels)
    assert [texts(ax)[0] for ax in fig.axes if ax.images] == [
        "m\nyaw 12°",
        "m\nyaw -30°",
        "f\nyaw –",
    ]
    (balance,) = label_balance(some, some, labels).axes
    assert names(balance.get_yticklabels()) == ["m", "f"]
