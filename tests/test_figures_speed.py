"""The chapter "How fast": what its figures and tables show is what the records say."""

import copy
import re

import numpy as np
import pytest
from fake_records import fake_record
from scipy.stats import linregress

from dclib.study import figures, plans
from dclib.study.figures import speed, speed_laws, speed_tables, speed_words


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
        {"setting": "full", "contender": contender, "kind": kind, "seconds": seconds}
        for contender, kind, seconds in (
            ("plain", "convolution", 1.2),
            ("plain", "normalisation", 0.5),
            ("plain", "optimiser", 0.3),
            ("ours", "convolution", 0.6),
            ("ours", "normalisation", 0.2),
            ("ours", "optimiser", 0.05),
        )
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


def without(part, **values):
    """The record without the rows of a part that have these values."""
    record = copy.deepcopy(RECORD)
    record[part] = [
        row for row in record[part] if any(row[name] != value for name, value in values.items())
    ]
    return record


def rows(ax):
    """By row, from top to bottom: the name of a setting, or what its label, mark and ticks are."""
    labels = dict(zip(ax.get_yticks(), [t.get_text() for t in ax.get_yticklabels()], strict=True))
    headings = {text.xy[1]: text.get_text() for text in ax.texts}
    found = {}
    for line in ax.lines[1:]:  # the first is where the others are compared with
        found.setdefault(line.get_ydata()[0], []).append(np.asarray(line.get_xdata()).tolist())
    assert found.keys() == labels.keys()
    return [
        headings[y] if y in headings else (labels[y], found[y])
        for y in sorted(headings | labels)
        if y == int(y)
    ]


class TestRatios:
    def test_rows_are_what_was_measured(self):
        """Each row: its range, the rounds, the ratio of the least times."""
        plain, libmtl = speed.ratios(RECORD).axes
        assert rows(plain) == [
            "full: width 1, 64 px, batch 32",
            ("DCNet, authors' code", [[0.8, 2.0], [2.0, 0.8], [1.0]]),
            ("DCNet, ours", [[1.6, 4.0], [4.0, 1.6], [2.0]]),
            ("XS, ours", [[2.0, 2.0], [2.0, 2.0], [2.0]]),
            "slim: width 0.25, 48 px, batch 64",
            ("DCNet, ours", [[1.0, 4.0], [4.0, 1.0], [2.0]]),
            ("DCNet, ours, bf16", [[4.0, 5.0], [5.0, 4.0], [4.0]]),
        ]
        assert rows(libmtl) == [
            "full: width 1, 64 px, batch 32",
            ("XS, plain", [[0.75, 0.75], [0.75, 0.75], [0.75]]),
            ("XS, ours", [[1.5, 1.5], [1.5, 1.5], [1.5]]),
        ]
        assert plain.get_xlabel() == "times as fast as plain"
        assert libmtl.get_xlabel() == "times as fast as LibMTL"
        assert plain.get_xlim() == libmtl.get_xlim()

    def test_what_is_missing_leaves_no_hole(self):
        (plain,) = speed.ratios(without("steps", contender="LibMTL")).axes
        full = speed.ratios(without("steps", contender="authors")).axes[0]
        for ax, fewer in ((plain, 7), (full, 6)):
            assert len(rows(ax)) == fewer
            taken = {*ax.get_yticks(), *(text.xy[1] for text in ax.texts)}
            assert taken == set(range(fewer))
            assert ax.get_ylim() == (fewer - 0.5, -0.5)
        assert not any("authors" in row[0] for row in rows(full))

    def test_inference(self):
        (ax,) = speed.ratios(RECORD, "inference").axes
        assert rows(ax)[1:] == [
            ("DCNet, folded", [[2.0, 2.0], [2.0, 2.0], [2.0]]),
            ("DCNet, onnxruntime", [[4.0, 4.0], [4.0, 4.0], [4.0]]),
        ]

    def test_a_contender_nobody_knows_is_shown_by_its_name(self):
        record = copy.deepcopy(RECORD)
        record["inference"].append(step("slim", "DCNet", "newcomer", 0.1, 0.08))
        assert rows(speed.ratios(record, "inference").axes[0])[-1][0] == "DCNet, newcomer"


