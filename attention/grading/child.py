"""The process that runs a submission: it executes cells and answers calls, and knows of no right answer.

The grader starts it with a fresh interpreter and two pipes. It imports torch, sets up the fences, and then does what
it is asked: execute a cell, call a function, build an object. It never compares anything.
"""

import ast
import builtins
import ctypes
import gc
import linecache
import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from attention.grading import fences, wire

_read, _write, _clock = os.read, os.write, time.perf_counter
_MAGIC = re.compile(r"^(\s*)([%!?]|[A-Za-z_][\w, ]*=\s*[%!]|[\w.]+\?{1,2}\s*$)")
# What torch says, and its library for convolutions, where there is no memory left.
_NO_MEMORY = ("allocate memory", "could not create a primitive")
_LONG = 0.2  # seconds: what has worked so long may have left something behind
_TIMING = re.compile(r"^\s*%%(time|timeit|capture)\b.*")


class Missing(Exception):
    """The submission has no such name, or it is not what it should be."""


def main(source: int, sink: int) -> None:
    """Answer the grader until it closes the pipe.

    :param source: descriptor that requests come from.
    :param sink: descriptor that answers go to.
    """
    fences.die_with_parent()
    hello, _ = _receive(source)
    torch = _libraries(hello)
    gc.freeze()  # what is there by now stays: collecting what a submission leaves behind takes no time for it
    worker = _Worker(torch, hello["reply"])
    refusals = fences.Refusals()
    refusals_of = refusals.take
    standing = _fence(hello, refusals)
    _send(sink, {"id": hello["id"], "fences": standing}, [])
    while True:
        request, body = _receive(source)
        began = _clock()
        answer, buffers = worker.answer(request, body)
        answer |= {"id": request["id"], "seconds": _clock() - began, "refused": refusals_of()}
        _send(sink, answer, buffers)


def _libraries(hello: Mapping[str, Any]) -> Any:
    """Import what takes long before the fences stand and the clock runs."""
    import torch

    torch.set_num_threads(1)
    if torch.version.cuda:  # the first optimizer loads 250 MB of compilers, which would count as the submission's
        torch.optim.SGD([torch.zeros(1)], lr=1.0)
    if hello["plots"]:
        try:
            import matplotlib

            matplotlib.use("agg")
            import matplotlib.pyplot  # looks for fonts, by another program
        except ImportError:
            pass
    for name in hello["loaded"]:
        import_module(name)
    return torch


def _fence(hello: Mapping[str, Any], refusals: fences.Refusals) -> list[str]:
    """Set up the fences; return the names of those that stand."""
    readable, writable = hello["readable"], hello["writable"]
    fences.limits(hello["memory"], hello["seconds"], hello["file_size"])
    kernel = {"files": fences.kernel_files(readable, writable), "calls": fences.kernel_calls()}
    fences.watch(readable, writable, refusals)
    return [name for name, stands in kernel.items() if stands]


