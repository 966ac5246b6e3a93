"""The benchmark: what it compares computes the same, and its table is the arithmetic it says."""

import pandas as pd
import pytest
import torch

from dclib import bench
from dclib.errors import RunError

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


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(bench.SETTINGS, "tiny", (0.125, 32, 4))
    threads = torch.get_num_threads()
    yield "tiny"
    torch.set_num_threads(threads)


def test_contenders_take_turns(small):
    order: list[str] = []
    contenders = {name: lambda n=name: order.append(n) for name in ("plain", "ours")}
    seconds = bench.measure(contenders, rounds=2)
    assert order == ["plain", "ours"] * 3  # the first round warms up
    assert seconds.shape == (2, 2)


def test_every_contender_learns_from_its_steps(small, tmp_path):
    (tmp_path / "dcnet.py").write_text(PUBLISHED)
    contenders = bench.steps(small, authors=tmp_path)
    assert {"plain", "ours", "authors"} <= contenders.keys()
    frame = bench.table(bench.measure(contenders, rounds=1))
    assert (frame["least (ms)"] > 0).all()
    assert frame.loc["plain", "ratio"] == 1


def test_ratios_by_hand():
    seconds = pd.DataFrame({0: [2.0, 1.0], 1: [3.0, 2.0]}, index=["plain", "ours"])
    frame = bench.table(seconds)
    assert frame.loc["ours", "least (ms)"] == 1000
    assert frame.loc["ours", "ratio"] == 2
    assert frame.loc["ours", ["paired, least", "paired, most"]].tolist() == [1.5, 2.0]


def test_what_cannot_be_measured_is_refused(small, tmp_path):
    with pytest.raises(RunError, match="choose from"):
        bench.steps("huge")
    with pytest.raises(RunError, match=r"dcnet\.py: no such file"):
        bench.steps(small, authors=tmp_path)
    with pytest.raises(ValueError, match="at least 1"):
        bench.measure({}, rounds=0)
