"""Folded networks and ONNX files compute what the trained network does, and `predict` uses them."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from test_methods import AGAIN, SIZE, make, networks, toy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import DenseNet

from dclib import METHODS, build, fast, mtfl_tasks
from dclib.__main__ import main
from dclib.errors import RunError
from dclib.fast.folding import _as_matrix, _Matrix, _SplitBlock, fold, suit
from dclib.records import runs
from dclib.simcc import SimCC
from dclib.tasks import Angle, Classes, Landmarks, Orientation, label_logits
from dclib.use import inference
from dclib.use.onnx_file import describe
from dclib.use.prediction import positions, predict, probabilities

TASKS = (Landmarks(48), Classes("smile", 2), Angle("yaw"))


def trained(net: nn.Module) -> nn.Module:
    """As if it had seen faces: BatchNorms whose every number matters."""
    draw = torch.Generator().manual_seed(5)
    for norm in norms(net):
        count = norm.num_features
        norm.running_mean = torch.randn(count, generator=draw) / 4
        norm.running_var = torch.rand(count, generator=draw) + 0.5
        if norm.affine:
            norm.weight.data = torch.rand(count, generator=draw) + 0.5
            norm.bias.data = torch.randn(count, generator=draw) / 4
    return net


def norms(net: nn.Module) -> list[_BatchNorm]:
    return [module for module in net.modules() if isinstance(module, _BatchNorm)]


def images(count: int, size: int = SIZE) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def assert_same(found: nn.Module, expected: nn.Module, x: Tensor, tolerance: float = 1e-10) -> None:
    pairs = zip(found(x).values(), expected(x).values(), strict=True)
    for a, b in pairs:
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max()


FOLDED = [(n, networks(n)[0]) for n, m in METHODS.items() if not m.widened and n not in AGAIN]


@pytest.mark.parametrize(
    ("method", "underlying"), [*FOLDED, ("DCNet", "alexnet"), ("DCNet", "toy"), ("XS", "toy")]
)
def test_folded_networks_compute_the_same(method, underlying):
    net = trained(make(method, underlying)).double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold(net, SIZE)
    assert norms(folded) == []
    assert_same(folded, net.eval(), images(3).double())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def dense() -> nn.Module:
    """Layers that are normalised before they are convolved, as in DenseNet121."""
    return DenseNet(growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16)


@pytest.mark.parametrize(("underlying", "stay"), [(dense, True), ("mobilenet_v3_small", False)])
def test_where_no_layer_comes_before_a_batchnorm_it_stays(underlying, stay):
    net = build("DCNet", tasks=(Landmarks(SIZE),), underlying=underlying, resolution=SIZE)
    trained(net).double().eval()
    folded = fold(net, SIZE)
    assert len(norms(folded)) < len(norms(net))
    assert bool(norms(folded)) == stay
    assert_same(folded, net, images(2).double())


class Awkward(nn.Module):
    """Each BatchNorm here comes behind a layer, but cannot be taken over by it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.twice, self.tied = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(4))
        self.linear, self.last = nn.Linear(8, 8), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.conv(x)
        x = y + self.norms[0](y)  # also used without
        x = self.norms[1](self.twice(x)) + self.norms[2](self.twice(x + 1))  # two for one
        x = self.norms[3](self.tied(x)) + self.tied.weight.mean()  # the kernel is used elsewhere
        z = self.linear(x.mean(dim=2))  # (B, 3, 8): features last, and channels in between
        return {"z": self.last(z)}


def test_a_layer_that_others_need_stays_as_it_is():
    net = trained(Awkward()).double().eval()
    folded = fold(net, 8)
    assert len(norms(folded)) == 5
    assert_same(folded, net, images(4, 8).double())


def test_a_batchnorm_without_own_weights_and_a_layer_that_runs_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"z": self.step(self.step(x).relu())}

    net = trained(Twice()).double().eval()
    folded = fold(net, 8)
    assert norms(folded) == []
    assert_same(folded, net, images(4, 8).double())


