"""Why an operation failed: which two sizes disagree, and of which axes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from math import prod
from typing import Any

from torch import Tensor

from attention.lab.shapes.axes import label
from attention.lab.shapes.tables import shape_text
from attention.lab.shapes.words import Call, describe

__all__ = ["Failure", "explained"]

_NAMES = {"B": "batch", "C": "channels", "H": "height", "W": "width"}
_BROADCASTING = frozenset(
    (
        *("add", "radd", "iadd", "mul", "rmul", "multiply", "sub", "rsub", "subtract", "div", "truediv", "divide"),
        *("maximum", "minimum", "pow", "where", "gt", "lt", "ge", "le", "eq", "ne", "max", "min"),
    )
)


@dataclass(frozen=True)
class Failure:
    """An operation that raised an error.

    :param words: the operation, in words.
    :param error: the error's class.
    :param message: what the error says.
    :param sentence: which sizes disagree, under which axes' names; the message where that is not known.
    :param shapes: the shapes of the tensors that went in.
    :param sources: the values that went in.
    :param parameters: the shapes of the parameters that went in, by qualified name.
    :param calls: the calls of modules in which it happened, the outermost first.
    """

    words: str
    error: str
    message: str
    sentence: str
    shapes: tuple[tuple[int, ...], ...] = ()
    sources: tuple[int, ...] = ()
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    calls: tuple[int, ...] = ()


def explained(error: BaseException, call: Call | None, module: str, called: Callable[[Tensor], str]) -> Failure:
    """Explain an error.

    :param error: what was raised.
    :param call: the torch function that raised it; None where Python code did.
    :param module: the class of the module in which it happened.
    :param called: names a tensor; empty for one that has no name.
    """
    message = " ".join(str(error).split())
    if call is None:
        pattern = re.search(r'pattern "([^"]+)"', message)
        words = f"rearrange {pattern[1].replace('->', '→')}" if pattern else module
        return Failure(
            words,
            type(error).__name__,
            message,
            _of_einops(message) if pattern else f"{type(error).__name__}: {message}",
        )
    try:
        words = describe(call)
    except Exception:  # words are made for calls that succeed, and may look at a result that is not there
        words = call.name.replace("_", " ")
    found = _Reader(call, called).sentence()
    shapes = tuple(tuple(t.shape) for t in _tensors(call))
    told = f"{words}: {found}." if found else f"{words} of {_shapes(shapes)}: {message}"
    return Failure(words, type(error).__name__, message, told, shapes)


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(shape_text, shapes)) or "no tensor"


def _of_einops(message: str) -> str:
    """Shorten what einops says of a pattern: the pattern, the shape, and the reason."""
    pattern = re.search(r'pattern "([^"]+)"', message)
    shape = re.search(r"shape: torch\.Size\(\[([\d, ]*)\]\)", message)
    reason = re.split(r"Additional info: (?:\{[^}]*\}\.?)?", message)[-1].strip().rstrip(".")
    of = f" of a tensor of shape {shape[1].replace(', ', '×')}" if shape else ""
    return f'"{pattern[1]}"{of}: {reason[:1].lower()}{reason[1:]}.' if pattern else message


def _tensors(call: Call) -> list[Tensor]:
    found: list[Tensor] = []
    for value in (*call.args, *call.kwargs.values()):
        found += [t for t in (value if isinstance(value, list | tuple) else [value]) if isinstance(t, Tensor)]
    return found


class _Reader:
    """Finds the sizes that disagree in one call."""

    def __init__(self, call: Call, called: Callable[[Tensor], str]) -> None:
        self.call, self.called = call, called

    def sentence(self) -> str:
        """Say which sizes disagree; empty where that cannot be told."""
        name = self.call.name
        if re.fullmatch(r"conv(_transpose)?\dd", name):
            return self._convolution("transpose" in name)
        ways: dict[str, Callable[[], str]] = {
            "linear": self._linear, "matmul": self._matmul, "rmatmul": self._matmul, "bmm": self._matmul,
            "mm": self._matmul, "cat": self._joined, "concat": self._joined, "stack": self._joined,
            "view": self._regrouped, "reshape": self._regrouped, "einsum": self._einsum, "batch_norm": self._normalised,
            "group_norm": self._grouped, "layer_norm": self._layer_norm,
        }  # fmt: skip
        if name in _BROADCASTING:
            return self._broadcast(_tensors(self.call))
        return ways[name]() if name in ways else ""

    def _axis(self, tensor: Tensor, dim: int) -> str:
        """Name an axis: ``axis 1 (channels)``."""
        dim %= tensor.ndim
        letter = label(self.call.axes(tensor), [dim])
        return f"axis {dim}" if letter.startswith("axis") else f"axis {dim} ({_NAMES.get(letter, letter)})"

    def _who(self, tensor: Tensor, otherwise: str) -> str:
        """Name a tensor, with its shape: ``x (2×64×8×8)``."""
        return f"{self.called(tensor) or otherwise} ({shape_text(tuple(tensor.shape))})"

    def _has(self, tensor: Tensor, dim: int, otherwise: str) -> str:
        return f"{self._axis(tensor, dim)} of {self._who(tensor, otherwise)} has {tensor.shape[dim]}"

    def _linear(self) -> str:
        x, weight = self.call.get(0, "input"), self.call.get(1, "weight")
        if not x.ndim or x.shape[-1] == weight.shape[-1]:
            return ""
        return (
            f"{self._has(x, -1, 'the input')}, and {self._who(weight, 'the weight')} takes {weight.shape[-1]} features"
        )

    def _convolution(self, transposed: bool) -> str:
        x, weight = self.call.get(0, "input"), self.call.get(1, "weight")
        rank, groups = weight.ndim - 2, self.call.get(8 if transposed else 6, "groups", 1)
        if x.ndim not in (rank + 1, rank + 2):
            return f"{self._who(x, 'the input')} has {x.ndim} axes, and the convolution takes {rank + 2}, batch first"
        takes, dim = weight.shape[0] if transposed else weight.shape[1] * groups, x.ndim - rank - 1
        if x.shape[dim] == takes:
            return ""
        return f"{self._has(x, dim, 'the input')}, and {self._who(weight, 'the weight')} takes {takes} channels"

    def _matmul(self) -> str:
        a, b = _tensors(self.call)[:2]
        a, b = (b, a) if self.call.name == "rmatmul" else (a, b)
        if not a.ndim or not b.ndim:
            return ""
        dim = max(b.ndim - 2, 0)
        if a.shape[-1] != b.shape[dim]:
            return f"{self._has(a, -1, 'the first')}, and {self._has(b, dim, 'the second')}; both must be the same"
        return self._broadcast([a, b], skip=2)

    def _broadcast(self, found: list[Tensor], skip: int = 0) -> str:
        """Find the axis, from the last, in which two tensors have different sizes, neither of them 1."""
        for a, b in pairwise(found):
            shapes = [list(enumerate(t.shape))[: t.ndim - skip][::-1] for t in (a, b)]
            for one, two in zip_longest(*shapes):
                if one and two and one[1] != two[1] and 1 not in (one[1], two[1]):
                    return (
                        f"{self._has(a, one[0], 'the first')}, and {self._has(b, two[0], 'the second')}; "
                        "axes are matched from the last, and each pair must be the same or 1"
                    )
        return ""

    def _joined(self) -> str:
        found = _tensors(self.call)
        usual = found[0].ndim if found else 0
        dim = self.call.get(1, "dim", 0)
        free = dim % usual if self.call.name != "stack" and usual else None
        for other in found[1:]:
            if other.ndim != usual:
                return (
                    f"{self._who(found[0], 'the first')} has {usual} axes, and "
                    f"{self._who(other, 'another')} has {other.ndim}"
                )
            for d in range(usual):
                if d != free and found[0].shape[d] != other.shape[d]:
                    return f"{self._has(found[0], d, 'the first')}, and {self._has(other, d, 'another')}"
        return ""

    def _regrouped(self) -> str:
        x, wanted = self.call.args[0], self.call.args[1:] or tuple(self.call.kwargs.values())
        sizes = list(wanted[0]) if wanted and isinstance(wanted[0], list | tuple) else list(wanted)
        if not all(isinstance(n, int) for n in sizes):
            return ""
        here, known = x.numel(), prod(n for n in sizes if n != -1)
        shape = "×".join("?" if n == -1 else str(n) for n in sizes)
        who = self._who(x, "the tensor")
        if -1 not in sizes and here != known:
            return f"{who} has {here:,} numbers, and {shape} has {known:,}"
        if -1 in sizes and known and here % known:
            return f"{who} has {here:,} numbers, which {known:,}, the sizes known of {shape}, does not divide"
        return ""

    def _einsum(self) -> str:
        equation, found = self.call.args[0], _tensors(self.call)
        if not isinstance(equation, str) or "." in equation:
            return ""
        terms = equation.replace(" ", "").partition("->")[0].split(",")
        seen: dict[str, tuple[Tensor, int]] = {}
        for term, tensor in zip(terms, found, strict=False):
            if len(term) != tensor.ndim:
                return f'"{term}" names {len(term)} axes, and {self._who(tensor, "its tensor")} has {tensor.ndim}'
            for dim, letter in enumerate(term):
                before, at = seen.setdefault(letter, (tensor, dim))
                if before.shape[at] != tensor.shape[dim]:
                    return (
                        f'"{letter}": {self._has(before, at, "the first")}, and {self._has(tensor, dim, "the second")}'
                    )
        return ""

    def _normalised(self) -> str:
        x, mean = self.call.get(0, "input"), self.call.get(1, "running_mean")
        if not isinstance(mean, Tensor) or x.ndim < 2 or x.shape[1] == len(mean):
            return ""
        return f"{self._has(x, 1, 'the input')}, and the layer normalises {len(mean)} channels"

    def _grouped(self) -> str:
        x, groups = self.call.get(0, "input"), self.call.get(1, "num_groups")
        weight: Any = self.call.get(2, "weight")
        if x.ndim > 1 and x.shape[1] % groups:
            return f"{self._has(x, 1, 'the input')}, which {groups} groups do not divide"
        if isinstance(weight, Tensor) and x.ndim > 1 and len(weight) != x.shape[1]:
            return f"{self._has(x, 1, 'the input')}, and the layer normalises {len(weight)} channels"
        return ""

    def _layer_norm(self) -> str:
        x, sizes = self.call.get(0, "input"), list(self.call.get(1, "normalized_shape"))
        if list(x.shape[-len(sizes) :]) == sizes:
            return ""
        last = shape_text(tuple(x.shape[-len(sizes) :]))
        who = self._who(x, "the input")
        return f"the last axes of {who} are {last}, and the layer normalises {shape_text(tuple(sizes))}"
