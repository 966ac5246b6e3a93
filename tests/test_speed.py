"""The record of the speed chapter: what it holds, and that it is read back as it was."""

import json

import pytest
import rival_code

from dclib import environment
from dclib.__main__ import main
from dclib.errors import RunError
from dclib.factory import build
from dclib.network import count_parameters
from dclib.study.speed import bench, roofline, survey
from dclib.study.speed.bench import Setting
from dclib.tasks import mtfl_tasks

TINY = Setting(0.125, 32, 4)
PLAN = survey.Plan(
    {"slim": TINY, "small": TINY._replace(batch=2)},
    {"DCNet": ("slim", "small"), "XS": ("slim",)},
    alone=("slim",),
    rounds=2,
    around=TINY,
    axes={"batch": (2, 4)},
    matrices=(64,),
    copied=1000,
    onnx=False,
)
OURS = {"plain", "ours"} | ({"ours, bf16"} if bench.has_bf16() else set())


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = rival_code.libmtl(tmp_path_factory.mktemp("theirs"))
    (folder / "dcnet.py").write_text(rival_code.PUBLISHED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(survey.PRESETS, "tiny", PLAN)
        patch.setattr(survey, "FEWER", 1)
        patch.delenv("DCLIB_EXECUTION", raising=False)
        said: list[str] = []
        found = survey.measure("tiny", folder, folder, report=said.append)
    assert said[0] == "rates of the machine"
    assert "training, XS, slim" in said
    return found


def rows(record, part):
    keys = {
        **dict.fromkeys(("steps", "inference", "memory"), ("setting", "method", "contender")),
        "convolutions": ("setting", "contender", "name"),
        "shares": ("setting", "contender", "kind"),
        "scaling": ("method", "axis", "value"),
    }[part]
    found = {tuple(row[key] for key in keys): row for row in record[part]}
    assert len(found) == len(record[part])  # each once
    return found


def test_it_says_what_was_measured_where(record):
    assert (record["preset"], record["rounds"], record["threads"]) == ("tiny", 2, 1)
    assert environment.machine().items() <= record.items()
    assert {"commit", "clean"} <= record.keys()
    assert record["settings"]["slim"] == TINY._asdict()
    assert record["processor"] in survey.about(record)
    assert "2 rounds" in survey.about(record)


def test_it_has_every_row_once(record, monkeypatch):
    monkeypatch.delenv("DCLIB_EXECUTION", raising=False)  # as it was while this was measured
    found = rows(record, "steps")
    assert found.keys() == {
        *(("slim", "DCNet", who) for who in {*OURS, "authors"}),
        *(("small", "DCNet", who) for who in {*OURS, "authors"}),
        *(("slim", "XS", who) for who in {*OURS, "LibMTL"}),
    }
    assert found["slim", "DCNet", "plain"]["forms"] == "plain"
    assert found["slim", "DCNet", "ours"]["forms"] == bench.choice(TINY)["forms"]
    predicted = rows(record, "inference")
    assert predicted.keys() == {("slim", "DCNet", "plain"), ("slim", "DCNet", "folded")}
    for row in (*found.values(), *predicted.values()):
        assert len(row["seconds"]) == 2
        assert min(row["seconds"]) > 0
    parts = rows(record, "shares")
    assert parts.keys() == {("slim", w, k) for w in ("plain", "ours") for k in roofline.KINDS}
    assert parts["slim", "ours", "optimiser"]["seconds"] > 0
    assert record["limits"]["gemm"].keys() == {"fp32", *(["bf16"] if bench.has_bf16() else [])}
    assert record["limits"]["copy"] > 0


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


def test_growth_and_memory_agree_where_they_meet(record):
    """Parameters by counting; the point around which growth is measured is the setting itself."""
    growth, memory = rows(record, "scaling"), rows(record, "memory")
    assert growth.keys() == {(m, "batch", b) for m in ("DCNet", "XS") for b in (2, 4)}
    for method in ("DCNet", "XS"):
        net = build(method, tasks=mtfl_tasks(32), width=0.125, resolution=32)
        ours = memory["slim", method, "ours"]
        assert memory["slim", method, "plain"]["parameters"] == ours["parameters"]
        assert growth[method, "batch", 4]["parameters"] == ours["parameters"]
        assert ours["parameters"] == count_parameters(net)
        assert growth[method, "batch", 4]["kept"] == ours["kept"] > 0


def test_points_differ_in_one_way():
    found = survey.points(TINY, {"width": (0.125, 0.25), "tasks": (2,)})
    assert found == {
        ("width", 0.125): TINY,
        ("width", 0.25): Setting(0.25, 32, 4),
        ("tasks", 2): Setting(0.125, 32, 4, 2),
    }


def test_every_point_of_every_axis_is_in_every_round_and_the_shared_one_once(monkeypatch):
    rounds = []

    def turns(steps, count):
        rounds.append((list(steps), count))
        return {key: [float(n)] * count for n, key in enumerate(steps)}

    monkeypatch.setattr(survey.measuring, "turns", turns)
    found = survey.growth(TINY, {"tasks": (1, 5), "batch": (4, 8)}, ["RN"], rounds=2)
    alone, twice = TINY._replace(tasks=1), TINY._replace(batch=8)
    assert rounds == [([("RN", alone), ("RN", TINY), ("RN", twice)], 2)]
    by_point = {(row["axis"], row["value"]): row for row in found}
    assert by_point["tasks", 5]["seconds"] == by_point["batch", 4]["seconds"] == [1.0, 1.0]
    assert by_point["tasks", 1]["parameters"] < by_point["tasks", 5]["parameters"]
    kept = [by_point["batch", size]["kept"] for size in (4, 8)]
    assert kept[1] == pytest.approx(2 * kept[0], rel=0.05)


def test_presets_measure_what_there_is():
    for preset in survey.PRESETS.values():
        assert set(preset.alone) <= preset.settings.keys()
        assert {name for names in preset.methods.values() for name in names} <= set(preset.settings)
        around = preset.around._asdict()
        for axis, values in preset.axes.items():
            assert around[axis] in values  # the point that all axes share
    assert survey.PRESETS["cpu"].settings == bench.SETTINGS
    assert survey.PRESETS["cpu"].axes == survey.AXES
    with pytest.raises(RunError, match="preset 'huge' is unknown"):
        survey.measure("huge")


@pytest.mark.slow
def test_onnxruntime_predicts_too_where_it_is_installed(monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(survey, "METHOD", "RN-S")  # which is exported the fastest
    found = survey._inference("slim", TINY, onnx=True, rounds=1)
    assert [row["contender"] for row in found] == ["plain", "folded", "onnxruntime"]


def test_the_command_writes_the_record_and_it_is_read_back(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path))
    asked = {}
    monkeypatch.setattr(survey, "measure", lambda preset, **how: asked.update(how) or record)
    assert survey.read("tiny") is None
    words = ["bench", "--record", "tiny", "--libmtl", "L", "--authors-code", "A", "--rounds", "3"]
    assert main(words) == 0
    assert (str(asked["authors"]), str(asked["libmtl"]), asked["rounds"]) == ("A", "L", 3)
    assert "speed/tiny.json" in capsys.readouterr().out
    assert json.loads((tmp_path / "speed" / "tiny.json").read_text()) == record
    assert survey.read("tiny") == record
    assert main(["bench", "slim", "--record", "tiny"]) == 1
    assert "SETTING does not go with --record" in capsys.readouterr().err
