"""Records of cascades: what a trained and scored cascade left behind, and where it is kept.

A record is a folder of two files, committed in `results/cascades` or in the store beside the
weights of the stages.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dclib import paths
from dclib.mtcnn.experiment import STAGES, CascadeExperiment
from dclib.mtcnn.findings import Findings, restore
from dclib.records.store import Kept, Shelf

RECORD, ARRAYS = "cascade.json", "findings.npz.xz"


@dataclass(frozen=True)
class CascadeRecord(Kept):
    """A trained and scored cascade."""

    experiment: CascadeExperiment
    # versions, device, commit; by stage its parameters, and by what was done its seconds
    environment: dict[str, Any]
    # stage -> a row per epoch: losses by task, on held-out photos too, and seconds
    history: dict[str, list[dict[str, Any]]]
    # stage -> numbers of samples by kind ("negative", "positive", "part", "landmark"), how many
    # were "left out", and the "hardest" negatives: photo, square and score of each
    mined: dict[str, dict[str, Any]]
    findings: Findings  # what it made of the photos it was scored on
    folder: Path
    digests: dict[str, str] = field(default_factory=dict)  # none in format 1

    @property
    def weights(self) -> dict[str, Path] | None:
        """The file of each stage's trained weights, where they were kept."""
        for place in (self.folder, paths.store() / self.id):
            files = {stage: place / weights_name(stage) for stage in STAGES}
            if all(file.exists() for file in files.values()):
                return files
        return None


def weights_name(stage: str) -> str:
    """The name of the file with a stage's trained weights."""
    return f"{stage}.safetensors"


def save(
    folder: Path,
    experiment: CascadeExperiment,
    environment: dict[str, Any],
    history: dict[str, list[dict[str, Any]]],
    mined: dict[str, dict[str, Any]],
    findings: Findings,
) -> CascadeRecord:
    """Write a record and read it back; `folder` must exist."""
    said = {"environment": environment, "history": history, "mined": mined}
    said["findings"] = findings.about()
    return SHELF.save(folder, experiment, {ARRAYS: findings.arrays()}, said)


def _parse(text: dict[str, Any], folder: Path) -> CascadeRecord:
    arrays = (folder / ARRAYS).read_bytes()
    record = CascadeRecord(
        CascadeExperiment.from_dict(text["experiment"]),
        dict(text["environment"]),
        dict(text["history"]),
        dict(text["mined"]),
        restore(text["findings"], arrays),
        folder,
        text.get("digests", {}),
    )
    record.check(ARRAYS, arrays)
    return record


SHELF = Shelf(
    *("cascades", RECORD, (ARRAYS,), _parse),
    whole=lambda record: record.findings,
    kind="cascade",
    listing="cascade --list",
)
read, load, existing, find = SHELF.read, SHELF.load, SHELF.existing, SHELF.find
every, committed, publish = SHELF.every, SHELF.committed, SHELF.publish
