"""Section 4.2 in numbers: the tables beside Fig. 3, in % and points unless a column says else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dclib import metrics
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures.results import data_name, in_order, printed_beside


def fig3(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method: size, tries, failure rate by decoder with interval, error, paper.

    The mean error and the area under the error curve are those of the paper's decoder. The paper's
    number is left out where the runs are not on MTFL.
    """
    group = Comparison(records)
    rows = []
    for method in in_order(group.methods):
        own = group.tries[method]
        hard, soft = (group.score(method, decoder=decoder) for decoder in ("bin", "soft"))
        errors = np.stack([r.outcomes.errors["bin"] for r in own])
        rows.append(
            {
                "method": method,
                "parameters (M)": own[0].environment["parameters"] / 1e6,
                "tries": len(own),
                "bin": hard.value,
                "bin low": hard.low,
                "bin high": hard.high,
                "soft": soft.value,
                "soft low": soft.low,
                "soft high": soft.high,
                "mean error": group.score(method, "mean error").value,
                "AUC": 100 * metrics.auc(errors),
                "paper": printed_beside(method, group.about),
            }
        )
    return _frame(rows, "method")


def against(records: Sequence[Record], method: str = "DCNet") -> pd.DataFrame:
    """One row per other method: how much less often `method` fails, paired, and the verdict.

    Differences are failure rates, `method` minus the other: negative where `method` is better.
    The column "McNemar" counts the tries whose last epoch differs at p < 0.05.
    """
    group = Comparison(records)
    rows = []
    for other in in_order(group.methods):
        if other == method or method not in group.tries:
            continue
        hard, soft = (
            group.difference(method, other, decoder=decoder) for decoder in ("bin", "soft")
        )
        p_values = group.mcnemar(method, other)
        one, two = (printed_beside(m, group.about) for m in (method, other))
        rows.append(
            {
                f"{method} minus": other,
                "bin": hard.value,
                "bin low": hard.low,
                "bin high": hard.high,
                "soft": soft.value,
                "soft low": soft.low,
                "soft high": soft.high,
                "McNemar": f"{sum(p < 0.05 for p in p_values)} of {len(p_values)}",
                "paper": None if one is None or two is None else one - two,
                "verdict": str(group.verdict(method, other)),
            }
        )
    return _frame(rows, f"{method} minus")


def _frame(rows: list[dict[str, Any]], index: str) -> pd.DataFrame:
    """Rows as a table; numbers that the paper does not print are NaN, not None."""
    return pd.DataFrame(rows).astype({"paper": float}).set_index(index) if rows else pd.DataFrame()


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
    columns: dict[tuple[str, str], dict[str, float | None]] = {}
    for name, group in compared.items():
        if not columns:
            printed = {m: paper.failure_rate(m, group.about.underlying) for m in methods}
            columns["paper", "printed"] = printed
        scores = {m: group.score(m) for m in methods if m in group.tries}
        columns[name, "rate"] = {m: score.value for m, score in scores.items()}
        columns[name, "low"] = {m: score.low for m, score in scores.items()}
        columns[name, "high"] = {m: score.high for m, score in scores.items()}
    return pd.DataFrame(columns, index=pd.Index(methods, name="method"), dtype=float)


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

    def said(condition: str) -> str:
        return f"{paper.number('protocol', section='4.2', condition=condition):,.0f}"

    columns = {
        "paper": {
            "test faces": said("test faces"),
            "training faces": said("training faces"),
            "epochs": said("epochs"),
            "tries": said("tries"),
            "averaged over the last": f"{said('averaged over the last')} epochs",
            "width of the networks": "1",
        }
    }
    for name, records in groups.items():
        if not records:
            continue
        e = Comparison(records).about
        columns[name] = {
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
    names = dict.fromkeys(name for column in reversed(columns.values()) for name in column)
    return pd.DataFrame(columns, index=list(names)).fillna("–")


def related(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method that trains them: accuracy of each related task, over tries and epochs."""
    group = Comparison(records)
    rows = {
        method: {
            task: 100 * np.mean([r.outcomes.accuracy[task] for r in group.tries[method]])
            for task in group.tries[method][0].outcomes.accuracy
        }
        for method in in_order(group.methods)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method").dropna(how="all")


def lean(records: Sequence[Record], landmarks: np.ndarray) -> pd.DataFrame:
    """One row per method: where predictions lie relative to the annotation, in the middle.

    The median over points, faces and tries of prediction minus annotation (soft decoder, last
    epoch), to the right and down, in % of the interocular distance. A scatter around the truth
    gives 0; a shift that all methods share is one of the annotations.

    Args:
        landmarks: true points (N, L, 2) of the faces, in pixels of the network's input.
    """
    group = Comparison(records)
    eyes = np.linalg.norm(landmarks[:, 0] - landmarks[:, 1], axis=-1)[:, None, None]
    rows = {}
    for method in in_order(group.methods):
        gaps = [(r.outcomes.points("soft") - landmarks) / eyes for r in group.tries[method]]
        right, down = 100 * np.nanmedian(np.stack(gaps), axis=(0, 1, 2))
        rows[method] = {"to the right": right, "down": down}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def by_class(records: Sequence[Record], labels: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Failure rate of each method among the faces of each class, such as a face profile.

    Args:
        records: runs scored on the same faces.
        labels: the true class of each of these faces (N,).
        names: of the classes.
    """
    group = Comparison(records)
    rows = {
        method: {
            f"{name} ({(labels == k).sum()})": group.scores(method, "failure rate", "bin")[
                :, labels == k
            ].mean()
            for k, name in enumerate(names)
            if (labels == k).any()
        }
        for method in in_order(group.methods)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


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
