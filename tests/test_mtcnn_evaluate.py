"""How detections are scored, against values worked by hand and a plain loop over all pairs."""

from dataclasses import replace
from functools import partial

import coloured_photos
import numpy as np
import pytest
import torch

from dclib.errors import DataError
from dclib.mtcnn import evaluate
from dclib.mtcnn.detect import Detections, Settings
from dclib.mtcnn.evaluate import match

FACE = np.array(
    [[10.0, 10.0], [20.0, 10.0], [15.0, 15.0], [11.0, 20.0], [19.0, 20.0]], dtype=np.float32
)


def detections(boxes, points=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    scores = np.linspace(0.99, 0.8, len(boxes), dtype=np.float32)
    if points is None:
        points = np.zeros((len(boxes), 5, 2), dtype=np.float32)
    return Detections(boxes, scores, np.array(points, dtype=np.float32))


photo_set = partial(coloured_photos.photo_set, complete=False, shape=(60, 80))


def iou(one, other):
    shared = [min(one[2 + k], other[2 + k]) - max(one[k], other[k]) for k in (0, 1)]
    both = max(shared[0], 0) * max(shared[1], 0)
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return both / (sum(area) - both)


def slowly(boxes, truth):
    """The rule in words, one pair after the other."""
    taken, best = [], []
    for face in range(len(truth)):
        mine = [
            (iou(box, truth[face]), -k)
            for k, box in enumerate(boxes)
            if all(iou(box, truth[face]) >= iou(box, other) for other in truth)
        ]
        overlap, k = max(mine, default=(0.0, 0))
        taken.append(-k if overlap > 0 else -1)
        best.append(overlap if overlap > 0 else 0.0)
    return taken, best


def test_matching_follows_the_rule():
    rng = np.random.default_rng(0)
    for _ in range(50):
        corners = rng.uniform(0, 30, (rng.integers(0, 6), 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 20, corners.shape)])
        corners = rng.uniform(0, 30, (rng.integers(0, 4), 2))
        truth = np.hstack([corners, corners + rng.uniform(5, 20, corners.shape)])
        taken, best = match(boxes, truth)
        assert taken.tolist() == slowly(boxes, truth)[0]
        np.testing.assert_allclose(best, slowly(boxes, truth)[1], atol=1e-12)


def test_a_neighbours_detection_is_not_taken():
    """One detection, nearer to the first of two faces that overlap: the second is missed."""
    taken, best = match(np.array([[0, 0, 10, 10]]), np.array([[1, 0, 11, 10], [8, 0, 18, 10]]))
    assert taken.tolist() == [0, -1]
    np.testing.assert_allclose(best, [90 / 110, 0])


def test_of_several_the_largest_overlap_counts_not_the_highest_score():
    box = [5, 5, 25, 25]
    near, far = FACE + np.array([0.5, 0]), FACE + np.array([3, 4])
    photos = photo_set([[box]], points=[FACE[None]])
    found = detections([[15, 15, 35, 35], box], [far, near])
    scored = evaluate.on_faces(photos, lambda photos, number: found)
    np.testing.assert_allclose(scored["errors"], [0.05])
    np.testing.assert_allclose(scored["scores"], [0.8])


def test_landmarks_of_missed_faces_are_unknown():
    """Three photos: found 3 and 4 px off (0.5 of 10 px), nothing found, found beside the face."""
    box = [5, 5, 25, 25]
    photos = photo_set([[box]] * 3, points=[FACE[None]] * 3)
    found = [
        detections([box], [FACE + np.array([3, 4])]),
        detections([]),
        detections([[30, 30, 50, 50]], [FACE]),
    ]
    scored = evaluate.on_faces(photos, lambda photos, number: found[number])
    np.testing.assert_allclose(scored["errors"], [0.5, np.nan, np.nan])
    assert np.isnan(scored["scores"]).tolist() == [False, True, True]
    assert np.isnan(scored["points"]).all(axis=(1, 2)).tolist() == [False, True, True]


def test_faces_without_points_are_not_scored():
    points = np.stack([FACE, np.full((5, 2), np.nan, np.float32)])
    photos = photo_set([[[5, 5, 25, 25], [40, 5, 60, 25]]], points=[points])
    scored = evaluate.on_faces(photos, lambda *_: detections([[5, 5, 25, 25]], [FACE]))
    np.testing.assert_allclose(scored["errors"], [0.0])


def test_kept_points_are_those_that_errors_are_of():
    photos = photo_set([[[5, 5, 25, 25]]], points=[FACE[None]])
    found = detections([[5, 5, 25, 25]], [FACE + 0.123456])
    scored = evaluate.on_faces(photos, lambda *_: found)
    np.testing.assert_allclose(scored["points"][0], FACE + 0.12, atol=1e-6)
    np.testing.assert_allclose(scored["errors"], 0.12 * np.sqrt(2) / 10, atol=1e-6)


def test_held_out_photos_share_no_group_with_those_trained_on(monkeypatch):
    training, others = photo_set([[[0, 0, 9, 9]]] * 2), photo_set([[[0, 0, 9, 9]]] * 3)
    training = replace(training, groups=np.array([7, 1]))
    others = replace(others, groups=np.array([2, 7, 3]))
    monkeypatch.setattr(evaluate, "load", lambda name: (training, others))
    assert evaluate.held_out("any").names == (others.names[0], others.names[2])
    monkeypatch.setattr(evaluate, "load", lambda name: (others, others))
    with pytest.raises(DataError, match="any: all held-out photos show a person"):
        evaluate.held_out("any")


