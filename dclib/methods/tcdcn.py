"""TCDCN (Zhang et al., ECCV 2014): a small network, and related tasks that stop before they harm.

The layers are those of flyingzhao/tfTCDCN (not the authors', no licence: nothing is taken) and of a
summary of the paper; of the stopping rule the structure is confirmed, its exact form and settings
are not. Landmarks are classified, not regressed, and the weights of the tasks are fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from torch import Tensor, nn

from dclib.methods.hard_sharing import hard_sharing
from dclib.network import Channels, Columns, Method, Network
from dclib.tasks import Task
from dclib.underlying import TCDCN_CHANNELS, AbsoluteTanh, scaled

FEATURES = 100  # of the fully connected layer, at width 1
END = 2  # side of the last maps, in pixels

WINDOW = 5  # k, in epochs
THRESHOLD = 1.0  # epsilon
TINY = 1e-8  # least denominator


class TCDCN(Network):
    """A fully connected layer that all tasks share, then one linear layer for each."""

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        last = channels[0][-1]
        shared = scaled(FEATURES, last / TCDCN_CHANNELS[-1])
        super().__init__(tasks, columns, channels, features=[shared] * len(tasks))
        self.shared = nn.Sequential(nn.Linear(last * END * END, shared), AbsoluteTanh())

    def make_head(self, features: int, outputs: int) -> nn.Module:
        return nn.Linear(features, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """The one feature (B, 100) that all heads get."""
        (x,) = self.last_maps(images)
        return [self.shared(x.flatten(1))] * len(self.tasks)  # x (B, 64, 2, 2)


def stopping_score(
    training: Sequence[float], held_out: float, window: int = WINDOW, weight: float = 1.0
) -> float:
    """S_a: how little task a still learns, times how far it fails to carry over to other faces.

        k * med / (sum of the last k + 1 - k * med) * (E_val - min E_tr) / (lambda_a * min E_tr)

    with med the median of the last k + 1 training losses. The first factor is small while the loss
    falls, and k where it stands still. Both denominators are at least 1e-8.

    Args:
        training: the mean training loss of each epoch so far, E_tr; at least k + 1 of them.
        held_out: the loss on held-out faces after the last of them, E_val.
        window: k.
        weight: of the task in the loss, lambda_a.
    """
    recent = training[-window - 1 :]
    middle, least = window * median(recent), min(training)
    trend = middle / max(sum(recent) - middle, TINY)
    return trend * (held_out - least) / max(weight * least, TINY)


def stopped(history: Sequence[dict[str, Any]], weights: Mapping[str, float]) -> set[str]:
    """The tasks whose training has ended: those with S_a > epsilon after any epoch so far.

    The main task, the first, never ends, and no task before there are k + 1 epochs.

    Args:
        history: a row per epoch with `loss.TASK` and `held_out.TASK` of each task.
        weights: of the tasks in the loss, the main one first.
    """

    def ended(name: str) -> bool:
        training = [row[f"loss.{name}"] for row in history]
        held_out = [row[f"held_out.{name}"] for row in history]
        return any(
            stopping_score(training[: t + 1], held_out[t], WINDOW, weights[name]) > THRESHOLD
            for t in range(WINDOW, len(history))
        )

    return {name for name in list(weights)[1:] if ended(name)}


METHOD = Method(
    "TCDCN",
    source="zhang2014tcdcn",
    equation=r"\hat{y}_t = W_t f(\mathrm{image}),"
    r" \quad \lambda_a \leftarrow 0 \text{ once } S_a > \varepsilon",
    network=TCDCN,
    underlying="tcdcn",
    stopped=stopped,
    revision=1,
)


def with_stopping(underlying: str) -> Method:
    """Hard sharing whose related tasks stop by the same rule."""
    return replace(
        hard_sharing(underlying),
        title="hard sharing, task-wise early stopping",
        source="zhang2014tcdcn",
        equation=r"\hat{y}_t = \mathrm{head}_t(f(\mathrm{image})),"
        r" \quad \lambda_a \leftarrow 0 \text{ once } S_a > \varepsilon",
        stopped=stopped,
        revision=1,
    )
