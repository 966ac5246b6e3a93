"""Trained networks for use: ONNX files that anybody can run, and what `predict` runs."""

import hashlib
import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn

from dclib import data, paths
from dclib.columns import Network
from dclib.data.augment import IMAGENET_MEAN, IMAGENET_STD
from dclib.errors import DataError, RunError
from dclib.folding import fold, suit
from dclib.runs import RECORD, WEIGHTS, Record, read, write_atomically
from dclib.tasks import Task, describe, from_description
from dclib.tracing import evaluating, first_line

FORMAT = "1"  # of the files, to be raised when their networks get another form
FILE = "network.onnx"
TOLERANCE = 1e-4  # of the largest output: how far a file may be from its network
ROADS = ("onnxruntime", "torch")
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
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


def network(record: Record) -> Network:
    """The trained network of a run, ready to predict.

    Raises:
        RunError: its weights are not on this machine, or not those of its network.
    """
    from dclib.train import make_network

    path = weights(record)
    net = make_network(replace(record.experiment, pretrained=False), tasks(record))
    try:
        content = path.read_bytes()
        beside = (path.parent / RECORD).exists()  # trained here, perhaps in other bits
        (read(path.parent) if beside else record).check(WEIGHTS, content)
        net.load_state_dict(load(content))
    except Exception as error:  # safetensors and torch each raise kinds of their own
        raise RunError(f"{path} does not fit run {record.id} ({error}): train it again") from error
    return net.eval()


def tasks(record: Record) -> tuple[Task, ...]:
    """The tasks that the network of a run answers, in order, as they were when it was trained.

    Raises:
        RunError: the data set of that name is another one now; or it is gone, and the record is of
            the first format, which does not say.
    """
    found = _data_set(record)
    if found is None or record.answers:
        return from_description((record.answers or {})["tasks"])
    return found.tasks(record.experiment.resolution)


def words(record: Record) -> dict[str, tuple[str, ...]]:
    """The words of the values of each label, as they were when the run was trained.

    Raises:
        RunError: as `tasks`.
    """
    found = _data_set(record)
    if found is None or record.answers:
        return {name: tuple(of) for name, of in (record.answers or {})["words"].items()}
    return found.words()


def _data_set(record: Record) -> data.DataSet | None:
    """The data set of a run, where it is here and as it was; None where nothing is asked of it."""
    e = record.experiment
    try:
        found = data.find(e.dataset)
    except DataError:
        if record.answers:
            return None
        raise
    if found.fingerprint != e.fingerprint:
        raise RunError(
            f"run {record.id} was trained on {e.dataset} when its fingerprint was {e.fingerprint},"
            f" it is {found.fingerprint} now: prepare the new data under another name and restore"
            " these, or train a run on the new ones"
        )
    return found


def weights(record: Record) -> Path:
    """The file with the weights of a run.

    Raises:
        RunError: it is not on this machine.
    """
    if record.weights is None:
        raise RunError(
            f"the weights of run {record.id} are not here (records are kept without them): train it"
            f" by `python -m dclib train --run {record.id}`"
        )
    return record.weights


# Files


