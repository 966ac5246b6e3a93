"""Page "How fast" in numbers: what `dclib.study.speed.survey` and `cost` recorded, as tables.

Where nothing else is said, a record is one of the survey.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from math import fsum, nan
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import linregress

from dclib.errors import RunError
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import plans
from dclib.study.figures import sizes
from dclib.study.figures.results import in_order
from dclib.study.speed import bench, cost, roofline, survey

Races = dict[tuple[str, str], pd.DataFrame]  # by setting and method: a column for each contender


def races(entries: Sequence[Mapping[str, Any]]) -> Races:
    """The contenders that took turns with each other, in the order of the record.

    Args:
        entries: "steps" or "inference" of a record.
    """
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for entry in entries:
        race = found.setdefault((entry["setting"], entry["method"]), {})
        race[entry["contender"]] = entry["seconds"]
    return {key: pd.DataFrame(race) for key, race in found.items()}


def faster(race: pd.DataFrame, than: str) -> pd.DataFrame:
    """One row per contender: how many times as fast as one of them, and the range by rounds."""
    return bench.table(race, than)[["ratio", "low", "high"]]


def _table(rows: Mapping[Any, Mapping[str, Any]], *names: str) -> pd.DataFrame:
    """One row per key; a key of several parts is several columns of names."""
    if not rows:
        return pd.DataFrame()
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(list(names))


def steps(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting, method and contender: milliseconds, and the ratio to the plain one."""
    tables = {key: bench.table(race) for key, race in races(record["steps"]).items()}
    return pd.concat(tables, names=["setting", "method", "contender"])


