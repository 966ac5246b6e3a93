"""Fig. 3 in full: every bar of the paper, ours beside it, or the reason why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dclib.errors import RunError
from dclib.methods import METHODS
from dclib.records.experiment import Experiment
from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import WIDTH, words
from dclib.study.figures.results import AXES, STARTS, diamond, in_order, key, row
from dclib.study.paper import Metric
from dclib.study.plans import experiments
from dclib.study.plans.presets import FIG3, PRESETS, has_own_network, ready
from dclib.study.plans.section4 import STAND_IN
from dclib.underlying import UNDERLYING

Start = str | bool  # of the columns: False, or the name of the weights, as in `Experiment`
Halves = Mapping[tuple[str, Start], Comparison]  # runs by underlying network and start

PLANS = ("fig3", "fig3-alexnet", "fig3-pretrained")
RATES = {"resnet18": "rates", "alexnet": "rates-alexnet"}
CONTROLS = ("RN-Sx", "AN-Sx", "DCNet (related 0)")  # ours, not the paper's


@dataclass(frozen=True)
class Bar:
    """A bar of the paper's Fig. 3, or one that is added to it.

    Attributes:
        underlying: which half of the figure, "alexnet" or "resnet18".
        start: what the columns start from: False, "imagenet" or the stand-in.
        label: the method as figures name it.
    """

    underlying: str
    start: Start
    label: str

    @property
    def method(self) -> str:
        """The method's name in the registry: a control is another one at other settings."""
        return self.label.partition(" (")[0]

    @property
    def number(self) -> float | None:
        """The failure rate that the paper prints, in %."""
        if self.start == STAND_IN or self.label in CONTROLS:
            return None
        return paper.failure_rate(self.label, self.underlying, bool(self.start))

    @property
    def printed(self) -> float | str:
        """The failure rate that the paper prints, or why it does not."""
        if self.number is not None:
            return self.number
        if self.start == STAND_IN or self.label in CONTROLS:
            return "not in the paper"
        if METHODS[self.method].widened:
            return "not said"
        if self.label == "TCDCN":
            return "no bar"
        return "only drawn"

    @property
    def impossible(self) -> str:
        """Why no weights can be started from; "" where they can."""
        if self.start and METHODS[self.method].widened:
            return "no weights are as wide as a widened network"
        if self.start and has_own_network(self.method):
            return "there are no weights of its own network"
        return ""


def half(experiment: Experiment) -> tuple[str, Start]:
    """Where in Fig. 3 a run belongs; methods with a network of their own, to AlexNet's half."""
    on = experiment.underlying
    return on if on in FIG3 else "alexnet", experiment.pretrained


def halves(records: Sequence[Record]) -> Halves:
    """Runs of one preset by underlying network and start, each to be compared with its like."""
    keys = dict.fromkeys(half(r.experiment) for r in records)
    return {k: Comparison([r for r in records if half(r.experiment) == k]) for k in keys}


