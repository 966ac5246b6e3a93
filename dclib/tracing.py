"""A network as the steps that it runs (torch.fx), and what each of them gives."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.node import map_aggregate

REMEDY = "give its blocks yourself, as an nn.ModuleList or nn.Sequential"
BATCH = 7919  # images, on the meta device only: a prime, so that where it turns up it is the batch


class _Tracer(fx.Tracer):
    """Follows a network's forward and notes what it runs.

    Single steps are PyTorch's layers, modules without children, and modules that cannot be followed
    because they decide by values or by `self.training` what to do, or switch gradients off: all of
    these run their own code later on. Where a module passes `self.training` on, as to a functional
    dropout, a block passes on its own.
    """

    def __init__(self, training: bool) -> None:
        super().__init__()
        self.training = training  # what the network itself finds when it asks
        self.asked = False
        self.gradients = torch.is_grad_enabled()
        self.whole: dict[str, str] = {}  # modules that cannot be followed, and why

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        childless = next(m.children(), None) is None
        known = super().is_leaf_module(m, module_qualified_name)
        return known or childless or module_qualified_name in self.whole

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        images = self.create_proxy("placeholder", "images", (), {})
        self.mode = self.create_proxy("get_attr", "training", (), {})
        for name, module in self.root.named_modules():
            if module is self.root or not self.is_leaf_module(module, name):
                module.__dict__["training"] = self.mode
        return root_fn, [self.root, images]  # other arguments keep their defaults

    def to_bool(self, obj: fx.Proxy) -> bool:
        if obj.node is not self.mode.node or self.module_stack:
            return super().to_bool(obj)  # raises
        self.asked = True
        return self.training

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if torch.is_grad_enabled() != self.gradients:
            raise fx.proxy.TraceError("it switches gradients on or off")
        return super().create_node(*args, **kwargs)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        stack, last = copy.copy(self.module_stack), next(iter(reversed(self.graph.nodes)))
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception as error:
            name = self.path_of_module(m)
            if self.is_leaf_module(m, name):
                raise
            self.whole[name] = first_line(error)
            self.module_stack = stack
            while (node := next(iter(reversed(self.graph.nodes)))) is not last:
                self.graph.erase_node(node)
            return super().call_module(m, forward, args, kwargs)


def first_line(error: BaseException) -> str:
    """An error in one line."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and then each of its modules again in its own."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def trace(model: nn.Module) -> tuple[fx.Graph, dict[str, str]]:
    """All steps of a network in order, and the modules among them that could not be followed.

    Raises:
        ValueError: the network as a whole cannot be followed, or runs other layers in training.
    """
    name = type(model).__name__
    graphs = []
    for training in (False, True):
        tracer = _Tracer(training)
        with evaluating(model):
            try:
                graphs.append(tracer.trace(model))
            except Exception as error:
                raise ValueError(
                    f"{name} cannot be split: {first_line(error)}; {REMEDY}"
                ) from error
        if not tracer.asked:
            break
    if len({str(graph) for graph in graphs}) > 1:
        raise ValueError(f"{name} cannot be split: it runs other layers in training; {REMEDY}")
    if not tracer.mode.node.users:
        graphs[-1].erase_node(tracer.mode.node)
    return graphs[-1], tracer.whole


def on_meta(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """What a module gives for tensors on the meta device: shapes, without any computing.

    A module that needs values, to decide by, is run on two black images in their place.
    """
    tensors = {
        f"{path}.{name}".lstrip("."): tensor
        for path, part in module.named_modules()  # each once, by one of its names
        for own in (part.named_parameters(recurse=False), part.named_buffers(recurse=False))
        for name, tensor in own
    }
    state = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    try:
        return functional_call(module, state, args, kwargs, tie_weights=False)
    except RuntimeError as error:
        if "meta tensor" not in str(error) or any(t.is_meta for t in tensors.values()):
            raise
    device = next((t.device for t in tensors.values()), torch.device("cpu"))
    batch = args[0].shape[0]

    def black(x: Any) -> Any:
        return torch.zeros(2, *x.shape[1:], device=device) if isinstance(x, Tensor) else x

    def shape_alone(x: Any) -> Any:
        return torch.empty(batch, *x.shape[1:], device="meta") if isinstance(x, Tensor) else x

    with torch.random.fork_rng(devices=[]), device:
        found = module(*map_aggregate(args, black), **map_aggregate(kwargs, black))
    return map_aggregate(found, shape_alone)


class _OnMeta(fx.Interpreter):
    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        super().__init__(model, graph=graph)
        self.extra_traceback = False
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.at = n
        self.values[n] = super().run_node(n)
        return self.values[n]

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return on_meta(self.submodules[target], *args, **kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.detach().to("meta") if isinstance(value, Tensor) else value


def values(
    model: nn.Module, graph: fx.Graph, height: int, width: int
) -> tuple[dict[fx.Node, Any], tuple[fx.Node, str] | None]:
    """What each step gives for images of a size, on the meta device, where nothing is computed.

    Returns:
        Values as far as it goes, and the step that could not be done, with the reason, if any.
    """
    run = _OnMeta(model, graph)
    with torch.device("meta"), torch.no_grad(), evaluating(model):
        try:
            run.run(torch.empty(BATCH, 3, height, width))
        except Exception as error:
            return run.values, (run.at, first_line(error))
    return run.values, None
