"""What figures and tables show, read back from them and compared with the records."""

import doctest

import numpy as np
import pandas as pd
import pytest
from drawn import curve, fake_faces, marks, names, rate, titles
from fake_records import NO_RELATED, RELATED, fake_record, fake_records
from scipy.integrate import dblquad

from dclib.metrics import auc, landmark_errors
from dclib.study.figures import curves, framework, plots, results, tables, words
from dclib.study.plans import selection

SCALES = {"DCNet": 0.8, "XS": 1.0, "RNx": 0.6, "RN": 1.0, "RN-S": 1.2}


@pytest.fixture(scope="module")
def records():
    return [*fake_records(SCALES), fake_record("DCNet", 0.9, related=NO_RELATED)]


@pytest.fixture(scope="module")
def smoke():
    return fake_records(SCALES, tries=1, preset="smoke", dataset="synthetic", faces=100)


class TestFig3:
    def test_reference_alone(self, records):
        rates, errors = results.fig3(records, records).axes
        order = names(rates.get_yticklabels())
        assert order == ["RN-S", "RN", "RNx", "XS", "DCNet (related 0)", "DCNet"]
        shown = [x for x, _ in marks(rates, "o")]
        assert shown == pytest.approx([rate(records, label=method) for method in order])
        assert marks(rates, "D") == [(20.05, 1), (16.75, 2), (18.43, 3), (14.95, 5)]
        assert marks(errors, "D") == []
        assert "mean error" in errors.get_xlabel()

    def test_every_try_is_shown_where_there_are_several(self, records):
        ax = results.fig3(records, records).axes[0]
        ticks = [line.get_xdata() for line in ax.lines if line.get_marker() == "|"]
        assert [len(tries) for tries in ticks] == [2] * 5 * 2  # methods and decoders
        own = [r for r in records if r.experiment.label == "DCNet"]
        assert ticks[4] == pytest.approx([rate([r]) for r in own])

    def test_this_run_beside_the_reference(self, records, smoke):
        fig = results.fig3(records, smoke)
        assert titles(fig)[:2] == [
            "Reference: MTFL, preset cpu\n1–2 tries, 400 faces, 48 px",
            "This run: synthetic faces, preset smoke\n1 try, 100 faces, 48 px",
        ]
        assert marks(fig.axes[0], "D")
        assert not marks(fig.axes[1], "D")  # the paper's numbers never beside synthetic faces
        said = [[(t.get_text(), t.get_position()[1]) for t in ax.texts] for ax in fig.axes]
        assert said == [[], [("not run", 4)], [], [("not run", 4)]]  # DCNet (related 0)

    @pytest.mark.parametrize(
        ("start", "printed", "gap"),
        [("tiny-imagenet", None, np.nan), ("imagenet", 15.52, -2.00), (False, 18.43, -3.48)],
    )
    def test_the_paper_is_beside_runs_from_its_own_weights_only(self, start, printed, gap):
        own = fake_records({"XS": 1.0, "DCNet": 0.8}, pretrained=start)
        drawn = marks(results.fig3(own, own).axes[0], "D")
        assert drawn[:1] == ([(printed, 0)] if printed else [])
        (beside,) = tables.fig3(own).loc[["XS"], "paper"]
        assert beside == pytest.approx(printed or np.nan, nan_ok=True)
        assert tables.against(own)["paper"].tolist() == pytest.approx([gap], nan_ok=True)

    def test_without_a_reference(self, smoke):
        assert len(results.fig3([], smoke).axes) == 2
        with pytest.raises(ValueError, match="at least one"):
            results.fig3([], [])


