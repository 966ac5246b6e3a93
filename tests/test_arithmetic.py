"""The paper's sums worked out again, and what its test faces leave to chance."""

import doctest
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from fake_records import fake_records
from scipy.stats import binomtest, norm

from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.verdicts import arithmetic, chance


def test_doctests():
    assert doctest.testmod(chance).failed == 0


RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)


def table1(ratio):
    """The failure rates of Table 1 at a share of training faces, by method."""
    rows = paper.reported("table1", condition=f"train_ratio={ratio}")
    return rows.set_index("method")["value"]


def signed(value):
    return f"{value:.2f}".replace("-", "−")


def improvements():
    for on in ("AlexNet", "ResNet18"):
        for start, pretrained in (("from scratch", False), ("pre-trained", True)):
            gap = paper.difference("XS", "DCNet", on, pretrained)
            yield f"improvement over XS, {on}, {start}", f"{gap:.2f} points", True
    gaps = {
        m: paper.failure_rate(m, "alexnet") - paper.failure_rate("DCNet", "alexnet")
        for m in ("AN", "ANx", "HF", "XS")
    }
    most = max(gaps, key=gaps.get)
    told = f"{gaps[most]:.2f} points, over {most}"
    yield "the highest improvement with AlexNet is that over XS", told, most == "XS"
    gap, bound = 18.43 - 16.75, 196 * math.sqrt((0.1843 * 0.8157 + 0.1675 * 0.8325) / 2995)
    told = f"{gap:.2f} points worse; chance may be {bound:.2f}"
    yield "XS was similar to or better than all others", told, gap < bound


def scarce():
    at = {r: table1(r) for r in RATIOS}
    gaps = [rates[m] - rates["DCNet"] for r, rates in at.items() if r > 0.1 for m in rates.index]
    low, high = sorted(gaps)[4], max(gaps)  # beside four zeros, DCNet's own
    told = f"{low:.2f} and {high:.2f} points"
    yield "improvements from 30 to 90 %", told, (f"{low:.2f}", f"{high:.2f}") == ("1.98", "6.51")
    single, ours = at[0.1]["RN-S"], at[0.1]["DCNet"]
    relative = 100 * (single - ours) / single
    told = f"{signed(relative)} % of the rate; {signed(single - ours)} points"
    yield '"relative change" at 10 %', told, round(relative, 2) == -3.25
    yield "at 10 % all multi-task networks are above RN-S", "3 of 3", at[0.1].min() == single
    falls = [all(a[m] > b[m] for a, b in pairwise(at.values())) for m in at[0.1].index]
    yield "every method fails less often", f"{sum(falls)} of 4 methods", all(falls)


def draws():
    spread = 2.80 / norm.ppf(0.86)  # of a normal distribution with this share above zero
    apart = (3.66 - 2.80) / (spread * math.sqrt((math.pi / 2 - 1) / 100))
    yield "normally distributed, so mean and", f"{apart:.1f} standard errors apart", apart < 1.96
    largest = 2.80 + spread * norm.ppf(0.5 ** (1 / 100))
    told = f"about {largest:.2f} points, with a deviation of {spread:.2f}"
    yield "the maximum, if normal", told, abs(9.83 - largest) < spread
    ends = binomtest(86, 100).proportion_ci(method="exact")
    told = f"{100 * ends.low:.0f} to {100 * ends.high:.0f} % (Clopper and Pearson)"
    yield "the majority of draws", told, ends.low > 0.5
    usual = (26.02 - 20.77 - 2.80) / spread
    yield "Table 1's gain over XS at 50 %", f"{usual:.2f} deviations above their mean", usual < 1.96


def counts():
    yield "faces to train and test on", f"{10_000 + 2995:,}", True
    told = "36; 14 need limits, such as ±90, ±60 and ±60 degrees"  # 3 * 360 / 30
    yield "bins of 30 degrees", told, False
    rates = ", ".join(f"{14.95 * (1 + more):.1f}" for more in (0.2972, 0.47, 0.8387))
    yield "failure rates with features removed", f"{rates} %", True
    for method, rate, found in (("widened", 37.85, 2883), ("+ collaborative", 28.97, 2916)):
        near = " or ".join(f"{rate / 100 * n:.1f} of {n:,}" for n in (2995, found))
        yield f"failing faces, MTCNN {method}", near, False  # no count of faces rounds to it


