"""Look into a module, and leave it as it was."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

__all__ = ["untouched"]


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Put a module's attributes, parameters and buffers, and all random numbers, back as they were before.

    :param module: any module; what is done to it inside is undone, also after an error: its mode and that of its
        parts, hooks, methods of an instance, parameters and buffers that were changed, replaced or added.
    """
    tables = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")
    before = [
        (
            m,
            dict(vars(m)),
            {t: dict(vars(m)[t]) for t in tables if isinstance(vars(m).get(t), dict)},
        )  # a scripted module has no such tables, or ones that cannot be written to
        for m in module.modules()
    ]
    state = [*module.parameters(), *module.buffers()]
    with torch.no_grad():
        copies = [t.clone() for t in state]
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for m, attributes, saved in before:
            vars(m).clear()
            vars(m).update(attributes)
            for name, content in saved.items():
                vars(m)[name].clear()
                vars(m)[name].update(content)
        with torch.no_grad():
            for tensor, copy in zip(state, copies, strict=True):
                if not tensor.is_meta and not torch.equal(tensor, copy):
                    tensor.copy_(copy)
