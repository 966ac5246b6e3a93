"""Every number that the paper prints, beside ours: measured, checked by code, or why not.

One row for each row of the ledger, which also holds what the code has where that needs no run, and
the page. A number by itself is no claim, so none gets a verdict here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

import dclib.study.analysis.random_draws
from dclib.records.runs import Record
from dclib.study import paper, verdicts
from dclib.study.analysis import comparison
from dclib.study.analysis.comparison import Comparison, settings
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.verdicts import cascades
from dclib.study.verdicts.evidence import best, described
from dclib.study.verdicts.judgement import Runs, opposite
from dclib.study.verdicts.removal import Study, evaluations

Printed = Mapping[str, Any]  # a row of the ledger
Values = Mapping[str, Interval]  # by decoder
SAME, OTHER = "as in the paper", "not as in the paper"


class Ours(NamedTuple):
    """What was measured beside a printed number: by decoder, by which runs, in which setting."""

    values: Values
    records: Sequence[Any]
    how: str


def numbers(preset: str = comparison.REFERENCE) -> pd.DataFrame:
    """One row per number of the ledger, in its order, with ours beside it.

    "ours" is with the paper's decoder, "soft" with ours, each with the ends of its interval;
    cascades have no decoder and only the first. "in the code" says whether the code has the number.

    Args:
        preset: whose runs are asked.
    """
    found = verdicts.runs_of(preset)
    rows = []
    for row in paper.reported().to_dict("records"):
        measured = ITEMS[row["item"]](row, found) if row["item"] in ITEMS else None
        values, records, how = measured or Ours({}, (), str(row["how"]) or "no run yet")
        here = float(row["here"] or math.nan)
        hard, soft = (values.get(d, Interval(*[math.nan] * 3)) for d in DECODERS)
        rows.append(
            {
                "section": f"§{row['section']}",
                "number": named(row),
                "unit": row["unit"],
                "paper": row["value"],
                "ours": hard.value if values else here,
                "low": hard.low,
                "high": hard.high,
                "soft": soft.value,
                "soft low": soft.low,
                "soft high": soft.high,
                "in the code": "" if math.isnan(here) else SAME if _same(row) else OTHER,
                "how it compares": row["how"] if not math.isnan(here) else how,
                "runs": " ".join(r.id for r in records),
                "page": row["page"],
            }
        )
    return pd.DataFrame(rows)


def _same(row: Printed) -> bool:
    """Whether the code has a printed number; of parameters, to the nearest million."""
    near = 5e5 if row["item"] == "params" else 0.0
    return abs(float(row["here"]) - row["value"]) <= near


def named(row: Printed) -> str:
    """What a row of the ledger is the number of, in words."""
    start = {"yes": "pre-trained", "no": "from scratch"}.get(row["pretrained"], "")
    start = start if row["item"] in ("fig3", "improvement") and row["section"] == "4.2" else ""
    parts = (row["method"], row["underlying"], start, row["condition"], row["metric"])
    return ", ".join(part.replace("_", " ").replace("=", " ") for part in parts if part)


def _group(
    runs: Sequence[Record], dataset: str, underlying: str, start: str, methods: Sequence[str]
) -> Comparison | None:
    """The setting with the most training that has some methods, on data, backbone and start."""

    def like(group: Comparison) -> bool:
        e = group.about
        own = str(e.pretrained or "no").split("-")[0].split("_")[0]
        return (e.dataset, e.underlying, e.weighting, own) == (
            dataset,
            underlying,
            "per_output",
            start,
        )

    return best([g for g in settings(runs) if like(g)], methods)


def _rates(group: Comparison | None, method: str, other: str = "") -> Ours | None:
    """A method's failure rate, or how much lower it is than another's."""
    if group is None:
        return None
    methods = [m for m in (method, other) if m]
    if other:
        values = {d: group.difference(other, method, decoder=d) for d in DECODERS}
    else:
        values = {d: group.score(method, decoder=d) for d in DECODERS}
    return Ours(values, [r for m in methods for r in group.tries[m]], described(group))


def _fig3(row: Printed, found: Runs) -> Ours | None:
    underlying, method = row["underlying"].lower(), row["method"].split()[0]
    start = "imagenet" if row["pretrained"] == "yes" and method != "TCDCN" else "no"
    other = "XS" if row["item"] == "improvement" else ""
    methods = [m for m in (method, other) if m]
    return _rates(_group(found("fig3"), "mtfl", underlying, start, methods), method, other)


def _scarce(found: Runs, ratio: float, methods: Sequence[str]) -> Comparison | None:
    dataset = f"aflw-{round(100 * ratio)}"
    return _group(found("table1"), dataset, "resnet18", "imagenet", methods)


def _table1(row: Printed, found: Runs) -> Ours | None:
    ratio, method = float(row["condition"].split("=")[1]), row["method"]
    return _rates(_scarce(found, ratio, [method]), method)


def _improvement(row: Printed, found: Runs) -> Ours | None:
    if row["section"] == "4.2":
        return _fig3(row, found)
    if row["metric"] == "relative_change":
        return _rates(_scarce(found, 0.1, ["RN-S", "DCNet"]), "DCNet", "RN-S")
    others = ("RN-S", "RN", "XS")
    groups = [_scarce(found, ratio, ["DCNet", *others]) for ratio in (0.3, 0.5, 0.7, 0.9)]
    gaps = [_rates(group, "DCNet", other) for group in groups for other in others]
    there = [gap for gap in gaps if gap]
    if len(there) < len(gaps):
        return None
    pick = min if row["metric"].endswith("_min") else max
    one = pick(there, key=lambda gap: gap.values["bin"].value)
    return one._replace(how=f"of twelve, so its interval is too narrow; {one.how}")


def _fig5(row: Printed, found: Runs) -> Ours | None:
    runs = [
        r
        for r in found("fig5")
        if r.experiment.dataset == "aflw-50"
        and str(r.experiment.pretrained).startswith("imagenet")
        and any(weight for _, weight in r.experiment.related)
    ]
    draws = dclib.study.analysis.random_draws.pairs(runs)
    if not draws:
        return None
    told = {d: dclib.study.analysis.random_draws.summary(draws, d) for d in DECODERS}
    values: Callable[[Any], Interval] = {
        "times_better": lambda one: one.share,
        "mean_improvement": lambda one: one.mean,
        "median_improvement": lambda one: one.median,
        "max_improvement": lambda one: Interval(one.maximum, math.nan, math.nan),
    }[row["metric"]]
    return Ours({d: values(one) for d, one in told.items()}, runs, f"{len(draws)} draws")


def _fig6(row: Printed, found: Runs) -> Ours | None:
    _, task, _, _, _, block = row["condition"].split()  # "zero landmark features at block 3"
    for group in settings(found("fig6")):
        records, evaluated = evaluations(group)
        if evaluated and group.about.dataset == "mtfl" and not group.about.pretrained:
            cell = ("landmarks" if task == "landmark" else task, int(block))
            changes = Study(evaluated, "zeros").changes(cell)
            return Ours(opposite(changes), records, described(Comparison(records)))
    return None


def _mtcnn(row: Printed, found: Runs) -> Ours | None:
    ours = cascades.beside(row["method"], row["metric"], found)
    return ours and Ours({"bin": ours[0]}, *ours[1:])


ITEMS: dict[str, Callable[[Printed, Runs], Ours | None]] = {
    "fig3": _fig3,
    "improvement": _improvement,
    "table1": _table1,
    "fig5": _fig5,
    "fig6": _fig6,
    "mtcnn": _mtcnn,
}
