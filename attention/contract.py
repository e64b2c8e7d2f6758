"""What an attention block is: the base classes that every mechanism of the book keeps to.

An attention block computes *maps* (numbers that say where to look, or how much to listen) and applies them.
Both come from one computation, :meth:`Attention.attend`, so that a map that is drawn is the map that was used.
"""

import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Proxy

__all__ = [
    "KINDS",
    "Attention",
    "Gate",
    "Map",
    "Step",
    "check_divides",
    "check_flags",
    "check_input",
    "check_positive",
    "check_training",
    "watching",
]

#: Each kind of map and the closed interval in which its values lie.
KINDS: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "mask": (0.0, 1.0),  # a hard choice: every value is 0 or 1
    "real": (float("-inf"), float("inf")),  # coordinates, affine parameters, unnormalised weights
}

_AXES = {"b": "batch", "c": "channels", "h": "height", "w": "width"}


@dataclass(frozen=True)
class _Shaped:
    """A declaration with axes, in the notation of einops."""

    dims: str
    _what: ClassVar[str] = "tensor"

    def __post_init__(self) -> None:
        if re.sub(r"\w+|\( *\w[\w ]*\)|\s", "", self.dims) or not self.dims.strip():
            raise ValueError(f"dims={self.dims!r} cannot be read; write for example 'b c 1 1' or 'b (h w) (h w)'")

    @property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """Each axis as the tuple of names whose product it is: ``(("b",), ("h", "w"), ("h", "w"))``."""
        return tuple(tuple(part.strip("()").split()) for part in re.findall(r"\([^)]*\)|\w+", self.dims))

    def sizes(self, shape: tuple[int, ...], known: dict[str, int]) -> dict[str, int]:
        """Match a real shape with the declaration.

        :param shape: the tensor's shape.
        :param known: sizes already known by name (``{"b": 2, "c": 8, "h": 5, "w": 7}``).
        :returns: ``known`` and the sizes that this shape adds to it.
        :raises ValueError: where the shape is not the declared one.
        """
        found = dict(known)
        told = f"the {self._what} has shape {tuple(shape)}, declared {self.dims!r}"
        if len(shape) != len(self.axes):
            raise ValueError(f"{told}: {len(self.axes)} axes")
        for size, names in zip(shape, self.axes, strict=True):
            unknown = [n for n in names if not n.isdigit() and n not in found]
            rest = prod(int(n) if n.isdigit() else found[n] for n in names if n not in unknown)
            if len(unknown) == 1 and rest and size % rest == 0:
                found[unknown[0]] = size // rest
            elif unknown or size != rest:
                raise ValueError(f"{told} with {found}")
        return found


@dataclass(frozen=True)
class Step(_Shaped):
    """The declaration of one step of the paper's equations: a tensor that :meth:`Attention.step` marks.

    :param dims: its axes, as for a :class:`Map`.
    :param zone: the part of the mechanism that it belongs to, in the paper's word: ``squeeze``, ``excite``.
    :param about: one line for a reader: what the numbers are.
    :param symbol: in TeX, as the equations of the block's docstring have it, without indices; by default the name
        under which the step is declared.
    :raises ValueError: for an unreadable ``dims``, or an empty ``zone`` or ``about``.
    """

    zone: str = ""
    about: str = ""
    symbol: str = ""
    _what: ClassVar[str] = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.zone.strip() or not self.about.strip():
            raise ValueError(f"zone={self.zone!r}, about={self.about!r}: a step says where it belongs and what it is")