def test_held_out_photos_counted_by_hand():
    """A face found well and one badly, one more detection, a face missed, and no face at all."""
    photos = photo_set(
        [[[0, 0, 10, 10], [30, 0, 40, 10]], [[0, 0, 10, 10]], []],
        complete=True,
    )
    found = [
        detections([[0, 0, 10, 10], [34, 0, 44, 10], [60, 30, 70, 40]]),
        detections([]),
        detections([[0, 0, 10, 10]]),
    ]
    scored = evaluate.on_heldout(photos, lambda photos, number: found[number])
    np.testing.assert_allclose(scored["overlaps"], [1.0, 60 / 140, 0.0])
    np.testing.assert_allclose(scored["heldout_scores"], [0.99, 0.895, np.nan])
    assert scored["others"].tolist() == [1, 1, 0]
    assert scored["precision"] == 1 / 4  # of four detections one overlaps a face by a half


def test_precision_is_unknown_where_faces_may_have_no_box():
    scored = evaluate.on_heldout(photo_set([[[0, 0, 9, 9]]]), lambda *_: detections([]))
    assert scored["precision"] is None


def test_detections_over_ignored_regions_do_not_count():
    """The second lies over an ignored region by 60 %, the third by 40 %."""
    photos = photo_set([[[0, 0, 10, 10]]], ignored=[[[20, 0, 40, 10]]], complete=True)
    found = detections([[0, 0, 10, 10], [16, 0, 26, 10], [14, 0, 24, 10]])
    scored = evaluate.on_heldout(photos, lambda *_: found)
    assert scored["others"].tolist() == [1]
    assert scored["precision"] == 1 / 2


class Stub:
    """A cascade of which each stage gives the same boxes in every photo."""

    def __init__(self, **boxes):
        self.boxes = boxes

    def candidates(self, image, settings, stage):
        assert image.shape == (3, 60, 80)
        boxes = torch.tensor(self.boxes[stage], dtype=torch.float32).view(-1, 4)
        return boxes, torch.ones(len(boxes)), None

    def detect(self, image, settings):
        return detections(self.boxes["O"], [FACE] * len(self.boxes["O"]))


FACES = photo_set(
    [[[5, 5, 25, 25], [40, 5, 60, 25]]] * 2, [np.stack([FACE, FACE])] * 2, complete=True
)


def test_recall_by_stage():
    """P covers both faces, R one of them and another too little; two photos of the same kind."""
    stub = Stub(P=[[5, 5, 25, 25], [40, 5, 60, 20]], R=[[5, 5, 25, 25], [51, 5, 71, 25]])
    assert evaluate.by_stage(FACES, stub, Settings()) == {"P": 1.0, "R": 0.5}


def test_pictures_tell_how_many_faces_were_found():
    pixels, boxes = FACES.read(0), FACES.boxes[0]
    pictures = {
        "with": evaluate.Picture("a.png", pixels, boxes),
        "without": evaluate.Picture("b.png", pixels),
    }
    found = {"a.png": detections([[5, 5, 25, 25]]), "b.png": detections([])}
    shown = evaluate.on_pictures(pictures, lambda picture: found[picture.file])
    assert shown["with"]["truth"] == 2
    assert shown["with"]["found"] == 1
    assert shown["with"]["size"] == [80, 60]
    assert "truth" not in shown["without"]
    assert shown["without"]["boxes"].shape == (0, 4)


def test_a_cascade_is_scored_on_everything(monkeypatch):
    monkeypatch.setattr(evaluate, "load", lambda name: (FACES.subset([]), FACES))
    box, beside = [5, 5, 25, 25], [61, 30, 75, 44]
    stub = Stub(P=[box], R=[box], O=[box, beside])
    found = evaluate.evaluate(stub, "scenes", "scenes", Settings())
    assert found.stages == {"P": 0.5, "R": 0.5, "O": 0.5}
    assert found.missed() == 2
    assert found.failure_rate(missed_fail=True) == 0.5
    assert found.mean_error() == 0.0
    assert found.precision == 0.5
    assert list(found.pictures) == ["coloured/0", "coloured/1"]
    assert evaluate.verify(found) == []
    moved = found.points.copy()
    moved[0] += 0.01
    assert evaluate.verify(replace(found, points=moved)) == ["landmark errors of 1 faces"]
    fewer = replace(found, points=moved[1:])
    assert evaluate.verify(fewer) == ["3 faces of scenes, not 4"]


def test_pictures_of_photos_that_are_not_here_are_left_out(monkeypatch, tmp_path):
    def absent(name):
        raise DataError(f"{name} is not here")

    monkeypatch.setattr(evaluate, "load", absent)
    monkeypatch.setattr(evaluate, "group_photo", lambda: None)
    assert evaluate.pictures("mtfl-test") == {}
    two = photo_set([[[0, 0, 9, 9]]])
    monkeypatch.setattr(evaluate, "load", lambda name: (two.subset([]), two))
    assert list(evaluate.pictures("mtfl-test")) == ["coloured/0"]


@pytest.mark.parametrize("committed", [True, False])
def test_the_group_photo_is_looked_for_in_the_book_and_the_mirror(monkeypatch, tmp_path, committed):
    monkeypatch.setattr(evaluate.paths, "root", lambda: tmp_path)
    monkeypatch.setenv("DCLIB_MIRROR", str(tmp_path / "mirror"))
    assert evaluate.group_photo() is None
    place = tmp_path / ("book/images" if committed else "mirror/group_photo")
    place.mkdir(parents=True)
    (place / evaluate.GROUP_FILE).write_bytes(b"")
    assert evaluate.group_photo() == place / evaluate.GROUP_FILE
