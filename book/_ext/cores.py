"""Pages are written by as many processes as there are cores, also by `jupyter-book`.

They are read by one: an extension of jupyter-book's does not say that it can do otherwise.
"""

import os

from sphinx.application import Sphinx


def write_side_by_side(app: Sphinx, *_: object) -> None:
    app.parallel = 1 + (os.cpu_count() or 1)  # the first hands out the pages


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-updated", write_side_by_side)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