@dataclass(frozen=True)
class Map(_Shaped):
    """The declaration of one attention map.

    :param dims: its axes, in the notation of einops: ``"b c 1 1"``, ``"b (h w) (h w)"``. A number is an exact
        size; ``b``, ``c``, ``h``, ``w`` are the sizes of the block's first input; any other letter is a size of
        the block's own, the same wherever it occurs (``m`` branches, say).
    :param kind: one of ``sigmoid``, ``softmax``, ``mask``, ``real``: it says in which interval the values lie.
    :param sums: the positions of the axes in ``dims`` over which the map sums to 1, for softmax maps.
    :param about: one line for a reader: what a large value means.
    :raises ValueError: for an unknown kind, an unreadable ``dims``, or ``sums`` outside ``dims``.
    """

    kind: str = "sigmoid"
    sums: tuple[int, ...] = ()
    about: str = ""
    _what: ClassVar[str] = "map"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not one of {', '.join(KINDS)}")
        super().__post_init__()
        if not all(0 <= axis < len(self.axes) for axis in self.sums) or len(set(self.sums)) < len(self.sums):
            raise ValueError(f"sums={self.sums} names an axis outside dims={self.dims!r}, or one twice")
        if (self.kind == "softmax") != bool(self.sums):
            raise ValueError(f"kind={self.kind!r} with sums={self.sums}: softmax maps, and only they, name their sums")


#: Who is told of each step while a block runs: its block, its name and its value.
Watch = Callable[["Attention", str, Tensor], None]
_WATCHES: list[Watch] = []


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Be told of every step of every block that runs meanwhile, in the order in which they are computed.

    >>> with watching(lambda block, name, value: print(name, tuple(value.shape))):
    ...     block.attend(x)

    :param watch: called with the block, the step's name as ``block.steps`` declares it, and the tensor.
    """
    _WATCHES.append(watch)
    try:
        yield
    finally:
        _WATCHES.remove(watch)


class Attention(nn.Module):
    """Base class of all attention blocks.

    A subclass declares ``maps`` and ``steps`` in its constructor and writes :meth:`attend`, its paper's equations,
    literally; there it marks each declared step: ``z = self.step("z", x.mean((2, 3)))``. ``forward`` is overridden
    where a faster form of the same function exists, and where the inputs are others than one tensor ``x``: it names
    the inputs that ``attend`` names.

    ``torch.fx`` follows a block whose module wraps the functions of einops that it calls: below its imports stands
    ``torch.fx.wrap("rearrange")``.
    """

    maps: dict[str, Map]
    steps: dict[str, Step]

    def step(self, name: str, value: Tensor) -> Tensor:
        """Mark a step of the paper's equations: the value is returned as it is, compiled and exported too.

        :param name: as ``self.steps`` declares it.
        :param value: what was computed.
        :returns: ``value`` itself.
        """
        for watch in _WATCHES:
            watch(self, name, value)
        return value

    def attend(self, *inputs: Any, **named: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the output and the maps that led to it.

        :returns: the output, and the maps by the names under which ``self.maps`` declares them.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output alone.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: what :meth:`attend` returns first.
        """
        return self.attend(x)[0]

    def reset_parameters(self) -> None:
        """Give all parameters and buffers the values that a fresh block starts with.

        This is what ``to_empty`` asks for after a block was made on the device ``meta``. A block with parameters of
        its own, outside its layers, sets them here too.
        """
        for layer in self.children():
            for module in reversed(list(layer.modules())):  # what lies inside comes first
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()

    def __prepare_scriptable__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__}: torch.jit.script cannot read it, for it checks its input and declares its maps in "
            "Python; use torch.jit.trace(block, x), or torch.export.export(block, (x,))"
        )


class Gate(Attention):
    """The commonest attention block: one map, multiplied onto the input.

    A subclass writes :meth:`weights`; the output is ``x · weights(x)``, the map broadcast over the axes of size 1, and
    is marked as the step ``y``.
    """

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gate, of a shape that broadcasts to that of ``x``."""
        raise NotImplementedError

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ``x · weights(x)`` and return it with the gate, under its declared name."""
        gate = self.weights(x)
        (name,) = self.maps
        return self.step("y", x * gate), {name: gate}


