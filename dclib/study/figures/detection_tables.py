"""Section 4.5 in numbers: the tables beside its figures."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dclib.mtcnn import stages
from dclib.mtcnn.experiment import METHODS, STAGES
from dclib.mtcnn.findings import ENOUGH, Findings
from dclib.mtcnn.records import CascadeRecord
from dclib.study.analysis.cascades import READINGS, Cascades, score
from dclib.study.figures.detection import References, entries, printed
from dclib.study.figures.detection_pictures import counts
from dclib.study.speed import detection
from dclib.study.verdicts.cascades import FACES, UNITS

PAIRS = (("DC-MTCNN", "MTCNNx"), ("DC-MTCNN", "MTCNN"), ("MTCNNx", "MTCNN"))
COLUMNS = {  # of the table of scores, by metric
    "failure rate": "failure rate",
    "failure rate of found faces": "of found faces",
    "mean error": "mean error",
    "missed faces": "missed",
}
MANY = 3  # further detections in a photo, from which on they are not told apart


def sizes() -> pd.DataFrame:
    """One row per stage: what it sees and says, and its parameters by method, at full width."""
    each = {method: stages.parameters(method) for method in METHODS}
    rows: list[dict[str, Any]] = [
        {
            "stage": stage,
            "input": f"{stages.SIZES[stage]} × {stages.SIZES[stage]} px",
            "tasks": ", ".join(stages.TASKS[stage]),
            "convolutions": ", ".join(map(str, stages.LAYOUTS[stage].channels)),
        }
        | {method: each[method][stage] for method in METHODS}
        for stage in STAGES
    ]
    rows.append(
        {"stage": "all", "input": "", "tasks": "", "convolutions": ""}
        | {method: sum(each[method].values()) for method in METHODS}
    )
    return pd.DataFrame(rows).set_index("stage")


def scores(group: Cascades, references: References) -> pd.DataFrame:
    """One row per method: parameters, tries and scores with their intervals; then what is printed.

    Failure rates in % of the faces, mean errors in % of the interocular distance. Of public
    detectors neither parameters nor tries are ours to say. Rows of the paper stand below cascades
    that were scored on its test faces.
    """
    rows = []
    for name, own in _entries(group, references).items():
        tries = group.tries.get(name, [])
        row: dict[str, Any] = {
            "cascade": name,
            "parameters (M)": _parameters(tries[0].environment) if tries else np.nan,
            "tries": str(len(tries)) if tries else "–",
        }
        for metric, column in COLUMNS.items():
            value = score(own, metric)
            row |= {column: value.value, f"{column} low": value.low, f"{column} high": value.high}
        rows.append(row)
        if own[0].faces == FACES and (said := printed(name)):
            beside = {COLUMNS[metric]: value for metric, value in said.items()}
            rows.append({"cascade": f"{name} in the paper", "tries": "–", **beside})
    return pd.DataFrame(rows).set_index("cascade") if rows else pd.DataFrame()


def _entries(group: Cascades, references: References) -> dict[str, list[Findings]]:
    return entries(group, references) if group.tries else {}


def _parameters(environment: Mapping[str, Any]) -> float:
    return float(sum(environment["parameters"].values())) / 1e6


def against(group: Cascades) -> pd.DataFrame:
    """One row per pair and reading of a score: the first minus the second, and the verdict.

    Differences are paired by faces; negative where the first is better.
    """
    rows = []
    for first, second in PAIRS:
        if not {first, second} <= group.tries.keys():
            continue
        on_paper = group.records[0].findings.faces == FACES
        for metric in READINGS:
            one, other = (printed(m).get(metric, np.nan) for m in (first, second))
            given = str(group.verdict(first, second, metric))
            for reading, gap in group.gaps(first, second, metric).items():
                rows.append(
                    {
                        "difference": f"{first} − {second}",
                        "score": _named(metric),
                        "reading": reading,
                        "value": gap.value,
                        "low": gap.low,
                        "high": gap.high,
                        "paper": one - other if on_paper else np.nan,
                        "verdict": given,
                    }
                )
    return pd.DataFrame(rows).set_index("difference") if rows else pd.DataFrame()


def _named(metric: str) -> str:
    """A score and the unit of its differences."""
    if metric == "missed faces":
        return metric
    name = "unfound on held-out photos" if metric == "unfound" else metric
    return f"{name}, {UNITS[metric]}"


def others(group: Cascades, references: References) -> pd.DataFrame:
    """One row per method and number of further detections in a photo: faces, and how many found.

    Found is a face that a detection overlaps by at least a half. Counts are means over tries.
    """
    rows = []
    for name, own in _entries(group, references).items():
        further = np.concatenate([np.minimum(f.others, MANY) for f in own])
        found = np.concatenate([f.overlaps >= ENOUGH for f in own])
        for number in range(MANY + 1):
            here = further == number
            rows.append(
                {
                    "cascade": name,
                    "further detections": f"{number}{' or more' * (number == MANY)}",
                    "faces": round(here.sum() / len(own)),
                    "found (%)": 100 * found[here].mean() if here.any() else np.nan,
                }
            )
        whole = {"faces": round(len(found) / len(own)), "found (%)": 100 * found.mean()}
        rows.append({"cascade": name, "further detections": "any"} | whole)
    return pd.DataFrame(rows).set_index("cascade") if rows else pd.DataFrame()


def by_stage(group: Cascades, references: References) -> pd.DataFrame:
    """One row per method: annotated faces left after each stage, in %; precision where known."""
    rows = []
    for name, own in _entries(group, references).items():
        row: dict[str, Any] = {"cascade": name}
        for stage in STAGES:
            row[f"after {stage}"] = 100 * np.mean([f.stages.get(stage, np.nan) for f in own])
        row["further detections per photo"] = np.mean([f.others.mean() for f in own])
        known = [f.precision for f in own if f.precision is not None]
        row["precision"] = 100 * np.mean(known) if known else np.nan
        rows.append(row)
    return pd.DataFrame(rows).set_index("cascade") if rows else pd.DataFrame()


def mined(group: Cascades) -> pd.DataFrame:
    """One row per method and stage: how many samples of each kind, as a mean over tries.

    P's are drawn, R's and O's found by the stages before; the last columns are the highest and the
    64th highest score that the stage before gave to what is no face.
    """
    rows = []
    for method, own in group.tries.items():
        for stage in STAGES:
            each = [record.mined[stage] for record in own]
            row: dict[str, Any] = {"cascade": method, "stage": stage}
            for kind in ("negative", "positive", "part", "landmark", "left out"):
                row[kind] = round(np.mean([one.get(kind, 0) for one in each]))
            known = [[h["score"] for h in one.get("hardest", [])] for one in each]
            known = [scores for scores in known if scores]
            row["hardest"] = np.mean([max(s) for s in known]) if known else np.nan
            row["64th, or last"] = np.mean([min(s) for s in known]) if known else np.nan
            rows.append(row)
    return pd.DataFrame(rows).set_index("cascade") if rows else pd.DataFrame()


def pictures(group: Cascades, references: References) -> pd.DataFrame:
    """One row per picture and cascade, each try: faces, how many were found, other detections."""
    named = [
        (f"{r.experiment.label}, try {r.experiment.try_}", r.findings) for r in group.records
    ] + list(references.items() if group.tries else ())
    rows = []
    for name in dict.fromkeys(name for _, f in named for name in f.pictures):
        for by, findings in named:
            if name not in findings.pictures:
                continue
            known = counts(name, findings.pictures[name])
            if known is None:
                continue
            faces, found, other = known
            row = {"picture": _photos(name), "by": by, "faces": faces, "found": found}
            rows.append(row | {"other detections": other})
    return pd.DataFrame(rows).set_index("picture") if rows else pd.DataFrame()


def _photos(name: str) -> str:
    """A picture's name, without the event that WIDER FACE says twice.

    >>> _photos("wider/7_Cheering_Cheering_7_17")
    'WIDER, Cheering 7_17'
    """
    return re.sub(r"wider/\d+_(\w+)_\1_(\d+_\d+)", r"WIDER, \1 \2", name)


def minutes(group: Cascades) -> pd.DataFrame:
    """One row per method: minutes of one core, for samples and training of each stage, and scoring.

    Means over tries, as the records have them; a machine that had other things to do counts in.
    """
    rows = []
    for method, own in group.tries.items():
        spent = [record.environment["seconds"] for record in own]
        parts = {part: np.mean([one.get(part, np.nan) for one in spent]) / 60 for part in spent[0]}
        rows.append({"cascade": method, **parts, "all": sum(parts.values())})
    return pd.DataFrame(rows).set_index("cascade") if rows else pd.DataFrame()


def rates(group: Cascades, tried: Sequence[CascadeRecord]) -> pd.DataFrame:
    """One row per cascade, of the page and tried before: rates, and how O does on held-out photos.

    Landmark errors in % of the interocular distance, the lowest of all epochs and the last; the
    share of squares that are rightly told to be a face or none, in %, in the last.
    """
    rows, before = [], {record.id for record in tried}
    for record in [*tried, *group.records]:
        e, epochs = record.experiment, pd.DataFrame(record.history["O"])
        validated = {"validation.error", "validation.accuracy"} <= set(epochs)
        errors = 100 * epochs["validation.error"] if validated else pd.Series([np.nan])
        rows.append(
            {
                "cascade": f"{e.label}, try {e.try_}",
                **{f"rate of {stage}": f"{lr:g}" for stage, lr in zip(STAGES, e.lr, strict=True)},
                "lowest error": errors.min(),
                "last error": errors.iloc[-1],
                "right": 100 * epochs["validation.accuracy"].iloc[-1] if validated else np.nan,
                "": "tried before" if record.id in before else "",
            }
        )
    return pd.DataFrame(rows).set_index("cascade") if rows else pd.DataFrame()


def best(group: Cascades, methods: Sequence[str] = ("DC-MTCNN", "MTCNNx", "MTCNN")) -> Any:
    """The record whose pictures are shown: the first try of the first of some methods."""
    return next((group.tries[m][0] for m in methods if m in group.tries), None)


def speed(record: Mapping[str, Any]) -> pd.DataFrame:
    """One row per kind of photo and public package: seconds for one, ours and theirs, their ratio.

    Medians over the rounds, with the least and the greatest ratio; and the faces that each found.

    Args:
        record: of `dclib.study.speed.detection`.
    """
    rows = []
    for (kind, who), each in detection.ratios(dict(record)).items():
        about, faces, seconds = (record[part][kind] for part in ("photos", "faces", "seconds"))
        rows.append(
            {
                "photos": _photos(kind),
                "count": about["count"],
                "first": "{} × {}".format(*about["size"]),
                "beside": who,
                "its faces": faces[who],
                "our faces": faces[detection.OURS],
                "its seconds": np.median(seconds[who]),
                "our seconds": np.median(seconds[detection.OURS]),
                "times as fast": np.median(each),
                "low": each.min(),
                "high": each.max(),
            }
        )
    return pd.DataFrame(rows).set_index("photos")
