"""What running a module can change besides what it returns, and how none of that stays."""

import copy
import io
import pickle
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

LIBRARIES = ("torch.", "torchvision.", "numpy.", "dclib.")  # theirs lie outside of nobody's network
PLAIN = (type(None), bool, int, float, complex, str)
CONTAINERS = (list, dict, set, deque, bytearray)
HOOKS = ("hooks", "hooks_with_kwargs", "pre_hooks", "pre_hooks_with_kwargs")
LARGE = 100_000  # numbers, from which an array is compared as an object, not by its content

State = tuple[Callable[..., Any], Callable[..., Any]]  # what reads it, and what writes it

CHANCE: dict[str, State] = {  # the generators that everybody shares
    "Python": (random.getstate, random.setstate),
    "numpy": (np.random.get_state, np.random.set_state),
    "torch": (torch.get_rng_state, torch.set_rng_state),
}
GENERATORS: dict[type, State] = {  # one's own
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.RandomState: (np.random.RandomState.get_state, np.random.RandomState.set_state),
    np.random.Generator: (
        lambda dice: dice.bit_generator.state,
        lambda dice, state: setattr(dice.bit_generator, "state", state),
    ),
    torch.Generator: (torch.Generator.get_state, torch.Generator.set_state),
}


def private(
    model: nn.Module, device: str | None = None, attributes: bool = True
) -> tuple[nn.Module, dict[int, Any]]:
    """A copy of a module with which anything may be done, and the copies by the originals' ids.

    It also has what `copy.deepcopy` refuses, the weights of pruned layers and the like.

    Args:
        device: where parameters and buffers go; they stay where they are if not given.
        attributes: tensors that are neither go there too.

    Raises:
        ValueError: it has parts that cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in model.modules():
        for own, to in ((part._parameters, device), (part._buffers, device), (vars(part), None)):
            for tensor in own.values():
                if isinstance(tensor, Tensor) and not is_lazy(tensor):
                    there = device if attributes else to
                    moved = tensor.detach().to(there or tensor.device, copy=True)
                    if isinstance(tensor, nn.Parameter):
                        moved = nn.Parameter(moved, requires_grad=tensor.requires_grad)
                    memo.setdefault(id(tensor), moved)
    try:
        made = copy.deepcopy(model, memo)
    except Exception as error:  # parts that are not of PyTorch may raise anything
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ValueError(f"{type(model).__name__} cannot be copied: {reason}") from error
    for part in model.modules():
        if isinstance(part, fx.GraphModule):  # its copies are without hooks
            for name in HOOKS:
                hooks = getattr(part, f"_forward_{name}")
                getattr(memo[id(part)], f"_forward_{name}").update(hooks)
    return made, memo


# What a module has, and chance


def generators() -> dict[str, bytes]:
    """The states of the generators that everybody shares, by what is said of a draw."""
    return {
        f"it draws random numbers of {whose}": _frozen(read())
        for whose, (read, _) in CHANCE.items()
    }


def _frozen(state: Any) -> bytes:
    return state.numpy().tobytes() if isinstance(state, Tensor) else pickle.dumps(state)


@contextmanager
def same_chance() -> Iterator[None]:
    """Within it random numbers may be drawn; all generators are then as they were."""
    kept = [(write, read()) for read, write in CHANCE.values()]
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for write, state in kept:
                write(state)


class _Notes(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, (fx.Proxy, nn.Module, ModuleType, FunctionType, type)):
            return id(obj)
        if isinstance(obj, torch.Generator):
            return obj.get_state().tolist()
        if isinstance(obj, Tensor):
            return id(obj), None if obj.is_inference() else obj._version
        return id(obj) if isinstance(obj, np.ndarray) and obj.size > LARGE else None


def _noted(value: Any) -> Any:
    """Something that is equal as long as a value stays the same, inside and out."""
    if type(value) in PLAIN:
        return value
    notes = io.BytesIO()
    try:
        _Notes(notes).dump(value)
    except Exception:  # what cannot be pickled raises anything
        return id(value)
    return notes.getvalue()


def state(model: nn.Module) -> dict[str, Any]:
    """All that modules have besides their modes, by "it changes" and its name, for comparing."""
    return {
        f"it changes {f'{where}.{name}'.strip('.')!r}": _noted(value)
        for where, part in model.named_modules()
        for name, value in vars(part).items()
        if name != "training"
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """What is said of the first thing that is no longer the same."""
    both = [*before, *(name for name in after if name not in before)]
    return next((name for name in both if before.get(name, both) != after.get(name, both)), None)


# What lies outside: variables of its class, globals and closures of its functions


def owned(kind: Any) -> bool:
    """Whether a class or a function is a user's, and of none of the libraries."""
    return not f"{getattr(kind, '__module__', '')}.".startswith(LIBRARIES)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _reached(kinds: list[type], hooks: list[Any]) -> Iterator[tuple[Any, str, Any]]:
    """Owner, name and value of what classes, their functions and hooks can reach."""
    left: list[Any] = [*hooks, *(f for kind in kinds for f in vars(kind).values())]
    for kind in kinds:
        yield from ((kind, name, v) for name, v in list(vars(kind).items()) if name[:2] != "__")
    seen: set[Any] = set()
    while left:
        function = left.pop()
        function = function.__func__ if isinstance(function, MethodType) else function
        if not isinstance(function, FunctionType) or function in seen or not owned(function):
            continue
        seen.add(function)
        space = function.__globals__
        names = {name for code in _codes(function.__code__) for name in code.co_names}
        found: list[Any] = [(space, name, space[name]) for name in sorted(names & space.keys())]
        for cell in function.__closure__ or ():
            found += [(cell, "cell_contents", cell.cell_contents)] if cell != CellType() else []
        left += [value for _, _, value in found]
        yield from found


