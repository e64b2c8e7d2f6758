"""Put attention blocks into a network that exists already, and take them out again; nothing is renamed."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attention.backbones.inception import InceptionBlock
from attention.backbones.resnet import PLACES, Factory, Residual, ResNet, as_factory
from attention.registry import create, entry

__all__ = ["Insertion", "Site", "insert", "remove"]

#: Where a module keeps the handle of the hook through which its block acts; its presence marks what `insert` did.
_HANDLE = "_attention_handle"
#: Modules that leave the number of channels as it is.
_KEEPING = (nn.Identity, nn.ReLU, nn.GELU, nn.SiLU, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Site:
    """One block that was put in.

    :param name: the block's name in the network: keys of its parameters begin with it.
    :param channels: the number of channels that it meets.
    :param parameters: its parameters.
    :param size: height and width that it meets; ``None`` where no example was run.
    :param macs: its multiply–adds for one image; ``None`` where no example was run.
    """

    name: str
    channels: int
    parameters: int
    size: tuple[int, int] | None = None
    macs: int | None = None


@dataclass(frozen=True)
class Insertion:
    """What :func:`insert` did, and what it costs; printed, it is a table.

    :param block: the name of the block's class.
    :param where: where the blocks are, in words.
    :param sites: the blocks, in the order of the network's modules.
    :param parameters: parameters of the network without them.
    :param macs: multiply–adds of the network without them, for one image of the example; ``None`` without one.
        Those of convolutions, linear layers and matrix products are counted, and nothing else.
    """

    block: str
    where: str
    sites: tuple[Site, ...]
    parameters: int
    macs: int | None = None

    def __str__(self) -> str:
        columns = ("channels", "size", "parameters", "multiply–adds")
        rows = [(s.name, f"{s.channels:,}", _size(s.size), s.parameters, s.macs) for s in self.sites]
        rows.append(("together", "", "", *self.added))
        rows.append(("network without them", "", "", self.parameters, self.macs))
        shares = [
            None if a is None or not b else f"{a / b:.2%}"
            for a, b in zip(self.added, (self.parameters, self.macs), strict=True)
        ]
        rows.append(("share of that", "", "", *shares))
        if self.macs is None:  # no example: neither sizes nor multiply–adds are known
            columns, rows = (columns[0], columns[2]), [(row[0], row[1], row[3]) for row in rows]
        lines = [("", *columns), *([_cell(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(
                text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        count = f"{len(self.sites)} block{'s' if len(self.sites) != 1 else ''}"
        return "\n".join([f"{self.block}, {count}, {self.where}", *(line.rstrip() for line in table)])

    @property
    def added(self) -> tuple[int, int | None]:
        """Parameters and multiply–adds of all blocks together."""
        macs = [site.macs for site in self.sites if site.macs is not None]
        return sum(site.parameters for site in self.sites), sum(macs) if len(macs) == len(self.sites) else None


def insert(
    model: nn.Module,
    attention: str | Factory,
    where: str | Sequence[str] = "standard",
    *,
    stages: Sequence[int] | None = None,
    example: Tensor | tuple | None = None,
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

    :param model: the network; it is changed. Insert before ``torch.compile``, and before tools that replace modules.
    :param attention: a mechanism's name, or what makes a block for a number of channels.
    :param where: one of :data:`attention.backbones.resnet.PLACES`, in every residual unit of this package's networks;
        or the names of modules after which a block goes, as ``model.named_modules()`` has them. In a name ``*`` stands
        for anything between two dots: ``"layer3.*"`` are the parts of ``layer3``, ``"layer*.*.bn3"`` the last
        normalisations of all bottlenecks in torchvision's networks.
    :param stages: which stages of a :class:`attention.backbones.resnet.ResNet` have the block, counted from 1, where
        ``where`` is a place in residual units; by default all.
    :param example: an input of the network, or a tuple of them; the first image is run through a copy of the network,
        in eval mode and without gradients, to see which shapes the blocks meet and to count multiply–adds. It may be
        left out where the modules say how many channels they put out; sizes and multiply–adds are then not reported.
    :param options: the block's own options, for a mechanism given by name.
    :returns: where the blocks are and what they cost, a table when printed.
    :raises TypeError: for an ``attention`` that is neither name nor factory, and options beside a factory.
    :raises ValueError: for a mechanism that is no gate or block; a ``where`` that is nowhere; a place that has a block
        already, runs more or less than once for an image, or puts out no feature map; a block that changes the shape;
        a number of channels that cannot be known without an example; a compiled network. The model is then unchanged.
    """
    make = _maker(attention, options)
    if any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) for m in model.modules()):
        raise ValueError("model is compiled, and would not notice the blocks: insert first, then compile")
    place, hosts = _hosts(model, where, stages)
    for name, host in hosts.items():
        _check_free(name, host)
    if example is None:
        meets = {name: _meets(model, name, host, place) for name, host in hosts.items()}
        macs = None
    else:
        meets, macs = _try(model, hosts, place, example)
    blocks, sites = {}, []
    for name, (shape, like) in meets.items():
        block = make(shape[1])
        if not isinstance(block, nn.Module):
            raise TypeError(f"attention={attention!r} makes a {type(block).__name__}, not a module")
        block.to(like).train(hosts[name].training)
        sites.append(_site(name, block, shape, count=example is not None, known=isinstance(attention, str)))
        blocks[name] = block
    parameters = _numbers(model)
    for name, block in blocks.items():
        _put(hosts[name], place, block)
    about = PLACES[place] if place else "after " + " and ".join([where] if isinstance(where, str) else where)
    return Insertion(type(block).__name__, about, tuple(sites), parameters, macs)


