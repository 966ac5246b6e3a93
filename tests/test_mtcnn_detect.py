"""The cascade against plain loops, and against stages made by hand whose answers are known."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from dclib.errors import DataError
from dclib.mtcnn import detect
from dclib.mtcnn.boxes import calibrate, cut, square, suppress
from dclib.mtcnn.detect import Cascade, Settings, photo, scales
from dclib.mtcnn.stages import METHODS, SIZES, TASKS, Stage, build, normalise


def random_photo(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def random_stages(method: str, names: str = "PRO", **settings) -> dict[str, Stage]:
    """Stages with random weights, that find many faces and move boxes a little."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = {name: build(name, method, width=0.5, **settings).eval() for name in names}
        for m in [m for stage in made.values() for m in stage.modules()]:
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
            if isinstance(m, nn.PReLU):
                m.weight.normal_(0, 0.5)  # of either sign
    for stage in made.values():
        found = stage(
            normalise(random_photo(48 * 30, 48))
            .unflatten(1, (30, 48))
            .transpose(0, 1)[:, :, : stage.size, : stage.size]
        )
        for head, task in zip(stage.heads, TASKS[stage.name], strict=True):
            values = found[task].flatten(1)  # (30, outputs)
            spread = {"face": 1.0, "box": 0.1, "landmarks": 0.2}[task] / values.std(dim=0)
            head.weight *= spread.reshape(-1, *[1] * (head.weight.dim() - 1))
            head.bias.copy_((head.bias - values.mean(dim=0)) * spread)
    return made


def cascade(method: str = "MTCNN", names: str = "PRO", **settings) -> Cascade:
    return Cascade(random_stages(method, names, **settings))


