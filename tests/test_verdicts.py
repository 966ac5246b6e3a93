"""Claims and printed numbers judged by made-up runs, whose verdicts are known."""

import dataclasses
import doctest

import numpy as np
import pytest
from fake_cascades import fake_cascades
from fake_records import fake_record, fake_records

from dclib.block import CollaborativeBlock
from dclib.metrics import THRESHOLD
from dclib.mtcnn import stages
from dclib.network import count_parameters
from dclib.study import paper, plans, verdicts
from dclib.study.analysis.ablation import Ablation
from dclib.study.pages import report
from dclib.study.plans.presets import PRESETS
from dclib.study.plans.section4 import drawn_weights
from dclib.study.speed.forecast import FACES
from dclib.study.verdicts import (
    cascades,
    checks,
    evidence,
    finding,
    judgement,
    numbers,
    removal,
    rules,
)
from dclib.tasks import Angle, mtfl_tasks
from dclib.training.loop import LAST

SCALES = {"DCNet": 0.8, "XS": 1.0, "RNx": 0.9, "XSx": 0.9, "RN": 1.0, "RN-S": 1.2}
CASCADES = {"MTCNNx": (1.0, 40), "DC-MTCNN": (0.9, 25), "MTCNN": (1.2, 60)}  # scale, missed faces


MODULES = [cascades, evidence, judgement, removal, rules, verdicts]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


def claim(key):
    (found,) = (c for c in paper.CLAIMS if c.key == key)
    return found


def judge(key, preset="cpu", **plans):
    """A finding by made-up runs, given by plan with underscores."""
    named = {name.replace("_", "-"): records for name, records in plans.items()}
    return finding(claim(key), lambda figure: named.get(figure, []), preset)


class TestEveryClaim:
    def test_has_a_rule_evidence_and_a_page(self):
        pages = {path.stem for path in report.sources()} | {"index"}
        for one in paper.CLAIMS:
            assert len(rules.rule(one)) > 10
            assert "{" not in rules.rule(one)
            assert one.kind in verdicts.JUDGES
            assert one.page in pages
            assert one.plan in ("", cascades.PLAN, *plans.FIGURES)
            needs_runs = one.kind not in ("code", "all", "none", "later")
            assert bool(one.plan) or bool(one.reason) or not needs_runs
            assert one.kind not in ("none", "later") or one.reason

    def test_that_is_checked_by_code_has_its_check_and_each_check_a_claim(self):
        assert {c.detail[0] for c in paper.CLAIMS if c.kind == "code"} == set(checks.CHECKS)

    def test_that_sums_up_others_names_them(self):
        keys = {c.key for c in paper.CLAIMS}
        assert set(claim("5-outperforms").detail) <= keys

    def test_is_not_tested_without_runs_and_says_how_to_run_it(self):
        for one in paper.CLAIMS:
            if one.kind != "code":
                found = finding(one, lambda figure: [])
                assert found.verdict == ("not testable" if one.kind == "none" else "not tested")
                assert found.measured
                assert not found.records
        assert "train --plan table1 --preset cpu" in judge("4.3-50-lowest").measured
        assert "dclib ablate --preset cpu" in judge("4.4-profile").measured
        assert "ImageNet" in judge("4.2-resnet18-pretrained").measured
        assert "dclib cascade --plan mtcnn --preset cpu" in judge("4.5-failure").measured

    def test_is_never_judged_by_drawn_faces(self):
        """By smoke runs, and by runs on other faces that call themselves `cpu`."""
        weights = (("gender", 0.5), ("smile", 0.5), ("glasses", 0.5), ("profile", 0.5))
        for changes in ({"preset": "smoke"}, {"preset": "cpu"}):
            drawn = fake_records(SCALES, dataset="synthetic", **changes)
            drawn += fake_records(SCALES, tries=20, dataset="synthetic", related=weights, **changes)
            scenes = fake_cascades(CASCADES, tries=1, on="scenes", heldout="scenes", **changes)
            for one in paper.CLAIMS:
                if one.kind != "code":
                    runs = drawn[:12] if one.plan != "fig5" else drawn[12:]
                    by_plan = {cascades.PLAN: scenes}
                    found = finding(
                        one,
                        lambda figure, runs=runs, by_plan=by_plan: by_plan.get(figure, runs),
                        changes["preset"],
                    )
                    assert found.verdict in ("not tested", "not testable"), one

    def test_on_real_faces_at_smoke_is_not_judged_either(self):
        records = fake_records(SCALES, preset="smoke")
        assert judge("4.2-resnet18-lowest", "smoke", fig3=records).verdict == "not tested"


