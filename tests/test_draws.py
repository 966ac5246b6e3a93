"""Fig. 5's numbers against hand-worked draws, scipy, and simulation."""

import doctest

import numpy as np
import pytest
import scipy.stats
from fake_records import fake_record

from dclib.errors import RunError
from dclib.study.analysis import random_draws
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.random_draws import Draw, dependence, pairs, spread, summary

WEIGHTS = (("gender", 0.5), ("glasses", 0.01), ("orientation", 0.0003))


def run(method, number, failing, faces=10, related=WEIGHTS, **changes):
    """A run of a draw that fails, in all its epochs, on the first so many of its faces."""
    record = fake_record(
        method, try_=number, related=related, faces=faces, dataset="aflw-50", **changes
    )
    for errors in record.outcomes.errors.values():
        errors[:] = np.where(np.arange(faces) < failing, 0.2, 0.05)
    return record


def drawn(*pair, weights=None):
    """Draws with these scores of DCNet and of Cross-Stitch, (draws, faces) each."""
    both = list(zip(*np.broadcast_arrays(*map(np.asarray, pair)), strict=True))
    weights = [{"gender": 0.1}] * len(both) if weights is None else weights
    return [
        Draw(n, own, {d: {"DCNet": ours, "XS": theirs} for d in ("bin", "soft")})
        for n, (own, (ours, theirs)) in enumerate(zip(weights, both, strict=True))
    ]


def made(gains, weights=None):
    """Draws with these improvements in points, on one face."""
    return drawn(50.0, 50.0 + np.array(gains)[:, None], weights=weights)


def test_doctests():
    assert doctest.testmod(random_draws).failed == 0


class TestPairs:
    @pytest.mark.parametrize(("ours", "theirs"), [(2, 5), (4, 1)])
    def test_improvement_is_cross_stitch_minus_dcnet(self, ours, theirs):
        (draw,) = pairs([run("XS", 3, theirs), run("DCNet", 3, ours)])
        assert draw.number == 3
        assert draw.weights == dict(WEIGHTS)
        assert draw.rates["bin"] == pytest.approx({"DCNet": 10.0 * ours, "XS": 10.0 * theirs})
        gain = 10.0 * (theirs - ours)
        assert draw.improvement == pytest.approx({"bin": gain, "soft": gain})
        assert draw.gaps("bin").tolist() == [
            100.0 * ((face < theirs) - int(face < ours)) for face in range(10)
        ]

    def test_decoders_are_kept_apart(self):
        ours, theirs = run("DCNet", 0, failing=2), run("XS", 0, failing=5)
        theirs.outcomes.errors["soft"][:] = 0.05
        (draw,) = pairs([ours, theirs])
        assert draw.improvement == pytest.approx({"bin": 30.0, "soft": -20.0})

    def test_incomplete_pairs_are_left_out(self):
        records = [run("DCNet", 2, 1), run("XS", 1, 1), run("XS", 2, 3), run("DCNet", 0, 1)]
        assert [draw.number for draw in pairs(records)] == [2]
        assert pairs([]) == pairs([run("DCNet", 0, 1)]) == []

    def test_in_the_order_of_their_numbers(self):
        records = [run(method, n, 1) for n in (4, 0, 11) for method in ("XS", "DCNet")]
        assert [draw.number for draw in pairs(records)] == [0, 4, 11]

    def test_interval_is_the_paired_one(self):
        pair = [fake_record(m, s, dataset="aflw-50") for m, s in (("DCNet", 1.0), ("XS", 1.2))]
        (draw,) = pairs(pair)
        expected = Comparison(pair).difference("XS", "DCNet", decoder="bin")
        mine = draw.interval("bin")
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-4
        )

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"related": (("gender", 0.4), *WEIGHTS[1:])}, r"draw 0: .* other weights"),
            ({"epochs": 7}, "cannot be compared"),
            ({"method": "DCNet", "lr": 0.3}, "there twice"),
        ],
    )
    def test_other_runs_are_refused(self, changes, message):
        other = run(**{"method": "XS", "number": 0, "failing": 1} | changes)
        with pytest.raises(RunError, match=message):
            pairs([run("DCNet", 0, 1), other])


