"""A network as the steps that it runs (torch.fx), and what each of them gives."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from dclib.splitting import watching

REMEDY = "give its blocks yourself, as an nn.ModuleList or nn.Sequential"
BATCH = 7919  # images, on the meta device only: a prime, so that where it turns up it is the batch


class _DrawnError(Exception):
    """Random numbers were drawn where they cannot be followed."""


class _Tracer(fx.Tracer):
    """Follows a network's forward and notes what it runs.

    Single steps are PyTorch's layers, modules without children, modules with hooks, and modules
    that cannot be followed because they decide by values or by `self.training` what to do, switch
    gradients off, or change what they have: all of these run their own code later on. Where a
    module passes `self.training` on, as to a functional dropout, a block passes on its own.
    """

    def __init__(self, training: bool, whole: dict[str, str]) -> None:
        super().__init__()
        self.proxy_buffer_attributes = True
        self.training = training  # what the network itself finds when it asks
        self.asked = False
        self.switches, self.generators = watching.switches(), watching.generators()
        self.whole = whole  # modules that cannot be followed, and why

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

    def check(self) -> None:
        """Refuse what would happen once, now, and not in each run.

        Raises:
            _DrawnError: random numbers were drawn, by which layers may be left out.
            TraceError: something was switched.
        """
        for what, state in watching.generators().items():
            if state != self.generators[what]:
                raise _DrawnError(what)
        for what, switch in watching.switches().items():
            if switch != self.switches[what]:
                raise fx.proxy.TraceError(what)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        self.check()
        return super().create_node(*args, **kwargs)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.check()  # what happened before is not of this module
        stack, last = copy.copy(self.module_stack), next(iter(reversed(self.graph.nodes)))
        try:
            found = super().call_module(m, forward, args, kwargs)
            self.check()
            return found
        except _DrawnError:
            raise
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
        whole: the modules among them that could not be followed, and why.
        constants: tensors that it has from nowhere but its code, by the names that steps use.
    """

    graph: fx.Graph
    whole: dict[str, str]
    constants: dict[str, Tensor]


def trace(model: nn.Module, whole: dict[str, str]) -> Steps:
    """All steps of a network; `whole` are modules that stay so, and gets those that must.

    Raises:
        ValueError: the network as a whole cannot be followed, or does not run the same every time.
    """
    name = type(model).__name__
    if model._forward_hooks or model._forward_pre_hooks:
        raise ValueError(f"{name} cannot be split: its own hooks would not be called; {REMEDY}")
    found: list[Steps] = []
    asked = False
    while len(found) < 2:
        known = len(whole)
        tracer = _Tracer(bool(found), whole)
        try:
            steps = _traced(model, tracer)
        except Exception as error:
            raise ValueError(f"{name} cannot be split: {first_line(error)}; {REMEDY}") from error
        asked = asked or tracer.asked
        found = [*found, steps] if len(whole) == known else []  # what failed may have left traces
    one, other = found
    why = "runs other layers in training" if asked else "does something else every time"
    same = str(one.graph) == str(other.graph)
    if not same or any(not torch.equal(v, other.constants[k]) for k, v in one.constants.items()):
        raise ValueError(f"{name} cannot be split: it {why}; {REMEDY}")
    return other


def _traced(model: nn.Module, tracer: _Tracer) -> Steps:
    made, _ = watching.private(model, "meta", attributes=False)
    before = watching.state(made)
    on_meta = torch.get_default_device().type == "meta"  # but constants must have values
    with torch.device("cpu") if on_meta else nullcontext():
        tracer.switches = watching.switches()
        graph = tracer.trace(made)
        tracer.check()
    names = {name for name in tracer.tensor_attrs.values() if name.startswith("_tensor_constant")}
    constants = {name: made.__dict__.pop(name) for name in names}
    if not tracer.mode.node.users:
        graph.erase_node(tracer.mode.node)
    after, modules = watching.state(made), dict(made.named_modules())
    for name in sorted(modules, key=lambda name: name.count(".") + bool(name), reverse=True):
        what = watching.changed(before.get(name, {}), after[name])
        what = what if modules[name].__dict__["training"] is tracer.mode else "training"
        if what is not None:
            why = f"it changes its {what!r}" if what else "it changes what lies outside of it"
            _blame(tracer, modules, name, why)
            break
    return Steps(graph, tracer.whole, constants)