class TestMethodsInPairs:
    def test_verdict_words_and_runs(self):
        records = fake_records(SCALES, tries=3)
        found = judge("4.2-resnet18-lowest", fig3=records)
        assert found.verdict == "supported"
        assert found.measured.count("DCNet − ") == 5
        assert "width 0.25, 48 px; 3 tries" in found.setting
        assert {r.id for r in found.records} == {r.id for r in records}
        assert judge("4.2-resnet18-widening", fig3=records).verdict == "supported"
        assert judge("4.2-resnet18-equal-size", fig3=records).verdict == "supported"

    def test_missing_methods_and_single_tries_are_said(self):
        some = {"dataset": "aflw-30", "pretrained": "imagenet"}
        records = fake_records({"DCNet": 0.8, "XS": 1.0}, tries=1, **some)
        found = judge("4.3-30-lowest", table1=records)
        assert found.verdict == "not tested"
        assert found.measured == "no setting has all of DCNet, RN-S, RN, XS"
        single = fake_records(SCALES, tries=1, **some)
        found = judge("4.3-30-lowest", table1=single)
        assert found.verdict == "unclear"
        assert found.setting.endswith("one try; one try")
        found = judge("4.3-30-lowest", table1=[*single, *fake_records(SCALES, tries=3)])
        assert found.verdict == "supported"
        assert found.setting.endswith("variance over tries from mtfl, 100 epochs, 3 tries")

    def test_one_opposite_comparison_refutes(self):
        records = fake_records(SCALES | {"RNx": 0.6})
        assert judge("4.2-resnet18-lowest", fig3=records).verdict == "contradicted"

    def test_at_the_papers_protocol(self):
        records = fake_records(SCALES, preset="paper")
        assert judge("4.2-resnet18-stitch", "paper", fig3=records).verdict == "supported"

    @pytest.mark.parametrize(
        ("stitch", "verdict"),
        [(1.6, "supported"), (1.02, "contradicted")],
    )
    def test_gain_on_one_network_against_another(self, stitch, verdict):
        """On ResNet18 the gain is that of 1.3 over 1: on AlexNet it is larger, or smaller."""
        resnet = fake_records({"DCNet": 1.0, "XS": 1.3})
        on = {"underlying": "alexnet", "resolution": 96}
        alexnet = fake_records({"DCNet": 1.0, "XS": stitch}, **on)
        found = judge("4.2-largest-gain", fig3_alexnet=[*resnet, *alexnet])
        assert found.verdict == verdict
        assert len(found.records) == 8
        assert judge("4.2-largest-gain", fig3_alexnet=resnet).verdict == "not tested"

    def test_from_another_start_it_is_not_tested(self):
        """The paper starts from ImageNet weights; runs from scratch judge none of its claims."""
        scratch = fake_records(SCALES, dataset="aflw-30")
        assert judge("4.3-30-lowest", table1=scratch).verdict == "not tested"
        other = fake_records(SCALES, dataset="aflw-30", pretrained="tiny-imagenet")
        assert judge("4.3-30-lowest", table1=other).verdict == "not tested"
        own = fake_records(SCALES, dataset="aflw-30", pretrained="imagenet")
        assert judge("4.3-30-lowest", table1=[*own, *scratch, *other]).verdict == "supported"

    def test_the_longest_training_that_has_all_methods_is_judged(self):
        short = fake_records(SCALES, tries=3)
        lost = fake_records({"DCNet": 1.2, "XS": 1.0}, epochs=200)
        assert judge("4.2-resnet18-stitch", fig3=[*short, *lost]).verdict == "contradicted"
        assert judge("4.2-resnet18-equal-size", fig3=[*short, *lost]).verdict == "supported"

    def test_a_weighting_that_turns_it_makes_it_unclear(self):
        records = fake_records(SCALES)
        turned = fake_records(SCALES | {"DCNet": 1.3}, weighting="per_task")
        found = judge("4.2-resnet18-stitch", fig3=[*records, *turned])
        assert found.verdict == "unclear"
        assert "per_task: contradicted" in found.measured
        same = fake_records(SCALES, weighting="per_task")
        found = judge("4.2-resnet18-stitch", fig3=[*records, *same])
        assert found.verdict == "supported"
        assert "per_task: supported" in found.measured

    def test_a_margin_is_what_similar_means(self):
        """Two points may lie between: 1.02 is similar, 1.3 is not."""
        for scale, told in ((1.02, "supported"), (1.5, "contradicted")):
            scales = {"XS": scale, "RN": 1.0, "RN-S": 1.0, "RNx": 1.0, "XSx": 1.0}
            records = fake_records(scales, faces=3000)
            assert judge("4.2-resnet18-stitch-similar", fig3=records).verdict == told

    def test_trend_over_three_lengths(self):
        """Each doubling of training takes DCNet's errors down by a twentieth against XS."""
        lengths = {100: 1.0, 200: 0.95, 400: 0.9, 800: 0.85}
        records = [
            r
            for epochs, scale in lengths.items()
            for r in fake_records({"DCNet": scale, "XS": 1.0}, epochs=epochs)
        ]
        found = judge("4.2-resnet18-stitch", fig3=records)
        assert "4 lengths: still falling" in found.trend
        assert judge("4.2-resnet18-stitch", fig3=records[:8]).trend == ""  # of two lengths
        gap = [
            np.mean(
                [
                    np.mean(r.outcomes.errors["bin"] > 0.10)
                    for r in own
                    if "DCNet" in r.experiment.method
                ]
            )
            - np.mean(
                [
                    np.mean(r.outcomes.errors["bin"] > 0.10)
                    for r in own
                    if "XS" in r.experiment.method
                ]
            )
            for own in (records[i : i + 4] for i in range(0, 16, 4))
        ]
        slope = 100 * np.polyfit(range(4), gap, 1)[0]
        assert f"{slope:.2f}".replace("-", "−") in found.trend

    def test_over_fitting(self):
        some = {"dataset": "aflw-10", "pretrained": "imagenet"}
        records = fake_records({"DCNet": 1.0, "XS": 1.0, "RN": 1.0}, **some)
        assert judge("4.3-overfit", table1=records).verdict == "unclear"
        for record in records:
            growth = np.linspace(1.0, 1.5, 5)[:, None]
            for errors in record.outcomes.errors.values():
                errors *= growth
        assert judge("4.3-overfit", table1=records).verdict == "supported"
        for record in records:
            record.history[-1]["loss.landmarks"] = 9.0  # loss rises, too
        assert judge("4.3-overfit", table1=records).verdict == "unclear"


