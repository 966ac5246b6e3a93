"""How detections are scored: on faces with landmarks, on held-out photos, on a few pictures.

A detection belongs to the annotated face that it overlaps most, if it overlaps one; of several, a
face takes the one that it overlaps most itself, whatever their scores. A face without any is
missed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dclib import metrics, paths
from dclib.data.photos import PhotoSet, load
from dclib.data.progress import progress
from dclib.errors import DataError
from dclib.mtcnn.boxes import iou, over
from dclib.mtcnn.detect import Cascade, Detections, Settings, photo
from dclib.mtcnn.experiment import STAGES
from dclib.mtcnn.findings import ENOUGH, POINT_UNITS, Findings, Floats

GROUP, GROUP_FILE = "group", "solvay_1927.jpg"  # Fifth Solvay Conference, B. Couprie, 1927
SHOWN_SCENES = 2

Detector = Callable[[PhotoSet, int], Detections]  # the number of a photo -> what is found in it


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo whose detections are shown; uint8 (3, H, W), and its boxes (K, 4) if annotated."""

    file: str  # its name
    pixels: np.ndarray
    boxes: np.ndarray | None = None


def overlaps(boxes: np.ndarray, truth: np.ndarray) -> Floats:
    """Intersection over union (N, M) of boxes (N, 4) with others (M, 4)."""
    one, other = (torch.from_numpy(np.asarray(b, dtype=np.float64)) for b in (boxes, truth))
    return np.asarray(iou(one, other).numpy())


def match(boxes: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, Floats]:
    """For each annotated face, of boxes (M, 4), the detection (K, 4) that is taken for it.

    Returns:
        Numbers of detections (M,), -1 where there is none; their overlaps with the faces (M,).
    """
    if not len(boxes) or not len(truth):
        return np.full(len(truth), -1), np.zeros(len(truth))
    each = overlaps(boxes, truth)  # (K, M)
    owner = each.argmax(axis=1)
    own = np.where(np.arange(len(truth)) == owner[:, None], each, 0.0)
    best = own.max(axis=0)
    return np.where(best > 0, own.argmax(axis=0), -1), best


def on_faces(photos: PhotoSet, detect: Detector) -> dict[str, Any]:
    """Scores, landmark errors and landmarks of all faces whose landmarks are annotated.

    Points are rounded to 1/100 px first, so that the errors can be recomputed from what is kept.
    """
    pointed = [n for n, of in enumerate(photos.points) if _annotated(of).any()]
    photos = photos.subset(pointed)
    scores, points = [], []
    for number in progress(range(len(photos)), "score landmarks", len(photos)):
        found = detect(photos, number)
        taken, _ = match(found.boxes, photos.boxes[number])
        for k in taken[_annotated(photos.points[number])]:
            scores.append(found.scores[k] if k >= 0 else np.nan)
            points.append(found.points[k] if k >= 0 else np.full((5, 2), np.nan))
    rounded = np.round(np.array(points, dtype=np.float64) * POINT_UNITS) / POINT_UNITS
    errors = metrics.landmark_errors(rounded, _points(photos))
    found_scores = np.array(scores, dtype=np.float64)
    missed = np.isnan(found_scores)
    return {"scores": found_scores, "errors": np.where(missed, np.nan, errors), "points": rounded}


def _annotated(points: np.ndarray) -> np.ndarray:
    """Which faces (K,) have all points (K, 5, 2)."""
    return ~np.isnan(points).any(axis=(1, 2))


def _points(photos: PhotoSet) -> np.ndarray:
    """The points (N, 5, 2) of all faces that have them."""
    points = np.concatenate(photos.points)
    return points[_annotated(points)]


def held_out(name: str) -> PhotoSet:
    """The held-out photos of a set that show no person or scene of those that are trained on.

    Raises:
        DataError: it is unknown or not at hand, or there are none.
    """
    training, others = load(name)
    apart = np.flatnonzero(~np.isin(others.groups, training.groups))
    if not len(apart):
        raise DataError(
            f"{name}: all held-out photos show a person or scene that is trained on; give them"
            " other groups, or choose another set"
        )
    return others.subset(apart)


def on_heldout(photos: PhotoSet, detect: Detector) -> dict[str, Any]:
    """Overlaps and scores of all annotated faces, further detections, and precision if known.

    Detections over regions that are to be ignored count for nothing.
    """
    best_overlaps, scores, others = [], [], []
    right = total = 0
    for number in progress(range(len(photos)), "score detections", len(photos)):
        found = detect(photos, number)
        taken, best = match(found.boxes, photos.boxes[number])
        boxes, ignored = map(torch.from_numpy, (found.boxes, photos.ignored[number]))
        counted = ~over(boxes, ignored, ENOUGH).numpy()
        counted[taken[taken >= 0]] = True
        right += int((best >= ENOUGH).sum())
        total += int(counted.sum())
        best_overlaps += best.tolist()
        scores += [found.scores[k] if k >= 0 else np.nan for k in taken]
        others += [int(counted.sum() - (taken >= 0).sum())] * len(taken)
    return {
        "overlaps": np.array(best_overlaps, dtype=np.float64),
        "heldout_scores": np.array(scores, dtype=np.float64),
        "others": np.array(others, dtype=np.int64),
        "precision": right / total if photos.complete and total else None,
    }


