"""Numbers on the committed pages, computed again from the committed records by other code.

Nothing of dclib is used: what the pages' tables hold is recomputed from the errors of each face.
"""

import csv

import numpy as np
import pytest
from by_hand import ROOT, UNITS, Run, chosen, every_evaluation, every_run, interval, rate, rows


@pytest.fixture(scope="module")
def every() -> list[Run]:
    return every_run()


FIG3 = {
    "preset": "cpu",
    "dataset": "mtfl",
    "split": "test",
    "underlying": "resnet18",
    "weighting": "per_output",
    "pretrained": False,
    "train_faces": 2000,
    "epochs": 40,
    "width": 0.25,
}


@pytest.fixture(scope="module")
def fig3(every) -> dict[str, list[Run]]:
    """Those at each method's own rate: the one that the table of choices marks."""
    with (ROOT / "results/selection.csv").open(newline="") as lines:
        picked = {
            (row["method"], float(row["lr"]), float(row["unit_rate"]))
            for row in csv.DictReader(lines)
            if row["chosen"] == "True"
            and row["preset"] == "cpu"
            and row["underlying"] == "resnet18"
        }
    return {
        label: own
        for label, runs in chosen(every, **FIG3).items()
        if (
            own := [
                r
                for r in runs
                if (r.e["method"], r.e["lr"], r.e["unit_rate"]) in picked
                and not r.e.get("precision")
            ]
        )
    }


def test_fig3_failure_rates_errors_and_areas(fig3):
    table = rows("mtfl_fig3_table")
    assert len(table) >= 8
    for row in table:
        runs = fig3[row["method"]]
        assert len(runs) == int(row["tries"])
        assert float(row["bin"]) == pytest.approx(rate(runs, "bin"), abs=1e-6)
        assert float(row["soft"]) == pytest.approx(rate(runs, "soft"), abs=1e-6)
        steps = np.stack([r.arrays["errors.bin"].astype(float) for r in runs])
        errors = np.maximum(steps - 0.5, 0) / UNITS
        assert float(row["mean error"]) == pytest.approx(100 * errors.mean(), abs=1e-6)
        area = np.maximum(0, 1 - errors / 0.1).mean()
        assert float(row["AUC"]) == pytest.approx(100 * area, abs=1e-6)


def test_fig3_intervals(fig3):
    for row in rows("mtfl_fig3_table"):
        low, high = interval(fig3[row["method"]], None, "bin", fig3)
        assert float(row["bin low"]) == pytest.approx(low, abs=1e-3)
        assert float(row["bin high"]) == pytest.approx(high, abs=1e-3)


def test_fig3_differences_and_their_verdicts(fig3):
    for row in rows("mtfl_against"):
        other = fig3[row["DCNet minus"]]
        for decoder in ("bin", "soft"):
            gap = rate(fig3["DCNet"], decoder) - rate(other, decoder)
            assert float(row[decoder]) == pytest.approx(gap, abs=1e-6)
            low, high = interval(fig3["DCNet"], other, decoder, fig3)
            assert float(row[f"{decoder} low"]) == pytest.approx(low, abs=1e-3)
            assert float(row[f"{decoder} high"]) == pytest.approx(high, abs=1e-3)
        assert row["verdict"] == "unclear"  # at a thirty-seventh of the paper's training


def test_accuracies_of_related_tasks(fig3):
    for row in rows("mtfl_related"):
        for task in ("gender", "smile", "glasses", "profile"):
            if row[task]:
                shares = [r.arrays[f"accuracy.{task}"].mean() for r in fig3[row["method"]]]
                assert float(row[task]) == pytest.approx(100 * np.mean(shares), abs=1e-6)


def test_table_1_and_the_differences_below_it(every):
    """Both decoders, over the last epochs and the tries."""
    runs = {
        ratio: chosen(every, preset="cpu", dataset=f"aflw-{round(100 * ratio)}", related=[])
        for ratio in (0.1, 0.3, 0.5, 0.7, 0.9)
    }
    cells = rows("aflw_table1_cells")
    assert len(cells) == 5 * 4
    for row in cells:
        own = runs[float(row["train / test"].split(" / ")[0])][row["method"]]
        assert len(own) == int(row["tries"])
        for decoder in ("bin", "soft"):
            assert float(row[decoder]) == pytest.approx(rate(own, decoder), abs=1e-6)
    for row in rows("aflw_differences"):
        at = runs[float(row["train / test"].split(" / ")[0])]
        other = at[row["DCNet minus"]]
        for decoder in ("bin", "soft"):
            gap = rate(at["DCNet"], decoder) - rate(other, decoder)
            assert float(row[decoder]) == pytest.approx(gap, abs=1e-6)


def test_changes_of_fig6(fig3):
    """From the packed bits of the evaluations, counted here."""
    after, before = [], []
    for evaluation in every_evaluation():
        record = next((r for r in fig3["DCNet"] if evaluation.run == r.folder), None)
        if record is not None:
            assert (evaluation.intact[0] == record.failed("bin")[-1]).all()
            before.append(evaluation.intact[0].mean())
            after.append(evaluation.failed[:, 0].mean(axis=-1))
    assert len(before) == 3
    change = 100 * (np.mean(after, axis=0) / np.mean(before) - 1)  # (content, task, block)
    for at, name in enumerate(("ablation_zeros", "ablation_other_face")):
        shown = [float(row["bin"]) for row in rows(name)]
        assert shown == pytest.approx(change[at].ravel().tolist(), abs=1e-6)
