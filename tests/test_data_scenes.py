"""Drawn scenes: what is known of them is what is in the picture."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from dclib import data
from dclib.data import photos, scenes
from dclib.data.portrait import draw, landmarks, picture, project, stream
from dclib.data.portrait.canvas import FINE, Canvas, view
from dclib.errors import DataError


@pytest.fixture
def few(places, monkeypatch):
    monkeypatch.setattr(scenes, "TRAINING", 3)
    monkeypatch.setattr(scenes, "HELD_OUT", 2)
    return places


def test_the_box_of_five_points_worked_by_hand():
    points = np.array([[1, 1], [3, 1], [2, 2], [1, 3], [3, 3]])
    # the mean is (2, 2), four points are sqrt(2) from it and one is on it: sqrt(8 / 5)
    side = 3.3 * np.sqrt(1.6)
    middle = 2, 2 - 0.017 * side
    expected = [middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2]
    np.testing.assert_allclose(scenes.around(points), [*expected, middle[1] + side / 2])
    np.testing.assert_allclose(scenes.around(5 * points - 7), 5 * scenes.around(points) - 7)


def test_scenes_have_none_to_six_people_of_the_sizes_and_places_that_are_said():
    scene = [[one.points for one in scenes.people(number)] for number in range(40)]
    counts = [len(people) for people in scene]
    assert set(counts) >= {0, 1, 2, 3, 4}
    assert max(counts) <= scenes.MOST
    points = np.array([of for people in scene for of in people])
    boxes = np.array([scenes.around(of) for of in points])
    widths = boxes[:, 2] - boxes[:, 0]
    assert len(boxes) > 60
    assert scenes.SMALLEST <= widths.min() < 30 < 70 < widths.max() <= scenes.LARGEST
    assert (boxes > -1e-9).all()
    assert (boxes[:, 2:] <= np.array([scenes.WIDTH, scenes.HEIGHT]) + 1e-9).all()
    assert (points > boxes[:, None, :2]).all()
    assert (points < boxes[:, None, 2:]).all()


def test_a_head_in_a_scene_is_the_head_of_a_portrait():
    """At a whole number of pixels the light is the same, and points are shifted by it."""
    head = draw(scenes.SEED, 12)
    person = scenes.Person(head, 64.0, np.array([40.0, 30.0]))
    canvas = Canvas(head, person.rays(), dark(scenes.HEIGHT, scenes.WIDTH))
    portrait = Canvas(head, view(head, 64, 64), dark(64, 64))
    for one in (canvas, portrait):
        picture.put(one, head)
    rows, columns = slice(FINE * 30, FINE * 94), slice(FINE * 40, FINE * 104)
    assert portrait.rgb.max() > 0.2
    np.testing.assert_allclose(canvas.rgb[:, rows, columns], portrait.rgb, atol=0.02)
    assert np.abs(canvas.rgb[:, rows, columns] - portrait.rgb).mean() < 1e-4
    shifted = project(head, landmarks(head), 64) + np.array([40, 30])
    np.testing.assert_allclose(person.points, shifted)


def dark(height: int, width: int) -> np.ndarray:
    return np.zeros((3, FINE * height, FINE * width), dtype=np.float32)


def test_no_face_is_hidden_by_a_nearer_person():
    """What is in a face's box once it is painted stays when the others have been painted."""
    seen = 0
    for number in range(16):
        rgb = dark(scenes.HEIGHT, scenes.WIDTH)
        faces = []
        for person in scenes.people(number):
            picture.put(Canvas(person.head, person.rays(), rgb), person.head)
            left, top, right, bottom = np.rint(FINE * scenes.around(person.points)).astype(int)
            window = slice(top, bottom), slice(left, right)
            faces.append((window, rgb[:, *window].copy()))
            assert (faces[-1][1].max(axis=0) > 0.01).mean() > 0.5  # the head is there
        for window, alone in faces:
            changed = np.abs(rgb[:, *window] - alone).max(axis=0) > 1e-3
            assert changed.mean() < 0.03
        seen += len(faces) > 1 and len(faces)
    assert seen > 15


