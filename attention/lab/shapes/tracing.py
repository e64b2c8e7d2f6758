"""Record a real run of a module."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from attention.lab.restore import untouched
from attention.lab.shapes.axes import letters
from attention.lab.shapes.folding import folded
from attention.lab.shapes.recorder import Recorder
from attention.lab.shapes.runs import Trace

__all__ = ["trace"]


def trace(
    module: nn.Module,
    *inputs: Any,
    depth: int | None = None,
    names: Mapping[int, str | Sequence[str]] | None = None,
) -> Trace:
    """Run a module once and record every tensor, its shape, and the operation that made it.

    The module, its buffers and gradients, the inputs and the random numbers to come are left as they were. It runs in
    the mode that it is in, with gradients or without as the caller has them.

    :param module: any module, with any Python control flow, on any device.
    :param inputs: what it is called with.
    :param depth: how deep submodules are opened: 1 makes one step of each direct child that is called, 0 one of the
        module itself. ``None`` opens all; but where the module holds an attention block, and is none itself, the block
        is one step, and so is each part beside it.
    :param names: letters of axes by rank, where (B, C), (B, N, C) and (B, C, H, W) are not meant:
        ``{3: "B C N"}``.
    :returns: the record. Of a module that raises an error it ends with the operation that did, and ``failed`` says
        which two sizes disagree; what failed is opened, whatever the depth.
    :raises TypeError: for a ``module`` that is not an ``nn.Module`` or holds a module that was compiled by
        ``torch.jit.script``, or a ``depth`` that is not a whole number.
    :raises ValueError: for a negative ``depth``, letters that do not fit their rank, or a module with parameters or
        buffers that are not yet initialised.

    What happens inside one torch function is not seen: ``nn.MultiheadAttention`` is one step, as is a module that
    ``torch.jit.trace`` made.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected an nn.Module, received {type(module).__name__}")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int)):
        raise TypeError(f"depth={depth!r} is not a whole number or None")
    if depth is not None and depth < 0:
        raise ValueError(f"depth={depth} is negative; allowed: None, 0, 1, 2, …")
    for name, m in module.named_modules():
        if isinstance(m, torch.jit.RecursiveScriptModule):
            where = f"the module {name!r}" if name else "it"
            raise TypeError(f"module: {where} is scripted, and cannot be watched; pass the original module")
    state = chain(module.named_parameters(), module.named_buffers())
    if lazy := [name for name, t in state if nn.parameter.is_lazy(t)]:
        raise ValueError(f"module: {', '.join(lazy)} not initialised yet; call the module once before it is traced")
    recorder = Recorder(module, letters(names))
    with untouched(module):
        recorder.run(_copied(inputs, {}))
    return folded(recorder, depth)


def _copied(value: Any, memo: dict[int, Tensor]) -> Any:
    """Copy tensors, wherever they are, so that a module which works in place does not reach the caller's."""
    if isinstance(value, Tensor):  # a tensor that is given twice stays one tensor
        return memo.setdefault(id(value), value.detach().clone().requires_grad_(value.requires_grad))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_copied(v, memo) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(_copied(v, memo) for v in value)
    return {k: _copied(v, memo) for k, v in value.items()} if isinstance(value, dict) else value
