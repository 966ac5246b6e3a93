"""What the paper reports: a ledger of its numbers, and its claims as comparisons to be judged.

The ledger, `reported.csv` beside this file, holds every number of the paper's text and tables, one
a row, with the section that prints it. Numbers drawn only as bars are listed with no value.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd

Metric = Literal["failure rate", "mean error"]

LEDGER = Path(__file__).with_name("reported.csv")


@lru_cache(maxsize=1)
def _ledger() -> pd.DataFrame:
    rows = pd.read_csv(LEDGER, dtype=str, keep_default_na=False)
    return rows.assign(value=pd.to_numeric(rows["value"]))


def reported(item: str | None = None, **conditions: Any) -> pd.DataFrame:
    """The rows of the ledger that meet all conditions.

    Args:
        item: "fig3", "table1", "fig5", "fig6", "mtcnn", "params", "improvement", "protocol", ...
        conditions: columns and what they hold, in any spelling of small and capital letters; true
            and false stand for "yes" and "no". A condition that is None is left out.

    Raises:
        ValueError: a condition on a column that does not exist.

    >>> list(reported("table1", method="DCNet")["value"])
    [60.64, 29.73, 20.77, 18.5, 10.82]
    """
    rows = _ledger()
    for column, wanted in {"item": item, **conditions}.items():
        if column not in rows:
            raise ValueError(f"the ledger has no column {column!r}; it has {', '.join(rows)}")
        if wanted is None:
            continue
        if column == "value":
            rows = rows[rows[column] == wanted]
            continue
        text = {True: "yes", False: "no"}.get(wanted, wanted)
        rows = rows[rows[column].str.casefold() == str(text).casefold()]
    return rows.reset_index(drop=True)


def number(item: str | None = None, **conditions: Any) -> float:
    """The one number of the ledger that meets all conditions, in the unit of its row.

    Raises:
        ValueError: none or several rows meet them.

    >>> number("fig3", underlying="resnet18", pretrained=False, method="DCNet")
    14.95
    """
    rows = reported(item, **conditions)
    if len(rows) != 1:
        asked = {"item": item, **conditions}
        raise ValueError(f"{len(rows)} rows of the ledger meet {asked}: ask for exactly one")
    return float(rows["value"].iloc[0])


def failure_rate(method: str, underlying: str, pretrained: bool = False) -> float | None:
    """The landmark failure rate in % that section 4.2 prints for a method; None if it does not.

    Of ANx, RNx and XSx the text gives one number each without saying whether they were
    pre-trained; a widened network cannot be, so these count as un-pre-trained.

    >>> failure_rate("RNx", "resnet18")
    16.75
    >>> failure_rate("RN-S", "resnet18") is None  # only drawn, as a bar of Fig. 3
    True
    """
    rows = reported("fig3", method=method, underlying=underlying)
    rows = rows[rows["pretrained"].isin(["yes"] if pretrained else ["no", ""])]
    return float(rows["value"].iloc[0]) if len(rows) else None


@dataclass(frozen=True)
class Claim:
    """A statement that one method does better than others, each comparison to be borne out.

    Attributes:
        key: names the claim.
        statement: what is claimed, in our words.
        section: where in the paper.
        underlying: the underlying network.
        pretrained: whether it starts from ImageNet weights.
        comparisons: pairs of methods; the claim is that the first has the lower value.
        metric: the value compared.
        control: not a statement of the paper, but what its explanation needs to be true.
    """

    key: str
    statement: str
    section: str
    underlying: str
    pretrained: bool
    comparisons: tuple[tuple[str, str], ...]
    metric: Metric = "failure rate"
    control: bool = False


def difference(first: str, second: str, underlying: str, pretrained: bool = False) -> float | None:
    """The paper's failure rate of one method minus another's, in points; None if not printed.

    >>> round(difference("DCNet", "XS", "resnet18"), 2)
    -3.48
    """
    one, other = (failure_rate(method, underlying, pretrained) for method in (first, second))
    return None if one is None or other is None else one - other


def _unpretrained(underlying: str, short: str) -> tuple[Claim, ...]:
    """The claims of section 4.2 on one underlying network; `short` is the paper's RN or AN."""
    single, hard, wide = f"{short}-S", short, f"{short}x"

    def claim(key: str, statement: str, *pairs: tuple[str, str], **more: Any) -> Claim:
        return Claim(f"4.2-{underlying}-{key}", statement, "4.2", underlying, False, pairs, **more)

    others = (single, hard, wide, "XS", "XSx")
    return (
        claim(
            "lowest",
            "DCNet has the lowest failure rate of all methods",
            *(("DCNet", other) for other in others),
        ),
        claim(
            "lowest-error",
            "DCNet has the lowest mean error of all methods",
            *(("DCNet", other) for other in others),
            metric="mean error",
        ),
        claim("stitch", "DCNet fails less often than Cross-Stitch", ("DCNet", "XS")),
        claim(
            "widening",
            "Hard sharing fails less often when widened to DCNet's size",
            (wide, hard),
        ),
        claim(
            "equal-size",
            "At equal size, DCNet fails less often than hard sharing",
            ("DCNet", wide),
        ),
        claim(
            "control-tasks",
            "The related tasks help DCNet: it beats a single task of equal size, and itself with"
            " their weights at zero",
            ("DCNet", f"{single}x"),
            ("DCNet", "DCNet (related 0)"),
            control=True,
        ),
        claim(
            "control-collaboration",
            "Collaboration helps: DCNet beats hard sharing and Cross-Stitch of equal size",
            ("DCNet", wide),
            ("DCNet", "XSx"),
            control=True,
        ),
    )


CLAIMS: tuple[Claim, ...] = (
    *_unpretrained("resnet18", "RN"),
    *_unpretrained("alexnet", "AN"),
    *(
        Claim(
            f"4.2-{underlying}-pretrained",
            "Pre-trained, DCNet has the lowest failure rate of all methods",
            "4.2",
            underlying,
            True,
            tuple(("DCNet", other) for other in (f"{short}-S", short, "XS")),
        )
        for underlying, short in (("resnet18", "RN"), ("alexnet", "AN"))
    ),
)


def claims(underlying: str | None = None, section: str | None = None) -> list[Claim]:
    """The claims on an underlying network, of a section, or all."""
    return [
        claim
        for claim in CLAIMS
        if underlying in (None, claim.underlying) and section in (None, claim.section)
    ]
