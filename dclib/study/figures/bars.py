"""The bars of the paper's Fig. 3: ours beside them, or the reason why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dclib.errors import RunError
from dclib.methods import METHODS
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import words
from dclib.study.figures.results import STARTS, in_order
from dclib.study.plans import experiments
from dclib.study.plans.presets import FIG3, PRESETS, has_own_network, ready
from dclib.study.plans.section4 import STAND_IN
from dclib.underlying import UNDERLYING

Start = str | bool  # of the columns: False, or the name of the weights, as in `Experiment`
Halves = Mapping[str, Comparison]  # runs by underlying network and start

PLANS = ("fig3", "fig3-alexnet", "fig3-pretrained")
RATES = {"resnet18": "rates", "alexnet": "rates-alexnet"}
CONTROLS = ("RN-Sx", "AN-Sx", "DCNet (related 0)")  # ours, not the paper's


@dataclass(frozen=True)
class Bar:
    """A bar of the paper's Fig. 3, or one that is added to it."""

    underlying: str  # which half of the figure, "alexnet" or "resnet18"
    start: Start  # what the columns start from: False, "imagenet" or the stand-in
    label: str  # the method as figures name it

    @property
    def method(self) -> str:
        """The method's name in the registry: a control is another one at other settings."""
        return self.label.partition(" (")[0]

    @property
    def section(self) -> str:
        """The half and the start, in words."""
        return f"{UNDERLYING[self.underlying].title} {STARTS[self.start]}"

    @property
    def ours(self) -> bool:
        """Whether the paper has no such bar."""
        return self.start == STAND_IN or self.label in CONTROLS

    @property
    def number(self) -> float | None:
        """The failure rate that the paper prints, in %."""
        if self.ours:
            return None
        return paper.failure_rate(self.label, self.underlying, bool(self.start))

    @property
    def printed(self) -> float | str:
        """The failure rate that the paper prints, or why it does not."""
        if self.number is None and self.ours:
            return "not in the paper"
        if self.number is None and METHODS[self.method].widened:
            return "not said"
        return self.number or ("no bar" if self.label == "TCDCN" else "only drawn")

    @property
    def impossible(self) -> str:
        """Why no weights can be started from; "" where they can."""
        if self.start and METHODS[self.method].widened:
            return "no weights are as wide as a widened network"
        if self.start and has_own_network(self.method):
            return "there are no weights of its own network"
        return ""

    def runs(self, found: Halves) -> list[Record]:
        """The tries that there are."""
        group = found.get(self.section)
        return group.tries.get(self.label, []) if group else []


def bar(experiment: Experiment) -> Bar:
    """Where in Fig. 3 a run belongs; methods with a network of their own, to AlexNet's half."""
    on = experiment.underlying
    return Bar(on if on in FIG3 else "alexnet", experiment.pretrained, experiment.label)


def parts(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs of one preset by underlying network and start, in words."""
    named: dict[str, list[Record]] = {}
    for record in records:
        named.setdefault(bar(record.experiment).section, []).append(record)
    return named


def halves(records: Sequence[Record]) -> Halves:
    """The same, each to be compared with its like."""
    return {section: Comparison(own) for section, own in parts(records).items()}


def bars(underlying: str, preset: str) -> list[Bar]:
    """The bars of one half of Fig. 3, our controls and, where they exist, the stand-in's runs."""
    labels = in_order([*FIG3[underlying], "DCNet (related 0)"])
    able = [m for m in labels if m not in CONTROLS]
    made = [Bar(underlying, False, m) for m in labels]
    made += [Bar(underlying, "imagenet", m) for m in able]
    if PRESETS[preset].grid:
        stand_in = [Bar(underlying, STAND_IN, m) for m in able]
        made += [one for one in stand_in if not one.impossible]
    return made


def why(bar: Bar, preset: str) -> tuple[str, str]:
    """Why a bar has no run at a preset, and the command that makes it, where there is one."""
    if bar.impossible:
        return bar.impossible, ""
    reason, at = "not run", preset
    if bar.start == "imagenet":
        reason = "not run: needs ImageNet weights, which are those of full networks"
        at = preset if PRESETS[preset].settings["width"] == 1 else "paper"
    if ready(at, bar.underlying, [bar.method]):
        return reason, command(bar, at)
    if not PRESETS[at].grid:
        return f"needs held-out faces to stop, and preset {at} trains on all", ""
    grid = f"python -m dclib train --plan {RATES[bar.underlying]} --preset {at}"
    return "not run: its learning rate is not chosen yet", grid


def command(wanted: Bar, preset: str) -> str:
    """What makes the runs of a bar: the plan that has them."""
    for plan in PLANS:
        try:
            planned = experiments(plan, preset)
        except RunError:  # its learning rates are not chosen yet
            continue
        if any(bar(e) == wanted for e in planned):
            return f"python -m dclib train --plan {plan} --preset {preset}"
    return ""


def table(records: Sequence[Record], preset: str) -> pd.DataFrame:
    """One row per bar of the parts that have runs: the paper's failure rate, and ours.

    In %; "rate", its interval and the mean error are those of the paper's decoder, "soft" is the
    failure rate under ours. The paper prints no mean error, it only draws them.
    """
    found = halves(records)
    rows = []
    for one in [one for half in FIG3 for one in bars(half, preset) if one.section in found]:
        entry = {"part": one.section, "method": one.label, "paper": one.printed}
        own = one.runs(found)
        if own:
            group = found[one.section]
            rate, soft = (group.score(one.label, decoder=d) for d in ("bin", "soft"))
            entry |= {"rate": rate.value, "low": rate.low, "high": rate.high, "soft": soft.value}
            entry |= {"mean error": group.score(one.label, "mean error").value}
        entry["tries"] = f"{len(own)} of {PRESETS[preset].tries}" if own else "–"
        rows.append(entry)
    columns = ["part", "method", "paper", "rate", "low", "high", "soft", "mean error", "tries"]
    return pd.DataFrame(rows, columns=columns).set_index("part")


def missing(records: Sequence[Record], preset: str) -> str:
    """What is not complete, why, and the commands that make it, as a list in Markdown."""
    found = halves(records)
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for one in [one for underlying in FIG3 for one in bars(underlying, preset)]:
        own = len(one.runs(found))
        if own < PRESETS[preset].tries:
            reason, how = ("not all tries yet", command(one, preset)) if own else why(one, preset)
            lacking.setdefault((one.section, reason, how), []).append(one.label)
    if not lacking:
        return "Nothing is missing."
    return "\n".join(
        f"- **{where}**, {words.listed(labels)}: {reason}" + (f", `{how}`" if how else "")
        for (where, reason, how), labels in lacking.items()
    )
