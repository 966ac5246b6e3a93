"""The pages of the code are made from the code alone.

The parser would else follow each import into the libraries, a thousand files more, to show their
words at classes that inherit from them.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from astroid.manager import AstroidManager
from sphinx.application import Sphinx


def imported(source: str) -> Iterator[str]:
    """The modules that a file imports, by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def leave_libraries(app: Sphinx) -> None:
    """Python's own modules are read: what a dataclass is stands in them."""
    folders = [Path(app.srcdir) / folder for folder in app.config.autoapi_dirs]
    known = {folder.resolve().name for folder in folders} | set(sys.stdlib_module_names)
    for file in (file for folder in folders for file in folder.rglob("*.py")):
        names = imported(file.read_text(encoding="utf-8"))
        others = {name for name in names if name.partition(".")[0] not in known}
        AstroidManager().module_denylist.update(others)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", leave_libraries, priority=100)  # before the pages are made
    return {"parallel_read_safe": True, "parallel_write_safe": True}
