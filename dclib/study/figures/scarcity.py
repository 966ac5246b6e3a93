"""Section 4.3, Table 1: few training faces, in figures and tables drawn from run records.

The share of the faces that is trained on, the *ratio*, is in %. The test faces are all others, so
they are not the same from ratio to ratio: the orders of methods may be compared, and how one method
changes with the ratio only on the faces that all ratios test on.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.figures import plots, tables
from dclib.study.figures.plots import columns, entry
from dclib.study.figures.results import AXES, DECODER_NAMES, LOOKS, data_name, in_order, look
from dclib.study.figures.tables import OURS
from dclib.study.plans import experiments
from dclib.study.plans.presets import PRESETS
from dclib.study.plans.section4 import RATIOS, SCARCE

METHODS = tuple(in_order(SCARCE))
PAPERS = "the paper: full width,\npre-trained on ImageNet"
MARKERS = {"RN-S": "s", "RN": "^", "XS": "v", "DCNet": "o"}


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
    return paper.beside("table1", method, faces=f"aflw-{percent}") or math.nan


def each(records: Sequence[Record], make: Callable[[list[Record]], pd.DataFrame]) -> pd.DataFrame:
    """The tables that `make` gives of the runs of each ratio, one below the other."""
    groups = {title(p): group.tries.values() for p, group in by_ratio(records).items()}
    made = {t: make([r for own in tries for r in own]) for t, tries in groups.items()}
    found = {t: frame for t, frame in made.items() if len(frame)}
    return pd.concat(found, names=["train / test"]) if found else pd.DataFrame()


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
            if group := of.get(percent):
                there = [m for m in METHODS if m in group.tries]
                for d in DECODERS:
                    found = {m: group.score(m, decoder=d).value for m in there}
                    rows[title(percent), f"{name}, {d}"] = found
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(METHODS))
    frame.index = pd.MultiIndex.from_tuples(rows, names=["train / test", "whose"])
    whole = frame.notna().all(axis="columns")
    return frame.assign(lowest=frame[whole].idxmin(axis="columns")).fillna(
        {"lowest": "not all run"}
    )


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
                row |= columns({d: group.score(method, decoder=d) for d in DECODERS})
                # The faces have one order: those that every ratio tests on are the last of each.
                last = group.scores(method, "failure rate", "bin")[:, -shared:]
                row["shared"] = float(last.mean())
            lacks = "" if there >= wanted else f"{there} of {wanted} tries" if there else "not run"
            rows.append(row | {"tries": there, "lacks": lacks})
    numbers = [f"{d}{end}" for d in DECODERS for end in ("", " low", " high")] + ["shared"]
    frame = pd.DataFrame(rows).set_index(["train / test", "method"])
    return frame.reindex(columns=[*numbers, "tries", "lacks"]).astype(dict.fromkeys(numbers, float))


def _tested(group: Comparison) -> int:
    return int(next(iter(group.tries.values()))[0].outcomes.bins.shape[1])


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
    rows = [
        entry(group.score(m, decoder=d), m, percent, panel, each=each.mean(axis=1))
        for d, panel in DECODER_NAMES.items()
        for percent, group in by_ratio(records).items()
        for m in METHODS
        if m in group.tries
        for each in [group.scores(m, "failure rate", d)]
    ]
    rows += [
        entry(Interval(*[printed(percent, m)] * 3), m, percent, PAPERS)
        for percent in RATIOS
        for m in METHODS
    ]
    looks = {method: {**look(method), "marker": MARKERS[method]} for method in METHODS}
    fig = _over_ratios(records, rows, looks, y=AXES["failure rate"], step=1.2)
    for line in fig.axes[-1].lines:
        line.set(**plots.DIAMOND)
    return fig


def _over_ratios(
    records: Sequence[Record], rows: plots.Rows, looks: plots.Looks, **more: Any
) -> Figure:
    fig = plots.intervals(rows, looks, 3.3, up=True, **more)
    for ax in fig.axes:
        ax.set(xlim=(3, 97), xticks=list(RATIOS), xlabel="faces to train on (%)")
    told = "no run yet"
    if records:
        e, tries = records[0].experiment, 1 + max(r.experiment.try_ for r in records)
        many = "1 try" if tries == 1 else f"up to {tries} tries"
        told = f"{data_name(e)}, preset {e.preset}, {many}"
    fig.suptitle(told, fontsize="small")
    return fig


def differences(records: Sequence[Record]) -> pd.DataFrame:
    """One row per ratio and other method: DCNet's failure rate minus the other's, in points.

    Paired over faces, with the verdict on "DCNet is lower". "McNemar" counts the tries whose last
    epoch differs at p < 0.05; "paper" is the difference of the paper's numbers.
    """

    def of(own: Sequence[Record]) -> pd.DataFrame:
        frame = tables.against(own)
        return frame.assign(paper=[_beside(own[0].experiment, other) for other in frame.index])

    return each(records, of)


def _beside(experiment: Experiment, other: str) -> float:
    """DCNet's number in the paper minus another's; NaN beside other faces than the paper's."""
    if data_name(experiment) != "AFLW":
        return math.nan
    return printed(ratio(experiment), OURS) - printed(ratio(experiment), other)


def gaps(records: Sequence[Record]) -> Figure:
    """What `differences` says, drawn: a panel for each other method."""
    rows = [
        entry(found.get(d), d, percent, f"{OURS} minus {other}", printed=number)
        for other in METHODS
        if other != OURS
        for percent, group in by_ratio(records).items()
        for number in [_beside(group.about, other)]
        for found in [group.gaps(OURS, other) if {OURS, other} <= group.tries.keys() else {}]
        for d in DECODERS
    ]
    y = "failure rate (points)\nDCNet is better below 0"
    return _over_ratios(records, rows, LOOKS, y=y, step=4.0, zero=True)
