"""What the book's live page loads, and its model card: live_page.py RUN PHOTO.

RUN is a trained DCNet, its weights and the data set on this machine; PHOTO the group photo
of the Fifth Solvay Conference, 1600 x 1158 pixels. All goes into book/_static/live.
"""

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dclib import metrics
from dclib.data.augment import centre, normalise
from dclib.errors import DataError, RunError
from dclib.network import count_parameters
from dclib.records import runs
from dclib.records.runs import Record
from dclib.study.figures.detection_pictures import NOSES
from dclib.training.batches import face_sets, held_out
from dclib.use import browser, inference

FOLDER = Path(__file__).parents[1] / "book" / "_static" / "live"
TOP, BOTTOM, SIDE = 380, 730, 76  # rows of the photo that are shown, and pixels of a face's square
FIRST = (871, 640)  # the nose of the face that the page begins with
QUANTILE = 0.01  # of held-out faces, whose landmarks are less sure than what the page calls a face


def sureness(logits: torch.Tensor) -> np.ndarray:
    """The probability within two bins of the best, mean over axes, of each face (N,)."""
    shares = logits.softmax(dim=-1)  # (N, L, 2, bins)
    near = (torch.arange(shares.shape[-1]) - shares.argmax(-1, keepdim=True)).abs() <= 2
    return np.asarray((shares * near).sum(-1).mean(dim=(1, 2)))


@torch.no_grad()
def least(record: Record) -> float:
    """How sure landmarks must be for a square to be called a face."""
    train, _, _ = face_sets(record.experiment)
    faces = train.subset(held_out(train))
    net = inference.network(record)
    images, _ = centre(
        torch.as_tensor(faces.images), torch.as_tensor(faces.landmarks), faces.resolution
    )
    found = [sureness(net(normalise(part))[net.tasks[0].name]) for part in images.split(100)]
    return float(np.quantile(np.concatenate(found), QUANTILE))


def card(record: Record, parameters: int, size: float) -> str:
    """The model card, in MyST."""
    e, outcomes = record.experiment, record.outcomes
    decoders = {d: outcomes.errors[d] for d in ("bin", "soft")}
    failed = {d: f"{100 * metrics.failure_rate(errors):.1f}" for d, errors in decoders.items()}
    lines = {
        "network": f"{e.method} on {e.underlying}, width {e.width:g}, {e.resolution} px,"
        f" {parameters:,} parameters; {size:.1f} MB as 16-bit floats",
        "training": f"MTFL, {record.environment['trained_on']:,} faces, {e.epochs} epochs,"
        " from scratch",
        "failure rate": f"{failed['bin']} % with the paper's decoder, {failed['soft']} % soft, on"
        f" {outcomes.errors['bin'].shape[1]:,} test faces of MTFL, mean of the last five epochs",
        "mean error": f"{100 * decoders['soft'].mean():.1f} % of the distance between the eyes",
        "accuracy": ", ".join(f"{n} {100 * a.mean():.0f} %" for n, a in outcomes.accuracy.items()),
        "meant for": "this page, and `predict`: seeing what the method does. Not for decisions"
        " about people: its labels are guesses of how a face looks, from one data set of the"
        " 2010s, and gender has two values in it",
        "licence": "weights: for non-commercial research, as MTFL is; code: that of dclib",
        "run": f"`{record.id}`, trained by `python -m dclib train --run {record.id}`",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in lines.items())]) + "\n"


def faces(photo: Path) -> str:
    """The group photo and where its faces are, as a script."""
    picture = Image.open(photo).convert("L").crop((0, TOP, 1600, BOTTOM))
    code = io.BytesIO()
    picture.save(code, "JPEG", quality=80, optimize=True)
    noses = [[int(x), int(y) - TOP] for x, y in NOSES]
    content = {
        "photo": f"data:image/jpeg;base64,{base64.b64encode(code.getvalue()).decode()}",
        "side": SIDE,
        "noses": noses,
        "first": noses.index([FIRST[0], FIRST[1] - TOP]),
    }
    return f"const FACES = {json.dumps(content)};\n"


def main(run: str, photo: str) -> None:
    """Write all files of the page."""
    record = runs.load(run)
    net, e = inference.network(record), record.experiment
    about = {"run": record.id, "words": inference.words(record), "face": {"least": least(record)}}
    weights = browser.script(net, e.resolution, about)
    parameters = count_parameters(net)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "weights.js").write_text(weights)
    (FOLDER / "faces.js").write_text(faces(Path(photo)))
    (FOLDER / "card.md").write_text(card(record, parameters, 2 * parameters / 1e6))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: live_page.py RUN PHOTO")
    try:
        main(*sys.argv[1:])
    except (DataError, RunError, OSError) as error:
        sys.exit(f"error: {error}")
