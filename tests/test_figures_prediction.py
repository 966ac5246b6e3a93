"""The figure of one prediction: points where they belong, labels in words, the true ones marked."""

import numpy as np
from PIL import Image

from dclib.study.figures import prediction
from dclib.use.prediction import Prediction

POINTS = np.array([[4.0, 5.0], [12.5, 5.5], [8.0, 9.0]])
PHOTO = Image.new("RGB", (20, 16))


def test_points_are_drawn_in_pixels_of_the_photo():
    fig = prediction.draw(PHOTO, Prediction(POINTS, {"smile": [0.25, 0.75]}), POINTS + 1)
    left, right = fig.axes
    true, predicted = left.lines
    assert np.array_equal(np.transpose(predicted.get_data()), POINTS)
    assert np.array_equal(np.transpose(true.get_data()), POINTS + 1)
    assert left.get_images()[0].get_extent() == [0, 20, 16, 0]
    assert left.get_ylim() == (16, 0)
    assert [bar.get_width() for bar in right.patches] == [0.25, 0.75]


def test_true_labels_are_bold_and_the_others_not():
    told = Prediction(POINTS, {"glasses": [0.6, 0.4], "hat": [0.1, 0.2, 0.7]})
    _, right = prediction.draw(PHOTO, told, labels={"glasses": 1}).axes
    looks = {t.get_text(): t.get_fontweight() for t in right.get_yticklabels()}
    assert looks["glasses"] == "normal"
    assert looks["no glasses"] == "bold"
    assert {looks[f"hat {k}"] for k in range(3)} == {"normal"}


def test_a_network_without_labels_is_drawn_too():
    fig = prediction.draw(PHOTO, Prediction(POINTS, {}))
    assert not fig.axes[1].axison
    assert len(fig.axes[0].lines) == 1


def test_words_of_the_data_set_come_before_those_of_mtfl():
    told = Prediction(POINTS, {"smile": [0.6, 0.4]}, {"smile": ("no", "yes")})
    _, right = prediction.draw(PHOTO, told).axes
    assert [t.get_text() for t in right.get_yticklabels()] == ["no", "yes"]
