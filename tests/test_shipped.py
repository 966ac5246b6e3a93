"""Weights that come with dclib: made by `ship`, used by `predict`, `detect` and `export`."""

import json
import re
import shutil

import numpy as np
import pytest
import scripts
import torch
from fake_cascades import fake_cascade
from PIL import Image
from safetensors.torch import load_file, save_file

from dclib import paths
from dclib.__main__ import main
from dclib.errors import RunError
from dclib.mtcnn import pipeline, records
from dclib.mtcnn.run import untrained
from dclib.records import runs
from dclib.study.plans.presets import experiment
from dclib.training.loop import train
from dclib.use import inference
from dclib.use.prediction import predict
from dclib.use.shipped import chosen, folder, ship

PHOTO = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store with a DCNet that has hardly been trained."""
    with pytest.MonkeyPatch.context() as patch:
        store = tmp_path_factory.mktemp("store")
        patch.setenv("DCLIB_STORE", str(store))
        few = {"epochs": 1, "train_faces": 32, "batch": 16}
        return store, train(experiment("smoke", "DCNet", width=0.125, **few)).id


@pytest.fixture
def run(finished, store, monkeypatch):
    """That run, in a store of the test's own; nothing is shipped."""
    monkeypatch.setattr(inference, "PACKAGES", ("no_such_package",))  # torch alone: no second road
    shutil.copytree(finished[0], store, dirs_exist_ok=True)
    return runs.load(finished[1])


@pytest.fixture
def cascade(store):
    """A cascade in the store whose stages were never trained."""
    made = fake_cascade("MTCNN")
    place = store / made.id
    place.mkdir(parents=True)
    for stage in ("P", "R", "O"):
        net = untrained(made.experiment, stage)
        save_file(net.state_dict(), place / records.weights_name(stage))
    told = made.environment, made.history, made.mined, made.findings
    return records.save(place, made.experiment, *told)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_a_shipped_network_predicts_without_a_name(run, photo, capsys):
    expected, errors = predict(run, Image.fromarray(PHOTO)), run.outcomes.errors["bin"]
    shipped = ship(runs.SHELF, run, [run.weights])
    shutil.rmtree(paths.store())  # as in a clone
    assert main(["predict", photo]) == 0
    found = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(found["landmarks"], expected.landmarks, atol=0.5)
    for name, shares in expected.labels.items():
        assert list(found["labels"][name].values()) == pytest.approx(shares, abs=0.01)
    # its evidence is there, and a half of its bytes
    np.testing.assert_array_equal(shipped.outcomes.errors["bin"], errors)
    numbers = sum(t.numel() for t in load_file(shipped.weights).values())
    assert shipped.weights.stat().st_size < 2.2 * numbers
    assert all(t.dtype in (torch.float16, torch.int64) for t in load_file(shipped.weights).values())


def test_a_record_without_its_weights_uses_the_shipped_ones(run, photo, capsys, tmp_path):
    ship(runs.SHELF, run, [run.weights])
    runs.publish(run)
    shutil.rmtree(paths.store())
    assert main(["predict", photo, "--run", run.id[:6]]) == 0
    named = capsys.readouterr().out
    assert main(["predict", photo]) == 0
    assert capsys.readouterr().out == named
    assert runs.load(run.id).weights is None  # nothing else takes them for the run's own


def test_without_shipped_weights_it_is_said_what_to_do(store, photo, capsys):
    for words in (["predict", photo], ["detect", photo]):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert str(folder()) in said
        assert "--method" in said


def test_shipping_replaces_what_was_shipped_before_of_its_kind(run, cascade):
    ship(runs.SHELF, run, [run.weights])
    ship(records.SHELF, cascade, list(cascade.weights.values()))
    ship(runs.SHELF, run, [run.weights])
    assert {f.name for f in folder().iterdir()} == {run.id, cascade.id}


def test_damaged_weights_are_not_shipped_and_not_used(run, photo, capsys):
    shipped = ship(runs.SHELF, run, [run.weights])
    content = bytearray(shipped.weights.read_bytes())
    content[-1] ^= 1
    shipped.weights.write_bytes(content)
    assert main(["predict", photo]) == 1
    assert "restore it" in capsys.readouterr().err
    before = sorted(folder().rglob("*"))
    run.weights.write_bytes(run.weights.read_bytes()[:-4])
    with pytest.raises(RunError, match="cannot be shipped"):
        ship(runs.SHELF, run, [run.weights])
    assert sorted(folder().rglob("*")) == before