def parts(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs of one preset by underlying network and start, in words."""
    named: dict[str, list[Record]] = {}
    for record in records:
        underlying, start = half(record.experiment)
        name = f"{UNDERLYING[underlying].title} {STARTS[start]}"
        named.setdefault(name, []).append(record)
    return named


def bars(underlying: str, preset: str) -> list[Bar]:
    """The bars of one half of Fig. 3, our controls and, where they exist, the stand-in's runs."""
    labels = in_order([*FIG3[underlying], "DCNet (related 0)"])
    able = [m for m in labels if m not in CONTROLS]
    made = [Bar(underlying, False, m) for m in labels]
    made += [Bar(underlying, "imagenet", m) for m in able]
    if PRESETS[preset].grid:
        stand_in = [Bar(underlying, STAND_IN, m) for m in able]
        made += [bar for bar in stand_in if not bar.impossible]
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


def command(bar: Bar, preset: str) -> str:
    """What makes the runs of a bar: the plan that has them, or one run where none has."""
    for plan in PLANS:
        try:
            planned = experiments(plan, preset)
        except RunError:  # its learning rates are not chosen yet
            continue
        if any(Bar(*half(e), e.label) == bar for e in planned):
            return f"python -m dclib train --plan {plan} --preset {preset}"
    start = f" --pretrained {bar.start}" if bar.start else ""
    one = f"--method {bar.method} --underlying {bar.underlying}{start}"
    return f"python -m dclib train --preset {preset} {one}"


def table(records: Sequence[Record], underlying: str, preset: str) -> pd.DataFrame:
    """One row per bar: the paper's failure rate, ours with interval and tries, or why none.

    In %; "rate", its interval and the mean error are those of the paper's decoder, "soft" is the
    failure rate under ours. The paper prints no mean error, it only draws them.

    Args:
        records: runs of any halves.
        underlying: which half: "alexnet" or "resnet18".
        preset: of the runs, and of those that are missing.
    """
    found = halves(records)
    rows = []
    for bar in bars(underlying, preset):
        group = found.get((underlying, bar.start))
        entry = {"start": STARTS[bar.start], "method": bar.label, "paper": bar.printed}
        if group and bar.label in group.tries:
            rate, soft = (group.score(bar.label, decoder=d) for d in ("bin", "soft"))
            error = group.score(bar.label, "mean error")
            entry |= {"rate": rate.value, "low": rate.low, "high": rate.high, "soft": soft.value}
            entry |= {"mean error": error.value}
        own = tries(bar, found)
        entry["tries"] = f"{own} of {PRESETS[preset].tries}" if own else "–"
        entry["note"] = "" if own else why(bar, preset)[0]
        rows.append(entry)
    columns = ["start", "method", "paper", "rate", "low", "high", "soft", "mean error", "tries"]
    return pd.DataFrame(rows, columns=[*columns, "note"]).set_index("start")


def tries(bar: Bar, found: Halves) -> int:
    """How many tries of a bar there are."""
    group = found.get((bar.underlying, bar.start))
    return len(group.tries.get(bar.label, [])) if group else 0


def missing(records: Sequence[Record], preset: str) -> str:
    """What is not complete, why, and the commands that make it, as a list in Markdown."""
    found = halves(records)
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for bar in [bar for underlying in FIG3 for bar in bars(underlying, preset)]:
        own = tries(bar, found)
        if own < PRESETS[preset].tries:
            reason, how = ("not all tries yet", command(bar, preset)) if own else why(bar, preset)
            where = f"{UNDERLYING[bar.underlying].title} {STARTS[bar.start]}"
            how = how.replace(f"--method {bar.method} ", "--method METHOD ")  # one line for all
            lacking.setdefault((where, reason, how), []).append(bar.label)
    if not lacking:
        return "Nothing is missing."
    return "\n".join(
        f"- **{where}**, {words.listed(labels)}: {reason}" + (f", `{how}`" if how else "")
        for (where, reason, how), labels in lacking.items()
    )


def figure(records: Sequence[Record]) -> Figure:
    """Fig. 3 as the paper arranges it: AlexNet left, ResNet18 right, mean errors at the bottom.

    A row per bar, in a section per start. A section without runs holds the paper's numbers alone.

    Args:
        records: runs of one preset and data set, of any halves.
    """
    found = halves(records)
    preset = records[0].experiment.preset if records else "cpu"
    sections = {u: _sections(u, preset, found) for u in ("alexnet", "resnet18")}
    height = max(sum(1 + len(own) for own in part.values()) for part in sections.values())
    fig = Figure(figsize=(WIDTH, 2 * 0.2 * height + 1.4), layout="constrained")
    grid = fig.subplots(2, 2, sharex="row")
    for line, metric in zip(grid, AXES, strict=True):
        for ax, (underlying, part) in zip(line, sections.items(), strict=True):
            _panel(ax, part, {s: found.get((underlying, s)) for s in part}, metric)
            ax.set_ylim(height - 0.5, -0.5)
            ax.set_title(UNDERLYING[underlying].title)
            ax.set_xlabel(AXES[metric], fontsize="small")
    grid[0, 0].set_xlim(left=0)  # which leaves room for "not run" left of the paper's numbers
    fig.legend(handles=key(), loc="outside lower center", ncols=2, frameon=False)
    return fig


def _sections(underlying: str, preset: str, found: Halves) -> dict[Start, list[Bar]]:
    """The bars of a half by start, without those that have nothing to show and cannot have it."""
    made: dict[Start, list[Bar]] = {}
    for bar in bars(underlying, preset):
        own = made.setdefault(bar.start, [])
        wanted = not bar.start or (underlying, bar.start) in found
        if bar.number is not None or (wanted and not bar.impossible):
            own.append(bar)
    return made


def _panel(
    ax: Axes,
    sections: Mapping[Start, Sequence[Bar]],
    found: Mapping[Start, Comparison | None],
    metric: Metric,
) -> None:
    """One panel: for each start a heading, and below it a row per bar."""
    ticks: list[str] = []
    for start, own in sections.items():
        heading = STARTS[start] + ("" if found[start] else ": not run here")
        looks: dict[str, Any] = {"va": "center", "fontsize": "x-small", "fontstyle": "italic"}
        ax.text(0.02, len(ticks), heading, transform=ax.get_yaxis_transform(), **looks)
        ticks.append("")
        for bar in own:
            if found[start]:
                row(ax, len(ticks), found[start], bar.label, metric)
            if metric == "failure rate" and bar.number is not None:
                diamond(ax, bar.number, len(ticks))
            ticks.append(bar.label)
    ax.set_yticks(range(len(ticks)), ticks, fontsize="small")
    ax.grid(axis="y", visible=False)