def check_input(x: Any, dims: str = "b c h w", *, name: str = "x", **sizes: int) -> None:
    """Refuse a tensor that a block cannot work on, saying what was expected and what came.

    A proxy of ``torch.fx`` passes: a graph that is made of a block checks nothing.

    :param x: the input.
    :param dims: its axes, one letter each: ``"b c h w"``.
    :param name: what the message calls it.
    :param sizes: the sizes that are fixed: ``c=64``.
    :raises TypeError: for anything but a floating-point tensor.
    :raises ValueError: for a wrong rank, a wrong size, or an empty axis other than the batch.
    """
    if isinstance(x, Proxy):
        return
    letters = dims.split()
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}: expected a floating-point tensor {_shape(letters, sizes)}, received {type(x).__name__}"
        )
    if not torch.is_floating_point(x):
        raise TypeError(
            f"{name}: expected a floating-point tensor {_shape(letters, sizes)}, "
            f"received dtype {x.dtype} and shape {tuple(x.shape)}"
        )
    if x.ndim != len(letters):
        raise ValueError(_expected(name, letters, sizes, x))
    for letter, size in zip(letters, x.shape, strict=True):
        if size != sizes.get(letter, size):
            raise ValueError(_expected(name, letters, sizes, x))
        if size == 0 and letter != "b":
            raise ValueError(f"{_expected(name, letters, sizes, x)}: {_AXES.get(letter, letter)} is 0, an empty map")


def _expected(name: str, letters: list[str], sizes: dict[str, int], x: Tensor) -> str:
    return f"{name}: expected shape {_shape(letters, sizes)}, received shape {tuple(x.shape)}"


def _shape(letters: list[str], sizes: dict[str, int]) -> str:
    parts = [_AXES.get(x, x) + (f"={sizes[x]}" if x in sizes else "") for x in letters]
    return f"({', '.join(parts)})"


def check_training(x: Any, over: str = "b h w", dims: str = "b c h w", *, name: str = "x") -> None:
    """Refuse, in training, an input of which a batch normalisation would see one number alone: it has no variance.

    Call it where ``self.training`` is true and the block normalises.

    :param x: the input.
    :param over: the axes over which the normalisation takes its mean and its variance: ``"b"``, ``"b h w"``.
    :param dims: all axes of the input.
    :param name: what the message calls it.
    :raises ValueError: where those axes hold one number.
    """
    if isinstance(x, Proxy) or prod([x.shape[dims.split().index(letter)] for letter in over.split()]) != 1:
        return
    what = "samples" if over == "b" else "numbers a channel"
    raise ValueError(
        f"{name}: expected at least 2 {what} in training, received shape {tuple(x.shape)}: batch normalisation divides "
        f"by their deviation, and one number has none; give more {'samples' if over == 'b' else 'samples or pixels'} "
        "at once, or call eval() on the block"
    )


def check_positive(**arguments: Any) -> tuple[int, ...]:
    """Refuse arguments that are not whole numbers of at least 1.

    :returns: the arguments in their order, as plain ``int``: what came may be one of NumPy's numbers.
    :raises TypeError: for anything but a whole number; ``True`` is none.
    :raises ValueError: for a number below 1.
    """
    found = []
    for name, value in arguments.items():
        try:
            if isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool:
                raise TypeError
            found.append(operator.index(value))
        except TypeError:
            raise TypeError(f"{name}={value!r} is not a whole number; allowed: 1, 2, 3, …") from None
        if found[-1] < 1:
            raise ValueError(f"{name}={value} is not positive; allowed: 1, 2, 3, …")
    return tuple(found)


def check_flags(**arguments: Any) -> None:
    """Refuse arguments that are neither ``True`` nor ``False``: ``"false"`` would count as true.

    :raises TypeError: naming the argument.
    """
    for name, value in arguments.items():
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}={value!r} is neither True nor False")


def check_divides(**arguments: int) -> None:
    """Refuse a first argument that the second does not divide: ``check_divides(channels=30, groups=8)``.

    :raises ValueError: naming both, and the values that are allowed.
    """
    (what, whole), (by, part) = arguments.items()
    if whole % part:
        allowed = ", ".join(str(d) for d in range(1, whole + 1) if whole % d == 0)
        raise ValueError(f"{what}={whole} is not divisible by {by}={part}; allowed for {by}: {allowed}")