class WhiteSquares(nn.Module):
    """A stage that takes white squares on black for faces, if it sees black all round.

    P and R enlarge the box by a fifth on each side, so that the next stage does; O finds the edges.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.size, self.local = name, SIZES[name], True

    def face(self, white, inside):
        """Logits from the means of all pixels, and of all but the outermost ones."""
        border = (self.size**2 * white - (self.size - 2) ** 2 * inside) / (4 * self.size - 4)
        return torch.stack([torch.zeros_like(white), 50 * (white - 0.05) - 100 * border], dim=1)

    def maps(self, images):
        white = images.mean(dim=1, keepdim=True) / 255
        whole, inside = (
            functional.avg_pool2d(white, 12, 2),
            functional.avg_pool2d(white[..., 1:-1, 1:-1], 10, 2),
        )
        box = torch.tensor([-0.2, -0.2, 0.2, 0.2])[:, None, None].expand(1, 4, *whole.shape[2:])
        return {"face": self.face(whole[:, 0], inside[:, 0]), "box": box}

    def forward(self, crops):
        white = crops.mean(dim=1) / 255  # (B, s, s)
        found = {"face": self.face(white.mean((1, 2)), white[:, 1:-1, 1:-1].mean((1, 2)))}
        first, last, middle = [], [], []
        for dim in (1, 2):  # what is left over are columns, and then rows
            share = white.amax(dim=dim) / self.size
            places = (torch.arange(self.size) + 0.5) / self.size
            middle.append((share * places).sum(dim=1) / share.sum(dim=1))
            first.append(middle[-1] - share.sum(dim=1) / 2)
            last.append(middle[-1] + share.sum(dim=1) / 2)
        margin = 0.0 if self.name == "O" else 0.2
        box = [x - margin for x in first] + [x - 1 + margin for x in last]
        found["box"] = torch.stack(box, dim=1)
        if self.name == "O":
            found["landmarks"] = torch.stack(middle, dim=1)[:, None].expand(-1, 5, 2)
        return found


def white_squares() -> Cascade:
    made = cascade()
    made.stages = {name: WhiteSquares(name) for name in SIZES}
    return made


class TestScales:
    def test_by_hand(self):
        found = scales(100, 100, Settings(minimum=20))
        assert found == pytest.approx([0.6, 0.4254, 0.3016, 0.2138, 0.1516], abs=5e-5)
        assert scales(300, 100, Settings(minimum=20)) == found

    def test_small_photos_have_none(self):
        assert scales(19, 100, Settings(minimum=20)) == []
        assert scales(20, 100, Settings(minimum=20)) == [0.6]


@pytest.mark.parametrize(
    "wrong",
    [{"minimum": 0}, {"factor": 1.0}, {"thresholds": (0.6, 0.7)}, {"thresholds": (0, 0, 2)}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Settings(**wrong)


class TestPhoto:
    """What files and images show, see `test_data_photo`."""

    def test_from_wherever(self, tmp_path):
        pixels = random_photo(5, 7)
        image, file = Image.fromarray(pixels.permute(1, 2, 0).numpy()), tmp_path / "a.png"
        image.save(file)
        for source in (pixels, pixels.numpy(), image, file, str(file)):
            assert torch.equal(photo(source), pixels)

    def test_photos_are_turned_upright(self, tmp_path):
        image, about = Image.new("RGB", (7, 5)), Image.Exif()
        about[0x0112] = 6  # to be turned clockwise
        image.save(tmp_path / "a.png", exif=about)
        assert photo(tmp_path / "a.png").shape == (3, 7, 5)

    def test_what_is_no_photo_is_refused(self, tmp_path):
        (tmp_path / "a.png").write_text("no photo")
        with pytest.raises(DataError, match=r"a\.png is no readable photo"):
            photo(tmp_path / "a.png")

    @pytest.mark.parametrize(
        "pixels", [np.zeros((40, 50, 3), np.uint8), np.zeros((3, 4, 5)), np.zeros((3, 4), np.uint8)]
    )
    def test_other_arrays_are_refused(self, pixels):
        with pytest.raises(ValueError, match=r"a photo is uint8 \(3, height, width\)"):
            photo(pixels)


class TestKnownAnswers:
    @pytest.mark.parametrize("left", [60.0, 60.4])
    @pytest.mark.parametrize(("top", "side"), [(80, 41), (30, 60), (110, 25)])
    def test_a_white_square_is_found_where_it_is(self, left, top, side):
        pixels = torch.zeros(3, 150, 190, dtype=torch.uint8)
        first = int(left)
        pixels[:, top : top + side, first : first + side] = 255
        if left > first:  # the first column is partly white, and so is one more
            pixels[:, top : top + side, first] = round(255 * (first + 1 - left))
            pixels[:, top : top + side, first + side] = round(255 * (left - first))
        found = white_squares().detect(pixels)
        assert len(found) == 1
        truth = [left, top, left + side, top + side]
        np.testing.assert_allclose(found.boxes[0], truth, atol=0.15)
        centre = [left + side / 2, top + side / 2]
        np.testing.assert_allclose(found.points[0], np.tile(centre, (5, 1)), atol=0.15)
        assert found.scores[0] > 0.99

    def test_several_squares_some_near_the_border(self):
        """Around these R and O look at what lies beyond the photo, too."""
        pixels = torch.zeros(3, 200, 260, dtype=torch.uint8)
        truth = [[6, 6, 56, 56], [100, 120, 172, 192], [213, 60, 253, 100]]
        for left, top, right, bottom in truth:
            pixels[:, top:bottom, left:right] = 255
        found = white_squares().detect(pixels)
        order = np.argsort(found.boxes[:, 0])
        np.testing.assert_allclose(found.boxes[order], truth, atol=0.3)
        assert (np.diff(found.scores) <= 0).all()

    def test_squares_smaller_than_the_minimum_are_not_looked_for(self):
        pixels = torch.zeros(3, 200, 200, dtype=torch.uint8)
        pixels[:, 50:74, 50:74] = 255
        counts = [len(white_squares().detect(pixels, Settings(minimum=m))) for m in (20, 150)]
        assert counts == [1, 0]

    @pytest.mark.parametrize("size", [(1, 1), (11, 300), (19, 19), (23, 47), (150, 20)])
    def test_photos_of_any_size_without_faces(self, size):
        found = white_squares().detect(torch.zeros(3, *size, dtype=torch.uint8))
        assert (found.boxes.shape, found.points.shape) == ((0, 4), (0, 5, 2))
        assert found.to_dict() == {"faces": []}

    def test_of_a_file_as_json(self, tmp_path):
        image = Image.new("L", (100, 100))
        image.paste(255, (30, 40, 70, 80))
        image.save(tmp_path / "a.png")
        found = white_squares().detect(tmp_path / "a.png")
        (face,) = json.loads(json.dumps(found.to_dict()))["faces"]
        assert face["box"] == pytest.approx([30, 40, 70, 80], abs=0.15)
        assert np.shape(face["landmarks"]) == (5, 2)


def by_plain_loops(stages, pixels, settings):
    """The cascade place by place and square by square, with the stages as they were trained.

    For what is suppressed see `test_mtcnn_boxes`.
    """

    def look(name, squares):
        crops = [cut(pixels, some, SIZES[name]) for some in squares.split(64)]
        answers = [stages[name](normalise(some)) for some in crops]
        return {task: torch.cat([a[task] for a in answers]) for task in TASKS[name]}

    def above(name, found):
        logits = found["face"][:, 1] - found["face"][:, 0]
        return logits, logits.sigmoid() >= settings.thresholds[list(SIZES).index(name)]

    rows, (height, width) = [], pixels.shape[1:]
    for scale in scales(height, width, settings):
        h, w = (2 * int(np.ceil(side * scale / 2)) for side in (height, width))
        places = [(x, y) for y in range((h - 12) // 2 + 1) for x in range((w - 12) // 2 + 1)]
        boxes = torch.tensor([[2 * x, 2 * y, 2 * x + 12, 2 * y + 12] for x, y in places])
        scaled = boxes * torch.tensor([width / w, height / h] * 2)
        found = look("P", scaled)
        logits, good = above("P", found)
        kept = suppress(boxes[good].float(), logits[good], 0.5)
        one = torch.cat([scaled, found["box"], logits[:, None]], dim=1)
        rows.append(one[good][kept])
    rows = torch.cat(rows)
    rows = rows[suppress(rows[:, :4], rows[:, 8], 0.7)]
    squares = square(calibrate(rows[:, :4], rows[:, 4:8]))

    found = look("R", squares)
    logits, good = above("R", found)
    squares, offsets, logits = squares[good], found["box"][good], logits[good]
    kept = suppress(squares, logits, 0.7)
    squares = square(calibrate(squares[kept], offsets[kept]))

    found = look("O", squares)
    logits, good = above("O", found)
    squares, logits = squares[good], logits[good]
    boxes = calibrate(squares, found["box"][good])
    sides = squares[:, None, 2:] - squares[:, None, :2]
    points = squares[:, None, :2] + sides * found["landmarks"][good]
    kept = suppress(boxes, logits, 0.7, by="smaller")
    return boxes[kept], logits[kept].sigmoid(), points[kept]


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("MTCNN", {"pooling": "ceil"}),
        ("MTCNNx", {}),
        ("DC-MTCNN", {}),
        ("DC-MTCNN", {"pooling": "ceil"}),
    ],
)
@torch.no_grad()
def test_equals_the_cascade_in_plain_loops(method, settings):
    stages = random_stages(method, **settings)
    pixels = random_photo(46, 61)
    wanted = Settings(minimum=17, thresholds=(0.4, 0.3, 0.3))
    boxes, scores, points = by_plain_loops(stages, pixels, wanted)
    assert len(boxes) > 1
    found = Cascade(stages).detect(pixels, wanted)
    np.testing.assert_allclose(found.boxes, boxes, atol=0.01)
    np.testing.assert_allclose(found.scores, scores, atol=1e-3)
    np.testing.assert_allclose(found.points, points, atol=0.01)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_networks_that_know_nothing_give_boxes_all_the_same(method, threshold):
    """Offsets of any size turn boxes inside out or send them far away."""
    made = cascade(method)
    settings = Settings(thresholds=(threshold,) * 3)
    for stage in SIZES:
        boxes, scores, points = made.candidates(random_photo(50, 70), settings, stage)
        assert len(boxes) == len(scores)
        assert (points is None) == (stage != "O")
        assert torch.isfinite(boxes).all()
        assert bool(len(boxes)) == (threshold == 0)
        if stage != "O":
            assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (scores.diff() <= 0).all()


@pytest.mark.parametrize(("method", "kernel"), [("MTCNN", 1), ("DC-MTCNN", 1), ("DC-MTCNN", 3)])
def test_strips_make_no_difference(method, kernel, monkeypatch):
    made, pixels = cascade(method, "P", kernel=kernel), random_photo(90, 70)
    settings = Settings(thresholds=(0.3, 0, 0))
    whole = made.candidates(pixels, settings, "P")
    monkeypatch.setattr(detect, "STRIP", 300)
    for found, expected in zip(made.candidates(pixels, settings, "P"), whole, strict=True):
        if expected is not None:
            torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_stages_stay_as_they_are():
    stage = build("P", "DC-MTCNN", width=0.5)
    before = {name: x.clone() for name, x in stage.state_dict().items()}
    made = Cascade({"P": stage})
    pixels = random_photo(40, 40)
    found = made.candidates(pixels, Settings(thresholds=(0, 0, 0)), "P")[0]
    assert stage.training
    assert all(torch.equal(x, before[name]) for name, x in stage.state_dict().items())
    nn.init.zeros_(stage.heads[1].weight)
    assert torch.equal(made.candidates(pixels, Settings(thresholds=(0, 0, 0)), "P")[0], found)


@pytest.mark.parametrize("stages", ["", "R", "PO", "RP"])
def test_stages_that_do_not_follow_each_other_are_refused(stages):
    with pytest.raises(ValueError, match="in order"):
        Cascade({name: build(name, "MTCNN", width=0.5) for name in stages})


def test_a_stage_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="stage 'O' is not in this cascade"):
        cascade(names="PR").detect(random_photo(40, 40))


def test_points_are_the_mean_of_what_a_face_and_its_mirror_image_give():
    """O as the published cascade asks it, face by face; boxes and scores stay as they were."""
    stages, image = random_stages("MTCNN"), random_photo(60, 80)
    once, twice = Cascade(stages).detect(image), Cascade(stages, mirrored=True).detect(image)
    assert len(once)
    np.testing.assert_array_equal(once.boxes, twice.boxes)
    np.testing.assert_array_equal(once.scores, twice.scores)
    before = square(Cascade(stages).candidates(image, stage="R")[0])
    crops = cut(image, before, 48)
    with torch.no_grad():
        direct = stages["O"](normalise(crops))["landmarks"]
        turned = stages["O"](normalise(crops.flip(3)))["landmarks"]
    corners, sides = before[:, None, :2], (before[:, 2:] - before[:, :2])[:, None]
    plain = corners + direct * sides
    order = [1, 0, 2, 4, 3]  # the left eye of a mirrored face is on its right
    turned = torch.stack([1 - turned[:, order, 0], turned[:, order, 1]], dim=2)
    both = corners + (direct + turned) / 2 * sides
    for points, mean in zip(once.points, twice.points, strict=True):
        at = (plain - torch.from_numpy(points)).abs().amax((1, 2)).argmin()
        torch.testing.assert_close(plain[at], torch.from_numpy(points), atol=1e-2, rtol=1e-3)
        torch.testing.assert_close(both[at], torch.from_numpy(mean), atol=1e-2, rtol=1e-3)
    assert abs(once.points - twice.points).max() > 0.1
