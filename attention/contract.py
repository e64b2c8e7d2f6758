"""What an attention block is: the base classes that every mechanism of the book keeps to.

An attention block computes *maps* (numbers that say where to look, or how much to listen) and applies them.
Both come from one computation, :meth:`Attention.attend`, so that a map that is drawn is the map that was used.
"""

import re
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["KINDS", "Attention", "Gate", "Map", "check_divides", "check_input", "check_positive"]

#: Each kind of map and the closed interval in which its values lie.
KINDS: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "mask": (0.0, 1.0),  # a hard choice: every value is 0 or 1
    "real": (float("-inf"), float("inf")),  # coordinates, affine parameters, unnormalised weights
}

_AXES = {"b": "batch", "c": "channels", "h": "height", "w": "width"}


@dataclass(frozen=True)
class Map:
    """The declaration of one attention map.

    :param dims: its axes, in the notation of einops: ``"b c 1 1"``, ``"b (h w) (h w)"``. A number is an exact
        size; ``b``, ``c``, ``h``, ``w`` are the sizes of the block's first input; any other letter is a size of
        the block's own, the same wherever it occurs (``m`` branches, say).
    :param kind: one of ``sigmoid``, ``softmax``, ``mask``, ``real``: it says in which interval the values lie.
    :param sums: the positions of the axes in ``dims`` over which the map sums to 1, for softmax maps.
    :param about: one line for a reader: what a large value means.
    :raises ValueError: for an unknown kind, an unreadable ``dims``, or ``sums`` outside ``dims``.
    """

    dims: str
    kind: str = "sigmoid"
    sums: tuple[int, ...] = ()
    about: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not one of {', '.join(KINDS)}")
        if re.sub(r"\w+|\( *\w[\w ]*\)|\s", "", self.dims) or not self.dims.strip():
            raise ValueError(f"dims={self.dims!r} cannot be read; write for example 'b c 1 1' or 'b (h w) (h w)'")
        if not all(0 <= axis < len(self.axes) for axis in self.sums) or len(set(self.sums)) < len(self.sums):
            raise ValueError(f"sums={self.sums} names an axis outside dims={self.dims!r}, or one twice")
        if (self.kind == "softmax") != bool(self.sums):
            raise ValueError(f"kind={self.kind!r} with sums={self.sums}: softmax maps, and only they, name their sums")

    @property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """Each axis as the tuple of names whose product it is: ``(("b",), ("h", "w"), ("h", "w"))``."""
        return tuple(tuple(part.strip("()").split()) for part in re.findall(r"\([^)]*\)|\w+", self.dims))

    def sizes(self, shape: tuple[int, ...], known: dict[str, int]) -> dict[str, int]:
        """Match a real shape with the declaration.

        :param shape: the map's shape.
        :param known: sizes already known by name (``{"b": 2, "c": 8, "h": 5, "w": 7}``).
        :returns: ``known`` and the sizes that this shape adds to it.
        :raises ValueError: where the shape is not the declared one.
        """
        found = dict(known)
        if len(shape) != len(self.axes):
            raise ValueError(f"the map has shape {tuple(shape)}, declared {self.dims!r}: {len(self.axes)} axes")
        for size, names in zip(shape, self.axes, strict=True):
            unknown = [n for n in names if not n.isdigit() and n not in found]
            rest = prod(int(n) if n.isdigit() else found[n] for n in names if n not in unknown)
            if len(unknown) == 1 and rest and size % rest == 0:
                found[unknown[0]] = size // rest
            elif unknown or size != rest:
                raise ValueError(f"the map has shape {tuple(shape)}, declared {self.dims!r} with {found}")
        return found


class Attention(nn.Module):
    """Base class of all attention blocks.

    A subclass declares ``maps`` in its constructor and writes :meth:`attend`, its paper's equations, literally.
    ``forward`` is overridden only where a faster form of the same function exists.
    """

    maps: dict[str, Map]

    def attend(self, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the output and the maps that led to it.

        :returns: the output, and the maps by the names under which ``self.maps`` declares them.
        """
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the output alone."""
        return self.attend(*inputs)[0]


class Gate(Attention):
    """The commonest attention block: one map, multiplied onto the input.

    A subclass writes :meth:`weights`; the output is ``x · weights(x)``, the map broadcast over the axes of size 1.
    """

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gate, of a shape that broadcasts to that of ``x``."""
        raise NotImplementedError

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ``x · weights(x)`` and return it with the gate, under its declared name."""
        gate = self.weights(x)
        (name,) = self.maps
        return x * gate, {name: gate}


def check_input(x: Any, dims: str = "b c h w", *, name: str = "x", **sizes: int) -> None:
    """Refuse a tensor that a block cannot work on, saying what was expected and what came.

    :param x: the input.
    :param dims: its axes, one letter each: ``"b c h w"``.
    :param name: what the message calls it.
    :param sizes: the sizes that are fixed: ``c=64``.
    :raises TypeError: for anything but a floating-point tensor.
    :raises ValueError: for a wrong rank, a wrong size, or an empty axis other than the batch.
    """
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
    fits = x.ndim == len(letters) and all(
        size == sizes.get(letter, size) and (size > 0 or letter == "b")
        for letter, size in zip(letters, x.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {_shape(letters, sizes)}, received shape {tuple(x.shape)}")


def _shape(letters: list[str], sizes: dict[str, int]) -> str:
    parts = [_AXES.get(x, x) + (f"={sizes[x]}" if x in sizes else "") for x in letters]
    return f"({', '.join(parts)})"


def check_positive(**arguments: Any) -> None:
    """Refuse arguments that are not whole numbers of at least 1.

    :raises TypeError: for anything but an ``int``.
    :raises ValueError: for an ``int`` below 1.
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}={value!r} is not a whole number; allowed: 1, 2, 3, …")
        if value < 1:
            raise ValueError(f"{name}={value} is not positive; allowed: 1, 2, 3, …")


def check_divides(**arguments: int) -> None:
    """Refuse a first argument that the second does not divide: ``check_divides(channels=30, groups=8)``.

    :raises ValueError: naming both, and the values that are allowed.
    """
    (what, whole), (by, part) = arguments.items()
    if whole % part:
        allowed = ", ".join(str(d) for d in range(1, whole + 1) if whole % d == 0)
        raise ValueError(f"{what}={whole} is not divisible by {by}={part}; allowed for {by}: {allowed}")
