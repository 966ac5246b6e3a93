"""Section 4.3, Table 1: few training faces, in figures and tables drawn from run records.

The share of the faces that is trained on, the *ratio*, is in %. The test faces are all others, so
they are not the same from ratio to ratio: the orders of methods may be compared, and how one method
changes with the ratio only on the faces that all ratios test on.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import BLACK, GREY, WIDTH, tables
from dclib.study.figures.results import (
    AXES,
    DECODER_NAMES,
    DIAMOND,
    LOOKS,
    data_name,
    in_order,
    look,
)
from dclib.study.plans import experiments
from dclib.study.plans.presets import PRESETS
from dclib.study.plans.section4 import RATIOS, SCARCE

METHODS = tuple(in_order(SCARCE))
OURS = "DCNet"
MARKERS = {"RN-S": "s", "RN": "^", "XS": "v", "DCNet": "o"}
BESIDE = {m: 1.2 * (k - 1.5) for k, m in enumerate(METHODS)}  # so that intervals do not overlap


def ratio(experiment: Experiment) -> int:
    """The share of the faces that a run trains on, in %; of drawn faces, of what a preset uses."""
    if experiment.dataset.startswith("aflw-"):
        return int(experiment.dataset.removeprefix("aflw-"))
    usual = PRESETS[experiment.preset].settings["train_faces"]
    return round(100 * (experiment.train_faces or usual) / usual)


def title(percent: int) -> str:
    """A ratio as the paper writes it.

    >>> title(30)
    '0.3 / 0.7'
    """
    return f"{percent / 100:g} / {1 - percent / 100:g}"


def by_ratio(records: Sequence[Record]) -> dict[int, Comparison]:
    """The runs of each ratio, from few training faces to many."""
    own: dict[int, list[Record]] = {}
    for record in records:
        own.setdefault(ratio(record.experiment), []).append(record)
    return {percent: Comparison(own[percent]) for percent in sorted(own)}


def example(records: Sequence[Record]) -> Record:
    """The first try of DCNet at 0.5 / 0.5, or at the nearest ratio that was run.

    Raises:
        ValueError: DCNet was not run.
    """
    own = [r for r in records if r.experiment.label == OURS]
    return min(own, key=lambda r: (abs(ratio(r.experiment) - 50), r.experiment.try_))


def printed(percent: int, method: str) -> float:
    """What Table 1 prints, in %; NaN for a ratio or method that it does not have."""
    condition = f"train_ratio={percent / 100:g}"
    found = paper.reported("table1", condition=condition, method=method)["value"]
    return float(found.iloc[0]) if len(found) else math.nan


def table1(groups: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """Table 1: at each ratio a row for the paper and for each group and decoder, in %.

    The last column names the method that fails least often, where all were run.

    Args:
        groups: runs by what stands in front of their rows, such as `tables.named` gives.
    """
    compared = {name: by_ratio(records) for name, records in groups.items()}
    ratios = sorted({*RATIOS, *(percent for of in compared.values() for percent in of)})
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for percent in ratios:
        rows[title(percent), "paper"] = {m: printed(percent, m) for m in METHODS}
        for name, of in compared.items():
            group = of.get(percent)
            for decoder in DECODERS if group else ():
                rows[title(percent), f"{name}, {decoder}"] = {
                    m: group.score(m, decoder=decoder).value
                    for m in METHODS
                    if group and m in group.tries
                }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(METHODS))
    frame.index = pd.MultiIndex.from_tuples(rows, names=["train / test", "whose"])
    return frame.assign(lowest=[_lowest(row) for _, row in frame.iterrows()])


def _lowest(row: pd.Series) -> str:
    there = row.dropna()
    return str(there.idxmin()) if len(there) == len(row) else "not all run"


def cells(records: Sequence[Record], preset: str) -> pd.DataFrame:
    """One row per ratio and method that is planned: failure rates, intervals, tries, what lacks.

    Failure rates are in %; "shared" is the one with the paper's decoder on the faces that are
    test faces at every ratio.
    """
    compared = by_ratio(records)
    planned = Counter((ratio(e), e.label) for e in experiments("table1", preset))
    shared = min((_tested(group) for group in compared.values()), default=0)
    rows = []
    for percent in sorted({percent for percent, _ in planned}):
        for method in METHODS:
            group, wanted = compared.get(percent), planned[percent, method]
            row: dict[str, Any] = {"train / test": title(percent), "method": method}
            there = len(group.tries.get(method, ())) if group else 0
            if group and there:
                row |= _cell(group, method, shared)
            lacks = "" if there >= wanted else f"{there} of {wanted} tries" if there else "not run"
            rows.append(row | {"tries": there, "lacks": lacks})
    columns = ["bin", "bin low", "bin high", "soft", "soft low", "soft high", "shared"]
    frame = pd.DataFrame(rows).set_index(["train / test", "method"])
    return frame.reindex(columns=[*columns, "tries", "lacks"]).astype(dict.fromkeys(columns, float))


def _tested(group: Comparison) -> int:
    return int(next(iter(group.tries.values()))[0].outcomes.bins.shape[1])


def _cell(group: Comparison, method: str, shared: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for decoder in DECODERS:
        score = group.score(method, decoder=decoder)
        found |= {decoder: score.value, f"{decoder} low": score.low, f"{decoder} high": score.high}
    # The faces have one order: those that every ratio tests on are the last ones of each.
    last = group.scores(method, "failure rate", "bin")[:, -shared:]
    return found | {"shared": float(last.mean())}


def protocol(records: Sequence[Record]) -> pd.DataFrame:
    """One row per ratio: how many faces, how long the training, how many tries of each method."""
    rows = {}
    for percent, group in by_ratio(records).items():
        e, own = group.about, list(group.tries.values())
        faces = own[0][0].environment["trained_on"]
        tries = sorted({len(of) for of in own})
        rows[title(percent)] = {
            "training faces": faces,
            "test faces": _tested(group),
            "epochs": e.epochs,
            "steps": e.epochs * math.ceil(faces / e.batch),
            "tries": f"{tries[0]}" if len(tries) == 1 else f"{tries[0]} to {tries[-1]}",
            "input": f"{e.resolution} px",
            "width": f"{e.width:g}",
            "pre-trained": str(e.pretrained or "no"),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("train / test")


def rates(records: Sequence[Record]) -> Figure:
    """Failure rate against the ratio: a panel for each decoder, and one for the paper's numbers."""
    fig = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    *ours, papers = fig.subplots(1, 3, sharey=True)
    for ax, decoder in zip(ours, DECODERS, strict=True):
        for method in METHODS:
            _line(ax, records, method, decoder)
        ax.set_title(DECODER_NAMES[decoder].replace(", ", ",\n"), fontsize="small")
    ours[0].set_ylabel(AXES["failure rate"])
    for method in METHODS:
        values = [printed(percent, method) for percent in RATIOS]
        edge = {"markeredgecolor": look(method)["color"], "markersize": 5}
        papers.plot(list(RATIOS), values, **look(method), **DIAMOND | edge)
    papers.set_title("the paper: full width,\npre-trained on ImageNet", fontsize="small")
    for ax in (*ours, papers):
        ax.set(xlim=(3, 97), xticks=list(RATIOS), xlabel="faces to train on (%)")
    handles = [Line2D([], [], label=m, marker=MARKERS[m], **look(m)) for m in METHODS]
    handles.append(Line2D([], [], color=GREY, marker="_", linestyle="", label="one try"))
    handles.append(Line2D([], [], linestyle="", label="printed in the paper", **DIAMOND))
    fig.suptitle(_about(records), fontsize="small")
    fig.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    return fig


