"""Section 4.3: what figures, tables and sentences show, recomputed from made-up records."""

import doctest

import drawn
import numpy as np
import pytest
from drawn import curve, fake_faces, marks, names
from fake_records import fake_record
from matplotlib.colors import to_rgba

from dclib.study.analysis import random_draws
from dclib.study.figures import BLUE, random_weights, scarcity, scarcity_slices, tables
from dclib.study.plans.section4 import drawn_weights

SCALES = {"DCNet": 0.8, "XS": 1.0, "RN": 1.0, "RN-S": 1.2}
FACES = {10: 360, 50: 200, 90: 40}
TASKS = ("gender", "glasses", "orientation")


def aflw(ratio, method, scale, **changes):
    data = {"dataset": f"aflw-{ratio}", "train_faces": None, "holdout": False}
    record = fake_record(method, scale, faces=FACES[ratio], **data, **changes)
    record.environment["trained_on"] = 400 - FACES[ratio]
    return record


@pytest.fixture(scope="module")
def records():
    """All methods at 10 %, twice; at 50 % once, without RN-S; DCNet alone at 90 %."""
    return [
        *(aflw(10, m, s, try_=t) for t in (0, 1) for m, s in SCALES.items()),
        *(aflw(50, m, 2 - s) for m, s in SCALES.items() if m != "RN-S"),
        aflw(90, "DCNet", 1.0),
    ]


@pytest.fixture(scope="module")
def smoke():
    """Two ratios of the 256 drawn faces that the preset trains on."""
    return [
        fake_record(m, s, faces=50, preset="smoke", dataset="synthetic", train_faces=n)
        for n in (25, 128)
        for m, s in SCALES.items()
    ]


@pytest.fixture(scope="module")
def draws():
    """Twenty draws: Cross-Stitch fails more often in the last fifteen."""
    return random_draws.pairs(
        [
            fake_record(
                method,
                1.0 if method == "DCNet" else 0.7 + 0.06 * n,
                faces=150,
                dataset="aflw-50",
                try_=n,
                related=drawn_weights(n, TASKS),
            )
            for n in range(20)
            for method in ("DCNet", "XS")
        ]
    )


def rate(records, ratio, method, decoder="bin", faces=slice(None)):
    return drawn.rate(records, decoder, faces, dataset=f"aflw-{ratio}", method=method)


class TestRatios:
    def test_of_aflw_by_its_name_and_of_drawn_faces_by_their_number(self, records, smoke):
        assert list(scarcity.by_ratio(records)) == [10, 50, 90]
        assert list(scarcity.by_ratio(smoke)) == [10, 50]

    def test_names_say_preset_and_data(self, records, smoke):
        assert list(tables.named(records, records)) == ["reference: cpu, AFLW"]
        assert list(tables.named(records, smoke)) == [
            "reference: cpu, AFLW",
            "this run: smoke, synthetic faces",
        ]
        assert tables.named([], []) == {}

    def test_example_is_the_first_try_nearest_to_the_middle(self, records):
        chosen = scarcity.example(records[::-1]).experiment
        assert (chosen.method, chosen.dataset) == ("DCNet", "aflw-50")
        chosen = scarcity.example(records[:8][::-1]).experiment
        assert (chosen.method, chosen.dataset, chosen.try_) == ("DCNet", "aflw-10", 0)

    def test_protocol(self, records):
        rows = scarcity.protocol(records)
        assert rows["training faces"].tolist() == [40, 200, 360]
        assert rows["test faces"].tolist() == [360, 200, 40]
        assert rows["steps"].tolist() == [100, 400, 600]  # 100 epochs of 1, 4 and 6 batches of 64
        assert rows["tries"].tolist() == ["2", "1", "1"]


