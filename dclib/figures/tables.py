"""Section 4.2 in numbers: the tables beside Fig. 3, in % and points unless a column says else."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dclib import metrics, paper
from dclib.comparison import Comparison
from dclib.figures.results import in_order
from dclib.paper import Claim
from dclib.runs import Record


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
        on_mtfl = group.about.dataset == "mtfl"
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
                "paper": paper.failure_rate(method, group.about.underlying) if on_mtfl else None,
            }
        )
    return pd.DataFrame(rows).set_index("method") if rows else pd.DataFrame(rows)


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
                "paper": paper.difference(method, other, group.about.underlying)
                if group.about.dataset == "mtfl"
                else None,
                "verdict": str(group.verdict(method, other)),
            }
        )
    return pd.DataFrame(rows).set_index(f"{method} minus") if rows else pd.DataFrame(rows)


def verdicts(records: Sequence[Record], claims: Sequence[Claim]) -> pd.DataFrame:
    """One row per claim: whose it is, what these runs say of it."""
    group = Comparison(records)
    return pd.DataFrame(
        {
            "claim": [claim.statement for claim in claims],
            "of": ["control" if claim.control else f"§{claim.section}" for claim in claims],
            "comparisons": [
                ", ".join(f"{first} < {second}" for first, second in claim.comparisons)
                for claim in claims
            ],
            "verdict": [str(group.judge(claim)) for claim in claims],
        }
    ).set_index("claim")


def related(records: Sequence[Record]) -> pd.DataFrame:
    """One row per method that trains them: accuracy of each related task, over tries and epochs."""
    group = Comparison(records)
    rows = {
        method: {
            task: 100 * np.mean([r.outcomes.correct[task].mean() for r in group.tries[method]])
            for task in group.tries[method][0].outcomes.correct
        }
        for method in in_order(group.methods)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method").dropna(how="all")


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
        rows: the table that `dclib.selection` keeps.
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