def inference(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting and contender: milliseconds, images a second, ratio to the plain one."""
    tables = {}
    for (name, _), race in races(record["inference"]).items():
        tables[name] = bench.table(race)
        images = record["settings"][name]["batch"] / race.min()
        tables[name].insert(2, "images/s", images)
    return pd.concat(tables, names=["setting", "contender"])


def halves(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting and method: our step in bf16 beside our step in fp32.

    Empty where the processor has no instructions for bf16.
    """
    rows = {}
    for key, race in races(record["steps"]).items():
        if {"ours", "ours, bf16"} <= set(race):
            fp32, bf16 = 1e3 * race.min()[["ours", "ours, bf16"]]
            ratio = faster(race, "ours").loc["ours, bf16"]
            rows[key] = {"fp32 (ms)": fp32, "bf16 (ms)": bf16, **ratio}
    return _table(rows, "setting", "method")


def every_method(record: dict[str, Any]) -> pd.DataFrame:
    """One row per method: a step in plain form and in ours, all stages together, and their ratio.

    Args:
        record: of `dclib.study.speed.cost`.
    """
    frame = cost.table(record).drop(columns=["stages", "kept (MB)"])
    return frame.loc[in_order(list(frame.index))]


def convolutions(record: dict[str, Any]) -> pd.DataFrame:
    """One row per convolution of DCNet and contender: its place under the roof.

    `intensity` is in FLOP a byte; `share` is that of all convolutions' time; `whole` is the rate of
    the whole step, in GFLOP/s, if its arithmetic is that of its convolutions.
    """
    frame = pd.DataFrame(record["convolutions"])
    least = frame["seconds"].map(min)
    time, group = frame["count"] * least, [frame["setting"], frame["contender"]]
    whole = rates(record)["GFLOP/s"]
    return frame[["setting", "contender", "name", "count"]].assign(
        **{
            "intensity": frame["flops"] / frame["bytes"],
            "GFLOP/s": frame["flops"] / least / 1e9,
            "share": time / time.groupby(group).transform("sum"),
            "whole": [whole[key] for key in zip(*group, strict=True)],
        }
    )


def rates(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting and contender: how near a step of DCNet is to matrix products.

    Its arithmetic is that of its convolutions as they are written.
    """
    rows = {}
    for (name, method), race in races(record["steps"]).items():
        own = [c for c in record["convolutions"] if c["setting"] == name]
        flops = float(sum(c["count"] * c["flops"] for c in own if c["contender"] == "plain"))
        if method != survey.METHOD or not flops:
            continue
        for contender, seconds in race.min().items():
            limit = record["limits"]["gemm"]["bf16" if "bf16" in str(contender) else "fp32"]
            rows[name, contender] = {
                "GFLOP a step": flops / 1e9,
                "step (ms)": 1e3 * seconds,
                "GFLOP/s": flops / seconds / 1e9,
                "matrix products": limit / 1e9,
                "share (%)": 100 * flops / seconds / limit,
            }
    return _table(rows, "setting", "contender")


def spent(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting and contender: seconds of a step by kind of work."""
    frame = pd.DataFrame(record["shares"])
    wide = frame.pivot(index=["setting", "contender"], columns="kind", values="seconds")
    keys = pd.MultiIndex.from_frame(frame[["setting", "contender"]].drop_duplicates())
    return wide.loc[keys, frame["kind"].unique()].fillna(0.0)


def shares(record: dict[str, Any]) -> pd.DataFrame:
    """One row per kind of work, a column per setting and contender: its share of the step, in %."""
    frame = spent(record)
    wide = 100 * frame.div(frame.sum(axis=1), axis=0).T
    return wide.rename_axis(columns=[None, None])


def memory(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting and method: parameters, and what a step keeps for the way back."""
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for entry in record["memory"]:
        row = rows.setdefault((entry["setting"], entry["method"]), {})
        row["parameters (M)"] = entry["parameters"] / 1e6
        row[f"kept, {entry['contender']} (MB)"] = entry["kept"] / 1e6
    return _table(rows, "setting", "method")


def price(record: dict[str, Any]) -> pd.DataFrame:
    """One row per setting and method: what plain code of it costs for a face.

    Memory is what a training step keeps for the way back.
    """
    held, timed = memory(record), steps(record)["least (ms)"]
    frame, kept = held[["parameters (M)"]].copy(), held["kept, plain (MB)"]
    predicting = inference(record)["least (ms)"].to_dict()
    for key in frame.index:
        name, method = key
        at = bench.Setting(**record["settings"][name])
        net = sizes.on_meta(
            method, bench.Work.of(at).tasks, resolution=at.resolution, width=at.width
        )
        frame.loc[key, "multiply-adds (M)"] = sizes.multiply_adds(net, at.resolution) / 1e6
        frame.loc[key, "training (ms)"] = timed[*key, "plain"] / at.batch
        frame.loc[key, "memory (MB)"] = kept[key] / at.batch
        if method == survey.METHOD:
            frame.loc[key, "predicting (ms)"] = predicting.get((name, "plain"), nan) / at.batch
    return frame


def exponents(record: dict[str, Any]) -> pd.DataFrame:
    """One row per axis and method: the powers of the axis that a step grows with.

    Those of time and of the memory that is kept, with standard errors, by least squares on
    logarithms; NaN where there are too few points.
    """
    rows = {}
    frame = pd.DataFrame(record["scaling"])
    for axis in frame["axis"].unique():
        for method, own in frame[frame["axis"] == axis].groupby("method", sort=False):
            values = own["value"]
            row: dict[str, Any] = {"range": f"{values.min():g} to {values.max():g}"}
            row["time"], row["time ±"] = _power(values, own["seconds"].map(min))
            row["kept"], row["kept ±"] = _power(values, own["kept"])
            rows[axis, method] = row
    return _table(rows, "axis", "method")


def _power(values: Iterable[float], measured: Iterable[float]) -> tuple[float, float]:
    """The power of the values that something grows with, and its standard error.

    One point has no power, two leave nothing that could say how sure it is.
    """
    x, y = np.log(list(values)), np.log(list(measured))
    if len(set(x)) < 2:
        return nan, nan
    fit = linregress(x, y)
    return fit.slope, fit.stderr if len(x) > 2 else nan


def predicted(record: dict[str, Any]) -> pd.Series:
    """By axis and method: the power of the axis that the arithmetic of convolutions grows with."""
    around = survey.PRESETS[record["preset"]].around
    counted: dict[tuple[str, str], dict[float, float]] = {}
    for row in record["scaling"]:
        at = around._replace(**{row["axis"]: row["value"]})
        flops = at.batch * _flops(row["method"], at._replace(batch=1))
        counted.setdefault((row["axis"], row["method"]), {})[row["value"]] = flops
    powers = {key: _power(own, own.values())[0] for key, own in counted.items()}
    return pd.Series(powers, name="arithmetic").rename_axis(["axis", "method"])


@cache
def _flops(method: str, at: bench.Setting) -> int:
    """Those of a training step in its convolutions, as they are written."""
    tasks = bench.Work.of(at).tasks
    net = sizes.on_meta(method, tasks, resolution=at.resolution, width=at.width)
    found = roofline.convolutions(net.eval(), at.resolution)  # much faster to trace
    return sum(count * shape.flops(at.batch) for shape, count in found.items())


def planned(preset: str) -> dict[str, list[Experiment]]:
    """The runs of each figure, where the learning rates that they need are chosen."""
    found = {}
    for figure in plans.FIGURES:
        with suppress(RunError):
            found[figure] = plans.experiments(figure, preset)
    return found


def rerun(records: Sequence[Record], wanted: Mapping[str, Sequence[Experiment]]) -> pd.DataFrame:
    """One row per figure that has runs, and one for all: how many, and the hours they took.

    Args:
        records: the runs.
        wanted: the runs of each figure; one that several figures need counts once in "all".
    """
    hours = _core_hours(records)
    made = {figure: hours[hours.index.isin([e.id for e in own])] for figure, own in wanted.items()}
    return _hours(made | {"all": hours}, "figure")


def rerun_by_method(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method: its runs, their core-hours, and the median minutes of one."""
    groups = _core_hours(records).groupby([r.experiment.method for r in records])
    return _hours({m: groups.get_group(m) for m in in_order(list(groups.groups))}, "method")


def _hours(groups: Mapping[str, pd.Series], name: str) -> pd.DataFrame:
    rows = {
        group: {"runs": len(own), "core-hours": fsum(own), "median minutes": 60 * own.median()}
        for group, own in groups.items()
        if len(own)
    }
    return _table(rows, name)


def _core_hours(records: Sequence[Record]) -> pd.Series:
    """Of each run, by its id."""
    took = {r.id: r.environment["seconds"] * r.environment["threads"] / 3600 for r in records}
    return pd.Series(took, dtype=float)