class TestTable1:
    def test_papers_rows(self, records):
        rows = scarcity.table1(tables.named(records, records))
        papers = rows.xs("paper", level="whose")
        assert papers.index.tolist() == [f"0.{k} / 0.{10 - k}" for k in (1, 3, 5, 7, 9)]
        assert papers.loc["0.1 / 0.9"].tolist() == [57.39, 58.00, 73.06, 60.64, "RN-S"]
        assert papers["lowest"].tolist() == ["RN-S", *["DCNet"] * 4]

    def test_cells_are_what_the_outcomes_say(self, records):
        rows = scarcity.table1(tables.named(records, records))
        for decoder in ("bin", "soft"):
            row = rows.loc["0.1 / 0.9", f"reference: cpu, AFLW, {decoder}"]
            expected = [rate(records, 10, m, decoder) for m in ("RN-S", "RN", "XS", "DCNet")]
            assert row.iloc[:4].tolist() == pytest.approx(expected)
            assert row["lowest"] == "DCNet"

    def test_missing_cells(self, records):
        rows = scarcity.table1(tables.named(records, records))
        half = rows.loc["0.5 / 0.5", "reference: cpu, AFLW, bin"]
        assert np.isnan(half["RN-S"])
        assert half["lowest"] == "not all run"
        assert rows.loc["0.3 / 0.7"].index.tolist() == ["paper"]

    def test_reference_and_this_run_beside_each_other(self, records, smoke):
        rows = scarcity.table1(tables.named(records, smoke))
        assert rows.loc["0.1 / 0.9"].index.tolist() == [
            "paper",
            *(f"reference: cpu, AFLW, {d}" for d in ("bin", "soft")),
            *(f"this run: smoke, synthetic faces, {d}" for d in ("bin", "soft")),
        ]

    def test_every_planned_cell_says_what_it_lacks(self, records):
        rows = scarcity.cells(records, "cpu")
        assert len(rows) == 5 * 4
        lacks = rows["lacks"]
        assert lacks["0.1 / 0.9", "XS"] == ""
        assert lacks["0.5 / 0.5", "XS"] == "1 of 2 tries"
        assert lacks["0.5 / 0.5", "RN-S"] == lacks["0.3 / 0.7", "DCNet"] == "not run"
        assert rows["tries"].sum() == len(records)
        assert rows["bin"].notna().sum() == 4 + 3 + 1

    def test_intervals_hold_the_rate_and_shared_faces_are_the_last(self, records):
        row = scarcity.cells(records, "cpu").loc["0.1 / 0.9", "XS"]
        assert row["bin"] == pytest.approx(rate(records, 10, "XS"))
        assert row["bin low"] < row["bin"] < row["bin high"]
        assert row["shared"] == pytest.approx(rate(records, 10, "XS", faces=slice(-40, None)))
        assert row["shared"] != pytest.approx(row["bin"])

    def test_nothing_run(self):
        assert set(scarcity.cells([], "cpu")["lacks"]) == {"not run"}
        assert len(scarcity.table1({})) == 5
        assert scarcity.protocol([]).empty
        assert scarcity.differences([]).empty
        assert scarcity_slices.related([]).empty
        assert "no run yet" in scarcity.rates([])._suptitle.get_text()


