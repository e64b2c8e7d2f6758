"""See every torch function that a run calls, and remember which tensors went in and which came out."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attention.contract import Attention, watching
from attention.lab.shapes import axes as ax
from attention.lab.shapes.failing import Failure, explained
from attention.lab.shapes.words import Call, describe, family, kind_of, plain_name, reduced

__all__ = ["Operation", "Recorder", "Value", "tensors"]

#: Operations that take a tensor for its shape alone; their result does not depend on its numbers.
_SHAPE_ONLY = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like",
               "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor")  # fmt: skip
#: Operations whose result comes from numbers that were not watched.
_FROM_OUTSIDE = (torch.from_numpy, torch.frombuffer)


@dataclass
class Value:
    """A tensor as it was at one moment of the run.

    :param tensor: the tensor.
    :param axes: its axes.
    :param followed: its axes as they follow from the operation alone.
    :param name: what the module calls it, where it does.
    :param role: ``input``, ``output`` or ``""``.
    :param step: name, symbol and zone of the step that a block marked it as.
    :param map: whether a block returned it as one of its maps.
    """

    tensor: Tensor
    axes: ax.Axes
    followed: ax.Axes
    name: str = ""
    role: str = ""
    step: tuple[str, str, str] = ("", "", "")
    map: bool = False


@dataclass
class Operation:
    """One step of the run.

    :param words: what it does, in words.
    :param layout: how it changes the layout, if that is all it does: ``reshape``, ``permute``, ``copy``.
    :param inputs: the values that it read.
    :param outputs: the values that it made.
    :param parameters: the shapes of the parameters that went in, by qualified name.
    :param calls: the calls of modules in which it happened, the outermost first.
    :param kind: what kind of operation it is.
    :param chain: the operations in words, where it is several.
    :param block: whether it is the call of an attention block.
    """

    words: str
    layout: frozenset[str]
    inputs: list[int]
    outputs: list[int]
    parameters: dict[str, tuple[int, ...]]
    calls: tuple[int, ...]
    kind: str = ""
    chain: tuple[str, ...] = ()
    block: bool = False


@dataclass
class _Known:
    """What is known of a tensor object: the value that it holds now, or why it holds none."""

    value: int | None
    version: int
    label: str = "constant"
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    fixed: bool = False  # a parameter or buffer


class Recorder(TorchFunctionMode):
    """Sees every torch function that a run calls, and remembers which tensors went in and came out."""

    def __init__(self, module: nn.Module, letters: dict[int, tuple[str, ...]]) -> None:
        super().__init__()
        self.module, self.letters = module, letters
        self.values: list[Value] = []
        self.operations: list[Operation] = []
        self.known: dict[int, _Known] = {}
        self.kept: list[Tensor] = []  # so that no id is used twice while the run lasts
        self.written: dict[int, int] = {}  # memory that was written into: the value that it holds
        self.paths = {id(m): name for name, m in module.named_modules()}
        self.calls: list[nn.Module] = []
        self.open: list[int] = []
        self.returned: list[int] = []
        self.failure: Failure | None = None
        self._raised: tuple[BaseException, Call] | None = None  # the last error of a torch function, and its call

    def run(self, inputs: tuple) -> None:
        """Run the module and record what happens, up to an error that it raises."""
        state = [*self.module.named_parameters(remove_duplicate=False)], [*self.module.named_buffers()]
        for learned, named in zip((True, False), state, strict=True):
            for name, t in named:
                self.kept.append(t)
                own = {name: tuple(t.shape)} if learned else {}
                self.known.setdefault(id(t), _Known(None, _version(t), name.rpartition(".")[2], own, fixed=True))
        for name, t in _input_names(self.module, inputs):
            if id(t) not in self.known:
                value = self._value(t, ax.default(t.shape, self.letters))
                self.values[value].name, self.values[value].role = name, "input"
        with ExitStack() as stack:
            for m in self.module.modules():
                stack.callback(m.register_forward_pre_hook(self._enter).remove)
                stack.callback(m.register_forward_hook(self._leave).remove)
                if isinstance(m, Attention):
                    m.attend = self._naming(m.attend)
            try:
                with self, watching(self._mark):
                    outputs = self.module(*inputs)
            except Exception as error:
                self._fail(error)
                return
        self._take_outputs(list(tensors(outputs)))

    def _fail(self, error: Exception) -> None:
        """Keep what is to be said of an error."""
        path = tuple(self.open)
        inside = next((m for m in (self.calls[c] for c in reversed(path))), self.module)
        chain: list[BaseException | None] = [error, error.__cause__, error.__context__]
        raised = self._raised if self._raised and any(e is self._raised[0] for e in chain) else None
        if raised:
            read = [t for _, t in tensors([raised[1].args, raised[1].kwargs])]
        else:
            read = _last_tensors(error, self.known)
        data, parameters = self._read(read)
        self.failure = explained(error, raised[1] if raised else None, type(inside).__name__, self._called)
        self.failure = replace(self.failure, sources=tuple(data), parameters=parameters, calls=path)

    def _called(self, tensor: Tensor) -> str:
        """Name a tensor for a reader: a parameter, an input, a step, a result; nothing for one not seen before."""
        known = self.known.get(id(tensor))
        if known is None or known.value is None:
            return ", ".join(known.parameters) if known else ""
        value = self.values[known.value]
        made = next((f"the result of {op.words}" for op in self.operations if known.value in op.outputs), "")
        return value.name or value.step[0] or made

    def _mark(self, block: Attention, name: str, value: Tensor) -> None:
        """Note which step of its block's equations a tensor is."""
        known, declared = self.known.get(id(value)), getattr(block, "steps", {}).get(name)
        if known and known.value is not None and declared:
            entry = self.values[known.value]
            entry.step = (name, declared.symbol or name, declared.zone)
            entry.map = entry.map or name in getattr(block, "maps", {})
            inputs = (v.axes for v in self.values if v.role == "input")
            before, entry.axes = entry.axes, ax.declared(declared, tuple(value.shape), entry.axes, next(inputs, ()))
            self._rename(known.value, before, entry.axes)

    def _rename(self, value: int, before: ax.Axes, after: ax.Axes) -> None:
        """Call the axis of a stack by its letter in the words of the operation too, once it has one."""
        made = next((op for op in reversed(self.operations) if value in op.outputs), None)
        for old, new in zip(before, after, strict=True):
            if made and old != new and ax.text(old) == "stack":
                made.words = re.sub(r"(?<=over )stack\b", ax.text(new), made.words)

    def _naming(self, attend: Callable) -> Callable:
        def named(*args: Any, **kwargs: Any) -> Any:
            output, maps = attend(*args, **kwargs)
            for name, t in maps.items():
                known = self.known.get(id(t))
                if known and known.value is not None:
                    entry = self.values[known.value]
                    entry.name, entry.map = entry.name or name, True
            return output, maps

        return named

    def _enter(self, module: nn.Module, args: tuple) -> None:
        self.open.append(len(self.calls))
        self.calls.append(module)

    def _leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        new = [t for _, t in tensors(output) if id(t) not in self.known]
        if new:  # made out of sight: a scripted module, an autograd function
            data, parameters = self._read([t for _, t in tensors(args)])
            own = {n: tuple(p.shape) for n, p in module.named_parameters()}
            words = type(module).__name__
            self._record(words, "", data, parameters | own, [(t, ax.default(t.shape, self.letters)) for t in new])
        while self.calls[self.open.pop()] is not module:  # a call inside failed, and the module caught that
            pass

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        given = {id(t): t for _, t in tensors([args, kwargs])}
        versions = [_version(t) for t in given.values()]
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            self._raised = error, Call(plain_name(func), args, kwargs, None, self._axes, self._operand)
            raise
        changed = [t for t, v in zip(given.values(), versions, strict=True) if _version(t) != v]
        changed += [t for t in _inference_writes(func, args, kwargs) if not any(t is c for c in changed)]
        changed = [t for t in changed if not self._is_fixed(t)]
        made = {id(t): t for _, t in tensors(result) if id(t) not in given}
        if (made or changed) and func not in _FROM_OUTSIDE:
            self._note(func, args, kwargs, list(given.values()), [*made.values(), *changed], versions, result)
        return result

    def _is_fixed(self, tensor: Tensor) -> bool:
        return id(tensor) in self.known and self.known[id(tensor)].fixed

    def _note(
        self,
        func: Any,
        args: tuple,
        kwargs: dict,
        given: list[Tensor],
        made: list[Tensor],
        versions: list[int],
        result: Any,
    ) -> None:
        name = plain_name(func)
        read = [] if name in _SHAPE_ONLY else given
        old = dict(zip(map(id, given), versions, strict=True))
        data, parameters = self._read(read, old)
        call = Call(name, args, kwargs, made[0] if result is None else result, self._axes, self._operand)
        words = describe(call)
        if not data:  # made of parameters and constants alone
            source = [self.known[id(t)].label for t in read if id(t) in self.known]
            label = source[0] if family(name) and source else name.replace("_", " ")
            for t in made:
                self.kept.append(t)
                self.known[id(t)] = _Known(None, _version(t), label, parameters)
            return
        order = sorted(read, key=lambda t: self.known[id(t)].value is None)
        axes = [self._axes(t) for t in order]
        dims = reduced(name, args, kwargs)
        follow = [ax.follow(name, func, args, kwargs, axes, dims, tuple(t.shape), self.letters) for t in made]
        layout = family(name)
        if name == "getitem" and made[0].numel() == args[0].numel():  # x[:, :, None, None]
            words = layout = "reshape"
        self._record(words, layout, data, parameters, list(zip(made, follow, strict=True)))
        kind = "layout" if layout else kind_of(name)
        self.operations[-1].kind = "" if kind == "same" and len(data) > 1 else kind
        for t in made:
            if id(t) in old:
                self.written[_storage(t)] = self.known[id(t)].value

    def _read(
        self, read: list[Tensor], old: dict[int, int] | None = None
    ) -> tuple[list[int], dict[str, tuple[int, ...]]]:
        """Find the values that some tensors hold, and the parameters that they were made of."""
        data, parameters = [], {}
        for t in read:
            known = self.known.get(id(t))
            if known is None:
                self.kept.append(t)
                known = self.known[id(t)] = _Known(None, _version(t))
            version = (old or {}).get(id(t), _version(t))
            if known.version != version and not known.fixed and _storage(t) in self.written:
                self._refresh(t, known)
                known = self.known[id(t)]
            if known.value is not None and known.value not in data:
                data.append(known.value)
            parameters |= known.parameters
        return data, parameters

    def _refresh(self, tensor: Tensor, known: _Known) -> None:
        """Notice that a tensor changed because another one that shares its memory was written into."""
        sources = [v for v in (known.value, self.written[_storage(tensor)]) if v is not None]
        self._record("written in place", "", sources, {}, [(tensor, self._axes(tensor))])

    def _axes(self, tensor: Tensor) -> ax.Axes:
        known = self.known.get(id(tensor))
        axes = self.values[known.value].axes if known and known.value is not None else ()
        fits = [prod(f.size for f in axis) for axis in axes] == list(tensor.shape)
        return axes if fits and len(axes) else ax.default(tensor.shape, self.letters)

    def _operand(self, tensor: Tensor) -> str | None:
        known = self.known.get(id(tensor))
        return None if known and known.value is not None else known.label if known else "constant"

    def _record(
        self, words: str, layout: str, inputs: list[int], parameters: dict, outputs: list[tuple[Tensor, ax.Axes]]
    ) -> None:
        numbers = [self._value(t, axes) for t, axes in outputs]
        kind = frozenset({layout} if layout else ())
        self.operations.append(Operation(words, kind, inputs, numbers, parameters, tuple(self.open)))

    def _value(self, tensor: Tensor, axes: ax.Axes) -> int:
        self.kept.append(tensor)
        self.values.append(Value(tensor, axes, axes))
        self.known[id(tensor)] = _Known(len(self.values) - 1, _version(tensor))
        return len(self.values) - 1

    def _take_outputs(self, found: list[tuple[str, Tensor]]) -> None:
        for key, t in found:
            data, parameters = self._read([t])
            if not data:  # it depends on no input
                self._record(self._operand(t), "", [], parameters, [(t, self._axes(t))])
            self.returned.append(self.known[id(t)].value)
            entry = self.values[self.returned[-1]]
            entry.role = entry.role or "output"
            entry.name = entry.name or ("output" if len(found) == 1 else f"output {key}" if key.isdigit() else key)


