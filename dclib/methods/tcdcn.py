"""TCDCN (Zhang et al., ECCV 2014): a small network, and related tasks that stop before they harm.

The layers are those of an independent version and of a summary of the paper; of the stopping rule
the structure is confirmed, its exact form and its settings are not. As everywhere here landmarks
are classified, where the original regresses them, and the weights of the tasks are fixed.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from dclib.columns import Method, Network
from dclib.methods.hard_sharing import hard_sharing
from dclib.tasks import Task
from dclib.underlying import scaled

CHANNELS = (16, 48, 64, 64)  # feature maps after each block, at width 1
FEATURES = 100  # of the fully connected layer, at width 1
SIDE, END = 40, 2  # of the input and of the last maps, in pixels

WINDOW = 5  # k, in epochs
THRESHOLD = 1.0  # epsilon
IMPORTANCE = 1.0  # lambda_a, of every related task
TINY = 1e-8  # least denominator


class SmallGrey(nn.Module):
    """Colour images of any size (B, 3, H, W) to grey ones of 40 px (B, 1, 40, 40)."""

    def forward(self, images: Tensor) -> Tensor:
        red, green, blue = images.split(1, dim=1)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue  # luma of ITU-R BT.601
        return functional.interpolate(
            grey, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
        )


class AbsoluteTanh(nn.Module):
    """The absolute value of tanh, the paper's activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh().abs()


def blocks(width: float = 1.0) -> nn.ModuleList:
    """The convolutional part: four blocks, the maps 18, 8, 3 and 2 pixels wide after them."""
    c1, c2, c3, c4 = (scaled(c, width) for c in CHANNELS)
    return nn.ModuleList(
        [
            nn.Sequential(SmallGrey(), nn.Conv2d(1, c1, 5), AbsoluteTanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(c1, c2, 3), AbsoluteTanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(c2, c3, 3), AbsoluteTanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(c3, c4, 2), AbsoluteTanh()),
        ]
    )


class TCDCN(Network):
    """A fully connected layer that all tasks share, then one linear layer for each."""

    def __init__(
        self,
        tasks: Sequence[Task],
        columns: Sequence[nn.ModuleList],
        channels: Sequence[Sequence[int]],
    ) -> None:
        last = channels[0][-1]
        shared = scaled(FEATURES, last / CHANNELS[-1])
        super().__init__(tasks, columns, channels, features=[shared] * len(tasks))
        self.shared = nn.Sequential(nn.Linear(last * END * END, shared), AbsoluteTanh())

    def make_head(self, features: int, outputs: int) -> nn.Module:
        return nn.Linear(features, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """The one feature (B, 100) that all heads get."""
        (x,) = self.last_maps(images)
        return [self.shared(x.flatten(1))] * len(self.tasks)  # x (B, 64, 2, 2)


def stopping_score(training: Sequence[float], held_out: float, window: int = WINDOW) -> float:
    """S_a: how little task a still learns, times how far it fails to carry over to other faces.

        k * med / (sum of the last k + 1 - k * med) * (E_val - min E_tr) / (lambda_a * min E_tr)

    with med the median of the last k + 1 training losses. The first factor is small while the loss
    falls, and k where it stands still. Both denominators are at least 1e-8.

    Args:
        training: the mean training loss of each epoch so far, E_tr; at least k + 1 of them.
        held_out: the loss on held-out faces after the last of them, E_val.
        window: k.
    """
    recent = training[-window - 1 :]
    middle, least = window * median(recent), min(training)
    trend = middle / max(sum(recent) - middle, TINY)
    return trend * (held_out - least) / max(IMPORTANCE * least, TINY)


def stopped(history: Sequence[dict[str, Any]], names: Sequence[str]) -> set[str]:
    """The tasks whose training has ended: those with S_a > epsilon after any epoch so far.

    The main task, the first, never ends, and no task before there are k + 1 epochs.

    Args:
        history: a row per epoch with `loss.TASK` and `held_out.TASK` of each task.
        names: the tasks, the main one first.
    """

    def ended(name: str) -> bool:
        training = [row[f"loss.{name}"] for row in history]
        return any(
            stopping_score(training[: t + 1], history[t][f"held_out.{name}"], WINDOW) > THRESHOLD
            for t in range(WINDOW, len(history))
        )

    return {name for name in names[1:] if ended(name)}


METHOD = Method(
    "TCDCN",
    source="zhang2014tcdcn",
    equation=r"\hat{y}_t = W_t f(\mathrm{image}),"
    r" \quad \lambda_a \leftarrow 0 \text{ once } S_a > \varepsilon",
    network=TCDCN,
    underlying="tcdcn",
    stopped=stopped,
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
    )
