"""How measuring is done: everything in turn, on one core, and afterwards all is as it was."""

import os

import pytest
import torch
from torch import nn

from dclib.study.speed import measuring


def test_steps_take_turns_and_the_first_round_does_not_count(monkeypatch):
    """With a clock that every step moves on by what it takes."""
    now = [0.0]
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])
    order: list[str] = []

    def step(name, durations):
        def run():
            order.append(name)
            now[0] += durations.pop(0)

        return run

    steps = {"a": step("a", [9.0, 1.0, 2.0]), "b": step("b", [9.0, 3.0, 4.0])}
    assert measuring.turns(steps, rounds=2) == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert order == ["a", "b"] * 3
    with pytest.raises(ValueError, match="at least 1"):
        measuring.turns({}, rounds=0)


def test_one_core_is_left_again_even_after_an_error():
    def state():
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
        return torch.get_num_threads(), cores

    seen = []

    def step():
        seen.append(state())
        raise RuntimeError("stop")

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        before = state()
        with pytest.raises(RuntimeError, match="stop"):
            measuring.turns({"only": step}, rounds=1)
        assert state() == before
    finally:
        torch.set_num_threads(threads)
    ((alone, cores),) = seen
    assert alone == len(cores) == 1


def test_kept_is_what_the_backward_pass_reads_and_no_weight():
    """A linear layer keeps its input, a tanh its output: 4 x 3 and 4 x 2 numbers of 4 bytes."""
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Tanh())
    x = torch.randn(4, 3)
    assert measuring.kept(lambda: net(x).sum().backward(), net) == 4 * (4 * 3 + 4 * 2)
    assert net[0].weight.grad is not None


def test_records_are_kept_by_kind_and_preset(tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    record = {"preset": "cpu", "threads": 1, "processor": "P", "commit": "c" * 40, "clean": False}
    assert measuring.read("speed", "cpu") is None
    assert measuring.write("speed", record) == tmp_path / "speed" / "cpu.json"
    assert measuring.read("speed", "cpu") == record
    assert measuring.read("cost", "cpu") is None
    assert measuring.where(record) == "on 1 thread of P, commit cccccccccc with changes"
