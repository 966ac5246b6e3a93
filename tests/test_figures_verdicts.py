"""The tables of verdicts, and what methods gain for what they cost, by made-up runs."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch
from fake_records import NO_RELATED, fake_record, fake_records
from torch import nn

from dclib.factory import build
from dclib.study import paper, verdicts
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import gain_and_cost, ledger, sizes, training_map, trend
from dclib.study.figures import verdicts as tables
from dclib.study.pages import fragments
from dclib.study.verdicts import evidence, finding, printed
from dclib.tasks import mtfl_tasks

SCALES = {"DCNet": 0.8, "XS": 1.0, "RNx": 0.9, "XSx": 0.9, "RN": 1.0, "RN-S": 1.2}


@pytest.mark.parametrize(
    "module", [tables, gain_and_cost, fragments, ledger, printed], ids=lambda m: m.__name__
)
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

    def test_summary_names_what_is_not_tested(self, found):
        counts = verdicts.tally(found)
        assert f"{counts['not tested']} not tested" in tables.summary(found)
        assert "checked by the code" not in tables.summary(found)

    def test_the_ledger_has_all_of_each_claim(self, found):
        frame = tables.ledger(found)
        assert list(frame.index) == [f.claim.key for f in found]
        own = frame.loc["4.2-resnet18-stitch"]
        ids = {
            r.id for r in fake_records(SCALES, tries=2) if r.experiment.method in ("DCNet", "XS")
        }
        assert set(own["runs"].split()) == ids
        assert own["here"] in own["measured"].replace(" bin", " points")
        assert own["paper"] == "DCNet − XS: −3.48 points"  # 14.95 − 18.43
        assert frame.loc["4.4-profile", "command"] == "python -m dclib ablate --preset long"
        assert (frame["here"] == "–").sum() == (frame["runs"] == "").sum()

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
    def test_a_row_for_each_main_claim_leads_to_its_page_and_its_row(self, found):
        _, _, *lines = fragments.claims(found)
        main = [f for f in found if f.claim.main]
        assert len(main) == 12
        for f, line in zip(main, lines, strict=False):
            assert line.startswith(f"| [{tables.stated(f.claim)}]({f.page}.ipynb)")
            assert f'href="05_verdicts.html#{ledger.anchor(f)}"' in line
        own = [f for f in found if not f.claim.control]
        assert lines[12:] == [
            "",
            f"**Of all {len(own)} claims of the paper: {tables.counted(own)}.**",
        ]

    def test_the_answer_names_each_clear_verdict_and_says_if_it_does_not_stay(
        self, found, monkeypatch
    ):
        monkeypatch.setattr(gain_and_cost, "setting", lambda _: None)
        held, where, sure = fragments.answer(found)
        clear = [f for f in found if f.claim.main and f.verdict == "supported"]
        told = sum(f"upported*: {tables.stated(f.claim)}." in held for f in clear)
        lost = held.count("once corrected")
        assert told + lost == len([f for f in clear if not f.claim.control])
        assert "None is contradicted." in held
        assert "points from hard sharing of equal size (RNx)" in where
        assert "The paper has −3.48 points and −1.80 points." in where
        assert "under-fits" not in sure  # a fourteenth of the paper's training

    def test_committed_runs_only(self, monkeypatch):
        """What stands on the front page never comes from a user's own store."""
        monkeypatch.setattr(verdicts.runs, "every", lambda: pytest.fail("the store was asked"))
        monkeypatch.setattr(verdicts.runs, "committed", lambda: iter(fake_records(SCALES)))
        assert fragments.rates()[0].startswith("Here: 2,000 faces, 100 epochs")


def test_the_papers_own_numbers_bear_its_claims_out():
    """Of each claim of a difference; by hand: 79 less 112 faces, 20.77 less 23.31 %."""
    shown = {c.key: printed.beside(c) for c in paper.CLAIMS if c.kind in ("lower", "cascade")}
    assert shown["4.5-missed"] == "DC-MTCNN − MTCNNx: −33.00 faces"
    assert shown["4.3-50-lowest"] == "DCNet − RN: −2.54 points"
    told = {key: text for key, text in shown.items() if text != "–"}
    assert len(told) == 31
    margins = {c.key: c.margin for c in paper.CLAIMS}
    for key, text in told.items():
        value = float(text.partition(": ")[2].split()[0].replace("−", "-"))
        assert value < margins[key], key


