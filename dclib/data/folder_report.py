"""What `python -m dclib data` says of a folder: what it holds, and what may not be meant so."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dclib.data.faces import FaceSet
from dclib.data.table import LANDMARKS, Table, spread

RADIANS = np.pi + 0.01  # no angle in radians lies beyond it
Doubts = Iterator[tuple[object, str]]  # whether there is one, and what it is


@dataclass(frozen=True)
class Report:
    """What `prepare` found; its text is for a terminal."""

    name: str
    table: Table
    train: FaceSet
    test: FaceSet
    copies: int  # photos that are there more than once

    def __str__(self) -> str:
        told = self.table
        how = "a fifth of the faces" if told.halves is None else "as the column split says"
        rows = [
            f"{self.name}: content verified, fingerprint {self.train.fingerprint}",
            f"{len(self.train):,} training and {len(self.test):,} test faces, {how}",
            f"tasks, the main one first: {', '.join(told.tasks)}; training / test faces:",
        ]
        for name in told.tasks:
            if name == LANDMARKS:
                counts, doubts = self._count_points(), self._doubts_of_points()
            elif name in told.classes:
                counts, doubts = self._count_words(name), self._doubts_of_words(name)
            else:
                counts, doubts = self._count_angles(name), _doubts_of_angle(told.labels[name])
            rows.append(f"  {name}: {counts}")
            rows += [f"    look again: {doubt}" for there, doubt in doubts if there]
        if self.copies:
            rows.append(f"  look again: {_share(self.copies, len(told.rows))} photos are copies")
        rows.append(self._mirror())
        rows.append(
            f"next: python -m dclib train --data {self.name} --method DCNet --lr 0.1"
            " --train-faces all"
        )
        return "\n".join(rows)

    def _count_points(self) -> str:
        told = self.table
        known = _each(*(~np.isnan(half.landmarks).any(axis=2) for half in (self.train, self.test)))
        by = "the box of the points"
        if told.eyes:
            by = f"the distance of points {told.eyes[0] + 1} and {told.eyes[1] + 1}"
        return f"{told.points.shape[1]} points, {known} known; errors are shares of {by}"

    def _count_angles(self, name: str) -> str:
        column = self.table.labels[name]
        known = _each(*(~np.isnan(half.labels[name]) for half in (self.train, self.test)))
        return f"{np.nanmin(column):g}° to {np.nanmax(column):g}°, {known} known"

    def _count_words(self, name: str) -> str:
        halves = self.train.labels[name], self.test.labels[name]
        values = [*enumerate(self.table.classes[name]), (-1, "unknown")]
        counts = [(word, _each(*(half == value for half in halves))) for value, word in values]
        return ", ".join(f"{word} {count}" for word, count in counts if count != "0 / 0")

    def _doubts_of_words(self, name: str) -> Doubts:
        words = self.table.classes[name]
        never = [word for at, word in enumerate(words) if at not in self.train.labels[name]]
        yield never, f"no training face is {' or '.join(never)}"
        alike = len({word.casefold() for word in words}) < len(words)
        yield alike, "some values differ only in capital letters, and count as different"

    def _doubts_of_points(self) -> Doubts:
        told = self.table
        known = ~np.isnan(told.points).any(axis=2)  # (N, L)
        count = len(known)
        outside = sum(int(_outside(half).sum()) for half in (self.train, self.test))
        yield (
            outside,
            f"{_share(outside, known.sum())} points lie outside the square that the network sees"
            " (a box is left, top, right, bottom, in pixels of the photo)",
        )
        origin = int((told.points == 0).all(axis=2).sum())
        at_origin = f"{_share(origin, known.sum())} points lie at (0, 0): leave unknown cells empty"
        yield origin, at_origin
        tight = int((spread(told.points) < 1).sum())
        yield tight, f"on {_share(tight, count)} faces all points lie within a pixel"
        faces = told.points[known.all(axis=1)]
        same = len(faces) > 1 and (faces == faces[0]).all()
        yield same, "the points are the same on every face"
        if told.eyes:
            across = abs(told.points[:, told.eyes[1]] - told.points[:, told.eyes[0]])  # (N, 2)
            near = int((across < 1).all(axis=1).sum())
            yield near, f"on {_share(near, count)} faces the eyes lie within a pixel"
            upright = across[:, 1] > across[:, 0]
            above = "the eyes lie above each other on most faces: x comes before y"
            yield upright.mean() > 0.5, above
        unscored = int(np.isnan(told.sizes).sum())
        yield (
            unscored,
            f"{_share(unscored, count)} faces have no two points that span a box, nor both eyes:"
            " they cannot be scored, so they are never for the test",
        )

    def _mirror(self) -> str:
        told = self.table
        symmetry = told.symmetry
        if not symmetry.mirror:
            return "never mirrored in training: about.toml does not say what a mirror does"
        angles = told.labels.keys() - told.classes.keys()
        fixed = [str(at + 1) for at, to in enumerate(symmetry.points) if at == to]
        left = {
            "points": fixed,
            "angles": sorted(angles - set(symmetry.negated)),
            "labels": [name for name in told.classes if name not in symmetry.classes],
        }
        kept = "; ".join(f"{kind} {', '.join(names)}" for kind, names in left.items() if names)
        none = "; no point moves" if len(fixed) == len(symmetry.points) > 1 else ""
        return f"mirrored in training, as about.toml says; left as they are: {kept or 'none'}{none}"


def _outside(faces: FaceSet) -> np.ndarray:
    """Which points (N, L) lie outside the window that the network sees."""
    points = faces.landmarks - (faces.images.shape[-1] - faces.resolution) / 2
    slack = 1e-3  # of rounding
    return np.asarray(((points < -slack) | (points > faces.resolution + slack)).any(axis=2))


def _doubts_of_angle(column: np.ndarray) -> Doubts:
    known = abs(column[~np.isnan(column)])
    same = len(np.unique(column[~np.isnan(column)])) == 1
    far = int((known > 90).sum())
    yield far, f"{_share(far, len(known))} angles lie beyond ±90°, taken as in the last bin"
    yield same, "the angle is the same on every face"
    radians = not same and (known <= RADIANS).all()
    yield radians, f"no angle lies beyond ±{known.max():.2g}°: are they radians?"


def _each(train: np.ndarray, test: np.ndarray) -> str:
    return f"{train.sum():,} / {test.sum():,}"


def _share(some: int, of: int) -> str:
    return f"{some:,} of {of:,} ({some / max(of, 1):.0%})"
