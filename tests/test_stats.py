"""Intervals against analysis, simulation and scipy; the verdict rule as a table."""

import doctest
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats

import dclib.study.analysis.stats
from dclib.study.analysis.stats import (
    Chance,
    Interval,
    Verdict,
    all_of,
    average,
    certainty,
    difference,
    holm,
    mcnemar,
    verdict,
)


def coins(rates, tries, faces, seed=0):
    """Score matrices of methods that fail on any face with these probabilities."""
    rng = np.random.default_rng(seed)
    return [(rng.random((tries, faces)) < rate).astype(float) for rate in rates]


def test_doctests():
    assert doctest.testmod(dclib.study.analysis.stats).failed == 0


class TestIntervals:
    def test_one_try_is_the_binomial_standard_error(self):
        (scores,) = coins([0.15], tries=1, faces=2995)
        interval, share = average(scores), scores.mean()
        spread = 1.96 * np.sqrt(share * (1 - share) / 2995)
        assert interval.value == share
        assert interval.high - share == pytest.approx(spread, rel=0.01)
        assert share - interval.low == pytest.approx(spread, rel=0.01)

    def test_one_try_is_scipys_paired_test(self):
        one, other = coins([0.15, 0.20], tries=1, faces=400)
        scipys = scipy.stats.ttest_rel(one[0], other[0])
        ours = difference(one, other)
        assert (ours.low, ours.high) == pytest.approx(tuple(scipys.confidence_interval()))
        assert ours.p == pytest.approx(scipys.pvalue)
        assert ours.freedom == pytest.approx(399)

    def test_tries_alone_are_the_usual_t(self):
        """Faces that all fare alike: only the tries are left to vary."""
        one, other = (np.repeat(means, 50, axis=1) for means in ([[1], [2], [4]], [[2], [5], [5]]))
        scipys = scipy.stats.ttest_ind(one[:, 0], other[:, 0]).confidence_interval()
        ours = difference(one, other)
        assert (ours.low, ours.high) == pytest.approx(tuple(scipys))
        assert ours.freedom == pytest.approx(4)

    def test_noise_of_single_faces_is_not_counted_twice(self):
        """Tries that differ in nothing but coins thrown face by face: as if faces were more."""
        known = 1.96 * np.sqrt(0.3 * 0.7 / 40 / 2000)
        found = [average(scores) for scores in coins([0.3] * 30, tries=40, faces=2000)]
        assert np.mean([i.high - i.value for i in found]) == pytest.approx(known, rel=0.1)

    def test_faces_shared_by_two_methods_cancel(self):
        # The methods differ on few faces, but the faces differ among each other.
        one = coins([0.5], tries=1, faces=1000)[0]
        other = one.copy()
        other[0, :20] = 1 - other[0, :20]
        paired, alone = difference(one, other), average(one)
        assert paired.high - paired.low < (alone.high - alone.low) / 3

    def test_swapping_the_methods_negates_it(self):
        one, other = coins([0.15, 0.25], tries=3, faces=500)
        forth, back = difference(one, other), difference(other, one)
        assert (-back.value, -back.high, -back.low) == pytest.approx(
            (forth.value, forth.low, forth.high)
        )

    def test_moved_has_the_p_value_of_the_moved_scores(self):
        one, other = coins([0.2, 0.25], tries=2, faces=500)
        moved, own = difference(one, other).moved(-0.02), difference(one - 0.02, other)
        assert (moved.value, moved.low, moved.p) == pytest.approx((own.value, own.low, own.p))

    def test_intervals_that_hold_together_are_bonferronis(self):
        """Of ten, each at 99.5 %: 2.807 standard errors, and ten times the p-value."""
        one, ten = (Interval.by_t(3.0, 1.0, np.inf, count) for count in (1, 10))
        assert (ten.low, ten.high) == pytest.approx((3 - 2.807, 3 + 2.807), abs=1e-3)
        assert ten.p == pytest.approx(10 * one.p)

    @pytest.mark.parametrize("tries", [1, 2, 3])
    def test_covers_a_known_difference(self, tries):
        """Faces of different difficulty, tries of different luck, methods half a logit apart.

        Luck moves failure rates by two points, as in runs. Six methods lend each other how much
        tries differ; a single try borrows it from two tries of them on other faces.
        """
        rng = np.random.default_rng(tries)
        gaps = np.array([0.0, 0.5, 0.2, 0.1, 0.3, 0.4])[:, None, None]

        def rates(faces, tries):
            difficulty = rng.normal(-3.6, 3.0, (1, 1, faces))
            own = rng.normal(0.0, 0.5, (6, 1, faces))
            luck = rng.normal(0.0, 0.3, (6, tries, 1))
            return 1 / (1 + np.exp(-(difficulty + own + luck + gaps)))  # (6, tries, faces)

        truth = np.mean([rates(20_000, 3).mean(axis=(1, 2)) for _ in range(60)], axis=0)
        covered, wide = 0, 600
        for _ in range(wide):
            probabilities = rates(300, tries)
            scores = (rng.random(probabilities.shape) < probabilities).astype(float)
            lent = rates(300, 2)
            lender = (rng.random(lent.shape) < lent).astype(float)
            chance = Chance.of(scores if tries > 1 else lender)
            interval = difference(scores[0], scores[1], chance)
            covered += interval.low <= truth[0] - truth[1] <= interval.high
        assert 0.93 <= covered / wide <= 0.98

    def test_no_tries_to_compare_say_nothing_of_chance(self):
        assert Chance.of(coins([0.1, 0.2], tries=1, faces=9)) is None
        two, one = coins([0.1], tries=2, faces=9)[0], coins([0.1], tries=1, faces=9)[0]
        assert Chance.of([two, one]).freedom == 1

    def test_bad_input(self):
        with pytest.raises(ValueError, match="same faces"):
            difference(np.zeros((1, 3)), np.zeros((1, 4)))
        with pytest.raises(ValueError, match="not empty"):
            average(np.zeros((0, 3)))
        with pytest.raises(ValueError, match="finite"):
            average([[0.1, np.inf]])


