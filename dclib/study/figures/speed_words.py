"""Page "How fast" in words: sentences that are made from the records."""

from typing import Any

import pandas as pd

from dclib.study.figures.words import listed


def forms(record: dict[str, Any]) -> str:
    """In which forms our steps were computed, by setting."""
    own: dict[str, dict[str, None]] = {}
    for entry in record["steps"]:
        if entry["contender"] == "ours":
            own.setdefault(entry["setting"], {})[entry["forms"]] = None
    each = [f"{listed(list(names))} at `{setting}`" for setting, names in own.items()]
    return f"Our forms: {listed(each)}."


def methods(frame: pd.DataFrame) -> str:
    """Which methods gain least and most, and what a step of DCNet costs beside one of RN.

    Args:
        frame: as `dclib.study.figures.speed_tables.every_method` makes it.
    """
    least, most = frame["ratio"].idxmin(), frame["ratio"].idxmax()
    told = (
        f"Of {len(frame)} methods {least} gains least, {frame.loc[least, 'ratio']:.2f} times, and"
        f" {most} most, {frame.loc[most, 'ratio']:.2f} times; the median is"
        f" {frame['ratio'].median():.2f}."
    )
    return told + dcnet_beside_rn(frame)


def dcnet_beside_rn(frame: pd.DataFrame) -> str:
    """What a step of DCNet costs beside one of hard sharing; "" where one was not measured."""
    if not {"DCNet", "RN"} <= set(frame.index):
        return ""
    ours = frame["ours (ms)"]
    return f" A step of DCNet costs {ours['DCNet'] / ours['RN']:.1f} times one of RN."


def limits(record: dict[str, Any]) -> str:
    """How fast large matrix products are: by library, and in half the digits."""
    found = record["limits"]
    rates = {name: f"{name} {rate / 1e9:,.0f}" for name, rate in found.get("libraries", {}).items()}
    told = f"Libraries at hand, in GFLOP/s: {listed(list(rates.values()))}." if rates else ""
    if "bf16" in found["gemm"]:
        gain = found["gemm"]["bf16"] / found["gemm"]["fp32"]
        told += f" Large products in bf16 are {gain:.1f} times as fast as in fp32."
    return told.strip()