def test_people_of_a_scene_share_its_light():
    one, *others = next(found for found in map(scenes.people, range(20)) if len(found) > 2)
    for other in others:
        assert other.head.azimuth == one.head.azimuth
        assert other.head != replace(one.head, yaw=other.head.yaw)


def test_a_scene_is_the_same_alone_and_among_others(few):
    training, held_out = photos.load("scenes")
    assert (len(training), len(held_out)) == (3, 2)
    assert training.complete
    for part, start in ((training, 0), (held_out, scenes.HELD_OUT_START)):
        for number in range(len(part)):
            pixels = part.read(number)
            assert pixels.dtype == np.uint8
            assert pixels.shape == (3, scenes.HEIGHT, scenes.WIDTH)
            np.testing.assert_array_equal(pixels, scenes.paint(start + number))
            people = scenes.people(start + number)
            assert len(people) == len(part.boxes[number]) == len(part.points[number])
            for person, points in zip(people, part.points[number], strict=True):
                np.testing.assert_allclose(points, person.points, rtol=1e-6)
    names = {*training.names, *held_out.names}
    assert len(names) == len({*training.groups, *held_out.groups}) == 5
    assert training.fingerprint == photos.fingerprint("scenes")


def test_scenes_are_drawn_once_and_again_if_the_cache_is_damaged(few, monkeypatch):
    faces = sum(len(scenes.people(number)) for number in range(3))
    report = str(data.prepare("scenes"))
    assert f"3 training photos in 3 groups: {faces} faces, {faces} of them with points" in report
    before = photos.load("scenes")[1].read(1)
    drawn = []
    paint = scenes.paint
    monkeypatch.setattr(scenes, "paint", lambda number: drawn.append(number) or paint(number))
    photos.load("scenes")
    assert not drawn
    (file,) = (few / "data/cache").glob("scenes-*/scenes.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    np.testing.assert_array_equal(photos.load("scenes")[1].read(1), before)
    assert len(drawn) == 5


def test_a_cache_that_cannot_be_written_is_named(few):
    shutil.rmtree(few / "data")
    (few / "data").write_text("no folder")
    with pytest.raises(DataError, match="DCLIB_DATA"):
        photos.load("scenes")


def test_other_purposes_of_the_same_number_are_other_numbers():
    draws = [stream(2, 5, purpose).random() for purpose in ("head", "grain", "scene", "clutter")]
    assert len(set(draws)) == 4


@pytest.mark.data
@pytest.mark.skipif("DCLIB_MIRROR" not in os.environ, reason="DCLIB_MIRROR is not set")
def test_the_rule_of_boxes_is_that_of_real_ones():
    sets = photos.load("lfwnet")
    boxes, points = (
        np.concatenate([of for part in sets for of in getattr(part, field)]).astype(float)
        for field in ("boxes", "points")
    )
    rule = np.array([scenes.around(five) for five in points])
    both = np.minimum(boxes[:, 2:], rule[:, 2:]) - np.maximum(boxes[:, :2], rule[:, :2])
    area = np.prod(np.clip(both, 0, None), axis=1)
    total = sum(np.prod(of[:, 2:] - of[:, :2], axis=1) for of in (boxes, rule))
    assert np.median(area / (total - area)) == pytest.approx(0.84, abs=0.005)
    sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1) / (rule[:, 2] - rule[:, 0])
    assert np.median(sides) == pytest.approx(1, abs=0.01)
    offset = ((boxes[:, :2] + boxes[:, 2:] - rule[:, :2] - rule[:, 2:]) / 2) / (
        rule[:, 2:] - rule[:, :2]
    )
    np.testing.assert_allclose(np.median(offset, axis=0), 0, atol=0.015)