def test_the_trend_has_a_mark_for_each_setting_and_the_papers_difference():
    scales = {"DCNet": 0.8, "XS": 1.0}
    some = [(100, 2000), (200, 2000), (100, 4000)]
    made = [fake_records(scales, tries=2, epochs=e, train_faces=n) for e, n in some]
    made.append(fake_records(scales, tries=2, width=0.5))  # another network
    (claim,) = (c for c in paper.CLAIMS if c.key == "4.2-resnet18-stitch")
    groups = evidence.of_claim(claim, [r for own in made for r in own])
    fig = trend.figure(groups)
    upper, lower = fig.axes  # the decoders, against the one other method there is
    for ax, papers in ((upper, [-3.48]), (lower, [])):
        lines = [line for line in ax.get_lines() if line.get_label().endswith("faces")]
        assert [len(line.get_xdata()) for line in lines] == [2, 1]
        marks = [
            y for line in ax.get_lines() if "printed" in line.get_label() for y in line.get_ydata()
        ]
        assert marks == pytest.approx(papers)
    first = next(g for g in groups if g.about.epochs == 100 and g.faces == 2000)
    own = [line for line in upper.get_lines() if line.get_label() == "2,000 faces"]
    assert own[0].get_ydata()[-1] == pytest.approx(first.difference("DCNet", "XS").value)
    assert trend.figure([]) is None


def test_the_map_has_each_setting_at_its_place_and_colours_what_is_clear():
    made = [
        fake_records({"DCNet": scale, "XS": 1.0}, tries=2, epochs=epochs, train_faces=faces)
        for scale, epochs, faces in ((0.2, 100, 2000), (1.0, 200, 2000), (0.4, 100, 8000))
    ]
    (claim,) = (c for c in paper.CLAIMS if c.key == "4.2-resnet18-stitch")
    groups = evidence.of_claim(claim, [r for own in made for r in own])
    by_setting = {(g.about.epochs, g.faces): g.gaps("DCNet", "XS") for g in groups}
    for ax, decoder in zip(training_map.figure(groups).axes, ("bin", "soft"), strict=False):
        discs = {tuple(d.get_offsets()[0]): d.get_array()[0] for d in ax.collections}
        own = {where: gaps[decoder].value for where, gaps in by_setting.items()}
        assert discs == pytest.approx(own | {(200, 2000): 0})  # where neither side is clear
        (mark,) = (line for line in ax.get_lines() if line.get_label() == "printed in the paper")
        assert (*mark.get_xdata(), *mark.get_ydata()) == (300, 10_000)
        told = {text.get_text() for text in ax.texts}
        assert ("−3.5" in told) == (decoder == "bin")
        half = (by_setting[100, 8000]["soft"].high - by_setting[100, 8000]["soft"].low) / 2
        assert decoder == "bin" or f"{own[100, 8000]:.1f}\n±{half:.1f}".replace("-", "−") in told
    frame = training_map.trends(groups)
    doublings = np.log2([100 * 2000, 200 * 2000, 100 * 8000])
    gaps = [by_setting[where]["soft"].value for where in ((100, 2000), (200, 2000), (100, 8000))]
    assert frame.loc["XS", "soft"] == pytest.approx(np.polyfit(doublings, gaps, 1)[0])
    assert frame.loc["XS", "lengths"] == 3
    assert training_map.figure([]) is None
    slim = fake_records({"DCNet": 0.2}, epochs=800, width=0.5)  # longer, and of no method beside it
    longest = evidence.of_claim(claim, [r for own in made for r in own] + slim)
    assert {r.id for r in trend.records(longest)} == {r.id for own in made for r in own}


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
        told = gain_and_cost.answer(small_runs(), frame)
        assert told.startswith("**Yes, if failures matter more than cost:**")
        assert "RNx" not in gain_and_cost.better(small_runs(), frame)

    def test_a_better_and_cheaper_method_is_named(self):
        tries = small_runs().tries
        records = [*tries["RN-S"], *tries["DCNet"]]
        records += [r for r in fake_records({"RN": 0.5}, tries=2, width=0.125)]
        for record in records:
            record.environment["seconds"] = 60.0
        group = Comparison(records)
        frame = gain_and_cost.table(group)
        assert gain_and_cost.better(group, frame) == ["RN"]
        told = gain_and_cost.answer(group, frame)
        assert "RN fails less often than DCNet and needs no more" in told

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
