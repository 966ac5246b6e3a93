"""CelebA, 202,599 photos with one annotated face each, which the paper's cascade also trains on.

Source: Liu et al., "Deep learning face attributes in the wild", ICCV 2015; for non-commercial
research only. The photos are those "in the wild", not the aligned ones: to them the boxes and the
five points of the lists belong. Others than the one person of a photo are not annotated.

The lists do not say whether their pixels count from 0 or 1; they are taken to count from 0, so half
a pixel is added to every point. Photos whose box has no width or no height are left out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dclib import paths
from dclib.data import lists
from dclib.data.archive import absent, searched
from dclib.data.lists import Line
from dclib.data.photos import Photos, PhotoSet, listed
from dclib.errors import DataError

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
BOXES = "list_bbox_celeba.txt"
POINTS = "list_landmarks_celeba.txt"
PEOPLE = "identity_CelebA.txt"
PARTITION = "list_eval_partition.txt"
FIELDS = {BOXES: 5, POINTS: 11, PEOPLE: 2, PARTITION: 2}  # of a line of each list
PHOTOS = "img_celeba"
HEADINGS = 2  # lines before the first photo in BOXES and POINTS: the number of photos, the columns
TRAINING, TEST = "0", "2"  # in PARTITION; 1 is validation, which is not used


def load(source: Path | None = None, fetch: bool = False) -> Photos:
    """The photos of the training and of the test partition, grouped by person."""
    where = _places(source)
    told = {name: dict(_rows(where[name], name)) for name in FIELDS}
    for name, rows in told.items():
        if odd := rows.keys() ^ told[BOXES].keys():
            raise DataError(
                f"{where[name]}: {min(odd)} is there or in {BOXES}, but not in both; get the"
                " official lists anew"
            )
    names = [name for name, line in told[BOXES].items() if (line.numbers(3, 5) > 0).all()]
    mark = lists.fingerprint(rows[name] for rows in told.values() for name in names)
    people = np.unique([told[PEOPLE][name].fields[1] for name in names], return_inverse=True)[1]
    number = dict(zip(names, people, strict=True))
    empty = f"{len(told[BOXES]) - len(names):,} photos left out, whose box is empty"

    def part(partition: str) -> PhotoSet:
        chosen = [name for name in names if told[PARTITION][name].fields[1] == partition]
        lines = [told[BOXES][name] for name in chosen]
        boxes = np.array([line.numbers(1, 5) for line in lines]).reshape(-1, 1, 4)
        boxes[..., 2:] += boxes[..., :2]
        points = np.array([told[POINTS][name].numbers(1, 11) for name in chosen]) + 0.5
        return listed(
            "celeba",
            mark,
            where[PHOTOS],
            lines,
            boxes.astype(np.float32),
            points=points.reshape(-1, 1, 5, 2).astype(np.float32),
            groups=np.array([number[name] for name in chosen], dtype=np.int64),
            source=f"{where[PHOTOS].parent} ({empty})",
        )

    return part(TRAINING), part(TEST)


def fingerprint() -> str:
    """Of all four lists."""
    return load()[0].fingerprint


def _places(source: Path | None) -> dict[str, Path]:
    """Lists and photos in the first folder that has one of them, as in Anno, Eval and Img."""
    wanted, places = (*FIELDS, PHOTOS), searched(source)
    found: dict[str, Path] = {}
    for folder in (place / sub for place in places for sub in ("celeba", "CelebA", ".")):
        folders = [folder / sub for sub in ("Anno", "Eval", "Img", ".")]
        candidates = [folder / name for folder in folders for name in wanted]
        found = found or {path.name: path for path in candidates if path.exists()}
    if missing := ", ".join(name for name in wanted if name not in found):
        page = f"{PAGE} (the lists, and img_celeba.7z unpacked)"
        raise DataError(absent(f"CelebA: {missing}", places, page, paths.data() / "celeba"))
    return found


def _rows(path: Path, name: str) -> Iterator[tuple[str, Line]]:
    """The photos of a list and their lines."""
    lines, _ = lists.read(path)
    if name in (BOXES, POINTS):
        count, lines = lines[0], lines[HEADINGS:]
        if count.fields != (str(len(lines)),):
            count.fail(f"{len(lines)} photos follow, not {' '.join(count.fields)}")
    for line, photo in lists.distinct(lines):
        line.expect(FIELDS[name])
        if name == PARTITION and line.fields[1] not in ("0", "1", "2"):
            line.fail(f"a partition from 0 to 2 expected, not {line.fields[1]}")
        yield photo, line
