"""Progress: a bar on a terminal, a plain line every tenth of the way elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SHORT = 100  # what takes fewer steps is not worth a line


def progress(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, while telling on standard error how many of `total` have passed."""
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total or None, leave=False)
        return
    for count, item in enumerate(items, 1):
        yield item
        if total >= SHORT and count * 10 // total > (count - 1) * 10 // total:
            print(f"{what}: {count:,} of {total:,}", file=sys.stderr, flush=True)
