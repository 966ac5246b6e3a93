"""What `python -m dclib data` says of a folder: what it holds, and what may not be meant so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from dclib.data.faces import FaceSet
from dclib.data.table import LANDMARKS, Table, spread

RADIANS = np.pi + 0.01  # no angle in radians lies beyond it


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
            rows.append(f"  {name}: {self._counts(name)}")
            rows += [f"    look again: {doubt}" for doubt in self._doubts(name)]
        if self.copies:
            rows.append(f"  look again: {_share(self.copies, len(told.rows))} photos are copies")
        rows.append(self._mirror())
        rows.append(
            f"next: python -m dclib train --data {self.name} --method DCNet --lr 0.1"
            " --train-faces all"
        )
        return "\n".join(rows)

    def _counts(self, name: str) -> str:
        told = self.table
        if name == LANDMARKS:
            known = self._each(lambda half: ~np.isnan(half.landmarks).any(axis=2))
            by = "the box of the points"
            if told.eyes:
                by = f"the distance of points {told.eyes[0] + 1} and {told.eyes[1] + 1}"
            return f"{told.points.shape[1]} points, {known} known; errors are shares of {by}"
        if name not in told.classes:
            known = self._each(lambda half: ~np.isnan(half.labels[name]))
            column = told.labels[name]
            return f"{np.nanmin(column):g}° to {np.nanmax(column):g}°, {known} known"
        values = [*enumerate(told.classes[name]), (-1, "unknown")]
        counts = [(word, self._each(partial(_having, name, value))) for value, word in values]
        return ", ".join(f"{word} {count}" for word, count in counts if count != "0 / 0")

    def _each(self, of: Callable[[FaceSet], np.ndarray]) -> str:
        return f"{of(self.train).sum():,} / {of(self.test).sum():,}"

    def _doubts(self, name: str) -> Iterator[str]:
        if name == LANDMARKS:
            yield from self._doubts_of_points()
        elif name in self.table.classes:
            column = self.train.labels[name]
            words = self.table.classes[name]
            if never := [word for at, word in enumerate(words) if not (column == at).any()]:
                yield f"no training face is {' or '.join(never)}"
            if len({word.casefold() for word in words}) < len(words):
                yield "some values differ only in capital letters, and count as different"
        else:
            yield from _doubts_of_angle(self.table.labels[name])

    def _doubts_of_points(self) -> Iterator[str]:
        told = self.table
        known = ~np.isnan(told.points).any(axis=2)  # (N, L)
        seen = [_beyond(half) for half in (self.train, self.test)]
        if outside := sum(int(half.sum()) for half in seen):
            yield (
                f"{_share(outside, known.sum())} points lie outside the square that the network"
                " sees (a box is left, top, right, bottom, in pixels of the photo)"
            )
        if origin := int((told.points == 0).all(axis=2).sum()):
            yield f"{_share(origin, known.sum())} points lie at (0, 0): leave unknown cells empty"
        if tight := int((spread(told.points) < 1).sum()):
            yield f"on {_share(tight, len(known))} faces all points lie within a pixel"
        faces = told.points[known.all(axis=1)]
        if len(faces) > 1 and (faces == faces[0]).all():
            yield "the points are the same on every face"
        if told.eyes:
            across = abs(told.points[:, told.eyes[1]] - told.points[:, told.eyes[0]])  # (N, 2)
            if near := int((across < 1).all(axis=1).sum()):
                yield f"on {_share(near, len(known))} faces the eyes lie within a pixel"
            upright = across[:, 1] > across[:, 0]
            if upright.mean() > 0.5:
                yield "the eyes lie above each other on most faces: x comes before y"
        if unscored := int(np.isnan(told.sizes).sum()):
            yield (
                f"{_share(unscored, len(known))} faces have no two points that span a box, nor"
                " both eyes: they cannot be scored, so they are never for the test"
            )

    def _mirror(self) -> str:
        told = self.table
        symmetry = told.symmetry
        if not symmetry.mirror:
            return "never mirrored in training: about.toml does not say what a mirror does"
        points = [at for at, to in enumerate(symmetry.points) if at != to]
        angles = told.labels.keys() - told.classes.keys()
        left = {
            "points": [str(at + 1) for at in range(len(symmetry.points)) if at not in points],
            "angles": sorted(angles - set(symmetry.negated)),
            "labels": [name for name in told.classes if name not in symmetry.classes],
        }
        kept = "; ".join(f"{kind} {', '.join(names)}" for kind, names in left.items() if names)
        none = "; no point moves" if len(told.points[0]) > 1 and not points else ""
        return f"mirrored in training, as about.toml says; left as they are: {kept or 'none'}{none}"


def _having(name: str, value: int, faces: FaceSet) -> np.ndarray:
    return faces.labels[name] == value


def _beyond(faces: FaceSet) -> np.ndarray:
    """Which points (N, L) lie outside the window that the network sees."""
    points = faces.landmarks - (faces.images.shape[-1] - faces.resolution) / 2
    slack = 1e-3  # of rounding
    return np.asarray(((points < -slack) | (points > faces.resolution + slack)).any(axis=2))


def _doubts_of_angle(column: np.ndarray) -> Iterator[str]:
    known = column[~np.isnan(column)]
    if beyond := int((abs(known) > 90).sum()):
        yield f"{_share(beyond, len(known))} angles lie beyond ±90°, taken as in the last bin"
    if (known == known[0]).all():
        yield "the angle is the same on every face"
    elif (abs(known) <= RADIANS).all():
        yield f"no angle lies beyond ±{abs(known).max():.2g}°: are they radians?"


def _share(some: int, of: int) -> str:
    return f"{some:,} of {of:,} ({some / of:.0%})"
