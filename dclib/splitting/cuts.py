"""Where a network may be cut, and the parts between."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from dclib.splitting.tracing import BATCH, REMEDY, Steps, values

WIDER = 1024  # pixels, by which a second look at the sizes is wider
WEIGHTED = (functional.conv2d, functional.conv_transpose2d, functional.linear)
IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


def layers_with_weights(module: nn.Module) -> int:
    """How many layers with weights a module has: convolutional, fully connected and the like."""
    inside = module.modules()
    return sum(any(p.dim() > 1 for p in layer.parameters(recurse=False)) for layer in inside)


@dataclass(frozen=True)
class Place:
    """A place for a cut: behind a step whose feature maps are all that goes on.

    Attributes:
        at: number of the step.
        channels, size: of the maps; size is height and width.
        level: how many modules hold both this step and the next one; 0 for the network alone.
        layers: layers with weights since the place before.
        parameters: modules with parameters since then.
        pointwise: whether a 1x1 convolution is among them.
    """

    at: int
    channels: int
    size: tuple[int, int]
    level: int
    layers: int
    parameters: int
    pointwise: bool


class Traced:
    """A network's steps in order; step 0 are the images.

    No steps are what does not depend on the images, such as parameters, and what only leads to
    their number: each part of the network finds these by itself.

    Raises:
        ValueError: the network takes no images of this size.
    """

    def __init__(self, model: nn.Module, steps: Steps, resolution: int) -> None:
        self.model = model
        self.name = type(model).__name__
        self.modules = dict(model.named_modules())
        self.whole, self.constants = steps.whole, steps.constants
        self.values, failed = values(model, steps, resolution, resolution)
        self.wide, _ = values(model, steps, resolution, resolution + WIDER)
        if failed and self._in_trunk(failed[0]):
            raise ValueError(f"{self.name} takes no images of {resolution} px: {failed[1]}")
        *nodes, self.output = steps.graph.nodes
        self.steps = self._steps(nodes)
        self.number = {node: k for k, node in enumerate(self.steps)}
        self.places = self._places()

    def _in_trunk(self, node: fx.Node) -> bool:
        """Whether a step works on maps; a classifier may well want images of another size."""
        reshapes = node.op == "call_method" or node.target in (torch.reshape, torch.flatten)
        inputs = [self.shape(n) for n in node.all_input_nodes]
        return not reshapes and all(len(shape) == 4 for shape in inputs if shape)

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Of what a step gives; () if this is no tensor."""
        value = self.values.get(node)
        return tuple(value.shape) if isinstance(value, Tensor) else ()

    def _steps(self, nodes: Sequence[fx.Node]) -> list[fx.Node]:
        self.batch = {n for n in nodes if type(v := self.values.get(n)) is int and v == BATCH}
        fixed: set[fx.Node] = set()
        for node in nodes:
            inputs = node.all_input_nodes
            computed = node.op in ("call_function", "call_method") and inputs
            if node.op == "get_attr" or (computed and all(n in fixed for n in inputs)):
                fixed.add(node)
        for node in reversed(nodes):
            if not self.shape(node) and node.users and all(u in self.batch for u in node.users):
                fixed.add(node)
        return [node for node in nodes if node not in fixed | self.batch]

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def layers(self, node: fx.Node) -> int:
        """Layers with weights in a step: convolutional and fully connected ones, and the like."""
        module = self._module(node)
        return int(node.target in WEIGHTED) if module is None else layers_with_weights(module)

    def _has_parameters(self, node: fx.Node) -> bool:
        if (module := self._module(node)) is not None:
            return any(True for _ in module.parameters())
        return any(n not in self.number and self.shape(n) for n in node.all_input_nodes)

    def _is_pointwise(self, node: fx.Node) -> bool:
        module = self._module(node)
        return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)

    def _gives_maps(self, node: fx.Node) -> bool:
        """Whether a step gives feature maps (B, C, h, w) whose size follows that of the images."""
        shape, wide = self.shape(node), self.wide.get(node)
        if not isinstance(wide, Tensor) or len(shape) != 4 or wide.dim() != 4:
            return False
        return shape[0] == BATCH and shape[:3] == wide.shape[:3] and shape[3] < wide.shape[3]

    def _places(self) -> list[Place]:
        self.alone = set()  # steps whose result is all that goes on
        found, start, needed = [], 1, 0  # needed: the last step that takes anything from before
        for k, node in enumerate(self.steps):
            users = [u for u in node.users if u in self.number]
            last = max((self.number[u] for u in users), default=k)
            last = len(self.steps) if self.output in node.users else last
            if k > 0 and needed <= k < last:
                self.alone.add(k)
            if k in self.alone and self._gives_maps(node) and not any(map(self._in_place, users)):
                since = self.steps[start : k + 1]
                _, channels, height, width = self.shape(node)
                found.append(
                    Place(
                        k,
                        channels,
                        (height, width),
                        self._level(k),
                        sum(map(self.layers, since)),
                        sum(map(self._has_parameters, since)),
                        any(map(self._is_pointwise, since)),
                    )
                )
                start = k + 1
            needed = max(needed, last)
        return found

    def _in_place(self, node: fx.Node) -> bool:
        """Whether a step changes its input: it must not change what joins the columns."""
        if (module := self._module(node)) is not None:
            return bool(getattr(module, "inplace", False))
        name = node.target if isinstance(node.target, str) else node.target.__name__
        own = name.endswith("_") and not name.endswith("__")
        return own or node.target in IN_PLACE or node.kwargs.get("inplace") is True

    def _stack(self, k: int) -> dict[str, str]:
        """The modules that hold a step, outermost first: a key for each call, and the name."""
        calls = self.steps[k].meta.get("nn_module_stack", {}) if k < len(self.steps) else {}
        return {key: name for key, (name, _) in calls.items()}

    def _level(self, k: int) -> int:
        pairs = list(zip(self._stack(k), self._stack(k + 1), strict=False))
        return next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))

    def behind(self, name: str) -> int | None:
        """The last step of a module; None if it is not run."""
        held = (k for k in range(len(self.steps)) if name in self._stack(k).values())
        return max(held, default=None)

    def goes_on(self, at: int) -> bool:
        """Whether layers with weights follow a step, or nothing at all."""
        last = self.output.args[0] is self.steps[at]
        return last or any(map(self.layers, self.steps[at + 1 :]))

    def refuse_tokens(self, at: int) -> None:
        """Refuse a transformer: fully connected layers work on all places, not on one vector."""
        for k, node in enumerate(self.steps):
            connected = isinstance(self._module(node), (nn.Linear, nn.MultiheadAttention))
            inputs = [len(self.shape(n)) for n in node.all_input_nodes]
            if connected and max(inputs) > 2 and (k > at or k in self.alone):
                raise ValueError(
                    f"{self.name} is no CNN: {node.target} works on something else than feature"
                    " maps (B, C, h, w)"
                )

    def why_no_maps(self) -> str:
        """For a network without any place."""
        parts = "".join(f"; {name} stays whole: {why}" for name, why in self.whole.items())
        return f"has no feature maps (B, C, h, w) to cut at{parts}; {REMEDY}"

    def parts(self, start: int, end: int) -> str:
        """What the steps after `start` and up to `end` are: the first and the last module."""
        inside = range(start + 1, end + 1)
        calls = [self._stack(k) for k in range(len(self.steps))]

        def outermost(k: int) -> str:
            for key, name in calls[k].items():
                if all(j in inside for j, call in enumerate(calls) if key in call):
                    return name
            target = self.steps[k].target
            return target if isinstance(target, str) else target.__name__

        first, last = outermost(start + 1), outermost(end)
        return first if first == last else f"{first} – {last}"

    def module(self, start: int, end: int | None = None) -> nn.Module:
        """The steps after `start` and up to `end`, or all that follow, as a module."""
        graph = fx.Graph()
        maps = graph.placeholder("maps")
        new = {self.steps[start]: maps}

        def copied(node: fx.Node) -> fx.Node:
            if node in self.batch:
                return graph.call_method("size", (maps, 0))
            if node not in new:
                new[node] = graph.node_copy(node, copied)
            return new[node]

        for node in self.steps[start + 1 : None if end is None else end + 1]:
            copied(node)
        result = self.output.args[0] if end is None else self.steps[end]
        if result is self.steps[start]:
            return nn.Identity()
        graph.output(fx.map_arg(result, copied))
        targets = {str(n.target) for n in graph.nodes if n.op in ("call_module", "get_attr")}
        own = {
            name: self.constants[name] if name in self.constants else attrgetter(name)(self.model)
            for name in targets
        }
        block = fx.GraphModule(own, graph, "Block")
        block.training = self.model.training
        return block
