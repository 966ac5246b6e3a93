"""Public detectors, scored as cascades are: what `data_scripts/public_detectors.py` wrote, read.

Their weights were trained on other photos than ours, so they are no rivals in a comparison of
methods; they show what the published cascade makes of the same faces, as do the published weights
in our own detection. Scores are committed, one file per detector.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dclib import paths
from dclib.data.photos import PhotoSet, load
from dclib.environment import code, machine
from dclib.errors import RunError
from dclib.files import content, reading, write_atomically
from dclib.mtcnn import evaluate, public
from dclib.mtcnn.detect import Cascade, Detections, Settings
from dclib.mtcnn.findings import Findings, restore

FORMAT = 1
FACES, HELDOUT = "mtfl-test", "lfwnet"


@dataclass(frozen=True)
class Reference:
    """What a public detector made of the photos that the paper's cascades are scored on."""

    name: str
    about: str  # its version and settings, a line for people
    environment: dict[str, Any]  # versions, settings, and the seconds for all photos
    findings: Findings  # as of a cascade; of a package only the recall after O is known


def score(file: Path) -> Reference:
    """Score the detections in a file that `data_scripts/public_detectors.py` wrote.

    Raises:
        RunError: the file cannot be read, or photos are missing in it.
        DataError: a photo set is not at hand.
    """
    remedy = "let data_scripts/public_detectors.py make it again"
    with reading(f"{file} holds no detections", remedy, StopIteration):
        told = json.loads(content(file))
        found = {name: _detections(values) for name, values in told["photos"].items()}
        name, settings = told["detector"], told["settings"]
        environment = {key: told[key] for key in ("settings", "versions", "python", "seconds")}
        package, version = next(iter(told["versions"].items()))
        about = (
            f"{package} {version} with its own weights, faces of {settings['minimum']} pixels or"
            f" more, thresholds {', '.join(map(str, settings['thresholds']))}"
        )
    for photos in (load(FACES)[1], evaluate.held_out(HELDOUT)):
        if absent := [photo for photo in photos.names if photo not in found]:
            raise RunError(
                f"{file} lacks {len(absent)} of {len(photos)} photos of {photos.name}, such as"
                f" {absent[0]}: {remedy}, with all of them"
            )

    def detect(photos: PhotoSet, number: int) -> Detections:
        return found[photos.names[number]]

    pictures = {n: p for n, p in evaluate.pictures(FACES).items() if p.file in found}
    shown = evaluate.on_pictures(pictures, lambda picture: found[picture.file])
    findings = evaluate.findings(FACES, HELDOUT, detect, shown, lambda photos: {})
    return Reference(name, about, environment, findings)


def score_weights(folder: Path) -> Reference:
    """Score the published weights in our own detection, which does as the publication does.

    It pads crops, and O sees each face twice, the second time mirrored. facenet-pytorch cuts off
    what lies beyond a photo and stretches the rest, and so misplaces the landmarks of faces that
    fill their photo, as those of the test crops do.

    Args:
        folder: `facenet_pytorch/data` of that package.

    Raises:
        DataError: weights or a photo set are missing.
    """
    settings, start = Settings(), time.perf_counter()
    cascade = Cascade(public.stages(folder), mirrored=True)
    findings = evaluate.evaluate(cascade, FACES, HELDOUT, settings)
    about = (
        "weights of Zhang et al. 2016 in dclib's detection, O's points averaged over mirror images,"
        f" faces of {settings.minimum:g} pixels or more, thresholds"
        f" {', '.join(map(str, settings.thresholds))}"
    )
    seconds = round(time.perf_counter() - start, 1)
    environment = {"settings": asdict(settings), **code(), **machine(), "seconds": seconds}
    return Reference("published weights", about, environment, findings)


def _detections(values: Mapping[str, Any]) -> Detections:
    boxes, scores, points = (
        np.array(values[name], dtype=np.float32) for name in ("boxes", "scores", "points")
    )
    count = len(scores)
    return Detections(boxes.reshape(count, 4), scores, points.reshape(count, 5, 2))


def path(name: str) -> Path:
    """Where the scores of a detector are, or would be."""
    return paths.results() / "detectors" / f"{name.replace(' ', '-')}.json"


def write(reference: Reference) -> Path:
    """Write the scores of a detector to the committed results."""
    file = path(reference.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = {
        "format": FORMAT,
        "name": reference.name,
        "about": reference.about,
        "environment": reference.environment,
        "findings": reference.findings.about(),
        "arrays": base64.b64encode(reference.findings.arrays()).decode(),
    }
    write_atomically(file, (json.dumps(text) + "\n").encode())
    return file


def find() -> dict[str, Reference]:
    """All that are there, by name.

    Raises:
        RunError: a file is corrupt or of another version.
    """
    files = sorted((paths.results() / "detectors").glob("*.json"))
    return {reference.name: reference for reference in map(_read, files)}


def _read(file: Path) -> Reference:
    remedy = "restore it, or make it again by `python -m dclib detectors`"
    with reading(f"{file} holds no scores of a detector", remedy):
        text = json.loads(file.read_bytes())
        if text["format"] != FORMAT:
            raise RunError(
                f"{file} has format {text['format']}, this version reads {FORMAT}: {remedy}"
            )
        findings = restore(text["findings"], base64.b64decode(text["arrays"], validate=True))
        return Reference(text["name"], text["about"], text["environment"], findings)
