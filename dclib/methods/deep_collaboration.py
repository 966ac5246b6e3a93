"""The paper's own method, checked against ltrottier/deep-collaboration-network (MIT)."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from dclib.block import CollaborativeBlock
from dclib.network import Method, per_task


def from_identity(channels: Sequence[int]) -> CollaborativeBlock:
    """A block that passes on what it gets until it has learned: the last scale of each F_t is 0.

    Section 3 motivates the skip connection by this: F_t can remove its contribution.
    """
    block = CollaborativeBlock(channels)
    for aggregate in block.specific:
        *_, last = aggregate.children()
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)
    return block


METHOD = Method(
    "Deep Collaboration",
    equation=r"y_t = \mathrm{ReLU}(x_t + \mathcal{F}_t([x_t, z])), \quad"
    r" z = \mathcal{H}([x_1, \ldots, x_T])",
    columns=per_task,
    mixer=CollaborativeBlock,
)
IDENTITY_START = replace(
    METHOD, title="Deep Collaboration, started at identity", mixer=from_identity, ablates="DCNet"
)
