"""Put attention blocks into a network that exists already, and take them out again; nothing is renamed."""

import re
from collections.abc import Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from attention.backbones import seats, trials
from attention.backbones.places import check_free, hosts
from attention.backbones.report import Insertion, Site, about
from attention.backbones.resnet import Factory, as_factory
from attention.registry import create, entry

__all__ = ["Insertion", "Site", "insert", "remove"]

#: How a block says that an option does not divide something, and which values do.
_INDIVISIBLE = re.compile(r"is not divisible by (\w+)=(\d+); allowed for \1: ([\d, ]+)")


def insert(
    model: nn.Module,
    attention: str | Factory,
    where: str | Sequence[str] = "standard",
    *,
    stages: Sequence[int] | None = None,
    example: Tensor | dict | tuple | None = None,
    round_to_divisor: bool = False,
    **options: Any,
) -> Insertion:
    """Put attention blocks into a network that exists already.

    Each block becomes a child named ``attention`` of the module whose output it acts on. Nothing else changes: no
    module is replaced, no parameter renamed. So a state dict of the plain network lacks exactly the blocks' keys, and
    trained weights stay where they are.

    The block is called by a forward hook of that module. In an ``nn.Sequential`` it is the last part and runs as such;
    in this package's residual units it is where they have a place for it. A module whose ``forward`` somebody calls
    directly, past its hooks, runs without the block.

    The blocks must keep the shape of what they meet. Those that replace a convolution are options of the networks
    themselves: ``resnet50(convolution="sk")``.

    >>> insert(network, "cbam")  # one of this package's: at the end of every residual branch
    >>> insert(network, "non_local", "stages.2", example=images)  # after the third stage
    >>> insert(other, "se", "layer*.*.bn3", example=images, reduction=8)  # of somebody else: before the addition

    **Other tools.** First run what replaces or merges modules for good: fusing convolutions with normalisations,
    freezing normalisations. Then insert. Then compile, export or quantise. ``SyncBatchNorm.convert_sync_batchnorm``
    may come before or after; after it, run the network once before ``torch.fx`` and before ``torch.compile`` with
    ``fullgraph=True``. The module that a block acts on becomes an instance of a subclass of the same name, so tools
    that look for exactly a ``BatchNorm2d``, such as ``torch.fx``'s fusion and quantisation, leave it as it is, with
    its block. Where another tool takes a block out, the next run of the network raises a ``RuntimeError`` that names
    the place. A network that was compiled before and is called through ``torch.compile``'s wrapper compiles again.

    :param model: the network; it is changed.
    :param attention: a mechanism's name, or what makes a block for a number of channels.
    :param where: one of :data:`attention.backbones.resnet.PLACES`, in every residual unit of this package's networks;
        or the names of modules after which a block goes, as ``model.named_modules()`` has them. In a name ``*`` stands
        for anything between two dots: ``"layer3.*"`` are the parts of ``layer3``, ``"layer*.*.bn3"`` the last
        normalisations of all bottlenecks in torchvision's networks.
    :param stages: which stages of a :class:`attention.backbones.resnet.ResNet` have the block, counted from 1, where
        ``where`` is a place in residual units; by default all.
    :param example: an input of the network (a tensor or a dictionary), or a tuple of them; the first image is run
        through a copy of the network, in eval mode and without gradients, to see which shapes the blocks meet and to
        count multiply–adds. Where a shape alone does not say which axis is the channels, the copy runs once more on
        twice the height. It may be left out where the modules say how many channels they put out; sizes and
        multiply–adds are then not reported.
    :param round_to_divisor: where an option of the block must divide a number of channels and does not
        (``reduction=16`` at 24 channels), take the nearest value that does, of two equally near ones the smaller. The
        table says where, from what, and to what. By default this is an error. For a mechanism given by name.
    :param options: the block's own options, for a mechanism given by name.
    :returns: where the blocks are and what they cost, a table when printed.
    :raises TypeError: for a ``model`` that is no module, an ``attention`` that is neither name nor factory, a
        ``where``, ``stages`` or ``example`` of another type, and options beside a factory.
    :raises ValueError: for a mechanism that is no gate or block; a ``where`` that is nowhere; a place that has a block
        already, runs more or less than once for an image, runs its parts one by one, or puts out no feature map of
        (batch, channels, height, width); a block that does not fit the place or changes the shape; a number of
        channels that cannot be known without an example; an example on which the network does not run; a compiled or
        scripted network. The model is then unchanged.
    """
    _check_model(model)
    known = isinstance(attention, str)
    make = _maker(attention, options, round_to_divisor)
    place, found = hosts(model, where, stages)
    for name, host in found.items():
        check_free(model, name, host, example=example is not None)
    if example is None:
        meets, macs = {name: trials.said(model, name, host, place) for name, host in found.items()}, None
    else:
        meets, macs = trials.seen(model, found, place, trials.first_images(example))
    blocks, sites = {}, []
    for name, (shape, like) in meets.items():
        block, rounded = _make(make, shape[1], name, round_to_divisor, known)
        if not isinstance(block, nn.Module):
            raise TypeError(f"attention={attention!r} makes a {type(block).__name__}, not a module")
        block.to(like).train(found[name].training)
        sites.append(trials.measured(name, block, shape, count=example is not None, known=known, rounded=rounded))
        blocks[name] = block
    parameters = trials.count_numbers(model)
    for name, block in blocks.items():
        seats.put(found[name], place, block)
        seats.watch(model, name)
    return Insertion(type(block).__name__, about(place, where), tuple(sites), parameters, macs)


