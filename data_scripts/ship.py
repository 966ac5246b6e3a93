"""Trained weights for everybody: ship.py ID, of a run or a cascade whose weights are here.

Writes its record, its weights at half precision and a model card to results/weights/ID, which
`python -m dclib predict` and `detect` take from then on, in place of what was there. Of a DCNet
on ResNet18 also what the book's live page loads, to book/_static/live; its data set must be here.
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
from dclib.data.faces import split_validation
from dclib.errors import DataError, RunError
from dclib.mtcnn import records
from dclib.network import count_parameters
from dclib.records import runs
from dclib.records.runs import Record
from dclib.study.figures.detection_pictures import NOSES
from dclib.tasks import describe
from dclib.training.batches import face_sets
from dclib.use import browser, inference
from dclib.use.prediction import positions
from dclib.use.shipped import ship

BOOK = Path(__file__).parents[1] / "book"
LIVE, PHOTO = BOOK / "_static" / "live", BOOK / "images" / "solvay_1927.jpg"
TOP, BOTTOM, SIDE = 380, 730, 76  # rows of the photo that are shown, and pixels of a face's square
FIRST = (871, 640)  # the nose of the face that the page begins with
QUANTILE = 0.01  # of held-out faces, whose landmarks are less sure than what the page calls a face


def sureness(logits: torch.Tensor) -> np.ndarray:
    """The probability within two bins of the best, mean over axes, of each face (N,)."""
    shares = logits.softmax(dim=-1)  # (N, L, 2, bins)
    near = (torch.arange(shares.shape[-1]) - shares.argmax(-1, keepdim=True)).abs() <= 2
    return np.asarray((shares * near).sum(-1).mean(dim=(1, 2)))


@torch.no_grad()
def on_held_out(record: Record, shipped: Record) -> tuple[float, float]:
    """On held-out faces: how sure landmarks must be for a square to be called a face, and how far
    half precision moves a landmark at most, in pixels of the network's input."""
    train, _, _ = face_sets(record.experiment)
    held = train.subset(split_validation(train)[1])
    images, _ = centre(
        torch.as_tensor(held.images), torch.as_tensor(held.landmarks), held.resolution
    )
    whole, half = inference.network(record), inference.network(shipped)
    task = describe(half.tasks)[0]  # the landmarks
    sure, moved = [], 0.0
    for part in images.split(100):
        logits = [net(normalise(part))[task["name"]] for net in (whole, half)]
        sure.append(sureness(logits[1]))
        before, after = (positions(of.numpy(), task) for of in logits)
        moved = max(moved, float(np.abs(before - after).max()))
    return float(np.quantile(np.concatenate(sure), QUANTILE)), moved


USE = """Seeing what the method does, and to start from. Not for decisions about people: {why}"""
LICENCE = "weights: for non-commercial research, as {data} is; code: that of dclib"


def card(lines: dict[str, str]) -> str:
    """A model card, in Markdown."""
    return "".join(f"- **{name}:** {text}\n" for name, text in lines.items())


def of_network(record: Record, parameters: int, moved: float) -> dict[str, str]:
    """The lines of a network's card; errors are those of its record."""
    e, outcomes = record.experiment, record.outcomes
    decoders = {d: outcomes.errors[d] for d in ("bin", "soft")}
    failed = {d: f"{100 * metrics.failure_rate(errors):.1f}" for d, errors in decoders.items()}
    data = "MTFL" if e.dataset == "mtfl" else e.dataset
    return {
        "network": f"{e.method} on {e.underlying}, width {e.width:g}, {e.resolution} px,"
        f" {parameters:,} parameters, as 16-bit floats",
        "training": f"{data}, {record.environment['trained_on']:,} faces, {e.epochs} epochs,"
        f" preset `{e.preset}`, " + (f"from {e.pretrained}" if e.pretrained else "from scratch"),
        "failure rate": f"{failed['bin']} % with the paper's decoder, {failed['soft']} % soft, on"
        f" {outcomes.errors['bin'].shape[1]:,} test faces of {data}, mean of the last epochs;"
        f" 16 bits then moved landmarks of held-out faces by at most {moved:.2f} px",
        "mean error": f"{100 * decoders['soft'].mean():.1f} % of the distance between the eyes",
        "accuracy": ", ".join(f"{n} {100 * a.mean():.0f} %" for n, a in outcomes.accuracy.items()),
        "meant for": USE.format(
            why="its labels are guesses of how a face looks, from one data set of the 2010s, and"
            " gender has two values in it"
        ),
        "licence": LICENCE.format(data=data),
        "run": f"`{record.id}`, trained by `python -m dclib train --run {record.id}`",
    }


def of_cascade(record: records.CascadeRecord) -> dict[str, str]:
    """The lines of a cascade's card."""
    e, found = record.experiment, record.findings
    sizes = ", ".join(f"{stage} {n:,}" for stage, n in record.environment["parameters"].items())
    data = " and ".join(dict.fromkeys(e.datasets))
    return {
        "cascade": f"{e.method}, width {e.width:g}; parameters: {sizes}; as 16-bit floats",
        "training": f"{data}, {record.environment['trained_on']:,} photos, preset `{e.preset}`",
        "failure rate": f"{100 * found.failure_rate(missed_fail=True):.1f} % where missed faces"
        f" fail, {100 * found.failure_rate(missed_fail=False):.1f} % of the found ones, on"
        f" {len(found.scores):,} faces of {e.faces}; before rounding to 16 bits",
        "missed faces": f"{found.missed():,}",
        "mean error": f"{100 * found.mean_error():.1f} % of the distance between the eyes",
        "meant for": USE.format(why="it was trained on few photos and misses faces"),
        "licence": LICENCE.format(data=data),
        "cascade's record": f"`{record.id}`, made by `python -m dclib cascade {record.id}`",
    }


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


def ship_run(record: Record) -> Path:
    """A run's network, and what the live page needs of it if it can compute it."""
    shipped = ship(runs.SHELF, record, [inference.weights(record)])
    net, e = inference.network(shipped), record.experiment
    least, moved = on_held_out(record, shipped)
    text = card(of_network(record, count_parameters(net), moved))
    (shipped.folder / "README.md").write_text(text)
    if (e.method, e.underlying) == ("DCNet", "resnet18"):
        about = {"run": record.id, "words": inference.answers(record)[1], "face": {"least": least}}
        (LIVE / "weights.js").write_text(browser.script(net, e.resolution, about))
        (LIVE / "faces.js").write_text(faces(PHOTO))
        (LIVE / "card.md").write_text(text)
    return shipped.folder


def ship_cascade(record: records.CascadeRecord) -> Path:
    """A cascade's stages."""
    shipped = ship(records.SHELF, record, list((record.weights or {}).values()))
    (shipped.folder / "README.md").write_text(card(of_cascade(record)))
    return shipped.folder


def main(name: str) -> None:
    """Ship what has that id and say where it is."""
    ids = {record.id for record in records.every()}
    cascade = any(id_.startswith(name) for id_ in ids)
    print(ship_cascade(records.load(name)) if cascade else ship_run(runs.load(name)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: ship.py ID")
    try:
        main(sys.argv[1])
    except (DataError, RunError, OSError) as error:
        sys.exit(f"error: {error}")