class TestMethods:
    def test_both_forms_and_their_ratio(self):
        left, right, above = speed.methods(COST).axes
        assert [t.get_text() for t in left.get_yticklabels()] == ["RN", "XS-single", "DCNet"]
        drawn = {line.get_label(): line.get_xdata().tolist() for line in left.lines}
        assert drawn["plain"] == pytest.approx([40, 500, 300])
        assert drawn["ours"] == pytest.approx([32, 250, 240])
        assert right.lines[1].get_xdata().tolist() == pytest.approx([1.25, 2, 1.25])
        ends = np.multiply(left.get_xlim(), above.get_xlim())
        assert ends.tolist() == pytest.approx([64_000, 64_000])  # images in so many ms

    def test_older_records_have_plain_steps_only(self):
        older = copy.deepcopy(COST)
        for own in older["methods"].values():
            del own["ours"], own["forms"]
        left, right, _ = speed.methods(older).axes
        assert left.lines[0].get_xdata().tolist() == pytest.approx([40, 500, 300])
        assert np.isnan(left.lines[1].get_xdata()).all()
        assert np.isnan(right.lines[1].get_xdata()).all()
        assert "Only plain" in speed_words.methods(speed_tables.every_method(older))

    def test_table_and_words(self):
        frame = speed_tables.every_method(COST)
        assert frame.loc["XS-single", "images/s, ours"] == pytest.approx(64 / 0.25)
        assert frame.loc["RN", "images/s, plain"] == pytest.approx(1600)
        assert frame["forms"].tolist() == ["fast", "stacked", "stacked"]
        told = speed_words.methods(frame)
        assert "XS-single most, 2.00 times" in told
        assert "A step of DCNet costs 7.5 times one of RN" in told


class TestRoofline:
    def test_marks_roof_and_whole_steps(self):
        (ax,) = speed_laws.roofline(RECORD).axes
        plain, ours = (collection for collection in ax.collections)
        # 4 GFLOP in 80 and 50 ms, 2 GFLOP in 80 and 20 ms
        np.testing.assert_allclose(plain.get_offsets(), [[100, 50], [2, 25]])
        np.testing.assert_allclose(ours.get_offsets(), [[100, 80], [2, 100]])
        # of 20 x 80 + 10 x 80 ms, and of 20 x 50 + 10 x 20 ms
        for marks, shares in ((plain, [2 / 3, 1 / 3]), (ours, [5 / 6, 1 / 6])):
            span = speed_laws.LARGEST - speed_laws.SMALLEST
            expected = [speed_laws.SMALLEST + span * share for share in shares]
            np.testing.assert_allclose(marks.get_sizes(), expected)
        roof, *others = ax.lines
        x, y = roof.get_data()
        assert y.tolist() == pytest.approx([min(100, 10 * at) for at in x])
        assert x[1] == 10  # 1e11 / 1e10
        pairs = {line.get_xdata()[0]: sorted(line.get_ydata()) for line in others[:2]}
        assert pairs == {100: [50, 80], 2: [25, 100]}
        # 20 x 4 + 10 x 2 GFLOP a step, of 2 and of 1 s
        assert [line.get_ydata()[0] for line in others[2:]] == [50, 100]

    def test_rates_by_hand(self):
        frame = speed_tables.rates(RECORD)
        assert list(frame.index) == [("full", c) for c in ("plain", "ours", "authors")]
        assert frame["GFLOP a step"].tolist() == [100, 100, 100]
        assert frame["share (%)"].tolist() == pytest.approx([50, 100, 50])
        assert frame.loc[("full", "ours"), "step (ms)"] == 1000
        libraries = {"PyTorch's BLAS": 1e11, "oneDNN": 2.345e11}
        compared = RECORD | {"limits": RECORD["limits"] | {"libraries": libraries}}
        told = speed_words.limits(compared)
        assert "PyTorch's BLAS 100 and oneDNN 234" in told
        assert "4.0 times as fast as in fp32" in told

    def test_bf16_is_compared_with_its_own_products(self):
        record = copy.deepcopy(RECORD)
        record["steps"].append(step("full", "DCNet", "ours, bf16", 0.5, 0.6))
        row = speed_tables.rates(record).loc[("full", "ours, bf16")]
        assert row["matrix products"] == 400
        assert row["share (%)"] == pytest.approx(50)