class TestFigures:
    def test_rates(self, records):
        *ours, papers = scarcity.rates(records).axes
        for ax, decoder in zip(ours, ("bin", "soft"), strict=True):
            x, y = curve(ax, "DCNet")
            assert np.round(x, -1).tolist() == [10, 50, 90]
            assert list(y) == pytest.approx([rate(records, k, "DCNet", decoder) for k in FACES])
            assert len(curve(ax, "RN-S")[0]) == 1
            assert len(marks(ax, "_")) == 2 * 4  # single tries, where there are two
        shown = [(round(x, -1), y) for x, y in marks(papers, "D")]
        assert (10, 73.06) in shown
        assert len(shown) == 5 * 4

    def test_gaps(self, records, smoke):
        single, hard, stitch = scarcity.gaps(records).axes
        assert [len(marks(ax, "o")) for ax in (single, hard, stitch)] == [1, 2, 2]
        (_, first), (_, second) = marks(stitch, "o")
        for gap, ratio in ((first, 10), (second, 50)):
            expected = rate(records, ratio, "DCNet") - rate(records, ratio, "XS")
            assert gap == pytest.approx(expected)
        assert first < 0 < second
        assert dict(marks(stitch, "D")) == pytest.approx({10: -12.42, 50: -5.25, 90: -2.69})
        assert not any(marks(ax, "D") for ax in scarcity.gaps(smoke).axes)

    def test_differences(self, records, smoke):
        rows = scarcity.differences(records)
        assert rows.index.tolist() == [
            *(("0.1 / 0.9", other) for other in ("RN-S", "RN", "XS")),
            *(("0.5 / 0.5", other) for other in ("RN", "XS")),
        ]
        one = rows.loc["0.1 / 0.9", "RN-S"]
        assert one["bin"] == pytest.approx(rate(records, 10, "DCNet") - rate(records, 10, "RN-S"))
        assert one["paper"] == pytest.approx(3.25)
        assert one["verdict"] == "supported"
        assert rows.loc[("0.5 / 0.5", "XS"), "verdict"] == "unclear"  # single tries
        assert scarcity.differences(smoke)["paper"].isna().all()
        assert set(scarcity.differences(smoke)["verdict"]) == {"not tested"}


class TestSlices:
    @pytest.fixture
    def faces(self, monkeypatch):
        """Faces whose fit gets worse one by one; the first is turned by 50 degrees, two unknown."""

        def of(record):
            n = record.outcomes.bins.shape[1]
            yaw = np.linspace(-14, 14, n).astype(np.float32)
            yaw[:3] = [-50, np.nan, np.nan]
            images, points = np.zeros((n, 3, 48, 48), dtype=np.uint8), np.zeros((n, 2, 2))
            return fake_faces(images, points, {"fit": np.arange(n) / n, "yaw": yaw})

        monkeypatch.setattr(scarcity_slices, "faces_of", of)

    def test_quarters_by_fit(self, records, faces):
        rows = scarcity_slices.by_fit(records)
        assert rows.loc["0.1 / 0.9", "faces"].tolist() == [90] * 8
        assert rows.loc["0.9 / 0.1", "faces"].tolist() == [10] * 8
        for quarter, name in enumerate(scarcity_slices.FIT):
            own = slice(50 * quarter, 50 * (quarter + 1))
            for decoder in ("bin", "soft"):
                shown = rows.loc[("0.5 / 0.5", "XS"), (decoder, name)]
                assert shown == pytest.approx(rate(records, 50, "XS", decoder, own))

    def test_yaw_leaves_unknown_faces_out(self, records, faces):
        rows = scarcity_slices.by_yaw(records)
        assert list(rows["bin"].columns) == ["up to 15°", "beyond 45°"]
        assert rows["bin"].loc["0.5 / 0.5", "faces"].tolist() == [197, 1]
        shown = rows.loc[("0.5 / 0.5", "RN"), ("bin", "beyond 45°")]
        assert shown == pytest.approx(rate(records, 50, "RN", faces=slice(0, 1)))

    def test_without_the_faces_or_the_label(self, records, faces, monkeypatch):
        assert scarcity_slices.sliced(records, "smile", np.zeros_like, ("all",)).empty
        monkeypatch.setattr(scarcity_slices, "faces_of", lambda record: None)
        assert scarcity_slices.by_fit(records).empty

    def test_related(self, records):
        rows = scarcity_slices.related(records)
        own = [
            r.outcomes.accuracy["gender"]
            for r in records
            if (r.experiment.dataset, r.experiment.method) == ("aflw-10", "XS")
        ]
        assert rows.loc[("0.1 / 0.9", "XS"), "gender"] == pytest.approx(100 * np.mean(own))
        assert ("0.1 / 0.9", "RN-S") not in rows.index


