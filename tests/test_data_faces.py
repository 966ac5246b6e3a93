"""Face sets, groups and splits."""

import random
from dataclasses import replace

import numpy as np
import pytest

from dclib.data.faces import FaceSet, Symmetry, group, split_validation


def face_set(count: int = 60, groups: np.ndarray | None = None) -> FaceSet:
    rng = np.random.default_rng(0)
    return FaceSet(
        images=rng.integers(0, 255, (count, 3, 10, 10), dtype=np.uint8),
        landmarks=rng.random((count, 5, 2), dtype=np.float32) * 10,
        labels={"smile": rng.integers(0, 2, count), "yaw": rng.random(count, dtype=np.float32)},
        names=tuple(f"face {i}" for i in range(count)),
        groups=np.arange(count) // 3 if groups is None else groups,
        resolution=8,
        symmetry=Symmetry((1, 0, 2, 4, 3), {"smile": (0, 1)}, ("yaw",)),
        fingerprint="abc",
    )


def test_subset_takes_the_same_faces_of_every_column():
    faces = face_set()
    chosen = faces.subset([7, 3])
    assert len(chosen) == 2
    assert chosen.names == ("face 7", "face 3")
    for whole, part in (
        (faces.images, chosen.images),
        (faces.landmarks, chosen.landmarks),
        (faces.groups, chosen.groups),
        (faces.labels["yaw"], chosen.labels["yaw"]),
    ):
        np.testing.assert_array_equal(part, whole[[7, 3]])
    assert chosen.fingerprint == faces.fingerprint


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resolution": 9}, "no centred window"),
        ({"resolution": 12}, "no centred window"),
        ({"images": np.zeros((60, 3, 10, 10), np.float32)}, "uint8"),
        ({"images": np.zeros((60, 3, 10, 12), np.uint8)}, "uint8"),
        ({"landmarks": np.zeros((60, 4, 2), np.float32)}, "landmarks"),
        ({"groups": np.zeros(59, np.int64)}, "groups"),
        ({"eyes": (0, 5)}, "eyes=.*5 landmarks"),
        ({"labels": {"smile": np.zeros((60, 1))}}, "smile"),
        ({"names": ("twice",) * 60}, "distinct names"),
    ],
)
def test_a_face_set_that_does_not_fit_together_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        replace(face_set(), **change)


def test_groups_join_through_either_key():
    photos = ["a", "a", "b", "c", "d"]
    contents = ["1", "2", "2", "3", "1"]
    # 0-1 by photo, 1-2 and 0-4 by content; 3 alone
    number = group(photos, contents)
    assert len({number[0], number[1], number[2], number[4]}) == 1
    assert number[3] != number[0]


def test_groups_join_late_chains():
    number = group(["a", "b", "c", "d"], ["1", "1", "2", "2"], ["x", "y", "y", "z"])
    assert len(set(number.tolist())) == 1


def test_split_shares_no_group_and_loses_no_face():
    faces = face_set()
    training, validation = split_validation(faces)
    assert sorted([*training, *validation]) == list(range(60))
    assert not set(faces.groups[training]) & set(faces.groups[validation])
    assert len(validation) == 6


def test_split_stays_within_its_share_when_a_group_is_large():
    groups = np.zeros(60, dtype=np.int64)
    groups[50:] = np.arange(10) + 1
    training, validation = split_validation(face_set(groups=groups), share=0.1)
    assert len(validation) == 6
    assert set(range(50)) <= set(training.tolist())


def test_split_depends_on_names_and_seed_only():
    faces = face_set()
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first = split_validation(faces, seed=3)
    again = split_validation(faces, seed=3)
    turned = faces.subset(np.arange(60)[::-1])
    elsewhere = split_validation(turned, seed=3)
    other = split_validation(faces, seed=4)
    for one, two, three in zip(first, again, elsewhere, strict=True):
        np.testing.assert_array_equal(one, two)
        assert [faces.names[i] for i in one] == [turned.names[i] for i in three]
    assert set(first[1].tolist()) != set(other[1].tolist())


def test_the_training_order_is_no_order_of_the_file():
    training, _ = split_validation(face_set())
    early = np.mean(training[:27])
    assert abs(early - 29.5) < 10  # the first half is drawn from everywhere
    assert (np.diff(training) < 0).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        split_validation(face_set(), share=share)


def test_no_validation_faces_when_none_are_wanted():
    training, validation = split_validation(face_set(), share=0)
    assert len(training) == 60
    assert len(validation) == 0
