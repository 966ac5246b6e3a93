"""What columns may start from: official weights through torchvision, our own from the stand-in."""

import json
import re
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_tiny_imagenet import COUNTS, KINDS, Tiny
from torch import nn
from torchvision.models import ResNet18_Weights, SqueezeNet1_1_Weights, get_model

from dclib import build, paths
from dclib.__main__ import main
from dclib.data import tiny_imagenet
from dclib.data.augment import normalise
from dclib.errors import RunError
from dclib.fast import choose
from dclib.pretrained import MLNET_FILE, file_name, places, state
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.study import plans
from dclib.study.plans import pretraining
from dclib.tasks import Classes
from dclib.training.loop import Run
from dclib.underlying import UNDERLYING, blocks

TASKS = (Classes("main", 3), Classes("other", 2))


def features_of(model: nn.Module) -> nn.ModuleList:
    return nn.ModuleList([model.features])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch.hub, and no way to the network."""

    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def official(hub, name: str, weights) -> nn.Module:
    """A model of torchvision, its state under the official file name in the cache."""
    torch.manual_seed(5)
    model = get_model(name, weights=None)
    torch.save(model.state_dict(), hub / weights.IMAGENET1K_V1.url.rsplit("/", 1)[1])
    return model


# ImageNet


def test_official_weights_come_from_torchvision_s_cache(hub):
    """Each time anew, and without a random number."""
    expected = features_of(official(hub, "squeezenet1_1", SqueezeNet1_1_Weights)).state_dict()
    random = torch.get_rng_state()
    found, other = (state("squeezenet1_1", 1.0, "imagenet", features_of) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), random)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert not {t.data_ptr() for t in found.values()} & {t.data_ptr() for t in other.values()}


def test_pretrained_columns_are_alike_but_apart_and_heads_are_not(hub):
    model = official(hub, "resnet18", ResNet18_Weights)
    torch.manual_seed(0)
    net = build("DCNet", tasks=(Classes("main", 3), Classes("other", 3)), pretrained="imagenet")
    net.eval()
    x = torch.randn(2, 3, 64, 64)
    trunk = nn.Sequential(*list(model.eval().children())[:-2])
    for column in net.columns:
        torch.testing.assert_close(nn.Sequential(*column)(x), trunk(x), atol=1e-6, rtol=0)
    one, two = net.columns
    places = [{p.untyped_storage().data_ptr() for p in c.parameters()} for c in net.columns]
    assert len(places[0]) == len(list(one.parameters()))
    assert not places[0] & places[1]
    one[0][0].weight.data.zero_()
    assert torch.equal(two[0][0].weight, model.conv1.weight)
    assert not torch.equal(net.heads[0][0].weight, net.heads[1][0].weight)


def test_what_is_missing_is_named_with_its_place(hub):
    with pytest.raises(RunError) as told:
        state("resnet18", 1, "imagenet", UNDERLYING["resnet18"].cut)
    message = str(told.value)
    assert message.startswith("resnet18-f37072fd.pth cannot be fetched")
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert message.endswith(f"put it into {hub}")
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02}q\x00."])
def test_a_damaged_file_is_named(hub, content):
    (hub / "resnet18-f37072fd.pth").write_bytes(content)
    with pytest.raises(RunError, match=r"resnet18-f37072fd.pth: damaged .*anew") as told:
        state("resnet18", 1, "imagenet", UNDERLYING["resnet18"].cut)
    assert "\n" not in str(told.value)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_only_weights_are_unpickled(hub, tmp_path):
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, hub / "resnet18-f37072fd.pth")
    with pytest.raises(RunError, match="damaged"):
        state("resnet18", 1, "imagenet", UNDERLYING["resnet18"].cut)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "width", "pretrained", "message"),
    [
        ("resnet18", 0.5, "imagenet", "width 1 only"),
        ("tcdcn", 1.0, "imagenet", "no ImageNet weights"),
        ("vit_h_14", 1.0, "imagenet", "no ImageNet weights"),  # torchvision has others of it
        ("resnet18", 1.0, "places365", "choose False or from"),
    ],
)
def test_weights_that_do_not_exist(hub, name, width, pretrained, message):
    with pytest.raises(ValueError, match=message):
        state(name, width, pretrained, features_of)


# Tiny-ImageNet


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Folders of our own, with a handful of photos, and the shortest training on them."""
    for name in ("STORE", "RESULTS", "DATA", "MIRROR"):
        monkeypatch.setenv(f"DCLIB_{name}", str(tmp_path / name.lower()))
    Tiny().write_bare(tmp_path / "mirror/tiny_imagenet", packed=True)
    monkeypatch.setattr(tiny_imagenet, "CLASSES", len(KINDS))
    monkeypatch.setattr(tiny_imagenet, "COUNTS", COUNTS)
    monkeypatch.setattr(pretraining, "EPOCHS", 2)
    return tmp_path / "store"


