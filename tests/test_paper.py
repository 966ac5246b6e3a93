"""The ledger against numbers read off the paper by hand, and against the paper's own sums."""

import doctest

import pytest

import dclib.study.paper
from dclib.methods import METHODS
from dclib.mtcnn import stages
from dclib.study.paper import CLAIMS, claims, difference, failure_rate, number, reported


def test_doctests():
    assert doctest.testmod(dclib.study.paper).failed == 0


# Read off the paper: (value, what it is of).
BY_HAND = [
    (19.67, {"item": "fig3", "underlying": "AlexNet", "pretrained": "no", "method": "DCNet"}),
    (19.96, {"item": "fig3", "underlying": "AlexNet", "pretrained": "yes", "method": "DCNet"}),
    (14.95, {"item": "fig3", "underlying": "ResNet18", "pretrained": "no", "method": "DCNet"}),
    (13.52, {"item": "fig3", "underlying": "ResNet18", "pretrained": "yes", "method": "DCNet"}),
    (27.32, {"item": "fig3", "underlying": "AlexNet", "pretrained": "yes", "method": "HF"}),
    (25.00, {"item": "fig3", "method": "TCDCN"}),
    (28.02, {"item": "fig3", "method": "AN"}),
    (26.88, {"item": "fig3", "method": "ANx"}),
    (20.05, {"item": "fig3", "method": "RN"}),
    (16.75, {"item": "fig3", "method": "RNx"}),
    (17.28, {"item": "fig3", "method": "XSx", "underlying": "resnet18"}),
    (73.06, {"item": "table1", "method": "XS", "condition": "train_ratio=0.1"}),
    (10.82, {"item": "table1", "method": "DCNet", "condition": "train_ratio=0.9"}),
    (1.98, {"item": "improvement", "metric": "failure_rate_difference_min"}),
    (6.51, {"item": "improvement", "metric": "failure_rate_difference_max"}),
    (-3.25, {"item": "improvement", "metric": "relative_change"}),  # in points: 57.39 - 60.64
    (86, {"item": "fig5", "metric": "times_better"}),
    (9.83, {"item": "fig5", "metric": "max_improvement"}),
    (-83.87, {"item": "fig6", "condition": "zero profile features at block 5"}),
    (37.85, {"item": "mtcnn", "method": "MTCNN widened", "metric": "landmark_failure_rate"}),
    (0.0930, {"item": "mtcnn", "metric": "mean_error", "method": "MTCNN + collaborative block"}),
    (79, {"item": "mtcnn", "metric": "missed_faces", "method": "MTCNN + collaborative block"}),
    (85e6, {"item": "params", "method": "DCNet"}),
    (2995, {"item": "protocol", "condition": "test faces"}),
    (12995, {"item": "protocol", "condition": "all faces"}),
    (0.10, {"item": "protocol", "condition": "failure threshold"}),
    (2111, {"item": "protocol", "condition": "faces with all landmarks visible"}),
]


@pytest.mark.parametrize(("value", "of"), BY_HAND)
def test_read_off_the_paper(value, of):
    assert number(**of) == value


def test_counts():
    assert len(reported("table1")) == 5 * 4
    assert len(reported("fig3", underlying="alexnet")) == 10
    assert len(reported("fig3", underlying="resnet18")) == 7
    assert len(reported("improvement", section="4.2")) == 4


def test_only_bars_have_no_value():
    everything = reported()
    assert set(everything[everything["value"].isna()]["item"]) == {"not_printed"}
    assert not everything.duplicated(["item", "section", *everything.columns[2:8]]).any()


@pytest.mark.parametrize(
    ("underlying", "pretrained", "ours", "theirs", "improvement"),
    [
        ("alexnet", False, 19.67, 26.41, 6.74),
        ("alexnet", True, 19.96, 25.65, 5.69),
        ("resnet18", False, 14.95, 18.43, 3.48),
        ("resnet18", True, 13.52, 15.52, 2.00),
    ],
)
def test_improvement_over_cross_stitch(underlying, pretrained, ours, theirs, improvement):
    about = underlying, pretrained
    assert (failure_rate("DCNet", *about), failure_rate("XS", *about)) == (ours, theirs)
    assert difference("XS", "DCNet", *about) == pytest.approx(improvement)
    of = {"underlying": underlying, "pretrained": pretrained, "method": "DCNet over XS"}
    assert number("improvement", **of) == improvement


