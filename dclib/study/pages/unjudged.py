"""What came out on the pages that judge no claim of the paper, in a few sentences each."""

from dclib.records import runs
from dclib.study.analysis import ablation, comparison
from dclib.study.analysis.comparison import REFERENCE, Comparison
from dclib.study.analysis.known_truth import Known
from dclib.study.analysis.regimes import Regimes
from dclib.study.analysis.stats import Interval
from dclib.study.figures import known_truth, regime_words, relatives, speed_tables, speed_words
from dclib.study.figures.words import spanned
from dclib.study.plans import experiments
from dclib.study.speed import cost, survey


def methods() -> list[str]:
    """Page 02: what the ways to share cost, and which fails least often of those that were run."""
    measured = cost.read(REFERENCE)
    lines = [f"- All {len(relatives.gallery())} methods of this page run on one loop and one API."]
    if measured:
        lines += [
            "- In training, a method with one network for all tasks costs about as much as one"
            " network, and a method with a network for each task about as much as that many."
            f"{speed_words.dcnet_beside_rn(speed_tables.every_method(measured))}"
        ]
    planned = [e for name in ("fig3", "relatives") for e in comparison.planned(name)]
    league = [r for r in planned if not r.experiment.related]
    if league:
        group = Comparison(league)
        best = min(group.methods, key=lambda m: group.score(m).value)
        lines.append(
            f"- Of the {len(group.methods)} that were run on real faces, {best} fails least often,"
            f" {spanned(group.score(best))}; DCNet: {spanned(group.score('DCNet'))}. That is a"
            " reduced setting, with too short a training to judge a method."
        )
    return lines


def speed() -> list[str]:
    """Page 06: how much faster our forms are, and what the committed runs cost."""
    measured, costs = survey.read(REFERENCE), cost.read(REFERENCE)
    lines = []
    if measured:
        gains = speed_tables.steps(measured).xs(("DCNet", "ours"), level=("method", "contender"))
        each = [
            f"{spanned(Interval(row.ratio, row.low, row.high), '')} at `{setting}`"
            for setting, row in gains.iterrows()
        ]
        lines.append(
            "- A training step of DCNet in our forms, times as fast as in plain PyTorch (lowest and"
            f" highest round): {', '.join(each)}."
        )
    if costs:
        lines.append(f"- {speed_words.methods(speed_tables.every_method(costs))}")
    made = [r for r in runs.committed() if r.experiment.preset == REFERENCE]
    if made:
        hours = speed_tables.rerun(made, speed_tables.planned(REFERENCE))["core-hours"]["all"]
        lines.append(f"- All {len(made)} committed runs of this setting took {hours:.0f} hours.")
    return lines


def truth() -> list[str]:
    """Page 07: what came of the predictions, the first of them in numbers."""
    records = comparison.planned("truth")
    if not records:
        return []
    own = [record for record in records if record.experiment.label == "DCNet"]
    known = Known(records, ablation.find(own))
    table = known_truth.predictions(known)
    first = table.iloc[0]
    gaps = [
        f"{spanned(Interval(first[d], first[f'{d} low'], first[f'{d} high']), '')} ({d})"
        for d in ("bin", "soft")
    ]
    return [
        f"- {known_truth.words(known)}",
        f"- The first, *{table.index[0]}*: {' and '.join(gaps)} points, {first['verdict']}.",
    ]


def regimes() -> list[str]:
    """Page 08: whether DCNet gains as faces, epochs and width grow, and where it is ahead."""
    planned, made = experiments("regimes", REFERENCE), comparison.planned("regimes")
    if not made:
        return []
    found = Regimes(planned, made, comparison.planned("fig3"))
    told = f"{regime_words.trends(found)}\n{regime_words.holds(found)}".splitlines()
    return [f"- {line[2:3].upper()}{line[3:]}" if line.startswith("- w") else line for line in told]


PAGES = {
    "02_relatives": methods,
    "06_speed": speed,
    "07_known_truth": truth,
    "08_regimes": regimes,
}
