"""Where an inserted block sits: how it acts on a module's output, and how its loss is noticed.

The module that a block acts on is its *host*. Tools that work on whole networks replace modules: normalisations by
synchronised or frozen ones, convolutions with their normalisation by fused ones. A hook is lost with the module that
it hangs on, so every block has three safeguards.

* The host's class becomes a subclass of the same name. Tools that look for exactly a ``BatchNorm2d`` to fuse or to
  quantise find none; tools that ask ``isinstance`` still know it. And a compiled network sees that something changed.
* Each module on the way from the network to the host looks, before it runs, whether the block is still in its seat.
* A module that took a host's place and kept its parts, as ``SyncBatchNorm.convert_sync_batchnorm`` makes it, becomes
  the host. Where the block is gone, the run is an error.
"""

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from attention.backbones.inception import InceptionBlock
from attention.backbones.resnet import Residual

__all__ = ["forget_lost", "has_block", "put", "take", "watch"]

#: Where a host keeps the hook through which its block acts; its presence marks what `put` did.
_HOOK = "_attention_hook"
#: Where a module on the way to a host keeps what it watches, and the handle of the hook that does so.
_WATCH = "_attention_watch"


@dataclass(eq=False)
class _Hook:
    """The hook that runs a block: its handle, and its number, which a compiler can read; ``None`` where none is needed.

    The handle is kept so that a copy that is unpickled elsewhere reserves the hook's number there.
    """

    handle: RemovableHandle | None = None
    number: int | None = None


@dataclass(eq=False)
class _Seat:
    """A host as its parent knows it, and whether its block was taken out by `take`."""

    host: nn.Module
    taken: bool = False


@dataclass(eq=False)
class _Watch:
    """What one module watches: its children that are hosts, and those on the way to one, by name."""

    handle: RemovableHandle
    seats: dict[str, _Seat]
    ways: dict[str, nn.Module]


def has_block(host: nn.Module) -> bool:
    """Say whether a module holds a block that was put in, or one that it was built with."""
    if isinstance(host, Residual):
        return host.place is not None
    return _HOOK in vars(host) or (isinstance(host, InceptionBlock) and host.attention is not None)


def put(host: nn.Module, place: str | None, block: nn.Module) -> None:
    """Make a block a child of a module, and let it act on the module's output, or at a place in a residual unit."""
    if isinstance(host, Residual):
        host.attach(lambda _: block, place or "post")
    elif isinstance(host, InceptionBlock):
        host.attention = block
    else:
        host.add_module("attention", block)
        _act_in(host)


def take(host: nn.Module) -> None:
    """Take a module's block out again, and leave nothing of it."""
    del host.attention
    if isinstance(host, Residual):
        host.place = None
    elif isinstance(host, InceptionBlock):
        host.attention = None
    else:
        if (handle := vars(host).pop(_HOOK).handle) is not None:
            handle.remove()
        if "_attention_base" in vars(type(host)):
            host.__class__ = type(host)._attention_base
        else:
            _forget_compiled()


def watch(model: nn.Module, name: str) -> None:
    """Let every module on the way to a host look, before it runs, whether the block is still there."""
    if isinstance(model.get_submodule(name), Residual | InceptionBlock):
        return  # they call their block themselves
    module, (*way, last) = model, name.split(".")
    for part in way:
        _watch_of(module).ways[part] = module._modules[part]
        module = module._modules[part]
    _watch_of(module).seats[last] = _Seat(module._modules[last])


def forget_lost(model: nn.Module, *, all_of_it: bool) -> list[str]:
    """Stop watching blocks that are lost; with ``all_of_it`` also those that are not.

    Call it before the blocks are taken out: modules that took a host's place become the host.

    :returns: the names that the lost blocks had.
    """
    lost = [f"{name}.attention" for name in _lost(model)]
    for module in list(model.modules()):
        found = vars(module).get(_WATCH)
        if found is None:
            continue
        for name, seat in list(found.seats.items()):
            if all_of_it or not _sits(module._modules.get(name), seat):
                seat.taken = True
                del found.seats[name]
        for name, way in list(found.ways.items()):
            if all_of_it or not _leads(module._modules.get(name), way):
                del found.ways[name]
        if not found.seats and not found.ways:
            found.handle.remove()
            del vars(module)[_WATCH]
    return lost


# The host


def _act_in(host: nn.Module) -> None:
    if isinstance(host, nn.Sequential):
        vars(host)[_HOOK] = _Hook()  # it runs all its parts, and so also the new one, which is its last
    else:
        handle = host.register_forward_hook(_act)
        vars(host)[_HOOK] = _Hook(handle, handle.id)
    if _may_mark(type(host)):
        host.__class__ = _marked(type(host))
    elif "_attention_base" not in vars(type(host)):
        _forget_compiled()


