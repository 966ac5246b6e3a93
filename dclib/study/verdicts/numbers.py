"""Every number that the paper prints, beside ours: measured, checked by code, or why not.

One row for each row of the ledger, which also says what of ours stands beside it, what the code
has where that needs no run, and the page. A number by itself is no claim, so none gets a verdict.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from dclib.study import paper, verdicts
from dclib.study.analysis import comparison, random_draws
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, NOWHERE, Interval
from dclib.study.paper import Claim
from dclib.study.verdicts import cascades, evidence, removal
from dclib.study.verdicts.judgement import Gaps, Runs, opposite

Printed = dict[str, Any]  # a row of the ledger
SAME, OTHER = "as in the paper", "not as in the paper"


class Ours(NamedTuple):
    """What was measured beside a printed number: by decoder, by which runs, in which setting."""

    values: Gaps
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
        measured = MEASURED[row["item"]](row, found) if row["ours"] else None
        ours = measured or Ours({}, (), str(row["how"]) or "no run yet")
        here = float(row["here"] or math.nan)
        near = 5e5 if row["item"] == "params" else 0.0  # parameters to the nearest million
        same = SAME if abs(here - row["value"]) <= near else OTHER
        hard, soft = (ours.values.get(d, NOWHERE) for d in DECODERS)
        rows.append(
            {
                "section": f"§{row['section']}",
                "number": named(row),
                "unit": row["unit"],
                "paper": row["value"],
                "ours": hard.value if ours.values else here,
                "low": hard.low,
                "high": hard.high,
                "soft": soft.value,
                "soft low": soft.low,
                "soft high": soft.high,
                "in the code": "" if math.isnan(here) else same,
                "how it compares": ours.how if math.isnan(here) else row["how"],
                "runs": " ".join(r.id for r in ours.records),
                "page": row["page"],
            }
        )
    return pd.DataFrame(rows)


def named(row: Printed) -> str:
    """What a row of the ledger is the number of, in words."""
    start = {"yes": "pre-trained", "no": "from scratch"}.get(row["pretrained"], "")
    start = start if row["item"] in ("fig3", "improvement") and row["section"] == "4.2" else ""
    parts = (row["method"], row["underlying"], start, row["condition"], row["metric"])
    return ", ".join(part.replace("_", " ").replace("=", " ") for part in parts if part)


def about(row: Printed, faces: str = "") -> Claim:
    """The data, backbone and start that ours must have, as those of a claim.

    A network whose rate the paper quotes, which has no weights to start from, starts from scratch.
    """
    start = row["pretrained"] == "yes" and row["method"] != "TCDCN"
    on, of = row["underlying"].lower(), faces or row["faces"]
    return Claim("", "", "", on, start, plan=row["plan"], dataset=of)


def rates(row: Printed, runs: Runs, faces: str = "", among: Sequence[str] = ()) -> Ours | None:
    """A method's failure rate, or one minus another's, in the setting with the most training.

    Args:
        faces: in place of the row's own.
        among: the methods that the setting must have, by default those of the row.
    """
    methods = row["ours"].split(" minus ")
    groups = evidence.of_claim(about(row, faces), runs(row["plan"]))
    group = evidence.best(groups, among or methods)
    if group is None:
        return None
    first, *second = methods
    values = {
        d: group.difference(first, second[0], decoder=d)
        if second
        else group.score(first, decoder=d)
        for d in DECODERS
    }
    records = [r for m in methods[::-1] for r in group.tries[m]]
    return Ours(values, records, evidence.described(group))


def improvement(row: Printed, runs: Runs) -> Ours | None:
    """DCNet's improvement over another method; or of those of Table 1 the least, or the most."""
    pick = {"least": min, "most": max}.get(row["ours"])
    if pick is None:
        return rates(row, runs)
    others = ("RN-S", "RN", "XS")
    found = [
        rates(row | {"ours": f"{m} minus DCNet"}, runs, f"aflw-{ratio}", ("DCNet", *others))
        for ratio in (30, 50, 70, 90)
        for m in others
    ]
    there = [one for one in found if one]
    if len(there) < len(found):
        return None
    one = pick(there, key=lambda one: one.values["bin"].value)
    return one._replace(how=f"of twelve, so its interval is too narrow; {one.how}")


def draws(row: Printed, runs: Runs) -> Ours | None:
    """What draws of random weights say."""
    records = evidence.drawn(about(row), runs)
    found = random_draws.pairs(records)
    if not found:
        return None
    told = {d: getattr(random_draws.summary(found, d), row["ours"]) for d in DECODERS}
    values = {
        d: one if isinstance(one, Interval) else Interval(one, math.nan, math.nan)
        for d, one in told.items()
    }
    return Ours(values, records, f"{len(found)} draws")


def removed(row: Printed, runs: Runs) -> Ours | None:
    """The change of the failure rate without a task's features; negative is worse, as printed."""
    records, found = removal.ablated(about(row), runs)
    if not found:
        return None
    changes = removal.Study(found, "zeros").changes(removal.cell_of(row["ours"]))
    return Ours(opposite(changes), records, evidence.described(Comparison(records)))


def cascade(row: Printed, runs: Runs) -> Ours | None:
    """A cascade's score, in the unit of the ledger."""
    group, method = cascades.on(row["faces"], runs(row["plan"])), row["ours"]
    if method not in group.tries:
        return None
    metric, parts = cascades.METRICS[row["metric"]]
    found, how = group.score(method, metric), cascades.setting(group, [method])
    value = Interval(*(part / parts for part in (found.value, found.low, found.high)))
    if metric == "failure rate":
        left_out = cascades.told(group.score(method, "failure rate of found faces"), "%")
        how = f"missed faces fail; {left_out} if they are left out; {how}"
    return Ours({"bin": value}, group.tries[method], how)


MEASURED: dict[str, Callable[[Printed, Runs], Ours | None]] = {  # by item of the ledger
    "fig3": rates,
    "table1": rates,
    "improvement": improvement,
    "fig5": draws,
    "fig6": removed,
    "mtcnn": cascade,
}