def _about(records: Sequence[Record]) -> str:
    if not records:
        return "no run yet"
    e = records[0].experiment
    tries = 1 + max(record.experiment.try_ for record in records)
    return f"{data_name(e)}, preset {e.preset}, {'1 try' if tries == 1 else f'up to {tries} tries'}"


def _line(ax: Axes, records: Sequence[Record], method: str, decoder: str) -> None:
    """One method in one panel: means with intervals, joined, and each try."""
    at, values = [], []
    for percent, group in by_ratio(records).items():
        if method not in group.tries:
            continue
        score, x = group.score(method, decoder=decoder), percent + BESIDE[method]
        ax.plot([x, x], [score.low, score.high], **look(method) | {"linewidth": 1.2})
        each = group.scores(method, "failure rate", decoder).mean(axis=1)
        if len(each) > 1:
            ax.plot([x] * len(each), each, "_", color=look(method)["color"], markersize=7)
        at.append(x)
        values.append(score.value)
    ax.plot(at, values, marker=MARKERS[method], markersize=4.5, label=method, **look(method))


def differences(records: Sequence[Record]) -> pd.DataFrame:
    """One row per ratio and other method: DCNet's failure rate minus the other's, in points.

    Paired over faces, with the verdict on "DCNet is lower". "McNemar" counts the tries whose last
    epoch differs at p < 0.05; "paper" is the difference of the paper's numbers.
    """
    found = {}
    for percent, group in by_ratio(records).items():
        frame = tables.against([r for own in group.tries.values() for r in own], OURS)
        if len(frame):
            beside = [printed(percent, OURS) - printed(percent, other) for other in frame.index]
            on_aflw = data_name(group.about) == "AFLW"
            found[title(percent)] = frame.assign(paper=beside if on_aflw else math.nan)
    return pd.concat(found, names=["train / test"]) if found else pd.DataFrame()


def gaps(records: Sequence[Record]) -> Figure:
    """What `differences` says, drawn: a panel for each other method."""
    fig = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    others = [m for m in METHODS if m != OURS]
    for ax, other in zip(fig.subplots(1, len(others), sharey=True), others, strict=True):
        ax.axhline(0, color=BLACK, linewidth=0.8)
        for percent, group in by_ratio(records).items():
            for decoder in DECODERS if {OURS, other} <= group.tries.keys() else ():
                colour, marker, offset = LOOKS[decoder]
                gap, x = group.difference(OURS, other, decoder=decoder), percent + 12 * offset
                ax.plot([x, x], [gap.low, gap.high], color=colour, linewidth=1.6)
                ax.plot(x, gap.value, marker, color=colour, markersize=4.5)
            if data_name(group.about) == "AFLW":
                beside = printed(percent, OURS) - printed(percent, other)
                ax.plot(percent, beside, markersize=5, linestyle="", **DIAMOND)
        ax.set(xlim=(3, 97), xticks=list(RATIOS), xlabel="faces to train on (%)")
        ax.set_title(f"{OURS} minus {other}", fontsize="small")
    fig.axes[0].set_ylabel("failure rate (points)\nDCNet is better below 0")
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, label=DECODER_NAMES[decoder])
        for decoder, (colour, marker, _) in LOOKS.items()
    ]
    handles.append(Line2D([], [], linestyle="", label="the paper's difference", **DIAMOND))
    fig.suptitle(_about(records), fontsize="small")
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return fig
