"""The benchmark: what it compares is the same work, and its table is the arithmetic it says."""

import pytest
import rival_code
import torch

from dclib import fast
from dclib.errors import RunError
from dclib.study.speed import bench
from dclib.study.speed.bench import Setting

TINY = Setting(0.125, 32, 4)


def test_every_contender_learns_from_its_steps_and_stands_beside_its_own_method(tmp_path):
    clone = rival_code.libmtl(tmp_path)
    (clone / "dcnet.py").write_text(rival_code.PUBLISHED)
    for method, theirs in (("DCNet", {"authors"}), ("XS", {"LibMTL"}), ("RN", set())):
        found = bench.contenders(TINY, method, authors=clone, libmtl=clone)
        assert found.keys() - {"ours, bf16"} == {"plain", "ours", *theirs}
        for contender in found.values():
            before = [p.detach().clone() for p in contender.net.parameters()]
            contender()
            after = list(contender.net.parameters())
            assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_ours_is_computed_as_runs_are():
    found = bench.contenders(TINY)
    how = fast.choose(torch.device("cpu"), TINY.width, TINY.resolution)
    assert found["ours"].forms == how["forms"] != "plain"
    assert bool(found["ours"].optimiser.defaults["fused"]) == (how.get("optimiser") == "fused")
    assert found["ours"].images.is_contiguous(memory_format=torch.channels_last)
    assert found["plain"].forms == "plain"
    assert not found["plain"].optimiser.defaults["fused"]
    assert found["plain"].images.is_contiguous()


def test_a_step_in_ours_is_the_step_in_plain():
    """From the same weights on the same images: the parameters after one step agree."""
    torch.manual_seed(0)
    work = bench.Work.of(TINY)
    plain = bench.contender("DCNet", TINY, work)
    ours = bench.contender("DCNet", TINY, work, bench.choice(TINY))
    with torch.no_grad():
        for a, b in zip(plain.net.parameters(), ours.net.parameters(), strict=True):
            b.copy_(a)
    plain()
    ours()
    for a, b in zip(plain.net.parameters(), ours.net.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-3)


@pytest.mark.parametrize("tasks", [1, 5, 7])
def test_work_has_as_many_tasks_as_asked(tasks):
    names = ["landmarks", "gender", "smile", "glasses", "profile", "label 0", "label 1"]
    work = bench.Work.of(TINY._replace(tasks=tasks))
    assert [task.name for task in work.tasks] == names[:tasks]
    assert [tuple(target.shape) for target in work.targets] == [(4, 5, 2), *[(4,)] * (tasks - 1)]


def test_ratios_by_hand():
    seconds = {"plain": [2.0, 3.0], "ours": [1.0, 2.0]}
    columns = ["least (ms)", "median (ms)", "ratio", "low", "high"]
    frame = bench.table(seconds)
    assert list(frame) == columns
    assert frame.loc["ours"].tolist() == [1000, 1500, 2, 1.5, 2]
    assert bench.table(seconds, "ours").loc["plain"].tolist() == [2000, 2500, 0.5, 0.5, 2 / 3]


def test_settings_are_found_by_name():
    assert bench.find([]) == bench.SETTINGS
    assert bench.find(["slim"]) == {"slim": Setting(0.25, 48, 64, 5)}
    with pytest.raises(RunError, match="choose from"):
        bench.find(["huge"])