class TestSummary:
    def test_the_papers_count(self):
        """86 of 100: Clopper and Pearson's interval by the quantiles of beta distributions."""
        one = summary(made([1.0] * 86 + [-1.0] * 14))
        assert (one.draws, one.better, one.share.value) == (100, 86, 86.0)
        assert one.share.low == pytest.approx(100 * scipy.stats.beta.ppf(0.025, 86, 15))
        assert one.share.high == pytest.approx(100 * scipy.stats.beta.ppf(0.975, 87, 14))
        assert one.p_value == pytest.approx(2 * scipy.stats.binom.sf(85, 100, 0.5))

    def test_equal_is_not_better_and_no_evidence_either(self):
        five = [1.0, 2.0, 3.0, 4.0, 10.0]
        one, more = summary(made(five)), summary(made([*five, 0.0]))
        assert (one.mean.value, one.median.value, one.maximum) == pytest.approx((4.0, 3.0, 10.0))
        assert (more.better, more.draws) == (5, 6)
        assert one.p_value == more.p_value == pytest.approx(2 * 0.5**5)
        assert summary(made([0.0, 0.0])).p_value == 1

    def test_intervals_over_draws_are_scipys(self):
        gains = np.random.default_rng(3).normal(2.8, 4.0, 100)
        one = summary(made(gains))
        for mine, statistic in ((one.mean, np.mean), (one.median, np.median)):
            scipys = scipy.stats.bootstrap((gains,), statistic, method="percentile", rng=1)
            assert mine.value == pytest.approx(statistic(gains))
            assert (mine.low, mine.high) == pytest.approx(scipys.confidence_interval, abs=0.1)

    def test_faces_that_vary_widen_the_mean(self):
        """Every draw gains 100 points on the same half of the faces: only faces can vary."""
        gaps = np.repeat([0.0, 100.0], 200)
        one = summary(drawn(0.0, np.tile(gaps, (20, 1))))
        assert (one.mean.low, one.mean.value, one.mean.high) == (50, 50, 50)
        half = 1.96 * 50 / np.sqrt(400)
        assert one.mean_over_faces.high - 50 == pytest.approx(half, rel=0.05)
        assert 50 - one.mean_over_faces.low == pytest.approx(half, rel=0.05)

    def test_draws_that_are_clear_alone(self):
        """On 100 faces, 10 of them better is beyond chance, and 1 is not."""
        failing = np.array([(20, 30), (30, 20), (30, 20), (20, 21), (5, 5)])[..., None]
        one = summary(drawn(*(100.0 * (np.arange(100) < failing)).swapaxes(0, 1)))
        assert (one.better, one.clearly_better, one.clearly_worse) == (2, 1, 2)

    def test_normality(self):
        at = (np.arange(100) + 0.5) / 100
        assert summary(made(scipy.stats.norm.ppf(at))).normality > 0.9
        assert summary(made(scipy.stats.expon.ppf(at))).normality < 1e-3
        assert np.isnan(summary(made([1.0, 2.0])).normality)
        assert np.isnan(summary(made([1.0, 1.0, 1.0])).normality)

    def test_few_draws_have_no_interval(self):
        few, enough = (summary(made([3.0, 5.0] * n)) for n in (4, 5))
        for interval in (few.mean, few.median, few.mean_over_faces):
            assert interval.value == 4
            assert np.isnan([interval.low, interval.high]).all()
        assert 3 < enough.mean.low < 4 < enough.mean.high < 5
        assert summary(made([3.0])).share.low == pytest.approx(2.5)

    def test_no_draw(self):
        with pytest.raises(ValueError, match="no draw"):
            summary([])


class TestDependence:
    def weighed(self, weights, gains):
        return dependence(made(gains, [{"gender": w} for w in weights]))["gender"]

    def test_is_spearmans(self):
        rng = np.random.default_rng(0)
        weights, gains = rng.uniform(size=40).round(1), rng.normal(size=40).round(1)  # ties, too
        expected = scipy.stats.spearmanr(np.log(weights + 0.01), gains).statistic
        assert self.weighed(weights + 0.01, gains).value == pytest.approx(expected)

    def test_no_correlation_by_hand(self):
        """Eleven draws, symmetric: 0, and tanh(1.96 / sqrt(11 - 3)) to both sides."""
        one = self.weighed(np.arange(1, 12), abs(np.arange(-5.0, 6.0)))
        assert one.value == pytest.approx(0, abs=1e-12)
        assert (one.low, one.high) == pytest.approx((-0.600, 0.600), abs=1e-3)

    def test_in_step(self):
        one = self.weighed(10.0 ** np.arange(-9, 1), np.sqrt(np.arange(10.0)) - 2)
        assert one.value == pytest.approx(1)
        assert one.low > 0.99

    def test_interval_holds_the_truth_as_often_as_it_says(self):
        rng = np.random.default_rng(1)
        found = [self.weighed(rng.uniform(size=30), rng.normal(size=30)) for _ in range(400)]
        assert 0.92 < np.mean([one.low < 0 < one.high for one in found]) < 0.98

    def test_too_few(self):
        few = dependence(made([1.0, 2.0, 3.0] * 3))
        assert list(few) == ["gender"]
        assert np.isnan([few["gender"].value, few["gender"].low]).all()
        assert dependence([]) == {}


class TestSpread:
    def test_by_hand(self):
        """DCNet's rates 40, 50, 60 have the deviation 10; Cross-Stitch's are all the same."""
        found = spread(drawn(np.tile([40.0, 50.0, 60.0], 10)[:, None], 30.0))
        assert found["DCNet"].value == pytest.approx(np.sqrt(2000 / 29))
        assert found["DCNet"].low < found["DCNet"].value < found["DCNet"].high
        assert found["XS"].value == found["XS"].high == 0
        assert found["DCNet minus XS"] == found["DCNet"]

    def test_too_few(self):
        few = spread(made([1.0, 3.0]))  # rates of Cross-Stitch: 51 and 53
        assert few["XS"].value == pytest.approx(np.sqrt(2))
        assert few["DCNet minus XS"].value == pytest.approx(-np.sqrt(2))
        assert np.isnan([one.low for one in few.values()]).all()
        assert np.isnan([one.value for one in spread(made([1.0])).values()]).all()
