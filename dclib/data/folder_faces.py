"""From a folder's table and photos to faces: what is cut, which are for the test."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from dclib.data import photo, table
from dclib.data.about import ABOUT
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, group, hold_out, margin_of
from dclib.data.photo import Square
from dclib.data.progress import progress
from dclib.data.table import HALVES, LANDMARKS, TABLE, Table
from dclib.errors import DataError
from dclib.files import content

TEST_SHARE = 0.20  # where the table has no column `split`


def content_fingerprint(folder: Path, digests: list[str] | None = None) -> str:
    """The fingerprint of a table and `about.toml`, and of photos with these digests."""
    digest = hashlib.sha256()
    for path in (folder / TABLE, folder / ABOUT):
        digest.update((content(path) if path.exists() else b"") + b"\0")
    digest.update("\n".join(digests or []).encode())
    return digest.hexdigest()[:16]


def digests(told: Table) -> list[str]:
    """The digest of each photo's bytes.

    Raises:
        DataError: a photo cannot be read.
    """
    photos = list(zip(told.rows, told.files, strict=True))
    return [
        hashlib.sha256(row.content(told.folder / file)).hexdigest()
        for row, file in progress(photos, "verify photos", len(photos))
    ]


def build(told: Table, digests: list[str], resolution: int, mark: str) -> Faces:
    """Training and test faces of a table whose photos have these digests.

    Raises:
        DataError: a fault in a photo, or a split that cannot be.
    """
    groups = group(told.groups, digests)

    def faces(index: list[int], margin: int) -> FaceSet:
        cut = (_face(told, at) for at in index)
        shape = (len(index), told.points.shape[1])
        images, points = photo.crops(cut, shape, resolution, margin, "photos")
        return FaceSet(
            images=images,
            landmarks=points,
            labels={name: column[index] for name, column in told.labels.items()},
            names=tuple(told.files[at] for at in index),
            groups=groups[index],
            resolution=resolution,
            symmetry=told.symmetry,
            fingerprint=mark,
            eyes=told.eyes,
        )

    train, test = _halves(told, groups)
    return faces(train, margin_of(resolution)), faces(test, 0)


def _halves(told: Table, groups: np.ndarray) -> tuple[list[int], list[int]]:
    """Training and test faces; errors can be measured on all of the latter."""
    every = np.arange(len(groups))
    unknown = np.isnan(told.sizes) if LANDMARKS in told.tasks else every < 0
    if told.halves is None:
        able = np.flatnonzero(~np.isin(groups, groups[unknown]))
        wanted = round(TEST_SHARE * len(groups))
        names = [told.files[i] for i in able]
        test = np.isin(every, able[hold_out(names, groups[able], wanted, purpose="test")])
    else:
        test = np.array(told.halves) == HALVES[1]
        first = np.unique(groups, return_index=True)[1][groups]  # (N,), of the group of each
        table.refuse(
            told.rows,
            test != test[first],
            lambda at: (
                f"it is in the group of line {told.rows[first[at]].number}, or has the same photo,"
                " but is in the other half of the split: put both into one"
            ),
        )
        table.refuse(
            told.rows,
            test & unknown,
            lambda at: (
                "a test face needs both eyes, or two points that span a box, for its error to be"
                f" measured, but {_unscored(told.points[at])}: add points or make it a training"
                " face"
            ),
        )
    train = ~test
    if not test.any() or train.sum() < 2:
        count = len(np.unique(groups))
        why = "add faces, or say by a column split which is which"
        if told.halves is None and unknown.any():
            at = int(np.flatnonzero(unknown)[0])
            why = (
                f"{unknown.sum()} faces have nothing for their errors to be shares of (in line"
                f" {told.rows[at].number} {_unscored(told.points[at])}): name the eyes in"
                f" {ABOUT} (eyes = [1, 2]), or give more points"
            )
        elif count == 1:
            why = "all photos are copies of each other, or of one group: add others"
        raise DataError(
            f"{told.folder / TABLE}: {train.sum()} training and {test.sum()} test faces in"
            f" {count} groups: {why}"
        )
    return np.flatnonzero(train).tolist(), np.flatnonzero(test).tolist()


def _unscored(points: np.ndarray) -> str:
    """Why errors of points (L, 2) are shares of nothing."""
    known = points[~np.isnan(points).any(axis=1)]
    if len(known) < 2:
        return "only one point is known" if len(known) else "no point is known"
    if table.spread(points[None])[0] < table.NEAR:
        return "all points lie in one place"
    return "all points lie on one level or upright line, whose box has no area"


def _face(told: Table, at: int) -> tuple[Image.Image, np.ndarray, Square]:
    """An upright photo, the points (L, 2) in it and the square that is cut."""
    row, points, box = told.rows[at], told.points[at], told.boxes[at]
    picture = photo.read(told.folder / told.files[at], f"{row.where}: {told.files[at]}")
    size = f"{picture.width} x {picture.height} pixels"
    boxed = not np.isnan(box[0])
    square = photo.box_square(box) if boxed else photo.central_square(picture.size)
    low, high = ((0, 0), picture.size) if boxed else (square[:2], np.add(square[:2], square[2]))
    outside = ((points < low) | (points > high)).any(axis=1)  # no missing point is
    middle = (box[:2] + box[2:]) / 2
    if outside.any():
        row.fail(
            f"point {np.flatnonzero(outside)[0] + 1} lies outside"
            f" {'the photo' if boxed else 'the central square of the photo'} ({size}): mend it, or"
            f" give a box in columns {', '.join(table.BOX)}"
        )
    if boxed and square[2] > 2 * max(picture.size):
        row.fail(f"the box is more than twice as large as the photo ({size}): mend the box")
    if boxed and ((middle < 0) | (middle > picture.size)).any():
        row.fail(f"the middle of the box lies outside the photo ({size}): mend the box")
    return picture, points, square
