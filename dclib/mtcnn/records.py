"""Records of cascades: what a trained and scored cascade left behind, and where it is kept.

A record is a folder of two files, committed in `results/cascades` or in the store beside the
weights of the stages.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dclib import paths
from dclib.errors import DAMAGE, RunError
from dclib.files import write_atomically
from dclib.mtcnn.experiment import STAGES, CascadeExperiment
from dclib.mtcnn.findings import Findings, restore
from dclib.records.store import Shelf

FORMAT = 1
RECORD, ARRAYS = "cascade.json", "findings.npz.xz"


@dataclass(frozen=True)
class CascadeRecord:
    """A trained and scored cascade.

    Attributes:
        experiment: what was made.
        environment: versions, device, commit; by stage its parameters, and by what was done the
            seconds that it took.
        history: stage -> one row per epoch: losses by task, on held-out photos too, and seconds.
        mined: stage -> numbers of samples by kind ("negative", "positive", "part", "landmark"), how
            many were "left out", and the "hardest" negatives: photo, square and score of each.
        findings: what it made of the photos it was scored on.
        folder: where it is kept.
    """

    experiment: CascadeExperiment
    environment: dict[str, Any]
    history: dict[str, list[dict[str, Any]]]
    mined: dict[str, dict[str, Any]]
    findings: Findings
    folder: Path

    @property
    def id(self) -> str:
        return self.experiment.id

    @property
    def weights(self) -> dict[str, Path] | None:
        """The file of each stage's trained weights, where they were kept."""
        files = {stage: paths.store() / self.id / weights_name(stage) for stage in STAGES}
        return files if all(file.exists() for file in files.values()) else None


def weights_name(stage: str) -> str:
    """The name of the file with a stage's trained weights."""
    return f"{stage}.safetensors"


def save(
    folder: Path,
    experiment: CascadeExperiment,
    environment: Mapping[str, Any],
    history: Mapping[str, list[dict[str, Any]]],
    mined: Mapping[str, Mapping[str, Any]],
    findings: Findings,
) -> CascadeRecord:
    """Write a record and read it back; `folder` must exist.

    The record file comes last, so that a folder with one is complete.
    """
    write_atomically(folder / ARRAYS, findings.arrays())
    text = {
        "format": FORMAT,
        "experiment": json.loads(experiment.to_json()),
        "environment": environment,
        "history": history,
        "mined": mined,
        "findings": findings.about(),
    }
    write_atomically(folder / RECORD, (json.dumps(text) + "\n").encode())
    return read(folder)


def read(folder: Path) -> CascadeRecord:
    """The record in a folder.

    Raises:
        RunError: it is unreadable, of another version, or not the experiment its folder names.
    """
    path = folder / RECORD
    try:
        text = json.loads(path.read_text())
        if text["format"] != FORMAT:
            raise RunError(
                f"{path} has format {text['format']}, this version reads {FORMAT}: use the code"
                " that wrote it, or remove the folder and train again"
            )
        record = CascadeRecord(
            CascadeExperiment.from_dict(text["experiment"]),
            dict(text["environment"]),
            dict(text["history"]),
            dict(text["mined"]),
            restore(text["findings"], (folder / ARRAYS).read_bytes()),
            folder,
        )
    except DAMAGE as error:
        raise RunError(
            f"{path} is no record of a cascade of this version ({error}): restore it, or remove"
            " the folder and train again"
        ) from error
    if record.id != folder.name:
        raise RunError(f"{path} holds cascade {record.id}, not what its folder names: move it back")
    return record


SHELF = Shelf(
    *("cascades", RECORD, (ARRAYS,), read),
    whole=lambda record: record.findings,
    kind="cascade",
    listing="cascade --list",
)
load, existing = SHELF.load, SHELF.existing
find, every, committed, publish = SHELF.find, SHELF.every, SHELF.committed, SHELF.publish