class TestMainClaims:
    def test_are_corrected_for_how_many_they_are(self, monkeypatch):
        """Of twelve, one at p = 0.0083 does not stay; at p = 0.001 it does."""
        records = fake_records(SCALES, tries=3)
        monkeypatch.setattr(verdicts, "runs_of", lambda _: lambda figure: records[:0])
        none = verdicts.findings("4.2")
        assert all(f.corrected == 1 for f in none)
        assert {f.claim.section for f in none} == {"4.2"}
        only = [r for r in records if r.experiment.method in ("DCNet", "XS")]
        pool = {"fig3": only}
        monkeypatch.setattr(verdicts, "runs_of", lambda _: lambda figure: pool.get(figure, []))
        (found,) = (f for f in verdicts.findings("4.2") if f.claim.key == "4.2-resnet18-stitch")
        assert found.corrected == pytest.approx(min(1, 12 * found.p))
        assert found.among_all == "supported"
        weak = dataclasses.replace(found, corrected=0.1)
        assert weak.among_all == "unclear"


def drawn(scales, count=24):
    """Runs of Fig. 5: one pair a draw, XS by itself 1 and DCNet by a scale for each draw."""
    tasks = ("gender", "glasses", "orientation")
    return [
        fake_record(
            method,
            scale,
            faces=150,
            try_=n,
            dataset="aflw-50",
            pretrained="imagenet",
            related=drawn_weights(n, tasks),
        )
        for n in range(count)
        for method, scale in (("DCNet", scales[n % len(scales)]), ("XS", 1.0))
    ]