class TestShares:
    def test_bars_are_percent_of_the_plain_step(self):
        (ax,) = speed.shares(RECORD).axes
        bars = [
            (bar.get_y() + 0.4, bar.get_x(), bar.get_width(), bar.get_height())
            for bar in ax.patches
        ]
        expected = [
            *((1, 0, 60, 0.8), (1, 60, 25, 0.8), (1, 85, 15, 0.8)),
            *((2, 0, 30, 0.8), (2, 30, 10, 0.8), (2, 40, 2.5, 0.8)),
        ]
        np.testing.assert_allclose(bars, expected)
        numbers = [text.get_text() for text in ax.texts]
        assert numbers == ["full: width 1, 64 px, batch 32", "60", "25", "15", "30", "10"]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["plain", "ours"]

    def test_table_is_of_each_step_itself(self):
        frame = speed_tables.shares(RECORD)
        assert list(frame.index) == ["convolution", "normalisation", "optimiser"]
        assert frame["full", "plain"].tolist() == pytest.approx([60, 25, 15])
        assert frame.sum().tolist() == pytest.approx([100, 100])


class TestGrowth:
    @pytest.mark.parametrize(
        ("quantity", "unit"), [("seconds", lambda row: min(row) * 1e3), ("kept", lambda k: k / 1e6)]
    )
    def test_points_lines_and_exponents(self, quantity, unit):
        """Beside scipy's regression, which is not what the code uses."""
        ax = speed_laws.growth(RECORD, quantity).axes[0]
        handles, labels = ax.get_legend_handles_labels()
        assert [label.split(":")[0] for label in labels] == ["DCNet", "RN"]
        lines = [line for line in ax.lines if line.get_marker() == "None"]
        for points, line, label in zip(handles, lines, labels, strict=True):
            method = label.split(":")[0]
            own = [r for r in RECORD["scaling"] if (r["method"], r["axis"]) == (method, "width")]
            values, measured = [r["value"] for r in own], [unit(r[quantity]) for r in own]
            assert points.get_xdata().tolist() == values
            assert points.get_ydata().tolist() == pytest.approx(measured)
            fit = linregress(np.log(values), np.log(measured))
            shown = re.fullmatch(rf"{method}: (\S+) ± (\S+)", label)
            assert float(shown[1]) == pytest.approx(fit.slope, abs=0.0051)
            assert float(shown[2]) == pytest.approx(fit.stderr, abs=0.0051)
            on_line = np.exp(fit.intercept + fit.slope * np.log(values))
            np.testing.assert_allclose(line.get_ydata(), on_line)

    def test_two_points_have_no_error_and_one_has_no_exponent(self):
        axes = {ax.get_xlabel(): ax for ax in speed_laws.growth(RECORD).axes}
        labels = {
            words: axes[words].get_legend_handles_labels()[1]
            for words in ("images in a batch", "tasks")
        }
        assert labels == {"images in a batch": ["RN: 0.50"], "tasks": ["RN"]}  # 4 times, twice
        frame = speed_tables.exponents(RECORD)
        assert [axis for axis, _ in frame.index] == ["width", "width", "batch", "tasks"]
        assert frame["range"].tolist() == ["0.25 to 1", "0.25 to 1", "8 to 32", "5 to 5"]
        assert frame.loc[("batch", "RN"), "kept"] == pytest.approx(1)
        assert np.isnan(frame.loc[("batch", "RN"), "time ±"])
        assert np.isnan(frame.loc[("tasks", "RN"), "time"])

    def test_panels_are_those_of_the_record(self):
        visible = [ax.get_xlabel() for ax in speed_laws.growth(RECORD).axes if ax.axison]
        assert visible == ["width of the network", "tasks", "images in a batch"]

    def test_what_arithmetic_predicts(self):
        powers = speed_tables.predicted(RECORD)
        assert powers["batch", "RN"] == pytest.approx(1)
        for method in ("RN", "DCNet"):
            assert 1.7 < powers["width", method] < 2
        assert np.isnan(powers["tasks", "RN"])