def test_weights_beyond_half_precision_are_refused(cascade):
    file = cascade.weights["P"]
    state = load_file(file)
    name = next(n for n, t in state.items() if t.is_floating_point())
    state[name][:] = 1e6
    save_file(state, file)
    told = cascade.environment, cascade.history, cascade.mined, cascade.findings
    again = records.save(cascade.folder, cascade.experiment, *told)
    with pytest.raises(RunError, match=f"{name} has numbers beyond half precision"):
        ship(records.SHELF, again, list(again.weights.values()))


def test_a_shipped_cascade_detects_without_a_name(cascade, run, photo, capsys):
    ship(records.SHELF, cascade, list(cascade.weights.values()))
    ship(runs.SHELF, run, [run.weights])
    kept = pipeline.load(cascade.id)
    shutil.rmtree(paths.store())
    half = pipeline.load(None)
    images = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, of in kept.stages["O"](images).items():
            torch.testing.assert_close(half.stages["O"](images)[name], of, atol=2e-3, rtol=0)
    assert main(["detect", photo]) == 0
    assert json.loads(capsys.readouterr().out)["photo"] == photo
    assert main(["predict", photo, "--cascade"]) == 0
    assert "faces" in json.loads(capsys.readouterr().out)


def test_a_network_to_start_from_learns_on(run):
    """Weights at half precision become single ones, which training changes."""
    ship(runs.SHELF, run, [run.weights])
    net = inference.network(chosen(runs.SHELF, None, "")).train()
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    before = [p.detach().clone() for p in net.parameters()]
    sum(logits.square().mean() for logits in net(torch.randn(4, 3, 32, 32)).values()).backward()
    torch.optim.SGD(net.parameters(), 0.1).step()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_one_command_ships_a_finished_run_with_its_card_and_page(
    run, photo, tmp_path, monkeypatch, capsys
):
    script = scripts.module("data_scripts/ship.py")
    monkeypatch.setattr(script, "LIVE", tmp_path)
    script.main(run.id[:8])
    assert capsys.readouterr().out.strip() == str(folder() / run.id)
    card = (folder() / run.id / "README.md").read_text()
    failed = 100 * np.mean(run.outcomes.errors["bin"] > 0.1)
    assert f"{failed:.1f} % with the paper's decoder" in card
    assert "non-commercial research" in card
    assert run.id in card
    assert float(re.search(r"at most ([\d.]+) px", card)[1]) < 1
    page = json.loads((tmp_path / "weights.js").read_text().partition(" = ")[2].rstrip("\n;"))
    assert page["run"] == run.id
    assert page["words"]["smile"] == ["smiling", "not smiling"]
    assert 0 < page["face"]["least"] < 1
    assert (tmp_path / "faces.js").read_text() == (
        script.BOOK / "_static/live/faces.js"
    ).read_text()
    assert main(["predict", photo]) == 0


def test_one_command_ships_a_cascade_with_its_card(cascade, capsys):
    scripts.module("data_scripts/ship.py").main(cascade.id)
    card = (folder() / cascade.id / "README.md").read_text()
    assert f"{100 * cascade.findings.failure_rate(missed_fail=True):.1f} % where missed" in card
    assert pipeline.load(None).stages.keys() == {"P", "R", "O"}


def test_all_committed_weights_are_small_and_their_records_whole(monkeypatch):
    """Those of this repository; 8 MB is what a clone is asked to carry for them."""
    monkeypatch.setenv("DCLIB_RESULTS", str(paths.root() / "results"))
    files = [*folder().glob("*/*.safetensors"), paths.root() / "book/_static/live/weights.js"]
    assert sum(file.stat().st_size for file in files if file.exists()) <= 8e6
    for shelf in (runs.SHELF, records.SHELF):
        places = [file.parent for file in folder().glob(f"*/{shelf.mark}")]
        assert len(places) <= 1
        for place in places:
            record = shelf.read(place)
            for name in record.digests:
                record.check(name, (place / name).read_bytes())
            assert record.id in (place / "README.md").read_text()
