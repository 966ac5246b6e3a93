"""Comparisons of made-up records against numbers recomputed from their outcomes."""

import numpy as np
import pytest
import scipy.stats
from fake_records import NO_RELATED, fake_record, fake_records

from dclib.errors import RunError
from dclib.study.analysis.comparison import Comparison, at_shared_rate, fits, settings
from dclib.study.paper import Claim, claims

SCALES = {"DCNet": 0.8, "XS": 1.0, "RNx": 0.6, "RN": 1.0, "RN-S": 1.2}


def judged(group):
    return {claim.key: group.judge(claim) for claim in claims()}


def test_score_is_the_mean_over_epochs_then_tries():
    records = fake_records({"DCNet": 1.0}, tries=3)
    per_try = [
        np.mean([np.mean(epoch > 0.10) for epoch in r.outcomes.errors["bin"]]) for r in records
    ]
    score = Comparison(records).score("DCNet")
    assert score.value == pytest.approx(100 * np.mean(per_try))
    assert score.low < score.value < score.high


def test_mean_error_is_in_percent_of_the_interocular_distance():
    record = fake_record()
    score = Comparison([record]).score("DCNet", "mean error", "soft")
    assert score.value == pytest.approx(100 * record.outcomes.errors["soft"].mean())


def test_difference_of_scores():
    group = Comparison(fake_records({"DCNet": 1.0, "XS": 1.2}))
    gap = group.difference("DCNet", "XS")
    assert gap.value == pytest.approx(group.score("DCNet").value - group.score("XS").value)
    assert gap.high < 0


@pytest.mark.parametrize(
    ("change", "mark"), [({"related": NO_RELATED}, "related 0"), ({"precision": "bf16"}, "bf16")]
)
def test_a_control_or_a_precision_is_a_method_of_its_own(change, mark):
    records = [fake_record(), fake_record(**change)]
    assert Comparison(records).methods == ["DCNet", f"DCNet ({mark})"]


def test_mcnemar_pairs_tries_by_number():
    first = [fake_record("DCNet", try_=try_) for try_ in (2, 0)]
    second = [fake_record("XS", 1.1, try_=try_) for try_ in (0, 1, 2)]
    found = Comparison(first + second).mcnemar("DCNet", "XS")
    expected = []
    for one, other in ((first[1], second[0]), (first[0], second[2])):
        fails = one.outcomes.errors["bin"][-1] > 0.10, other.outcomes.errors["bin"][-1] > 0.10
        b, c = (fails[0] & ~fails[1]).sum(), (fails[1] & ~fails[0]).sum()
        expected.append(scipy.stats.binomtest(int(b), int(b + c)).pvalue)
    assert found == expected


class TestRefusals:
    @pytest.mark.parametrize(
        "change",
        [
            {"preset": "paper"},
            {"dataset": "synthetic"},
            {"split": "validation"},
            {"epochs": 7},
            {"width": 0.5},
            {"weighting": "per_task"},
            {"underlying": "alexnet"},
        ],
    )
    def test_runs_of_another_protocol(self, change):
        with pytest.raises(RunError, match="cannot be compared"):
            Comparison([fake_record("DCNet"), fake_record("XS", **change)])

    def test_one_try_twice(self):
        with pytest.raises(RunError, match="DCNet: a try is there twice"):
            Comparison([fake_record(), fake_record(lr=0.3)])

    def test_each_method_may_have_its_own_learning_rate(self):
        records = [fake_record("DCNet", lr=0.3), fake_record("XS", lr=0.1, unit_rate=10.0)]
        assert Comparison(records).methods == ["DCNet", "XS"]


def alexnets(**changes):
    """Methods on AlexNet, and TCDCN, which is a network of its own with an input of its own."""
    on = {"underlying": "alexnet", "resolution": 96}
    own = fake_records({"TCDCN": 1.4}, underlying="tcdcn", resolution=48, **changes)
    return [*own, *fake_records({"HF": 1.2, "DCNet": 1.0}, **on)]


class TestANetworkOfItsOwn:
    def test_is_compared_by_its_faces(self):
        group = Comparison(alexnets())
        assert group.about.underlying == "alexnet"  # though TCDCN comes first
        assert group.about.resolution == 96
        assert group.verdict("DCNet", "TCDCN") == "supported"
        by_key = judged(group)
        assert by_key["4.2-alexnet-tcdcn"] == "supported"
        assert by_key["4.2-alexnet-hyperface"] == "supported"
        assert by_key["4.2-alexnet-lowest"] == "not tested"  # others are missing

    def test_but_under_the_same_protocol(self):
        with pytest.raises(RunError, match="cannot be compared"):
            Comparison(alexnets(epochs=7))

    def test_others_must_share_theirs(self):
        with pytest.raises(RunError, match="cannot be compared"):
            Comparison([fake_record("AN", underlying="alexnet"), fake_record("RN")])


