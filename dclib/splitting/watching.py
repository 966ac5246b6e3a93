"""What running a module can change besides what it returns, and how none of that stays.

Attributes and buffers, random numbers, and what lies outside: variables of its class, globals and
closures of its functions.
"""

import copy
import io
import pickle
import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

LIBRARIES = ("torch.", "torchvision.", "numpy.", "dclib.")  # theirs lie outside of nobody's network
PLAIN = (type(None), bool, int, float, complex, str)
CONTAINERS = (list, dict, set, deque, bytearray)
HOOKS = [
    f"_forward_{hooks}"
    for hooks in ("hooks", "hooks_with_kwargs", "pre_hooks", "pre_hooks_with_kwargs")
]
LARGE = 100_000  # numbers, from which an array is compared as an object, not by its content


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
                getattr(memo[id(part)], name).update(getattr(part, name))
    return made, memo


# Random numbers and switches


def generators() -> dict[str, Any]:
    """The states of the generators that everybody shares."""
    return {
        "it draws random numbers of Python": random.getstate(),
        "it draws random numbers of numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "it draws random numbers of torch": torch.get_rng_state().numpy().tobytes(),
    }


def switches() -> dict[str, Any]:
    """How torch computes at present."""
    devices = [device for device in ("cpu", "cuda") if torch.amp.is_autocast_available(device)]
    return {
        "it switches gradients on or off": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        ),
        "it switches mixed precision on or off": [
            (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
            for device in devices
        ],
        "it changes the default type or device": (
            torch.get_default_dtype(),
            torch.get_default_device(),
        ),
    }


@contextmanager
def same_chance() -> Iterator[None]:
    """Within it random numbers may be drawn; all generators are then as they were."""
    python, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpys)  # noqa: NPY002


# Attributes, and what lies outside


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


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _owned(kind: Any) -> bool:
    return not f"{getattr(kind, '__module__', '')}.".startswith(LIBRARIES)


def _outside(part: nn.Module) -> Iterator[tuple[Any, str, Any]]:
    """Owner, name and value of what the class, the forward and the hooks of a module can reach."""
    kinds = [kind for kind in type(part).__mro__ if _owned(kind) and kind is not object]
    hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    left: list[Any] = [*hooks, *(f for kind in kinds for f in vars(kind).values())]
    for kind in kinds:
        yield from ((kind, name, v) for name, v in list(vars(kind).items()) if name[:2] != "__")
    seen: set[Any] = set()
    while left:
        function = left.pop()
        function = function.__func__ if isinstance(function, MethodType) else function
        if not isinstance(function, FunctionType) or function in seen or not _owned(function):
            continue
        seen.add(function)
        space = function.__globals__
        names = {name for code in _codes(function.__code__) for name in code.co_names}
        found: list[Any] = [(space, name, space[name]) for name in sorted(names & space.keys())]
        for cell in function.__closure__ or ():
            found += [(cell, "cell_contents", cell.cell_contents)] if cell != CellType() else []
        left += [value for _, _, value in found]
        yield from found


def _about(part: nn.Module) -> dict[str, Any]:
    notes = {name: _noted(value) for name, value in vars(part).items() if name != "training"}
    for owner, name, value in _outside(part):
        if isinstance(value, CONTAINERS):
            notes[f"{id(owner)} {name}"] = id(value), [id(v) for v in _items(value)]
        elif isinstance(value, (*PLAIN, random.Random, np.random.Generator, torch.Generator)):
            notes[f"{id(owner)} {name}"] = _noted(value)
        elif isinstance(value, np.random.RandomState):
            notes[f"{id(owner)} {name}"] = pickle.dumps(value.get_state())
    return notes


def _items(value: Any) -> list[Any]:
    return [*value, *value.values()] if isinstance(value, dict) else list(value)


def state(model: nn.Module) -> dict[str, dict[str, Any]]:
    """What each module has and can reach, by its name, so that it can be compared later."""
    return {name: _about(part) for name, part in model.named_modules()}


def changed(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The name of something that is no longer the same; "" where it has none of its own."""
    for name in before.keys() | after.keys():
        if before.get(name, before) != after.get(name, after):
            return "" if " " in name else name
    return None


@contextmanager
def undisturbed(models: Sequence[nn.Module]) -> Iterator[None]:
    """Within it copies of modules may be run; what lies outside is then as it was."""
    kept: dict[tuple[int, str], tuple[Any, str, Any, Any]] = {}
    for part in {part for model in models for part in model.modules()}:
        for owner, name, value in _outside(part):
            kept.setdefault((id(owner), name), (owner, name, value, _content(value)))
    kinds = {kind for model in models for part in model.modules() for kind in type(part).__mro__}
    names = {kind: set(vars(kind)) for kind in kinds if _owned(kind) and kind is not object}
    with same_chance():
        try:
            yield
        finally:
            for owner, name, value, content in kept.values():
                _restore(owner, name, value, content)
            for kind, known in names.items():
                for name in set(vars(kind)) - known:
                    delattr(kind, name)


def _content(value: Any) -> Any:
    if isinstance(value, CONTAINERS):
        return copy.copy(value)
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, (np.random.RandomState, torch.Generator)):
        return value.get_state()
    return None


def _restore(owner: Any, name: str, value: Any, content: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    elif getattr(owner, name, None) is not value and _settable(owner, name, value):
        setattr(owner, name, value)
    if isinstance(value, CONTAINERS):
        if [*map(id, _items(value))] != [*map(id, _items(content))]:
            value.clear()
            value.update(content) if isinstance(value, (dict, set)) else value.extend(content)
    elif isinstance(value, random.Random):
        value.setstate(content)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = content
    elif isinstance(value, (np.random.RandomState, torch.Generator)):
        value.set_state(content)


def _settable(owner: Any, name: str, value: Any) -> bool:
    """Whether it is a variable: methods and descriptors look otherwise from outside."""
    return isinstance(owner, CellType) or isinstance(value, (*PLAIN, *CONTAINERS, Tensor))
