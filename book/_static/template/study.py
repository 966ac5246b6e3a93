"""Which runs a claim needs, how they are judged, and the figure that shows it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from experiment import Experiment, record
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from scipy import stats

SEEDS = range(10)
# The rule is written down and committed before the runs that it judges.
LEVEL = 0.95


def plan(claim: pd.Series) -> dict[str, list[Experiment]]:
    """The runs of both methods of a claim, paired by their seeds."""
    return {
        method: [Experiment(method, seed) for seed in SEEDS]
        for method in claim[["lower", "higher"]]
    }


def losses(claim: pd.Series) -> pd.DataFrame:
    """The last loss of each run (seeds, methods), as a logarithm: they differ by factors."""
    runs = {m: [record(e)["losses"][-1] for e in runs] for m, runs in plan(claim).items()}
    return np.log10(pd.DataFrame(runs))


@dataclass(frozen=True)
class Verdict:
    """A word, and the paired difference that it stands on."""

    word: str
    difference: float
    low: float
    high: float


def judge(claim: pd.Series) -> Verdict:
    """Supported if the whole interval is below zero, contradicted if above, else unclear."""
    found = losses(claim)
    paired = found[claim.lower] - found[claim.higher]
    low, high = stats.t.interval(LEVEL, len(paired) - 1, paired.mean(), stats.sem(paired))
    word = "supported" if high < 0 else "contradicted" if low > 0 else "unclear"
    return Verdict(word, paired.mean(), low, high)


def figure(claim: pd.Series) -> Figure:
    """The loss of every run, step by step."""
    made, axes = plt.subplots(figsize=(6, 3))
    for colour, (method, runs) in zip(("C0", "C1"), plan(claim).items(), strict=True):
        for number, experiment in enumerate(runs):
            label = method if number == 0 else None
            axes.semilogy(record(experiment)["losses"], color=colour, alpha=0.5, label=label)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    return made


def provenance(claim: pd.Series) -> str:
    """Where the numbers come from, in a line below the figure."""
    runs = [record(e) for runs in plan(claim).values() for e in runs]
    commits = ", ".join(sorted({run["commit"] for run in runs} - {""})) or "none yet"
    return f"{len(runs)} runs, commit: {commits}; made again by `make`"


if __name__ == "__main__":
    for _, each in pd.read_csv("claims.csv").iterrows():
        print(each["name"], judge(each))
