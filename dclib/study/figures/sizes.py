"""Section 3 in numbers: how many parameters each part has, and what each method costs."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from dclib.block import CollaborativeBlock
from dclib.factory import build
from dclib.methods import METHODS
from dclib.network import Apart, Network, count_parameters
from dclib.splitting.series import shapes
from dclib.study import paper
from dclib.study.figures.results import in_order
from dclib.study.plans.presets import FIG3
from dclib.tasks import Task


def formula(channels: Sequence[int]) -> tuple[int, int]:
    """Parameters of H and of all F_t together, from Eq. 2 and 3 alone.

    With Z a quarter of all feature maps, rounded down, H has (sum C_t) Z + 9 Z^2 + 4 Z, and each
    F_t has (C_t + Z) C_t + 9 C_t^2 + 4 C_t: a 1x1 and a 3x3 convolution without biases, and two
    numbers for each feature map of a BatchNorm.
    """
    z = sum(channels) // 4
    central = sum(channels) * z + 9 * z**2 + 4 * z
    return central, sum((c + z) * c + 9 * c**2 + 4 * c for c in channels)


def by_part(net: Network) -> pd.DataFrame:
    """One row per part of a network: its parameters as counted, and by `formula` where it applies.

    The rows are the columns, what joins them at each depth, the heads, and all together.
    """
    rows: list[tuple[str, int, int | None]] = [
        (f"{len(net.columns)} × underlying network", count_parameters(net.columns), None)
    ]
    for depth, mixer in enumerate(net.mixers, 1):
        if isinstance(mixer, CollaborativeBlock):
            central, specific = formula(mixer.channels)
            rows.append((f"block {depth}: H", count_parameters(mixer.central), central))
            rows.append((f"block {depth}: all F", count_parameters(mixer.specific), specific))
        elif not isinstance(mixer, Apart):
            rows.append((f"{type(mixer).__name__} {depth}", count_parameters(mixer), None))
    rows.append((f"{len(net.heads)} heads", count_parameters(net.heads), None))
    rows.append(("all", count_parameters(net), None))
    frame = pd.DataFrame(rows, columns=["part", "parameters", "by formula"]).set_index("part")
    frame = frame.astype(float)  # a part without a formula has none: NaN
    return frame.assign(**{"% of all": 100 * frame["parameters"] / count_parameters(net)})


def by_method(
    tasks: Sequence[Task],
    underlying: str = "resnet18",
    resolution: int = 112,
    width: float = 1.0,
    methods: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per method: its size and the cost of one image, beside what the paper says.

    Networks are built and run on the meta device, where nothing is computed. The paper's number is
    that of width 1.

    Args:
        methods: by default those of Fig. 3.
    """
    rows = {}
    for name in in_order(methods or FIG3[underlying]):
        net = on_meta(name, tasks, underlying, resolution, width)
        printed = paper.reported("params", method=name, underlying=underlying)["value"]
        rows[name] = {
            "networks": len(net.columns),
            "maps of block 1": shapes(net.columns[0], resolution)[0][0],  # type: ignore[arg-type]
            "parameters (M)": count_parameters(net) / 1e6,
            "between networks (M)": count_parameters(net.mixers) / 1e6,
            "multiply-adds (M)": multiply_adds(net, resolution) / 1e6,
            "paper: about (M)": printed.iloc[0] / 1e6 if len(printed) else math.nan,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    return frame.dropna(axis="columns", how="all")  # the paper has no number for AlexNet


def on_meta(
    method: str,
    tasks: Sequence[Task],
    underlying: str = "resnet18",
    resolution: int = 112,
    width: float = 1.0,
) -> Network:
    """A network without its weights; of a method that stands for a network of its own, on that."""
    on = METHODS[method].underlying or underlying
    with torch.device("meta"):
        return build(method, tasks=tasks, underlying=on, resolution=resolution, width=width)


def multiply_adds(net: Network, resolution: int = 112, alone: bool = False) -> float:
    """Those of one image, as PyTorch counts them.

    Args:
        net: on any device; on the meta device it costs nothing, as for `needed`.
        resolution: of the image.
        alone: only of layers that the logits of the first task depend on.
    """
    with FlopCounterMode(display=False) as counter, _Scaled(), torch.no_grad():
        net.eval()(_image(net, resolution))
    if not alone:
        return counter.get_total_flops() / 2
    by_layer, kept = counter.get_flop_counts(), _kept(net, resolution)
    return sum(
        sum(by_layer.get(f"{type(net).__name__}.{name}", {}).values()) / 2
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight in kept
    )


class _Scaled(TorchFunctionMode):
    """BatchNorm's two weights alone: its means are not counted, and slow on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.batch_norm or kwargs["weight"] is None:
            return func(*args, **kwargs)
        shape = (-1,) + (1,) * (args[0].dim() - 2)
        return args[0] * kwargs["weight"].view(shape) + kwargs["bias"].view(shape)


def needed(net: Network, resolution: int = 112) -> int:
    """How many parameters the first task's logits depend on: what must be kept to predict it alone.

    A tensor of weights counts as a whole.
    """
    return sum(weight.numel() for weight in _kept(net, resolution))


def _image(net: Network, resolution: int) -> Tensor:
    return torch.zeros(1, 3, resolution, resolution, device=next(net.parameters()).device)


def _kept(net: Network, resolution: int) -> set[nn.Parameter]:
    """The weights at the leaves of the graph of the first task's logits."""
    with _Scaled():
        logits = net.eval()(_image(net, resolution))[net.tasks[0].name]
    waiting, met = [logits.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in met:
            met.add(node)
            waiting += [earlier for earlier, _ in node.next_functions]
    return {node.variable for node in met if hasattr(node, "variable")}