def test_nothing_is_folded_where_a_network_keeps_to_itself_that_values_decide():
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            try:
                large = bool(x.max() > 30)
            except Exception:  # as without values, on the meta device
                large = False
            x = self.conv(x)
            return {"z": x if large else self.norm(x)}

    net = trained(Careful()).double().eval()
    for size in (1, 100):
        assert_same(fold(net, 8), net, size * images(4, 8).double())


@pytest.mark.parametrize("forms", ["fast", "stacked"])
def test_networks_in_faster_forms_fold_too(forms):
    net = trained(make("DCNet", "resnet18")).eval()
    expected = trained(make("DCNet", "resnet18")).eval()
    assert fast.apply(net, forms) == forms
    assert_same(fold(net, SIZE).double(), fold(expected, SIZE).double(), images(2).double())


def narrow() -> nn.ModuleList:
    """Blocks with other numbers and sizes of maps than the toy's, but for the last size."""
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())
        for before, after, stride in ((3, 6, 4), (6, 10, 2), (10, 14, 1))
    )


@pytest.mark.parametrize(
    ("underlying", "size", "width"), [("resnet18", 48, 0.125), ([toy, narrow], 16, 1.0)]
)
def test_forms_for_onnxruntime_compute_the_same(underlying, size, width):
    tasks = (Landmarks(size), *TASKS[1:])
    net = build("DCNet", tasks=tasks, underlying=underlying, resolution=size, width=width)
    folded = fold(trained(net).double(), size)
    suited = fold(net, size)
    suit(suited, size)
    assert all(isinstance(mixer, _SplitBlock) for mixer in suited.mixers)
    assert any(isinstance(module, _Matrix) for module in suited.modules())
    assert_same(suited, folded, images(3, size).double())


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((2, 2), {"kernel_size": 3, "padding": 1}),
        ((2, 3), {"kernel_size": 3, "padding": 1, "bias": False}),
        ((1, 1), {"kernel_size": 3, "padding": 1, "stride": 2}),
        ((4, 5), {"kernel_size": (5, 6), "padding": (2, 3), "stride": (2, 1)}),
        ((3, 3), {"kernel_size": 5, "padding": "same"}),
    ],
)
def test_a_convolution_as_a_matrix(size, settings):
    conv = nn.Conv2d(3, 4, **settings).double()
    x = torch.randn(2, 3, *size, dtype=torch.double)
    with torch.no_grad():
        expected = conv(x)
        _as_matrix(conv, x.shape[1:])
        assert conv(x).numpy() == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize(
    ("method", "underlying"),
    [("DCNet", "resnet18"), ("XS", "toy"), ("HF", "toy"), ("MTAN", "toy"), ("RN", "resnet18")],
)
def test_files_compute_the_same(method, underlying, tmp_path):
    net = trained(make(method, underlying, (Landmarks(SIZE), *TASKS[1:])))
    file = inference.export(net, tmp_path / "net.onnx", SIZE, {"run": "abc"})
    assert net.training
    run = inference.by_onnxruntime(inference.session(file.read_bytes()))
    for batch in (1, 5):
        x = images(batch)
        with torch.no_grad():
            expected = net.eval()(x)
        found = run(x)
        assert list(found) == list(expected)
        for name, values in expected.items():
            assert (found[name] - values).abs().max() <= 1e-4 * values.abs().max()