def _take(source: int, count: int) -> bytes:
    parts = []
    while count:
        part = _read(source, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _receive(source: int) -> tuple[dict[str, Any], bytes]:
    text, body = wire.lengths(_take(source, wire.HEAD.size), 1 << 40)
    return wire.parse(_take(source, text)), _take(source, body)


def _send(sink: int, message: dict[str, Any], buffers: list[bytes]) -> None:
    left = memoryview(wire.frame(message, buffers))
    while left:
        left = left[_write(sink, left) :]


def _no_input(prompt: Any = "") -> str:
    raise EOFError("input() has nobody to ask while the notebook is graded")


class _Worker:
    """Does what the grader asks for, in one namespace."""

    def __init__(self, torch: Any, limit: int) -> None:
        self.torch, self.limit = torch, limit
        self.trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda kept: None)  # only glibc has it
        self.settings: dict[Callable[[Any], Any], Any] = {
            torch.manual_seed: None,
            random.seed: None,
            np.random.seed: None,
            torch.set_grad_enabled: True,
            torch.set_default_dtype: torch.float32,
        }
        builtins.input = _no_input
        self.space = ModuleType("__main__")
        sys.modules["__main__"] = self.space
        self.names = self.space.__dict__
        self.names.update(display=lambda *values, **options: None)

    def answer(self, request: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """Do one thing; whatever it raises is an answer."""
        began = _clock()
        self._settle(request.get("seed", 0))
        do: Callable[[Mapping[str, Any], bytes], Any] = getattr(self, f"do_{request['do']}")
        try:
            value, buffers = wire.encode(do(request, body), self.limit, self._described)
            answer = {"kind": "value", "value": value}
        except Missing as error:
            answer, buffers = {"kind": "missing", "message": str(error)[:600]}, []
        except BaseException as error:  # SystemExit and KeyboardInterrupt among them
            answer, buffers = _raised(error), []
        finally:
            sys.settrace(None)
            sys.setprofile(None)
        with suppress(BaseException):
            sys.stdout.flush()
            if "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close("all")
            if answer.get("no_memory") or _clock() - began > _LONG:  # what it held is free now: give it back
                gc.collect()
                self.trim(0)
        return answer, buffers

    def _settle(self, seed: int) -> None:
        """Set the random numbers, and torch's modes, as if nothing had been executed before."""
        for function, value in self.settings.items():
            with suppress(Exception):  # what a submission has replaced beneath them is its own
                function(seed if value is None else value)

    # What can be asked for.

    def do_cell(self, request: Mapping[str, Any], body: bytes) -> Any:
        """Execute a cell; returns the magic lines that were left out."""
        name = f"<cell {request['index']}>"
        code, left_out = compiled(request["source"], name)
        exec(code, self.names)
        return left_out

    def do_define(self, request: Mapping[str, Any], body: bytes) -> None:
        """Execute the grader's own lines in the namespace itself: what stands in for an answer that is lacking."""
        exec(compile(request["source"], "<grader>", "exec"), self.names)

    def do_call(self, request: Mapping[str, Any], body: bytes) -> Any:
        """Call a function of the submission; returns what it returns, and its arguments as they are afterwards."""
        arguments, options = self._given(request["arguments"], body)
        answer = self._named(request["name"])(*arguments, **options)
        return {"value": answer, "arguments": (arguments, options)} if request["after"] else answer

    def do_look(self, request: Mapping[str, Any], body: bytes) -> Any:
        """Return the value of a variable."""
        return self._named(request["name"], callable_=False)

    def do_run(self, request: Mapping[str, Any], body: bytes) -> Any:
        """Execute the grader's own lines in a copy of the namespace; returns one variable."""
        for name in request["needs"]:
            self._named(name, callable_=False)
        names = dict(self.names) | self._given(request["arguments"], body)[1] | {"torch": self.torch, "np": np}
        exec(compile(request["source"], "<grader>", "exec"), names)
        return names.get(request["result"])

    def do_build(self, request: Mapping[str, Any], body: bytes) -> Any:
        """Build an object of a class, load parameters, call it; returns output, gradients, shapes of parameters."""
        torch = self.torch
        arguments, options, values, inputs = self._given(request["arguments"], body)
        made = self._named(request["name"])(*arguments, **options)
        if not isinstance(made, torch.nn.Module):
            raise Missing(f"`{request['name']}` is no nn.Module")
        parameters = dict(made.named_parameters())
        self._load(parameters, values)
        made.train(request["training"])
        found = {
            "parameters": {name: list(p.shape) for name, p in parameters.items()},
            "count": sum(p.numel() for p in parameters.values() if p.requires_grad),
        }
        if inputs is None:
            return found
        wanted = [x.requires_grad_() if request["gradients"] and x.is_floating_point() else x for x in inputs]
        found["output"] = output = (made if request["method"] is None else getattr(made, request["method"]))(*wanted)
        if request["gradients"]:
            first = output[0] if isinstance(output, tuple | list) else output
            weights = torch.linspace(-1, 1, first.numel(), dtype=first.dtype).reshape(first.shape)
            (first * weights).sum().backward()
            found["gradients"] = {name: p.grad for name, p in parameters.items()}
            found["input_gradients"] = [x.grad for x in wanted]
        return found

    def _load(self, parameters: Mapping[str, Any], values: Any) -> None:
        """Fill parameters with values, by name, or in their order."""
        if values is None:
            return
        have = ", ".join(f"{name} {tuple(p.shape)}" for name, p in parameters.items()) or "none"
        if isinstance(values, dict):
            pairs = [(parameters.get(name), value) for name, value in values.items()]
            want = ", ".join(f"{name} {tuple(v.shape)}" for name, v in values.items())
            fits = set(values) == set(parameters) and all(p.shape == v.shape for p, v in pairs)
        else:
            pairs = list(zip(parameters.values(), values, strict=False))
            want = ", ".join(str(tuple(v.shape)) for v in values)
            fits = len(values) == len(parameters) and all(p.numel() == v.numel() for p, v in pairs)
        if not fits:
            raise Missing(f"expected parameters {want or 'none'}; yours are {have}")
        with self.torch.no_grad():
            for parameter, value in pairs:
                parameter.copy_(value.reshape(parameter.shape))

    def _named(self, name: str, callable_: bool = True) -> Any:
        if name not in self.names:
            raise Missing(name)
        value = self.names[name]
        if callable_ and not callable(value):
            raise Missing(f"`{name}` is no function or class, but of type {type(value).__name__}")
        return value

    def _given(self, tree: Any, body: bytes) -> Any:
        """Turn arguments into tensors of their own memory."""
        return wire.decode(tree, body, lambda numbers, described: self.torch.from_numpy(numbers.copy()))

    def _described(self, value: Any) -> Any:
        """Describe a tensor for :func:`wire.encode`, or return ``None``."""
        torch = self.torch
        if not isinstance(value, torch.Tensor):
            return None
        shape, dtype = tuple(value.shape), str(value.dtype).removeprefix("torch.")
        bytes_ = value.element_size()
        for size in shape:
            bytes_ *= size
        if bytes_ > self.limit:
            return f"of shape {shape}, {bytes_ / 1e6:,.0f} MB: too large to send", "torch", dtype, False
        try:
            plain = value.detach().cpu()
            plain = plain.float() if plain.dtype == torch.bfloat16 else plain.resolve_conj().resolve_neg()
            return plain.numpy(), "torch", dtype, bool(value.requires_grad)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):  # sparse, quantised, without memory
            return f"of shape {shape} that cannot be turned into numbers", "torch", dtype, False


