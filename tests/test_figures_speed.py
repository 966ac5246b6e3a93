"""The chapter "How fast": what its figures and tables show is what the records say."""

import re

import numpy as np
import pytest
import torch
from fake_records import fake_record
from torch.utils.flop_counter import FlopCounterMode

from dclib import build, mtfl_tasks
from dclib.study import figures, plans
from dclib.study.figures import speed, speed_tables, speed_words


def step(setting, method, contender, *seconds):
    about = {"setting": setting, "method": method, "contender": contender}
    return {**about, "forms": "plain" if contender == "plain" else "fast", "seconds": list(seconds)}


def layer(contender, name, count, flops, moved, *seconds):
    about = {"setting": "full", "contender": contender, "name": name, "count": count}
    return {**about, "flops": flops, "bytes": moved, "seconds": list(seconds)}


def grown(method, axis, values, seconds, kept):
    return [
        {"method": method, "axis": axis, "value": v, "seconds": [2 * s, s], "kept": k}
        for v, s, k in zip(values, seconds, kept, strict=True)
    ]


SHARES = {"convolution": (1.2, 0.6), "normalisation": (0.5, 0.2), "optimiser": (0.3, 0.05)}
RECORD = {
    "preset": "cpu",
    "settings": {
        "full": {"width": 1.0, "resolution": 64, "batch": 32},
        "slim": {"width": 0.25, "resolution": 48, "batch": 64},
    },
    "steps": [
        step("full", "DCNet", "plain", 4.0, 2.0),
        step("full", "DCNet", "ours", 1.0, 1.25),
        step("full", "DCNet", "authors", 2.0, 2.5),
        step("full", "XS", "plain", 2.0, 1.0),
        step("full", "XS", "ours", 1.0, 0.5),
        step("full", "XS", "LibMTL", 1.5, 0.75),
        step("slim", "DCNet", "plain", 0.8, 0.4),
        step("slim", "DCNet", "ours", 0.2, 0.4),
        step("slim", "DCNet", "ours, bf16", 0.16, 0.1),
    ],
    "inference": [
        step("slim", "DCNet", "plain", 0.2, 0.16),
        step("slim", "DCNet", "folded", 0.1, 0.08),
        step("slim", "DCNet", "onnxruntime", 0.05, 0.04),
    ],
    "limits": {"gemm": {"fp32": 1e11, "bf16": 4e11}, "copy": 1e10},
    "convolutions": [
        layer("plain", "3×3, 64 → 64, 16 px", 20, 4e9, 4e7, 0.1, 0.08),
        layer("ours", "3×3, 64 → 64, 16 px", 20, 4e9, 4e7, 0.05, 0.06),
        layer("plain", "3×3, 512 → 512, 2 px", 10, 2e9, 1e9, 0.09, 0.08),
        layer("ours", "3×3, 512 → 512, 2 px", 10, 2e9, 1e9, 0.02, 0.03),
    ],
    "shares": [
        {"setting": "full", "contender": contender, "kind": kind, "seconds": both[k]}
        for k, contender in enumerate(("plain", "ours"))
        for kind, both in SHARES.items()
    ],
    "scaling": [
        *grown("RN", "width", [0.25, 0.5, 1], [0.01, 0.03, 0.08], [10**6, 2 * 10**6, 4 * 10**6]),
        *grown("DCNet", "width", [0.25, 0.5, 1], [0.1, 0.2, 0.7], [10**7, 3 * 10**7, 5 * 10**7]),
        *grown("RN", "batch", [8, 32], [0.01, 0.02], [10**6, 4 * 10**6]),
        *grown("RN", "tasks", [5], [0.02], [10**6]),
    ],
    "memory": [
        {"setting": "full", "method": "DCNet", "contender": c, "parameters": 84_000_000, "kept": k}
        for c, k in (("plain", 900_000_000), ("ours", 700_000_000))
    ],
}
COST = {
    "preset": "cpu",
    "batch": 64,
    "methods": {
        "RN": {"seconds": [0.04], "ours": [0.032], "forms": "fast", "kept": 1},
        "XS-single": {"seconds": [0.2, 0.3], "ours": [0.1, 0.15], "forms": "stacked", "kept": 1},
        "DCNet": {"seconds": [0.3], "ours": [0.24], "forms": "stacked", "kept": 1},
    },
}


@pytest.fixture(autouse=True)
def theme():
    figures.theme()


def with_steps(*more):
    return RECORD | {"steps": [*RECORD["steps"], *more]}