def test_holms_steps_by_hand():
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2 is no less, then the last
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])


class TestCertainty:
    def gap(self, value, p):
        return {d: Interval(value, value - 0.5, value + 0.5, p) for d in ("bin", "soft")}

    def test_of_all_comparisons_the_least_sure(self):
        assert certainty([self.gap(-1, 0.01), self.gap(-2, 0.03)]) == 0.03

    def test_of_an_opposite_one_the_surest_times_their_number(self):
        gaps = [self.gap(-1, 0.01), self.gap(1, 0.02), self.gap(1, 0.004)]
        assert certainty(gaps) == pytest.approx(0.012)

    def test_of_what_is_unclear(self):
        assert certainty([self.gap(-1, 0.01), self.gap(0.1, 0.9)]) == 1.0


class TestMcNemar:
    def test_hand_value(self):
        # One face against seven: 2 * (C(8,0) + C(8,1)) / 2^8.
        first = np.array([1] + [0] * 7 + [1] * 5 + [0] * 9)
        second = np.array([0] + [1] * 7 + [1] * 5 + [0] * 9)
        assert mcnemar(first, second) == pytest.approx(2 * 9 / 256)
        assert mcnemar(second, first) == pytest.approx(2 * 9 / 256)

    def test_approaches_the_chi_square_form(self):
        one, other = (scores[0] for scores in coins([0.15, 0.18], tries=1, faces=2995))
        b, c = ((one > other).sum(), (other > one).sum())
        chi_square = scipy.stats.chi2.sf((abs(b - c) - 1) ** 2 / (b + c), df=1)
        assert mcnemar(one, other) == pytest.approx(chi_square, rel=0.03)

    def test_methods_that_never_differ(self):
        assert mcnemar([1, 0, 1], [1, 0, 1]) == 1.0

    def test_shape(self):
        with pytest.raises(ValueError, match="must both be"):
            mcnemar([1, 0], [1, 0, 1])


BELOW, ACROSS, ABOVE = Interval(-3, -5, -1), Interval(-1, -3, 1), Interval(3, 1, 5)
TOUCHING = Interval(-1, -2, 0)


class TestVerdict:
    @pytest.mark.parametrize(
        ("bin_", "soft", "expected"),
        [
            (BELOW, BELOW, "supported"),
            (ABOVE, ABOVE, "contradicted"),
            (BELOW, ABOVE, "unclear"),
            (BELOW, ACROSS, "unclear"),
            (ACROSS, BELOW, "unclear"),
            (ACROSS, ACROSS, "unclear"),
            (ABOVE, ACROSS, "unclear"),
            (BELOW, TOUCHING, "unclear"),
        ],
    )
    def test_rule(self, bin_, soft, expected):
        assert verdict({"bin": bin_, "soft": soft}) == expected

    def test_decoder_missing(self):
        assert verdict({"bin": BELOW}) == "not tested"
        assert verdict({}) == "not tested"

    def test_several_comparisons(self):
        ranked = (Verdict.CONTRADICTED, Verdict.NOT_TESTED, Verdict.UNCLEAR, Verdict.SUPPORTED)
        for stronger, weaker in pairwise(ranked):
            assert all_of([weaker, stronger, weaker]) == stronger
        assert all_of([]) == "not tested"
