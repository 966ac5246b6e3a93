"""The tables of verdicts, and what methods gain for what they cost, by made-up runs."""

import doctest

import pandas as pd
import pytest
import torch
from fake_records import NO_RELATED, fake_record, fake_records
from torch import nn

from dclib.factory import build
from dclib.study import paper, verdicts
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import gain_and_cost, sizes
from dclib.study.figures import verdicts as tables
from dclib.study.pages import fragments
from dclib.study.verdicts import finding
from dclib.tasks import mtfl_tasks

SCALES = {"DCNet": 0.8, "XS": 1.0, "RNx": 0.9, "XSx": 0.9, "RN": 1.0, "RN-S": 1.2}


@pytest.mark.parametrize("module", [tables, gain_and_cost, fragments], ids=lambda m: m.__name__)
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


@pytest.fixture(scope="module")
def found():
    records = fake_records(SCALES, tries=2)
    runs = {"fig3": records}
    claims = [c for c in paper.CLAIMS if c.kind != "code"]
    return [finding(claim, lambda figure: runs.get(figure, [])) for claim in claims]


class TestTables:
    def test_one_row_a_claim_with_its_rule(self, found):
        frame = tables.table(found)
        assert list(frame.columns) == ["whose", "rule", "measured", "setting", "trend", "verdict"]
        assert len(frame) == len(found)
        own = frame.loc["ResNet18: DCNet fails less often than Cross-Stitch"]
        assert own["whose"] == "§4.2, text"
        assert own["rule"].startswith("failure rate, DCNet < XS: ")
        assert own["verdict"] == "supported"
        assert (frame[frame["whose"] == "control"]["rule"].str.len() > 0).all()

    def test_of_some_sections(self, found):
        assert len(tables.table(found, ("4.3",))) == len(paper.claims(section="4.3"))
        assert tables.table(found, ("9",)).empty

    def test_every_section_has_its_title(self):
        assert {claim.section for claim in paper.CLAIMS} == set(tables.SECTIONS)

    def test_tally_adds_up(self, found):
        frame = tables.tally(found)
        given = frame.drop(columns="all")
        assert (given.sum(axis=1) == frame["all"]).all()
        ends = ["all claims of the paper", "controls, ours"]
        assert frame.drop(index=ends)["all"].sum() == frame.loc[ends[0], "all"]
        assert frame.loc[ends, "all"].sum() == len(found)
        assert "supported" in given

    def test_summary_names_what_is_not_tested(self, found):
        counts = verdicts.tally(found)
        assert f"{counts['not tested']} not tested" in tables.summary(found)
        assert "checked by the code" not in tables.summary(found)

    def test_runs_of_each_plan(self, found):
        frame = tables.sources(found)
        ids = sorted(r.id for r in fake_records(SCALES, tries=2))
        assert frame.loc["fig3", "runs"] == f"12: {' '.join(ids)}"
        assert frame.loc["table1", "runs"] == "none yet"
        assert frame.loc["fig6", "command"] == "python -m dclib ablate --preset long"
        planned = [claim for claim in paper.CLAIMS if claim.plan]
        assert frame["claims"].sum() == len(planned)

    def test_numbers_for_a_page(self, monkeypatch):
        monkeypatch.setattr(verdicts, "runs_of", lambda _: lambda figure: [])
        frame = tables.numbers()
        shown = tables.shown(frame)
        assert len(shown) == len(paper.reported())
        (parameters,) = shown[shown["number"] == "DCNet, ResNet18, parameters"].itertuples()
        assert (parameters.paper, parameters.ours) == ("85,000,000", "84,745,818")
        rate = shown[shown["number"].str.startswith("DCNet, ResNet18, from scratch")].iloc[0]
        assert (rate["paper"], rate["ours"], rate["runs"]) == ("14.95", "–", 0)
        told = tables.compared(frame)
        assert told.startswith(
            f"Of {len(frame)} entries of the ledger, 23 are the same in the code"
        )


class TestFrontPage:
    def test_cases_with_the_same_verdict_stand_together(self, found):
        lines = fragments.claims(found)
        own = [f for f in found if not f.claim.control]
        main = [f for f in found if f.claim.main]
        assert len(main) == 12
        assert lines[2].startswith("| [ResNet18: DCNet has the lowest failure rate of all methods]")
        assert lines[3 + 12] == f"**Of the paper's {len(own)} claims: {tables.counted(own)}.**"
        lowest = "| DCNet has the lowest failure rate of all methods | §4.2 |"
        assert f"{lowest} *supported*: ResNet18; *not tested*: AlexNet |" in lines
        scarce = "| DCNet has the lowest failure rate | §4.3 |"
        assert f"{scarce} *not tested*: 30, 50, 70 and 90 % to train on |" in lines
        assert sum(line.startswith("| control") for line in lines) == 0
        statements = {(f.claim.statement, tables.where(f.claim)) for f in found}
        assert len(lines) == 3 + 12 + 6 + len(statements)  # the rest is folded

    def test_committed_runs_only(self, monkeypatch):
        """What stands on the front page never comes from a user's own store."""
        monkeypatch.setattr(verdicts.runs, "every", lambda: pytest.fail("the store was asked"))
        monkeypatch.setattr(verdicts.runs, "committed", lambda: iter(fake_records(SCALES)))
        assert fragments.rates()[0].startswith("Here: 2,000 faces, 100 epochs")