def without(part, key, value):
    """The record without the rows of a part that have this value."""
    return RECORD | {part: [row for row in RECORD[part] if row[key] != value]}


def marks(ax):
    """What is marked in each row of a panel, by contender."""
    names = [label.get_text().replace("\n", ", ") for label in ax.figure.axes[0].get_yticklabels()]
    *own, _ = ax.lines  # the last is where the others are compared with
    found = {}
    for line in (line for line in own if line.get_marker() != "|"):
        for x, y in zip(*line.get_data(), strict=True):
            found.setdefault(names[round(y)], {})[line.get_label()] = float(x)
    return found


# Ratios


def ranges(ax):
    """The ends of all intervals, from left to right and from top to bottom."""
    ends = [segment[:, 0].tolist() for bars in ax.collections for segment in bars.get_segments()]
    return sorted(ends)


def test_marks_of_ratios_are_what_was_measured():
    """In each row the ratio of the least times, its range and the rounds."""
    plain, libmtl = speed.ratios(RECORD).axes
    full, slim = "full: width 1, 64 px, batch 32", "slim: width 0.25, 48 px, batch 64"
    assert marks(plain) == {
        f"DCNet, {full}": {"authors' code": 1.0, "ours": 2.0},
        f"XS, {full}": {"ours": 2.0},
        f"DCNet, {slim}": {"ours": 2.0, "ours, bf16": 4.0},
    }
    assert ranges(plain) == [[0.8, 2.0], [1.0, 4.0], [1.6, 4.0], [2.0, 2.0], [4.0, 5.0]]
    rounds = [line.get_xdata() for line in plain.lines if line.get_marker() == "|"]
    assert sorted(map(sorted, rounds)) == ranges(plain)
    assert marks(libmtl) == {f"XS, {full}": {"plain": 0.75, "ours": 1.5}}
    assert plain.get_xlabel() == "times as fast as plain"
    assert libmtl.get_xlabel() == "times as fast as LibMTL"


def test_what_is_missing_leaves_no_panel_and_no_mark():
    (plain,) = speed.ratios(without("steps", "contender", "LibMTL")).axes
    assert len(marks(plain)) == 3
    plain, _ = speed.ratios(without("steps", "contender", "authors")).axes
    assert not any("authors' code" in row for row in marks(plain).values())


def test_ratios_of_inference():
    (ax,) = speed.ratios(RECORD, "inference").axes
    assert list(marks(ax).values()) == [{"folded": 2.0, "onnxruntime": 4.0}]
    frame = speed_tables.inference(RECORD)
    assert frame["images/s"].tolist() == pytest.approx([400, 800, 1600])


def test_table_and_words_of_steps():
    frame = speed_tables.steps(RECORD)
    assert len(frame) == len(RECORD["steps"])
    row = frame.loc[("slim", "DCNet", "ours, bf16")]
    assert row[["least (ms)", "median (ms)"]].tolist() == pytest.approx([100, 130])
    assert row[["ratio", "low", "high"]].tolist() == pytest.approx([4, 4, 5])
    stacked = step("slim", "XS", "ours", 0.1, 0.2) | {"forms": "stacked"}
    record = with_steps(step("slim", "XS", "plain", 0.3, 0.3), stacked)
    assert speed_words.forms(record) == "Our forms: fast at `full` and fast and stacked at `slim`."


def test_bf16_beside_fp32():
    frame = speed_tables.halves(RECORD)
    assert list(frame.index) == [("slim", "DCNet")]
    assert frame.iloc[0].tolist() == pytest.approx([200, 100, 2, 1.25, 4])
    record = without("steps", "contender", "ours, bf16")
    record["limits"] = {"gemm": {"fp32": 1e11}, "copy": 1e10}
    assert speed_tables.halves(record).empty
    assert "bf16" not in speed_words.limits(record)


# All methods


def test_both_forms_of_every_method_and_their_ratio():
    left, right = speed.methods(COST).axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["RN", "XS-single", "DCNet"]
    drawn = {line.get_label(): line.get_xdata().tolist() for line in left.lines}
    assert drawn["plain"] == pytest.approx([40, 500, 300])
    assert drawn["ours"] == pytest.approx([32, 250, 240])
    assert right.lines[0].get_xdata().tolist() == pytest.approx([1.25, 2, 1.25])
    frame = speed_tables.every_method(COST)
    assert frame.loc["XS-single", "images/s, ours"] == pytest.approx(64 / 0.25)
    assert frame.loc["RN", "images/s, plain"] == pytest.approx(1600)
    assert frame["forms"].tolist() == ["fast", "stacked", "stacked"]
    told = speed_words.methods(frame)
    assert "XS-single most, 2.00 times" in told
    assert "A step of DCNet costs 7.5 times one of RN" in told


