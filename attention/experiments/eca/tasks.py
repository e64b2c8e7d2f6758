"""The tasks of the chapter on Efficient Channel Attention: what a direct link is worth, and what the channels' order.

The gates are asked for themselves, by :func:`attention.lab.tasks.gate_patterns`. Here are the arms, and the control in
which a permuted task gets its channels' order back.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.channel.eca import EfficientChannelAttention
from attention.channel.se import SqueezeExcitation
from attention.contract import Gate, Map, check_input, check_positive
from attention.lab.tasks.gates import GateOf, gate_patterns
from attention.lab.tasks.task import Task

__all__ = ["KERNELS", "Diagonal", "FullMatrix", "arms", "assigned", "diagonal", "relabelled"]

#: The kernel sizes that are tried: the formula's for 64 channels; three times as wide; and so wide that each gate sees
#: all 64 channels.
KERNELS = (3, 9, 127)


class FullMatrix(Gate):
    r"""The gates :math:`\sigma(W_1 z)` with a full matrix: each sees every channel, with weights of its own.

    The paper calls it SE-Var3, after SE, whose reduction and hidden layer it leaves out.

    :param channels: number of channels :math:`C`; the matrix has :math:`C^2` weights, and there is no bias.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        (self.channels,) = check_positive(channels=channels)
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {}
        self.matrix = nn.Linear(self.channels, self.channels, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        check_input(x, "b c h w", c=self.channels)
        return rearrange(self.matrix(x.mean((2, 3))).sigmoid(), "b c -> b c 1 1")


class Diagonal(Gate):
    r"""The gates :math:`\sigma(w_c z_c)`: each from the mean of its own channel, with a weight of its own.

    The paper calls it SE-Var2.

    :param channels: number of channels :math:`C`; there are as many weights, and no bias.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        (self.channels,) = check_positive(channels=channels)
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {}
        self.weight = nn.Parameter(torch.empty(self.channels).uniform_(-1, 1))  # as nn.Linear(1, …) starts

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        check_input(x, "b c h w", c=self.channels)
        return rearrange((self.weight * x.mean((2, 3))).sigmoid(), "b c -> b c 1 1")


def assigned(seed: int, channels: int = 64) -> Tensor:
    """Return the channel that each gate is asked about in ``gate_patterns(seed, permute=True)``.

    :param seed: of the task.
    :param channels: number of channels.
    :returns: a permutation, (channels,).
    """
    return torch.randperm(channels, generator=torch.Generator().manual_seed(seed))


def relabelled(seed: int = 0, **options: int) -> Task:
    """Undo the order of the permuted task: the control of what that order costs.

    The same samples with the same answers; the channels of the input are renamed, so that each gate finds the channel
    that it is asked about at its own place.

    :param seed: of the task.
    :param options: of :func:`attention.lab.tasks.gate_patterns`.
    """
    task = gate_patterns(seed, permute=True, **options)
    order = assigned(seed, task.classes)
    (x, wanted), (shown, answers) = task.train, task.test
    return replace(
        task,
        name="gate patterns, relabelled",
        train=(x[:, order], wanted),
        test=(shown[:, order], answers),
        about=f"{task.about} The channels are renamed so that this is its own channel.",
    )


def arms(channels: int = 64, kernels: Sequence[int] = KERNELS) -> dict[str, Callable[[], GateOf]]:
    """Name the gates that are compared, each a function that builds one: its output is the gates.

    SE has biases in both layers: with them it scores higher here.

    :param channels: number of channels.
    :param kernels: the kernel sizes of ECA.
    """
    return {
        **{f"SE, r = {r}": partial(_gate, SqueezeExcitation, channels, r, bias=True) for r in (16, 4, 1)},
        "full matrix": partial(_gate, FullMatrix, channels),
        **{f"ECA, k = {k}": partial(_gate, EfficientChannelAttention, channels, k) for k in kernels},
    }


def diagonal(channels: int = 64) -> GateOf:
    """Build the gates of :class:`Diagonal` as such a model.

    :param channels: number of channels.
    """
    return _gate(Diagonal, channels)


def _gate(block: Callable[..., Gate], channels: int, *options: int, **named: bool) -> GateOf:
    return GateOf(block(channels, *options, **named))
