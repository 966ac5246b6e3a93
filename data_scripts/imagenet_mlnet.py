"""Make ImageNet weights of ResNet18 from the package of Microsoft's ML.NET that carries them.

    python data_scripts/imagenet_mlnet.py PACKAGE [FILE]

PACKAGE is the unpacked NuGet package Microsoft.ML.DnnImageFeaturizer.ResNet18 0.23.1 (MIT licence;
the weights were trained on ImageNet: for non-commercial research). FILE is by default where
`pretrained="imagenet-mlnet"` looks for it, in the data folder. Needs the extra "onnx".

The graph takes BGR images in 0..255 less a mean image, where torchvision's networks take RGB in
0..1, less a mean and divided by a deviation, colour by colour. That is folded into the first
convolution and its BatchNorm. The graph has a third block in its last stage, which ResNet18 has
not: it is left out.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper
from safetensors.numpy import save_file

from dclib import paths
from dclib.data.augment import IMAGENET_MEAN, IMAGENET_STD
from dclib.pretrained import MLNET, MLNET_FILE

GRAPH = Path("tools", "DnnImageModels", "ResNet18Onnx", "ResNet18.onnx")
MEAN = Path("tools", "DnnImageModels", "ResNetPrepOnnx", "ResNetPreprocess.onnx")
NORM = ("weight", "bias", "running_mean", "running_var")
EPSILON = 1e-5  # of BatchNorm, here and there
BLOCKS = 2  # of each stage of ResNet18


def layers(graph: onnx.GraphProto) -> Iterator[tuple[str, str, NodeProto, NodeProto]]:
    """torchvision's names of each convolution and its BatchNorm, and their nodes.

    A residual block ends in a sum: of conv-norm-ReLU-conv-norm, and of what goes around it, which
    is a convolution and a norm where the number of maps changes.
    """
    maker = {output: node for node in graph.node for output in node.output}

    def before(node: NodeProto) -> NodeProto:
        return maker[node.input[0]]

    sizes = {i.name: i.dims[0] for i in graph.initializer if i.dims}
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    yield "conv1", "bn1", before(norms[0]), norms[0]
    stage, block, maps = 1, 0, sizes[norms[0].input[1]]
    for total in (node for node in graph.node if node.op_type == "Add"):
        second, around = maker[total.input[0]], maker[total.input[1]]
        first = before(before(before(second)))
        if sizes[second.input[1]] != maps:
            stage, block, maps = stage + 1, 0, sizes[second.input[1]]
        name = f"layer{stage}.{block}"
        if block < BLOCKS:
            yield f"{name}.conv1", f"{name}.bn1", before(first), first
            yield f"{name}.conv2", f"{name}.bn2", before(second), second
            if around.op_type == "BatchNormalization":
                yield f"{name}.downsample.0", f"{name}.downsample.1", before(around), around
        block += 1


def for_our_images(
    kernel: np.ndarray, norm: list[np.ndarray], mean: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The first convolution and its BatchNorm, rewritten for normalised RGB images.

    With x = (rgb - m) / s, the graph's input in RGB is 255 s x + (255 m - mean). The factor goes
    into the kernel and the constant into the running mean; zeros around the image stay zeros, which
    is why constants of other than 0 count wrongly in the outermost rows. All is then divided by the
    mean factor, so that the kernel has a usual size; BatchNorm takes that back.

    Args:
        kernel: (D, 3, k, k) for BGR.
        norm: scale, shift, mean and variance (D,).
        mean: of the mean image (3,), BGR.
    """
    gamma, beta, center, variance = (part.astype(np.float64) for part in norm)
    deviation = 255 * np.asarray(IMAGENET_STD)
    kernel = kernel[:, ::-1].astype(np.float64)
    constant = 255 * np.asarray(IMAGENET_MEAN) - mean[::-1]
    center = center - np.einsum("dchw,c->d", kernel, constant)
    usual = deviation.mean()
    kernel = kernel * deviation[:, None, None] / usual
    smaller = variance / usual**2
    gamma = gamma * np.sqrt((smaller + EPSILON) / (smaller + EPSILON / usual**2))
    return kernel, [gamma, beta, center / usual, smaller]


def convert(package: Path) -> dict[str, np.ndarray]:
    """The weights, float32, by torchvision's names."""
    graph = onnx.load(package / GRAPH).graph
    image = numpy_helper.to_array(onnx.load(package / MEAN).graph.initializer[0])
    mean = image.astype(np.float64).reshape(3, -1).mean(axis=1)
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    made: dict[str, np.ndarray] = {}
    for conv, bn, conv_node, norm_node in layers(graph):
        kernel, norm = values[conv_node.input[1]], [values[n] for n in norm_node.input[1:5]]
        if conv == "conv1":
            kernel, norm = for_our_images(kernel, norm, mean)
        made[f"{conv}.weight"] = kernel
        made |= {f"{bn}.{part}": of for part, of in zip(NORM, norm, strict=True)}
    return {name: np.ascontiguousarray(of, dtype=np.float32) for name, of in made.items()}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("package", type=Path, help="the unpacked package")
    words.add_argument("file", type=Path, nargs="?", default=paths.data() / MLNET_FILE)
    options = words.parse_args()
    weights = convert(options.package)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.file, {"source": MLNET})
    print(f"{options.file}: {len(weights)} tensors")


if __name__ == "__main__":
    main()
