"""A network as the steps that it runs (torch.fx), and what each of them gives."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from dclib.splitting.watching import changed, generators, private, same_chance, state

REMEDY = "give its blocks yourself, as an nn.ModuleList or nn.Sequential"
BATCH = 7919  # images, on the meta device only: a prime, so that where it turns up it is the batch


class UnlikeError(ValueError):
    """What was followed is not all that a network does; keeping more of it whole may help."""


class _Tracer(fx.Tracer):
    """Follows a network's forward and notes what it runs.

    Single steps are PyTorch's layers, modules without children, modules with hooks, and modules
    that cannot be followed because they decide by values or by `self.training` what to do: all of
    these run their own code later on. Where a module passes `self.training` on, as to a functional
    dropout, a block passes on its own.
    """

    def __init__(self, training: bool, whole: dict[str, str]) -> None:
        super().__init__()
        self.proxy_buffer_attributes = True
        self.training = training  # what the network itself finds when it asks
        self.asked = False
        self.whole = whole  # modules that are not followed, and why

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        childless = next(m.children(), None) is None
        known = super().is_leaf_module(m, module_qualified_name)
        if not known and not childless and (m._forward_hooks or m._forward_pre_hooks):
            self.whole.setdefault(module_qualified_name, "it has hooks")
        return known or childless or module_qualified_name in self.whole

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        images = self.create_proxy("placeholder", "images", (), {})
        self.mode = self.create_proxy("get_attr", "training", (), {})
        for module in self.root.modules():
            module.__dict__["training"] = self.mode
        return root_fn, [self.root, images]  # other arguments keep their defaults

    def to_bool(self, obj: fx.Proxy) -> bool:
        if obj.node is not self.mode.node or self.module_stack:
            return super().to_bool(obj)  # raises
        self.asked = True
        return self.training

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return super().getattr(attr, attr_val, {})  # a step that is kept may be taken back

    def create_arg(self, a: Any) -> Any:
        if not isinstance(a, fx.Proxy) and isinstance(a, Tensor) and a.is_meta:
            known = (*self.root.parameters(), *self.root.buffers())
            if all(a is not tensor for tensor in known):
                raise fx.proxy.TraceError("it computes with weights apart from the images")
        return super().create_arg(a)

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


@dataclass(frozen=True)
class Steps:
    """What a network runs.

    Attributes:
        graph: its steps in order.
        whole: the modules among them that are not followed, and why.
        constants: tensors that it has from nowhere but its code, by the names that steps use.
    """

    graph: fx.Graph
    whole: dict[str, str]
    constants: dict[str, Tensor]


def trace(model: nn.Module, whole: dict[str, str]) -> Steps:
    """All steps of a network; `whole` are modules that stay so, and gets those that must.

    Raises:
        ValueError: the network as a whole cannot be followed, or does not run the same every time.
        UnlikeError: following it changed something.
    """
    name = type(model).__name__
    if model._forward_hooks or model._forward_pre_hooks:
        raise ValueError(f"{name} cannot be split: its own hooks would not be called; {REMEDY}")
    while True:
        known, tracers = len(whole), [_Tracer(training, whole) for training in (False, True)]
        try:
            one, other = (_traced(model, tracer) for tracer in tracers)
        except UnlikeError:
            raise
        except Exception as error:
            raise ValueError(f"{name} cannot be split: {first_line(error)}; {REMEDY}") from error
        if len(whole) == known:  # what failed may have left traces
            break
    asked = any(tracer.asked for tracer in tracers)
    why = "runs other layers in training" if asked else "does something else every time"
    same = str(one.graph) == str(other.graph)
    if not same or any(not torch.equal(v, other.constants[k]) for k, v in one.constants.items()):
        raise ValueError(f"{name} cannot be split: it {why}; {REMEDY}")
    return other


def _traced(model: nn.Module, tracer: _Tracer) -> Steps:
    made, _ = private(model, "meta", attributes=False)
    before, chance = state(made), generators()
    on_meta = torch.get_default_device().type == "meta"  # but constants must have values
    with torch.device("cpu") if on_meta else nullcontext():
        graph = tracer.trace(made)
    names = {name for name in tracer.tensor_attrs.values() if name.startswith("_tensor_constant")}
    constants = {name: made.__dict__.pop(name) for name in names}
    if not tracer.mode.node.users:
        graph.erase_node(tracer.mode.node)
    if drawn := changed(chance, generators()):  # by chance a layer may be left out
        raise fx.proxy.TraceError(drawn)
    why = changed(before, state(made))
    if any(part.__dict__["training"] is not tracer.mode for part in made.modules()):
        why = why or "it changes its mode"
    if why:
        raise UnlikeError(f"{type(model).__name__} cannot be split: {why}; {REMEDY}")
    return Steps(graph, tracer.whole, constants)


def on_meta(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """What a module gives for tensors on the meta device: shapes, without any computing.

    A copy of it runs. A module that needs values, to decide by, is run on two black images in
    their place.
    """
    made, _ = private(module, "meta")
    try:
        return made(*args, **kwargs)
    except RuntimeError as error:
        tensors = [*module.parameters(), *module.buffers()]
        if "meta tensor" not in str(error) or any(t.is_meta for t in tensors):
            raise
    made, _ = private(module)
    device = next((t.device for t in tensors), torch.device("cpu"))
    batch = args[0].shape[0]

    def black(x: Any) -> Any:
        return torch.zeros(2, *x.shape[1:], device=device) if isinstance(x, Tensor) else x

    def shape_alone(x: Any) -> Any:
        return torch.empty(batch, *x.shape[1:], device="meta") if isinstance(x, Tensor) else x

    with same_chance(), device:
        found = made(*map_aggregate(args, black), **map_aggregate(kwargs, black))
    return map_aggregate(found, shape_alone)


class _OnMeta(fx.Interpreter):
    """Runs steps for their shapes, and keeps what each of them gives."""

    def __init__(self, model: nn.Module, steps: Steps) -> None:
        super().__init__(model, graph=steps.graph)
        self.model, self.constants = model, steps.constants
        self.extra_traceback = False
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.at = n
        self.values[n] = super().run_node(n)
        return self.values[n]

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return on_meta(self.model.get_submodule(target), *args, **kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        own = self.constants[target] if target in self.constants else attrgetter(target)(self.model)
        return own.detach().to("meta", copy=True) if isinstance(own, Tensor) else own


Failure = tuple[fx.Node, str] | None  # the step that could not be done, and why


def values(
    model: nn.Module, steps: Steps, height: int, width: int
) -> tuple[dict[fx.Node, Any], Failure]:
    """What each step gives for images of a size, up to one that cannot be done."""
    run = _OnMeta(model, steps)
    with torch.device("meta"), torch.no_grad(), evaluating(model):
        try:
            run.run(torch.empty(BATCH, 3, height, width))
        except Exception as error:
            return run.values, (run.at, first_line(error))
    return run.values, None
