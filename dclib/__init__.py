"""dclib: the reproducible companion of "Multi-Task Learning by Deep Collaboration".

The public names load on first use, so that commands which need no network start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dclib import metrics
    from dclib.block import CollaborativeBlock
    from dclib.factory import build
    from dclib.methods import METHODS
    from dclib.network import count_parameters
    from dclib.tasks import mtfl_tasks

__all__ = [
    "METHODS",
    "CollaborativeBlock",
    "build",
    "count_parameters",
    "metrics",
    "mtfl_tasks",
]
__version__ = "0.1.0"

_HOME = {
    "METHODS": "dclib.methods",
    "CollaborativeBlock": "dclib.block",
    "build": "dclib.factory",
    "count_parameters": "dclib.network",
    "mtfl_tasks": "dclib.tasks",
}

_MODULES = {
    "metrics": "dclib.metrics",
    "execution": "dclib.fast",
    "plan": "dclib.study.plans",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'dclib' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