def by_stage(photos: PhotoSet, cascade: Cascade, settings: Settings) -> dict[str, float]:
    """Share of the annotated faces that a box overlaps by at least a half, after P and after R."""
    found = dict.fromkeys(STAGES[:-1], 0)
    for number in progress(range(len(photos)), "score stages", len(photos)):
        image, truth = photos.read(number), photos.boxes[number]
        for stage in found:
            boxes = cascade.candidates(image, settings, stage)[0].cpu().numpy()
            if len(boxes) and len(truth):
                found[stage] += int((overlaps(boxes, truth).max(axis=0) >= ENOUGH).sum())
    faces = sum(map(len, photos.boxes))
    return {stage: count / faces for stage, count in found.items()}


def on_pictures(
    pictures: Mapping[str, Picture], detect: Callable[[Picture], Detections]
) -> dict[str, dict[str, Any]]:
    """All detections in each picture, and how many of its annotated faces they are."""
    shown: dict[str, dict[str, Any]] = {}
    for name, picture in pictures.items():
        found = detect(picture)
        height, width = picture.pixels.shape[1:]
        shown[name] = {"size": [width, height], **vars(found)}
        if picture.boxes is not None:
            best = match(found.boxes, picture.boxes)[1]
            shown[name] |= {"truth": len(picture.boxes), "found": int((best >= ENOUGH).sum())}
    return shown


def pictures(faces: str) -> dict[str, Picture]:
    """The pictures that are shown beside scores on a photo set, as far as they are at hand.

    Beside drawn scenes these are scenes; else the group photo and two photos of WIDER FACE.
    """
    if faces == "scenes":
        return _pictures(load("scenes")[1].subset(range(SHOWN_SCENES)))
    file = group_photo()
    shown = {GROUP: Picture(GROUP_FILE, photo(file).numpy())} if file else {}
    try:
        return shown | _pictures(load("wider-two")[1])
    except DataError:  # WIDER FACE is not here
        return shown


def _pictures(photos: PhotoSet) -> dict[str, Picture]:
    kind = photos.name.partition("-")[0]
    files = [Path(name) for name in photos.names]
    return {
        f"{kind}/{file.stem}": Picture(file.name, photos.read(number), photos.boxes[number])
        for number, file in enumerate(files)
    }


def group_photo() -> Path | None:
    """The group photo, from the book's images or the mirror."""
    mirror = paths.mirror()
    places = [paths.root() / "book" / "images"] + ([mirror / "group_photo"] if mirror else [])
    return next((p / GROUP_FILE for p in places if (p / GROUP_FILE).exists()), None)


def findings(
    faces: str,
    heldout: str,
    detect: Detector,
    shown: dict[str, dict[str, Any]],
    before: Callable[[PhotoSet], dict[str, float]],
) -> Findings:
    """What a detector finds in the held-out photos of two photo sets.

    Args:
        shown: what it finds in some pictures.
        before: the recall of its stages but the last.
    """
    others = held_out(heldout)
    scored = on_heldout(others, detect)
    last = {STAGES[-1]: float(np.mean(scored["overlaps"] >= ENOUGH))}
    landmarks = on_faces(load(faces)[1], detect)
    known = {"stages": before(others) | last, "pictures": shown, **landmarks, **scored}
    return Findings(faces=faces, heldout=heldout, **known)


def evaluate(cascade: Cascade, faces: str, heldout: str, settings: Settings) -> Findings:
    """What a cascade finds in the held-out photos of two photo sets, and in some pictures.

    Raises:
        DataError: a photo set is not at hand.
    """

    def detect(photos: PhotoSet, number: int) -> Detections:
        return cascade.detect(photos.read(number), settings)

    shown = on_pictures(pictures(faces), lambda picture: cascade.detect(picture.pixels, settings))
    before = partial(by_stage, cascade=cascade, settings=settings)
    return findings(faces, heldout, detect, shown, before)


def verify(findings: Findings) -> list[str]:
    """Recompute the landmark errors from the kept landmarks; what differs, in words.

    Raises:
        DataError: the photo set is not here.
    """
    truth = _points(load(findings.faces)[1])
    if len(truth) != len(findings.points):
        return [f"{len(findings.points)} faces of {findings.faces}, not {len(truth)}"]
    errors = metrics.landmark_errors(findings.points, truth)[findings.detected]
    kept = findings.errors[findings.detected]
    failing = (errors > metrics.THRESHOLD) != (kept > metrics.THRESHOLD)
    differing = int(((abs(errors - kept) > 1e-4) | failing).sum())
    return [f"landmark errors of {differing} faces"] if differing else []
