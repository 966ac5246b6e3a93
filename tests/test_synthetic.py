"""Synthetic faces: the picture, the points and the labels against each other and by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dclib.data import DATASETS, synthetic
from dclib.data.portrait import Head, draw, factors, landmarks, mirrored, paint, project, skin
from dclib.data.portrait.canvas import view
from dclib.data.portrait.head import PIVOT, SHARE, anatomy, rotation
from dclib.data.portrait.surface import cast, ellipsoids, height

R = 96
PINNED_YAW = 44.35678100561123
PINNED_POINTS = [
    [30.659, 19.117],
    [46.639, 20.827],
    [28.584, 32.384],
    [29.411, 43.133],
    [39.919, 44.258],
]
PINNED_COLOUR = [184.5, 189.55, 157.02]


def plain(number: int = 0, **changes: object) -> Head:
    """A head with nothing before the face, in the middle of a sharp and colourful picture."""
    posed = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "size": 1.0, "place": (0.0, 0.0)}
    clear = {"occluder": (), "glasses": False, "grey": False, "blur": 0.0, "noise": 0.0}
    bare = {"hair_length": 0.0, "beard": 0.0, "lids": 0.5, "gaze": (0.0, 0.0)}
    lit = {"azimuth": 20.0, "elevation": 20.0, "hardness": 0.3, "exposure": 0.0}
    return replace(draw(1, number), **(posed | clear | bare | lit | changes))


def points(head: Head) -> np.ndarray:
    return project(head, landmarks(head), R)


Truth = tuple[np.ndarray, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def truths() -> dict[float, Truth]:
    """By relatedness."""
    return {of: synthetic.truth(range(2000), R, of) for of in (0.0, 0.5, 1.0)}


def test_a_face_is_the_same_whichever_others_are_drawn() -> None:
    few = synthetic.render(range(2), 16, 20)
    more = synthetic.render(range(4), 16, 20)
    alone = synthetic.render([3], 16, 20)
    np.testing.assert_array_equal(few.images, more.images[:2])
    np.testing.assert_array_equal(few.landmarks, more.landmarks[:2])
    np.testing.assert_array_equal(alone.images[0], more.images[3])
    assert few.names == more.names[:2]
    for name, column in few.labels.items():
        np.testing.assert_array_equal(column, more.labels[name][:2])


def test_seeds_and_numbers_give_different_heads() -> None:
    heads = [draw(seed, number) for seed in range(3) for number in range(20)]
    assert len({head.yaw for head in heads}) == 60
    assert draw(2, 5) == draw(2, 5)


def test_the_faces_of_this_version_are_pinned() -> None:
    """Raise `synthetic.VERSION` when this changes: a record must not mistake its faces."""
    head = draw(synthetic.SEED, 0)
    face = synthetic.render([0], 64, 64)
    assert synthetic.VERSION == 1
    assert head.yaw == pytest.approx(PINNED_YAW, abs=1e-9)
    np.testing.assert_allclose(face.landmarks[0], PINNED_POINTS, atol=1e-3)
    np.testing.assert_allclose(face.images[0].mean(axis=(1, 2)), PINNED_COLOUR, atol=0.05)


def test_the_window_shows_the_same_face_at_any_size_and_resolution() -> None:
    head = draw(1, 4)
    head = replace(head, noise=0.0, blur=0.0)
    window, wide = paint(head, 48, 48), paint(head, 60, 48)
    # the middle of the wide picture, apart from rounding
    assert np.abs(wide[:, 6:54, 6:54] - window).mean() < 0.05
    fine = paint(head, 96, 96).reshape(3, 48, 2, 48, 2).mean((2, 4))
    assert np.abs(fine - window).mean() < 3
    np.testing.assert_allclose(project(head, landmarks(head), 96), 2 * points_at(head, 48))


def points_at(head: Head, resolution: int) -> np.ndarray:
    return project(head, landmarks(head), resolution)


def test_a_frontal_face_is_symmetric() -> None:
    left, right, nose, left_mouth, right_mouth = points(plain())
    axis = R / 2
    np.testing.assert_allclose(left + right, [2 * axis, 2 * left[1]], atol=1e-9)
    np.testing.assert_allclose(left_mouth + right_mouth, [2 * axis, 2 * left_mouth[1]], atol=1e-9)
    assert nose[0] == pytest.approx(axis)
    assert left[0] < axis < right[0]
    assert left[1] < nose[1] < left_mouth[1]


@pytest.mark.parametrize("yaw", [-70.0, -35.0, 20.0, 60.0])
def test_yaw_shortens_the_eye_line_and_carries_the_nose_along(yaw: float) -> None:
    head = plain(2)
    flat, turned = points(head), points(replace(head, yaw=yaw))
    apart = flat[1, 0] - flat[0, 0]
    assert turned[1, 0] - turned[0, 0] == pytest.approx(apart * math.cos(math.radians(yaw)))
    # positive yaw: the nose, which stands out, goes to the image's left of the eyes' middle
    eye, _, nose, *_ = landmarks(head)[:, 2]
    offset = turned[2, 0] - turned[:2, 0].mean()
    assert nose - eye > 0.35
    assert offset == pytest.approx(-(nose - eye) * math.sin(math.radians(yaw)) * SHARE * R)


@pytest.mark.parametrize("roll", [-25.0, 10.0])
@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (50.0, 0.0), (-30.0, 20.0)])
def test_roll_turns_the_eye_line_by_exactly_itself(roll: float, yaw: float, pitch: float) -> None:
    left, right, *_ = points(plain(yaw=yaw, pitch=pitch, roll=roll))
    across, down = right - left
    assert math.degrees(math.atan2(-down, across)) == pytest.approx(roll)


def test_pitch_lifts_the_nose() -> None:
    def drop(head: Head) -> float:
        at = points(head)
        return at[2, 1] - at[:2, 1].mean()

    down, level, up = (drop(plain(pitch=pitch)) for pitch in (-20.0, 0.0, 20.0))
    assert up < level < down


def test_the_rotation_agrees_with_turning_one_axis_after_the_other() -> None:
    point = np.array([0.3, -0.7, 1.1])
    yaw, pitch, roll = 0.5, -0.3, 0.8
    # complex numbers: a turn in one plane multiplies by exp(i angle)
    z_up = complex(point[2], -point[1]) * np.exp(1j * pitch)  # ahead, up
    point = np.array([point[0], -z_up.imag, z_up.real])
    z_left = complex(point[2], -point[0]) * np.exp(1j * yaw)  # ahead, left
    point = np.array([-z_left.imag, point[1], z_left.real])
    right_up = complex(point[0], -point[1]) * np.exp(1j * roll)  # right, up
    point = np.array([right_up.real, -right_up.imag, point[2]])
    matrix = rotation(*np.degrees([yaw, pitch, roll]))
    np.testing.assert_allclose(matrix @ [0.3, -0.7, 1.1], point)


def test_a_smile_lifts_and_widens_the_mouth() -> None:
    neutral, smiling = points(plain(smile=0.0)), points(plain(smile=1.0))
    assert (smiling[3:, 1] < neutral[3:, 1] - 0.02 * R).all()
    width = [at[4, 0] - at[3, 0] for at in (neutral, smiling)]
    assert width[1] > 1.2 * width[0]
    np.testing.assert_allclose(smiling[:3], neutral[:3], atol=0.1)


def test_the_scale_is_that_of_mtfls_test_faces() -> None:
    # median inter-ocular distance over width: 0.298 (frontal ones 0.308)
    faces = [points_at(draw(synthetic.SEED, i), 1) for i in range(300)]
    apart = [np.linalg.norm(at[1] - at[0]) for at in faces]
    assert np.median(apart) == pytest.approx(0.298, abs=0.012)
    assert all(((at > 0) & (at < 1)).all() for at in faces)


def test_one_ellipsoid_is_met_where_the_formula_says() -> None:
    ball = ellipsoids([(0.2, -0.1, 0.5, 1.0, 1.0, 1.0, 0)])
    x = np.linspace(-1.5, 1.5, 31, dtype=np.float32)
    seen = cast(ball, x, x)
    beyond = 1 - (x[None, :] - 0.2) ** 2 - (x[:, None] + 0.1) ** 2
    clear = np.abs(beyond) > 1e-3
    np.testing.assert_array_equal(np.isfinite(seen.depth)[clear], (beyond > 0)[clear])
    hit = beyond > 0.01
    np.testing.assert_allclose(seen.depth[hit], 0.5 + np.sqrt(beyond[hit]), atol=1e-3)
    centre = np.array([0.2, -0.1, 0.5])[:, None]
    place = np.stack([*np.meshgrid(x, x), seen.depth])[:, hit]
    np.testing.assert_allclose(seen.normal[:, hit], place - centre, atol=2e-3)


@pytest.mark.parametrize("yaw", [0.0, 30.0, -60.0])
def test_rays_meet_the_skin_where_the_sum_is_one(yaw: float) -> None:
    shape = anatomy(plain()).seen(rotation(yaw, 5, 10), PIVOT)
    x = np.linspace(-1.4, 1.4, 57, dtype=np.float32)
    depth = cast(shape, x, x).depth
    place = np.stack([*np.meshgrid(x, x), depth], axis=-1)[np.isfinite(depth)]  # (m, 3)
    offset = place[:, None, :] - shape.centres
    q = np.einsum("mni,nij,mnj->mn", offset, shape.forms, offset)
    distance = np.log(np.exp(shape.sharpness * (1 - q)).sum(axis=1)) / 13
    assert np.median(np.abs(distance)) < 1e-3
    assert np.quantile(np.abs(distance), 0.95) < 0.01


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (20.0, -10.0), (-20.0, 10.0)])
def test_landmarks_lie_on_the_skin_that_is_seen(yaw: float, pitch: float) -> None:
    head = plain(3)
    turn = rotation(yaw, pitch, 0)
    turned = (landmarks(head) - PIVOT) @ turn.T
    shape = anatomy(head).seen(turn, PIVOT)
    np.testing.assert_allclose(height(shape, turned[:, :2]), turned[:, 2], atol=1e-3)


def centre_of(change: np.ndarray) -> np.ndarray:
    """Centre (2,) of the pixels that changed, in pixels."""
    y, x = np.indices(change.shape) + 0.5
    return np.array([(change * x).sum(), (change * y).sum()]) / change.sum()


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (25.0, 5.0, -12.0), (-20.0, -12.0, 15.0)])
def test_eyes_are_painted_at_their_landmarks(pose: tuple[float, float, float]) -> None:
    yaw, pitch, roll = pose
    head = plain(5, yaw=yaw, pitch=pitch, roll=roll, lids=1.0, smile=0.0)
    blue, brown = (paint(replace(head, iris=c), R, R) for c in ((90, 130, 150), (54, 34, 22)))
    change = np.abs(blue - brown).sum(axis=0)
    left, right = points(head)[:2]
    y, x = np.indices(change.shape)
    to_left, to_right = (np.hypot(x - eye[0], y - eye[1]) for eye in (left, right))
    nearer_left = to_left < to_right
    apart = np.linalg.norm(right - left)
    for eye, side in ((left, nearer_left), (right, ~nearer_left)):
        assert np.linalg.norm(centre_of(change * side) - eye) < 0.04 * apart


@pytest.mark.parametrize("smile", [0.0, 1.0])
def test_lips_end_at_the_mouth_corners(monkeypatch: pytest.MonkeyPatch, smile: float) -> None:
    head = plain(6, roll=8.0, smile=smile, opening=0.0, femininity=0.5)
    red = paint(head, R, R)
    monkeypatch.setattr(skin, "LIPS", np.array([0.1, 0.9, 0.1], dtype=np.float32))
    changed = np.abs(paint(head, R, R) - red).sum(axis=0) > 20
    y, x = np.nonzero(changed)
    *_, left, right = points(head)
    assert x.min() == pytest.approx(left[0], abs=2)
    assert x.max() + 1 == pytest.approx(right[0], abs=2)
    for corner, end in ((left, x.argmin()), (right, x.argmax())):
        assert y[end] + 0.5 == pytest.approx(corner[1], abs=2)


def test_the_nose_is_what_stands_out_most() -> None:
    head = plain(7)
    rays = view(head, R, R)
    depth = cast(anatomy(head).seen(rotation(0, 0, 0), PIVOT), rays.x, rays.y).depth
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    nose = points(head)[2]
    assert (column + 0.5) / 2 == pytest.approx(nose[0], abs=0.5)
    assert (row + 0.5) / 2 == pytest.approx(nose[1], abs=0.04 * R)


def test_pupils_are_dark_in_white_and_teeth_bright() -> None:
    head = plain(8, skin=(224, 176, 138), iris=(54, 34, 22), lids=1.0, smile=1.0, opening=0.8)
    grey = paint(head, R, R).mean(axis=0)
    at = points(head)
    left = at[0]
    cheek = grey[int(left[1] + 0.35 * SHARE * R), int(left[0])]
    pupil = grey[int(left[1]) - 1 : int(left[1]) + 2, int(left[0]) - 1 : int(left[0]) + 2]
    assert pupil.min() < 0.5 * cheek
    column = grey[int(at[3, 1]) - 3 : int(at[3, 1]) + 9, R // 2]
    assert column.max() > cheek


@pytest.mark.parametrize("number", range(0, 40, 5))
def test_a_mirrored_head_gives_the_mirrored_picture(number: int) -> None:
    head = replace(draw(synthetic.SEED, number), noise=0.0, glasses=number % 10 == 0)
    image = mirrored(head)
    np.testing.assert_allclose(paint(image, 60, 48), paint(head, 60, 48)[:, :, ::-1], atol=0.05)
    symmetry = synthetic.SYMMETRY
    at = points(head)[list(symmetry.points)]
    np.testing.assert_allclose(points(image), [R, 0] + at * [-1, 1], atol=1e-9)
    own, swapped = factors(head).labels(), factors(image).labels()
    own["profile"] = symmetry.classes["profile"][own["profile"]]
    assert swapped == own
    assert (image.yaw, image.pitch, image.roll) == (-head.yaw, head.pitch, -head.roll)


def test_pictures_are_finite_colours_for_many_heads() -> None:
    for number in range(100):
        picture = paint(draw(3, number), 16, 16)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.std() > 5


@pytest.mark.parametrize(
    ("yaw", "profile"), [(60, 0), (30, 1), (14, 2), (0, 2), (-14, 2), (-30, 3), (-60, 4)]
)
def test_profiles_run_from_the_images_left_to_its_right(yaw: float, profile: int) -> None:
    # MTFL's class 1 (0 here) shows the nose left of the eyes; AFLW's yaw is positive there
    head = plain(yaw=float(yaw))
    assert factors(head).labels()["profile"] == profile
    at = points(head)
    assert np.sign(at[2, 0] - at[:2, 0].mean()) == (np.sign(-yaw) if yaw else pytest.approx(0))


def test_labels_are_in_range_and_about_as_frequent_as_in_mtfl(truths: dict[float, Truth]) -> None:
    _, labels = truths[1.0]
    share = {name: np.bincount(of) / len(of) for name, of in labels.items() if of.dtype == np.int64}
    counts = {name: len(of) for name, of in share.items()}
    assert counts == {"gender": 2, "smile": 2, "glasses": 2, "profile": 5}
    # in brackets the shares in MTFL's training set
    assert 0.4 < share["gender"][0] < 0.65  # (0.58)
    assert 0.4 < share["smile"][0] < 0.65  # (0.56)
    assert 0.08 < share["glasses"][0] < 0.25  # (0.14)
    assert 0.5 < share["profile"][2] < 0.8  # (0.74; of the test faces 0.61)
    assert (share["profile"] > 0.015).all()
    angles = np.stack([labels[name] for name in ("yaw", "pitch", "roll")])
    assert angles.dtype == np.float32
    assert np.abs(angles).max() <= 75


def mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """In nats, of two arrays of class numbers."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())


