"""ImageNet weights from another package: a small graph laid out as the package's is."""

import numpy as np
import onnx
import onnxruntime
import pytest
import scripts
import torch
from onnx import helper, numpy_helper

from dclib.data.augment import IMAGENET_MEAN, normalise
from dclib.underlying import blocks

SIZE = 32  # of the images, in pixels


class Graph:
    """A residual network as ONNX, written node by node, its weights drawn."""

    def __init__(self) -> None:
        self.nodes, self.values = [], []
        self.draws = np.random.default_rng(0)

    def value(self, array):
        name = f"value{len(self.values)}"
        self.values.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def node(self, kind, inputs, **settings):
        output = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def conv(self, x, incoming, maps, side, stride):
        kernel = self.draws.normal(
            0, (2 / (incoming * side**2)) ** 0.5, (maps, incoming, side, side)
        )
        pads = [side // 2] * 4
        y = self.node("Conv", [x, self.value(kernel)], strides=[stride] * 2, pads=pads)
        norm = [self.draws.uniform(0.5, 1.5, maps), self.draws.normal(0, 0.1, maps)]
        norm += [self.draws.normal(0, 0.1, maps), self.draws.uniform(0.5, 1.5, maps)]
        return self.node("BatchNormalization", [y, *map(self.value, norm)], epsilon=1e-5)

    def block(self, x, incoming, maps, stride):
        y = self.node("Relu", [self.conv(x, incoming, maps, 3, stride)])
        y = self.conv(y, maps, maps, 3, 1)
        around = x if incoming == maps else self.conv(x, incoming, maps, 1, stride)
        return self.node("Relu", [self.node("Add", [y, around])])

    def model(self, output):
        told = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in ("images", output)
        ]
        graph = helper.make_graph(self.nodes, "graph", told[:1], told[1:], self.values)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture(scope="module")
def recipe():
    return scripts.module("data_scripts/imagenet_mlnet.py")


def test_weights_compute_what_the_graph_computes(recipe, tmp_path):
    graph = Graph()
    x = graph.node("Relu", [graph.conv("images", 3, 8, 7, 2)])
    x = graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    incoming = 8
    for maps, count in ((8, 2), (16, 2), (32, 2), (64, 3)):
        for number in range(count):
            x = graph.block(x, incoming, maps, 2 if incoming != maps else 1)
            incoming = maps
            if (maps, number) == (64, 1):
                ends = x  # as ResNet18 does
    for path, model in ((recipe.GRAPH, graph.model(x)), (recipe.MEAN, _mean_image())):
        (tmp_path / path).parent.mkdir(parents=True)
        onnx.save(model, tmp_path / path)
    columns = blocks("resnet18", width=0.125)
    names = {"0.0": "conv1", "0.1": "bn1", **{str(n): f"layer{n}" for n in range(1, 5)}}
    found = recipe.convert(tmp_path)
    state = {}
    for ours, of in columns.state_dict().items():
        start = next(name for name in names if ours.startswith(f"{name}."))
        theirs = names[start] + ours.removeprefix(start)
        state[ours] = torch.tensor(found.pop(theirs)) if "num_batches" not in ours else of
    assert not found
    columns.load_state_dict(state)
    images = np.random.default_rng(1).integers(0, 256, (2, 3, SIZE, SIZE), dtype=np.uint8)
    y = normalise(torch.from_numpy(images))
    with torch.no_grad():
        for block in columns.eval():
            y = block(y)
    bgr = images[:, ::-1].astype(np.float32) - _mean()[:, None, None]
    session = onnxruntime.InferenceSession(
        graph.model(ends).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run([ends], {"images": bgr})
    assert np.abs(expected).max() > 1
    assert y.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def _mean():
    """torchvision's mean in BGR, so that nothing is lost at the borders."""
    return (255 * np.asarray(IMAGENET_MEAN[::-1])).astype(np.float32)


def _mean_image():
    graph = Graph()
    image = np.broadcast_to(_mean()[:, None, None], (3, SIZE, SIZE))
    return graph.model(graph.node("Sub", ["images", graph.value(image[None])]))
