"""Numbers of Fig. 5, of known truth and of regimes, computed again as in `test_page_numbers`."""

import numpy as np
import pytest
from by_hand import Run, chosen, every_evaluation, every_run, rate, rows
from scipy.stats import beta

DECODERS = ("bin", "soft")


@pytest.fixture(scope="module")
def every() -> list[Run]:
    return every_run()


@pytest.fixture(scope="module")
def draws(every) -> dict[int, dict[str, Run]]:
    """Runs with weights of their own, by draw and method; whole pairs only."""
    found: dict[int, dict[str, Run]] = {}
    for run in every:
        drawn = any(weight for _, weight in run.e["related"])
        if run.e["preset"] == "cpu" and run.e["dataset"] == "aflw-50" and drawn:
            found.setdefault(run.e["try_"], {})[run.e["method"]] = run
    return {n: pair for n, pair in sorted(found.items()) if pair.keys() == {"DCNet", "XS"}}


def test_each_draw_of_fig5(draws):
    table = rows("aflw_fig5_draws")
    assert [int(row["draw"]) for row in table] == list(draws)
    for row in table:
        pair = draws[int(row["draw"])]
        assert pair["DCNet"].e["related"] == pair["XS"].e["related"]
        for task, weight in pair["XS"].e["related"]:
            assert float(row[task]) == weight
        for d in DECODERS:
            rates = {method: rate([run], d) for method, run in pair.items()}
            for method, value in rates.items():
                assert float(row[f"{method}, {d}"]) == pytest.approx(value, abs=1e-6)
            assert float(row[d]) == pytest.approx(rates["XS"] - rates["DCNet"], abs=1e-6)


def test_all_draws_of_fig5(draws):
    table = {row["DCNet against XS"]: row for row in rows("aflw_fig5_numbers")}
    for d in DECODERS:
        gains = np.array([rate([p["XS"]], d) - rate([p["DCNet"]], d) for p in draws.values()])
        n, better = len(gains), int((gains > 0).sum())
        assert int(table["draws"][d]) == n
        assert int(table["DCNet better"][d]) == better
        for row, value in (
            ("DCNet better (%)", 100 * better / n),
            ("mean", gains.mean()),
            ("median", np.median(gains)),
            ("maximum", gains.max()),
        ):
            assert float(table[row][d]) == pytest.approx(value, abs=1e-6)
        # Clopper and Pearson's interval is made of quantiles of the beta distribution
        low = beta.ppf(0.025, better, n - better + 1) if better else 0.0
        high = beta.ppf(0.975, better + 1, n - better) if better < n else 1.0
        share = table["DCNet better (%)"]
        assert float(share[f"{d} low"]) == pytest.approx(100 * low, abs=1e-6)
        assert float(share[f"{d} high"]) == pytest.approx(100 * high, abs=1e-6)


@pytest.fixture(scope="module")
def truth(every) -> dict[tuple[str, str], list[Run]]:
    """Runs on drawn faces by method and set, in the order of tries."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(every, key=lambda run: run.e["try_"]):
        if run.e["preset"] == "cpu" and run.e["dataset"].startswith("synthetic-"):
            found.setdefault((run.label, run.e["dataset"].split("-")[1]), []).append(run)
    return found


def test_failure_rates_of_known_truth(truth):
    """The first five predictions are differences of two rates, the sixth of two differences."""
    two = [
        (("DCNet", "100"), ("DCNet", "0")),
        (("XS", "100"), ("XS", "0")),
        (("RN", "100"), ("RN", "0")),
        (("DCNet", "50"), ("DCNet", "0")),
        (("DCNet", "100"), ("DCNet (related 0)", "100")),
    ]
    table = rows("truth_predictions")
    for row, (one, other) in zip(table, two, strict=False):
        assert all(name in row["prediction"] for name in {one[0], other[0].split(" (")[0]})
        for d in DECODERS:
            gap = rate(truth[one], d) - rate(truth[other], d)
            assert float(row[d]) == pytest.approx(gap, abs=1e-6)
    for d in DECODERS:
        costs = [
            rate(truth[with_], d) - rate(truth[without, "100"], d)
            for with_, without in ((("DCNet", "0"), "DCNet (related 0)"), (("RN", "0"), "RN-S"))
        ]
        assert float(table[5][d]) == pytest.approx(costs[0] - costs[1], abs=1e-6)


def test_ablations_of_known_truth(truth):
    """Added failures per ablated block of some rows: first where it should be lower."""
    by_run = {evaluation.run: evaluation for evaluation in every_evaluation()}
    others = ("gender", "smile", "glasses")
    rest = [
        (("profile",), "0", "100"),
        (("profile",), "others", "profile"),
        (others, "profile", "others"),
    ]
    shown = 0
    for at, row in enumerate(rows("truth_predictions")[6:]):
        tasks, *sets = rest[at % 3]
        for k, d in enumerate(DECODERS):
            harm = []
            for name in sets:
                own = [by_run[r.folder] for r in truth["DCNet", name] if r.folder in by_run]
                each = [
                    100 * (e.failed[at // 3, k, e.tasks.index(task)].mean() - e.intact[k].mean())
                    for e in own
                    for task in tasks
                ]
                harm.append(float(np.mean(each)) if each else np.nan)
            gap = harm[0] - harm[1]
            assert (row[d] == "") == bool(np.isnan(gap))
            if row[d]:
                assert float(row[d]) == pytest.approx(gap, abs=1e-6)
                shown += 1
    assert shown in (0, 12)


def point_of(run: Run) -> str:
    """The name that the page gives a setting: by what differs from Fig. 3's."""
    e = run.e
    if e["width"] != 0.25:
        return f"width {e['width']:g}"
    if e["train_faces"] != 2000:
        return f"{e['train_faces']:,} faces"
    return "Fig. 3" if e["epochs"] == 40 else f"{e['epochs']} epochs"


def test_differences_of_the_regimes(every):
    """In the last epoch of the first try; runs are told by nothing but their settings."""
    same = {
        "preset": "cpu",
        "dataset": "mtfl",
        "split": "test",
        "underlying": "resnet18",
        "weighting": "per_output",
        "pretrained": False,
        "try_": 0,
        "related": [],
    }
    rates = {"XS": 0.3, "RN": 0.3, "RN-S": 0.3, "RNx": 0.3, "DCNet": 0.1}
    runs = {
        (point_of(run), label): run
        for label, own in chosen(every, **same).items()
        for run in own
        if label in rates and run.e["lr"] == rates[label] and not run.e.get("precision")
        if run.e["train_faces"] * run.e["epochs"] == 80_000 or run.e["train_faces"] == 2000
    }
    for row in rows("regimes_differences"):
        pair = [runs.get((row["point"], label)) for label in ("DCNet", row["DCNet minus"])]
        assert (row["bin"] == "") == (None in pair)
        if None in pair:
            continue
        for d in DECODERS:
            one, other = (run.failed(d)[-1].mean() for run in pair)
            assert float(row[d]) == pytest.approx(100 * (one - other), abs=1e-6)
        one, other = (rate([run], "bin") for run in pair)
        assert float(row["last five"]) == pytest.approx(one - other, abs=1e-6)
