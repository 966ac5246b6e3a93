"""dclib: the reproducible companion of "Multi-Task Learning by Deep Collaboration"."""

from dclib import metrics
from dclib.block import CollaborativeBlock
from dclib.networks import METHODS, build, count_parameters
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