def _blame(tracer: _Tracer, modules: dict[str, nn.Module], name: str, why: str) -> None:
    """Keep the innermost module whole that holds a module and was followed."""
    while name and tracer.is_leaf_module(modules[name], name):
        name = name.rpartition(".")[0]
    if not name:
        raise fx.proxy.TraceError(why)
    tracer.whole[name] = why


def on_meta(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """What a module gives for tensors on the meta device: shapes, without any computing.

    A copy of it runs. A module that needs values, to decide by, is run on two black images in
    their place.
    """
    made, _ = watching.private(module, "meta")
    try:
        return made(*args, **kwargs)
    except RuntimeError as error:
        tensors = [*module.parameters(), *module.buffers()]
        if "meta tensor" not in str(error) or any(t.is_meta for t in tensors):
            raise
    made, _ = watching.private(module)
    device = next((t.device for t in tensors), torch.device("cpu"))
    batch = args[0].shape[0]

    def black(x: Any) -> Any:
        return torch.zeros(2, *x.shape[1:], device=device) if isinstance(x, Tensor) else x

    def shape_alone(x: Any) -> Any:
        return torch.empty(batch, *x.shape[1:], device="meta") if isinstance(x, Tensor) else x

    with watching.same_chance(), device:
        found = made(*map_aggregate(args, black), **map_aggregate(kwargs, black))
    return map_aggregate(found, shape_alone)


class _OnMeta(fx.Interpreter):
    def __init__(self, model: nn.Module, steps: Steps) -> None:
        super().__init__(watching.private(model, "meta")[0], graph=steps.graph)
        self.model = model
        self.extra_traceback = False
        self.values: dict[fx.Node, Any] = {}
        self.own = {name: value.detach().to("meta") for name, value in steps.constants.items()}
        self.written = False

    def run_node(self, n: fx.Node) -> Any:
        self.at = n
        self.values[n] = super().run_node(n)
        self.written = any(t._version for t in self.own.values())
        if self.written:
            raise RuntimeError("it writes into a tensor that stays from one run to the next")
        return self.values[n]

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return on_meta(self.model.get_submodule(target), *args, **kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target not in self.own:
            value = super().get_attr(target, args, kwargs)
            if not isinstance(value, Tensor):
                return value
            self.own[target] = value.detach().clone()
        return self.own[target]


Failure = tuple[fx.Node, str] | None  # the step that could not be done, and why


def values(
    model: nn.Module, steps: Steps, height: int, width: int
) -> tuple[dict[fx.Node, Any], Failure]:
    """What each step gives for images of a size, on the meta device, where nothing is computed.

    It ends at a step that cannot be done; the innermost module that holds one which writes into a
    tensor of its own is added to `steps.whole`.
    """
    run = _OnMeta(model, steps)
    with torch.device("meta"), torch.no_grad(), evaluating(model):
        try:
            run.run(torch.empty(BATCH, 3, height, width))
        except Exception as error:
            if run.written:
                held = [name for name, _ in run.at.meta.get("nn_module_stack", {}).values()]
                steps.whole[held[-1] if held else ""] = first_line(error)
            return run.values, (run.at, first_line(error))
    return run.values, None


def follow(model: nn.Module, side: int) -> tuple[Steps, dict[fx.Node, Any], Failure]:
    """All steps of a network, and their values for images of a size.

    Raises:
        ValueError: as `trace`, or when the network as a whole writes into a tensor of its own.
    """
    whole: dict[str, str] = {}
    while True:
        steps = trace(model, whole)
        known = len(whole)
        found, failed = values(model, steps, side, side)
        if "" in whole:
            raise ValueError(f"{type(model).__name__} cannot be split: {whole['']}; {REMEDY}")
        if len(whole) == known:
            return steps, found, failed
