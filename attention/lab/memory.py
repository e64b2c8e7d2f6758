"""Measure how many bytes of tensors are alive at once during a run."""

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Memory"]


class Memory(TorchDispatchMode):
    """A context that follows the storages of all tensors: when each is made, and when the last tensor lets go of it.

    ``live`` is what is alive now, ``peak`` the most that was alive at once, both in bytes. Views share a storage and
    count once. What a kernel needs inside, and gives back before it ends, is not seen.

    :param inputs: tensors that count from the start.
    :param ignored: tensors that do not count (parameters and buffers).
    """

    def __init__(self, inputs: Iterable[Tensor] = (), ignored: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known = {_key(tensor): None for tensor in ignored}
        for tensor in inputs:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: tuple = (), kwargs: Any = None) -> Any:
        """Run one operation and note what it made."""
        kwargs = kwargs or {}
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self._known.setdefault(_key(leaf), None)  # made outside this context: not ours to count
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return out

    def _add(self, tensor: Tensor) -> None:
        key = _key(tensor)
        if key in self._known:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        self._known[key] = weakref.finalize(storage, self._free, key, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _free(self, key: int, size: int) -> None:
        self._known.pop(key, None)
        self.live -= size


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