class TestFig4:
    @pytest.fixture
    def faces(self):
        rng = np.random.default_rng(0)
        return fake_faces(
            rng.integers(0, 255, (100, 3, 60, 60), dtype=np.uint8),
            rng.uniform(6, 54, (100, 5, 2)),
            {task: rng.integers(-1, 2, 100) for task in RELATED},
        )

    def test_selection_rule(self):
        record = fake_record(faces=101)
        errors = record.outcomes.errors["bin"][-1]
        chosen = results.at_quantiles(record, (0.0, 0.5, 1.0))
        assert errors[chosen].tolist() == [errors.min(), np.median(errors), errors.max()]

    def test_points_are_drawn_where_they_are(self, faces):
        record = fake_record(faces=100)
        fig = results.fig4(record, [3, 8], faces)
        for ax, face in zip(fig.axes, (3, 8), strict=True):
            truth, predicted = ax.lines
            # A margin of 6 px is left of and above what the network sees.
            np.testing.assert_allclose(truth.get_xydata(), faces.landmarks[face] - 6, rtol=1e-6)
            np.testing.assert_array_equal(
                predicted.get_xydata(), record.outcomes.bins[-1][face] + 0.5
            )

    def test_photos_only_when_asked_for(self, faces):
        record = fake_record(faces=100)
        assert [len(ax.images) for ax in results.fig4(record, [3, 8], faces).axes] == [0, 0]
        assert [len(ax.images) for ax in results.fig4(record, [3, 8]).axes] == [0, 0]
        shown = results.fig4(record, [3], faces, photos=True).axes[0].images[0].get_array()
        np.testing.assert_array_equal(shown, faces.images[3, :, 6:54, 6:54].transpose(1, 2, 0))

    def test_success_failure_and_labels_are_told(self):
        record = fake_record(faces=100)
        best, worst = results.at_quantiles(record, (0.0, 1.0))
        first, last = (ax.get_xlabel() for ax in results.fig4(record, [best, worst]).axes)
        assert "success" in first
        assert "failure" in last

    def test_labels_are_right_or_wrong_where_the_truth_is_known(self, faces):
        record = fake_record(faces=100)
        predicted, true = record.outcomes.classes["smile"][-1], faces.labels["smile"]
        right, wrong = predicted == true, (predicted != true) & (true >= 0)
        for kind, mark in ((right, " ✓"), (wrong, " ✗"), (true < 0, "")):
            face = int(np.flatnonzero(kind)[0])
            word = ("smiling", "not smiling")[predicted[face]]
            for those, told in ((faces, word + mark), (None, word)):
                (ax,) = results.fig4(record, [face], those).axes
                assert ax.get_xlabel().split("\n")[2] == told


class TestCurves:
    def test_error_curves_meet_the_failure_rate(self, records):
        ax, _ = curves.ced({"ResNet18": records}).axes
        for method in ("DCNet", "RN-S"):
            at_threshold = np.interp(10.0, *curve(ax, method))
            assert at_threshold == pytest.approx(100 - rate(records, label=method), abs=1e-9)

    def test_error_curves_have_a_panel_for_each_group_with_runs(self, records, smoke):
        fig = curves.ced({"A": records, "B": [], "C": smoke, "D": records})
        above = ": points above DCNet"
        assert titles(fig) == [name + more for name in "ACD" for more in ("", above)]
        assert [len(ax.lines) - 1 for ax in fig.axes] == [6, 6, 5, 5, 6, 6]  # but the threshold
        assert names(fig.legends[0].get_texts()) == list(tables.fig3(records).index)
        with pytest.raises(ValueError, match="no run"):
            curves.ced({"B": []})

    def test_history_shows_each_task_of_each_method(self, records):
        fig = results.history(records)
        panels = dict(zip(titles(fig), fig.axes, strict=True))
        assert len(panels["landmarks"].lines) == 6
        assert len(panels["smile"].lines) == 5  # not the single task
        epochs, loss = curve(panels["landmarks"], "RN")
        assert epochs.tolist() == list(range(1, 101))
        assert loss[:2].tolist() == [3.0, 1.5]


