"""The paper's sums worked out again, against the same worked out by hand."""

import doctest
import math

import numpy as np
import pytest
from fake_records import fake_records

from dclib.study.analysis.comparison import Comparison
from dclib.study.verdicts import arithmetic, chance


def test_doctests():
    assert doctest.testmod(chance).failed == 0


@pytest.fixture(scope="module")
def checks():
    return arithmetic.checks().set_index("what")


def row(checks, start):
    (name,) = (what for what in checks.index if what.startswith(start))
    return checks.loc[name]


class TestChecks:
    def test_what_agrees_and_what_does_not(self, checks):
        by_hand = {
            "improvement over XS, AlexNet, from": True,  # 26.41 - 19.67 = 6.74
            "improvement over XS, ResNet18, pre": True,  # 15.52 - 13.52 = 2.00
            "the highest improvement": False,  # over AN: 28.02 - 19.67 = 8.35
            "XS was similar": True,  # 18.43 - 16.75 = 1.68, within chance
            "improvements from 30": True,
            '"relative change"': False,  # (57.39 - 60.64) / 57.39 = -5.66 %
            "normally distributed": False,
            "the majority": True,
            "faces to train": True,  # 10,000 + 2,995
            "bins of 30": False,  # 3 * 360 / 30 = 36
            "failing faces, MTCNN widened": False,  # 1133 is 37.83 %, 1134 is 37.86 %
            "failing faces, MTCNN +": False,
        }
        for start, agrees in by_hand.items():
            told = row(checks, start)["verdict"]
            assert told == (arithmetic.AGREES if agrees else arithmetic.DISAGREES), start

    def test_recomputed_by_hand(self, checks):
        assert row(checks, "the highest")["recomputed"] == "8.35 points, over AN"
        assert row(checks, '"relative')["recomputed"] == "−5.66 % of the rate; −3.25 points"
        # 14.95 times 1.2972, 1.47 and 1.8387
        assert row(checks, "failure rates with")["recomputed"] == "19.4, 22.0, 27.5 %"

    def test_normal_draws_would_agree(self):
        """Mean, share above zero, median and maximum of normal draws, as the paper gives them."""
        rng = np.random.default_rng(0)
        gains = rng.normal(2.8, 2.59, (4000, 100))
        apart = np.abs(np.median(gains, axis=1) - gains.mean(axis=1))
        assert (apart > 3.66 - 2.80).mean() < 1e-3  # as far apart as the paper's
        assert np.median(gains.max(axis=1)) == pytest.approx(9.18, abs=0.1)

    def test_whole_numbers_of_faces(self):
        """No count of 2,995 faces, or of the detected ones, rounds to the printed rates."""
        for rate, totals in ((37.85, (2995, 2883)), (28.97, (2995, 2916))):
            for total in totals:
                shares = np.round(100 * np.arange(total + 1) / total, 2)
                assert rate not in shares


class TestChance:
    def test_bound_against_simulated_faces(self):
        rng = np.random.default_rng(1)
        one, other = rng.binomial(211, [[0.1082], [0.1280]], (2, 20_000)) / 2.11
        assert chance.half(10.82, 12.80, 211) == pytest.approx(1.96 * (one - other).std(), rel=0.03)

    def test_test_faces_of_table_1(self):
        assert [chance.faces(r) for r in chance.RATIOS] == [1900, 1478, 1056, 633, 211]

    def test_which_differences_are_beyond_it(self):
        frame = chance.chance()
        own = frame.set_index(["on", "difference"], append=True)["beyond the bound"]
        assert own["Fig. 3", "ResNet18, from scratch", "DCNet − XS"] == "yes"
        # 1.80 against 1.96 * sqrt((0.1495 * 0.8505 + 0.1675 * 0.8325) / 2995) = 1.85
        assert own["Fig. 3", "ResNet18, from scratch", "DCNet − RNx"] == "no"
        assert (frame.loc["Table 1"].iloc[-3:]["beyond the bound"] == "no").all()
        assert len(frame.loc["Table 1"]) == 15
        assert set(frame["beyond that"]) == {"–"}  # nothing is known of pairing
        assert "Table 1: 4 of 15" in chance.told(frame)

    def test_pairing_narrows_what_methods_share(self):
        """Where methods fail on the same faces, a paired interval is narrower than the bound."""
        group = Comparison(fake_records({"DCNet": 1.0, "XS": 1.05}))
        share = chance.pairing([group])
        assert 0 < share < 0.8
        frame = chance.chance(share)
        assert np.allclose(frame["paired, about"], share * frame["bound"])
        assert math.isnan(chance.pairing([]))
