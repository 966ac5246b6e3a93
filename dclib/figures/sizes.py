"""Section 3 in numbers: how many parameters each part has, and what each method costs."""

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from dclib import paper
from dclib.block import CollaborativeBlock
from dclib.columns import Apart, Network, count_parameters
from dclib.figures import layers
from dclib.figures.results import in_order
from dclib.networks import build
from dclib.plan import FIG3
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
    tasks: Sequence[Task], underlying: str = "resnet18", resolution: int = 112, width: float = 1.0
) -> pd.DataFrame:
    """One row per method: its size and the cost of one image, beside what the paper says.

    Multiply-adds are those of convolutions and fully connected layers. Networks are built and run
    on the meta device, where nothing is computed. The paper's number is that of width 1.
    """
    rows = []
    for name in in_order(FIG3[underlying]):
        with torch.device("meta"):
            net = build(
                name, tasks=tasks, underlying=underlying, resolution=resolution, width=width
            )
            image = torch.empty(1, 3, resolution, resolution)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.eval()(image)
        first = next(net.columns[0].children())
        printed = paper.reported("params", method=name, underlying=underlying)["value"]
        rows.append(
            {
                "method": name,
                "columns": len(net.columns),
                "maps of block 1": layers.shapes(first, image)[first][0],
                "parameters (M)": count_parameters(net) / 1e6,
                "between columns (M)": count_parameters(net.mixers) / 1e6,
                "multiply-adds (M)": counter.get_total_flops() / 2e6,
                "paper: about (M)": printed.iloc[0] / 1e6 if len(printed) else math.nan,
            }
        )
    frame = pd.DataFrame(rows).set_index("method")
    return frame.dropna(axis="columns", how="all")  # the paper has no number for AlexNet