def remove(model: nn.Module) -> list[str]:
    """Take out all blocks, those that :func:`insert` put in and those that a network of this package was built with.

    :param model: the network; it is changed, into the plain network.
    :returns: the names that the blocks had.
    """
    removed = []
    for name, host in list(model.named_modules()):
        if not _has_block(host):
            continue
        del host.attention
        if isinstance(host, Residual):
            host.place = None
        elif isinstance(host, InceptionBlock):
            host.attention = None
        elif (handle := vars(host).pop(_HANDLE)) is not None:
            handle.remove()
        removed.append(f"{name}.attention".lstrip("."))
    return removed


# Finding the places


def _maker(attention: str | Factory, options: dict[str, Any]) -> Factory:
    if isinstance(attention, str):
        found = entry(attention)
        if found.kind not in ("gate", "block"):
            instead = "; see resnet50(convolution=…)" if found.kind == "branch" else ""
            raise ValueError(
                f"attention={attention!r} is a {found.kind}: it does not turn one feature map into another of the "
                f"same shape, as a gate or a block does{instead}"
            )
        return partial(create, found.name, **options)
    if options:
        raise TypeError(f"options {', '.join(options)} belong into the factory: functools.partial(attention, …)")
    return as_factory(attention)


def _hosts(
    model: nn.Module, where: str | Sequence[str], stages: Sequence[int] | None
) -> tuple[str | None, dict[str, nn.Module]]:
    """Return the place in residual units, or ``None``, and the modules that get a block, by name."""
    where = where[0] if not isinstance(where, str) and len(where) == 1 else where
    own = {id(part) for host in model.modules() if _has_block(host) for part in host.attention.modules()}
    modules = {n: m for n, m in model.named_modules(remove_duplicate=False) if n and id(m) not in own}
    units = {name: module for name, module in model.named_modules() if isinstance(module, Residual)}
    if isinstance(where, str) and where in PLACES and where not in modules:
        if not units:
            raise ValueError(
                f"where={where!r} is a place in this package's residual units, and the model has none; name the "
                f"modules after which a block goes, by names such as {_ways(modules)}"
            )
        units = _of_stages(model, units, stages)
        for name, unit in units.items():
            if where not in unit.meets:
                raise ValueError(f"where={where!r}: {name!r} is a {type(unit).__name__} and has no such place")
        return where, units
    if stages is not None:
        raise ValueError(f"stages={stages!r} goes with one of the places {', '.join(PLACES)}, not with where={where!r}")
    found: dict[str, nn.Module] = {}
    for pattern in [where] if isinstance(where, str) else where:
        matched = {name: module for name, module in modules.items() if _matches(name, pattern)}
        if not matched:
            near = get_close_matches(pattern, [*modules, *(PLACES if units else ())], n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {_ways(modules)}"
            raise ValueError(f"where={pattern!r} matches no module of the model; {hint}")
        found |= matched
    if not found:
        raise ValueError(f"where={where!r} names no module")
    once = {id(module): name for name, module in reversed(found.items())}  # one module may have two names
    return None, {name: module for name, module in modules.items() if once.get(id(module)) == name}


def _of_stages(model: nn.Module, units: dict[str, Residual], stages: Sequence[int] | None) -> dict[str, Residual]:
    if stages is None:
        return units
    own = getattr(model.stages, "attention", None) if isinstance(model, ResNet) else None
    known = [stage for stage in model.stages if stage is not own] if isinstance(model, ResNet) else []
    if not stages or any(stage not in range(1, len(known) + 1) for stage in stages):
        allowed = f"allowed: 1 to {len(known)}" if known else "only a ResNet of this package has stages"
        raise ValueError(f"stages={stages!r}: {allowed}")
    chosen = {id(module) for stage in stages for module in known[stage - 1].modules()}
    return {name: unit for name, unit in units.items() if id(unit) in chosen}


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _ways(modules: dict[str, nn.Module], most: int = 24) -> str:
    """List modules, those whose names differ in a number once: ``'layer1.*.bn3'``."""
    ways = dict.fromkeys(".".join("*" if part.isdigit() else part for part in name.split(".")) for name in modules)
    return ", ".join([*map(repr, list(ways)[:most]), *(["…"] if len(ways) > most else [])])


def _has_block(host: nn.Module) -> bool:
    """Say whether a module holds a block of :func:`insert`, or one that it was built with."""
    if isinstance(host, Residual):
        return host.place is not None
    return _HANDLE in vars(host) or (isinstance(host, InceptionBlock) and host.attention is not None)


def _check_free(name: str, host: nn.Module) -> None:
    if _has_block(host) or (hasattr(host, "attention") and not isinstance(host, InceptionBlock)):
        raise ValueError(f"{name!r} has a part named 'attention' already: a place takes one block")
    if isinstance(host, nn.Sequential) and type(host).forward is not nn.Sequential.forward:
        raise ValueError(
            f"{name!r} is a Sequential with a forward of its own, which may run a block twice; name a part"
        )


# What the blocks meet

#: A shape (batch, channels, height, width), and a tensor of the right device and dtype.
_Met = tuple[tuple[int, ...], Tensor]


def _meets(model: nn.Module, name: str, host: nn.Module, place: str | None) -> _Met:
    channels = host.meets[place] if place else _channels(host)
    if channels is None:
        kind = type(host).__name__
        raise ValueError(
            f"{name!r}, of type {kind}, does not say how many channels it puts out: give an example= input"
        )
    tensors = (t for part in (host, model) for t in part.parameters() if t.is_floating_point())
    return (1, channels), next(tensors, torch.empty(0)).detach()


def _channels(module: nn.Module) -> int | None:
    """Say how many channels a module puts out, if it is one that says so."""
    if isinstance(module, nn.Sequential):
        keeping = [part for part in module if isinstance(part, _KEEPING) or part is getattr(module, "attention", None)]
        return next((_channels(part) for part in reversed(module) if part not in keeping), None)
    for kinds, name in (
        ((nn.Conv2d, nn.ConvTranspose2d, Residual, InceptionBlock), "out_channels"),
        ((nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d), "num_features"),
        (nn.GroupNorm, "num_channels"),
    ):
        if isinstance(module, kinds):
            return getattr(module, name)
    return None


class _Probe(nn.Module):
    """Stands where a block will stand, and notes what it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.met.append(x)
        return x


def _try(
    model: nn.Module, hosts: dict[str, nn.Module], place: str | None, example: Tensor | tuple
) -> tuple[dict[str, _Met], int]:
    """Run a copy of the network with probes in it: what each meets, and the network's multiply–adds."""
    inputs = example if isinstance(example, tuple) else (example,)
    inputs = tuple(x[:1].detach() if isinstance(x, Tensor) and x.ndim else x for x in inputs)
    trial = copy.deepcopy(model).eval()
    probes = {name: _Probe() for name in hosts}
    for name, probe in probes.items():
        _put(trial.get_submodule(name), place, probe)
    macs = _count(trial, *inputs)
    met: dict[str, _Met] = {}
    for name, probe in probes.items():
        if len(probe.met) != 1:
            raise ValueError(
                f"{name!r} runs {len(probe.met)} times for one image, and a block after it would act as often; name a "
                "module that runs once"
            )
        (x,) = probe.met
        if not isinstance(x, Tensor) or x.ndim != 4:
            what = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"type {type(x).__name__}"
            raise ValueError(f"{name!r} puts out something of {what}, not (batch, channels, height, width)")
        met[name] = tuple(x.shape), x.new_empty(0)
    return met, macs


def _count(module: nn.Module, *inputs: Any) -> int:
    """Run a module and count its multiply–adds; random numbers are left as they were."""
    devices = {t.device.index or 0 for t in inputs if isinstance(t, Tensor) and t.is_cuda}
    counter = FlopCounterMode(display=False)
    # The counter sees the products inside scaled_dot_product_attention only where that is computed step by step.
    with torch.random.fork_rng(devices), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(*inputs)
    return counter.get_total_flops() // 2


def _site(name: str, block: nn.Module, shape: tuple[int, ...], *, count: bool, known: bool) -> Site:
    """Count a block's cost, on a copy; one that is not ours is run with numbers, and must keep the shape."""
    label, parameters = f"{name}.attention", _numbers(block)
    if not count:
        return Site(label, shape[1], parameters)
    probe = _Probe()
    trial = nn.Sequential(copy.deepcopy(block), probe).eval()
    like = next((t for t in (*block.parameters(), *block.buffers()) if t.is_floating_point()), torch.empty(0))
    device = torch.device("meta") if known else like.device
    macs = _count(trial.to(device), torch.zeros(shape, device=device, dtype=like.dtype))
    got = tuple(getattr(probe.met[0], "shape", ()))
    if got != shape:
        raise ValueError(
            f"a {type(block).__name__} turns shape {shape} into {got or type(probe.met[0]).__name__}; it must keep the "
            f"shape to stand at {name!r}"
        )
    return Site(label, shape[1], parameters, (shape[2], shape[3]), macs)


# Putting a block in


def _put(host: nn.Module, place: str | None, block: nn.Module) -> None:
    """Make a block a child of a module, and let it act on the module's output, or at a place in a residual unit."""
    if isinstance(host, Residual):
        host.attach(lambda _: block, place or "post")
    elif isinstance(host, InceptionBlock):
        host.attention = block
    else:
        host.add_module("attention", block)
        runs_all = isinstance(host, nn.Sequential)  # and so also the new part, which is its last
        # The handle is kept so that a copy that is unpickled elsewhere reserves the hook's number there.
        setattr(host, _HANDLE, None if runs_all else host.register_forward_hook(_act))


def _act(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    """Apply a module's attention block to its output: a forward hook, which names no instance and so can be copied."""
    return module.attention(output)


# Words and numbers


def _numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _size(size: tuple[int, int] | None) -> str:
    return "" if size is None else " × ".join(map(str, size))


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:,}"