class TestTables:
    def test_fig3(self, records):
        rows = tables.fig3(records)
        assert list(rows.index[-2:]) == ["DCNet (related 0)", "DCNet"]
        for method in rows.index:
            assert rows.loc[method, "bin"] == pytest.approx(rate(records, label=method))
        assert (rows["bin low"] <= rows["bin"]).all()
        assert (rows["bin"] <= rows["bin high"]).all()
        assert rows.loc["DCNet", "tries"] == 2
        assert rows.loc["DCNet", "parameters (M)"] == 1.0
        printed = {"RN": 20.05, "RNx": 16.75, "XS": 18.43, "DCNet": 14.95}
        assert rows["paper"].dropna().to_dict() == printed
        own = np.stack([r.outcomes.errors["bin"] for r in records if r.experiment.label == "XS"])
        assert rows.loc["XS", "AUC"] == pytest.approx(100 * auc(own))

    def test_the_paper_is_not_beside_synthetic_faces(self, smoke):
        assert tables.fig3(smoke)["paper"].isna().all()
        assert tables.against(smoke)["paper"].isna().all()
        assert set(tables.against(smoke)["verdict"]) == {"not tested"}

    def test_against(self, records):
        rows = tables.against(records)
        assert "DCNet" not in rows.index
        gap = rate(records, label="DCNet") - rate(records, label="XS")
        assert rows.loc["XS", "bin"] == pytest.approx(gap)
        assert rows.loc["XS", "verdict"] == "supported"
        assert rows.loc["RNx", "verdict"] == "contradicted"
        assert rows.loc["RNx", "paper"] == pytest.approx(-1.80)
        assert rows.loc["XS", "McNemar"] == "2 of 2"

    def test_side_by_side(self, records, smoke):
        rows = tables.side_by_side(tables.named(records, smoke))
        assert rows["paper", "printed"]["XS"] == 18.43
        assert rows["reference: cpu, MTFL", "rate"]["XS"] == pytest.approx(
            rate(records, label="XS")
        )
        assert np.isnan(rows["this run: smoke, synthetic faces", "rate"]["DCNet (related 0)"])
        assert list(tables.named(records, records)) == ["reference: cpu, MTFL"]

    def test_protocol(self, records):
        rows = tables.protocol({"ours": records})
        assert rows.loc["epochs"].to_dict() == {"paper": "300", "ours": "100"}
        assert rows.loc["test faces"].to_dict() == {"paper": "2,995", "ours": "400"}
        assert rows.loc["input"].to_dict() == {"paper": "–", "ours": "48 px"}

    def test_printed(self):
        rows = tables.printed("resnet18")
        assert rows.loc["DCNet"].tolist()[:2] == [14.95, 13.52]
        assert rows.loc["XSx", "not said"] == 17.28

    def test_related(self, records):
        rows = tables.related(records)
        assert "RN-S" not in rows.index
        own = [r.outcomes.accuracy["smile"] for r in records if r.experiment.label == "RN"]
        assert rows.loc["RN", "smile"] == pytest.approx(100 * np.mean(own))

    def test_by_class(self, records):
        labels = np.arange(400) % 4
        rows = tables.by_class(records, labels, ("a", "b", "c", "d", "never seen"))
        assert list(rows.columns) == ["a (100)", "b (100)", "c (100)", "d (100)"]
        assert rows.loc["XS"].mean() == pytest.approx(rate(records, label="XS"))

    def test_lean_is_the_shift_of_the_annotation(self):
        """Predictions moved by (+10 %, -5 %) of the eye distance lean by that."""
        record = fake_record("RN")
        truth = record.outcomes.points("soft") - np.array([2.0, -1.0])
        truth[:, 1] = truth[:, 0] + np.array([20.0, 0.0])  # eyes 20 px apart
        record.outcomes.bins[-1, :, 1] = np.floor(truth[:, 1])
        rows = tables.lean([record], truth)
        assert rows.loc["RN"].tolist() == pytest.approx([10.0, -5.0], abs=1e-6)

    def test_selection(self, tmp_path):
        grid = [
            fake_record(method, scale, split="validation", lr=lr, **more)
            for method, lr, scale, more in (
                *(("DCNet", 0.03, 1.0, {}), ("DCNet", 0.1, 0.7, {})),
                *(("XS", 0.03, 0.8, {}), ("XS", 0.1, 1.0, {})),
                ("XS", 0.03, 0.5, {"unit_rate": 10.0}),
            )
        ]
        selection.table(grid).to_csv(tmp_path / "selection.csv", index=False)
        rows = tables.selection(pd.read_csv(tmp_path / "selection.csv"), "cpu")
        assert list(rows.index) == ["XS", "XS", "DCNet"]
        assert rows["chosen"].fillna(0).tolist() == [0, 0.03, 0.1]
        assert rows.loc["DCNet", "lr 0.1"] == pytest.approx(rate(grid[1:2]), abs=1e-3)

    def test_without_any_run(self):
        assert tables.fig3([]).empty
        assert tables.against([]).empty
        assert tables.related([]).empty
        assert tables.side_by_side(tables.named([], [])).empty


