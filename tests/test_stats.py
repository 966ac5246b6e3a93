"""Intervals against analysis, simulation and scipy; the verdict rule as a table."""

import doctest
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats

import dclib.stats
from dclib.metrics import failure_rate
from dclib.stats import (
    Interval,
    Verdict,
    all_of,
    bootstrap,
    failures,
    mcnemar,
    paired_bootstrap,
    verdict,
)


def coins(rates, tries, faces, seed=0):
    """Score matrices of methods that fail on any face with these probabilities."""
    rng = np.random.default_rng(seed)
    return [(rng.random((tries, faces)) < rate).astype(float) for rate in rates]


def test_doctests():
    assert doctest.testmod(dclib.stats).failed == 0


class TestFailures:
    def test_mean_is_the_papers_number(self):
        errors = np.random.default_rng(0).gamma(4.0, 0.02, (3, 5, 40))
        over_epochs = [[failure_rate(epoch) for epoch in one_try] for one_try in errors]
        expected = np.mean([np.mean(one_try) for one_try in over_epochs])
        assert failures(errors).mean() == pytest.approx(expected)

    def test_shape(self):
        with pytest.raises(ValueError, match="tries, epochs, faces"):
            failures([0.1, 0.2])


class TestBootstrap:
    def test_one_try_is_the_binomial_standard_error(self):
        (scores,) = coins([0.15], tries=1, faces=2995)
        interval, share = bootstrap(scores), scores.mean()
        spread = 1.96 * np.sqrt(share * (1 - share) / 2995)
        assert interval.value == share
        assert interval.high - share == pytest.approx(spread, rel=0.05)
        assert share - interval.low == pytest.approx(spread, rel=0.05)

    def test_one_try_is_scipys_paired_bootstrap(self):
        one, other = coins([0.15, 0.20], tries=1, faces=400)
        scipys = scipy.stats.bootstrap(
            (one[0], other[0]),
            lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
            paired=True,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(7),
        ).confidence_interval
        ours = paired_bootstrap(one, other)
        assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), abs=0.003)

    def test_tries_that_differ_widen_it(self):
        # Faces that all fare alike: only the tries are left to vary, as three values drawn thrice.
        scores = np.repeat([[0.1], [0.2], [0.3]], 50, axis=1)
        interval = bootstrap(scores)
        # P(all three draws are the lowest) = 1/27 > 2.5 %: the interval spans the tries.
        assert (interval.low, interval.high) == pytest.approx((0.1, 0.3))

    def test_faces_shared_by_two_methods_cancel(self):
        # The methods differ on few faces, but the faces differ among each other.
        one = coins([0.5], tries=1, faces=1000)[0]
        other = one.copy()
        other[0, :20] = 1 - other[0, :20]
        paired, alone = paired_bootstrap(one, other), bootstrap(one)
        assert paired.high - paired.low < (alone.high - alone.low) / 3

    def test_identical_methods(self):
        scores = np.tile(coins([0.2], tries=1, faces=300)[0], (3, 1))
        assert paired_bootstrap(scores, scores) == Interval(0.0, 0.0, 0.0)

    def test_swapping_the_methods_negates_it(self):
        one, other = coins([0.15, 0.25], tries=3, faces=500)
        forth, back = paired_bootstrap(one, other), paired_bootstrap(other, one)
        assert back.value == -forth.value
        # Tries are drawn per method, so the swap meets other draws: equal up to their noise.
        assert (-back.high, -back.low) == pytest.approx((forth.low, forth.high), abs=0.003)

    def test_seeded(self):
        one, other = coins([0.15, 0.25], tries=3, faces=500)
        assert paired_bootstrap(one, other) == paired_bootstrap(one, other)
        assert paired_bootstrap(one, other) != paired_bootstrap(one, other, seed=1)

    def test_covers_a_known_difference(self):
        # Faces of different difficulty, tries of different luck, methods half a logit apart.
        rng = np.random.default_rng(0)

        def rates(faces, tries):
            difficulty = rng.normal(-3.6, 3.0, (1, faces))
            luck = rng.normal(0.0, 0.3, (2, tries, 1))
            gap = np.array([[[0.0]], [[0.5]]])
            return 1 / (1 + np.exp(-(difficulty + luck + gap)))  # (2, tries, faces)

        expected = np.mean([rates(10_000, 3).mean(axis=(1, 2)) for _ in range(100)], axis=0)
        covered = 0
        for _ in range(200):
            one, other = rng.random((2, 3, 300)) < rates(300, 3)
            interval = paired_bootstrap(one, other)
            covered += interval.low <= expected[0] - expected[1] <= interval.high
        assert 0.90 <= covered / 200 <= 0.99

    def test_bad_input(self):
        with pytest.raises(ValueError, match="same faces"):
            paired_bootstrap(np.zeros((1, 3)), np.zeros((1, 4)))
        with pytest.raises(ValueError, match="not empty"):
            bootstrap(np.zeros((0, 3)))
        with pytest.raises(ValueError, match="finite"):
            bootstrap([[0.1, np.inf]])


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
        ("bin_", "soft", "cpu", "paper"),
        [
            (BELOW, BELOW, "direction supported", "reproduced"),
            (ABOVE, ABOVE, "direction contradicted", "not reproduced"),
            (BELOW, ABOVE, "inconclusive", "inconclusive"),
            (BELOW, ACROSS, "inconclusive", "inconclusive"),
            (ACROSS, BELOW, "inconclusive", "inconclusive"),
            (ACROSS, ACROSS, "inconclusive", "inconclusive"),
            (ABOVE, ACROSS, "inconclusive", "inconclusive"),
            (BELOW, TOUCHING, "inconclusive", "inconclusive"),
        ],
    )
    def test_rule(self, bin_, soft, cpu, paper):
        differences = {"bin": bin_, "soft": soft}
        assert verdict(differences, "cpu") == cpu
        assert verdict(differences, "paper") == paper
        assert verdict(differences, "smoke") == "not run"

    def test_decoder_missing(self):
        assert verdict({"bin": BELOW}, "cpu") == "not run"
        assert verdict({}, "paper") == "not run"

    def test_several_comparisons(self):
        ranked = [
            Verdict.CONTRADICTED,
            Verdict.NOT_RUN,
            Verdict.INCONCLUSIVE,
            Verdict.SUPPORTED,
        ]
        for stronger, weaker in pairwise(ranked):
            assert all_of([weaker, stronger, weaker]) == stronger
        assert all_of([Verdict.REPRODUCED, Verdict.REPRODUCED]) == "reproduced"
        assert all_of([]) == "not run"
