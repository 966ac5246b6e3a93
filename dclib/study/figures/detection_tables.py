"""Section 4.5 in numbers: the tables beside its figures."""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from dclib.mtcnn import stages
from dclib.mtcnn.experiment import METHODS, STAGES
from dclib.mtcnn.findings import ENOUGH
from dclib.mtcnn.records import CascadeRecord
from dclib.study.analysis.cascades import READINGS, Cascades, score
from dclib.study.figures.detection import References, entries, printed
from dclib.study.figures.detection_pictures import counts
from dclib.study.figures.plots import columns, table
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
    whole = {method: sum(each[method].values()) for method in METHODS}
    rows.append({"stage": "all", "input": "", "tasks": "", "convolutions": ""} | whole)
    return table(rows, "stage")


def scores(group: Cascades, references: References) -> pd.DataFrame:
    """One row per method: parameters, tries and scores with their intervals; then what is printed.

    Failure rates in % of the faces, mean errors in % of the interocular distance. Of public
    detectors neither parameters nor tries are ours to say. Rows of the paper stand below cascades
    that were scored on its test faces.
    """
    rows = []
    for name, own in entries(group, references).items():
        tries = group.tries.get(name, [])
        parameters = sum(tries[0].environment["parameters"].values()) / 1e6 if tries else np.nan
        found = columns({column: score(own, metric) for metric, column in COLUMNS.items()})
        told = {"parameters (M)": parameters, "tries": str(len(tries)) if tries else "–"}
        rows.append({"cascade": name} | told | found)
        if own[0].faces == FACES and (said := printed(name)):
            beside = {COLUMNS[metric]: value for metric, value in said.items()}
            rows.append({"cascade": f"{name} in the paper", "tries": "–"} | beside)
    return table(rows, "cascade")


def against(group: Cascades) -> pd.DataFrame:
    """One row per pair and reading of a score: the first minus the second, and the verdict.

    Differences are paired by faces; negative where the first is better.
    """
    rows = [
        {
            "difference": f"{first} − {second}",
            "score": _named(metric),
            "reading": reading,
            "value": gap.value,
            "low": gap.low,
            "high": gap.high,
            "paper": _printed(group, first, metric) - _printed(group, second, metric),
            "verdict": str(group.verdict(first, second, metric)),
        }
        for first, second in PAIRS
        if {first, second} <= group.tries.keys()
        for metric in READINGS
        for reading, gap in group.gaps(first, second, metric).items()
    ]
    return table(rows, "difference")


def _printed(group: Cascades, method: str, metric: str) -> float:
    """What the paper prints; NaN where it does not, and beside other faces than its own."""
    on_paper = group.records[0].findings.faces == FACES
    return printed(method).get(metric, np.nan) if on_paper else np.nan


def _named(metric: str) -> str:
    """A score and the unit of its differences."""
    if metric == "missed faces":
        return metric
    name = "missed on held-out photos" if metric == "unfound" else metric
    return f"{name}, {UNITS[metric]}"


def others(group: Cascades, references: References) -> pd.DataFrame:
    """One row per method and number of further detections in a photo: faces, and how many found.

    Found is a face that a detection overlaps by at least a half. Counts are means over tries.
    """
    rows = []
    for name, own in entries(group, references).items():
        further = np.concatenate([np.minimum(f.others, MANY) for f in own])
        found = np.concatenate([f.overlaps >= ENOUGH for f in own])
        kinds = {f"{k}{' or more' * (k == MANY)}": further == k for k in range(MANY + 1)}
        for kind, here in (kinds | {"any": further >= 0}).items():
            row = {"cascade": name, "further detections": kind}
            share = 100 * found[here].mean() if here.any() else np.nan
            rows.append(row | {"faces": round(here.sum() / len(own)), "found (%)": share})
    return table(rows, "cascade")


def by_stage(group: Cascades, references: References) -> pd.DataFrame:
    """One row per method: annotated faces left after each stage, in %; precision where known."""
    rows = []
    for name, own in entries(group, references).items():
        known = [f.precision for f in own if f.precision is not None]
        left = {s: 100 * np.mean([f.stages.get(s, np.nan) for f in own]) for s in STAGES}
        row: dict[str, Any] = {"cascade": name} | {
            f"after {stage}": share for stage, share in left.items()
        }
        row["further detections per photo"] = np.mean([f.others.mean() for f in own])
        row["precision"] = 100 * np.mean(known) if known else np.nan
        rows.append(row)
    return table(rows, "cascade")


def mined(group: Cascades) -> pd.DataFrame:
    """One row per method and stage: how many samples of each kind, as a mean over tries.

    P's are drawn, R's and O's found by the stages before; the last columns are the highest and the
    64th highest score that the stage before gave to what is no face.
    """
    rows = []
    for method, stage in product(group.tries, STAGES):
        each = [record.mined[stage] for record in group.tries[method]]
        row: dict[str, Any] = {"cascade": method, "stage": stage}
        for kind in ("negative", "positive", "part", "landmark", "left out"):
            row[kind] = round(np.mean([one.get(kind, 0) for one in each]))
        known = [[h["score"] for h in one["hardest"]] for one in each if one.get("hardest")]
        row["hardest"] = np.mean([max(s) for s in known]) if known else np.nan
        row["64th, or last"] = np.mean([min(s) for s in known]) if known else np.nan
        rows.append(row)
    return table(rows, "cascade")


def pictures(group: Cascades, references: References) -> pd.DataFrame:
    """One row per picture and cascade, each try: faces, how many were found, other detections."""
    own = {f"{r.experiment.label}, try {r.experiment.try_}": r.findings for r in group.records}
    named = own | dict(references if group.tries else {})
    rows = []
    for name in dict.fromkeys(name for findings in named.values() for name in findings.pictures):
        for by, findings in named.items():
            shown = findings.pictures.get(name)
            if shown and (known := counts(name, shown)):
                told = zip(("faces", "found", "other detections"), known, strict=True)
                rows.append({"picture": _photos(name), "by": by} | dict(told))
    return table(rows, "picture")


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
    return table(rows, "cascade")


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
    return table(rows, "cascade")


def best(group: Cascades) -> CascadeRecord | None:
    """The record whose pictures are shown: the first try of the method nearest to the paper's."""
    return group.tries[group.methods[-1]][0] if group.tries else None


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
    return table(rows, "photos")