class TestDraws:
    def test_that_dcnet_wins(self):
        records = drawn([0.8, 0.85])
        found = judge("4.3-draws-majority", fig5=records)
        assert found.verdict == "supported"
        assert found.measured == "better in 24 (bin) and 24 (soft) of 24 draws"
        assert found.p == pytest.approx(2 * 0.5**24)
        assert judge("4.3-draws-mean", fig5=records).verdict == "supported"
        assert len(found.records) == 48

    def test_that_it_loses(self):
        records = drawn([1.2, 1.25])
        assert judge("4.3-draws-majority", fig5=records).verdict == "contradicted"
        assert judge("4.3-draws-mean", fig5=records).verdict == "contradicted"

    def test_that_it_wins_half_of_them(self):
        found = judge("4.3-draws-majority", fig5=drawn([0.8, 1.25]))
        assert found.verdict == "unclear"

    def test_that_are_few(self):
        found = judge("4.3-draws-mean", fig5=drawn([0.8], count=9))
        assert found.verdict == "unclear"
        assert found.measured.startswith("9 draws, fewer than 10")

    def test_sensitivity(self):
        """DCNet varies from draw to draw more than XS, which is the opposite of the claim."""
        found = judge("4.3-draws-sensitivity", fig5=drawn([0.7, 1.0, 1.3]))
        assert found.verdict == "contradicted"

    def test_normality_can_be_refuted_and_not_shown(self):
        two_kinds = drawn([0.6] * 11 + [1.3])  # far apart, so not normal
        assert judge("4.3-draws-normal", fig5=two_kinds).verdict == "contradicted"
        assert judge("4.3-draws-normal", fig5=drawn([0.9])).verdict == "unclear"

    def test_a_draw_without_its_pair_does_not_count(self):
        records = drawn([0.8])[:-1]
        assert "of 23 draws" in judge("4.3-draws-majority", fig5=records).measured


TASKS = ("landmarks", "gender", "smile", "glasses", "profile")


def ablation(run, extra, lost=40, won=5, faces=400):
    """Every tenth face fails; so many more do without the features of a cell, the rest as before.

    Args:
        extra: (task, block) -> faces.
    """
    intact = np.arange(faces) % 10 == 0
    failed = np.tile(intact, (len(TASKS), 5, 1))
    free = np.flatnonzero(~intact)
    for (task, block), count in extra.items():
        failed[TASKS.index(task), block - 1, free[:count]] = True
    turned = np.zeros((len(TASKS), 5, 2), dtype=int)
    turned[0, 1] = lost, won
    by_decoder = {"bin": failed, "soft": failed}
    return Ablation(
        run=run,
        tasks=TASKS,
        blocks=5,
        intact={"bin": intact, "soft": intact},
        failed={"zeros": by_decoder, "other face": by_decoder},
        turned={c: {"profile": turned} for c in ("zeros", "other face")},
    )


