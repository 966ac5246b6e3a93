"""The paper's own method, checked against ltrottier/deep-collaboration-network (MIT)."""

from dclib.block import CollaborativeBlock
from dclib.columns import Method, per_task

METHOD = Method(
    "Deep Collaboration",
    equation=r"y_t = \mathrm{ReLU}(x_t + \mathcal{F}_t([x_t, z])), \quad"
    r" z = \mathcal{H}([x_1, \ldots, x_T])",
    columns=per_task,
    mixer=CollaborativeBlock,
)