# Under the roof


def test_marks_roof_and_whole_steps():
    (ax,) = speed.roofline(RECORD).axes
    plain, ours = ax.collections
    # 4 GFLOP in 80 and 50 ms, 2 GFLOP in 80 and 20 ms
    np.testing.assert_allclose(plain.get_offsets(), [[100, 50], [2, 25]])
    np.testing.assert_allclose(ours.get_offsets(), [[100, 80], [2, 100]])
    # of 20 x 80 + 10 x 80 ms, and of 20 x 50 + 10 x 20 ms
    for marks, shares in ((plain, [2 / 3, 1 / 3]), (ours, [5 / 6, 1 / 6])):
        span = speed.LARGEST - speed.SMALLEST
        expected = [speed.SMALLEST + span * share for share in shares]
        np.testing.assert_allclose(marks.get_sizes(), expected)
    roof, *others = ax.lines
    x, y = roof.get_data()
    assert y.tolist() == pytest.approx([min(100, 10 * at) for at in x])
    assert x[1] == 10  # 1e11 / 1e10
    pairs = {line.get_xdata()[0]: sorted(line.get_ydata()) for line in others[:2]}
    assert pairs == {100: [50, 80], 2: [25, 100]}
    # 20 x 4 + 10 x 2 GFLOP a step, of 2 and of 1 s
    assert [line.get_ydata()[0] for line in others[2:]] == [50, 100]


def test_rates_by_hand():
    """What is computed in bf16 is compared with its own products."""
    frame = speed_tables.rates(with_steps(step("full", "DCNet", "ours, bf16", 0.5, 0.6)))
    contenders = ("plain", "ours", "authors", "ours, bf16")
    assert list(frame.index) == [("full", c) for c in contenders]
    assert frame["GFLOP a step"].tolist() == [100] * 4
    assert frame["step (ms)"].tolist() == [2000, 1000, 2000, 500]
    assert frame["matrix products"].tolist() == [100, 100, 100, 400]
    assert frame["share (%)"].tolist() == pytest.approx([50, 100, 50, 50])
    libraries = {"PyTorch's BLAS": 1e11, "oneDNN": 2.345e11}
    told = speed_words.limits(RECORD | {"limits": RECORD["limits"] | {"libraries": libraries}})
    assert "PyTorch's BLAS 100 and oneDNN 234" in told
    assert "4.0 times as fast as in fp32" in told


def test_shares_are_percent_of_the_plain_step_in_bars_and_of_each_step_in_the_table():
    (ax,) = speed.shares(RECORD).axes
    bars = [[(bar.get_x(), bar.get_width()) for bar in kind] for kind in ax.containers]
    # convolution, normalisation and optimiser: of the plain step, and of ours
    expected = [[(0, 60), (0, 30)], [(60, 25), (30, 10)], [(85, 15), (40, 2.5)]]
    np.testing.assert_allclose(bars, expected)
    assert [text.get_text() for text in ax.texts] == ["60", "30", "25", "10", "15", ""]
    names = [label.get_text().split("\n") for label in ax.get_yticklabels()]
    assert names == [["full: width 1, 64 px, batch 32", who] for who in ("plain", "ours")]
    frame = speed_tables.shares(RECORD)
    assert list(frame.index) == list(SHARES)
    assert frame["full", "plain"].tolist() == pytest.approx([60, 25, 15])
    assert frame.sum().tolist() == pytest.approx([100, 100])


# Growth


