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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    said: dict[str, Any]

    def fail(self, fault: str) -> NoReturn:
        raise DataError(f"{self.path}: {fault}; mend the line or leave it out")

    def demand(self, named: Iterable[str], known: Iterable[str], what: str) -> None:
        """Refuse names that are none of those known."""
        if unknown := sorted({*named} - {*known}):
            self.fail(f"{what.format(', '.join(unknown))} {', '.join(known) or 'none'}")

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
        ((left, right),) = self._pairs([self.said["eyes"]], "eyes", _numbers(points))
        return left, right

    def symmetry(self, points: int, classes: dict[str, tuple[str, ...]]) -> Symmetry:
        """What a mirror and a rotation do to so many points, these labels, and any angles."""
        mirror = self._table(self.said, "mirror")
        self.demand(mirror, MIRROR_KEYS, "mirror.{} means nothing here; known are")
        swapped = self._table(mirror, "classes")
        self.demand(swapped, tuple(classes), "mirror.classes.{} means nothing here; known are")
        pairs = mirror.get("points", []) if points else []
        return Symmetry(
            points=self._permutation(pairs, "mirror.points", _numbers(points)),
            classes={
                name: self._permutation(of, f"mirror.classes.{name}", classes[name])
                for name, of in swapped.items()
            },
            negated=self._words(mirror, "negated"),
            rolled=self._words(self.said, "rolled"),
            mirror="mirror" in self.said,
        )

    def _table(self, above: dict[str, Any], key: str) -> dict[str, Any]:
        found = above.get(key, {})
        if not isinstance(found, dict):
            self.fail(f"{key} is no table: write [{key}] on a line of its own")
        return found

    def _words(self, table: dict[str, Any], key: str) -> tuple[str, ...]:
        found = table.get(key, [])
        if not isinstance(found, list) or any(type(word) not in (str, int) for word in found):
            self.fail(f'{key} is no list of words, such as ["one", "two"]')
        if len(set(map(str, found))) < len(found):
            self.fail(f"{key} names something twice")
        return tuple(map(str, found))

    def _pairs(self, found: Any, key: str, members: Sequence[str]) -> list[tuple[int, int]]:
        """Places of pairs among their members, in which nothing stands twice."""
        sound = isinstance(found, list) and all(isinstance(p, list) and len(p) == 2 for p in found)
        if not sound:
            self.fail(f"{key} does not hold pairs, such as [1, 2]")
        named = [one for pair in found for one in pair]
        odd = any(type(one) not in (str, int) for one in named)
        if odd or len(set(map(str, named))) < len(named):
            self.fail(f"{key} names something twice, or what is neither number nor word")
        self.demand([str(one) for one in named], members, f"{{}} in {key} is none of")
        return [(members.index(str(one)), members.index(str(other))) for one, other in found]

    def _permutation(self, found: Any, key: str, members: Sequence[str]) -> tuple[int, ...]:
        order = list(range(len(members)))
        for one, other in self._pairs(found, key, members):
            order[one], order[other] = other, one
        return tuple(order)


def _numbers(points: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, points + 1))


def read(folder: Path) -> About:
    """What the folder's `about.toml` says, if there is one."""
    path = folder / ABOUT
    if not path.exists():
        return About(path, {})
    try:
        about = About(path, tomllib.loads(content(path).decode("utf-8-sig")))
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: cannot be read ({fault}); mend or remove it") from None
    about.demand(about.said, KEYS, "{} means nothing here; known are")
    return about
