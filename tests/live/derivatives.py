"""A followed run, computed and differentiated by torch: what the page's numbers are compared with."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from attention.lab.live import Program

__all__ = ["after", "again", "backward", "evaluate", "forward", "kind", "short"]


def short(values: Tensor) -> Tensor:
    """Round to the seven digits that a page holds, in double precision."""
    numbers = [float(f"{each:.7g}") for each in values.detach().double().flatten().tolist()]
    return torch.tensor(numbers, dtype=torch.float64).reshape(values.shape)


def evaluate(program: Program, inputs: Sequence[Tensor]) -> list[Any]:
    """Compute every value from what the page is given: the list of operations, and constants of seven digits."""
    values: list[Any] = []
    for place, entry in enumerate(program.values):
        if entry.input is not None:
            values.append(inputs[entry.input])
        elif entry.constant is not None:
            values.append(short(entry.constant))
        else:
            values.append(_made(program, place, values))
    return values


def kind(program: Program) -> torch.dtype:
    """Return the type of numbers that a run computes with."""
    found = (each.constant.dtype for each in program.values if each.constant is not None)
    return next((each for each in found if each.is_floating_point), torch.float64)


def again(program: Program, values: Sequence[Any], place: int, at: int, by: float) -> list[Any]:
    """Compute what follows from a value again, with one number of it moved."""
    known = list(values)
    known[place] = values[place].clone(memory_format=torch.contiguous_format)
    known[place].view(-1)[at] += by
    for each in after(program, place):
        known[each] = _made(program, each, known)
    return known


def after(program: Program, place: int) -> list[int]:
    """List what follows from a value."""
    reached = {place}
    for each in range(place + 1, len(program.values)):
        if reached & set(program.values[each].sources):
            reached.add(each)
    return sorted(reached - {place})


def forward(program: Program, values: Sequence[Any], place: int, at: int) -> dict[int, Tensor]:
    """Return how fast every later number changes with one number of a value."""
    tangent = torch.zeros_like(values[place]).contiguous()
    tangent.view(-1)[at] = 1
    found = {}
    with forward_ad.dual_level():
        known = list(values)
        known[place] = forward_ad.make_dual(values[place].contiguous(), tangent)
        for each in after(program, place):
            known[each] = _made(program, each, known)
            if isinstance(known[each], Tensor):
                slope = forward_ad.unpack_dual(known[each]).tangent if known[each].is_floating_point() else None
                found[each] = torch.zeros(known[each].shape, dtype=torch.float64) if slope is None else slope.clone()
    return found


def backward(program: Program, inputs: Sequence[Tensor], place: int, at: int) -> list[Tensor]:
    """Return how fast one number of a value changes with every number of each input."""
    given = [each.clone().requires_grad_() for each in inputs]
    number = evaluate(program, given)[place].flatten()[at]
    if not number.requires_grad:  # it depends on no input, or only by steps
        return [torch.zeros_like(each) for each in inputs]
    slopes = torch.autograd.grad(number, given, allow_unused=True)
    return [torch.zeros_like(x) if each is None else each for x, each in zip(inputs, slopes, strict=True)]


def _made(program: Program, place: int, values: Sequence[Any]) -> Any:
    entry = program.values[place]
    arguments = [_filled(each, values) for each in entry.arguments]
    if entry.operation == "getitem":
        return operator.getitem(*arguments)
    if entry.operation == "_native_batch_norm_legit_no_training.default":  # it has no derivative; this has
        x, weight, bias, mean, variance, momentum, eps = arguments
        return F.batch_norm(x, mean, variance, weight, bias, False, momentum, eps)
    packet, _, overload = entry.operation.partition(".")
    # A type of numbers, or an order in memory, changes no number.
    options = {key: _filled(each, values) for key, each in entry.options.items() if not _about_memory(each)}
    if packet == "where":
        arguments[0] = arguments[0].bool()
    found = getattr(getattr(torch.ops.aten, packet), overload)(*arguments, **options)
    found = found[0] if isinstance(found, tuple) else found
    # In a page all numbers are of one type: true is 1.
    return found.double() if isinstance(found, Tensor) and not found.is_floating_point() else found


def _about_memory(given: Any) -> bool:
    return isinstance(given, str) and given.startswith("torch.")


def _filled(given: Any, values: Sequence[Any]) -> Any:
    if isinstance(given, list):
        return [_filled(each, values) for each in given]
    if not isinstance(given, dict):
        return given
    if "number" in given:
        return float(given["number"])
    # Copies that put numbers in another order in memory are not in the list.
    found = values[given["value"]]
    return found.contiguous() if isinstance(found, Tensor) else found
