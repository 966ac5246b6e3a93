"""What the paper prints of its protocol, and what the code has instead: exact, without any run."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dclib.block import CollaborativeBlock
from dclib.campaign import FACES
from dclib.columns import count_parameters
from dclib.metrics import THRESHOLD
from dclib.mtcnn import stages
from dclib.presets import NO_RELATED, PRESETS
from dclib.section4 import DRAWS, RATIOS, drawn_weights
from dclib.tasks import Angle, Classes, Landmarks, Orientation, aflw_tasks, mtfl_tasks
from dclib.train import LAST
from dclib.verdicts import checks

PAPER = PRESETS["paper"]
GROUP_SIZE = (1600, 1158)  # of the photo of the Fifth Solvay Conference


@dataclass(frozen=True)
class Fact:
    """What the code has: a value, the page that shows it, and what else there is to say."""

    value: float
    page: str
    note: str = ""


def _points(of: Callable[[int], tuple[object, ...]]) -> int:
    (task,) = (task for task in of(112) if isinstance(task, Landmarks))
    return task.points


def _profiles() -> int:
    (task,) = (t for t in mtfl_tasks(112) if isinstance(t, Classes) and t.name == "profile")
    return task.outputs


def _orientation() -> int:
    (task,) = (task for task in aflw_tasks(112) if isinstance(task, Orientation))
    return task.outputs


def _weights() -> np.ndarray:
    names = [name for name, _ in NO_RELATED]
    return np.array([[w for _, w in drawn_weights(n, names)] for n in range(DRAWS["paper"])])


def _at_cpu(field: str) -> str:
    value = PRESETS["cpu"].settings[field]
    return f"at `paper`; {value:,} at `cpu`"


NOT_HAD = "made from photos that are not to be had here; the page counts what was made from others"

# By section, condition and metric of the ledger.
FACTS: dict[tuple[str, str, str], Callable[[], Fact]] = {
    ("4.1", "angle bins", "width"): lambda: Fact(Angle("yaw").width, "04_1_framework"),
    ("4.1", "landmark bins", "width"): lambda: Fact(
        112 / (Landmarks(112).outputs / Landmarks(112).cross_entropies), "04_1_framework"
    ),
    ("4.1", "failure threshold", "normalised_mean_distance"): lambda: Fact(
        THRESHOLD, "04_1_framework"
    ),
    ("4.2", "training faces", "count"): lambda: Fact(
        FACES["mtfl"][0], "04_0_data", _at_cpu("train_faces")
    ),
    ("4.2", "test faces", "count"): lambda: Fact(FACES["mtfl"][1], "04_0_data"),
    ("4.2", "all faces", "count"): lambda: Fact(sum(FACES["mtfl"]), "04_0_data"),
    ("4.2", "epochs", "count"): lambda: Fact(
        PAPER.settings["epochs"], "04_2_mtfl", _at_cpu("epochs")
    ),
    ("4.2", "tries", "count"): lambda: Fact(PAPER.tries, "04_2_mtfl"),
    ("4.2", "averaged over the last", "count"): lambda: Fact(LAST, "04_2_mtfl"),
    ("4.2", "landmarks", "count"): lambda: Fact(_points(mtfl_tasks), "04_0_data"),
    ("4.2", "face profiles", "count"): lambda: Fact(_profiles(), "04_0_data"),
    ("4.3", "images", "count"): lambda: Fact(
        math.nan, "data", "the photos of AFLW cannot be had without a request to its authors"
    ),
    ("4.3", "faces with all landmarks visible", "count"): lambda: Fact(
        sum(FACES["aflw-50"]), "data", "other faces, and points that are not visible left out"
    ),
    ("4.3", "landmarks", "count"): lambda: Fact(_points(aflw_tasks), "04_3_aflw"),
    ("4.3", "orientation bins of roll yaw and pitch together", "count"): lambda: Fact(
        _orientation(), "deviations", "6 of yaw, 4 of pitch, 4 of roll: our division"
    ),
    ("4.3", "epochs", "count"): lambda: Fact(
        PAPER.settings["epochs"],
        "04_3_aflw",
        f"at `paper`; {min(RATIOS.values())} to {max(RATIOS.values())} at `cpu`",
    ),
    ("4.3", "tries", "count"): lambda: Fact(PAPER.tries, "04_3_aflw", "at `paper`; 2 at `cpu`"),
    ("4.3", "averaged over the last", "count"): lambda: Fact(LAST, "04_3_aflw"),
    ("4.3", "random task weights", "count"): lambda: Fact(
        DRAWS["paper"], "04_3_aflw", "at `cpu` as many as there was time for"
    ),
    ("4.3", "random task weights", "train_ratio"): lambda: Fact(
        round(FACES["aflw-50"][0] / sum(FACES["aflw-50"]), 2), "04_3_aflw"
    ),
    ("4.3", "random task weights", "lowest"): lambda: Fact(
        10.0 ** np.floor(np.log10(_weights().min())), "04_3_aflw", "the bound of what is drawn"
    ),
    ("4.3", "random task weights", "highest"): lambda: Fact(
        10.0 ** np.ceil(np.log10(_weights().max())), "04_3_aflw", "the bound of what is drawn"
    ),
    ("4.5", "landmark training faces", "count"): lambda: Fact(math.nan, "04_5_mtcnn", NOT_HAD),
    ("4.5", "detection training crops", "count"): lambda: Fact(math.nan, "04_5_mtcnn", NOT_HAD),
    ("3", "central aggregation divides feature maps by", "factor"): lambda: Fact(
        _factor(), "03_collaborative_block"
    ),
}


def _factor() -> float:
    block = CollaborativeBlock((64,) * 5)
    first: Any = block.central[0]
    return sum(block.channels) / float(first.out_channels)


def picture(metric: str) -> Fact:
    """Width or height, in pixels, of the photo that stands in for that of Fig. 7."""
    at = ("width", "height").index(metric)
    return Fact(GROUP_SIZE[at], "04_5_mtcnn", "another photo, one that may be shown")


def cascade_parameters() -> Fact:
    """Parameters of the three stages of MTCNN with collaborative blocks."""
    count = sum(stages.parameters("DC-MTCNN").values())
    return Fact(count, "04_5_mtcnn", "rounds to what is printed")


def parameters() -> Fact:
    """Parameters of DCNet around ResNet18."""
    count = count_parameters(checks.on_meta("DCNet", "resnet18"))
    return Fact(count, "03_collaborative_block", "rounds to what is printed")