class TestWords:
    def test_of_fig3(self, records):
        text = words.fig3(records)
        assert text.startswith("**ResNet18 from scratch, MTFL, preset `cpu`.** RNx fails least ")
        assert f"DCNet, {rate(records, label='DCNet'):.2f} %" in text
        assert "fails less often than RN-S, RN, XS and DCNet (related 0); it fails more" in text
        assert text.endswith("more often than RNx.")
        assert "smoke" not in text

    def test_of_smoke(self, smoke):
        assert "none of this speaks of the paper" in words.fig3(smoke)

    def test_of_decoders_that_disagree(self):
        records = fake_records({"DCNet": 1.0, "XS": 1.2})
        for record in records[::2]:
            record.outcomes.errors["soft"] *= 2
        text = words.fig3(records)
        assert "under the soft decoder it is XS" in text
        assert "cannot be told apart from XS" in text

    def test_of_two_weightings(self, records):
        other = fake_records({**SCALES, "XS": 0.7}, weighting="per_task")
        assert words.verdicts(records, records).startswith("The verdict on DCNet is the same")
        assert words.verdicts(records, other) == "The verdict on DCNet changes against XS."
        assert words.verdicts(records, []) == "There is nothing yet to compare."


class TestFramework:
    def test_floor(self):
        integral = dblquad(lambda y, x: np.hypot(x - 0.5, y - 0.5), 0, 1, 0, 1)[0]
        assert pytest.approx(integral, abs=1e-6) == framework.FLOOR
        assert round(framework.FLOOR, 4) == 0.3826
        distances = framework.bin_distances()
        assert distances.mean() == pytest.approx(framework.FLOOR, abs=1e-3)
        assert distances.max() <= framework.WORST

    def test_a_bin_at_48_px_is_70_percent_of_the_threshold(self):
        rows = framework.quantisation_floor([48, 96])
        assert rows.loc[48, "one bin, of the threshold"] == pytest.approx(70, abs=0.1)
        assert rows.loc[96, "mean error"] == pytest.approx(rows.loc[48, "mean error"] / 2)

    def test_worked_example(self):
        assert framework.worked_example()["distance"].tolist() == [5, 3, 0, 4, 4]
        assert landmark_errors(framework.PREDICTED[None], framework.TRUTH[None])[0] == 0.08
        (words,) = framework.metric().axes[1].texts
        assert "(5 + 3 + 0 + 4 + 4) / 5 = 3.2 px" in words.get_text()
        assert "0.080 ≤ 0.10: no failure" in words.get_text()

    def test_decoders(self):
        drawn = [line.get_xdata()[0] for line in framework.decoders().axes[0].lines]
        truth, highest, window, everywhere = drawn
        assert highest == 21.5
        assert abs(window - truth) < min(abs(highest - truth), abs(everywhere - truth))

    def test_floor_figure(self):
        assert len(framework.floor().axes) == 2


@pytest.mark.parametrize("module", [words, plots], ids=lambda m: m.__name__)
def test_doctests(module):
    assert doctest.testmod(module).failed == 0
