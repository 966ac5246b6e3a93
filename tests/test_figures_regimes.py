"""The map of regimes: made-up runs whose failures are known, against numbers worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import names, texts
from fake_records import EXPERIMENT, fake_record

from dclib.errors import RunError
from dclib.study.analysis.regimes import ALL_FACES, Point, Regimes
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import regime_words as words
from dclib.study.figures import regimes as pictures
from dclib.study.plans.extensions import regimes as regimes_of
from dclib.study.plans.presets import PRESETS

BASE = Point.of(PRESETS["cpu"].settings)  # 2,000 faces, 40 epochs, width 0.25
FEW, MANY = BASE._replace(train_faces=500, epochs=160), BASE._replace(train_faces=8000, epochs=10)
SHORT, LONG = BASE._replace(epochs=10), BASE._replace(epochs=80)
THIN, WIDE = BASE._replace(width=0.125), BASE._replace(width=0.5)
POINTS = (FEW, BASE, MANY, SHORT, LONG, THIN, WIDE)
FACES = 200


def experiment(point, method, **changes):
    return replace(EXPERIMENT, method=method, **point._asdict(), **changes)


def plan(points=POINTS, methods=("DCNet", "RNx", "RN")):
    return [experiment(p, m) for p in points for m in methods]


def run(point, method, failed, soft=None, earlier=None, **changes):
    """A run in which the first so many of 200 faces fail, in the last epoch and those before."""
    record = fake_record(method, faces=FACES, **point._asdict(), **changes)
    for decoder, last in (("bin", failed), ("soft", failed if soft is None else soft)):
        counts = [last if earlier is None else earlier] * 4 + [last]
        errors = np.where(np.arange(FACES) < np.array(counts)[:, None], 0.2, 0.05)
        record.outcomes.errors[decoder] = errors
    return record


def full(gaps, methods=("DCNet", "RNx", "RN")):
    """DCNet fails on 60 faces everywhere; the others on so many more at each point, else on 80."""
    return [run(p, m, 60 + (m != "DCNet") * gaps.get(p, 20)) for p in POINTS for m in methods]


@pytest.fixture
def regimes():
    """RN and RNx: worse than DCNet with few faces, better with many, else 20 faces worse."""
    return Regimes(plan(), full({FEW: 40, MANY: -20, SHORT: 1}))


# Grouping


def test_axes_vary_one_thing_and_share_the_base(regimes):
    assert regimes.axes == {
        "train_faces": [FEW, BASE, MANY],
        "epochs": [SHORT, BASE, LONG],
        "width": [THIN, BASE, WIDE],
    }
    assert list(pictures.titles(regimes)) == [BASE, FEW, MANY, SHORT, LONG, THIN, WIDE]


def test_an_axis_of_one_point_is_none():
    small = Regimes(plan((FEW, BASE)), [])
    assert list(small.axes) == ["train_faces"]


def test_steps_stay_where_faces_vary(regimes):
    """32 steps of 64 in an epoch of 2,000 faces, the last of 16; 8 of 500; 125 of 8,000."""
    assert regimes.steps(BASE) == 40 * 32
    assert regimes.steps(FEW) == 160 * 8
    assert regimes.steps(MANY) == 10 * 125
    assert regimes.steps(BASE._replace(train_faces=65)) == 40  # nobody trains on one face alone


def test_no_number_of_faces_is_all_of_them():
    assert Point.of(replace(EXPERIMENT, train_faces=None)).train_faces == ALL_FACES


def test_plans_that_vary_something_else_are_refused():
    for changes in ({"try_": 1}, {"dataset": "synthetic"}, {"batch": 32}):
        with pytest.raises(RunError, match="differ in nothing but"):
            Regimes([*plan(), experiment(BASE, "XS", **changes)], [])
    with pytest.raises(RunError, match="differ in nothing but"):
        Regimes([], [])


# Differences


def test_gaps_are_of_the_last_epoch_and_negative_where_dcnet_is_better():
    records = [run(BASE, "DCNet", 60, earlier=100), run(BASE, "RN", 80, earlier=30)]
    one = Regimes(plan((BASE, FEW)), records)
    assert one.rate(BASE, "RN").value == pytest.approx(40)
    assert one.gap(BASE, "RN").value == pytest.approx(-10)  # 20 of 200 faces
    assert one.gap(BASE, "RN").high < 0
    assert one.gap(BASE, "RN", last=5).value == pytest.approx((4 * 35 - 10) / 5)
    assert (one.side(BASE, "RN"), one.side(BASE, "RN", last=5)) == (-1, 1)
    told = words.averaging(one)
    assert told.endswith(
        "otherwise (RN at §4.2's setting), RN at §4.2's setting on the other side."
    )
    faded = [run(BASE, "DCNet", 60, earlier=80), run(BASE, "RN", 80, earlier=75)]  # 0 over five
    told = words.averaging(Regimes(plan((BASE, FEW)), faded))
    assert told.endswith(
        "1 of 1 comparisons ends otherwise (RN at §4.2's setting), none on the other side."
    )


def test_a_side_needs_both_decoders(regimes):
    assert [regimes.side(p, "RNx") for p in (FEW, MANY, SHORT)] == [-1, 1, 0]
    for soft, side in ((80, -1), (60, 0), (40, 0)):
        records = [run(BASE, "DCNet", 60, 60), run(BASE, "RN", 80, soft)]
        one = Regimes(plan((BASE, FEW)), records)
        assert one.side(BASE, "RN") == side


# Trends


def test_slopes_worked_by_hand(regimes):
    """Points of difference for each doubling: -20, -10 and +10 at 500, 2,000 and 8,000 faces.

    Doublings from the middle are -2, 0 and 2, so (-2 * -20 + 2 * 10) / (4 + 4). Epochs of 10, 40
    and 80 lie -5/3, 1/3 and 4/3 from theirs, with -0.5, -10 and -10: (-95/6) / (14/3).
    """
    assert regimes.trend("train_faces", "RN").slope["bin"].value == pytest.approx(60 / 8)
    assert regimes.trend("epochs", "RN").slope["bin"].value == pytest.approx(-95 / 28)
    assert regimes.trend("width", "RN").slope["soft"].value == pytest.approx(0)
    # three points are no clear trend unless they lie on a line: t has one degree of freedom
    assert [regimes.trend(axis, "RN").side for axis in regimes.axes] == [0, 0, 0]
    straight = Regimes(plan(), full({FEW: 20, BASE: 40, MANY: 60}))
    assert straight.trend("train_faces", "RN").side == -1
    assert [regimes.trend(axis, "RN").points for axis in regimes.axes] == [3, 3, 3]


def test_interval_of_a_slope_is_students_worked_by_hand(regimes):
    """Residuals of -20, -10 and 10 from the line -20/3 + 7.5 x, over one degree of freedom."""
    slope = regimes.trend("train_faces", "RN").slope["bin"]
    left = np.array([-20, -10, 10]) - (-20 / 3 + 7.5 * np.array([-2, 0, 2]))
    half = 12.7062 * np.sqrt((left**2).sum() / 8)
    assert [slope.low, slope.high] == pytest.approx([7.5 - half, 7.5 + half], abs=0.01)


def test_slopes_draw_the_same_faces_at_all_points():
    """Where each face differs by as much at all points, no draw can tilt the line."""
    slope = Regimes(plan(), full({})).trend("train_faces", "RN").slope["bin"]
    assert (slope.value, slope.low, slope.high) == (0, 0, 0)


def test_tries_at_the_base_are_told():
    """Differences of -10, -14 and -6 points."""
    further = [
        run(point, method, 60 + (method == "RN") * more, try_=try_)
        for method in ("DCNet", "RN")
        for point, try_, more in ((BASE, 1, 28), (BASE, 2, 12), (WIDE, 1, 90))
    ]
    one = Regimes(plan(), full({}), [*full({}), *further])
    assert one.base_rates("RN") == pytest.approx({0: 40, 1: 44, 2: 36})
    assert sorted(one.base_gaps("RN")) == pytest.approx([-14, -10, -6])
    assert "−14.00 to −6.00 for RN." in words.chance(one)
    assert len(one.records) == len(plan())
    assert len(one.shown) == len(plan()) + 4  # the try at another setting is not of the base
    told = words.chance(Regimes(plan(), full({})))
    assert "no second try" in told


def test_missing_runs_are_said_and_nothing_is_made_of_them():
    records = [r for r in full({FEW: 40}) if r.experiment.width != WIDE.width]
    records = [r for r in records if Point.of(r.experiment) != FEW or r.experiment.method != "RN"]
    part = Regimes(plan(), records)
    assert part.side(FEW, "RN") is None
    assert part.side(FEW, "RNx") == -1
    assert part.trend("width", "RN") is None  # of two points
    assert (len(part.records), len(part.planned)) == (17, 21)
    assert "at all 5 settings run" in words.holds(part).splitlines()[0]  # RN
    assert "at all 6 settings run" in words.holds(part).splitlines()[1]  # RNx
    frame = pictures.differences(part).set_index(["point", "DCNet minus"])
    assert len(frame) == 14
    assert frame["bin"].isna().sum() == 3
    assert pictures.ranking(part).set_index("point").loc["width 0.5", "bin"] == "not run"


def test_nothing_run_at_all():
    none = Regimes(plan(), [])
    assert words.trends(none).startswith("No three settings")
    assert "not run yet" in words.holds(none)
    assert "none of 0" in words.averaging(none)
    assert set(pictures.trends(none)["settings"]) == {0}
    with pytest.raises(ValueError, match="no run"):
        pictures.curves(none)
    assert cells(pictures.grid(none)).count("not run") == 2 * 9 * 2


def test_runs_that_are_not_in_the_plan_are_left_out():
    strangers = [run(BASE, "XS", 5), run(BASE, "RN", 5, lr=0.3), run(BASE, "RN", 5, try_=1)]
    one = Regimes(plan(), [*full({}), *strangers])
    assert len(one.records) == 21
    assert one.rate(BASE, "RN").value == pytest.approx(40)


# Drawing, tables


def cells(fig):
    return [told for ax in fig.axes for told in texts(ax)]


def test_curves_go_through_the_rates_of_each_decoder():
    soft = [run(p, "DCNet", 60, 40 + k) for k, p in enumerate(POINTS)]
    one = Regimes(plan(), [*soft, *(r for r in full({FEW: 40}) if r.experiment.method != "DCNet")])
    fig = pictures.curves(one)
    axes = [(decoder, axis) for decoder in DECODERS for axis in one.axes]
    for ax, (decoder, axis) in zip(fig.axes, axes, strict=True):
        drawn = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 3]
        for method in one.methods:
            rates = [one.rate(p, method, decoder).value for p in one.axes[axis]]
            assert any(rates == pytest.approx(line) for line in drawn)
    assert names(fig.axes[3].get_xticklabels()) == ["500", "2000", "8000"]


def test_the_map_shows_each_difference_and_brackets_those_that_are_unclear(regimes):
    told = cells(pictures.grid(regimes))
    assert len(told) == 2 * 9 * 2
    assert told.count("−20.0") == told.count("+10.0") == told.count("(−0.5)") == 4
    assert told.count("−10.0") == 36 - 12


def test_the_map_colours_one_side_blue_and_the_other_red(regimes):
    colours = {}
    for ax in pictures.grid(regimes).axes[:3]:
        (mesh,) = ax.collections
        colours |= zip(texts(ax), mesh.to_rgba(mesh.get_array().ravel()), strict=True)
    for told, side in (("−20.0", -1), ("+10.0", 1)):
        red, _, blue, _ = colours[told]
        assert np.sign(red - blue) == side
    assert colours["(−0.5)"] == pytest.approx(1, abs=0.01)  # white


def test_ranking_by_point():
    order = {"DCNet": 60, "RNx": 50, "RN": 80}
    records = [run(BASE, m, failed, soft=200 - failed) for m, failed in order.items()]
    frame = pictures.ranking(Regimes(plan(), records)).set_index("point")
    assert frame.loc["§4.2's setting", "bin"] == "RNx 25.0, DCNet 30.0, RN 40.0"
    assert frame.loc["§4.2's setting", "soft"] == "RN 60.0, DCNet 70.0, RNx 75.0"
    assert frame.loc["8,000 faces", ["epochs", "steps"]].tolist() == [10, 1250]


def test_table_of_trends_says_how_many_settings(regimes):
    frame = pictures.trends(regimes).set_index(["varied", "DCNet minus"])
    assert frame.loc[("training faces", "RN"), "bin"] == pytest.approx(7.5)
    assert frame.loc[("epochs", "RNx"), "settings"] == 3


def test_at_smoke_it_is_said_that_it_speaks_of_nothing():
    planned = regimes_of("smoke")
    records = [replace_experiment(e) for e in planned]
    small = Regimes(planned, records)
    assert list(small.axes) == ["train_faces"]
    assert small.base == (256, 6, 0.125)
    assert small.side(small.base, "RN") == -1
    assert words.SMOKE in words.holds(small)
    assert len(pictures.curves(small).axes) == 2


def test_plans_of_all_presets_have_a_base_and_about_as_many_steps_whatever_the_faces():
    for preset in (preset for preset in PRESETS if regimes_of(preset)):
        one = Regimes(regimes_of(preset), [])
        steps = [one.steps(p) for p in one.axes["train_faces"]]
        assert max(steps) < 1.05 * min(steps)
        assert all(one.base in points for points in one.axes.values())


def replace_experiment(experiment):
    """A run of a planned experiment, in which RN fails more often than DCNet."""
    made = run(BASE, experiment.method, 90 if experiment.method == "RN" else 60)
    record = replace(made, experiment=experiment)
    record.__dict__["outcomes"] = made.outcomes
    return record