def test_a_stranger_can_use_a_file(tmp_path):
    """With onnxruntime, numpy and what the file says of itself."""
    import onnx
    import onnxruntime

    tasks = (*TASKS, SimCC(48, points=3, name="fine"))
    net = trained(build("RN", tasks=tasks, resolution=48, width=0.125)).eval()
    file = inference.export(net, tmp_path / "net.onnx", 48, {"run": "abc"})
    model = onnx.load(file)
    onnx.checker.check_model(model)
    assert "Landmarks (batch, points, 2, bins)" in model.doc_string
    session = onnxruntime.InferenceSession(file)
    about = session.get_modelmeta().custom_metadata_map
    assert about["run"] == "abc"
    pixels = np.random.default_rng(0).integers(
        0, 256, (2, 3, *[json.loads(about["resolution"])] * 2)
    )
    mean, std = (np.array(json.loads(about[name]))[:, None, None] for name in ("mean", "std"))
    ready = ((pixels / 255 - mean) / std).astype(np.float32)
    described = json.loads(about["tasks"])
    outputs = session.run([task["name"] for task in described], {"images": ready})

    from dclib.data.augment import normalise

    with torch.no_grad():
        logits = net(normalise(torch.from_numpy(pixels)))
    for own, task, found in zip(tasks, described, outputs, strict=True):
        best = found.argmax(axis=-1)
        kind = task["kind"]
        decoded = {
            "Landmarks": lambda best=best: best + 0.5,
            "SimCC": lambda best=best, task=task: best / task["split"],
            "Classes": lambda best=best: best,
            "Angle": lambda best=best, t=task: (best + 0.5) * t["width"] - t["limit"],
        }[kind]()
        assert decoded == pytest.approx(own.decode(logits[own.name]).numpy())


@pytest.mark.parametrize("name", ["images", "relu"])
def test_a_task_that_is_called_as_a_part_of_the_file_is_refused(name, tmp_path):
    net = build("AN", tasks=(Landmarks(SIZE), Classes(name, 2)), width=0.125)
    with pytest.raises(RunError, match=rf"\({name}\).*; a task whose name .* another one"):
        inference.export(net, tmp_path / "net.onnx", SIZE)
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_exported_says_so(tmp_path):
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (1 if x.sum() > 0 else 2)  # decides by values

    net = build("RN", tasks=TASKS, resolution=48, width=0.125)
    net.columns[0][0].append(Odd())
    with pytest.raises(RunError, match="cannot become an ONNX file"):
        inference.export(net, tmp_path / "net.onnx", 48)
    assert list(tmp_path.iterdir()) == []


# `predict` and the command line

