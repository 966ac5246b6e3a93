"""Pages load what they use: no thebe, and no script of another page.

Thebe's script comes from elsewhere, and twice, an error in browsers. Scripts in `_static`, which
jupyter-book puts on all pages, are named by the pages that use them, with what is beside them.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def leave_out(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    own = Path(app.srcdir) / "_static"
    for kind in ("script_files", "css_files"):
        files = context.get(kind, [])
        files[:] = [file for file in files if not (_of_thebe(file) or _of_a_page(file, own))]


def _of_thebe(file: Any) -> bool:
    named = (getattr(file, "filename", file), getattr(file, "attributes", {}).get("body"))
    return any("thebe" in str(name).lower() for name in named)


def _of_a_page(file: Any, own: Path) -> bool:
    """Whether it is a script of the book, or lies in a folder of one."""
    name = Path(str(getattr(file, "filename", file)).partition("?")[0].removeprefix("_static/"))
    return (own / name).is_file() and (name.suffix == ".js" or len(name.parts) > 1)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", leave_out, priority=900)  # the last
    return {"parallel_read_safe": True, "parallel_write_safe": True}
