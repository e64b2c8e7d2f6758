"""The letters of a tensor's axes, and how they travel through an operation.

An axis is a tuple of factors: after ``flatten(2)`` the last axis of a (B, C, H, W) tensor is H times W, and a later
reshape finds both again. So "softmax over HW" is said of the axes that really are summed over, not guessed from
the rank.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import gcd, prod
from typing import Any

import torch
from torch import Tensor

from attention.contract import Step

__all__ = [
    "PERMUTES",
    "RESHAPES",
    "Axes",
    "Factor",
    "declared",
    "default",
    "follow",
    "label",
    "letters",
    "squeezed",
    "stretch",
    "text",
]

#: The letters that a tensor's axes have, by rank, where nothing says otherwise.
LETTERS: dict[int, tuple[str, ...]] = {1: ("N",), 2: ("B", "C"), 3: ("B", "N", "C"), 4: ("B", "C", "H", "W")}
#: Operations that only regroup axes, and those that only reorder them.
RESHAPES = frozenset(
    ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel")
)
PERMUTES = frozenset(
    ("permute", "transpose", "swapaxes", "swapdims", "t", "T", "mT", "H", "mH", "adjoint", "movedim", "moveaxis")
)
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Factor:
    """One factor of an axis.

    :param letter: its letter; empty where it is not known.
    :param size: its size.
    :param part: which part of a split axis it is, from 1; 0 for a whole axis.
    :param parts: into how many the axis was split.
    """

    letter: str
    size: int
    part: int = 0
    parts: int = 1

    @property
    def text(self) -> str:
        """The letter, with the part as a subscript."""
        return self.letter + (str(self.part).translate(_SUBSCRIPTS) if self.part else "")


Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


def letters(names: Mapping[int, str | Sequence[str]] | None) -> dict[int, tuple[str, ...]]:
    """Join a caller's letters with the usual ones.

    :param names: letters by rank: ``{3: "B C N"}`` or ``{3: ("B", "C", "N")}``.
    :returns: letters by rank.
    :raises ValueError: for a rank with more or fewer letters than axes.
    :raises TypeError: for anything but a mapping from ranks to letters.
    """
    if names is None:
        return LETTERS
    if not isinstance(names, Mapping) or not all(isinstance(rank, int) for rank in names):
        raise TypeError(f"names={names!r} is not a mapping from a rank to its letters, such as {{3: 'B C N'}}")
    own = {rank: tuple(text.split() if isinstance(text, str) else text) for rank, text in names.items()}
    for rank, found in own.items():
        if len(found) != rank:
            raise ValueError(f"names: rank {rank} has {len(found)} letters, {found}; allowed: exactly {rank}")
    return LETTERS | own


def default(shape: Sequence[int], names: Mapping[int, tuple[str, ...]]) -> Axes:
    """Give a shape the usual letters of its rank."""
    usual = names.get(len(shape), ("",) * len(shape))
    return tuple((Factor(letter, size),) for letter, size in zip(usual, shape, strict=True))


def label(axes: Axes, dims: Sequence[int]) -> str:
    """Name some axes for a reader: ``"H, W"``; an axis without a letter is named by its number."""
    return ", ".join(text(axes[d]) or f"axis {d % len(axes)}" for d in dims)


def text(axis: Axis) -> str:
    """Write an axis: the letters of its factors; empty where one is not known."""
    large = [f for f in axis if f.size > 1] or list(axis[:1])
    return "".join(f.text for f in large) if all(f.letter for f in large) else ""


def squeezed(axes: Axes) -> Axes:
    """Leave out all axes of size 1."""
    return tuple(tuple(f for f in axis if f.size > 1) for axis in axes if prod(f.size for f in axis) > 1)


def declared(step: Step, shape: Sequence[int], known: Axes, whole: Axes) -> Axes:
    """Give a tensor the letters with which its block declares it.

    :param step: the declaration.
    :param shape: the tensor's shape.
    :param known: its axes as far as they were followed. They stay where the declaration has a number or a product, and
        where an axis is a whole one of the input: there the input's letter is the better known.
    :param whole: the axes of the input.
    """
    if len(step.axes) != len(shape):
        return known
    found = []
    for names, size, before in zip(step.axes, shape, known, strict=True):
        alone = names[0] if len(names) == 1 else ""
        stays = not (alone.isalpha() and len(alone) == 1) or (before in whole and size > 1)
        found.append(before if stays else (Factor(alone.upper(), size),))
    return tuple(found)


def stretch(before: Sequence[int], after: Sequence[int], axes: Sequence[str]) -> str:
    """Name the axes along which a tensor is repeated so that it has another's shape: ``"H × W"``; often none.

    :param before: its shape.
    :param after: the other shape, with as many axes or more.
    :param axes: the other's letters.
    """
    missing = len(after) - len(before)
    if missing < 0:
        return ""
    full = (1,) * missing + tuple(before)
    pairs = enumerate(zip(full, after, strict=True))
    return " × ".join(axes[d] or f"axis {d}" for d, (small, large) in pairs if small == 1 and large != 1)


def _permuted(function: Any, args: tuple, kwargs: dict, axes: Axes) -> Axes:
    """Follow an operation that only reorders axes, by watching what it does to the strides of an empty tensor."""
    strides = [11**i for i in range(1, len(axes) + 1)]
    probe = torch.empty_strided([1] * len(axes), strides, device="meta")
    swap = [probe if isinstance(a, Tensor) else a for a in args]
    named = {k: probe if isinstance(a, Tensor) else a for k, a in kwargs.items()}
    return tuple(axes[strides.index(stride)] for stride in function(*swap, **named).stride())


def _regrouped(axes: Axes, shape: Sequence[int], names: Mapping[int, tuple[str, ...]]) -> Axes:
    """Follow a reshape: merged axes keep all their letters, a split axis has numbered parts."""
    usual = names.get(len(shape), ("",) * len(shape))
    result: list[Axis] = [(Factor(letter, size),) for letter, size in zip(usual, shape, strict=True)]
    whole = [f for axis in axes for f in axis if f.size > 1]
    cuts: list[list[tuple[int, int]]] = [[] for _ in whole]  # of each factor: (size of the piece, axis that it goes to)
    left, at = (whole[0].size, 0) if whole else (1, 0)
    for place, size in enumerate(shape):
        while size > 1 and at < len(whole):
            piece = gcd(left, size)
            if piece == 1:
                return default(shape, names)
            cuts[at].append((piece, place))
            left, size = left // piece, size // piece
            if left == 1:
                at += 1
                left = whole[at].size if at < len(whole) else 1
    pieces: dict[int, list[Factor]] = {}
    for factor, cut in zip(whole, cuts, strict=True):
        for k, (size, place) in enumerate(cut, 1):
            part = factor if len(cut) == 1 else Factor(factor.text, size, k if factor.letter else 0, len(cut))
            pieces.setdefault(place, []).append(part)
    for place, found in pieces.items():
        result[place] = _rejoined(found)
    return tuple(_once(result))


def _rejoined(factors: list[Factor]) -> Axis:
    """Join the parts of a split axis again where all of them stand in order."""
    found: list[Factor] = []
    for factor in factors:
        found.append(factor)
        tail = found[-factor.parts :]
        if factor.parts > 1 and [(f.letter, f.part) for f in tail] == [
            (factor.letter, k) for k in range(1, factor.parts + 1)
        ]:
            found[-factor.parts :] = [Factor(factor.letter, prod(f.size for f in tail))]
    return tuple(found)


def _once(axes: list[Axis]) -> list[Axis]:
    """Take the letter from an axis of size 1 where a larger one has it."""
    taken = {f.letter for axis in axes for f in axis if f.size > 1}
    return [tuple(Factor("", 1) if f.size == 1 and f.letter in taken else f for f in axis) for axis in axes]


def _aligned(inputs: Sequence[Axes], shape: Sequence[int], names: Mapping[int, tuple[str, ...]]) -> Axes:
    """Follow an operation that works element by element, or changes sizes but not the meaning of axes."""
    if not inputs or max(map(len, inputs)) != len(shape):
        return default(shape, names)
    result = []
    for size, *found in zip_longest(reversed(shape), *map(reversed, inputs)):
        known = [axis for axis in found if axis is not None]
        exact = [axis for axis in known if prod(f.size for f in axis) == size]
        result.append(exact[0] if exact else (Factor(text(known[0]), size),))
    return tuple(reversed(result))


def _indexed(axes: Axes, index: Any, shape: Sequence[int], names: Mapping[int, tuple[str, ...]]) -> Axes:
    """Follow ``x[index]`` for numbers, slices, ``None`` and ``...``."""
    index = list(index) if isinstance(index, tuple) else [index]
    if any(not (i is None or i is ... or isinstance(i, int | slice)) or isinstance(i, bool) for i in index):
        return default(shape, names)
    used = sum(i is not None and i is not ... for i in index)
    at = index.index(...) if ... in index else len(index)
    index[at : at + 1] = [slice(None)] * (len(axes) - used)
    found, left = [], list(axes)
    for i in index:
        axis = (Factor("", 1),) if i is None else left.pop(0)
        found += [] if isinstance(i, int) else [axis]
    usual = default(shape, names)
    sized = []
    for axis, size, other in zip(found, shape, usual, strict=True):
        whole = prod(f.size for f in axis) == size
        sized.append((axis if axis[0].letter else other) if whole else (Factor(text(axis), size),))
    return tuple(_once(sized))


def _einsum(equation: str, inputs: Sequence[Axes], shape: Sequence[int], names: Mapping[int, tuple[str, ...]]) -> Axes:
    """Follow ``torch.einsum``: every letter of the equation carries its axis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or "." in equation or [len(t) for t in terms] != [len(a) for a in inputs]:
        return default(shape, names)
    known = {
        letter: axis for term, axes in zip(terms, inputs, strict=True) for letter, axis in zip(term, axes, strict=True)
    }
    return tuple(known[letter] for letter in right)