class TestRemovedFeatures:
    @pytest.fixture
    def with_ablations(self, monkeypatch):
        def judge_by(key, extra, **more):
            records = fake_records({"DCNet": 1.0}, tries=2)
            made = [ablation(r.id, extra, **more) for r in records]
            monkeypatch.setattr(removal, "evaluations", lambda group: (group.tries["DCNet"], made))
            return judge(key, fig6=records)

        return judge_by

    def test_raise_the_failure_rate_or_not(self, with_ablations):
        found = with_ablations("4.4-landmarks", {("landmarks", 2): 40, ("landmarks", 3): 20})
        assert found.verdict == "supported"
        assert "landmarks, block 2: 100.00 (" in found.measured  # 40 more, of 40
        assert "landmarks, block 3: 50.00 (" in found.measured
        assert len(found.records) == 2
        only_one = with_ablations("4.4-landmarks", {("landmarks", 2): 40})
        assert only_one.verdict == "unclear"
        control = with_ablations("4.4-control-profile", {("profile", 5): 40})
        assert control.verdict == "supported"

    def test_the_highest_of_the_map(self, with_ablations):
        extra = {("profile", 5): 60, ("landmarks", 2): 20}
        found = with_ablations("4.4-profile-highest", extra)
        assert found.verdict == "supported"
        assert "above 24 of 24" in found.measured
        found = with_ablations("4.4-profile-highest", extra | {("gender", 1): 120})
        assert found.verdict == "contradicted"
        assert found.measured.startswith("profile, block 5: above 23 of 24, below 1;")
        assert "highest of the map is gender, block 1" in found.measured

    def test_depth(self, with_ablations):
        extra = {("profile", 5): 60, ("gender", 1): 120}  # another task does not count
        assert with_ablations("4.4-depth", extra).verdict == "supported"
        equal = {("profile", block): 60 for block in (1, 5)}
        assert with_ablations("4.4-depth", equal).verdict == "unclear"

    def test_features_of_other_tasks_are_used(self, with_ablations):
        assert with_ablations("4.4-isolated", {("landmarks", 2): 80}).verdict == "unclear"
        found = with_ablations("4.4-isolated", {("profile", 5): 80})
        assert found.verdict == "supported"
        assert "1 of 20 cells raise it" in found.measured


class TestCascades:
    KEYS = ("4.5-failure", "4.5-error", "4.5-missed", "4.5-control-size", "4.5-control-found")

    def test_that_bear_the_claims_out(self):
        made = fake_cascades(CASCADES)
        for key in self.KEYS:
            assert judge(key, mtcnn=made).verdict == "supported", key
        found = judge("4.5-failure", mtcnn=made)
        assert {r.id for r in found.records} == {
            r.id for r in made if r.experiment.method != "MTCNN"
        }
        assert found.measured.startswith("DC-MTCNN − MTCNNx: −8.38 (")
        assert "points, missed faces fail; −5.87 (" in found.measured
        assert found.measured.endswith("missed faces left out")
        assert found.setting == "width 0.5, trained on lfwnet alone; 2 tries"
        missed = judge("4.5-missed", mtcnn=made).measured
        assert missed.startswith("DC-MTCNN − MTCNNx: −15.00 (")
        assert missed.endswith(" faces")

    def test_that_do_not(self):
        made = fake_cascades({"MTCNNx": (0.9, 25), "DC-MTCNN": (1.0, 40), "MTCNN": (0.8, 10)})
        for key in self.KEYS:
            assert judge(key, mtcnn=made).verdict == "contradicted", key

    def test_a_failure_rate_that_only_falls_by_missing_fewer_faces_is_unclear(self):
        """More faces found, and the found ones as good: one reading sees no difference."""
        made = fake_cascades({"MTCNNx": (1.0, 80), "DC-MTCNN": (1.0, 20)})
        assert judge("4.5-missed", mtcnn=made).verdict == "supported"
        assert judge("4.5-failure", mtcnn=made).verdict == "unclear"

    def test_one_that_is_missing_is_named(self):
        alone = fake_cascades({"DC-MTCNN": (1.0, 20)})
        found = judge("4.5-failure", mtcnn=alone)
        assert (found.verdict, found.measured) == ("not tested", "no cascade yet of MTCNNx")

    def test_smoke_cascades_are_not_judged(self):
        made = fake_cascades(CASCADES, preset="smoke")
        assert judge("4.5-failure", "smoke", mtcnn=made).verdict == "not tested"

    def test_claims_hold_in_the_papers_own_numbers(self):
        checked = 0
        theirs = {ours: printed for printed, ours in cascades.NAMES.items()}
        for one in paper.claims(section="4.5"):
            if one.kind != "cascade" or one.control or one.detail == ("against",):
                continue
            (metric,) = (m for m, (ours, _) in cascades.METRICS.items() if ours == one.detail[0])
            ((first, second),) = one.comparisons
            low, high = (
                paper.number("mtcnn", method=theirs[m], metric=metric) for m in (first, second)
            )
            assert low < high
            checked += 1
        assert checked == 3


