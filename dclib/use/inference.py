"""Trained networks for use: ONNX files that anybody can run, and what `predict` runs.

Nothing here imports torch before it is needed: a network whose file is there does without.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dclib import data, paths
from dclib.errors import DataError, RunError
from dclib.files import write_atomically
from dclib.records.runs import RECORD, WEIGHTS, Record, read

if TYPE_CHECKING:
    from dclib.network import Network
    from dclib.tasks import Task

FORMAT = "2"  # of the files, to be raised when their networks get another form
FILE = "network.onnx"
ROADS = ("onnxruntime", "torch")
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
TOLD = ("tasks", "resolution", "mean", "std", "words")  # what a file says of its use

# Normalised images (B, 3, R, R) to {task name: logits}: arrays to arrays, tensors to tensors.
Run = Callable[[Any], dict[str, Any]]


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


def network(record: Record) -> "Network":
    """The trained network of a run, ready to predict.

    Raises:
        RunError: its weights are not on this machine, or not those of its network.
    """
    from safetensors.torch import load

    from dclib.training.loop import make_network

    path = weights(record)
    net = make_network(replace(record.experiment, pretrained=False), answers(record)[0])
    try:
        content = path.read_bytes()
        beside = (path.parent / RECORD).exists()  # trained here, perhaps in other bits
        (read(path.parent) if beside else record).check(WEIGHTS, content)
        net.load_state_dict(load(content))
    except Exception as error:  # safetensors and torch each raise kinds of their own
        raise RunError(
            f"{path} does not fit run {record.id} ({error}): restore it, or train it again by"
            f" `python -m dclib train --run {record.id}`"
        ) from error
    return net.eval()


def answers(record: Record) -> "tuple[tuple[Task, ...], dict[str, tuple[str, ...]]]":
    """The tasks that a run's network answers, and the words of labels, as when it was trained.

    Raises:
        RunError: the data set of that name is another one now.
        DataError: it is gone, and the record is of the first format, which does not say.
    """
    from dclib.tasks import from_description

    found = _data_set(record)
    if found is not None and not record.answers:
        return found.tasks(record.experiment.resolution), found.words()
    kept = record.answers or {}
    return from_description(kept["tasks"]), {n: tuple(of) for n, of in kept["words"].items()}


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


# Files


def export(
    net: "Network", path: Path, resolution: int, about: Mapping[str, str] | None = None
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


def to_onnx(net: "Network", resolution: int, about: Mapping[str, str]) -> bytes:
    """The content of such a file."""
    if missing := [package for package in PACKAGES if not importlib.util.find_spec(package)]:
        raise RunError(f"ONNX files need what is missing here: `pip install {' '.join(missing)}`")
    from dclib.use import onnx_file

    content = onnx_file.make(net, resolution, about)
    try:
        ready = session(content)
    except Exception as error:  # of its own kinds: a part of the file is called as a task is
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"the network cannot become an ONNX file: {reason}; a task whose name is there twice"
            " needs another one"
        ) from error
    onnx_file.check(by_onnxruntime(ready), net, resolution)
    return content


# Running


def session(content: bytes, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU for the content of a file."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def by_onnxruntime(ready: Any) -> Run:
    """What a session computes."""
    names = [output.name for output in ready.get_outputs()]

    def run(images: Any) -> dict[str, Any]:
        found = ready.run(names, {"images": np.asarray(images, np.float32)})
        if not isinstance(images, np.ndarray):
            import torch

            found = map(torch.from_numpy, found)
        return dict(zip(names, found, strict=True))

    return run


def by_torch(net: "Network", resolution: int) -> Run:
    """What a network computes, folded and in channels-last, the fastest form here."""
    import torch

    from dclib.fast.folding import fold

    folded = fold(net, resolution).to(memory_format=torch.channels_last)

    def run(images: Any) -> dict[str, Any]:
        with torch.no_grad():
            found = folded(torch.as_tensor(images).contiguous(memory_format=torch.channels_last))
        as_arrays = isinstance(images, np.ndarray)
        return {name: of.numpy() if as_arrays else of for name, of in found.items()}

    return run


@dataclass(frozen=True)
class Predictor:
    """The network of a run, ready for images.

    Attributes:
        about: what must be known to use it, `TOLD`; words for the values of labels, by label.
        road: what computes it, one of `ROADS`.
        run: normalised images (B, 3, R, R) to {task name: logits}.
    """

    about: dict[str, Any]
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
        RunError: no weights, other data under the name of the run's, or a road that cannot be
            taken.
    """
    if road not in (None, *ROADS):
        raise RunError(f"road={road!r}: choose from {list(ROADS)}")
    _data_set(record)  # also where a file or the network is at hand
    kept = weights(record).stat()
    key = (weights(record), kept.st_mtime_ns, kept.st_size, road)
    if key not in _latest:
        made = _make(record, road)
        _latest.clear()
        _latest[key] = made
    return _latest[key]


def _make(record: Record, road: str | None) -> Predictor:
    if road != "torch":
        try:
            ready = _cached_session(record)
        except RunError:  # packages missing, or a network that onnxruntime cannot do
            if road:
                raise
        else:
            told = ready.get_modelmeta().custom_metadata_map
            about = {name: json.loads(told[name]) for name in TOLD}
            return Predictor(about, "onnxruntime", by_onnxruntime(ready))
    from dclib.use.onnx_file import describe

    net, resolution = network(record), record.experiment.resolution
    about = describe(net.tasks, resolution) | {"words": answers(record)[1]}
    return Predictor(about, "torch", by_torch(net, resolution))


def _cached_session(record: Record) -> Any:
    digest = hashlib.sha256(weights(record).read_bytes()).hexdigest()
    folder = paths.store() / record.id
    with suppress(Exception):  # no file, or a damaged one: it is made again
        ready = session((folder / FILE).read_bytes())
        about = ready.get_modelmeta().custom_metadata_map
        if (about["weights"], about["format"]) == (digest, FORMAT):
            return ready
    about = {"run": record.id, "weights": digest, "format": FORMAT}
    about["words"] = json.dumps(answers(record)[1])
    content = to_onnx(network(record), record.experiment.resolution, about)
    with suppress(OSError, RunError):  # no room for it: it is made again next time
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FILE, content)
    return session(content)
