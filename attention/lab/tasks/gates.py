"""Tasks that ask for the gates themselves: a model whose output is a block's map, and what a waist can pass on."""

from math import asin, pi, sqrt

import torch
from torch import Tensor, nn

from attention.contract import Attention, check_positive
from attention.lab.tasks.task import Task

__all__ = ["GateOf", "bottleneck_limit", "gate_patterns", "with_means"]


class GateOf(nn.Module):
    """A model whose output is one of a block's gates itself, for tasks that ask for the gate.

    :param block: an attention block.
    :param name: which of its maps, by name; may be left out where it has one only.
    """

    def __init__(self, block: Attention, name: str = "") -> None:
        super().__init__()
        (only, *others) = block.maps
        if not name and others:
            raise ValueError(f"name: the block has the maps {', '.join(block.maps)}; say which")
        self.block, self.name = block, name or only

    def forward(self, x: Tensor) -> Tensor:
        """Return the gate, one row of numbers a sample: (batch, channels), or (batch, height · width)."""
        return self.block.attend(x)[1][self.name].flatten(1)


def gate_patterns(
    seed: int = 0, *, channels: int = 64, permute: bool = False, train: int = 8000, test: int = 1000
) -> Task:
    r"""Open exactly the gates of the channels whose mean is positive: the model's output is the gate.

    The means are independent, so all :math:`2^C` patterns are wanted, equally often. A bottleneck of :math:`C/r`
    numbers cannot tell them all; :func:`bottleneck_limit` computes what that costs at least.

    :param seed: the same seed gives the same data.
    :param channels: number of channels :math:`C`.
    :param permute: ask each channel for the sign of another channel's mean (a fixed permutation, drawn with the
        seed), so that what a gate needs need not lie near it.
    :param train: number of training samples.
    :param test: number of test samples.
    :returns: the task; inputs are (samples, channels, 2, 2), noise of mean 0 around the channel's mean.
    """
    check_positive(channels=channels, train=train, test=test)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(channels, generator=generator) if permute else torch.arange(channels)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        z = torch.randn(n, channels, generator=generator)
        return with_means(z, generator), (z[:, order] > 0).float()

    asked = "of a channel assigned to it" if permute else "of its channel"
    return Task(
        name="gate patterns",
        train=draw(train),
        test=draw(test),
        classes=channels,
        chance=0.5,
        about=f"{channels} channels of independent means. A gate must be 1 where the mean {asked} is positive, else 0.",
        loss="multi-label",
    )


def bottleneck_limit(channels: int, width: int) -> float:
    r"""The best accuracy per label on :func:`gate_patterns` through a bottleneck of ``width`` numbers, computed.

    After the first layer a gate knows of the means only the :math:`d` numbers :math:`W_1 z`, whatever follows. Let
    :math:`\rho_c^2` be the share of the variance of :math:`z_c` that they tell: the squared length of the projection of
    the :math:`c`-th axis onto the rows of :math:`W_1`. For Gaussian means the best guess of the sign of :math:`z_c` is
    the sign of the projection, and it is right with probability :math:`1/2 + \arcsin(\rho_c) / \pi`. The shares
    add up to the dimension of the space that is projected on, :math:`\sum_c \rho_c^2 \le d`. What is best on
    average over the channels follows from the concave envelope of :math:`\arcsin \sqrt{t}`: for :math:`d/C` below the
    point where a line through :math:`t = 1` touches the curve, equal shares; above it, some channels told whole
    and the others at that point.

    :param channels: :math:`C`.
    :param width: :math:`d`, that is :math:`C/r`.
    :returns: the limit, between 0.5 and 1.
    """
    from scipy.optimize import brentq

    check_positive(channels=channels, width=width)
    if width >= channels:
        return 1.0

    def rise(t: float) -> float:  # of the line from the curve at t to its end, less the curve's own
        return (pi / 2 - asin(sqrt(t))) / (1 - t) - 1 / (2 * sqrt(t * (1 - t)))

    touch, share = brentq(rise, 1e-9, 0.5), width / channels
    if share <= touch:
        return 0.5 + asin(sqrt(share)) / pi
    whole = (share - touch) / (1 - touch)
    return whole + (1 - whole) * (0.5 + asin(sqrt(touch)) / pi)


def with_means(z: Tensor, generator: torch.Generator) -> Tensor:
    """Draw 2 × 2 maps of noise whose means are exactly ``z``, to rounding.

    :param z: the means, (samples, channels).
    :param generator: what the noise is drawn from.
    :returns: the maps, (samples, channels, 2, 2).
    """
    noise = torch.randn(*z.shape, 2, 2, generator=generator)
    return z[:, :, None, None] + noise - noise.mean((2, 3), keepdim=True)