class TestCode:
    def test_every_statement_that_needs_no_run_holds(self):
        for one in paper.CLAIMS:
            if one.kind == "code":
                assert finding(one, lambda figure: []).verdict == "holds", one

    def test_what_does_not_hold_is_said(self, monkeypatch):
        monkeypatch.setitem(checks.CHECKS, "linear", lambda: (False, "words"))
        found = judge("2.1-linear")
        assert (found.verdict, found.measured) == ("does not hold", "words")


def test_a_sum_of_claims_needs_all_of_them():
    records = fake_records(SCALES)
    found = judge("5-outperforms", fig3=records)
    assert found.verdict == "not tested"
    assert found.measured == "1 supported, 8 not tested"
    worse = judge("5-outperforms", fig3=fake_records(SCALES | {"RNx": 0.6}))
    assert worse.verdict == "contradicted"


def test_tally_counts_the_papers_claims_and_the_controls_apart():
    found = [finding(one, lambda figure: []) for one in paper.CLAIMS if one.kind != "code"]
    controls = sum(one.control for one in paper.CLAIMS)
    explained = sum(one.kind == "none" for one in paper.CLAIMS)
    told = {"not tested": len(found) - controls - explained, "not testable": explained}
    assert verdicts.tally(found) == told
    assert verdicts.tally(found, control=True) == {"not tested": controls}


