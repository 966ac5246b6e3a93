"""Other people's code: found in a folder, made slim from outside, and no trace of it left."""

import sys

import pytest
import rival_code
import torch
from torch import nn

from dclib import underlying
from dclib.errors import RunError
from dclib.study.speed import other_code
from dclib.tasks import mtfl_tasks


@pytest.fixture
def clone(tmp_path):
    return rival_code.libmtl(tmp_path)


def blocks(net) -> nn.ModuleList:
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return nn.ModuleList([stem, net.layer1, net.layer2, net.layer3, net.layer4])


@pytest.mark.parametrize("width", [0.125, 0.25, 1.0])
def test_their_encoder_at_any_width_is_ours(clone, width):
    """With the same weights, block by block."""
    theirs = blocks(other_code.libmtl(clone, mtfl_tasks(32), width).encoder[0])
    ours = underlying.blocks("resnet18", width)
    ours.load_state_dict(theirs.state_dict())  # as many maps of the same names
    x = y = torch.randn(4, 3, 32, 32)
    for theirs_block, block in zip(theirs, ours, strict=True):
        x, y = theirs_block(x), block(y)
        assert torch.equal(x, y)


def test_their_network_has_a_column_and_a_head_for_each_task(clone):
    tasks = mtfl_tasks(32)
    net = other_code.libmtl(clone, tasks, 0.125)
    found = net(torch.randn(4, 3, 32, 32))
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        task.name: (4, task.outputs) for task in tasks
    }
    assert len({id(p) for p in net.encoder.parameters()}) == 5 * len(
        list(underlying.blocks("resnet18", 0.125).parameters())
    )


def test_no_module_of_theirs_stays_and_one_that_was_there_comes_back(clone, monkeypatch):
    other_code.libmtl(clone, mtfl_tasks(32), 0.125)
    assert not [name for name in sys.modules if name.startswith("LibMTL")]
    other = type(sys)("LibMTL")
    monkeypatch.setitem(sys.modules, "LibMTL", other)
    other_code.libmtl(clone, mtfl_tasks(32), 0.125)
    assert sys.modules["LibMTL"] is other


def test_the_authors_network_is_slim_from_outside(tmp_path):
    (tmp_path / "dcnet.py").write_text(rival_code.PUBLISHED)
    net = other_code.authors(tmp_path, mtfl_tasks(32), 0.125)
    assert [fc.in_features for fc in net.fcs] == [64] * 5
    assert [x.shape[1] for x in net(torch.randn(2, 3, 32, 32))] == [320, 2, 2, 2, 5]


def test_folders_without_their_code_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"dcnet\.py: no such file"):
        other_code.authors(tmp_path, mtfl_tasks(32))
    with pytest.raises(RunError, match="no clone of LibMTL"):
        other_code.libmtl(tmp_path, mtfl_tasks(32))
    assert not [name for name in sys.modules if name.startswith("LibMTL")]
