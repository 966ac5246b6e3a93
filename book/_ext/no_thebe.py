"""Pages load no thebe: its script comes from elsewhere, and twice, an error in browsers."""

from typing import Any

from sphinx.application import Sphinx


def leave_out(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    for kind in ("script_files", "css_files"):
        files = context.get(kind, [])
        files[:] = [file for file in files if not _of_thebe(file)]


def _of_thebe(file: Any) -> bool:
    named = (getattr(file, "filename", file), getattr(file, "attributes", {}).get("body"))
    return any("thebe" in str(name).lower() for name in named)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", leave_out, priority=900)  # the last
    return {"parallel_read_safe": True, "parallel_write_safe": True}
