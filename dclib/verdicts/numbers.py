"""Every number that the paper prints, beside ours: measured, checked by code, or why not.

One row for each row of the ledger. Where a preset is smaller than the paper's protocol, sizes are
not compared: what is judged is the direction of the comparison that a number belongs to.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

import dclib.draws
from dclib import comparison, paper, verdicts
from dclib.comparison import Comparison, fits
from dclib.paper import Claim
from dclib.runs import Record
from dclib.stats import DECODERS, Interval, Verdict
from dclib.verdicts import cascades, facts
from dclib.verdicts.judged import Runs, opposite
from dclib.verdicts.removal import Study, evaluations

Printed = Mapping[str, Any]  # a row of the ledger
SAME, OTHER = "as in the paper", "not as in the paper"
PAGES = {
    "fig3": "04_2_mtfl",
    "table1": "04_3_aflw",
    "fig5": "04_3_aflw",
    "fig6": "04_4_ablation",
    "mtcnn": "04_5_mtcnn",
}


@dataclass(frozen=True)
class Ours:
    """What there is beside a printed number.

    Attributes:
        values: by decoder; empty where nothing was measured.
        verdict: on the comparison that the number belongs to, or whether code has the same number.
        how: how the two compare, or why there is nothing to compare.
        records: the runs.
        page: where the book shows it.
        exact: what code says, where it is no measurement.
        made: the command that makes it.
    """

    values: Mapping[str, Interval] = field(default_factory=dict)
    verdict: str = Verdict.NOT_RUN
    how: str = ""
    records: Sequence[Any] = ()
    page: str = ""
    exact: float = math.nan
    made: str = ""


def numbers(preset: str = comparison.REFERENCE) -> pd.DataFrame:
    """One row per number of the ledger, in its order, with ours beside it.

    "ours" is with the paper's decoder, "soft" with ours, each with the ends of its interval;
    cascades have no decoder and only the first. The verdict is on a direction, or whether code has
    the same number.

    Args:
        preset: whose runs are asked.
    """
    found = verdicts.runs_of(preset)
    rows = []
    for row in paper.reported().to_dict("records"):
        ours = ITEMS[row["item"]](row, found, preset)
        hard, soft = (ours.values.get(d, Interval(*[math.nan] * 3)) for d in DECODERS)
        rows.append(
            {
                "section": f"§{row['section']}",
                "number": named(row),
                "unit": row["unit"],
                "paper": row["value"],
                "ours": hard.value if ours.values else ours.exact,
                "low": hard.low,
                "high": hard.high,
                "soft": soft.value,
                "soft low": soft.low,
                "soft high": soft.high,
                "verdict": str(ours.verdict),
                "how it compares": ours.how,
                "runs": " ".join(r.id for r in ours.records),
                "page": ours.page,
                "made by": ours.made,
            }
        )
    return pd.DataFrame(rows)


def named(row: Printed) -> str:
    """What a row of the ledger is the number of, in words."""
    start = {"yes": "pre-trained", "no": "from scratch"}.get(row["pretrained"], "")
    start = start if row["item"] in ("fig3", "improvement") and row["section"] == "4.2" else ""
    parts = (row["method"], row["underlying"], start, row["condition"], row["metric"])
    return ", ".join(part.replace("_", " ").replace("=", " ") for part in parts if part)


def size(records: Sequence[Record], values: Mapping[str, Interval], printed: float) -> str:
    """How far a measured number may be compared with the printed one."""
    e = records[0].experiment
    if e.preset == "paper":
        inside = values["bin"].low <= printed <= values["bin"].high
        return f"the printed number lies {'inside' if inside else 'outside'} our interval"
    faces = records[0].environment["trained_on"]
    tries = len({r.experiment.try_ for r in records})
    counted = f"{tries} tries" if tries > 1 else "one try"
    return (
        f"not comparable in size: preset {e.preset}, width {e.width:g}, {faces:,} training faces,"
        f" {e.epochs} epochs, {counted}"
    )


def _missing(plan: str, preset: str, why: str = "no run yet") -> Ours:
    made = verdicts.train(plan, preset)
    return Ours(how=why, page=PAGES.get(plan.split("-")[0], ""), made=made)


def _measured(
    row: Printed,
    plan: str,
    values: Mapping[str, Interval],
    verdict: str,
    records: Sequence[Record],
    more: str = "",
) -> Ours:
    how = "; ".join(part for part in (more, size(records, values, row["value"])) if part)
    made = verdicts.train(plan, records[0].experiment.preset)
    return Ours(values, verdict, how, records, PAGES[plan.split("-")[0]], made=made)


def _protocol(row: Printed, found: Runs, preset: str) -> Ours:
    fact = facts.FACTS[row["section"], row["condition"], row["metric"]]()
    return _exact(row, fact)


def _exact(row: Printed, fact: facts.Fact, near: float = 0) -> Ours:
    if math.isnan(fact.value):
        return Ours(how=fact.note, page=fact.page)
    same = abs(fact.value - row["value"]) <= near * row["value"]
    return Ours(
        verdict=SAME if same else OTHER, how=fact.note, page=fact.page, exact=float(fact.value)
    )


def _params(row: Printed, found: Runs, preset: str) -> Ours:
    if row["method"] != "DCNet":
        return _exact(row, facts.cascade_parameters(), near=0.5 / 2)
    return _exact(row, facts.parameters(), near=0.5 / 85)


def _mtcnn(row: Printed, found: Runs, preset: str) -> Ours:
    ours = cascades.beside(row["method"], row["metric"], found, row["value"])
    if ours is None:
        return _missing(cascades.PLAN, preset)
    value, given, records, how = ours
    made = verdicts.train(cascades.PLAN, preset)
    return Ours({"bin": value}, given, how, records, PAGES[cascades.PLAN], made=made)


def _fig7(row: Printed, found: Runs, preset: str) -> Ours:
    return _exact(row, facts.picture(row["metric"]))


def _bars(row: Printed, found: Runs, preset: str) -> Ours:
    return Ours(how="only drawn as bars: there is no number to compare with", page="04_2_mtfl")


def _fig3(row: Printed, found: Runs, preset: str) -> Ours:
    underlying, method = row["underlying"].lower(), row["method"].split()[0]
    quoted = method == "TCDCN"
    pretrained = row["pretrained"] == "yes" and not quoted
    plan = {"resnet18": "fig3", "alexnet": "fig3-alexnet"}[underlying]
    plan = "fig3-pretrained" if pretrained else plan
    about = Claim("", "", "4.2", underlying, pretrained)
    group = Comparison([r for r in found(plan) if fits(about, r.experiment)])
    other = "XS" if row["item"] == "improvement" else method
    if not {method, other} <= group.tries.keys():
        no_weights = "needs ImageNet weights, which cannot be part of a repository"
        return _missing(plan, preset, no_weights if pretrained else "no run yet")
    records = list({r.id: r for m in (method, other) for r in group.tries[m]}.values())
    if row["item"] == "improvement":
        values = {d: group.difference("XS", method, decoder=d) for d in DECODERS}
        return _measured(row, plan, values, group.verdict(method, "XS"), records)
    values = {d: group.score(method, decoder=d) for d in DECODERS}
    if method != "DCNet":
        more = "verdict on DCNet < " + method
        more += "; quoted by the paper, trained elsewhere" if quoted else ""
        return _measured(row, plan, values, group.verdict("DCNet", method), records, more)
    (lowest,) = (c for c in paper.CLAIMS if c.key == f"4.2-{underlying}-lowest")
    return _measured(row, plan, values, group.judge(lowest), records, "verdict on the lowest rate")


def _scarce(found: Runs, ratio: float) -> Comparison:
    dataset = f"aflw-{round(100 * ratio)}"
    return Comparison([r for r in found("table1") if r.experiment.dataset == dataset])


def _table1(row: Printed, found: Runs, preset: str) -> Ours:
    group, method = _scarce(found, float(row["condition"].split("=")[1])), row["method"]
    if method not in group.tries:
        return _missing("table1", preset)
    values = {d: group.score(method, decoder=d) for d in DECODERS}
    if method != "DCNet":
        given, more = group.verdict("DCNet", method), f"verdict on DCNet < {method}"
        if row["condition"].endswith("=0.1") and method != "XS":
            given, more = group.verdict(method, "DCNet"), f"verdict on {method} < DCNet"
        return _measured(row, "table1", values, given, group.tries[method], more)
    key = f"4.3-{group.about.dataset.removeprefix('aflw-')}"
    (claim,) = (c for c in paper.CLAIMS if c.key in (f"{key}-lowest", f"{key}-worse"))
    more = f"verdict on: {claim.statement}"
    return _measured(row, "table1", values, group.judge(claim), group.tries[method], more)


def _improvement(row: Printed, found: Runs, preset: str) -> Ours:
    if row["section"] == "4.2":
        return _fig3(row, found, preset)
    if row["metric"] == "relative_change":
        group = _scarce(found, 0.1)
        if not {"RN-S", "DCNet"} <= group.tries.keys():
            return _missing("table1", preset)
        values = {d: group.difference("RN-S", "DCNet", decoder=d) for d in DECODERS}
        records = [*group.tries["RN-S"], *group.tries["DCNet"]]
        given = group.verdict("RN-S", "DCNet")
        return _measured(row, "table1", values, given, records, "in points, as the paper's is")
    groups = [_scarce(found, ratio) for ratio in (0.3, 0.5, 0.7, 0.9)]
    others = ("RN-S", "RN", "XS")
    if any(not {"DCNet", *others} <= group.tries.keys() for group in groups):
        return _missing("table1", preset, "needs all methods at all four shares")
    pick = min if row["metric"].endswith("_min") else max
    gaps = {
        d: pick(
            (g.difference(other, "DCNet", decoder=d) for g in groups for other in others),
            key=lambda gap: gap.value,
        )
        for d in DECODERS
    }
    claims = [c for c in paper.CLAIMS if c.section == "4.3" and c.key.endswith("-lowest")]
    given = verdicts.all_of(g.judge(c) for g, c in zip(groups, claims, strict=True))
    records = [r for g in groups for m in ("DCNet", *others) for r in g.tries[m]]
    more = "of twelve, so its interval is too narrow; verdict on the lowest rate at all four"
    return _measured(row, "table1", gaps, given, records, more)


def _fig5(row: Printed, found: Runs, preset: str) -> Ours:
    runs = [r for r in found("fig5") if r.experiment.dataset == "aflw-50"]
    draws = dclib.draws.pairs(runs)
    if not draws:
        return _missing("fig5", preset)
    told = {d: dclib.draws.summary(draws, d) for d in DECODERS}
    values = {
        "times_better": lambda one: one.share,
        "mean_improvement": lambda one: one.mean,
        "median_improvement": lambda one: one.median,
        "max_improvement": lambda one: Interval(one.maximum, math.nan, math.nan),
    }[row["metric"]]
    key = "majority" if row["metric"] == "times_better" else "mean"
    (claim,) = (c for c in paper.CLAIMS if c.key == f"4.3-draws-{key}")
    judged = verdicts.JUDGES["draws"](claim, found)
    more = f"{len(draws)} draws; verdict on: {claim.statement}"
    own = {d: values(one) for d, one in told.items()}
    return _measured(row, "fig5", own, judged.verdict, judged.records, more)


def _fig6(row: Printed, found: Runs, preset: str) -> Ours:
    runs = [r for r in found("fig6") if r.experiment.dataset == "mtfl"]
    records, evaluated = evaluations(runs)
    if not evaluated:
        return _missing("fig6", preset)
    _, task, _, _, _, block = row["condition"].split()  # "zero landmark features at block 3"
    study = Study(evaluated, "zeros")
    cell = ("landmarks" if task == "landmark" else task, int(block))
    changes = study.changes(cell)
    (given,), _ = study.raises([cell], preset)
    return _measured(row, "fig6", opposite(changes), given, records, "weights of the last epoch")


ITEMS: dict[str, Callable[[Printed, Runs, str], Ours]] = {
    "protocol": _protocol,
    "params": _params,
    "fig3": _fig3,
    "improvement": _improvement,
    "table1": _table1,
    "fig5": _fig5,
    "fig6": _fig6,
    "mtcnn": _mtcnn,
    "fig7": _fig7,
    "not_printed": _bars,
}
