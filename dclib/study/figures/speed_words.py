"""Page "How fast" in words: sentences that are made from the records, so that they hold for each.

They say what was measured; which of it holds elsewhere is for the page to say.
"""

from typing import Any

import pandas as pd

from dclib.study.figures.speed_laws import AXES
from dclib.study.figures.speed_tables import (
    every_method,
    exponents,
    faster,
    halves,
    inference,
    predicted,
    races,
    rates,
    shares,
)
from dclib.study.figures.words import listed
from dclib.study.speed import survey


def times(one: pd.Series) -> str:
    """A ratio, and its range round by round.

    >>> times(pd.Series({"ratio": 1.5, "low": 1.25, "high": 2.0}))
    '1.50 (1.25 to 2.00)'
    """
    return f"{one['ratio']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def steps(record: dict[str, Any]) -> str:
    """How many times as fast as plain our step is, by setting; and other people's code."""
    found = races(record["steps"])
    lines = ["Times as fast as plain, with the range round by round:", ""]
    for name in record["settings"]:
        own = {method: race for (setting, method), race in found.items() if setting == name}
        if own:
            ours = [f"{m} {times(faster(race, 'plain').loc['ours'])}" for m, race in own.items()]
            lines.append(f"- ours at `{name}`, in {_forms(record, name)} forms: {listed(ours)}")
    for whose, about in (("authors", "the authors' DCNet"), ("LibMTL", "LibMTL's Cross-Stitch")):
        beside = [
            f"{times(faster(race, 'plain').loc[whose])} at `{setting}`"
            for (setting, _), race in found.items()
            if whose in race.index
        ]
        if beside:
            lines.append(f"- {about}: {listed(beside)}")
    return "\n".join(lines)


def _forms(record: dict[str, Any], name: str) -> str:
    ours = [e for e in record["steps"] if (e["setting"], e["contender"]) == (name, "ours")]
    return listed(list(dict.fromkeys(entry["forms"] for entry in ours)))


def methods(record: dict[str, Any]) -> str:
    """Which methods gain least and most, and what a step of DCNet costs beside one of RN."""
    frame = every_method(record)
    if frame["ratio"].isna().all():
        command = f"python -m dclib cost --preset {record['preset']}"
        return f"Only plain steps were measured so far; `{command}` measures both."
    least, most = frame["ratio"].idxmin(), frame["ratio"].idxmax()
    told = (
        f"Of {len(frame)} methods {least} gains least, {frame.loc[least, 'ratio']:.2f} times, and"
        f" {most} most, {frame.loc[most, 'ratio']:.2f} times; the median is"
        f" {frame['ratio'].median():.2f}."
    )
    if {"DCNet", "RN"} <= set(frame.index):
        ours = frame["ours (ms)"]
        told += f" A step of DCNet costs {ours['DCNet'] / ours['RN']:.1f} times one of RN."
    return told


def near(record: dict[str, Any]) -> str:
    """How much of the rate of matrix products a step of DCNet reaches, plain and ours."""
    plain, ours = _both(rates(record)["share (%)"])
    told = (
        f"In plain code a step of DCNet runs at {plain} of the rate of large matrix products; in"
        f" our forms, at {ours}."
    )
    libraries = record["limits"].get("libraries")
    if not libraries:  # in a record of before they were compared
        return told
    each = [f"{name} {rate / 1e9:,.0f}" for name, rate in libraries.items()]
    rest = _both(100 - shares(record).loc["convolution"])[1]
    return (
        f"{told} The roof is the best of the libraries at hand (GFLOP/s: {listed(each)}). Where the"
        f" rest goes: of our step's time {rest} is no convolution, and convolutions of few maps or"
        " small ones are too short for a processor to run at its best."
    )


def spent(record: dict[str, Any]) -> str:
    """Which part of a step the convolutions take, plain and ours."""
    plain, ours = _both(shares(record).loc["convolution"])
    return f"Convolutions take {plain} of a plain step's time, and {ours} of ours."


def _both(percent: pd.Series) -> tuple[str, str]:
    """Percentages of plain steps and of ours, by setting."""
    names = list(dict.fromkeys(key[0] for key in percent.index))
    plain, ours = (
        listed([f"{percent[name, contender]:.0f} % at `{name}`" for name in names])
        for contender in ("plain", "ours")
    )
    return plain, ours


def growth(record: dict[str, Any], method: str = survey.METHOD) -> str:
    """What twice as much of each axis costs a method, by the fitted exponents."""
    fits, alone = exponents(record), predicted(record)
    lines = [f"What doubling costs {method}, on average over the range:", ""]
    for axis, words in AXES.items():
        if (axis, method) in fits.index:
            fit = fits.loc[(axis, method)]
            lines.append(
                f"- {words}: {2 ** alone[axis, method]:.1f} times the arithmetic,"
                f" {2 ** fit['time']:.1f} times the time and {2 ** fit['kept']:.1f} times the"
                " memory."
            )
    return "\n".join(lines)


def predicting(record: dict[str, Any]) -> str:
    """How many images a second the fastest way to predict does, by setting."""
    frame = inference(record)
    parts = []
    for name in dict.fromkeys(key[0] for key in frame.index):
        own = frame.loc[name]
        best = own["images/s"].idxmax()
        parts.append(
            f"{own.loc[best, 'images/s']:,.0f} images a second at `{name}` ({best},"
            f" {own.loc[best, 'ratio']:.2f} times as fast as plain)"
        )
    return f"The most that one core predicts is {listed(parts)}."


def half(record: dict[str, Any]) -> str:
    """What bf16 does to our step, and to large matrix products on the same machine."""
    frame = halves(record)
    if frame.empty:
        return "This processor has no instructions for bf16, so nothing was measured."
    parts = [f"{method} {times(row)} at `{setting}`" for (setting, method), row in frame.iterrows()]
    gemm = record["limits"]["gemm"]
    return (
        f"Times as fast in bf16 as in fp32, in our forms: {listed(parts)}. Large matrix products"
        f" alone: {gemm['bf16'] / gemm['fp32']:.1f}."
    )