class TestAsking:
    def test_unknown_column(self):
        with pytest.raises(ValueError, match="no column 'backbone'"):
            reported(backbone="AlexNet")

    def test_ambiguous(self):
        with pytest.raises(ValueError, match="2 rows"):
            number("fig3", underlying="resnet18", method="DCNet")

    def test_not_printed(self):
        assert failure_rate("AN-S", "alexnet") is None
        assert difference("DCNet", "RN-S", "resnet18") is None


class TestClaims:
    def test_hold_in_the_papers_own_numbers(self):
        checked = 0
        for claim in claims(section="4.2"):
            for first, second in claim.comparisons:
                gap = difference(first, second, claim.underlying, bool(claim.pretrained))
                if gap is not None:
                    assert gap < claim.margin, claim
                    checked += 1
        assert checked > 30

    def test_hold_in_table_1(self):
        checked = 0
        for claim in claims(section="4.3"):
            if claim.comparisons:
                ratio = int(claim.dataset.removeprefix("aflw-")) / 100
                rows = reported("table1", condition=f"train_ratio={ratio}")
                rates = rows.set_index("method")["value"]
                for first, second in claim.comparisons:
                    assert rates[first] < rates[second], claim
                    checked += 1
        assert checked == 4 * 3 + 3 + 2 + 5 * 3  # lowest, single, worse, worst

    def test_name_methods_that_exist(self):
        for claim in CLAIMS:
            for method in {name for pair in claim.comparisons for name in pair}:
                if claim.kind == "cascade":
                    assert method in (*stages.METHODS, "DCNet")
                    continue
                registered = METHODS[method.removesuffix(" (related 0)")]
                own = "tcdcn" if method == "TCDCN" else claim.underlying
                assert registered.underlying in (None, own)

    def test_keys_and_words_are_unique(self):
        assert len({claim.key for claim in CLAIMS}) == len(CLAIMS)
        assert len({(claim.case, claim.statement) for claim in CLAIMS}) == len(CLAIMS)

    def test_main_claims_are_a_dozen_of_every_experiment_each_with_something_to_measure(self):
        main = [claim for claim in CLAIMS if claim.main]
        assert len(main) == 12
        assert {c.section for c in main} == {"4.2", "4.3", "4.4", "4.5"}
        assert {c.kind for c in main} <= {"lower", "draws", "ablation", "cascade"}
        assert [c.key for c in main if c.control] == ["4.2-resnet18-control-tasks"]

    def test_selection(self):
        assert {claim.underlying for claim in claims("alexnet")} == {"alexnet"}
        assert claims("alexnet", "4.3") == []
        sections = {claim.section for claim in CLAIMS}
        assert sections == {"2.1", "3", "4.2", "4.3", "4.4", "4.5", "5"}
        assert sum(len(claims(section=section)) for section in sections) == len(CLAIMS)

    def test_a_row_is_read(self):
        (claim,) = (c for c in CLAIMS if c.key == "4.3-10-worse")
        assert claim.comparisons == (("RN-S", "DCNet"), ("RN", "DCNet"))
        assert (claim.dataset, claim.plan, claim.page) == ("aflw-10", "table1", "04_3_aflw")
        assert claim.pretrained is True
        starts = {c.key: c.pretrained for c in CLAIMS if c.section == "4.2"}
        assert starts["4.2-resnet18-lowest"] is False
        assert starts["4.2-resnet18-pretrained"] is True
        assert starts["4.2-resnet18-stand-in"] == "tiny-imagenet"
        assert "4.2-alexnet-control-tasks" in {c.key for c in CLAIMS if c.control}
