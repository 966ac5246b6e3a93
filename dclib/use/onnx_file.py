"""A network as the content of an ONNX file, which says itself how it is used."""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dclib.data.augment import IMAGENET_MEAN, IMAGENET_STD
from dclib.errors import RunError
from dclib.fast.folding import fold, suit
from dclib.network import Network
from dclib.splitting.tracing import evaluating, first_line
from dclib.tasks import Task
from dclib.tasks import describe as tasks_in_values

TOLERANCE = 1e-4  # of the largest output: how far a file may be from its network
DECODING = """A network made by dclib, for square photos of one face.

Input "images": float32 (batch, 3, resolution, resolution), RGB; values in 0..255 divided by 255,
less `mean`, divided by `std`, channel by channel. Any batch size.

Outputs: logits, one output for each of `tasks`, by its name. Their kinds:
Landmarks (batch, points, 2, bins), x before y: the largest bin, plus 0.5, in pixels of the input.
SimCC (batch, points, 2, split * bins): the largest bin, divided by `split`.
Classes (batch, classes): softmax gives the probability of each value.
Angle (batch, outputs): the largest bin, plus 0.5, times `width`, less `limit`, in degrees.
Orientation (batch, outputs): the logits of `angles` one after the other, each read as an Angle.
"""


class _Outputs(nn.Module):
    """The logits as a tuple, which is what files have."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(images).values())


def make(net: Network, resolution: int, about: Mapping[str, str]) -> bytes:
    """The content of the file of a network, which stays as it is, not checked yet.

    Raises:
        RunError: the network cannot be exported.
    """
    import onnx

    folded = fold(net, resolution).cpu().float()
    suit(folded, resolution)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, about its own insides
            program = torch.onnx.export(
                _Outputs(folded).eval(),
                (torch.zeros(2, 3, resolution, resolution),),
                input_names=["images"],
                output_names=[task.name for task in net.tasks],
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                custom_translation_table={
                    torch.ops.aten.adaptive_max_pool2d.default: _adaptive_max_pool2d
                },
                verbose=False,
            )
    except Exception as error:  # each of its stages has kinds of its own
        raise RunError(f"the network cannot become an ONNX file: {first_line(error)}") from error
    assert program is not None
    model = program.model_proto
    model.doc_string = DECODING
    described = {name: json.dumps(of) for name, of in describe(net.tasks, resolution).items()}
    onnx.helper.set_model_props(model, {**described, **about})
    return model.SerializeToString()


def _adaptive_max_pool2d(x: Any, output_size: Sequence[int]) -> tuple[Any, Any]:
    """What the exporter lacks: maps (B, C, H, W) to the largest values of h x w windows of them.

    The second result, where they are, is left out.
    """
    from onnxscript import opset20

    op: Any = opset20
    for axis, size, wanted in zip((2, 3), x.shape[2:], output_size, strict=True):
        windows = [(i * size // wanted, -(-(i + 1) * size // wanted)) for i in range(wanted)]
        parts = [op.Slice(x, [start], [end], [axis]) for start, end in windows]
        x = op.Concat(*[op.ReduceMax(part, [axis], keepdims=1) for part in parts], axis=axis)
    return x, x


def describe(tasks: Sequence[Task], resolution: int) -> dict[str, Any]:
    """What must be known to use a network: its tasks, and how its images are made."""
    values: dict[str, Any] = {"tasks": tasks_in_values(tasks), "resolution": resolution}
    return values | {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


@torch.no_grad()
def check(run: Any, net: Network, resolution: int) -> None:
    """Compare what a file computes with its network.

    Raises:
        RunError: they differ by more than `TOLERANCE`.
    """
    like = next(net.parameters())
    images = torch.randn(3, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))
    found = run(images)
    with evaluating(net):
        expected = net(images.to(like.device, like.dtype))
    for name, values in expected.items():
        values = values.cpu().float()
        difference, largest = float((found[name] - values).abs().max()), float(values.abs().max())
        if not difference <= TOLERANCE * largest:
            raise RunError(
                f"the network's ONNX file would differ in {name}, by {difference:.1e} where the"
                f" largest is {largest:.1e}"
            )