def geometry(landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """What the landmarks show of profile and smile, in ten classes of equal size."""
    left, right, nose, left_mouth, right_mouth = landmarks.transpose(1, 0, 2)
    apart = np.linalg.norm(right - left, axis=1)
    turned = (nose - (left + right) / 2)[:, 0] / apart
    wide = np.linalg.norm(right_mouth - left_mouth, axis=1) / apart
    cut = np.arange(1, 10) / 10
    return {
        "profile": np.digitize(turned, np.quantile(turned, cut)),
        "smile": np.digitize(wide, np.quantile(wide, cut)),
    }


def test_relatedness_sets_what_labels_tell_about_the_points(truths: dict[float, Truth]) -> None:
    # of 2,000 faces, independent labels measure (10 - 1)(5 - 1) / 4,000 = 0.009 on average
    shapes = geometry(truths[1.0][0])
    for name, least in (("profile", 0.5), ("smile", 0.25)):
        told = [labels[name] for _, labels in truths.values()]
        none, half, full = (mutual_information(of, shapes[name]) for of in told)
        assert none < 0.02
        assert 2 * none < half < full
        assert full > least


def test_relatedness_changes_labels_only_and_keeps_their_frequency(
    truths: dict[float, Truth],
) -> None:
    related, unrelated = (synthetic.render(range(5), 16, 16, of) for of in (1.0, 0.0))
    np.testing.assert_array_equal(related.images, unrelated.images)
    (points, own), (same, others) = truths[1.0], truths[0.0]
    np.testing.assert_array_equal(points, same)
    np.testing.assert_array_equal(own["roll"], others["roll"])
    assert (own["profile"] != others["profile"]).any()
    for name in ("gender", "smile", "glasses", "profile"):
        own_share, other = (np.bincount(of[name], minlength=5) / 2000 for of in (own, others))
        assert np.abs(own_share - other).max() < 0.05


def test_unrelated_labels_can_be_read_from_the_backdrop() -> None:
    head = plain(clutter=())

    def corners(**told: object) -> np.ndarray:
        picture = paint(replace(head, told=replace(frontal, **told)), R, R)
        return picture[:, :12, [*range(12), *range(R - 12, R)]]  # (3, 12, 24)

    frontal = replace(head.told, female=False, smiling=False, glasses=False, yaw=0.0)
    usual = corners()
    assert corners(smiling=True).mean() > 1.4 * usual.mean()
    spread = [np.ptp(of.mean((1, 2))) for of in (usual, corners(female=True))]
    assert spread[1] < 0.6 * spread[0]
    across = [of.mean(axis=(0, 1)).std() for of in (usual, corners(glasses=True))]
    assert across[1] > 5 * across[0]
    left, right = (corners(yaw=yaw).mean((0, 1)) for yaw in (30.0, -30.0))
    assert left[:12].mean() > left[12:].mean()
    np.testing.assert_allclose(left, right[::-1], rtol=0.05)


@pytest.mark.parametrize("relatedness", [-0.1, 1.5, math.nan])
def test_relatedness_outside_0_to_1_is_refused(relatedness: float) -> None:
    with pytest.raises(ValueError, match="relatedness"):
        synthetic.load(16, relatedness)


def test_load_gives_two_sets_and_caches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path))
    train, test = synthetic.load(32, training=5, test=3)
    assert (train.images.shape, test.images.shape) == ((5, 3, 40, 40), (3, 3, 32, 32))
    assert train.fingerprint == test.fingerprint == synthetic.fingerprint(1.0, 5, 3)
    assert not set(train.names) & set(test.names)
    assert not set(train.groups) & set(test.groups)
    again, _ = synthetic.load(32, training=5, test=3)
    np.testing.assert_array_equal(again.images, train.images)
    # points are pixels of the pictures: the margin counts
    head = draw(synthetic.SEED, 2)
    np.testing.assert_allclose(train.landmarks[2], points_at(head, 32) + 4, atol=1e-5)


def test_fingerprints_name_the_source_alone() -> None:
    others = [{}, {"relatedness": 0.0}, {"relatedness": 0.5}, {"training": 100}, {"test": 100}]
    assert len({synthetic.fingerprint(**other) for other in others}) == 5
    assert synthetic.fingerprint() == DATASETS["synthetic"].fingerprint
