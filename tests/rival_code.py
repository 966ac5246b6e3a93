"""Tiny stand-ins for other people's code: the same names and places, little in them."""

from pathlib import Path

PUBLISHED = """
import torch
from torch import nn


def network_as_series_of_blocks(name, pretrained):
    raise AssertionError("replaced from outside")


class DeepCollaborationNetwork(nn.Module):
    def __init__(self, name, dims, pretrained):
        super().__init__()
        self.trunk, channels = network_as_series_of_blocks(name, pretrained)
        self.fcs = nn.ModuleList(nn.Linear(channels[-1], d) for d in dims)

    def forward(self, x):
        pooled = self.trunk(x).mean(dim=(2, 3))
        return [fc(pooled) for fc in self.fcs]
"""
NOT_TO_BE_RUN = "raise ImportError('a package that is not here')"
CLONE = {
    "__init__.py": NOT_TO_BE_RUN,
    "architecture/__init__.py": NOT_TO_BE_RUN,
    "architecture/abstract_arch.py": """
from torch import nn


class AbsArchitecture(nn.Module):
    def __init__(self, task_name, encoder_class, decoders, rep_grad, multi_input, device):
        super().__init__()
        assert not rep_grad and not multi_input
        self.task_name, self.encoder_class, self.decoders = task_name, encoder_class, decoders
""",
    "architecture/Cross_stitch.py": """
from torch import nn

from LibMTL.architecture.abstract_arch import AbsArchitecture


class Cross_stitch(AbsArchitecture):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.encoder = nn.ModuleList(self.encoder_class() for _ in self.task_name)

    def forward(self, inputs):
        found = {}
        for name, net in zip(self.task_name, self.encoder):
            x = net.maxpool(net.relu(net.bn1(net.conv1(inputs))))
            for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
                x = layer(x)
            found[name] = self.decoders[name](x)
        return found
""",
    "model/__init__.py": NOT_TO_BE_RUN,
    "model/resnet.py": """
from torchvision import models
from torchvision.models.resnet import BasicBlock


class ResNet(models.ResNet):
    def __init__(self, *args):
        super().__init__(*args)
        del self.fc


def resnet18():
    return ResNet(BasicBlock, [2, 2, 2, 2])
""",
}


def libmtl(folder: Path) -> Path:
    """Make a folder look like a clone of LibMTL."""
    for name, content in CLONE.items():
        file = folder / "LibMTL" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder
