"""Section 4.3, looked at closely: failure rates of kinds of faces, and the related tasks."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from dclib.data.faces import FaceSet
from dclib.records.runs import Record
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import tables
from dclib.study.figures.results import faces_of, in_order
from dclib.study.figures.scarcity import by_ratio, each, title

FIT = ("best fit", "second", "third", "worst fit")
YAW = ("up to 15°", "15° to 30°", "30° to 45°", "beyond 45°")


def by_fit(records: Sequence[Record]) -> pd.DataFrame:
    """Failure rates in the quarters of each ratio's test faces, by how well points are known.

    That is the label `fit` of `dclib.data.aflw`, which nothing is trained on. Empty where the faces
    are not on this machine, or have no such label; for the table see `sliced`.
    """

    def quarter(faces: FaceSet) -> np.ndarray:
        fit = np.asarray(faces.labels["fit"])
        return np.digitize(fit, np.quantile(fit, [0.25, 0.5, 0.75]))

    return sliced(records, "fit", quarter, FIT)


def by_yaw(records: Sequence[Record]) -> pd.DataFrame:
    """Failure rates by how far the head is turned to a side; for the table see `sliced`."""

    def turned(faces: FaceSet) -> np.ndarray:
        yaw = np.abs(np.asarray(faces.labels["yaw"], dtype=float))
        return np.where(np.isnan(yaw), -1, np.digitize(yaw, [15, 30, 45], right=True))

    return sliced(records, "yaw", turned, YAW)


def sliced(
    records: Sequence[Record],
    label: str,
    kind: Callable[[FaceSet], np.ndarray],
    names: Sequence[str],
) -> pd.DataFrame:
    """Failure rate by ratio, method, decoder and kind of face, in %.

    Args:
        label: what the faces must have.
        kind: from test faces to the number of each one's kind (N,); -1 for none.
        names: of the kinds.

    Returns:
        At each ratio a row with the number of faces and one for each method; a column for each
        decoder and kind. Empty where the faces are not on this machine, or have no such label.
    """
    rows: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for percent, group in by_ratio(records).items():
        faces = faces_of(next(iter(group.tries.values()))[0])
        if faces is None or label not in faces.labels:
            return pd.DataFrame()
        kinds = kind(faces)
        members = {
            (decoder, name): kinds == k
            for decoder in DECODERS
            for k, name in enumerate(names)
            if (kinds == k).any()
        }
        rows[title(percent), "faces"] = {column: int(m.sum()) for column, m in members.items()}
        for method in in_order(group.methods):
            scores = {d: group.scores(method, "failure rate", d) for d in DECODERS}
            rows[title(percent), method] = {
                column: float(scores[column[0]][:, own].mean()) for column, own in members.items()
            }
    there = {column for row in rows.values() for column in row}
    columns = [(d, n) for d in DECODERS for n in names if (d, n) in there]
    return pd.DataFrame(
        [[row.get(column, np.nan) for column in columns] for row in rows.values()],
        index=pd.MultiIndex.from_tuples(rows, names=["train / test", "method"]),
        columns=pd.MultiIndex.from_tuples(columns),
        dtype=object,  # numbers of faces are whole
    )


def related(records: Sequence[Record]) -> pd.DataFrame:
    """One row per ratio and method that trains them: accuracy of each related task, in %."""
    return each(records, tables.related)
