"""Fig. 3: no bar of the paper is missing, and what has no run says why."""

import re
import shlex
from collections import Counter

import pytest
from drawn import rate
from fake_records import NO_RELATED, fake_record, fake_records

from dclib import cli
from dclib.cli import training
from dclib.study import paper
from dclib.study.figures import bars
from dclib.study.figures.bars import Bar
from dclib.study.plans import selection

STAND_IN = "tiny-imagenet"


@pytest.fixture(scope="module")
def records():
    """ResNet18 with a control, some of AlexNet's half, and the stand-in's runs with one try."""
    return [
        *fake_records({"RN-S": 1.2, "RN": 1.0, "RNx": 0.6, "XS": 1.0, "DCNet": 0.8}, tries=3),
        fake_record("DCNet", 0.9, related=NO_RELATED),
        *fake_records({"AN": 1.3, "DCNet": 1.1}, underlying="alexnet", resolution=96),
        *fake_records({"TCDCN": 1.5}, underlying="tcdcn"),
        *fake_records({"XS": 0.9, "DCNet": 0.7}, tries=1, pretrained=STAND_IN),
    ]


@pytest.fixture
def rates_chosen(monkeypatch):
    monkeypatch.setattr(selection, "is_chosen", lambda *_: True)
    monkeypatch.setattr(selection, "chosen", lambda *_: (0.1, 1.0, 0.0))


def every_bar(preset="cpu"):
    return [bar for half in ("alexnet", "resnet18") for bar in bars.bars(half, preset)]


class TestBars:
    def test_each_number_that_the_paper_prints_has_one_bar(self):
        ledger = paper.reported("fig3")
        numbers = [bar.number for bar in every_bar("paper") if bar.number is not None]
        assert sorted(numbers) == sorted(ledger["value"])
        assert len(numbers) == 17

    def test_each_method_of_the_caption_has_bars_of_both_kinds(self):
        """The caption of Fig. 3 names them; each has a left and a right bar."""
        named = {
            "alexnet": ("AN-S", "AN", "ANx", "HF", "TCDCN", "XS", "XSx", "DCNet"),
            "resnet18": ("RN-S", "RN", "RNx", "XS", "XSx", "DCNet"),
        }
        for half, methods in named.items():
            made = bars.bars(half, "paper")
            both = Counter(bar.label for bar in made if bar.label not in bars.CONTROLS)
            assert both == dict.fromkeys(methods, 2)

    def test_what_the_paper_does_not_print(self):
        said = {(bar.underlying, bar.start, bar.label): bar.printed for bar in every_bar()}
        assert said["resnet18", False, "RN-S"] == "only drawn"
        assert said["alexnet", "imagenet", "AN"] == "only drawn"
        assert said["alexnet", False, "TCDCN"] == "no bar"
        assert said["alexnet", "imagenet", "ANx"] == "not said"
        assert said["resnet18", False, "RN-Sx"] == "not in the paper"
        stand_in = {text for (_, start, _), text in said.items() if start == STAND_IN}
        assert stand_in == {"not in the paper"}

    def test_parts_keep_networks_and_starts_apart(self, records):
        parts = bars.parts(records)
        assert {name: len(own) for name, own in parts.items()} == {
            "ResNet18 from scratch": 16,
            "AlexNet from scratch": 6,  # TCDCN, a network of its own, is in this half
            "ResNet18 from Tiny-ImageNet (stand-in)": 2,
        }


