"""Section 4.2 in numbers: the tables beside Fig. 3, in % and points unless a column says else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dclib import metrics
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures.plots import columns
from dclib.study.figures.results import data_name, in_order, printed_beside

OURS = "DCNet"


def by_method(
    records: Sequence[Record],
    row: Callable[[Comparison, str], Mapping[str, Any] | None],
    index: str = "method",
) -> pd.DataFrame:
    """A table with a row per method, in the order of figures.

    Args:
        records: runs that can be compared.
        row: what stands in the row of a method; None leaves it out.
        index: what is written above the methods.
    """
    group = Comparison(records)
    rows = {m: found for m in in_order(group.methods) if (found := row(group, m)) is not None}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index)


def fig3(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method: size, tries, failure rate by decoder with interval, error, paper.

    The mean error and the area under the error curve are those of the paper's decoder. The paper's
    number is left out where the runs are not on MTFL.
    """

    def row(group: Comparison, method: str) -> dict[str, Any]:
        own = group.tries[method]
        return {
            "parameters (M)": own[0].environment["parameters"] / 1e6,
            "tries": len(own),
            **columns({d: group.score(method, decoder=d) for d in DECODERS}),
            "mean error": group.score(method, "mean error").value,
            "AUC": 100 * metrics.auc(np.stack([r.outcomes.errors["bin"] for r in own])),
            "paper": _number(printed_beside(method, group.about)),
        }

    return by_method(records, row)


def against(records: Sequence[Record]) -> pd.DataFrame:
    """One row per other method: how much less often DCNet fails, paired, and the verdict.

    Differences are failure rates, DCNet minus the other: negative where DCNet is better.
    The column "McNemar" counts the tries whose last epoch differs at p < 0.05.
    """

    def row(group: Comparison, other: str) -> dict[str, Any] | None:
        if other == OURS or OURS not in group.tries:
            return None
        p_values = group.mcnemar(OURS, other)
        one, two = (_number(printed_beside(m, group.about)) for m in (OURS, other))
        return {
            **columns(group.gaps(OURS, other)),
            "McNemar": f"{sum(p < 0.05 for p in p_values)} of {len(p_values)}",
            "paper": one - two,
            "verdict": str(group.verdict(OURS, other)),
        }

    return by_method(records, row, f"{OURS} minus")


def _number(printed: float | None) -> float:
    return np.nan if printed is None else printed


def named(reference: Sequence[Record], records: Sequence[Record]) -> dict[str, Sequence[Record]]:
    """Reference and this run by names that say preset and data; one where they are the same."""
    groups = {"reference": reference}
    if {r.id for r in records} != {r.id for r in reference}:
        groups["this run"] = records
    return {
        f"{name}: {own[0].experiment.preset}, {data_name(own[0].experiment)}": own
        for name, own in groups.items()
        if own
    }


