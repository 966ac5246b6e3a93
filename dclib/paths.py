"""Where things live; each place can be moved by one environment variable.

In a clone of the repository they are its folders. Where dclib is installed without one, they are
folders of its user.
"""

import os
from pathlib import Path


def root() -> Path:
    """The repository's top folder."""
    return Path(__file__).resolve().parent.parent


def cloned() -> bool:
    """Whether the code is that of a clone of the repository."""
    return (root() / "pyproject.toml").is_file() and (root() / "notebooks").is_dir()


def _place(variable: str, default: str) -> Path:
    if named := os.environ.get(variable):
        return Path(named).expanduser().resolve()
    users = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "dclib"
    return (root() if cloned() else users) / default


def data() -> Path:
    """Downloaded archives and decoded face sets (`DCLIB_DATA`); never under version control."""
    return _place("DCLIB_DATA", "data")


def store() -> Path:
    """Runs made on this machine, their checkpoints and weights (`DCLIB_STORE`)."""
    return _place("DCLIB_STORE", "store")


def results() -> Path:
    """The committed reference records (`DCLIB_RESULTS`)."""
    return _place("DCLIB_RESULTS", "results")


def output() -> Path:
    """Figures and tables of notebooks (`DCLIB_OUTPUT`)."""
    return _place("DCLIB_OUTPUT", "build/output")


def mirror() -> Path | None:
    """A local folder holding the official archives (`DCLIB_MIRROR`), if one is named."""
    named = os.environ.get("DCLIB_MIRROR")
    return Path(named).expanduser().resolve() if named else None
