"""Series of blocks made by hand, for tests of methods on columns that no registry knows."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dclib.network import Method, Network
from dclib.tasks import Classes, Landmarks, Task

SIZE = 32
TASKS = (Landmarks(SIZE, points=2), Classes("smile", 2), Classes("profile", 3))
CHANNELS = (8, 17, 32)  # odd ones too


def column(channels: Sequence[int] = CHANNELS) -> nn.ModuleList:
    """As many blocks as there are numbers of channels, each halving the side."""
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(before, after, kernel_size=3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2),
        )
        for before, after in zip([3, *channels], channels, strict=False)
    )


def network(
    method: Method, tasks: Sequence[Task] = TASKS, channels: Sequence[int] = CHANNELS
) -> Network:
    torch.manual_seed(0)
    count = method.columns(len(tasks))
    return method.assemble(tasks, [column(channels) for _ in range(count)], [channels] * count)


def loss(net: Network, precision: torch.dtype = torch.float32) -> Tensor:
    """All tasks and the penalty on eight images, the forward pass perhaps in bf16."""
    torch.manual_seed(1)
    images, labels = torch.randn(8, 3, SIZE, SIZE), torch.arange(8) % 2
    points = torch.rand(8, 2, 2) * SIZE
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        features = net.features(images)
        logits = net.logits(features)
    total = net.penalty(features)
    assert total is not None
    for task in net.tasks:
        target = task.encode(points if isinstance(task, Landmarks) else labels)
        total = total + task.loss(logits[task.name].float(), target)
    return total


def untouched(net: Network) -> list[str]:
    """The parameters that the gradient of tasks and penalty does not reach."""
    net.zero_grad()
    loss(net).backward()
    return [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