def _raised(error: BaseException) -> dict[str, Any]:
    """Describe an error: its built-in kind, what it says, and the last line of the submission that it came through."""
    kinds = [each.__name__ for each in type(error).__mro__ if each.__module__ == "builtins"]
    try:
        message = str(error)
    except Exception:
        message = "(a message that cannot be read)"
    where, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith("<cell "):
            line = linecache.getline(file, trace.tb_lineno).strip()[:100]
            where = (file[1:-1], trace.tb_lineno, line, trace.tb_frame.f_code.co_qualname[:100])
        trace = trace.tb_next
    if where is None and isinstance(error, SyntaxError) and str(error.filename).startswith("<cell "):
        line = (error.text or "").strip()[:100]
        where, message = (error.filename[1:-1], error.lineno, line, ""), str(error.msg)
    return {
        "kind": "raised",
        "type": str(type(error).__name__)[:60],
        "kinds": kinds,
        "message": message[:600].encode("utf-8", "replace").decode(),
        "where": where,
        "no_memory": isinstance(error, MemoryError) or any(sign in message for sign in _NO_MEMORY),
    }


def compiled(source: str, name: str) -> tuple[Any, list[str]]:
    """Compile a cell, without the lines that only IPython knows.

    :param name: what tracebacks call it.
    :returns: the code, and the lines that were left out.
    :raises SyntaxError: where it still does not compile.
    """
    lines, left_out = source.splitlines(keepends=True), []
    if lines and lines[0].lstrip().startswith("%%"):
        if not _TIMING.match(lines[0]):
            return compile("", name, "exec"), [lines[0].strip()[:80] + " (the whole cell)"]
        left_out.append(lines[0].strip()[:80])
        lines[0] = "\n"
    text = "".join(lines)
    try:
        tree = ast.parse(text, name)
    except SyntaxError:
        for number, line in enumerate(lines):
            if found := _MAGIC.match(line):
                left_out.append(line.strip()[:80])
                lines[number] = f"{found[1]}pass\n"
        text = "".join(lines)
        tree = ast.parse(text, name)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return compile(tree, name, "exec"), left_out
