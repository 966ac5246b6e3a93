"""Pages are read and written by as many processes as there are cores, also by `jupyter-book`."""

import os

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    app.parallel = os.cpu_count() or 1
    return {"parallel_read_safe": True, "parallel_write_safe": True}