FILE = "tiny-imagenet-resnet18-w0.125.safetensors"


def told(file):
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["about"])


def slim(pretrained):
    torch.manual_seed(0)
    return build("DCNet", tasks=TASKS, width=0.125, pretrained=pretrained)


def test_the_stand_in_is_a_run_like_any_other(store):
    run = pretraining.experiment("resnet18", 0.125, 48)
    record, file = pretraining.pretrain(run)
    about = ("RN-S", "tiny-imagenet", "test", False)
    assert (run.method, run.dataset, run.split, run.holdout) == about
    assert file == store / "weights" / FILE
    assert runs.existing(run).id == record.id == run.id
    assert record.environment["trained_on"] == 9
    assert [next(iter(row)) for row in record.history] == ["loss.object"] * 2
    whole, kept = load_file(record.weights), load_file(file)
    assert {f"columns.0.{key}" for key in kept} == {k for k in whole if k.startswith("columns")}
    assert all(torch.equal(whole[f"columns.0.{key}"], values) for key, values in kept.items())
    about = told(file)
    assert about["run"] == run.id
    assert Experiment.from_dict(about["experiment"]) == run
    (shares,) = record.outcomes.accuracy.values()
    assert about["accuracy"] == pytest.approx(shares.mean(), abs=1e-4)
    written = file.read_bytes()
    assert pretraining.pretrain(run)[1].read_bytes() == written


def test_columns_start_from_the_stand_in(store):
    _, file = pretraining.pretrain(pretraining.experiment("resnet18", 0.125))
    kept, net, plain = load_file(file), slim("tiny-imagenet"), slim(False)
    for column in net.columns:
        assert all(torch.equal(kept[key], now) for key, now in column.state_dict().items())
    net.columns[0][0][0].weight.data.zero_()
    assert torch.equal(net.columns[1][0][0].weight, kept["0.0.weight"])
    # what is not loaded starts as without: the comparison changes one thing
    for part in ("heads", "mixers"):
        theirs = getattr(plain, part).state_dict()
        for key, values in getattr(net, part).state_dict().items():
            assert torch.equal(values, theirs[key])


def test_a_run_of_faces_starts_from_the_stand_in(store):
    _, file = pretraining.pretrain(pretraining.experiment("resnet18", 0.125))
    settings = {"train_faces": 16, "batch": 8, "epochs": 1, "lr": 0.1}
    experiment = plans.experiment("smoke", "RN", **settings, pretrained="tiny-imagenet")
    assert "from tiny-imagenet" in experiment.title
    assert experiment.id != replace(experiment, pretrained=False).id
    run = Run(experiment, choose(torch.device("cpu")))
    assert torch.equal(run.net.columns[0][0][0].weight, load_file(file)["0.0.weight"])
    assert run.epoch()["loss.landmarks"] > 0


