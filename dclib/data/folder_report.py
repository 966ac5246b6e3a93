"""What `python -m dclib data` says of a folder: what it holds, and what may not be meant so."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dclib.data.faces import FaceSet
from dclib.data.table import LANDMARKS, Table, spread

RADIANS = np.pi + 0.01  # no angle in radians lies beyond it
Doubts = Iterator[tuple[int, int, str]]  # how many, of how many if that is to be told, are what


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
            labels = self._label if name in told.classes else self._angle
            counts, doubts = self._points() if name == LANDMARKS else labels(name)
            rows += [f"  {name}: {counts}", *(f"    {doubt}" for doubt in _told(doubts))]
        copies = [(self.copies, len(told.rows), "photos are copies")]
        rows += [f"  {doubt}" for doubt in _told(iter(copies))]
        rows.append(self._mirror())
        rows.append(
            f"next: python -m dclib train --data {self.name} --method DCNet --lr 0.1"
            " --train-faces all"
        )
        return "\n".join(rows)

    @property
    def _halves(self) -> tuple[FaceSet, FaceSet]:
        return self.train, self.test

    def _points(self) -> tuple[str, Doubts]:
        told = self.table
        known = _each(*(~np.isnan(half.landmarks).any(axis=2) for half in self._halves))
        by = "the box of the points"
        if told.eyes:
            by = f"the distance of points {told.eyes[0] + 1} and {told.eyes[1] + 1}"
        counts = f"{told.points.shape[1]} points, {known} known; errors are shares of {by}"
        return counts, self._doubts_of_points()

    def _doubts_of_points(self) -> Doubts:
        told = self.table
        known = ~np.isnan(told.points).any(axis=2)  # (N, L)
        faces, points = len(known), int(known.sum())
        outside = sum(int(_outside(half).sum()) for half in self._halves)
        yield (
            *(outside, points),
            "points lie outside the square that the network sees (a box is left, top, right,"
            " bottom, in pixels of the photo)",
        )
        origin = (told.points == 0).all(axis=2).sum()
        yield origin, points, "points lie at (0, 0): leave unknown cells empty"
        yield (spread(told.points) < 1).sum(), faces, "faces have all points within a pixel"
        whole = told.points[known.all(axis=1)]
        same = len(whole) > 1 and (whole == whole[0]).all()
        yield same, 0, "the points are the same on every face"
        if told.eyes:
            across = abs(told.points[:, told.eyes[1]] - told.points[:, told.eyes[0]])  # (N, 2)
            yield (across < 1).all(axis=1).sum(), faces, "faces have the eyes within a pixel"
            upright = (across[:, 1] > across[:, 0]).mean() > 0.5
            yield upright, 0, "the eyes lie above each other on most faces: x comes before y"
        yield (
            *(np.isnan(told.sizes).sum(), faces),
            "faces have no two points that span a box, nor both eyes: they cannot be scored, so"
            " they are never for the test",
        )

    def _label(self, name: str) -> tuple[str, Doubts]:
        words = self.table.classes[name]
        counts = {
            word: _each(*(half.labels[name] == value for half in self._halves))
            for value, word in [*enumerate(words), (-1, "unknown")]
        }
        never = [word for at, word in enumerate(words) if at not in self.train.labels[name]]
        alike = len({word.casefold() for word in words}) < len(words)
        doubts = [
            (len(never), 0, f"no training face is {' or '.join(never)}"),
            (alike, 0, "some values differ only in capital letters, and count as different"),
        ]
        known = ", ".join(f"{word} {count}" for word, count in counts.items() if count != "0 / 0")
        return known, iter(doubts)

    def _angle(self, name: str) -> tuple[str, Doubts]:
        column = self.table.labels[name]
        known = column[~np.isnan(column)]
        most, same = abs(known).max(), (known == known[0]).all()
        each = _each(*(~np.isnan(half.labels[name]) for half in self._halves))
        far = (abs(known) > 90).sum()
        radians = not same and most <= RADIANS
        doubts = [
            (far, len(known), "angles lie beyond ±90°, taken as in the last bin"),
            (same, 0, "the angle is the same on every face"),
            (radians, 0, f"no angle lies beyond ±{most:.2g}°: are they radians?"),
        ]
        return f"{known.min():g}° to {known.max():g}°, {each} known", iter(doubts)

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


def _each(train: np.ndarray, test: np.ndarray) -> str:
    return f"{train.sum():,} / {test.sum():,}"


def _told(doubts: Doubts) -> Iterator[str]:
    for some, of, what in doubts:
        if some:
            share = f"{some:,} of {of:,} ({some / of:.0%}) " if of else ""
            yield f"look again: {share}{what}"


def _outside(faces: FaceSet) -> np.ndarray:
    """Which points (N, L) lie outside the window that the network sees."""
    points = faces.landmarks - (faces.images.shape[-1] - faces.resolution) / 2
    slack = 1e-3  # of rounding
    return np.asarray(((points < -slack) | (points > faces.resolution + slack)).any(axis=2))