def follow(name: str, function: Any, args: tuple, kwargs: dict, inputs: Sequence[Axes], dims: Sequence[int] | None,
           shape: Sequence[int], names: Mapping[int, tuple[str, ...]]) -> Axes:  # fmt: skip
    """Give the letters of an operation's result.

    :param name: the operation's plain name.
    :param function: the torch function, with ``args`` and ``kwargs``.
    :param inputs: the axes of all tensors that went in, data first.
    :param dims: the axes that a reduction removes.
    :param shape: the result's shape.
    :param names: the usual letters by rank.
    """
    rank = len(shape)
    if not inputs:
        return default(shape, names)
    first = inputs[0]
    found = _aligned(inputs, shape, names)
    if name in PERMUTES:
        found = _permuted(function, args, kwargs, first)
    elif dims is not None and rank < len(first):
        gone = {d % len(first) for d in dims}
        found = tuple(axis for i, axis in enumerate(first) if i not in gone)
    elif name in ("unbind", "select"):
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0) % len(first)
        found = first[:dim] + first[dim + 1 :]
    elif name == "getitem":
        found = _indexed(first, args[1], shape, names)
    elif name == "linear":
        found = (*first[:-1], (Factor("C", shape[-1]),))
    elif name in ("matmul", "bmm", "mm", "scaled_dot_product_attention") and min(map(len, inputs)) >= 2:
        found = (*_aligned([axes[:-2] for axes in inputs], shape[:-2], names), first[-2], inputs[-1][-1])
    elif name == "einsum" and isinstance(args[0], str):
        found = _einsum(args[0], inputs, shape, names)
    elif name == "affine_grid" and rank == 4:
        found = tuple((Factor(a, n),) for a, n in zip(("B", "H", "W", "xy"), shape, strict=True))
    elif re.fullmatch(r"conv(_transpose)?\dd", name):
        found = default(shape, names)
        spatial = _aligned([first[2:]], shape[2:], names)
        if rank == len(first) and all(text(axis) not in ("", "C") for axis in spatial):
            found = (first[0], (Factor("C", shape[1]),), *spatial)
    elif name == "stack" and rank == len(first) + 1:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0) % rank
        found = (*first[:dim], (Factor("stack", shape[dim]),), *first[dim:])
    elif name in RESHAPES and prod(shape) == prod(f.size for axis in first for f in axis):
        found = _regrouped(first, shape, names)
    sizes = [prod(f.size for f in axis) for axis in found]
    return found if sizes == list(shape) else default(shape, names)