TINY = ["--preset", "smoke", "--epochs", "1", "--train-faces", "32", "--batch", "16"]


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory):
    """A store with one run, and the file of its network, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("inference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCLIB_STORE", str(folder / "store"))
        patch.setenv("DCLIB_RESULTS", str(folder / "results"))
        assert main(["train", "--method", "RN", *TINY]) == 0
        (record,) = runs.every()
        inference.predictor(record, "onnxruntime")
        yield record, (record.folder / inference.FILE).read_bytes()


@pytest.fixture
def record(trained_run, monkeypatch):
    """Its record and that file, without any network in memory."""
    monkeypatch.setattr(inference, "_latest", {})
    record, file = trained_run
    (record.folder / inference.FILE).write_bytes(file)
    return record


@pytest.fixture
def photo():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_both_roads_predict_the_same(record, photo):
    told = {road: predict(record, photo, road=road) for road in inference.ROADS}
    assert [inference.predictor(record, road).road for road in told] == list(told)
    ours, others = told.values()
    assert np.abs(ours.landmarks - others.landmarks).max() < 0.01
    assert ours.labels.keys() == others.labels.keys() != set()
    for name, shares in ours.labels.items():
        assert shares == pytest.approx(others.labels[name], abs=1e-4)
    with pytest.raises(RunError, match="choose from"):
        predict(record, photo, road="guess")


@pytest.mark.parametrize(
    ("box", "message"),
    [((10, 10, 10.5, 40), "smaller than a pixel"), ((60, 10, 121, 40), "does not lie inside")],
)
def test_boxes_without_a_face_are_refused(box, message, photo):
    with pytest.raises(ValueError, match=message):
        predict(None, photo, box)


def test_the_file_is_made_again_when_damaged_or_of_other_weights(record):
    file, weights = record.folder / inference.FILE, record.weights.read_bytes()
    told = (record.folder / runs.RECORD).read_text()
    x = images(1, record.experiment.resolution)

    def again() -> tuple[int, Tensor]:
        inference._latest.clear()
        found = inference.predictor(record).run(x)["landmarks"]
        return file.stat().st_ino, found

    assert inference.predictor(record) is inference.predictor(record)
    first, before = again()
    assert again()[0] == first  # not made again
    file.write_bytes(file.read_bytes()[:1000])
    second, found = again()
    assert second != first
    assert torch.equal(found, before)
    net = inference.network(record)
    net.heads[0][-1].bias.data += 1
    try:
        save_file(net.state_dict(), record.weights)
        inference._latest.clear()
        with pytest.raises(RunError, match=r"does not fit .*not what the record says"):
            inference.predictor(record)
        runs.save(
            record.folder, record.experiment, record.environment, record.history, record.outcomes
        )  # trained once more
        _, found = again()
        assert found.numpy() == pytest.approx(before.numpy() + 1, abs=1e-4)
    finally:
        record.weights.write_bytes(weights)
        (record.folder / runs.RECORD).write_text(told)


def test_without_the_packages_torch_does_it(record, photo, monkeypatch, capsys):
    (record.folder / inference.FILE).unlink()
    monkeypatch.setattr(inference, "PACKAGES", ("onnx", "no_such_package"))
    assert inference.predictor(record).road == "torch"
    assert not (record.folder / inference.FILE).exists()
    with pytest.raises(RunError, match="`pip install no_such_package`"):
        inference.predictor(record, "onnxruntime")
    assert main(["export", record.id, "net.onnx"]) == 1
    assert "no_such_package" in capsys.readouterr().err


def test_a_full_store_does_not_hinder(record, monkeypatch):
    def full(*_: object) -> None:
        raise RunError("no space")

    file = record.folder / inference.FILE
    made = file.read_bytes()
    file.unlink()
    monkeypatch.setattr(inference, "to_onnx", lambda *_: made)
    monkeypatch.setattr(inference, "write_atomically", full)
    assert not file.exists()
    assert inference.predictor(record).road == "onnxruntime"


def test_the_command_exports_a_run(record, tmp_path, capsys):
    file = tmp_path / "net.onnx"
    assert main(["export", record.id[:6], str(file)]) == 0
    assert capsys.readouterr().out.split() == [str(file)]
    ready = inference.session(file.read_bytes())
    about = ready.get_modelmeta().custom_metadata_map
    assert about["run"] == record.id
    assert [task["name"] for task in json.loads(about["tasks"])] == [
        task.name for task in mtfl_tasks(record.experiment.resolution)
    ]
    assert main(["export", record.id, str(tmp_path / "nowhere" / "net.onnx")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("decoder_of", [Landmarks(7, points=3), SimCC(7, points=3)])
def test_points_are_read_as_the_task_decodes_them(decoder_of):
    logits = torch.randn(4, 3, 2, 7 * getattr(decoder_of, "split", 1), dtype=torch.double)
    (described,) = describe([decoder_of], 7)["tasks"]
    expected = decoder_of.decode(logits, "soft").numpy()
    assert positions(logits.numpy(), described) == pytest.approx(expected, abs=1e-5)
    described["kind"] = "Other"
    with pytest.raises(RunError, match="'Other'"):
        positions(logits.numpy(), described)


def test_labels_are_read_as_probabilities_of_each_angle():
    logits = {"smile": torch.randn(4, 2), "orientation": torch.randn(4, 14)}
    tasks = [Classes("smile", 2), Orientation()]
    expected = {n: of.softmax(dim=1).numpy() for n, of in label_logits(tasks, logits).items()}
    found: dict[str, np.ndarray] = {}
    for task, described in zip(tasks, describe(tasks, 48)["tasks"], strict=True):
        found |= probabilities(logits[task.name].numpy(), described)
    assert list(found) == list(expected) == ["smile", "yaw", "pitch", "roll"]
    for name, shares in expected.items():
        assert found[name] == pytest.approx(shares, abs=1e-6)


def test_the_second_prediction_imports_no_torch(record, photo, tmp_path):
    first = predict(record, photo).to_dict()
    photo.save(tmp_path / "photo.png")
    code = (
        "import sys; from dclib.__main__ import main; main(sys.argv[1:]);"
        "print([p for p in ('torch', 'onnx', 'pandas', 'scipy') if p in sys.modules])"
    )
    words = ["predict", str(tmp_path / "photo.png"), "--run", record.id]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    told, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert json.loads(told) == first