def _act(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    """Apply a module's attention block to its output: a forward hook, which names no instance and so can be copied."""
    return module.attention(output)


def _may_mark(kind: type) -> bool:
    """Say whether a subclass may stand for a class: it is an ordinary one, and can be found again by its name."""
    found: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    ordinary = type(kind) is type and not any("__init_subclass__" in vars(k) for k in kind.__mro__[:-1])
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    local = "<locals>" in kind.__qualname__  # such a class cannot be pickled, marked or not
    return ordinary and plain and (found is kind or local)


@cache
def _marked(kind: type) -> type:
    """Make the class that marks a host: the same in all, but another one."""
    own = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), own | {"_attention_base": kind, "__reduce_ex__": _reduce})


def _reduce(self: nn.Module, protocol: int) -> tuple:
    return _remake, (type(self)._attention_base,), self.__getstate__()


def _remake(kind: type) -> nn.Module:
    marked = _marked(kind)
    return marked.__new__(marked)


def _forget_compiled() -> None:
    """Let networks that were compiled before look at their modules again: they do not notice hooks."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


# The watch


def _watch_of(module: nn.Module) -> _Watch:
    if _WATCH not in module.__dict__:
        module.__dict__[_WATCH] = _Watch(module.register_forward_pre_hook(_look), {}, {})
    return module.__dict__[_WATCH]


def _look(module: nn.Module, inputs: tuple) -> None:
    """Refuse to run without a block that was put in: a hook that runs before the module."""
    if "_is_replica" in module.__dict__:
        return  # of DataParallel, which has looked at the original
    lost = _lost(module)
    if lost:
        names = ", ".join([repr(name) for name in lost[:4]] + ["…"] * (len(lost) > 4))
        raise RuntimeError(
            f"the attention block at {names} is lost, and the network would run without it. Something replaced that "
            "module or took it out after the block was inserted: tools that fuse or freeze normalisations do so. Run "
            "such tools before insert. To go on without these blocks, call attention.backbones.remove(model, "
            "lost=True); for the plain network, remove(model)"
        )


def _lost(module: nn.Module) -> list[str]:
    """List the hosts below a module whose blocks are lost; what took a host's place and can be the host becomes it."""
    found = module.__dict__.get(_WATCH)
    if found is None:
        return []
    lost = []
    for name, seat in found.seats.items():
        child = module._modules.get(name)
        if not seat.taken and not _sits(child, seat):
            if _carries(child, seat):
                torch.compiler.disable(_become)(child, seat)  # a compiler stops here, and goes on after it
            else:
                lost.append(name)
    for name, way in found.ways.items():
        child = module._modules.get(name)
        if not _leads(child, way):
            lost.append(name)
        elif child is not None:
            lost.extend([f"{name}.{below}" for below in _lost(child)])
    return lost


def _become(child: nn.Module, seat: _Seat) -> None:
    """Make the host of a module that stands in a host's place and has its block."""
    _act_in(child)
    seat.host = child


def _sits(child: nn.Module | None, seat: _Seat) -> bool:
    """Say whether a block acts where it was put."""
    if child is None:
        return False
    if child is seat.host:
        return _acts(child)
    # A copy of a unit brings its own block. A copy of a plain layer may be one fused with what came after the block.
    if _HOOK in child.__dict__ and not _is_layer(seat.host):
        return _acts(child)
    return _acts(seat.host) and any(part is seat.host for part in child.modules())  # it was wrapped


def _acts(host: nn.Module) -> bool:
    if _HOOK not in host.__dict__ or "attention" not in host._modules:
        return False
    number = host.__dict__[_HOOK].number
    return number is None or number in host._forward_hooks


def _carries(child: nn.Module | None, seat: _Seat) -> bool:
    """Say whether a module that stands in a host's place has its block, which does not act yet."""
    if child is None or "attention" not in child._modules:
        return False
    return child._modules["attention"] is seat.host._modules.get("attention")


def _leads(child: nn.Module | None, way: nn.Module) -> bool:
    """Say whether a module is still on the way to a host: it is the same, a copy of it, or something around it."""
    if child is None:
        return False
    return child is way or _WATCH in child.__dict__ or any(part is way for part in child.modules())


def _is_layer(module: nn.Module) -> bool:
    """Say whether a module is one of torch's own layers, which tools replace one by one."""
    return type(module).__module__.startswith("torch.") and not isinstance(module, nn.Sequential)
