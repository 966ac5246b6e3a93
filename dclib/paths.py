"""Where things live; each place can be moved by one environment variable."""

import os
from pathlib import Path


def root() -> Path:
    """The repository's top folder."""
    return Path(__file__).resolve().parent.parent


def _place(variable: str, default: Path) -> Path:
    named = os.environ.get(variable)
    return Path(named).expanduser().resolve() if named else default


def data() -> Path:
    """Downloaded archives and decoded face sets (`DCLIB_DATA`); never under version control."""
    return _place("DCLIB_DATA", root() / "data")


def store() -> Path:
    """Runs made on this machine, their checkpoints and weights (`DCLIB_STORE`)."""
    return _place("DCLIB_STORE", root() / "store")


def results() -> Path:
    """The committed reference records (`DCLIB_RESULTS`)."""
    return _place("DCLIB_RESULTS", root() / "results")


def mirror() -> Path | None:
    """A local folder holding the official archives (`DCLIB_MIRROR`), if one is named."""
    named = os.environ.get("DCLIB_MIRROR")
    return Path(named).expanduser().resolve() if named else None
