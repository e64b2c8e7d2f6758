"""Find the modules of a network that blocks go to, by place or by name, and refuse those that can take none."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from attention.backbones.inception import InceptionBlock
from attention.backbones.resnet import PLACES, Residual, ResNet
from attention.backbones.seats import has_block

__all__ = ["check_free", "hosts"]


def hosts(model: nn.Module, where: Any, stages: Any) -> tuple[str | None, dict[str, nn.Module]]:
    """Return the place in residual units, or ``None``, and the modules that get a block, by name.

    :param model: the network.
    :param where: a place, a name or pattern, or several of these.
    :param stages: the stages whose units are meant, for a place.
    :raises TypeError: for a ``where`` that is no text, and ``stages`` that are no sequence of whole numbers.
    :raises ValueError: for a ``where`` that is nowhere, and ``stages`` that do not exist.
    """
    where = _where(where)
    own = {id(part) for host in model.modules() if has_block(host) for part in host.attention.modules()}
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


def check_free(model: nn.Module, name: str, host: nn.Module, *, example: bool) -> None:
    """Refuse a module that has a block already, or that would not run one as its part.

    :param model: the network.
    :param name: the module's name in it.
    :param host: the module.
    :param example: whether an example will show how the module runs.
    :raises ValueError: for such a module.
    """
    kind, own = type(host).__name__, type(host).forward
    if has_block(host) or (hasattr(host, "attention") and not isinstance(host, InceptionBlock)):
        raise ValueError(f"{name!r} has a part named 'attention' already: a place takes one block")
    if isinstance(host, nn.Sequential):
        if own is not nn.Sequential.forward:
            raise ValueError(
                f"{name!r} is a Sequential with a forward of its own, which may run a block twice; name a part"
            )
        parent = model.get_submodule(name.rpartition(".")[0])
        known = type(parent).forward is nn.Sequential.forward or isinstance(parent, ResNet | Residual | InceptionBlock)
        if not example and not known:
            raise ValueError(
                f"{name!r} is a Sequential, and the {type(parent).__name__} around it may run its parts one by one: "
                f"give an example= input, which shows it, or name a part{_parts(name, host)}"
            )
    elif isinstance(host, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
        why = "holds modules and does not run itself"
        if own is not nn.Module.forward:
            why = "runs all that it holds, and would take a block for one of its parts"
        raise ValueError(f"{name!r}, of type {kind}, {why}; name a part{_parts(name, host)}, or the module after it")


def _where(where: Any) -> str | list[str]:
    """Return one name, or a list of names."""
    if isinstance(where, str):
        return where
    if not isinstance(where, Sequence) or not all(isinstance(each, str) for each in where):
        raise TypeError(
            f"where={where!r} is neither a name nor a list of names; give one of the places {', '.join(PLACES)}, or "
            "names of modules such as 'layer1.*'"
        )
    return where[0] if len(where) == 1 else list(where)


def _of_stages(model: nn.Module, units: dict[str, Residual], stages: Any) -> dict[str, Residual]:
    if stages is None:
        return units
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        raise TypeError(f"stages={stages!r} is not a sequence of whole numbers; for one stage write stages=({stages},)")
    own = getattr(model.stages, "attention", None) if isinstance(model, ResNet) else None
    known = [stage for stage in model.stages if stage is not own] if isinstance(model, ResNet) else []
    if not stages or any(stage not in range(1, len(known) + 1) for stage in stages):
        allowed = f"allowed: 1 to {len(known)}" if known else "only a ResNet of this package has stages"
        raise ValueError(f"stages={stages!r}: {allowed}")
    chosen = {id(module) for stage in stages for module in known[int(stage) - 1].modules()}
    return {name: unit for name, unit in units.items() if id(unit) in chosen}


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _parts(name: str, host: nn.Module) -> str:
    """Name an example of a module's parts."""
    last = next(reversed(host._modules), None)
    return "" if last is None else f", such as {f'{name}.{last}'!r}"


def _ways(modules: dict[str, nn.Module], most: int = 24) -> str:
    """List modules, those whose names differ in a number once: ``'layer1.*.bn3'``."""
    ways = dict.fromkeys(".".join("*" if part.isdigit() else part for part in name.split(".")) for name in modules)
    return ", ".join([*map(repr, list(ways)[:most]), *(["…"] if len(ways) > most else [])])
