"""The paper's own arithmetic, worked out again from the numbers that it prints: do they agree?"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from dclib.study import paper
from dclib.study.analysis.stats import WIDE
from dclib.study.verdicts.chance import OTHERS, RATIOS, half, table1
from dclib.study.verdicts.judgement import number as words

AGREES, DISAGREES = "agrees", "does not agree"

Line = tuple[str, str, str, str, bool]  # where, what, printed, recomputed, whether they agree


def checks() -> pd.DataFrame:
    """One row per sum or statement that can be worked out again from printed numbers."""
    lines = [*_improvements(), *_scarce(), *_draws(), *_counts(), *_cascade()]
    frame = pd.DataFrame(lines, columns=["section", "what", "printed", "recomputed", "same"])
    frame["verdict"] = np.where(frame.pop("same"), AGREES, DISAGREES)
    return frame.set_index("section")


def _improvements() -> Iterator[Line]:
    for on in ("AlexNet", "ResNet18"):
        for pretrained in (False, True):
            start = "pre-trained" if pretrained else "from scratch"
            printed = paper.number(
                "improvement", underlying=on, pretrained=pretrained, method="DCNet over XS"
            )
            gap = -(paper.difference("DCNet", "XS", on, pretrained) or math.nan)
            what = f"improvement over XS, {on}, {start}"
            yield "§4.2", what, f"{printed:.2f} %", f"{gap:.2f} points", round(gap, 2) == printed
    gaps = {
        method: -difference
        for method in ("AN", "ANx", "HF", "XS", "XSx")
        if (difference := paper.difference("DCNet", method, "alexnet")) is not None
    }
    most = max(gaps, key=lambda method: gaps[method])
    yield (
        "§4.2",
        "the highest improvement with AlexNet is that over XS, if methods are compared",
        f"{gaps['XS']:.2f} %",
        f"{gaps[most]:.2f} points, over {most}",
        most == "XS",
    )
    wide, stitch = (paper.failure_rate(m, "resnet18") or math.nan for m in ("RNx", "XS"))
    bound = half(stitch, wide, 2995)
    yield (
        "§4.3 on 4.2",
        "XS was similar to or better than all others but DCNet: ResNet18, against RNx",
        "similar or better",
        f"{stitch - wide:.2f} points worse; chance may be {bound:.2f}",
        stitch - wide < bound,
    )


def _scarce() -> Iterator[Line]:
    later = RATIOS[1:]
    gaps = [float(table1(r)[m] - table1(r)["DCNet"]) for r in later for m in OTHERS]
    printed = paper.reported("improvement", section="4.3").set_index("metric")["value"]
    low, high = (printed[f"failure_rate_difference_{end}"] for end in ("min", "max"))
    yield (
        "§4.3",
        "improvements from 30 to 90 % lie between",
        f"{low:.2f} and {high:.2f} %",
        f"{min(gaps):.2f} and {max(gaps):.2f} points",
        (round(min(gaps), 2), round(max(gaps), 2)) == (low, high),
    )
    single, ours = table1(0.1)["RN-S"], table1(0.1)["DCNet"]
    yield (
        "§4.3",
        '"relative change" at 10 %',
        f"{words(printed['relative_change'])} %",
        f"{words(100 * (single - ours) / single)} % of the rate; {words(single - ours)} points",
        abs(100 * (single - ours) / single - printed["relative_change"]) < 0.005,
    )
    multi = [float(table1(0.1)[m]) for m in ("RN", "XS", "DCNet")]
    yield (
        "§4.3",
        "at 10 % all multi-task networks are above RN-S",
        "all",
        f"{sum(rate > single for rate in multi)} of {len(multi)}",
        all(rate > single for rate in multi),
    )
    falls = {m: [float(table1(r)[m]) for r in RATIOS] for m in (*OTHERS, "DCNet")}
    order = [m for m, rates in falls.items() if all(a > b for a, b in pairwise(rates))]
    yield (
        "Table 1",
        "every method fails less often with more faces to train on",
        "not stated",
        f"{len(order)} of {len(falls)} methods",
        len(order) == len(falls),
    )


def _draws() -> Iterator[Line]:
    better, mean, median, most = (
        paper.number("fig5", metric=metric)
        for metric in ("times_better", "mean_improvement", "median_improvement", "max_improvement")
    )
    spread = mean / norm.ppf(better / 100)  # of a normal distribution with this share above zero
    error = spread * math.sqrt((math.pi / 2 - 1) / 100)
    yield (
        "§4.3",
        "normally distributed, so mean and median are alike",
        f"{mean:.2f} and {median:.2f} %",
        f"{abs(mean - median) / error:.1f} standard errors apart",
        abs(mean - median) < WIDE * error,
    )
    largest = mean + spread * float(norm.ppf(0.5 ** (1 / 100)))  # the median of the maximum
    yield (
        "§4.3",
        "the maximum, if normal with this mean and this share above zero",
        f"{most:.2f} %",
        f"about {largest:.2f} points, with a deviation of {spread:.2f}",
        abs(most - largest) < spread,
    )
    interval = binomtest(int(better), 100).proportion_ci(method="exact")
    yield (
        "§4.3",
        "the majority of draws, against an even chance",
        f"{better:.0f} of 100",
        f"{100 * interval.low:.0f} to {100 * interval.high:.0f} % (Clopper and Pearson)",
        interval.low > 0.5,
    )
    usual = float(table1(0.5)["XS"] - table1(0.5)["DCNet"])
    yield (
        "§4.3",
        "Table 1's gain over XS at 50 %, all weights 1, beside the draws",
        f"{usual:.2f} points",
        f"{words((usual - mean) / spread)} deviations above their mean",
        abs(usual - mean) < WIDE * spread,
    )


def _counts() -> Iterator[Line]:
    train, test, both = (
        int(paper.number("protocol", section="4.2", condition=f"{which} faces"))
        for which in ("training", "test", "all")
    )
    yield (
        "§4.2",
        "faces to train and test on",
        f"{both:,}",
        f"{train + test:,}",
        train + test == both,
    )
    bins = int(paper.number("protocol", metric="count", unit="bins"))
    width = int(paper.number("protocol", condition="angle bins"))
    full = 3 * 360 // width
    yield (
        "§4.3",
        f"bins of {width} degrees for three angles, if all angles occur",
        f"{bins}",
        f"{full}; {bins} need limits, such as ±90, ±60 and ±60 degrees",
        full == bins,
    )
    ours = paper.failure_rate("DCNet", "resnet18") or math.nan
    changes = paper.reported("fig6")["value"]
    rates = ", ".join(f"{ours * (1 - change / 100):.1f}" for change in changes)
    worst = ours * (1 - changes.min() / 100)
    yield (
        "§4.4",
        "failure rates with features removed, if that of Fig. 3 is 100 %",
        ", ".join(f"{words(change)} %" for change in changes),
        f"{rates} %",
        worst < 100,
    )


def _cascade() -> Iterator[Line]:
    """MTCNN's failure rates as whole numbers of faces, of all or of those that were detected."""
    for method in ("MTCNN widened", "MTCNN + collaborative block"):
        rate, missed = (
            paper.number("mtcnn", method=method, metric=metric)
            for metric in ("landmark_failure_rate", "missed_faces")
        )
        totals = (2995, 2995 - int(missed))
        fits = [n for n in totals if round(100 * round(rate / 100 * n) / n, 2) == rate]
        near = " or ".join(f"{rate / 100 * n:.1f} of {n:,}" for n in totals)
        yield "§4.5", f"failing faces, {method}", f"{rate:.2f} %", near, bool(fits)