class _Outputs(nn.Module):
    """The logits as a tuple, which is what files have."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(images).values())


def export(
    net: Network, path: Path, resolution: int, about: Mapping[str, str] | None = None
) -> Path:
    """Write a network as an ONNX file, folded, for any number of images, after checking it.

    Its description says how to use it, its metadata what that speaks of.

    Args:
        net: in whatever mode; it stays as it is.
        path: whose folder exists.
        resolution: side of the images in pixels.
        about: more metadata.

    Raises:
        RunError: packages of the extra "onnx" are missing, the network cannot be exported, its file
            would differ by more than 1e-4 of the largest output, or cannot be written.
    """
    write_atomically(path, to_onnx(net, resolution, about or {}))
    return path


def to_onnx(net: Network, resolution: int, about: Mapping[str, str]) -> bytes:
    """The content of such a file."""
    if missing := [package for package in PACKAGES if not importlib.util.find_spec(package)]:
        raise RunError(f"ONNX files need what is missing here: `pip install {' '.join(missing)}`")
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
    onnx.helper.set_model_props(model, {**_metadata(net.tasks, resolution), **about})
    content = model.SerializeToString()
    _check(content, net, resolution)
    return content


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


def _metadata(tasks: Sequence[Task], resolution: int) -> dict[str, str]:
    values: dict[str, Any] = {"tasks": describe(tasks), "resolution": resolution}
    values |= {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return {name: json.dumps(value) for name, value in values.items()}


@torch.no_grad()
def _check(content: bytes, net: Network, resolution: int) -> None:
    like = next(net.parameters())
    images = torch.randn(3, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))
    try:
        ready = session(content)
    except Exception as error:  # of its own kinds: a part of the file is called as a task is
        raise RunError(
            f"the network cannot become an ONNX file: {first_line(error)}; a task whose name is"
            " there twice needs another one"
        ) from error
    found = by_onnxruntime(ready)(images)
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


# Running

Run = Callable[[Tensor], dict[str, Tensor]]  # normalised images (B, 3, R, R) to {task name: logits}


def session(content: bytes, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU for the content of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def by_onnxruntime(ready: Any) -> Run:
    """What a session computes, from tensors to tensors."""
    names = [output.name for output in ready.get_outputs()]

    def run(images: Tensor) -> dict[str, Tensor]:
        found: list[np.ndarray] = ready.run(names, {"images": images.float().numpy()})
        return {name: torch.from_numpy(of) for name, of in zip(names, found, strict=True)}

    return run


def by_torch(net: Network, resolution: int) -> Run:
    """What a network computes, folded and in channels-last, the fastest form here."""
    folded = fold(net, resolution).to(memory_format=torch.channels_last)

    def run(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return folded(images.to(memory_format=torch.channels_last))

    return run


@dataclass(frozen=True)
class Predictor:
    """The network of a run, ready for images.

    Attributes:
        tasks: those that it predicts, in order.
        road: what computes it, one of `ROADS`.
        run: normalised images (B, 3, R, R) to {task name: logits}.
    """

    tasks: tuple[Task, ...]
    road: str
    run: Run


_latest: dict[tuple[Any, ...], Predictor] = {}  # one at most: networks can be large


def predictor(record: Record, road: str | None = None) -> Predictor:
    """The network of a run, kept until another one is asked for.

    By onnxruntime its file is made once, which takes seconds, and kept in the store beside the
    run's weights until these change.

    Args:
        record: of the run.
        road: one of `ROADS`; by default onnxruntime if it is installed and can do the network.

    Raises:
        RunError: no weights, or a road that cannot be taken.
    """
    if road not in (None, *ROADS):
        raise RunError(f"road={road!r}: choose from {list(ROADS)}")
    kept = weights(record).stat()
    key = (weights(record), kept.st_mtime_ns, kept.st_size, road)
    if key not in _latest:
        made = _make(record, road)
        _latest.clear()
        _latest[key] = made
    return _latest[key]


def _make(record: Record, road: str | None) -> Predictor:
    e = record.experiment
    if road != "torch":
        try:
            ready = _cached_session(record)
        except RunError:  # packages missing, or a network that onnxruntime cannot do
            if road:
                raise
        else:
            names = {output.name for output in ready.get_outputs()}
            there = tuple(task for task in tasks(record) if task.name in names)
            return Predictor(there, "onnxruntime", by_onnxruntime(ready))
    net = network(record)
    return Predictor(net.tasks, "torch", by_torch(net, e.resolution))


def _cached_session(record: Record) -> Any:
    digest = hashlib.sha256(weights(record).read_bytes()).hexdigest()
    folder = paths.store() / record.id
    with suppress(Exception):  # no file, or a damaged one: it is made again
        ready = session((folder / FILE).read_bytes())
        about = ready.get_modelmeta().custom_metadata_map
        if (about["weights"], about["format"]) == (digest, FORMAT):
            return ready
    about = {"run": record.id, "weights": digest, "format": FORMAT}
    content = to_onnx(network(record), record.experiment.resolution, about)
    with suppress(OSError, RunError):  # no room for it: it is made again next time
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FILE, content)
    return session(content)