def test_every_sum_is_what_the_printed_numbers_make():
    frame = arithmetic.checks().set_index("what")
    expected = [*improvements(), *scarce(), *draws(), *counts()]
    assert len(frame) == len(expected) == 19
    for start, told, agrees in expected:
        (what,) = (what for what in frame.index if what.startswith(start))
        row = frame.loc[what]
        assert (row["recomputed"], row["verdict"]) == (
            told,
            "agrees" if agrees else "does not agree",
        )


def test_what_sums_call_printed_is_in_the_ledger():
    printed = set(paper.reported()["value"].abs())
    for words in arithmetic.checks()["printed"]:
        told = {float(x.replace(",", "")) for x in re.findall(r"\d[\d,.]*", words)}
        assert told <= printed | {26.02 - 20.77}, words


def test_normal_draws_would_agree():
    """Mean, share above zero, median and maximum of normal draws, as the paper gives them."""
    rng = np.random.default_rng(0)
    gains = rng.normal(2.8, 2.59, (4000, 100))
    apart = np.abs(np.median(gains, axis=1) - gains.mean(axis=1))
    assert (apart > 3.66 - 2.80).mean() < 1e-3  # as far apart as the paper's
    assert np.median(gains.max(axis=1)) == pytest.approx(9.18, abs=0.1)


@pytest.mark.parametrize(("rate", "totals"), [(37.85, (2995, 2883)), (28.97, (2995, 2916))])
def test_whole_numbers_of_faces(rate, totals):
    """No count of 2,995 faces, or of the detected ones, rounds to the printed rates."""
    for total in totals:
        assert rate not in np.round(100 * np.arange(total + 1) / total, 2)


class TestChance:
    def test_bound_against_simulated_faces(self):
        rng = np.random.default_rng(1)
        one, other = rng.binomial(211, [[0.1082], [0.1280]], (2, 20_000)) / 2.11
        assert chance.half(10.82, 12.80, 211) == pytest.approx(1.96 * (one - other).std(), rel=0.03)

    def test_differences_and_bounds_are_what_the_ledger_makes(self):
        expected = []
        for on, short in (("AlexNet", "AN"), ("ResNet18", "RN")):
            for start in (False, True):
                pairs = [("DCNet", m) for m in (short, f"{short}x", "HF", "XS", "XSx")]
                for pair in [*pairs, (f"{short}x", short)]:
                    rates = [paper.failure_rate(method, on, start) for method in pair]
                    if None not in rates:
                        what = f"{on}, {'pre-trained' if start else 'from scratch'}"
                        expected.append(("Fig. 3", what, pair, *rates, 2995))
        for ratio, faces in zip(RATIOS, (1900, 1478, 1056, 633, 211), strict=True):  # of 2,111
            rates = table1(ratio)
            for other in ("RN-S", "RN", "XS"):
                row = ("DCNet", other), rates["DCNet"], rates[other], faces
                expected.append(("Table 1", f"{100 * ratio:.0f} % to train on", *row))
        pair = "MTCNN + block", "MTCNN"
        expected.append(("§4.5", "MTFL", pair, 28.97, 37.85, 2995))
        frame = chance.chance().reset_index()
        assert len(frame) == len(expected)
        for row, (where, on, pair, one, other, faces) in zip(
            frame.itertuples(index=False), expected, strict=True
        ):
            assert row[:3] == (where, on, " − ".join(pair))
            bound = 196 * sum(p * (1 - p) for p in (one / 100, other / 100)) ** 0.5 / faces**0.5
            assert row[3] == pytest.approx(one - other)
            assert (row[4], row[5]) == (faces, pytest.approx(bound, rel=1e-3))

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
