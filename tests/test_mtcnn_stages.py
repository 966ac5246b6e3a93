"""The stages of MTCNN against the counts of the papers and a second implementation."""

import pytest
import torch
from test_block import randomise
from torch import nn
from torch.nn import functional

from dclib import CollaborativeBlock, count_parameters
from dclib.mtcnn.stages import METHODS, SIZES, TASKS, Stage, build, normalise, parameters


def total(method: str, **settings) -> int:
    return sum(parameters(method, **settings).values())


def test_the_original_has_495_850_parameters():
    assert parameters("MTCNN", pooling="ceil") == {"P": 6632, "R": 100_178, "O": 389_040}


def test_parameters_of_each_method():
    """About 0.29M; with 3 x 3 kernels everywhere 2.02M, or 2.60M if sizes are rounded up."""
    assert total("MTCNN") == 291_050
    assert total("DC-MTCNN", kernel=3) == 2_024_881
    assert total("DC-MTCNN", kernel=3, pooling="ceil") == 2_598_321
    assert total("DC-MTCNN") == 2_000_041


@pytest.mark.parametrize(
    ("pooling", "millions", "width"), [("floor", 2.22, 2.79), ("ceil", 2.84, None)]
)
def test_parameters_with_three_columns_everywhere(pooling, millions, width):
    with torch.device("meta"):
        count = sum(count_parameters(Stage(name, 3, 1.0, pooling, 3)) for name in SIZES)
    assert count / 1e6 == pytest.approx(millions, abs=0.005)
    if width:
        assert total("MTCNN", width=width) / count == pytest.approx(1, abs=0.01)


def test_one_width_for_all_stages_would_be_2_66():
    assert total("MTCNN", width=2.66) / total("DC-MTCNN", kernel=3) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("settings", [{}, {"kernel": 3, "pooling": "ceil"}, {"width": 0.5}])
def test_a_widened_stage_has_as_many_parameters(settings):
    widened, target = parameters("MTCNNx", **settings), parameters("DC-MTCNN", **settings)
    for stage in SIZES:
        assert widened[stage] / target[stage] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", SIZES)
def test_outputs_and_columns(stage, method):
    net = build(stage, method, width=0.5)
    shapes = {"face": (2, 2), "box": (2, 4), "landmarks": (2, 5, 2)}
    found = net(torch.randn(2, 3, net.size, net.size))
    assert {task: x.shape for task, x in found.items()} == {t: shapes[t] for t in TASKS[stage]}
    blocks = [m for m in net.mixers if isinstance(m, CollaborativeBlock)]
    apart = method == "DC-MTCNN"
    assert len(net.columns) == (len(TASKS[stage]) if apart else 1)
    assert len(blocks) == ({"P": 3, "R": 3, "O": 4}[stage] if apart else 0)


def test_channels_that_blocks_join():
    channels = {name: build(name, "DC-MTCNN").mixers for name in SIZES}
    assert {name: [m.channels[0] for m in mixers] for name, mixers in channels.items()} == {
        "P": [10, 16, 32],
        "R": [28, 48, 64],
        "O": [32, 64, 64, 128],
    }


@pytest.mark.parametrize("name", SIZES)
def test_the_standard_stage_equals_its_layers_one_by_one(name):
    """With sizes rounded up, see `test_mtcnn_public`."""
    net = build(name, "MTCNN").eval()
    for p in net.parameters():
        p.data = 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    images = torch.randn(3, 3, SIZES[name], SIZES[name])
    pools = {"P": (2, 0, 0), "R": (3, 3, 0), "O": (3, 3, 2, 0)}[name]
    state, x = net.state_dict(), images
    for at, pool in enumerate(pools):
        x = functional.conv2d(x, *(state[f"columns.0.{at}.0.{k}"] for k in ("weight", "bias")))
        slope = state[f"columns.0.{at}.1.weight"][:, None, None]
        x = torch.where(x > 0, x, slope * x)
        if pool:
            x = x.unfold(2, pool, 2).unfold(3, pool, 2).flatten(4).amax(dim=4)
    x = x.flatten(1)
    if name != "P":
        x = functional.linear(x, state["hidden.0.1.weight"], state["hidden.0.1.bias"])
        x = torch.where(x > 0, x, state["hidden.0.2.weight"] * x)
    for at, (task, found) in enumerate(net(images).items()):
        weight, bias = state[f"heads.{at}.weight"], state[f"heads.{at}.bias"]
        expected = x @ weight.flatten(1).T + bias
        torch.testing.assert_close(found.flatten(1), expected, atol=1e-4, rtol=1e-4, msg=task)


@pytest.mark.parametrize("method", METHODS)
def test_p_says_of_a_place_in_a_photo_what_it_says_of_the_crop(method):
    net = build("P", method).eval()
    randomise(net)
    photo = torch.randn(1, 3, 30, 41)
    with torch.no_grad():
        maps = net(photo)
        crop = net(photo[..., 8:20, 14:26])
    assert maps["face"].shape == (1, 2, 10, 15)
    for task, values in crop.items():
        torch.testing.assert_close(values, maps[task][..., 4, 7], atol=1e-4, rtol=1e-4)


def test_with_3x3_blocks_p_says_other_things():
    """The trap: on crops these kernels see zeros around maps, in a photo what is there."""
    net = build("P", "DC-MTCNN", kernel=3).eval()
    randomise(net)
    photo = torch.randn(1, 3, 30, 41)
    with torch.no_grad():
        difference = net(photo[..., 8:20, 14:26])["face"] - net(photo)["face"][..., 4, 7]
    assert difference.abs().max() > 0.01


def test_layers_of_columns_start_as_in_dface():
    net = build("O", "DC-MTCNN")
    layers = [*net.columns.modules(), *net.hidden.modules(), *net.heads.modules()]
    layers = [m for m in layers if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 3 * (4 + 1 + 1)
    for layer in layers:
        assert (layer.bias == 0.1).all()
        area = layer.weight[0, 0].numel()
        bound = (6 / (area * sum(layer.weight.shape[:2]))) ** 0.5
        assert 0.8 * bound < layer.weight.abs().max() <= bound


def test_values_of_a_photo_are_normalised():
    pixels = torch.tensor([0, 127, 255], dtype=torch.uint8)
    assert normalise(pixels).tolist() == [-127.5 / 128, -0.5 / 128, 127.5 / 128]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "Q"}, "stage 'Q' is unknown"),
        ({"method": "DCNet"}, "method 'DCNet' is unknown"),
        ({"pooling": "round"}, "pooling 'round' is unknown"),
        ({"width": 0.0}, "width=0.0"),
        ({"kernel": 2}, "kernel=2"),
        ({"method": "MTCNNx", "width": 0.25}, "cannot be widened to the 1,603 parameters"),
    ],
)
def test_what_cannot_be_built_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**{"stage": "P", "method": "DC-MTCNN", **change})
