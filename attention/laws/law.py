"""What a law is: a check with a name, which says in one sentence what does not hold."""

import copy
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attention.laws.comparing import describe
from attention.laws.material import cast, randomise

__all__ = ["LAWS", "Law", "law", "prepared"]


@dataclass(frozen=True)
class Law:
    """One law. Call it with a block and its inputs: nothing comes back where the law holds.

    >>> batch_mates(MyBlock(64), torch.randn(4, 64, 7, 9))

    :param name: what it is called, in reports and as the name of a test.
    :param title: what holds, in one line.
    :param check: the check itself, on a block that is used as it is: see :func:`prepared`.
    :param cheap: whether it costs a few runs of the block only, so that it can be tried on many sizes.
    """

    name: str
    title: str
    check: Callable[..., None]
    cheap: bool = False

    def __call__(self, block: nn.Module, *inputs: Tensor, random: bool = True, **options: Any) -> None:
        """Hold a block to the law; a copy of it is looked at, in float64 and in eval mode.

        :param block: any module that maps tensors to a tensor, the batch first.
        :param inputs: what it is run on; several small samples, of unequal height and width, show most.
        :param random: give the copy random parameters: a branch that starts at zero hides what is wrong in it.
        :param options: what this law takes beside: see its module.
        :raises AssertionError: saying what does not hold.
        :raises unittest.SkipTest: where the law has nothing to say of this block, or a tool is not installed; pytest
            then skips the test.
        """
        ready, inputs = prepared(block, inputs, random)
        try:
            self.check(ready, *inputs, **options)
        except unittest.SkipTest:
            raise
        except Exception as error:
            raise AssertionError(f"{self.name} ({self.title}): {describe(error)}") from error

    def __str__(self) -> str:
        return self.name


#: All laws by name, in the order in which a report lists them.
LAWS: dict[str, Law] = {}


def law(title: str, cheap: bool = False) -> Callable[[Callable[..., None]], Law]:
    """Make a :class:`Law` of a function, which gives it its name."""

    def decorate(check: Callable[..., None]) -> Law:
        name = check.__name__
        made = Law(name, title, check, cheap)
        LAWS[name] = made
        return made

    return decorate


def prepared(block: nn.Module, inputs: tuple[Tensor, ...], random: bool = True) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Copy a block into the state in which the laws look at it: float64, eval mode, random parameters.

    Of the buffers, the running means and variances of normalisations become random alone: others may be constants.

    :param block: stays as it is.
    :param inputs: returned in float64; words and masks stay.
    :param random: whether the parameters become random.
    """
    ready = copy.deepcopy(block).to(torch.float64).eval()
    if random:
        constants = [name for name, _ in ready.named_buffers() if ".running_" not in f".{name}"]
        randomise(ready, torch.Generator().manual_seed(1), constants)
    return ready, cast(inputs, torch.float64)
