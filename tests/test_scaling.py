"""Growth: the exponent against other arithmetic, and what is measured at which point."""

import math

import numpy as np
import pytest
from scipy.stats import linregress

from dclib.study.speed import scaling
from dclib.study.speed.bench import Setting

TINY = Setting(0.125, 32, 4)


def test_a_power_law_has_its_exponent_and_no_error():
    values = [1, 2, 3, 5, 8]
    slope, error = scaling.exponent(values, [3 * v**1.7 for v in values])
    assert slope == pytest.approx(1.7)
    assert error == pytest.approx(0, abs=1e-7)


def test_exponent_and_error_are_those_of_scipy():
    rng = np.random.default_rng(0)
    values = np.array([8, 16, 32, 64, 128])
    seconds = 0.01 * values**0.8 * rng.lognormal(0, 0.2, 5)
    fit = linregress(np.log(values), np.log(seconds))
    slope, error = scaling.exponent(values.tolist(), seconds.tolist())
    assert (slope, error) == (pytest.approx(fit.slope), pytest.approx(fit.stderr))


def test_two_points_have_an_exponent_of_unknown_error():
    slope, error = scaling.exponent([1, 2], [1.0, 4.0])
    assert slope == pytest.approx(2)
    assert math.isnan(error)


@pytest.mark.parametrize(("values", "seconds"), [([2, 2], [1, 1]), ([1, 2], [0, 1])])
def test_what_has_no_exponent_is_refused(values, seconds):
    with pytest.raises(ValueError, match="needs two different values"):
        scaling.exponent(values, seconds)


def test_points_differ_in_one_way():
    found = scaling.points(TINY, {"width": (0.125, 0.25), "tasks": (2,)})
    assert found == {
        ("width", 0.125): TINY,
        ("width", 0.25): Setting(0.25, 32, 4),
        ("tasks", 2): Setting(0.125, 32, 4, 2),
    }


def test_every_point_of_every_axis_is_in_every_round_and_the_shared_one_once(monkeypatch):
    rounds = []

    def turns(steps, count):
        rounds.append((list(steps), count))
        return {key: [float(n)] * count for n, key in enumerate(steps)}

    monkeypatch.setattr(scaling.measuring, "turns", turns)
    axes = {"tasks": (1, 5), "batch": (4, 8)}
    rows = scaling.measure(TINY, axes, ["RN"], rounds=2)
    alone, twice = TINY._replace(tasks=1), TINY._replace(batch=8)
    assert rounds == [([("RN", alone), ("RN", TINY), ("RN", twice)], 2)]
    found = {(row["axis"], row["value"]): row for row in rows}
    assert found["tasks", 5]["seconds"] == found["batch", 4]["seconds"] == [1.0, 1.0]
    assert found["tasks", 1]["parameters"] < found["tasks", 5]["parameters"]
    assert found["batch", 8]["kept"] == pytest.approx(2 * found["batch", 4]["kept"], rel=0.05)