class TestTable:
    def test_has_the_bars_of_the_parts_with_runs(self, records, rates_chosen):
        rows = bars.table(records, "cpu")
        assert set(rows.index) == set(bars.parts(records))
        assert len(rows) == sum(bar.section in set(rows.index) for bar in every_bar())
        assert (rows["rate"].notna() == (rows["tries"] != "–")).all()
        assert bars.table([], "cpu").empty

    def test_numbers_are_those_of_the_records(self, records, rates_chosen):
        rows = bars.table(records, "cpu").set_index("method", append=True)
        for start, words, label in (
            (False, "ResNet18 from scratch", "DCNet"),
            (False, "ResNet18 from scratch", "DCNet (related 0)"),
            (STAND_IN, "ResNet18 from Tiny-ImageNet (stand-in)", "DCNet"),
        ):
            row = rows.loc[(words, label)]
            assert row["rate"] == pytest.approx(
                rate(records, underlying="resnet18", pretrained=start, label=label)
            )
            assert row["low"] <= row["rate"] <= row["high"]
            assert row["soft"] < row["rate"]
        assert rows.loc[("ResNet18 from scratch", "DCNet"), "paper"] == 14.95
        assert rows.loc[("ResNet18 from scratch", "DCNet"), "tries"] == "3 of 3"
        stand_in = ("ResNet18 from Tiny-ImageNet (stand-in)", "DCNet")
        assert rows.loc[stand_in, "tries"] == "1 of 3"

    def test_tcdcn_is_in_the_half_of_alexnet(self, records, rates_chosen):
        rows = bars.table(records, "cpu").set_index("method", append=True)
        assert rows.loc[("AlexNet from scratch", "TCDCN"), "rate"] == pytest.approx(
            rate(records, underlying="tcdcn", pretrained=False, label="TCDCN")
        )


class TestWhy:
    def test_no_weights_for_widened_networks_and_for_tcdcn(self, rates_chosen):
        assert "as wide" in bars.why(Bar("resnet18", "imagenet", "RNx"), "cpu")[0]
        assert "own network" in bars.why(Bar("alexnet", "imagenet", "TCDCN"), "paper")[0]

    def test_imagenet_weights_are_of_full_networks(self, rates_chosen):
        for preset in ("cpu", "paper"):
            reason, command = bars.why(Bar("resnet18", "imagenet", "DCNet"), preset)
            assert "ImageNet weights" in reason
            assert command == "python -m dclib train --plan fig3-pretrained --preset paper"

    def test_learning_rates_come_first(self, monkeypatch):
        monkeypatch.setattr(selection, "is_chosen", lambda *_: False)
        reason, command = bars.why(Bar("alexnet", False, "HF"), "cpu")
        assert "learning rate" in reason
        assert command == "python -m dclib train --plan rates-alexnet --preset cpu"

    def test_what_stops_by_itself_needs_held_out_faces(self):
        reason, command = bars.why(Bar("alexnet", False, "TCDCN"), "paper")
        assert "held-out" in reason
        assert command == ""

    @pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
    def test_each_command_makes_the_runs_of_its_bar(self, preset, rates_chosen):
        tried = 0
        for bar in every_bar(preset):
            reason, command = bars.why(bar, preset)
            if not command:
                assert bar.impossible or "held-out" in reason
                continue
            options = cli.parse(shlex.split(command)[3:])
            made = training.experiments(options)
            assert bar in [bars.bar(e) for e in made], command
            tried += 1
        assert tried > 15


class TestMissing:
    def test_lists_each_bar_that_is_not_complete_once(self, records, rates_chosen):
        lines = bars.missing(records, "cpu").split("\n")
        assert (
            "- **ResNet18 from Tiny-ImageNet (stand-in)**, XS and DCNet: not all tries yet,"
            " `python -m dclib train --plan fig3-pretrained --preset cpu`"
        ) in lines
        named = [
            name
            for line in lines
            for name in re.split(", | and ", re.search(r"\*\*, ([^:]*):", line)[1])
        ]
        complete = 5  # of ResNet18 from scratch; the control has one try of three
        assert len(named) == len(every_bar()) - complete

    def test_is_empty_when_all_is_there(self, rates_chosen, monkeypatch):
        monkeypatch.setattr(Bar, "runs", lambda *_: [None] * 3)
        assert bars.missing([], "cpu") == "Nothing is missing."
