"""What the paper reports: a ledger of its numbers, and its claims with how each is to be judged.

The ledger, `reported.csv` beside this file, holds every number of the paper's text and tables, one
a row, with the section that prints it. Numbers drawn only as bars are listed with no value.

`claims.csv` holds the claims, one a row: to add one, add a row. `dclib.study.verdicts` judges them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd

Metric = Literal["failure rate", "mean error"]

LEDGER = Path(__file__).with_name("reported.csv")
CLAIMED = Path(__file__).with_name("claims.csv")


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


def beside(item: str, ours: str, **conditions: Any) -> float | None:
    """The number of the ledger beside which one of ours stands; None if the paper prints none.

    Args:
        ours: what of ours, such as a method or a cell of Fig. 6.

    >>> beside("table1", "DCNet", faces="aflw-10"), beside("fig6", "profile 5")
    (60.64, -83.87)
    """
    rows = reported(item, ours=ours, **conditions)["value"]
    return float(rows.iloc[0]) if len(rows) else None


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


def difference(first: str, second: str, underlying: str, pretrained: bool = False) -> float | None:
    """The paper's failure rate of one method minus another's, in points; None if not printed.

    >>> round(difference("DCNet", "XS", "resnet18"), 2)
    -3.48
    """
    one, other = (failure_rate(method, underlying, pretrained) for method in (first, second))
    return None if one is None or other is None else one - other


@lru_cache(maxsize=16)
def training(dataset: str) -> float:
    """How much the paper trains on a data set, or on one like it: faces times epochs.

    >>> training("mtfl"), training("aflw-50")
    (3000000.0, 316650.0)
    """
    if not dataset.startswith("aflw-"):
        faces = number("protocol", section="4.2", condition="training faces")
        return faces * number("protocol", section="4.2", condition="epochs")
    share = int(dataset.removeprefix("aflw-")) / 100
    faces = number("protocol", condition="faces with all landmarks visible")
    return share * faces * number("protocol", section="4.3", condition="epochs")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or a control, and what bears it out.

    Attributes:
        key: names the claim.
        statement: what is claimed, in our words.
        section: where in the paper.
        underlying: the underlying network; "" where it is about none, or about several.
        pretrained: whether it starts from ImageNet weights, or the name of other weights; None
            where it is about no start.
        comparisons: pairs of methods; the claim is that the first has the lower value.
        margin: points by which the first may lie above the second all the same.
        metric: the value compared.
        control: not a statement of the paper, but what its explanation needs to be true.
        source: what in the section says it: its text, a table, a caption.
        kind: of evidence, its rule is a row of `rules.csv`.
        plan: whose runs it is judged by; "" where it needs none, or none are planned.
        preset: of the longest of them that are planned; "" where it is the one that is asked.
        dataset: the faces of these runs.
        detail: what this kind of evidence needs to know besides.
        page: where in the book the evidence is shown.
        reason: why it is not judged, where it is not.
        case: which of several with the same statement it is.
        main: one of the main claims, over which verdicts are also corrected for their number.
    """

    key: str
    statement: str
    section: str
    underlying: str = ""
    pretrained: bool | str | None = False
    comparisons: tuple[tuple[str, str], ...] = ()
    metric: Metric = "failure rate"
    control: bool = False
    source: str = "text"
    kind: str = "lower"
    plan: str = ""
    preset: str = ""
    dataset: str = "mtfl"
    detail: tuple[str, ...] = ()
    page: str = ""
    reason: str = ""
    case: str = ""
    main: bool = False
    margin: float = 0.0

    @property
    def methods(self) -> list[str]:
        """Every method that it compares, each once."""
        return list(dict.fromkeys(method for pair in self.comparisons for method in pair))

    @classmethod
    def from_row(cls, row: dict[str, str]) -> "Claim":
        """A claim from its words in `claims.csv`, where lists are parted by semicolons."""
        read: dict[str, Callable[[str], Any]] = {
            "pretrained": lambda text: _STARTS.get(text, text),
            "comparisons": lambda text: tuple(_pair(part) for part in _parts(text)),
            "control": lambda text: text == "yes",
            "main": lambda text: text == "yes",
            "margin": lambda text: float(text or 0),
            "detail": _parts,
        }
        return cls(**{f.name: read.get(f.name, str)(row[f.name]) for f in fields(cls)})


_STARTS: dict[str, bool | None] = {"imagenet": True, "no": False, "": None}


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.split("; ")) if text else ()


def _pair(text: str) -> tuple[str, str]:
    first, second = text.split(" < ")
    return first, second


def _claimed() -> tuple[Claim, ...]:
    rows = pd.read_csv(CLAIMED, dtype=str, keep_default_na=False)
    return tuple(Claim.from_row(row) for row in rows.to_dict("records"))


CLAIMS = _claimed()


def claims(underlying: str | None = None, section: str | None = None) -> list[Claim]:
    """The claims on an underlying network, of a section, or all."""
    return [
        claim
        for claim in CLAIMS
        if underlying in (None, claim.underlying) and section in (None, claim.section)
    ]