class TestTables:
    def test_steps(self):
        frame = speed_tables.steps(RECORD)
        row = frame.loc[("slim", "DCNet", "ours, bf16")]
        assert row[["least (ms)", "median (ms)"]].tolist() == pytest.approx([100, 130])
        assert row[["ratio", "low", "high"]].tolist() == pytest.approx([4, 4, 5])
        assert len(frame) == len(RECORD["steps"])

    def test_inference(self):
        frame = speed_tables.inference(RECORD)
        assert frame["images/s"].tolist() == pytest.approx([400, 800, 1600])

    def test_bf16_beside_fp32(self):
        frame = speed_tables.halves(RECORD)
        assert list(frame.index) == [("slim", "DCNet")]
        assert frame.iloc[0].tolist() == pytest.approx([200, 100, 2, 1.25, 4])

    def test_a_processor_without_bf16(self):
        record = without("steps", contender="ours, bf16")
        record["limits"] = {"gemm": {"fp32": 1e11}, "copy": 1e10}
        assert speed_tables.halves(record).empty
        assert "bf16" not in speed_words.limits(record)

    def test_memory(self):
        frame = speed_tables.memory(RECORD)
        assert frame.loc[("full", "DCNet")].tolist() == pytest.approx([84, 900, 700])

    def test_words_of_steps(self):
        record = copy.deepcopy(RECORD)
        record["steps"].append(step("slim", "XS", "plain", 0.3, 0.3))
        record["steps"].append(step("slim", "XS", "ours", 0.1, 0.2) | {"forms": "stacked"})
        assert (
            speed_words.forms(record) == "Our forms: fast at `full` and fast and stacked at `slim`."
        )


class TestRerun:
    @pytest.fixture
    def records(self):
        made = [
            fake_record("DCNet", try_=0),
            fake_record("DCNet", try_=1),
            fake_record("RN"),
            fake_record("XS", try_=2),
        ]
        for record, (seconds, threads) in zip(
            made, [(3600, 1), (1800, 2), (360, 1), (720, 1)], strict=True
        ):
            record.environment.update(seconds=seconds, threads=threads)
        return made

    def test_a_run_of_two_figures_counts_once_in_all(self, records):
        both, again, rn, _ = (record.experiment for record in records)
        not_run = fake_record("RNx").experiment
        wanted = {"one": [both, again, rn, not_run], "two": [both, both], "none": [not_run]}
        frame = speed_tables.rerun(records, wanted)
        assert list(frame.index) == ["one", "two", "all"]
        assert frame["runs"].tolist() == [3, 1, 4]
        assert frame["core-hours"].tolist() == pytest.approx([2.1, 1, 2.3])
        assert frame["median minutes"].tolist() == pytest.approx([60, 60, 36])

    def test_by_method(self, records):
        frame = speed_tables.rerun_by_method(records)
        assert list(frame.index) == ["RN", "XS", "DCNet"]
        assert frame["core-hours"].tolist() == pytest.approx([0.1, 0.2, 2])
        assert frame["runs"].tolist() == [1, 1, 2]

    def test_figures_that_wait_for_learning_rates_are_left_out(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
        found = speed_tables.planned("cpu")
        assert "fig3" not in found
        assert found["rates"] == plans.experiments("rates", "cpu")
        assert found.keys() < plans.FIGURES.keys()
