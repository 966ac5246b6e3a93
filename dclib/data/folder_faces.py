"""From a folder's table and photos to faces: what is cut, which are for the test."""

import hashlib
from pathlib import Path

import numpy as np

from dclib.data import about, photo, table
from dclib.data.dataset import Faces
from dclib.data.faces import FaceSet, group, hold_out
from dclib.data.progress import progress
from dclib.data.table import HALVES, LANDMARKS, TABLE, Table
from dclib.errors import DataError
from dclib.files import content

TEST_SHARE = 0.20  # where the table has no column `split`


def content_fingerprint(folder: Path, digests: list[str] | None = None) -> str:
    """The fingerprint of a table and `about.toml`, and of photos with these digests."""
    digest = hashlib.sha256()
    for file in (TABLE, about.ABOUT):
        path = folder / file
        digest.update(content(path) if path.exists() else b"")
        digest.update(b"\0")
    digest.update("\n".join(digests or []).encode())
    return digest.hexdigest()[:16]


def digests(told: Table) -> list[str]:
    """The digest of each photo's bytes.

    Raises:
        DataError: a photo cannot be read.
    """
    count = len(told.rows)
    return [_digest(told, at) for at in progress(range(count), "verify photos", count)]


def _digest(told: Table, at: int) -> str:
    try:
        return hashlib.sha256(content(told.folder / told.files[at])).hexdigest()
    except OSError as fault:
        why = fault.strerror or fault
        told.rows[at].fail(
            f"{told.files[at]} cannot be read ({why}): put it there or remove the line"
        )


def build(told: Table, digests: list[str], resolution: int, mark: str) -> Faces:
    """Training and test faces of a table whose photos have these digests.

    Raises:
        DataError: a fault in a photo, or a split that cannot be.
    """
    groups = group(told.groups, digests)
    train, test = _halves(told, groups)
    margin = 2 * round(resolution / 8)
    return (
        _faces(told, train, groups, resolution, margin, mark),
        _faces(told, test, groups, resolution, 0, mark),
    )


def _halves(told: Table, groups: np.ndarray) -> tuple[list[int], list[int]]:
    """Training and test faces; errors can be measured on all of the latter."""
    unknown = np.isnan(told.sizes) if LANDMARKS in told.tasks else np.zeros(len(groups), dtype=bool)
    if told.halves is None:
        able = np.flatnonzero(~np.isin(groups, groups[unknown]))
        wanted = round(TEST_SHARE * len(groups))
        held_out = hold_out([told.files[i] for i in able], groups[able], wanted, purpose="test")
        test = {int(able[at]) for at in held_out}
    else:
        test = {at for at, half in enumerate(told.halves) if half == HALVES[1]}
        _refuse_leaks(told, groups, test)
        for at in sorted(test & set(np.flatnonzero(unknown).tolist())):
            told.rows[at].fail(
                "a test face needs both eyes, or two points that span a box, for its error to be"
                f" measured, but {_unscored(told.points[at])}: add points or make it a training"
                " face"
            )
    train = [at for at in range(len(groups)) if at not in test]
    if not test or len(train) < 2:
        why = "add faces, or say by a column split which is which"
        if len(set(groups.tolist())) == 1:
            why = "all photos are copies of each other, or of one group: add others"
        if told.halves is None and unknown.any():
            first = np.flatnonzero(unknown)[0]
            why = (
                f"{unknown.sum()} faces have nothing for their errors to be shares of (in line"
                f" {told.rows[first].number} {_unscored(told.points[first])}): name the eyes in"
                f" {about.ABOUT} (eyes = [1, 2]), or give more points"
            )
        raise DataError(
            f"{told.folder / TABLE}: {len(train)} training and {len(test)} test faces in"
            f" {len(set(groups.tolist()))} groups: {why}"
        )
    return train, sorted(test)


def _unscored(points: np.ndarray) -> str:
    """Why errors of points (L, 2) are shares of nothing."""
    known = points[~np.isnan(points).any(axis=1)]
    if len(known) < 2:
        return "only one point is known" if len(known) else "no point is known"
    if table.spread(points[None])[0] < table.NEAR:
        return "all points lie in one place"
    return "all points lie on one level or upright line, whose box has no area"


def _refuse_leaks(told: Table, groups: np.ndarray, test: set[int]) -> None:
    """Faces of one group, or with the same photo, must be in the same half."""
    first: dict[int, int] = {}
    for at, number in enumerate(groups.tolist()):
        other = first.setdefault(number, at)
        if (at in test) != (other in test):
            told.rows[at].fail(
                f"it is in the group of line {told.rows[other].number}, or has the same photo, but"
                " is in the other half of the split: put both into one"
            )


def _faces(
    told: Table, index: list[int], groups: np.ndarray, resolution: int, margin: int, mark: str
) -> FaceSet:
    size = resolution + margin
    images = np.empty((len(index), 3, size, size), dtype=np.uint8)
    points = np.empty((len(index), *told.points.shape[1:]), dtype=np.float32)
    for to, at in enumerate(progress(index, "decode photos", len(index))):
        images[to], points[to] = _face(told, at, resolution, margin)
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


def _face(told: Table, at: int, resolution: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """One face (3, S, S) and its points (L, 2), from an upright photo."""
    row, points, box = told.rows[at], told.points[at], told.boxes[at]
    where = f"{row.path}:{row.number}: {told.files[at]}"
    picture = photo.read(told.folder / told.files[at], where)
    size = f"{picture.width} x {picture.height} pixels"
    boxed = not np.isnan(box[0])
    square = photo.box_square(box) if boxed else photo.central_square(picture.size)
    low, high = ((0, 0), picture.size) if boxed else (square[:2], np.add(square[:2], square[2]))
    outside = ((points < low) | (points > high)).any(axis=1)  # no missing point is
    if outside.any():
        row.fail(
            f"point {np.flatnonzero(outside)[0] + 1} lies outside"
            f" {'the photo' if boxed else 'the central square of the photo'} ({size}): mend it, or"
            f" give a box in columns {', '.join(table.BOX)}"
        )
    if boxed and square[2] > 2 * max(picture.size):
        row.fail(f"the box is more than twice as large as the photo ({size}): mend the box")
    middle = (box[:2] + box[2:]) / 2
    if boxed and ((middle < 0) | (middle > picture.size)).any():
        row.fail(f"the middle of the box lies outside the photo ({size}): mend the box")
    return photo.crop(picture, points, square, resolution, margin)
