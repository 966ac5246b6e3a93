"""Python files that are in no package, as modules."""

import importlib.util
from types import ModuleType

from dclib import paths


def module(path: str) -> ModuleType:
    """A file by its path in the repository."""
    file = paths.root() / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
