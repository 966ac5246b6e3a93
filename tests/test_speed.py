"""The record of the speed chapter: what it holds, and that it is read back as it was."""

import json

import pytest
import rival_code

from dclib import environment
from dclib.__main__ import main
from dclib.errors import RunError
from dclib.factory import build
from dclib.study import speed
from dclib.study.speed import bench, roofline, scaling
from dclib.study.speed.bench import Setting
from dclib.tasks import mtfl_tasks

TINY = Setting(0.125, 32, 4)
PRESET = speed.Plan(
    {"slim": TINY, "small": TINY._replace(batch=2)},
    {"DCNet": ("slim", "small"), "XS": ("slim",)},
    alone=("slim",),
    rounds=2,
    fewer=1,
    around=TINY,
    axes={"batch": (2, 4)},
    matrices=(64,),
    copied=1000,
    onnx=False,
    profiles=1,
)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = rival_code.libmtl(tmp_path_factory.mktemp("theirs"))
    (folder / "dcnet.py").write_text(rival_code.PUBLISHED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(speed.PRESETS, "tiny", PRESET)
        said: list[str] = []
        found = speed.measure("tiny", folder, folder, report=said.append)
    assert said[0] == "rates of the machine"
    assert "training, XS, slim" in said
    return found


def rows(record, part):
    keys = {
        "steps": ("setting", "method", "contender"),
        "inference": ("setting", "method", "contender"),
        "convolutions": ("setting", "contender", "name"),
        "shares": ("setting", "contender", "kind"),
        "scaling": ("method", "axis", "value"),
        "memory": ("setting", "method", "contender"),
    }[part]
    found = {tuple(row[key] for key in keys): row for row in record[part]}
    assert len(found) == len(record[part])  # each once
    return found


def test_it_says_what_was_measured_where(record):
    about = {"what", "preset", "rounds", "threads", "settings"}
    parts = {"steps", "inference", "limits", "convolutions", "shares", "scaling", "memory"}
    machine = environment.machine().keys() | environment.code().keys()
    assert record.keys() == about | parts | machine
    assert (record["preset"], record["rounds"], record["threads"]) == ("tiny", 2, 1)
    assert record["settings"]["slim"] == {
        **{"width": 0.125, "resolution": 32},
        **{"batch": 4, "tasks": 5},
    }
    assert record["processor"] in speed.about(record)
    assert "2 rounds" in speed.about(record)


def test_steps_are_of_all_contenders_in_every_round(record, monkeypatch):
    monkeypatch.delenv("DCLIB_EXECUTION", raising=False)  # as it was while this was measured
    found = rows(record, "steps")
    ours = {"plain", "ours"} | ({"ours, bf16"} if bench.has_bf16() else set())
    assert found.keys() == {
        *(("slim", "DCNet", who) for who in {*ours, "authors"}),
        *(("small", "DCNet", who) for who in {*ours, "authors"}),
        *(("slim", "XS", who) for who in {*ours, "LibMTL"}),
    }
    assert all(len(row["seconds"]) == 2 and min(row["seconds"]) > 0 for row in found.values())
    assert found["slim", "DCNet", "plain"]["forms"] == "plain"
    assert found["slim", "DCNet", "ours"]["forms"] == bench.choice(TINY)["forms"]


def test_inference_is_of_the_settings_asked(record):
    found = rows(record, "inference")
    assert found.keys() == {("slim", "DCNet", "plain"), ("slim", "DCNet", "folded")}
    assert all(len(row["seconds"]) == 2 for row in found.values())


def test_convolutions_are_those_of_the_network(record):
    found = rows(record, "convolutions")
    net = build("DCNet", tasks=mtfl_tasks(32), width=0.125, resolution=32)
    shapes = roofline.convolutions(net, 32)
    assert len(found) == 2 * len(shapes)
    for shape, count in shapes.items():
        for who in ("plain", "ours"):
            row = found["slim", who, str(shape)]
            expected = (count, shape.flops(4), shape.bytes(4))
            assert (row["count"], row["flops"], row["bytes"]) == expected
            assert len(row["seconds"]) == 1


def test_shares_have_every_kind(record):
    found = rows(record, "shares")
    assert found.keys() == {("slim", w, k) for w in ("plain", "ours") for k in roofline.KINDS}
    assert found["slim", "ours", "optimiser"]["seconds"] > 0


def test_growth_and_memory_agree_where_they_meet(record):
    """Parameters by counting; the point around which growth is measured is the setting itself."""
    growth, memory = rows(record, "scaling"), rows(record, "memory")
    assert growth.keys() == {(m, "batch", b) for m in ("DCNet", "XS") for b in (2, 4)}
    for method in ("DCNet", "XS"):
        net = build(method, tasks=mtfl_tasks(32), width=0.125, resolution=32)
        parameters = sum(p.numel() for p in net.parameters())
        ours = memory["slim", method, "ours"]
        assert memory["slim", method, "plain"]["parameters"] == ours["parameters"] == parameters
        assert growth[method, "batch", 4]["parameters"] == parameters
        assert growth[method, "batch", 4]["kept"] == ours["kept"] > 0


def test_rates_are_of_both_precisions_if_there_are_two(record):
    assert record["limits"]["gemm"].keys() == {"fp32", *(["bf16"] if bench.has_bf16() else [])}
    assert record["limits"]["copy"] > 0


def test_it_is_read_back_as_it_was(record, tmp_path, monkeypatch):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    assert speed.read("tiny") is None
    assert speed.write(record) == speed.path("tiny") == tmp_path / "speed" / "tiny.json"
    assert speed.read("tiny") == record


def test_presets_measure_what_there_is():
    for preset in speed.PRESETS.values():
        assert set(preset.alone) <= preset.settings.keys()
        assert {name for names in preset.methods.values() for name in names} <= set(preset.settings)
        around = preset.around._asdict()
        for axis, values in preset.axes.items():
            assert around[axis] in values  # the point that all axes share
    assert speed.PRESETS["cpu"].settings == bench.SETTINGS
    assert speed.PRESETS["cpu"].axes == scaling.AXES


def test_unknown_presets_are_refused():
    with pytest.raises(RunError, match="preset 'huge' is unknown"):
        speed.measure("huge")


@pytest.mark.slow
def test_onnxruntime_predicts_too_where_it_is_installed():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    found = speed._inference("slim", TINY, onnx=True, rounds=1)
    assert [row["contender"] for row in found] == ["plain", "folded", "onnxruntime"]


def test_the_command_writes_the_record(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    asked = {}
    monkeypatch.setattr(speed, "measure", lambda preset, **how: asked.update(how) or record)
    words = ["bench", "--record", "tiny", "--libmtl", "L", "--authors-code", "A", "--rounds", "3"]
    assert main(words) == 0
    assert (str(asked["authors"]), str(asked["libmtl"]), asked["rounds"]) == ("A", "L", 3)
    assert "speed/tiny.json" in capsys.readouterr().out
    assert json.loads((tmp_path / "speed" / "tiny.json").read_text()) == record
    assert main(["bench", "slim", "--record", "tiny"]) == 1
    assert "SETTING does not go with --record" in capsys.readouterr().err
