"""Soft sharing by L2 distance (Duong et al., ACL 2015): columns that are kept near each other.

Written from the paper's text alone. The division by n is ours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dclib.network import Channels, Columns, Method, Network, per_task
from dclib.tasks import Task


def kernels(columns: nn.ModuleList) -> list[Tensor]:
    """The kernels of each convolution of the columns, stacked: (T, out, in, k, k) per layer.

    Biases, BatchNorm and heads are left out: tasks may differ in what they are free to differ in.

    Raises:
        ValueError: when the columns differ in their convolutions.
    """
    own = [[m.weight for m in c.modules() if isinstance(m, nn.Conv2d)] for c in columns]
    if any([w.shape for w in column] != [w.shape for w in own[0]] for column in own):
        raise ValueError("columns are compared kernel by kernel, so they need equal convolutions")
    return [torch.stack(layer) for layer in zip(*own, strict=True)]


def distance(weights: Tensor) -> Tensor:
    """Squared distances between the weights (T, ...) of all pairs of tasks, per weight.

        sum_{s<t} ||W_s - W_t||^2 / n = T sum_t ||W_t - mean||^2 / n

    The right-hand side is what is computed; n is the number of weights of a task.
    """
    tasks, each = len(weights), weights[0].numel()
    return tasks * (weights - weights.mean(dim=0)).square().sum() / each


class L2Distance(Network):
    """A column per task, without mixers; the penalty is the `distance` summed over convolutions.

    Identical columns, such as copies of pre-trained ones, are at distance zero: the penalty then
    begins to act when the tasks have driven them apart. A weight w is drawn to the mean by
    2 T (w - mean) / n, times the weight of the penalty: most in layers of few weights. In wide ones
    that is little beside weight decay unless the weight is well above 1; in slim ones 1000 throws
    weights past the mean, and at large rates ever further.

    Raises:
        ValueError: when the columns differ in their convolutions.
    """

    def __init__(self, tasks: Sequence[Task], columns: Columns, channels: Channels) -> None:
        super().__init__(tasks, columns, channels)
        kernels(self.columns)  # refuses columns that cannot be compared

    def penalty(self, features: Sequence[Tensor]) -> Tensor:
        return torch.stack([distance(layer) for layer in kernels(self.columns)]).sum()


METHOD = Method(
    "soft sharing by L2 distance",
    source="duong2015",
    equation=r"\mathcal{L} + \lambda \textstyle\sum_\ell \sum_{s<t}"
    r" \lVert W_s^\ell - W_t^\ell \rVert^2 / n_\ell",
    columns=per_task,
    network=L2Distance,
    penalty=10.0,
    penalties=(1.0, 10.0, 100.0, 1000.0),
)