def test_the_command_trains_once_and_publishes(store, capsys):
    words = ["pretrain", "resnet18", "--width", "0.125", "--resolution", "32"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert str(store / "weights" / FILE) in first
    assert main([*words, "--publish"]) == 0  # nothing is trained again
    committed = paths.results() / "weights" / FILE
    assert str(committed) in capsys.readouterr().out
    assert committed.read_bytes() == (store / "weights" / FILE).read_bytes()
    assert [record.experiment.resolution for record in runs.every()] == [32]
    run = re.search(r"run (\w{12}): \d+\.\d% of the validation photos", first).group(1)
    assert runs.load(run).folder.parent == paths.results() / "runs"


def test_committed_weights_come_first(store):
    first, second = ({"0.0.weight": torch.full((1,), v)} for v in (1.0, 2.0))
    for place, column in zip(places(), (first, second), strict=True):
        place.mkdir(parents=True)
        save_file(column, place / FILE)
    assert state("resnet18", 0.125, "tiny-imagenet", features_of) == first
    (places()[0] / FILE).unlink()
    assert state("resnet18", 0.125, "tiny-imagenet", features_of) == second


def test_weights_that_were_not_trained_yet_or_are_damaged(store):
    with pytest.raises(RunError) as told:
        slim("tiny-imagenet")
    message = str(told.value)
    assert message.startswith(FILE)
    assert message.endswith("`python -m dclib pretrain resnet18 --width 0.125` makes it")
    places()[1].mkdir(parents=True)
    (places()[1] / FILE).write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(RunError, match=rf"{FILE}: damaged .*pretrain resnet18"):
        slim("tiny-imagenet")


def test_networks_without_a_single_task_run_are_refused(store, capsys):
    assert main(["pretrain", "vgg11"]) == 1
    assert "choose from ['resnet18', 'alexnet']" in capsys.readouterr().err


@pytest.mark.parametrize("value", [True, "ImageNet", None, ""])
def test_experiments_know_the_weights_by_name(value):
    with pytest.raises(ValueError, match="pretrained="):
        plans.experiment("smoke", "RN", pretrained=value)


# The committed weights


def test_the_card_says_what_the_files_are():
    """Run, settings, size and accuracy of each; all together stay small; each fits its network."""
    folder = paths.root() / "results" / "weights"
    card, files = (folder / "README.md").read_text(), sorted(folder.glob("*.safetensors"))
    assert files
    assert sum(file.stat().st_size for file in files) < 8 * 2**20
    for file in files:
        about = told(file)
        run = Experiment.from_dict(about["experiment"])
        assert run.id == about["run"]
        assert file.name == file_name(run.underlying, run.width)
        command = f"python -m dclib pretrain {run.underlying} --width {run.width:g}"
        row = next(line for line in card.splitlines() if file.name in line)
        size = f"{file.stat().st_size / 1e6:.1f} MB"
        for said in (run.id, command, f"{run.resolution} px", f"{about['accuracy']:.1%}", size):
            assert said in row
        made = blocks(run.underlying, run.width)
        made.load_state_dict(load_file(file))


@pytest.fixture
def reference():
    """Images, and what the package's own graph makes of them, where the weights are here."""
    mirror = paths.mirror()
    if not (mirror and (mirror / MLNET_FILE).exists()):
        pytest.skip("the weights of ML.NET are not here")
    return np.load((mirror / MLNET_FILE).with_name("reference.npz"))


def test_weights_of_ml_net_give_the_features_of_their_own_graph(reference):
    net = build("RN-S", tasks=[Classes("any", 2)], width=1.0, pretrained="imagenet-mlnet")
    images = torch.from_numpy(reference["images"])
    with torch.no_grad():
        (features,) = net.eval().features(normalise(images))
    assert features.shape == (3, 512)
    assert features.numpy() == pytest.approx(reference["features"], abs=0.005)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is missing: .*imagenet_mlnet.py"),
        (b"other", "damaged"),
        ("other weights", "does not hold the weights of Microsoft"),
    ],
)
def test_weights_of_ml_net_that_are_not_here(tmp_path, monkeypatch, content, message):
    monkeypatch.setenv("DCLIB_DATA", str(tmp_path))
    monkeypatch.delenv("DCLIB_MIRROR", raising=False)
    if content:
        file = tmp_path / MLNET_FILE
        file.parent.mkdir()
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, file)
    with pytest.raises(RunError, match=message):
        blocks("resnet18", pretrained="imagenet-mlnet")
    with pytest.raises(ValueError, match="of resnet18 at width 1"):
        blocks("resnet18", width=0.25, pretrained="imagenet-mlnet")
