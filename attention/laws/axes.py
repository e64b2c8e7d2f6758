"""Over which axis a softmax is taken: what training does not reveal.

A network with the softmax over the wrong axis of its scores has the right shapes, and learns. What is wrong is that
the weights with which *one* output is made do not sum to 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from attention.laws.law import law
from attention.laws.material import resized

__all__ = ["normalised_axis"]

_SOFTMAX = (torch.ops.aten._softmax.default, torch.ops.aten._safe_softmax.default)


class _Softmax(TorchDispatchMode):
    """Note each softmax while a block runs, and add 1 to one weight of one of them.

    :param which: the place of the softmax among those that run; none by default.
    :param at: the index of the weight.
    """

    def __init__(self, which: int = -1, at: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.which, self.at = which, at
        self.seen: list[tuple[Tensor, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in _SOFTMAX:
            if len(self.seen) == self.which:
                output = output.clone()
                output[self.at] += 1
            self.seen.append((output, args[1] % max(output.ndim, 1)))
        return output


@contextmanager
def _visible() -> Iterator[None]:
    """Keep every softmax apart: fused kernels have it inside."""
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():  # without gradients, nn.MultiheadAttention is one kernel
        yield


def _run(block: nn.Module, inputs: tuple[Tensor, ...], which: int = -1, at: tuple[int, ...] = ()) -> Any:
    with _visible(), _Softmax(which, at) as watch:
        output = block(*inputs)
    return output.detach(), [(weights.detach(), axis) for weights, axis in watch.seen]


@law("each softmax is taken over the axis that is summed over next")
def normalised_axis(block: nn.Module, *inputs: Tensor) -> None:
    """Find each softmax that the block takes, change one weight after another, and see which outputs follow.

    Two weights that differ in the index of an axis reach the same outputs where that axis is summed over, and others
    where it stays. The softmax belongs on an axis that is summed over; on another one, the weights of an output do not
    sum to 1. A softmax that multiplies without a sum is left alone, and so is one of which every weight reaches every
    output. Not seen is what is written with ``exp`` and a division. A block in which the places compete on purpose for
    what they take, such as slot attention, breaks this law and is right.

    :param block: the block; its scores must not be alike, so give it random parameters.
    :param inputs: its inputs, of several samples and unequal sizes.
    :raises AssertionError: also for a softmax that has no influence: a branch that starts at zero hides it.
    """
    draws = [inputs, *(resized(inputs, len(inputs[0]), seed=seed) for seed in (1, 2))]
    plain = [_run(block, each) for each in draws]
    for which, (weights, axis) in enumerate(plain[0][1]):
        _one(block, draws, [output for output, _ in plain], which, weights, axis)


def _one(
    block: nn.Module, draws: list[tuple[Tensor, ...]], plain: list[Tensor], which: int, weights: Tensor, axis: int
) -> None:
    shape = tuple(weights.shape)
    of = f"the softmax over axis {axis} of weights {shape}"

    def reached(at: list[int]) -> Tensor:
        """Return where the output follows one weight."""
        follows = torch.zeros(plain[0].shape, dtype=torch.bool)
        for inputs, before in zip(draws, plain, strict=True):
            after, _ = _run(block, inputs, which, tuple(at))
            follows |= (after - before).abs() > 1e-9 * before.abs().max().clamp(min=1)
        return follows

    first = [0] * len(shape)
    from_first = reached(first)
    assert from_first.any(), f"{of} has no influence on the output: the block may start with a zero behind it"
    if from_first.all():
        return
    summed = []
    for other, size in enumerate(shape):
        if size > 1:
            moved = [size - 1 if i == other else 0 for i in range(len(shape))]
            if reached(moved).equal(from_first):
                summed.append(other)
    if summed and axis not in summed and shape[axis] > 1:
        totals = weights.sum(summed)
        axes = " and ".join(map(str, summed))
        raise AssertionError(
            f"{of}: it is axis {axes} that is summed over next, so the weights of one output sum to "
            f"{totals.min():.3g} … {totals.max():.3g}, not to 1"
        )
