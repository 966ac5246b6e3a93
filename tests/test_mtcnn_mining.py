"""Mining behind a cascade whose detections are given."""

import torch
from coloured_photos import photo_set, places

from dclib.mtcnn.detect import Settings
from dclib.mtcnn.mining import hardest, mine
from dclib.mtcnn.samples import NEGATIVE, PART, POSITIVE, Recipe, Samples

FACE = [80.0, 60.0, 140.0, 120.0]
ANSWERS = {  # score: box, and what it is
    0.99: ([82.0, 60, 142, 120], POSITIVE),
    0.90: ([80.0, 75, 140, 105], POSITIVE),  # flat, but the square about it is the face's own
    0.80: ([110.0, 60, 170, 120], None),  # IoU 1/3: neither
    0.70: ([100.0, 60, 160, 120], PART),  # IoU 1/2
    0.97: ([10.0, 150, 50, 190], NEGATIVE),  # apart from the face, sure
    0.94: ([150.0, 10, 190, 50], NEGATIVE),  # apart, less sure
    0.96: ([120.0, 100, 160, 140], NEGATIVE),  # sure, but it touches the face: IoU 1/12
}
BOXES = torch.tensor([box for box, _ in ANSWERS.values()])
SCORES = torch.tensor(list(ANSWERS))


class Given:
    """A cascade that always finds the same."""

    def __init__(self, boxes=BOXES, scores=SCORES):
        self.found = boxes, scores, None
        self.asked = []

    def candidates(self, image, settings, stage):
        self.asked.append((tuple(image.shape), settings, stage))
        return self.found


def mined(photos=None, before="P", cascade=None, recipe=None, seed=0, size=24) -> Samples:
    photos = photos or photo_set([[FACE]])
    return mine(photos, cascade or Given(), before, size, recipe or Recipe(), Settings(), seed)


def kinds(found: Samples) -> dict[float, int]:
    scores = [round(score, 2) for score in found.scores.tolist()]
    return dict(zip(scores, found.kind.tolist(), strict=True))


def test_detections_become_samples_by_the_overlap_of_their_squares():
    cascade, settings = Given(), Settings(minimum=30)
    found = mine(photo_set([[FACE]]), cascade, "P", 24, Recipe(), settings, seed=0)
    assert cascade.asked == [((3, 240, 240), settings, "P")]
    assert kinds(found) == {s: kind for s, (_, kind) in ANSWERS.items() if kind is not None}
    assert found.left_out == 0
    assert found.pixels.shape == (6, 3, 24, 24)
    flat = found.scores.isclose(torch.tensor(0.9))
    torch.testing.assert_close(found.squares[flat], torch.tensor([FACE]))
    torch.testing.assert_close(found.offsets[flat], torch.zeros(1, 4))
    middles = (found.squares[:, None, :2] + found.squares[:, None, 2:]) / 2
    seen = places(found.pixels, torch.full((6, 1, 2), 0.5))
    assert (seen - middles).abs().max() < 1


def test_what_may_be_a_face_without_a_box_is_left_out_and_counted():
    incomplete = photo_set([[FACE], [FACE]], complete=False)
    found = mined(incomplete, "R")
    assert 0.97 not in kinds(found)
    assert {0.94, 0.96} <= kinds(found).keys()
    assert found.left_out == 2
    assert found.counts()["left out"] == 2
    for photos, before in ((incomplete, "P"), (photo_set([[FACE]] * 2), "R")):
        assert 0.97 in kinds(mined(photos, before))
        assert mined(photos, before).left_out == 0


def test_negatives_over_ignored_regions_are_left_out():
    found = mined(photo_set([[FACE]], ignored=[[[0, 140, 100, 240]]]))
    assert 0.97 not in kinds(found)
    assert {0.94, 0.96, 0.99} <= kinds(found).keys()


def test_a_photo_gives_only_so_many_negatives_and_all_its_faces():
    photos, recipe = photo_set([[FACE]] * 10), Recipe(negatives=1)
    found = mined(photos, recipe=recipe)
    assert found.counts() == {
        "negative": 10,
        "positive": 20,
        "part": 10,
        "landmark": 0,
        "left out": 0,
    }
    negatives = {round(s, 2) for s in found.scores[found.kind == NEGATIVE].tolist()}
    assert len(negatives) > 1  # by chance, not always the best
    again, other = mined(photos, recipe=recipe), mined(photos, recipe=recipe, seed=1)
    assert torch.equal(found.squares, again.squares)
    assert not torch.equal(found.squares, other.squares)


def test_positives_know_their_points():
    points = torch.tensor([[95.0, 80], [125, 80], [110, 95], [97, 108], [123, 108]])
    found = mined(photo_set([[FACE]], points=[points[None].numpy()]))
    known = found.points.flatten(1).isfinite().all(dim=1)
    assert torch.equal(known, found.kind == POSITIVE)
    seen = places(found.pixels[known], found.points[known])
    assert (seen - points).abs().max() < 1.5


def test_photos_in_which_nothing_is_found_give_nothing():
    found = mined(cascade=Given(torch.zeros(0, 4), torch.zeros(0)))
    assert len(found) == 0
    assert found.pixels.shape == (0, 3, 24, 24)


def test_the_hardest_negatives_come_first():
    photos = photo_set([[FACE]])
    worst = hardest(mined(photos), photos, 2)
    assert worst == [
        {"photo": "0.png", "square": [10.0, 150.0, 50.0, 190.0], "score": 0.97},
        {"photo": "0.png", "square": [120.0, 100.0, 160.0, 140.0], "score": 0.96},
    ]
    assert len(hardest(mined(photos), photos)) == 3
