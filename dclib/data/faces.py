"""A face set: pictures of faces, their landmarks and labels, and how to split them.

Pixel convention, everywhere: coordinates are continuous, pixel i covers [i, i + 1) and its centre
is i + 0.5, an image is [0, S). A mirror sends x to S - x, resizing by s sends x to s x.
"""

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Symmetry:
    """What a mirror and a rotation of the picture do to the labels."""

    points: tuple[int, ...]  # point i of the mirrored face was point points[i]
    classes: dict[str, tuple[int, ...]]  # class c of a face is class permutation[c] of its mirror
    negated: tuple[str, ...] = ()  # angles that a mirror negates
    rolled: tuple[str, ...] = ()  # angles to which a rotation in the picture adds
    mirror: bool = True  # whether it is known what a mirror does; if not, none is applied


@dataclass(frozen=True, eq=False)
class FaceSet:
    """N faces of S x S pixels; the network sees the centred window of `resolution` pixels."""

    images: np.ndarray  # uint8 (N, 3, S, S), may be memory-mapped
    landmarks: np.ndarray  # float32 (N, L, 2), x then y, pixels of `images`; NaN where not visible;
    # L is 0 in a set without landmarks
    labels: dict[str, np.ndarray]  # int64 (N,), -1 missing; or float32 (N,) degrees, NaN missing
    names: tuple[str, ...]
    groups: np.ndarray  # int64 (N,): faces of one photo or one person share a number
    resolution: int
    symmetry: Symmetry
    fingerprint: str  # of the source data, whatever the resolution
    eyes: tuple[int, int] | None = (0, 1)  # landmarks whose distance errors are shares of, if any

    def __post_init__(self) -> None:
        count, channels, height, width = self.images.shape
        if self.images.dtype != np.uint8 or channels != 3 or height != width:
            raise ValueError(f"images must be uint8 (N, 3, S, S), not {self.images.shape}")
        if width < self.resolution or (width - self.resolution) % 2:
            raise ValueError(f"no centred window of {self.resolution} pixels in {width}")
        if self.landmarks.shape != (count, len(self.symmetry.points), 2):
            raise ValueError(f"landmarks {self.landmarks.shape} do not fit {count} faces")
        if self.eyes and self.symmetry.points and max(self.eyes) >= len(self.symmetry.points):
            raise ValueError(f"eyes={self.eyes}: there are {len(self.symmetry.points)} landmarks")
        columns = {"groups": self.groups, **self.labels}
        if wrong := [name for name, column in columns.items() if column.shape != (count,)]:
            raise ValueError(f"{wrong} do not have one entry for each of {count} faces")
        if len(self.names) != count or len(set(self.names)) != count:
            raise ValueError(f"{count} faces need as many distinct names")

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, index: Sequence[int] | np.ndarray) -> "FaceSet":
        """The faces of `index`, in its order."""
        chosen = np.asarray(index, dtype=np.int64)
        return replace(
            self,
            images=self.images[chosen],
            landmarks=self.landmarks[chosen],
            labels={name: column[chosen] for name, column in self.labels.items()},
            names=tuple(self.names[i] for i in chosen),
            groups=self.groups[chosen],
        )


def mark(told: str) -> str:
    """The fingerprint of what is told."""
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def margin_of(resolution: int) -> int:
    """Pixels that training faces are wider than their window, for augmentation to find some in."""
    return 2 * round(resolution / 8)


def group(*keys: Sequence[str]) -> np.ndarray:
    """One number (N,) per face; faces that share any of their keys, however indirectly, share it.

    Each argument gives one key per face: its photo, its person, the photo's content.
    """
    return joined(len(keys[0]), [pair for column in keys for pair in same(column)])


def same(keys: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Each face, by one key per face, and the first that shares its key."""
    seen: dict[Hashable, int] = {}
    return ((seen.setdefault(key, face), face) for face, key in enumerate(keys))


def joined(count: int, pairs: Iterable[Sequence[int]]) -> np.ndarray:
    """One number (N,) per face; faces that pairs join, however indirectly, share it."""
    leader = list(range(count))

    def first(face: int) -> int:
        while leader[face] != face:
            face = leader[face]
        return face

    for pair in pairs:
        one, other = sorted(map(first, pair))
        leader[other] = one
    return np.unique([first(face) for face in leader], return_inverse=True)[1]


def split_validation(
    faces: FaceSet, share: float = 0.10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A training and a validation index that have no photo and no person in common.

    The training index is in a seeded order of its own: its first n entries are the n-face subset,
    so smaller subsets lie within larger ones. Both depend on the names and the seed only, not on
    the order of the faces or on any random number generator.

    Raises:
        ValueError: a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of validation faces must lie in [0, 1), not {share}")
    validation = hold_out(faces.names, faces.groups, round(share * len(faces)), seed)
    held_out = set(validation)
    training = [face for face in _shuffled(faces.names, seed, "training") if face not in held_out]
    return np.array(training, dtype=np.int64), np.array(validation, dtype=np.int64)


def hold_out(
    names: Sequence[str], groups: np.ndarray, wanted: int, seed: int = 0, purpose: str = "groups"
) -> list[int]:
    """At most `wanted` faces in whole groups, the same ones whatever the order of the faces."""
    members: dict[int, list[int]] = {}  # groups in the order of their first member
    for face in _shuffled(names, seed, purpose):
        members.setdefault(int(groups[face]), []).append(face)
    held_out: list[int] = []
    for together in members.values():
        if len(held_out) + len(together) <= wanted:
            held_out += together
    return held_out


def _shuffled(names: Sequence[str], seed: int, purpose: str) -> list[int]:
    """Positions sorted by a hash of seed and name: the same on every machine and version."""

    def key(face: int) -> bytes:
        return hashlib.sha256(f"{seed} {purpose} {names[face]}".encode()).digest()

    return sorted(range(len(names)), key=key)
