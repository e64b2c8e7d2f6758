"""Where the tensors of a run came from: which operation made each, and out of what."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["History", "Made", "name_of"]

#: Operations that keep every number where it stands, but for the tensor's shape and type.
_SAME = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "unsqueeze",
        "squeeze",
        "expand",
        "clone",
        "_to_copy",
        "alias",
        "detach",
        "contiguous",
        "lift_fresh",
    ]
)
#: The same, and those that put axes into another order.
_MOVES = _SAME | frozenset(["permute", "transpose", "t"])
#: Operations that take a tensor for its shape and type only.
_SHAPES = frozenset(
    [
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "randint_like",
        "new_empty",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty_strided",
        "zero",
        "fill",
        "uniform",
        "normal",
        "exponential",
    ]
)


@dataclass(frozen=True, eq=False)
class Made:
    """One tensor that depends on the model's input.

    :param op: the name of the operation that made it; empty for an input.
    :param parents: what it was made of, as far as that depends on the input.
    :param call: the number of the operation in the run.
    :param slot: which of its results.
    :param pointwise: the operation works on each number alone.
    :param shape: the tensor's shape.
    """

    op: str = ""
    parents: tuple["Made", ...] = ()
    call: int = -1
    slot: int = 0
    pointwise: bool = False
    shape: tuple[int, ...] = ()

    def unmoved(self, *, views: bool = True) -> "Made":
        """Go back to the tensor whose numbers these are, over changes of shape, of type and of the axes' order.

        :param views: go back over the order of axes as well.
        """
        at = self
        while at.op in (_MOVES if views else _SAME) and len(at.parents) == 1:
            at = at.parents[0]
        return at

    def before(self) -> set["Made"]:
        """Return all that it was made of, itself included."""
        seen, todo = {self}, [self]
        while todo:
            for parent in todo.pop().parents:
                if parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
        return seen

    def origins(self) -> frozenset["Made"]:
        """Go back over all operations that work on each number alone: of which tensors is this such a function?"""
        found, seen, todo = set(), {self}, [self]
        while todo:
            at = todo.pop()
            if not at.parents or not (at.pointwise or at.op in _SAME):
                found.add(at)
                continue
            todo += [parent for parent in at.parents if parent not in seen]
            seen.update(at.parents)
        return frozenset(found)

    def scales_back(self) -> bool:
        """Say whether it is one over a size, but for constant factors and terms: what a normalisation multiplies by."""
        at = self
        while len(at.parents) == 1 and (at.op in _MOVES or at.op in ("mul", "div", "add", "clamp", "clamp_min")):
            at = at.parents[0]
        return at.op in ("rsqrt", "reciprocal")


class History(TorchDispatchMode):
    """A context that notes of every tensor that depends on given ones how it was made.

    :param inputs: the tensors that the run begins with.
    """

    def __init__(self, inputs: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.call = -1
        self._made = WeakTensorKeyDictionary()
        for tensor in inputs:
            self._made[tensor] = Made()

    def __getitem__(self, tensor: Any) -> Made | None:
        """Return how a tensor was made; ``None`` for one that does not depend on the input, or is none."""
        return self._made.get(tensor) if isinstance(tensor, Tensor) else None

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: tuple = (), kwargs: Any = None) -> Any:
        """Run one operation and note what it made."""
        kwargs = kwargs or {}
        self.call += 1
        return self.noted(func, args, kwargs)

    def noted(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Run an operation and note what it made."""
        name = "reciprocal" if self._divides_by(func, args) else name_of(func)
        parents = () if _takes_shape_only(func, name) else tuple(self._parents((args, kwargs)))
        out = func(*args, **kwargs)
        for slot, leaf in enumerate(tree_leaves(out)):
            if not isinstance(leaf, Tensor):
                continue
            if not parents:
                self._made.pop(leaf, None)  # what is written over depends on the input no more
                continue
            self._made[leaf] = Made(name, parents, self.call, slot, _is_pointwise(func), tuple(leaf.shape))
            if leaf._base is not None and any(leaf is each for each in args):  # a part was written to
                self._made[leaf._base] = self._made[leaf]
        return out

    def _divides_by(self, func: Any, args: tuple) -> bool:
        """Say whether the operation is one over something that depends on the input, in another spelling."""
        if name_of(func) == "pow":
            return isinstance(args[1], int | float) and args[1] < 0
        return name_of(func) == "div" and self[args[0]] is None and self[args[1]] is not None

    def _parents(self, tree: Any) -> Iterator[Made]:
        seen = set()
        for leaf in tree_leaves(tree):
            made = self[leaf]
            if made is not None and made not in seen:
                seen.add(made)
                yield made


def name_of(func: Any) -> str:
    """Return an operation's name; the form that works in place counts as the one that does not."""
    name = func._overloadpacket.__name__
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _is_pointwise(func: Any) -> bool:
    """Say whether PyTorch marks an operation as elementwise, or the form of it that does not work in place."""
    twin = getattr(getattr(torch.ops.aten, name_of(func), None), func._overloadname, func)
    return torch.Tag.pointwise in func.tags or torch.Tag.pointwise in twin.tags


def _takes_shape_only(func: Any, name: str) -> bool:
    """Say whether an operation makes numbers without reading any: new tensors, and random draws of a fixed chance."""
    return name in _SHAPES or (name == "bernoulli" and func._overloadname in ("float", "p"))
