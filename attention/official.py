"""The weights of the authors' code, in the blocks of this package.

``mechanisms.toml`` says, for each mechanism, which public code counts as official (or is the best known, where the
authors published none), which options make our block the same function, and what its parameters are called there.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase as fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from attention.registry import Entry, entries

__all__ = ["load_official", "translate"]


def load_official(block: nn.Module, state_dict: Mapping[str, Tensor], *, prefix: str = "") -> None:
    """Give a block the weights of its official code.

    >>> block = attention.create("se", 64, **attention.registry.entry("se").official["options"])
    >>> attention.load_official(block, their_block.state_dict())

    A matrix may be given as a 1 × 1 convolution, and the other way round: axes of size 1 do not count.

    :param block: a block of this package, made with the official options; changed in place.
    :param state_dict: parameters and buffers under the names of the official code, of one block or of a whole network.
    :param prefix: what stands before the block's names in a whole network: ``"layer1.0.se."``.
    :raises ValueError: for a block without official code, and for names or sizes that do not fit; nothing is changed.
    """
    found = _entry(block)
    theirs = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    ours = block.state_dict()
    loaded, used = translate(found.official["names"], theirs, {name: tuple(v.shape) for name, v in ours.items()})
    wrong = [f"{name} {tuple(v.shape)}" for name, v in loaded.items() if not _fits(v, ours[name])]
    lacking = sorted(name for name in ours if name not in loaded and not name.endswith("num_batches_tracked"))
    used |= {name for name in theirs for each in found.official.get("unused", []) if fnmatch(name, each)}
    left = sorted(name for name in theirs if name not in used and not name.endswith("num_batches_tracked"))
    if wrong or lacking or left:
        options = ", ".join(f"{name}={value!r}" for name, value in found.official["options"].items())
        told = {"do not fit": wrong, "are not given": lacking, "have no place here": left}
        raise ValueError(
            f"{found.title}: "
            + "; ".join(f"{_some(names)} {what}" for what, names in told.items() if names)
            + _prefixed(theirs, left)
            + f"; the official code is {found.official['source']}"
            + (f", and a block with {options} is the same" if options else "")
            + (f". {' '.join(found.official['about'].split())}" if "about" in found.official else "")
        )
    with torch.no_grad():
        for name, value in loaded.items():
            ours[name].copy_(value.reshape(ours[name].shape))


def translate(
    names: Mapping[str, str | list[str]], theirs: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Tensor], set[str]]:
    """Name the tensors of the official code as ours are.

    :param names: official name -> ours. ``{i}`` stands for a number, on both sides. ``"a.weight + b.weight"`` lays
        their tensors one behind the other along the first axis; a list of ours divides one of theirs in that way, where
        ``{i}`` stands for all numbers that there are. Of ``"a | b"`` ours is the first that the block has.
    :param theirs: tensors by official name.
    :param shapes: of our tensors, by name.
    :returns: tensors by our name, for all that was found, and the official names of those that were used.
    """
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    for pattern, ours in names.items():
        for number in _numbers(pattern, theirs):
            parts = [each.replace("{i}", number) for each in pattern.split(" + ")]
            if not all(part in theirs for part in parts):
                continue
            value = torch.cat([theirs[part] for part in parts]) if len(parts) > 1 else theirs[parts[0]]
            targets = _targets(ours, number, shapes)
            if all(name in shapes for name in targets):
                found |= _divided(value, targets, shapes)
                used |= set(parts)
    return found, used


def _targets(ours: str | list[str], number: str, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return the names of ours that a rule leads to."""
    if isinstance(ours, str):
        choice = [name.replace("{i}", number) for name in ours.split(" | ")]
        return [next((name for name in choice if name in shapes), choice[0])]
    found = []
    for name in ours:
        if "{i}" in name and not number:
            found += [name.replace("{i}", each) for each in sorted(_numbers(name, shapes), key=int)]
        else:
            found.append(name.replace("{i}", number))
    return found


def _fits(theirs: Tensor, ours: Tensor) -> bool:
    """Say whether one tensor is the other written otherwise: but for axes of size 1, or with all behind the first."""
    one, other = ([size for size in each.shape if size != 1] for each in (theirs, ours))
    return one == other or (theirs.numel() == ours.numel() and one[:1] == other[:1])


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _prefixed(theirs: Mapping[str, Tensor], left: list[str]) -> str:
    """Say that a prefix was forgotten, where no name has a place and all begin alike."""
    first = {name.partition(".")[0] for name in theirs}
    if len(first) == 1 and set(left) >= {name for name in theirs if not name.endswith("num_batches_tracked")} != set():
        return f"; is it prefix={first.pop() + '.'!r}?"
    return ""


def _divided(value: Tensor, targets: list[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    if len(targets) < 2:
        return dict.fromkeys(targets, value)
    rows = [shapes[name][0] for name in targets]
    if value.ndim and sum(rows) == len(value):
        return dict(zip(targets, value.split(rows), strict=True))
    return dict.fromkeys(targets, value)  # of a wrong size, which is then said


def _numbers(pattern: str, theirs: Mapping[str, Any]) -> list[str]:
    """Return the numbers that ``{i}`` stands for; one empty word where there is none in the pattern."""
    if "{i}" not in pattern:
        return [""]
    matching = re.escape(pattern.split(" + ")[0]).replace(r"\{i\}", r"(\d+)", 1).replace(r"\{i\}", r"\1")
    return [match[1] for name in theirs if (match := re.fullmatch(matching, name))]


def _entry(block: nn.Module) -> Entry:
    for found in entries().values():
        if found.built and type(block).__module__ == found.module and type(block).__name__ == found.class_name:
            if not found.official:
                break
            return found
    known = ", ".join(each.name for each in entries().values() if each.built and each.official)
    raise ValueError(f"{type(block).__name__} is none of the blocks whose official code is known: {known}")