class TestVerdicts:
    def group(self, **changes):
        return Comparison(fake_records(SCALES, **changes))

    def test_of_two_methods(self):
        group = self.group()
        assert group.verdict("DCNet", "XS") == "supported"
        assert group.verdict("DCNet", "RNx") == "contradicted"
        assert group.verdict("DCNet", "XSx") == "not tested"
        # The same scale: they differ in noise alone.
        assert group.verdict("XS", "RN") == "unclear"
        assert self.group(preset="smoke").verdict("DCNet", "XS") == "not tested"
        assert self.group(preset="paper").verdict("DCNet", "XS") == "supported"

    def test_of_decoders_that_disagree(self):
        records = fake_records(SCALES)
        for record in records:
            if record.experiment.method == "DCNet":
                record.outcomes.errors["soft"] *= 2
        assert Comparison(records).verdict("DCNet", "XS") == "unclear"

    def test_of_claims(self):
        by_key = judged(self.group())
        assert by_key["4.2-resnet18-stitch"] == "supported"
        assert by_key["4.2-resnet18-widening"] == "supported"
        assert by_key["4.2-resnet18-lowest"] == "contradicted"  # by RNx
        assert by_key["4.2-resnet18-control-tasks"] == "not tested"
        assert by_key["4.2-alexnet-stitch"] == "not tested"
        assert by_key["4.2-resnet18-pretrained"] == "not tested"
        assert by_key["4.3-30-lowest"] == "not tested"  # these are other faces
        assert by_key["4.4-profile"] == "not tested"  # and this is no comparison of methods

    def test_where_networks_start_belongs_to_the_claim_or_not(self):
        by_key = judged(self.group(pretrained="tiny-imagenet"))
        assert by_key["4.2-resnet18-pretrained"] == "not tested"  # that is about ImageNet
        assert by_key["4.2-resnet18-stand-in"] == "supported"
        assert by_key["4.2-resnet18-lowest"] == "not tested"
        for start, told in (("imagenet", "supported"), (False, "not tested")):
            by_key = judged(self.group(pretrained=start, dataset="aflw-30"))
            assert by_key["4.3-30-lowest"] == told
            assert by_key["4.3-50-lowest"] == "not tested"

    def test_of_a_claim_on_the_mean_error(self):
        claim = Claim("k", "s", "4.2", "resnet18", False, (("DCNet", "RN-S"),), "mean error")
        assert self.group().judge(claim) == "supported"

    def test_without_any_run(self):
        assert set(judged(Comparison([])).values()) == {"not tested"}


class TestLimits:
    def test_too_little_training_is_unclear_at_best(self):
        """A sixteenth of 10,000 faces times 300 epochs is 187,500."""
        for epochs, told in ((93, "unclear"), (94, "supported")):
            group = Comparison(fake_records(SCALES, epochs=epochs))
            assert group.verdict("DCNet", "XS") == told
            assert group.training == pytest.approx(2000 * epochs / 3e6)

    def test_one_try_is_unclear_unless_another_setting_lends(self):
        single = fake_records(SCALES, tries=1, epochs=200)
        assert Comparison(single).verdict("DCNet", "XS") == "unclear"
        several = fake_records(SCALES, tries=3, dataset="aflw-30")
        lent = Comparison(single, Comparison(several))
        assert lent.verdict("DCNet", "XS") == "supported"
        assert lent.chance() == Comparison(several).chance()

    def test_variance_over_tries_is_pooled_over_methods(self):
        group = Comparison(fake_records(SCALES, tries=3))
        rates = [group.scores(m, "failure rate", "bin").mean(axis=1) for m in group.methods]
        assert group.chance().total == pytest.approx(np.mean([r.var(ddof=1) for r in rates]))
        assert group.chance().freedom == 2 * len(SCALES)

    def test_other_imagenet_weights_are_imagenets(self):
        by_key = {claim.key: claim for claim in claims()}
        e = fake_record(pretrained="imagenet").experiment
        assert fits(by_key["4.2-resnet18-pretrained"], e)
        assert not fits(by_key["4.2-resnet18-lowest"], e)
        assert not fits(by_key["4.2-resnet18-pretrained"], fake_record().experiment)


class TestSettings:
    def test_the_most_training_comes_first_then_the_most_tries(self):
        short = fake_records(SCALES, tries=3)
        long = fake_records({"DCNet": 1.0, "XS": 1.1}, tries=1, epochs=200)
        other = fake_records(SCALES, tries=2, weighting="per_task")
        found = settings([*other, *short, *long])
        assert [(g.about.epochs, g.about.weighting) for g in found] == [
            (200, "per_output"),
            (100, "per_output"),
            (100, "per_task"),
        ]
        assert found[0].lender is found[1]  # of the same weighting

    def test_what_has_no_place_is_left_out(self):
        assert not settings(
            [
                fake_record(split="validation"),
                fake_record(precision="bf16"),
                fake_record(related=(("gender", 0.5),)),
                fake_record(dataset="synthetic"),
            ]
        )

    def test_each_method_is_at_its_own_rates(self):
        """Those that most tries have, where none were chosen; the shared one is a group apart."""
        own = [fake_record("RN", lr=0.3, try_=t, preset="paper") for t in range(2)]
        shared = fake_record("RN", lr=0.1, preset="paper")
        dcnet = fake_record("DCNet", lr=0.1, preset="paper")
        (group,) = settings([*own, shared, dcnet])
        assert [r.id for r in group.tries["RN"]] == [r.id for r in own]
        beside = at_shared_rate([*own, shared, dcnet], group)
        assert [r.id for r in beside.tries["RN"]] == [shared.id]
        assert beside.tries["DCNet"] == [dcnet]

    def test_a_network_of_its_own_joins_the_setting_of_the_others(self):
        (group,) = settings(alexnets())
        assert set(group.methods) == {"HF", "DCNet", "TCDCN"}
