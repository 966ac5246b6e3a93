"""What the figures and tables of section 4.5 show, against cascades made up by hand."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
from drawn import curve, marks, names, texts
from fake_cascades import GROUP, fake_cascade, fake_cascades, fake_findings
from PIL import Image

from dclib import paths
from dclib.data.photos import PhotoSet
from dclib.errors import RunError
from dclib.mtcnn import records, reference
from dclib.study.analysis import cascades
from dclib.study.analysis.cascades import Cascades, gaps, paired, score
from dclib.study.analysis.stats import Interval, difference, verdict
from dclib.study.figures import detection, detection_pictures, detection_tables
from dclib.study.paper import reported

SCALES = {"MTCNNx": (1.0, 40), "DC-MTCNN": (0.9, 25), "MTCNN": (1.2, 60)}


@pytest.fixture(scope="module")
def group():
    return Cascades(fake_cascades(SCALES))


@pytest.fixture(scope="module")
def detectors():
    return {"a detector": fake_findings(1.4, 10, seed=77)}


def test_doctests():
    assert doctest.testmod(detection_tables).failed == 0


def by_hand(errors, **more):
    """Findings of four faces, of which NaN was missed."""
    errors = np.array(errors)
    changes = {"errors": errors, "scores": np.where(np.isnan(errors), np.nan, 0.9)}
    return replace(fake_findings(faces=len(errors), missed=0), **changes, **more)


@pytest.fixture
def commit(monkeypatch, tmp_path):
    """Makes cascades the committed ones."""
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))

    def keep(made):
        for r in made:
            folder = tmp_path / "cascades" / r.id
            folder.mkdir(parents=True)
            records.save(folder, r.experiment, r.environment, r.history, r.mined, r.findings)
        return made

    return keep


class TestComparison:
    def test_scores_worked_out_by_hand(self):
        own = [by_hand([0.05, 0.12, np.nan, 0.10]), by_hand([0.05, np.nan, np.nan, 0.20])]
        assert score(own, "failure rate").value == pytest.approx(100 * 5 / 8)
        assert score(own, "failure rate of found faces").value == pytest.approx(100 * 2 / 5)
        assert score(own, "mean error").value == pytest.approx(100 * (0.27 + 0.25) / 5)
        assert score(own, "missed faces").value == pytest.approx(1.5)

    def test_the_scores_are_those_of_the_findings_own_methods(self, group):
        for method in group.methods:
            found = group.findings(method)
            rates = [100 * f.failure_rate(missed_fail=True) for f in found]
            assert group.score(method, "failure rate").value == pytest.approx(np.mean(rates))
            assert group.score(method, "missed faces").value == np.mean([f.missed() for f in found])
            unfound = [100 * (1 - f.recall()) for f in found]
            assert group.score(method, "unfound").value == pytest.approx(np.mean(unfound))

    def test_with_every_face_found_both_readings_are_the_paired_interval(self):
        one, other = ([by_hand(np.random.default_rng(n).uniform(0, 0.2, 200))] for n in (1, 2))
        both = gaps(one, other, "failure rate")
        matrices = [100 * (f[0].errors > 0.10)[None] for f in (one, other)]
        expected = difference(*matrices)
        assert both["missed faces fail"] == expected
        left_out = both["missed faces left out"]
        assert left_out == expected  # no face is left out

    def test_an_interval_over_found_faces_covers_what_resampling_them_gives(self):
        """Against a bootstrap written here: faces with replacement, then the ratio."""
        found = fake_findings(1.3, 80)
        rng = np.random.default_rng(5)
        ratios = []
        for _ in range(4000):
            drawn = rng.integers(len(found.errors), size=len(found.errors))
            ratios.append(100 * np.nanmean(found.errors[drawn]))
        ours = score([found], "mean error")
        assert [ours.low, ours.high] == pytest.approx(np.quantile(ratios, [0.025, 0.975]), rel=0.01)

    def test_error_on_shared_faces_leaves_out_what_one_of_them_missed(self):
        one = [by_hand([0.02, 0.04, np.nan, 0.50])]
        other = [by_hand([0.04, 0.06, 0.30, np.nan])]
        shared = gaps(one, other, "mean error")["on faces that both found"]
        assert shared == Interval(pytest.approx(-2), pytest.approx(-2), pytest.approx(-2))
        own = gaps(one, other, "mean error")["each on the faces that it found"]
        assert own.value == pytest.approx(100 * (0.56 / 3 - 0.40 / 3))

    def test_readings_must_agree(self):
        below, above, around = Interval(-2, -3, -1), Interval(2, 1, 3), Interval(0, -1, 1)
        assert verdict(paired({"a": below, "b": below})) == "supported"
        assert verdict(paired({"a": below, "b": above})) == "unclear"
        assert verdict(paired({"a": below, "b": around})) == "unclear"
        assert verdict(paired({"": above})) == "contradicted"

    def test_a_cascade_that_finds_nothing_can_be_compared(self):
        blind = [by_hand([np.nan] * 4)]
        some = [by_hand([0.05, 0.12, np.nan, 0.10])]
        assert np.isnan(score(blind, "mean error").value)
        assert score(blind, "failure rate").value == 100
        for metric in ("failure rate", "mean error"):
            assert verdict(paired(gaps(blind, some, metric))) == "unclear"
        assert score(blind, "missed faces").value == 4

    def test_what_cannot_be_compared_is_refused(self):
        with pytest.raises(RunError, match="differ in preset or photos"):
            Cascades([fake_cascade(), fake_cascade("MTCNN", faces=100)])
        with pytest.raises(RunError, match="DC-MTCNN: a try is there twice"):
            Cascades([fake_cascade(), fake_cascade()])

    @pytest.mark.usefixtures("places")
    def test_reference_cascades_are_found_without_their_photos(self, commit):
        made = commit(fake_cascades(SCALES, tries=1))
        assert [r.id for r in cascades.reference()] == [r.id for r in made]
        assert cascades.find("cpu")
        assert not cascades.find("paper")
        assert cascades.tried() == []

    def test_cascades_with_other_settings_were_tried_before(self, commit):
        planned, other = fake_cascade("MTCNN"), fake_cascade("MTCNN")
        other = replace(other, experiment=replace(other.experiment, lr=(0.01, 0.01, 0.01)))
        commit([planned, other])
        assert [r.id for r in cascades.reference()] == [planned.id]
        assert [r.id for r in cascades.tried()] == [other.id]


class TestFigures:
    def test_no_two_cascades_or_detectors_look_alike(self):
        detectors = list(reference.find())
        assert len(detectors) == 3  # those that are committed
        looks = [detection.look(name, detectors) for name in (*detection.COLOURS, *detectors)]
        assert len({(look["color"], look["linestyle"]) for look in looks}) == 6

    def test_marks_stand_where_the_scores_are(self, group, detectors):
        rates, errors, missed = detection.marks(group, detectors).axes
        methods = names(rates.get_yticklabels())
        assert methods == ["MTCNN", "MTCNNx", "DC-MTCNN", "a detector"]
        shown = [x for x, _ in marks(rates, "o")]
        assert shown[:3] == [group.score(m, "failure rate").value for m in methods[:3]]
        squares = [x for x, _ in marks(rates, "s")]
        assert all(square < circle for square, circle in zip(squares, shown, strict=True))
        ticks = [line for line in missed.lines if line.get_marker() == "|"]
        assert [len(line.get_xdata()) for line in ticks] == [2, 2, 2]  # of a detector there is one
        for ax, printed in ((rates, [37.85, 28.97]), (errors, [9.96, 9.30]), (missed, [112, 79])):
            x, y = zip(*marks(ax, "D"), strict=True)
            assert x == pytest.approx(printed)
            assert y == (1, 2)

    def test_the_papers_numbers_stand_beside_its_faces_only(self):
        made = fake_cascades(SCALES, tries=1, preset="smoke", on="scenes", heldout="scenes")
        group = Cascades(made)
        elsewhere = {"a detector": fake_findings()}  # on other photos, so it has no row
        for fig in (detection.marks(group, elsewhere), detection.ced(group, elsewhere)):
            assert not any(marks(ax, "D") for ax in fig.axes)
        rows = detection.marks(group, elsewhere).axes[0].get_yticklabels()
        made = list(detection_tables.scores(group, elsewhere).index)
        assert names(rows) == made == ["MTCNN", "MTCNNx", "DC-MTCNN"]
        assert detection_tables.against(group)["paper"].isna().all()

    def test_error_curves_end_where_faces_are_missed(self, group, detectors):
        (ax,) = detection.ced(group, detectors, limit=5.0).axes
        assert curve(ax, "DC-MTCNN")[1][-1] == pytest.approx(100 * 375 / 400)
        assert curve(ax, "a detector")[1][-1] == pytest.approx(100 * 390 / 400)
        errors, found = curve(ax, "MTCNNx")
        rate = group.score("MTCNNx", "failure rate").value
        assert np.interp(10.0, errors, found) == pytest.approx(100 - rate)

    def test_recall_by_stage_and_by_overlap(self, group, detectors):
        left, right = detection.recall(group, detectors).axes
        assert list(curve(left, "DC-MTCNN")[1]) == pytest.approx([99, 97, 94])  # 18 of 300 are lost
        for line in right.lines[:3]:
            assert (np.diff(line.get_ydata()) <= 0).all()
        half = np.argmin(abs(right.lines[2].get_xdata() - 0.5))
        assert right.lines[2].get_ydata()[half] == pytest.approx(94)

    def test_a_detector_without_stages_has_no_line_for_them(self, group, detectors):
        last = {name: replace(own, stages={"O": 0.9}) for name, own in detectors.items()}
        left, right = detection.recall(group, last).axes
        assert len(marks(left, "o")) == 3 * 3
        assert "a detector" in [line.get_label() for line in right.lines]

    def test_training_shows_each_loss_of_each_stage(self, group):
        axes = detection.training(group).axes
        assert [bool(ax.lines) for ax in axes] == [True] * 6 + [False, False, True]
        for ax in (axes[0], axes[8]):
            assert [line.get_linestyle() for line in ax.lines] == ["-", ":"] * 3
            assert list(ax.lines[0].get_ydata()) == pytest.approx([1, 1 / 2, 1 / 3])

    def test_without_cascades_each_says_how_to_make_them(self, detectors):
        nothing = Cascades([])
        made = [f(nothing, detectors) for f in (detection.marks, detection.ced, detection.recall)]
        for fig in [*made, detection.training(nothing)]:
            assert texts(fig.axes[0]) == [
                "Not run: python -m dclib cascade --plan mtcnn --preset cpu"
            ]


class TestPictures:
    def test_there_are_29_noses_in_the_group_photo(self):
        with Image.open(paths.root() / "book/images/solvay_1927.jpg") as photo:
            assert photo.size == tuple(map(int, reported("fig7")["here"])) == tuple(GROUP["size"])
            width, height = photo.size
        noses = detection_pictures.NOSES
        assert noses.shape == (29, 2)
        assert (noses > 0).all()
        assert (noses < (width, height)).all()
        apart = np.abs(noses[:, None] - noses).max(axis=2) + 1000 * np.eye(29)
        assert apart.min() > 30  # nobody twice: faces are 50 pixels and more

    def test_the_noses_are_where_a_public_detector_finds_faces(self):
        """They were read off by eye; its committed detections know nothing of them."""
        shown = reference.find()["facenet-pytorch"].findings.pictures["group"]
        assert detection_pictures.people(shown["boxes"]).all()
        distances = np.linalg.norm(
            detection_pictures.NOSES[:, None] - shown["points"][:, 2], axis=2
        )
        assert distances.min(axis=1).max() < 12  # pixels, of faces of 50 and more

    def test_a_person_is_found_by_a_box_with_the_nose_in_its_middle(self):
        x, y = detection_pictures.NOSES[0]
        around = np.array([[x - 30, y - 30, x + 30, y + 30]], dtype=float)
        assert detection_pictures.people(around).tolist() == [True] + [False] * 28
        beside = around + np.array([20, 0, 20, 0])
        assert not detection_pictures.people(beside).any()
        assert not detection_pictures.people(np.zeros((0, 4))).any()

    def test_counts_of_the_group_photo_and_of_annotated_ones(self):
        assert detection_pictures.counts("group", GROUP) == (29, 1, 1)
        other = GROUP | {"truth": 5, "found": 2}
        assert detection_pictures.counts("wider/a.jpg", other) == (5, 2, 0)
        assert detection_pictures.counts("elsewhere", GROUP) is None

    def test_fig7_has_a_box_and_points_for_each_detection(self):
        pixels = np.zeros((3, 1158, 1600), dtype=np.uint8)
        (ax,) = detection_pictures.picture(pixels, "group", GROUP).axes
        (outlines,) = ax.collections
        corners = [path.vertices[:4] for path in outlines.get_paths()]
        assert [c.min(axis=0).tolist() for c in corners] == [[625, 600], [1100, 100]]
        assert [x for x, _ in marks(ax, ".")][:5] == GROUP["points"][0, :, 0].tolist()
        assert len(marks(ax, "x")) == 28
        assert ax.get_ylim() == (1158, 0)
        assert len(ax.images) == 1
        assert not detection_pictures.picture(None, "group", GROUP).axes[0].images

    def test_only_the_group_photo_or_a_drawn_scene_stands_for_fig7(self):
        def with_pictures(*names):
            made = fake_cascade()
            shown = dict.fromkeys(names, GROUP)
            return replace(made, findings=replace(made.findings, pictures=shown))

        assert detection_pictures.chosen(with_pictures("wider/a.jpg", "group")) == "group"
        assert detection_pictures.chosen(with_pictures("scenes/000")) == "scenes/000"
        assert detection_pictures.chosen(with_pictures("wider/a.jpg")) is None

    def test_hardest_negatives_are_cut_from_their_photos(self):
        pixels = np.zeros((3, 60, 240), dtype=np.uint8)
        pixels[0, 20:50, 10:40] = 200  # what the second square shows
        nothing = (np.zeros((0, 4), np.float32),) * 20
        photo_set = PhotoSet(
            name="some",
            fingerprint="",
            names=tuple(f"photo {k}" for k in range(20)),
            boxes=nothing,
            points=(np.zeros((0, 5, 2), np.float32),) * 20,
            ignored=nothing,
            groups=np.arange(20),
            complete=True,
            read=lambda number: pixels,
        )
        fig = detection_pictures.hardest(fake_cascade(), photo_set)
        shown = [ax.images[0].get_array() for part in fig.subfigs for ax in part.axes]
        assert len(shown) == 2 * detection_pictures.SHOWN
        assert abs(np.asarray(shown[1]).mean(axis=(0, 1)) - [200, 0, 0]).max() < 8
        assert np.asarray(shown[5]).max() == 0

    def test_without_photos_their_squares_are_shown(self):
        fig = detection_pictures.hardest(fake_cascade(), None)
        for ax in fig.axes:
            assert not ax.images
            corners = [path.vertices[:4] for path in ax.collections[0].get_paths()]
            assert len(corners) == 20
            assert corners[3].min(axis=0).tolist() == [30, 20]
            assert corners[3].max(axis=0).tolist() == [60, 50]

    def test_pixels_of_real_photos_need_to_be_allowed_and_at_hand(self, places):
        assert detection_pictures.mined_from(fake_cascade(), allowed=False) is None
        assert detection_pictures.mined_from(fake_cascade(), allowed=True) is None  # not here


class TestTables:
    def test_sizes_add_up_to_what_the_paper_says(self):
        frame = detection_tables.sizes()
        for method in ("MTCNN", "MTCNNx", "DC-MTCNN"):
            assert frame.loc[["P", "R", "O"], method].sum() == frame.loc["all", method]
        assert round(frame.loc["all", "DC-MTCNN"], -6) == 2_000_000
        assert frame.loc["P", "MTCNN"] == 6632  # counted by hand from the published layers
        assert frame.loc["O", "tasks"] == "face, box, landmarks"

    def test_scores(self, group, detectors):
        frame = detection_tables.scores(group, detectors)
        own = frame.loc["DC-MTCNN"]
        assert (own["parameters (M)"], own["tries"]) == (2.0, "2")
        assert own["missed"] == 25
        assert own["missed low"] < 25 < own["missed high"]
        said = frame.loc["DC-MTCNN in the paper"]
        assert (said["failure rate"], said["missed"]) == (28.97, 79)
        assert said["mean error"] == pytest.approx(9.30)
        assert np.isnan(said["missed low"])
        public = frame.loc["a detector"]
        assert np.isnan(public["parameters (M)"])
        assert public["tries"] == "–"
        assert "a detector in the paper" not in frame.index

    def test_differences(self, group):
        frame = detection_tables.against(group)
        pair = frame.loc["DC-MTCNN − MTCNNx"].set_index(["score", "reading"])
        assert len(pair) == 6
        missed = pair.loc[("missed faces", "")]
        assert missed["value"] == -15
        assert missed["paper"] == 79 - 112
        assert missed["verdict"] == "supported"
        failing = pair.loc[("failure rate, points", "missed faces fail")]
        assert failing["paper"] == pytest.approx(28.97 - 37.85)
        pairs = [("DC-MTCNN", "MTCNNx"), ("DC-MTCNN", "MTCNN"), ("MTCNNx", "MTCNN")]
        assert set(frame.index) == {f"{one} − {other}" for one, other in pairs}

    def test_faces_by_further_detections(self, group):
        frame = detection_tables.others(group, {}).loc["MTCNNx"].set_index("further detections")
        parts = frame.drop(index="any")
        assert parts["faces"].sum() == frame.loc["any", "faces"] == 300
        weighted = (parts["faces"] * parts["found (%)"]).sum() / 300
        assert weighted == pytest.approx(frame.loc["any", "found (%)"])
        assert frame.loc["any", "found (%)"] == pytest.approx(90)  # 30 of 300 are lost

    def test_stages_and_precision(self, group):
        frame = detection_tables.by_stage(group, {})
        left = frame.loc["DC-MTCNN", ["after P", "after R", "after O"]]
        assert left.tolist() == pytest.approx([99, 97, 94])
        assert frame["precision"].isna().all()
        made = fake_cascade()
        known = replace(made, findings=replace(made.findings, precision=0.8))
        assert detection_tables.by_stage(Cascades([known]), {})["precision"].item() == 80

    def test_mined(self, group):
        frame = detection_tables.mined(group).set_index("stage", append=True)
        own = frame.loc[("DC-MTCNN", "O")]
        assert (own["negative"], own["landmark"], own["left out"]) == (3000, 500, 5)
        assert own["hardest"] == own["64th, or last"] == 0.9
        assert np.isnan(frame.loc[("DC-MTCNN", "P"), "hardest"])

    def test_pictures_of_every_try(self, group, detectors):
        frame = detection_tables.pictures(group, detectors)
        assert len(frame) == 3 * 2 + 1
        assert (frame[["faces", "found", "other detections"]] == [29, 1, 1]).all(axis=None)

    def test_minutes(self, group):
        assert detection_tables.minutes(group).loc["MTCNN", "all"] == 13

    def test_rates(self, group):
        """The error of a cascade that was lost rises again; none is held out of the others."""
        lost = fake_cascade("MTCNN", try_=9)
        rows = [
            {"validation.error": error, "validation.accuracy": right}
            for error, right in ((0.2, 0.8), (0.125, 0.9), (0.5, 0.25))
        ]
        lost.history["O"] = rows
        frame = detection_tables.rates(group, [lost])
        first = frame.loc["MTCNN, try 9"]
        assert (first["lowest error"], first["last error"], first["right"]) == (12.5, 50, 25)
        assert first[""] == "tried before"
        assert first["rate of O"] == f"{group.about.lr[2]:g}"
        assert len(frame) == 1 + len(group.records)
        assert frame["last error"].iloc[1:].isna().all()
        assert not frame[""].iloc[1:].any()

    def test_speed(self):
        """Ratios of each round, not of medians."""
        record = {
            "photos": {"group": {"count": 1, "size": [1600, 1158]}},
            "faces": {"group": {"dclib": 29, "facenet-pytorch": 28, "mtcnn": 27}},
            "seconds": {
                "group": {"dclib": [1.0, 2.0, 1.0], "facenet-pytorch": [3.0, 2.0, 2.0]}
                | {"mtcnn": [9.0, 9.0, 9.0]}
            },
        }
        first, second = (row for _, row in detection_tables.speed(record).iterrows())
        assert (first.name, first["first"]) == ("group", "1600 × 1158")
        assert first["beside"] == "facenet-pytorch"
        assert (first["our seconds"], first["its seconds"]) == (1, 2)
        assert (first["low"], first["times as fast"], first["high"]) == (1, 2, 3)
        assert (first["our faces"], first["its faces"]) == (29, 28)
        assert (second["beside"], second["times as fast"], second["its faces"]) == ("mtcnn", 9, 27)

    def test_without_cascades_they_are_empty(self):
        nothing = Cascades([])
        assert detection_tables.scores(nothing, {}).empty
        assert detection_tables.against(nothing).empty
        assert detection_tables.rates(nothing, []).empty
        assert detection_tables.pictures(nothing, {"a": fake_findings()}).empty
        assert detection_tables.best(nothing) is None


def test_what_was_trained_and_scored(group):
    told = detection.about(group)
    assert told.startswith("**Preset `cpu`**: 2 tries of MTCNN, MTCNNx and DC-MTCNN, trained on")