@pytest.mark.parametrize(
    ("quantity", "unit"), [("seconds", lambda row: min(row) * 1e3), ("kept", lambda k: k / 1e6)]
)
def test_points_lines_and_exponents(quantity, unit):
    """Beside NumPy's fit of a polynomial, which is not what the code uses."""
    first, *others = speed.growth(RECORD, quantity).axes
    visible = [ax.get_xlabel() for ax in (first, *others) if ax.axison]
    assert visible == ["width of the network", "images in a batch", "tasks"]
    handles, labels = first.get_legend_handles_labels()
    assert [label.split(":")[0] for label in labels] == ["DCNet", "RN"]
    lines = [line for line in first.lines if line.get_marker() == "None"]
    for points, line, label in zip(handles, lines, labels, strict=True):
        method = label.split(":")[0]
        own = [r for r in RECORD["scaling"] if (r["method"], r["axis"]) == (method, "width")]
        values, measured = [r["value"] for r in own], [unit(r[quantity]) for r in own]
        assert points.get_xdata().tolist() == values
        assert points.get_ydata().tolist() == pytest.approx(measured)
        power, covariance = np.polyfit(np.log(values), np.log(measured), 1, cov=True)
        shown = re.fullmatch(rf"{method}: (\S+) ± (\S+)", label)
        assert float(shown[1]) == pytest.approx(power[0], abs=0.0051)
        assert float(shown[2]) == pytest.approx(covariance[0, 0] ** 0.5, abs=0.0051)
        np.testing.assert_allclose(line.get_ydata(), np.exp(np.polyval(power, np.log(values))))


def test_two_points_have_no_error_and_one_has_no_exponent():
    axes = {ax.get_xlabel(): ax for ax in speed.growth(RECORD).axes}
    several, one = (
        axes[words].get_legend_handles_labels()[1] for words in ("images in a batch", "tasks")
    )
    assert (several, one) == (["RN: 0.50"], ["RN"])  # 4 times, twice
    frame = speed_tables.exponents(RECORD)
    assert [axis for axis, _ in frame.index] == ["width", "width", "batch", "tasks"]
    assert frame["range"].tolist() == ["0.25 to 1", "0.25 to 1", "8 to 32", "5 to 5"]
    assert frame.loc[("batch", "RN"), "kept"] == pytest.approx(1)
    assert np.isnan(frame.loc[("batch", "RN"), "time ±"])
    assert np.isnan(frame.loc[("tasks", "RN"), "time"])


def test_what_arithmetic_predicts():
    powers = speed_tables.predicted(RECORD)
    assert powers["batch", "RN"] == pytest.approx(1)
    for method in ("RN", "DCNet"):
        assert 1.7 < powers["width", method] < 2
    assert np.isnan(powers["tasks", "RN"])


def test_memory():
    frame = speed_tables.memory(RECORD)
    assert frame.loc[("full", "DCNet")].tolist() == pytest.approx([84, 900, 700])


def test_the_price_of_a_face_in_plain_code():
    row = speed_tables.price(RECORD).loc[("full", "DCNet")]
    assert row[["parameters (M)", "training (ms)", "memory (MB)"]].tolist() == pytest.approx(
        [84, 2000 / 32, 900 / 32]
    )
    tasks = mtfl_tasks(64)
    counted = build("DCNet", tasks=tasks, width=0.25, resolution=64).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        counted(torch.zeros(1, 3, 64, 64))
    slim = {**RECORD["settings"]["full"], "width": 0.25}
    row = speed_tables.price(RECORD | {"settings": RECORD["settings"] | {"full": slim}}).iloc[0]
    assert row["multiply-adds (M)"] == pytest.approx(counter.get_total_flops() / 2e6)
    assert np.isnan(row["predicting (ms)"])  # which was measured at another setting


# What runs took


def test_hours_of_runs_where_one_of_two_figures_counts_once_in_all():
    made = [("DCNet", 0, 3600, 1), ("DCNet", 1, 1800, 2), ("RN", 0, 360, 1), ("XS", 2, 720, 1)]
    records = []
    for method, try_, seconds, threads in made:
        records.append(fake_record(method, try_=try_))
        records[-1].environment.update(seconds=seconds, threads=threads)
    both, again, rn, _ = (record.experiment for record in records)
    not_run = fake_record("RNx").experiment
    wanted = {"one": [both, again, rn, not_run], "two": [both, both], "none": [not_run]}
    frame = speed_tables.rerun(records, wanted)
    assert list(frame.index) == ["one", "two", "all"]
    assert frame["runs"].tolist() == [3, 1, 4]
    assert frame["core-hours"].tolist() == pytest.approx([2.1, 1, 2.3])
    assert frame["median minutes"].tolist() == pytest.approx([60, 60, 36])
    frame = speed_tables.rerun_by_method(records)
    assert list(frame.index) == ["RN", "XS", "DCNet"]
    assert frame["core-hours"].tolist() == pytest.approx([0.1, 0.2, 2])
    assert frame["runs"].tolist() == [1, 1, 2]


def test_figures_that_wait_for_learning_rates_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    found = speed_tables.planned("cpu")
    assert "fig3" not in found
    assert found["rates"] == plans.experiments("rates", "cpu")
    assert found.keys() < plans.FIGURES.keys()