def remove(model: nn.Module, *, lost: bool = False) -> list[str]:
    """Take out all blocks, those that :func:`insert` put in and those that a network of this package was built with.

    Blocks that something else took out or cut off already (a tool that replaced their module) are forgotten: the
    network runs again, without them.

    :param model: the network; it is changed, into the plain network.
    :param lost: leave all blocks that work where they are, and forget only those that are lost.
    :returns: the names that the blocks had, with ``lost`` those that were forgotten.
    :raises TypeError: for a ``model`` that is no module.
    """
    _check_module(model)
    forgotten = seats.forget_lost(model, all_of_it=not lost)
    if lost:
        return forgotten
    removed = []
    for name, host in list(model.named_modules()):
        if seats.has_block(host):
            seats.take(host)
            removed.append(f"{name}.attention".lstrip("."))
    return removed


def _check_module(model: Any) -> None:
    if not isinstance(model, nn.Module):
        what = f"the name {model!r}" if isinstance(model, str) else type(model).__name__
        raise TypeError(f"model: expected the network itself, a torch.nn.Module, received {what}")


def _check_model(model: Any) -> None:
    _check_module(model)
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError("model is scripted, and would not notice the blocks: insert first, then script")
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None):
            raise ValueError("model is compiled, and would not notice the blocks: insert first, then compile")


def _maker(attention: Any, options: dict[str, Any], rounding: bool) -> Factory:
    if isinstance(attention, str):
        try:
            found = entry(attention)
        except ValueError as error:
            hint = "; a network goes first, as an object: insert(network, 'se')"
            raise ValueError(f"attention={attention!r}: {error}{hint}") from None
        if found.kind not in ("gate", "block"):
            instead = "; see resnet50(convolution=…)" if found.kind == "branch" else ""
            raise ValueError(
                f"attention={attention!r} is a {found.kind}: it does not turn one feature map into another of the "
                f"same shape, as a gate or a block does{instead}"
            )
        return partial(create, found.name, **options)
    if options:
        raise TypeError(f"options {', '.join(options)} belong into the factory: functools.partial(attention, …)")
    if rounding:
        raise TypeError("round_to_divisor goes with a mechanism's name: a factory knows its options itself")
    if isinstance(attention, nn.Module):
        kind = type(attention).__name__
        raise TypeError(
            f"attention is one block, a {kind}, and every place needs a block of its own: give its class, a function "
            f"such as lambda channels: {kind}(channels), or a mechanism's name"
        )
    return as_factory(attention)


def _is_number(make: Factory, option: str) -> bool:
    """Say whether what does not divide is an option that a whole number can be given for."""
    if not isinstance(make, partial) or make.func is not create:
        return False
    parameter = signature(entry(make.args[0]).load()).parameters.get(option)
    return parameter is not None and isinstance(make.keywords.get(option, parameter.default), int)


def _make(
    make: Factory, channels: int, name: str, rounding: bool, known: bool
) -> tuple[Any, tuple[tuple[str, int, int], ...]]:
    """Make the block of one place; return it with the options that were rounded."""
    rounded: dict[str, tuple[int, int]] = {}
    while True:
        try:
            block = make(channels, **{option: taken for option, (_, taken) in rounded.items()})
        except ValueError as error:
            found = _INDIVISIBLE.search(str(error))
            found = found if found and _is_number(make, found[1]) else None
            if not (rounding and found) or found[1] in rounded:
                hint = (
                    "; with round_to_divisor=True insert takes the nearest" if known and found and not rounding else ""
                )
                raise ValueError(f"at {name!r}, of {channels} channels: {error}{hint}") from error
            asked = int(found[2])
            nearest = min(map(int, found[3].split(",")), key=lambda value: (abs(value - asked), value))
            rounded[found[1]] = asked, nearest
        except Exception as error:
            error.add_note(f"This is the block at {name!r}, of {channels} channels.")
            raise
        else:
            return block, tuple((option, *values) for option, values in rounded.items())
