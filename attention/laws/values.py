"""What a block computes: its output's shape, its batch-mates, its maps, its function."""

import copy
import unittest
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attention.contract import KINDS, Attention, Gate, Map
from attention.laws.comparing import EXACT, same
from attention.laws.law import law
from attention.laws.material import resized

__all__ = ["as_declared", "batch_mates", "batch_of_none", "batch_of_one", "equals", "maps", "shape"]


@law("the output is one finite tensor of the documented shape", cheap=True)
def shape(block: nn.Module, *inputs: Tensor, expected: Sequence[int] | None = None) -> None:
    """Check the output's shape, in eval mode.

    :param block: the block.
    :param inputs: its inputs.
    :param expected: the output's shape; by default that of the first input.
    """
    output = block(*inputs)
    wanted = tuple(inputs[0].shape if expected is None else expected)
    assert isinstance(output, Tensor), f"the output is a {type(output).__name__}, not a tensor"
    assert tuple(output.shape) == wanted, f"output {tuple(output.shape)}, documented {wanted}"
    assert output.isfinite().all(), "the output is not finite"


@law("a batch of no samples comes back as one")
def batch_of_none(block: nn.Module, *inputs: Tensor) -> None:
    """Run the block on a batch of 0, as the last shard of a loader may be.

    :param block: the block.
    :param inputs: its inputs.
    """
    output = block(*(x[:0] for x in inputs))
    wanted = tuple(block(*inputs).shape[1:])
    assert tuple(output.shape) == (0, *wanted), f"output {tuple(output.shape)}, expected {(0, *wanted)}"


@law("a batch of one trains, or is refused by a ValueError")
def batch_of_one(block: nn.Module, *inputs: Tensor) -> None:
    """Train on one sample, and on one sample of one pixel.

    A batch normalisation behind a global mean has one number a channel then. PyTorch's own error names neither the
    block nor what to do; a ``ValueError`` passes here, for it is the type of both.

    :param block: the block.
    :param inputs: its inputs.
    """
    for each in (resized(inputs, 1), resized(inputs, 1, 1, 1)):
        try:
            output = copy.deepcopy(block).train()(*each)
        except ValueError:
            continue
        assert output.isfinite().all(), f"in training, the output of {tuple(each[0].shape)} is not finite"


@law("a sample's output does not depend on its batch-mates", cheap=True)
def batch_mates(block: nn.Module, *inputs: Tensor) -> None:
    """Compare a sample in its batch with the sample alone, and among other batch-mates.

    A reshape that mixes batch and channels, or a mean over the batch, shows here.

    :param block: the block.
    :param inputs: its inputs, of two samples or more.
    """
    count = len(inputs[0])
    if count < 2:
        inputs = tuple(x.repeat(2, *[1] * (x.ndim - 1)) for x in inputs)
    # Mates on another scale: a sample must not notice them.
    strangers = tuple(3 * x + 5 if x.is_floating_point() else x.roll(1, 0) for x in inputs)
    together = block(*inputs)
    for i in range(len(inputs[0])):
        alone = block(*(x[i : i + 1] for x in inputs))
        same(f"sample {i} alone, against the same in its batch,", alone, together[i : i + 1])
    mixed = block(*(torch.cat([x[:1], y[1:]]) for x, y in zip(inputs, strangers, strict=True)))
    same("sample 0 among other batch-mates", mixed[:1], together[:1])


def equals(
    block: nn.Module,
    *inputs: Tensor,
    reference: Callable[..., Any],
    tolerance: float = EXACT,
) -> None:
    """Hold a block to another form of the same function: loops over the equations, an older version, another package.

    It is no part of :func:`attention.laws.check`, for it needs the other form.

    :param block: the block, used as it is.
    :param inputs: its inputs.
    :param reference: takes the inputs; returns the output, or what ``torch.as_tensor`` makes one of.
    :param tolerance: the largest error allowed, relative to the largest value.
    :raises AssertionError: where they differ.
    """
    with torch.no_grad():
        expected = torch.as_tensor(reference(*inputs), dtype=torch.float64)
        same("the output", block(*inputs), expected, tolerance)


@law("maps have their declared dims, range and sums, and made the output", cheap=True)
def maps(
    block: nn.Module,
    *inputs: Tensor,
    sizes: Mapping[str, int] | None = None,
    apply: Callable[..., Tensor] | None = None,
) -> None:
    """Hold the maps of a block of this package's contract to their declaration, and ``forward`` to ``attend``.

    For a module of another kind, see :func:`as_declared`.

    :param block: the block.
    :param inputs: its inputs.
    :param sizes: the sizes known before, by letter; by default those of the first input, which has four axes then.
    :param apply: ``apply(block, maps, *inputs) -> output``, where a formula says how the maps make the output. A
        ``Gate`` multiplies, and needs none.
    """
    if not isinstance(block, Attention):
        raise unittest.SkipTest("it declares no maps: it is no attention.contract.Attention")
    output, found = block.attend(*inputs)
    assert set(found) == set(block.maps), f"attend returned maps {sorted(found)}, declared {sorted(block.maps)}"
    known = dict(zip("bchw", inputs[0].shape, strict=True)) if sizes is None else dict(sizes)
    for name, value in found.items():
        as_declared(value, block.maps[name], name, **known)
        known = block.maps[name].sizes(tuple(value.shape), known)
    same("the output of forward, against attend's,", block(*inputs), output)
    if apply is not None:
        same("the output, against the maps applied to the inputs,", output, apply(block, found, *inputs))
    elif isinstance(block, Gate):
        (gate,) = found.values()
        same("the output, against x · map,", output, inputs[0] * gate)


def as_declared(value: Tensor, declared: Map, name: str = "map", **sizes: int) -> None:
    """Hold one attention map to what is said of it: its axes, the interval of its values, and what sums to 1.

    >>> _, weights = torch.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> as_declared(weights, Map("b n n", "softmax", sums=(2,)))

    :param value: the map, in float64 or float32.
    :param declared: its declaration.
    :param name: what the message calls it.
    :param sizes: the sizes that are known, by letter: ``h=7, w=9``.
    :raises AssertionError: for values outside the interval, or other sums.
    :raises ValueError: for other axes.
    """
    declared.sizes(tuple(value.shape), sizes)
    low, high = KINDS[declared.kind]
    assert value.isfinite().all(), f"the map {name!r} is not finite"
    # A sigmoid may round to exactly 0 or 1; a softmax may exceed 1 by rounding.
    slack = 1e-12 if value.dtype == torch.float64 else 1e-5
    smallest, largest = value.min().item(), value.max().item()
    inside = low <= smallest and largest <= high + slack
    reach = f"the map {name!r} reaches from {smallest:.3g} to {largest:.3g}"
    assert inside, f"{reach}, but a {declared.kind} lies in [{low:g}, {high:g}]"
    if declared.kind == "mask":
        assert ((value == 0) | (value == 1)).all(), f"the mask {name!r} has values other than 0 and 1"
    if declared.sums:
        total = value.sum(declared.sums)
        exact = EXACT if value.dtype == torch.float64 else 1e-4
        same(f"the map {name!r}, summed over its axes {declared.sums},", total, torch.ones_like(total), exact)