def tensors(value: Any) -> Iterator[tuple[str, Tensor]]:
    """Find the tensors in nested tuples, lists and dicts, with the key or number of each."""
    if isinstance(value, Tensor):
        yield "", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from ((f"{key} {k}".strip(), t) for k, t in tensors(item))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value, 1):
            yield from ((f"{i} {k}".strip(), t) for k, t in tensors(item))


def _last_tensors(error: BaseException, known: dict[int, _Known]) -> list[Tensor]:
    """Find the tensor of the run that the code which raised an error had at hand, the innermost function first."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        found = [t for name, t in frame.f_locals.items() if name != "self" and isinstance(t, Tensor)]
        found = [t for t in found if id(t) in known and known[id(t)].value is not None]
        if found:
            return found[:1]
    return []


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _inference_writes(func: Any, args: tuple, kwargs: dict) -> list[Tensor]:
    """Find what a function changed in place where tensors keep no version: under ``torch.inference_mode``."""
    name = getattr(func, "__name__", "")
    dunder = name.startswith("__") and name.endswith("__")
    in_place = name == "__setitem__" or kwargs.get("inplace") or (name.endswith("_") and not dunder)
    in_place = in_place or (dunder and name[2] == "i" and plain_name(func) == name[3:-2])
    first = args[0] if args else None
    return [first] if in_place and isinstance(first, Tensor) and first.is_inference() else []


def _parameters(method: Callable | None) -> list[inspect.Parameter]:
    """List a method's parameters; a method that is missing, or not written in Python, tells none."""
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return []


def _input_names(module: nn.Module, inputs: tuple) -> Iterator[tuple[str, Tensor]]:
    """Name the inputs as ``forward`` does; ``Attention.forward`` leaves that to ``attend``, and to ``weights``."""
    for method in ("forward", "attend", "weights"):
        named = [
            p.name
            for p in _parameters(getattr(module, method, None))
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        if named:
            break
    for i, value in enumerate(inputs):
        name = named[i] if i < len(named) else "x" if len(inputs) == 1 else f"input {i + 1}"
        yield from (((f"{name} {key}").strip(), t) for key, t in tensors(value))