class TestFig5:
    def test_histogram_counts_every_draw(self, draws):
        left = random_weights.fig5(draws, "cpu").axes[0]
        heights = {bar.get_x(): bar.get_height() for bar in left.patches}
        gains = [draw.improvement["bin"] for draw in draws]
        assert sum(heights.values()) == 20
        assert sum(h for x, h in heights.items() if x >= 0) == sum(g >= 0 for g in gains)
        blue = {bar.get_x() for bar in left.patches if bar.get_facecolor() == to_rgba(BLUE)}
        assert blue == {x for x in heights if x >= 0}
        assert [x for x, _ in marks(left, "D")] == [2.80, 3.66, 9.83]

    def test_each_draw_stands_above_its_weights(self, draws):
        _, top, bottom, _ = random_weights.fig5(draws, "cpu").axes
        points = sorted(marks(top, "o"))
        assert [x for x, _ in points] == list(range(20))
        assert [y for _, y in points] == sorted(draw.improvement["bin"] for draw in draws)
        logs = bottom.images[0].get_array()
        worst = min(draws, key=lambda draw: draw.improvement["bin"])
        expected = np.log10([worst.weights[task] for task in TASKS])
        np.testing.assert_allclose(logs[:, 0], expected)
        assert names(bottom.get_yticklabels()) == list(TASKS)

    def test_the_paper_is_not_beside_drawn_faces(self, draws):
        assert not marks(random_weights.fig5(draws, "smoke").axes[0], "D")

    def test_no_draw(self):
        (text,) = random_weights.fig5([], "cpu").axes[0].texts
        assert text.get_text() == "No draw with both of its runs yet."
        rows = random_weights.numbers([])
        assert rows.loc["DCNet better", "paper"] == 86
        assert rows["bin"].isna().all()
        assert random_weights.every_draw([]).empty
        assert random_weights.dependence([]).empty

    def test_numbers_beside_the_papers(self, draws):
        rows = random_weights.numbers(draws)
        gains = np.array([draw.improvement["soft"] for draw in draws])
        papers = rows["paper"].dropna().to_dict()
        assert papers == {
            "draws": 100,
            "DCNet better": 86,
            "DCNet better (%)": 86.0,
            "mean": 2.80,
            "median": 3.66,
            "maximum": 9.83,
        }
        own = rows["soft"]
        assert (own["draws"], own["DCNet better"]) == (20, (gains > 0).sum())
        assert own["mean"] == pytest.approx(gains.mean())
        assert own["median"] == pytest.approx(np.median(gains))
        assert own["maximum"] == pytest.approx(gains.max())
        assert rows.loc["mean", "soft low"] < gains.mean() < rows.loc["mean", "soft high"]

    def test_every_draw(self, draws):
        rows = random_weights.every_draw(draws)
        assert rows["draw"].tolist() == list(range(20))
        assert rows["bin"].tolist() == pytest.approx(
            (rows["XS, bin"] - rows["DCNet, bin"]).tolist()
        )
        assert (rows["bin low"] <= rows["bin"]).all()
        assert rows["orientation"][4] == dict(drawn_weights(4, TASKS))["orientation"]

    def test_dependence(self, draws):
        rows = random_weights.dependence(draws)
        assert list(rows.index) == list(TASKS)
        assert (rows["soft low"] < rows["soft"]).all()

    def test_words(self, draws):
        text = random_weights.words(draws, "cpu")
        for decoder in ("bin", "soft"):
            one = random_draws.summary(draws, decoder)
            assert f"{one.better} ({decoder})" in text
            assert f"{one.mean.value:.2f}".replace("-", "−") + " (" in text
        assert text.startswith("Of 20 draws with both of their runs, 100 are planned, DCNet fails")
        assert "nan" not in random_weights.words(draws[:2], "cpu")


def test_doctests():
    assert doctest.testmod(scarcity).failed == 0