def _held(value: Any) -> tuple[Any, Callable[[], Any] | None]:
    """What a container or a generator holds, for comparing, and what makes it hold that again."""
    if isinstance(value, CONTAINERS):
        return _items(value), partial(_refill, value, copy.copy(value))
    for kind, (read, write) in GENERATORS.items():
        if isinstance(value, kind):
            state = read(value)
            return _frozen(state), partial(write, value, state)
    return None, None


def _items(value: Any) -> list[int]:
    return [id(item) for item in ([*value, *value.values()] if isinstance(value, dict) else value)]


def _refill(value: Any, items: Any) -> None:
    value.clear()
    value.update(items) if isinstance(value, (dict, set)) else value.extend(items)


def _variable(owner: Any, value: Any) -> bool:
    """Whether it may be set: methods and descriptors look otherwise from outside."""
    return isinstance(owner, (dict, CellType)) or isinstance(value, (*PLAIN, *CONTAINERS, Tensor))


class Outside:
    """What lies outside of a module and can be reached by it, as it was."""

    def __init__(self, model: nn.Module) -> None:
        parts = [*model.modules()]
        kinds = dict.fromkeys(kind for part in parts for kind in type(part).__mro__)
        own = [kind for kind in kinds if owned(kind) and kind is not object]
        hooks = [h for part in parts for h in (part._forward_hooks, part._forward_pre_hooks)]
        self.names = {kind: set(vars(kind)) for kind in own}
        self.kept = {
            (id(owner), name): (owner, name, value, *_held(value))
            for owner, name, value in _reached(own, [f for each in hooks for f in each.values()])
        }

    def changes(self) -> Iterator[Callable[[], Any]]:
        """What undoes each of its changes."""
        for owner, name, value, content, refill in self.kept.values():
            now = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
            if now is not value and _variable(owner, value):
                put = owner.__setitem__ if isinstance(owner, dict) else partial(setattr, owner)
                yield partial(put, name, value)
            if refill is not None and _held(value)[0] != content:
                yield refill
        for kind, known in self.names.items():
            yield from (partial(delattr, kind, name) for name in set(vars(kind)) - known)

    def restore(self) -> bool:
        """Undo its changes; whether there were any."""
        undoing = list(self.changes())
        for undo in undoing:
            undo()
        return bool(undoing)
