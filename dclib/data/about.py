"""`about.toml`: what a folder's table cannot say. The file may be missing, and so may every line.

::

    tasks = ["landmarks", "smile"]    # the main one first; else the landmarks and every column
    eyes = [1, 2]                     # the points whose distance errors are shares of
    rolled = ["roll"]                 # angles that grow when the picture turns counter-clockwise

    [classes]
    smile = ["no", "yes"]             # in this order; else all words of the column, sorted

    [mirror]                          # without this table no face is ever mirrored
    points = [[1, 2], [4, 5]]         # pairs that change places
    negated = ["yaw", "roll"]         # angles that change their sign
    [mirror.classes]
    side = [["left", "right"]]        # pairs of words that change places

Points have the numbers of their columns: 1 is x1, y1.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from dclib.data.faces import Symmetry
from dclib.errors import DataError
from dclib.files import content

ABOUT = "about.toml"
KEYS = ("tasks", "eyes", "rolled", "classes", "mirror")
MIRROR_KEYS = ("points", "negated", "classes")


@dataclass(frozen=True)
class About:
    """What `about.toml` says; lists and tables that it leaves out are empty."""

    path: Path
    said: dict[str, Any] = field(default_factory=dict)

    def fail(self, fault: str) -> NoReturn:
        raise DataError(f"{self.path}: {fault}; mend the line or leave it out")

    @property
    def tasks(self) -> tuple[str, ...]:
        return self._words(self.said, "tasks")

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        found = self._table(self.said, "classes")
        return {name: self._words(found, name) for name in found}

    def eyes(self, points: int) -> tuple[int, int] | None:
        """The eyes, counted from 0, among so many points; None where none are named."""
        if "eyes" not in self.said or not points:
            return None
        ((left, right),) = self._point_pairs([self.said["eyes"]], "eyes", points)
        return left, right

    def symmetry(self, points: int, classes: dict[str, tuple[str, ...]]) -> Symmetry:
        """What a mirror and a rotation do to so many points, these labels, and any angles."""
        rolled = self._words(self.said, "rolled")
        mirror = self._table(self.said, "mirror")
        self._known(mirror, MIRROR_KEYS, "mirror.")
        pairs = mirror.get("points", []) if points else []
        pairs = self._point_pairs(pairs, "mirror.points", points)
        swapped = self._table(mirror, "classes")
        self._known(swapped, tuple(classes), "mirror.classes.")
        return Symmetry(
            points=_permutation(points, pairs),
            classes={
                name: _permutation(len(classes[name]), self._word_pairs(of, name, classes[name]))
                for name, of in swapped.items()
            },
            negated=self._words(mirror, "negated"),
            rolled=rolled,
            mirror="mirror" in self.said,
        )

    def _known(self, table: dict[str, Any], keys: Sequence[str], above: str = "") -> None:
        if unknown := [above + key for key in table if key not in keys]:
            self.fail(f"{', '.join(unknown)} means nothing here; known are {', '.join(keys)}")

    def _table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        found = table.get(key, {})
        if not isinstance(found, dict):
            self.fail(f"{key} is no table: write [{key}] on a line of its own")
        return found

    def _words(self, table: dict[str, Any], key: str) -> tuple[str, ...]:
        found = table.get(key, [])
        if not isinstance(found, list) or any(type(word) not in (str, int) for word in found):
            self.fail(f'{key} is no list of words, such as ["one", "two"]')
        words = tuple(map(str, found))
        if len(set(words)) < len(words):
            self.fail(f"{key} names something twice")
        return words

    def _pairs(self, found: Any, key: str) -> list[tuple[Any, Any]]:
        """Pairs of any kind, in which nothing stands twice."""
        sound = isinstance(found, list) and all(isinstance(p, list) and len(p) == 2 for p in found)
        if not sound:
            self.fail(f"{key} does not hold pairs, such as [1, 2]")
        flat = [one for pair in found for one in pair]
        if any(type(one) not in (str, int) for one in flat) or len(set(flat)) < len(flat):
            self.fail(f"{key} names something twice, or what is neither number nor word")
        return [(one, other) for one, other in found]

    def _point_pairs(self, found: Any, key: str, points: int) -> list[tuple[int, int]]:
        pairs = self._pairs(found, key)
        if any(one not in range(1, points + 1) for pair in pairs for one in pair):
            self.fail(f"{key} names a point that is not there; they count from 1 to {points}")
        return [(one - 1, other - 1) for one, other in pairs]

    def _word_pairs(self, found: Any, name: str, words: Sequence[str]) -> list[tuple[int, int]]:
        pairs = [(str(one), str(other)) for one, other in self._pairs(found, name)]
        if unknown := [word for pair in pairs for word in pair if word not in words]:
            self.fail(f"{', '.join(unknown)} in mirror.classes.{name} is none of {list(words)}")
        return [(words.index(one), words.index(other)) for one, other in pairs]


def _permutation(count: int, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    order = list(range(count))
    for one, other in pairs:
        order[one], order[other] = other, one
    return tuple(order)


def read(folder: Path) -> About:
    """What the folder's `about.toml` says, if there is one.

    Raises:
        DataError: it cannot be read, or holds a key that means nothing.
    """
    path = folder / ABOUT
    if not path.exists():
        return About(path)
    try:
        about = About(path, tomllib.loads(content(path).decode("utf-8-sig")))
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: cannot be read ({fault}); mend or remove it") from None
    about._known(about.said, KEYS)
    return about