def small_runs():
    """Of small networks, one of them a control."""
    records = fake_records(SCALES, tries=2, width=0.125)
    records.append(fake_record("DCNet", 1.0, related=NO_RELATED, width=0.125))
    for record in records:
        record.environment["seconds"] = 90.0
    return Comparison(records)


@pytest.fixture(scope="module")
def frame():
    return gain_and_cost.table(small_runs())


class TestWorth:
    def test_front_by_hand(self):
        frame = pd.DataFrame(
            {"bin": [30.0, 28.0, 29.0, 20.0, 20.0], "multiply-adds (M)": [1, 2, 3, 4, 5]},
            index=["a", "b", "c", "d", "e"],
        )
        # c costs more than b and fails more often; e costs more than d and gains nothing
        assert gain_and_cost.front(frame, "bin") == ["a", "b", "d"]

    def test_costs_are_those_of_each_layer(self, frame):
        for method in ("RN-S", "XS", "DCNet"):
            net = sizes.on_meta(method, mtfl_tasks(48), "resnet18", 48, 0.125)
            counted = [0]

            def note(layer, _, output, counted=counted):
                counted[0] += output.numel() * layer.weight[0].numel()

            for layer in net.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.register_forward_hook(note)
            net.eval()(torch.empty(1, 3, 48, 48, device="meta"))
            assert frame.loc[method, "multiply-adds (M)"] == pytest.approx(counted[0] / 1e6)
            alone = frame.loc[method, "landmarks alone: multiply-adds (M)"]
            assert alone < counted[0] / 1e6 or method == "RN-S"
        for cost in ("parameters (M)", "multiply-adds (M)"):
            own = frame.loc["RN-S"]
            assert own[f"landmarks alone: {cost}"] == pytest.approx(own[cost])

    def test_controls_are_left_out_and_a_single_task_gains_nothing(self, frame):
        assert set(frame.index) == set(SCALES)
        assert frame.loc["RN-S", ["gain bin", "gain soft"]].tolist() == [0, 0]
        assert frame.loc["RN-S", ["gain bin low", "gain soft high"]].isna().all()
        gain = frame.loc["RN-S", "bin"] - frame.loc["DCNet", "bin"]
        assert frame.loc["DCNet", "gain bin"] == pytest.approx(gain)
        assert (frame["minutes of training"] == 1.5).all()

    def test_words_say_who_is_better_and_no_dearer(self, frame):
        told = gain_and_cost.words(small_runs(), frame)
        assert "No method fails less often than DCNet" in told
        assert "RNx" not in gain_and_cost.better(small_runs(), frame)
        adds = frame["multiply-adds (M)"]
        assert adds["DCNet"] <= adds["XSx"]
        assert gain_and_cost.better(small_runs(), frame, "XSx") == ["DCNet"]

    def test_a_better_and_cheaper_method_is_named(self):
        tries = small_runs().tries
        records = [*tries["RN-S"], *tries["DCNet"]]
        records += [r for r in fake_records({"RN": 0.5}, tries=2, width=0.125)]
        for record in records:
            record.environment["seconds"] = 60.0
        group = Comparison(records)
        frame = gain_and_cost.table(group)
        assert gain_and_cost.better(group, frame) == ["RN"]
        assert "RN fails less often than DCNet" in gain_and_cost.words(group, frame)

    def test_figure_has_a_panel_for_each_decoder_and_cost(self, frame):
        fig = gain_and_cost.figure(frame)
        assert len(fig.axes) == 4
        (key,) = fig.legends
        assert [text.get_text() for text in key.get_texts()] == [*frame.index, "front"]

    @pytest.mark.parametrize("method", ["DCNet", "RN", "XS"])
    def test_what_landmarks_do_not_need_can_be_anything(self, method):
        """So it can be left out: the landmarks stay the same to the bit."""
        torch.manual_seed(0)
        net = build(method, tasks=mtfl_tasks(32), width=0.125, resolution=32).eval()
        image = torch.rand(2, 3, 32, 32)
        logits = net(image)["landmarks"]
        weights = [p for p in net.parameters() if p.requires_grad]
        slopes = torch.autograd.grad(logits.sum(), weights, allow_unused=True)
        with torch.no_grad():
            spare = [p for p, slope in zip(weights, slopes, strict=True) if slope is None]
            for weight in spare:
                weight.fill_(float("nan"))
            assert torch.equal(net(image)["landmarks"], logits)
        kept = sum(p.numel() for p in weights) - sum(p.numel() for p in spare)
        assert sizes.needed(net, 32) == kept
        assert spare
        if method == "DCNet":  # heads of the others, and their aggregations in the last block
            last = net.mixers[-1].specific
            expected = [*net.heads[1:].parameters(), *last[1:].parameters()]
            assert {id(p) for p in spare} == {id(p) for p in expected}