class TestNumbers:
    @pytest.fixture
    def by(self, monkeypatch):
        def look(preset="cpu", **plans):
            named = {name.replace("_", "-"): records for name, records in plans.items()}
            monkeypatch.setattr(verdicts, "runs_of", lambda _: lambda f: named.get(f, []))
            return numbers.numbers(preset)

        return look

    def row(self, frame, **conditions):
        """The row of `numbers` that belongs to one row of the ledger."""
        ledger = paper.reported()
        (at,) = ledger.index[np.logical_and.reduce([ledger[k] == v for k, v in conditions.items()])]
        return frame.loc[at]

    def test_every_row_of_the_ledger_is_there_once_with_its_value(self, by):
        frame = by()
        ledger = paper.reported()
        assert len(frame) == len(ledger)
        assert frame["paper"].equals(ledger["value"])
        assert (frame["unit"] == ledger["unit"]).all()
        assert not frame["number"].str.cat(frame["section"]).duplicated().any()

    def test_without_runs_each_says_why_or_is_exact(self, by):
        frame = by()
        waiting = frame[frame["in the code"] == ""]
        assert (waiting["how it compares"].str.len() > 0).all()
        assert waiting["ours"].isna().all()
        assert set(frame["in the code"]) == {"as in the paper", "not as in the paper", ""}

    def test_what_the_ledger_says_of_the_code_is_what_the_code_has(self, by):
        frame = by()
        told = frame[frame["in the code"] == "as in the paper"]
        parameters = told["number"].str.endswith("parameters")
        assert (told["paper"] == told["ours"])[~parameters].all()
        other = frame[frame["in the code"] == "not as in the paper"]
        assert list(other["ours"]) == [2284, 1600, 1158]  # other faces, and another group photo
        assert len(told) == 23
        full = PRESETS["paper"]
        train, test = FACES["mtfl"]
        tasks = {task.name: task.outputs for task in mtfl_tasks(112)}
        block = CollaborativeBlock((64,) * 5)
        drawn = [w for n in range(100) for _, w in drawn_weights(n, ("a", "b", "c"))]
        for value, of in (
            (THRESHOLD, {"condition": "failure threshold"}),
            (Angle("yaw").width, {"condition": "angle bins"}),
            (train, {"condition": "training faces"}),
            (test, {"condition": "test faces"}),
            (full.settings["epochs"], {"condition": "epochs", "section": "4.2"}),
            (full.tries, {"condition": "tries", "section": "4.2"}),
            (LAST, {"condition": "averaged over the last", "section": "4.2"}),
            (tasks["profile"], {"condition": "face profiles"}),
            (sum(FACES["aflw-50"]), {"condition": "faces with all landmarks visible"}),
            (320 / block.central[0].out_channels, {"metric": "factor"}),
            (count_parameters(checks.on_meta("DCNet", "resnet18")), {"method": "DCNet"}),
            (sum(stages.parameters("DC-MTCNN").values()), {"method": "MTCNN three stages"}),
        ):
            items = ("protocol", "params")
            rows = [r for item in items for r in paper.reported(item, **of).to_dict("records")]
            assert [float(row["here"]) for row in rows] == [value], of
        assert 1e-4 < min(drawn) < max(drawn) < 1

    def test_measured_rates_and_differences(self, by):
        records = fake_records(SCALES, tries=3)
        frame = by(fig3=records)
        about = {"item": "fig3", "underlying": "ResNet18", "pretrained": "no"}
        ours = self.row(frame, method="DCNet", **about)
        per_try = [
            100 * np.mean(r.outcomes.errors["bin"] > 0.10)
            for r in records
            if r.experiment.method == "DCNet"
        ]
        assert ours["ours"] == pytest.approx(np.mean(per_try))
        assert ours["low"] < ours["ours"] < ours["high"]
        assert "7 % of the paper's training" in ours["how it compares"]
        assert len(ours["runs"].split()) == 3
        stitch = self.row(frame, method="XS", **about)
        gain = self.row(
            frame, item="improvement", section="4.2", underlying="ResNet18", pretrained="no"
        )
        assert gain["ours"] == pytest.approx(stitch["ours"] - ours["ours"])
        assert len(gain["runs"].split()) == 6
        pretrained = self.row(
            frame, item="fig3", underlying="ResNet18", pretrained="yes", method="DCNet"
        )
        assert pretrained["how it compares"] == "no run yet"

    def test_table_1(self, by):
        records = [
            record
            for ratio in (30, 50, 70, 90)
            for record in fake_records(
                {"DCNet": 0.8, "RN": 0.9, "RN-S": 1.0, "XS": 1.1},
                dataset=f"aflw-{ratio}",
                pretrained="imagenet",
            )
        ]
        frame = by(table1=records, fig3=records)
        rates = {
            m: self.row(frame, item="table1", method=m, condition="train_ratio=0.3")["ours"]
            for m in ("DCNet", "RN", "XS")
        }
        least, most = (
            self.row(frame, item="improvement", metric=f"failure_rate_difference_{end}")
            for end in ("min", "max")
        )
        assert least["ours"] == pytest.approx(rates["RN"] - rates["DCNet"])
        assert most["ours"] == pytest.approx(rates["XS"] - rates["DCNet"])
        small = self.row(frame, item="table1", method="XS", condition="train_ratio=0.1")
        assert small["how it compares"] == "no run yet"

    def test_fig5_and_fig6(self, by, monkeypatch):
        records = fake_records({"DCNet": 1.0}, tries=2)
        made = [ablation(r.id, {("profile", 5): 20}) for r in records]
        monkeypatch.setattr(removal, "evaluations", lambda group: (group.tries["DCNet"], made))
        frame = by(fig5=drawn([0.8, 0.8, 0.8, 1.25]), fig6=records)
        assert self.row(frame, item="fig5", metric="times_better")["ours"] == 75
        profile = self.row(frame, item="fig6", condition="zero profile features at block 5")
        assert profile["ours"] == pytest.approx(-50)  # negative is worse, as the paper prints it
        assert profile["low"] < -50 < profile["high"]
        other = self.row(frame, item="fig6", condition="zero landmark features at block 3")
        assert other["ours"] == 0

    def test_cascades(self, by):
        frame = by(mtcnn=fake_cascades(CASCADES))
        about = {"item": "mtcnn", "method": "MTCNN + collaborative block"}
        missed = self.row(frame, metric="missed_faces", **about)
        assert missed["ours"] == 25
        assert missed["low"] < 25 < missed["high"]
        assert np.isnan(missed["soft"])
        error = self.row(frame, metric="mean_error", **about)
        assert error["ours"] == pytest.approx(0.0698, abs=1e-4)  # a share, as printed
        rate = self.row(frame, metric="landmark_failure_rate", **about)
        assert rate["ours"] == pytest.approx(22.75)
        assert "17.60 (" in rate["how it compares"]
        assert "trained on lfwnet alone; 2 tries" in rate["how it compares"]