def side_by_side(groups: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """One row per method: the paper's failure rate, and that of each group of runs with interval.

    Args:
        groups: runs by what stands above their columns, such as `named` gives.
    """
    compared = {name: Comparison(records) for name, records in groups.items() if records}
    methods = in_order([m for group in compared.values() for m in group.methods])
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for name, group in compared.items():
        if not found:
            on = group.about.underlying
            found["paper", "printed"] = {m: paper.failure_rate(m, on) for m in methods}
        scores = {m: group.score(m) for m in methods if m in group.tries}
        for label, part in (("rate", "value"), ("low", "low"), ("high", "high")):
            found[name, label] = {m: getattr(score, part) for m, score in scores.items()}
    return pd.DataFrame(found, index=pd.Index(methods, name="method"), dtype=float)


def printed(underlying: str = "resnet18") -> pd.DataFrame:
    """What section 4.2 prints in its text: failure rate by method, from scratch and pre-trained."""
    rows = paper.reported("fig3", underlying=underlying)
    return pd.DataFrame(
        {
            name: rows[rows["pretrained"] == answer].set_index("method")["value"]
            for name, answer in (("from scratch", "no"), ("pre-trained", "yes"), ("not said", ""))
        }
    ).rename_axis("method")


def protocol(groups: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """How the runs were made, beside what the paper says; empty where it says nothing."""
    said = {
        name: f"{paper.number('protocol', section='4.2', condition=name):,.0f}"
        for name in (
            *("test faces", "training faces", "epochs", "tries"),
            "averaged over the last",
        )
    }
    said["averaged over the last"] += " epochs"
    found = {"paper": said | {"width of the networks": "1"}}
    for name, records in groups.items():
        if not records:
            continue
        e = Comparison(records).about
        found[name] = {
            "data": e.dataset,
            "test faces": f"{records[0].outcomes.bins.shape[1]:,}",
            "training faces": f"{records[0].environment['trained_on']:,}",
            "epochs": f"{e.epochs}",
            "tries": f"{1 + max(r.experiment.try_ for r in records)}",
            "averaged over the last": f"{len(records[0].outcomes.bins)} epochs",
            "width of the networks": f"{e.width:g}",
            "input": f"{e.resolution} px",
            "batch": f"{e.batch}",
            "weighting": e.weighting,
            "pre-trained": str(e.pretrained or "no"),
        }
    names = dict.fromkeys(name for column in reversed(found.values()) for name in column)
    return pd.DataFrame(found, index=list(names)).fillna("–")


def related(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method that trains them: accuracy of each related task, over tries and epochs."""

    def row(group: Comparison, method: str) -> dict[str, float]:
        own = [r.outcomes.accuracy for r in group.tries[method]]
        return {task: 100 * np.mean([each[task] for each in own]) for task in own[0]}

    return by_method(records, row).dropna(how="all")


def lean(records: Sequence[Record], landmarks: np.ndarray) -> pd.DataFrame:
    """One row per method: where predictions lie relative to the annotation, in the middle.

    The median over points, faces and tries of prediction minus annotation (soft decoder, last
    epoch), to the right and down, in % of the interocular distance. A scatter around the truth
    gives 0; a shift that all methods share is one of the annotations.

    Args:
        landmarks: true points (N, L, 2) of the faces, in pixels of the network's input.
    """
    eyes = np.linalg.norm(landmarks[:, 0] - landmarks[:, 1], axis=-1)[:, None, None]

    def row(group: Comparison, method: str) -> dict[str, float]:
        gaps = [(r.outcomes.points("soft") - landmarks) / eyes for r in group.tries[method]]
        right, down = 100 * np.nanmedian(np.stack(gaps), axis=(0, 1, 2))
        return {"to the right": right, "down": down}

    return by_method(records, row)


def by_class(records: Sequence[Record], labels: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Failure rate of each method among the faces of each class, such as a face profile.

    Args:
        records: runs scored on the same faces.
        labels: the true class of each of these faces (N,).
        names: of the classes.
    """
    members = {name: labels == k for k, name in enumerate(names) if (labels == k).any()}

    def row(group: Comparison, method: str) -> dict[str, float]:
        scores = group.scores(method, "failure rate", "bin")
        return {f"{n} ({own.sum()})": scores[:, own].mean() for n, own in members.items()}

    return by_method(records, row)


def selection(rows: pd.DataFrame, preset: str, underlying: str = "resnet18") -> pd.DataFrame:
    """Validation failure rate by method and learning rate, and the rate that was chosen.

    Args:
        rows: the table that `dclib.study.plans.selection` keeps.
    """
    own = rows[(rows["preset"] == preset) & (rows["underlying"] == underlying)]
    if own.empty:
        return pd.DataFrame()
    wide = (100 * own.set_index(["method", "unit_rate", "lr"])["failure_rate"]).unstack("lr")
    picked = own[own["chosen"].astype(str) == "True"].set_index(["method", "unit_rate"])["lr"]
    wide = wide.rename(columns=lambda lr: f"lr {lr:g}").assign(chosen=picked)
    wide.columns.name = None
    wide = wide.reset_index("unit_rate").rename(columns={"unit_rate": "unit rate"})
    return wide.loc[[m for m in in_order(list(wide.index)) if m in wide.index]]
