r"""The tasks of the chapter on Frequency Channel Attention: textures of equal mean, and blocks that read them.

A picture is one of four textures, 14 × 14 pixels, in noise. All pictures have the mean 0, so no block that starts from
means can tell them. The blocks differ in the patterns that their channels are summed up with, and in nothing else.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import pi

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.channel.fca import FrequencyChannelAttention
from attention.contract import Gate, Map, check_input, check_positive
from attention.lab.tasks.task import Task

__all__ = ["ARMS", "GRID", "HIGH", "LOW", "SIZE", "Max", "Patterns", "Reader", "patterns", "textures", "wave"]

#: Pixels of a side.
SIZE = 14
#: The parts (u, v) of the frequencies of four coarse textures, all among the first 3 × 3; and of four finer ones.
LOW = ((0, 1), (1, 0), (1, 1), (0, 2))
HIGH = ((3, 4), (4, 3), (4, 4), (3, 5))
#: The nine lowest of the 49 parts.
GRID = tuple((u, v) for u in range(3) for v in range(3))
_CHANNELS = 36


def wave(u: int, v: int, shift: tuple[float, float] = (0.0, 0.0), size: int = SIZE) -> Tensor:
    """Draw the texture of a part (u, v) of the frequencies: cosines of u and v full periods.

    :param u: down.
    :param v: across.
    :param shift: of the cosines, as an angle, down and across; at 0 it is a basis function of the transform.
    :param size: pixels of a side; at 14 a part of the frequencies is one full period.
    :returns: the texture, (size, size), of mean 0 unless u and v are 0.
    """
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    down, across = ((2 * pi * part * at + angle * (part > 0)).cos() for part, angle in zip((u, v), shift, strict=True))
    return down[:, None] * across


def textures(
    seed: int = 0,
    *,
    kinds: Sequence[tuple[int, int]] = LOW,
    strength: float = 6.0,
    shifted: bool = False,
    train: int = 4000,
    test: int = 2000,
) -> Task:
    r"""Say which of four textures a picture shows; all pictures have the mean 0.

    A picture is :math:`\pm` the texture, which as a vector of :math:`HW` numbers has the length ``strength``, plus
    noise of variance 1 per pixel; then its mean is taken away.

    :param seed: the same seed gives the same data.
    :param kinds: the textures, as parts (u, v) of the frequencies.
    :param strength: the length of the texture, in standard deviations of the noise.
    :param shifted: whether each picture's texture starts at a random place, and not where a basis function does.
    :param train: number of training pictures.
    :param test: number of test pictures.
    :returns: the task; inputs are (samples, 1, 14, 14).
    """
    check_positive(train=train, test=test)
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(len(kinds), (n,), generator=generator)
        signs = torch.randint(2, (n,), generator=generator) * 2.0 - 1
        angles = 2 * pi * torch.rand(n, 2, generator=generator) * shifted
        drawn = torch.stack(
            [wave(*kinds[k], tuple(angle)) for k, angle in zip(labels.tolist(), angles.tolist(), strict=True)]
        )
        drawn = strength * drawn / drawn.flatten(1).norm(dim=1)[:, None, None] * signs[:, None, None]
        x = drawn.float() + torch.randn(n, SIZE, SIZE, generator=generator)
        return (x - x.mean((1, 2), keepdim=True))[:, None], labels

    place = "which starts anywhere" if shifted else "bright where it is dark or not"
    return Task(
        name="textures",
        train=draw(train),
        test=draw(test),
        classes=len(kinds),
        chance=1 / len(kinds),
        about=f"One of four textures in noise, {place}. All pictures have the mean 0. Which texture is it?",
        labels=tuple(str(kind) for kind in kinds),
    )


class Patterns(Gate):
    r"""The gates :math:`\sigma(W_2\, \delta(W_1\, p))`, where each channel is summed up with a pattern of its own.

    :param weight: the patterns, (parts, height, width); the channels are divided into as many parts of neighbours.
    :param channels: number of channels.
    :param reduction: the ratio by which the hidden layer is narrower.
    :param learned: whether the patterns are trained.
    """

    def __init__(self, weight: Tensor, channels: int, reduction: int = 2, learned: bool = False) -> None:
        super().__init__()
        self.channels, self.parts = channels, len(weight)
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {}
        self.pattern = nn.Parameter(weight.clone(), requires_grad=learned)
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        check_input(x, "b c h w", c=self.channels)
        parts = rearrange(x, "b (n k) h w -> b n k (h w)", n=self.parts)
        p = rearrange(parts @ rearrange(self.pattern, "n h w -> n (h w) 1"), "b n k 1 -> b (n k)")
        return rearrange(self.expand(self.reduce(p).relu()).sigmoid(), "b c -> b c 1 1")


class Max(Gate):
    """SE with the maximum of each channel for its mean.

    :param channels: number of channels.
    :param reduction: the ratio by which the hidden layer is narrower.
    """

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {}
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        check_input(x, "b c h w", c=self.channels)
        return rearrange(self.expand(self.reduce(x.amax((2, 3))).relu()).sigmoid(), "b c -> b c 1 1")


class Reader(nn.Module):
    """A model that sees the gates of a block and nothing else: each of its channels is the picture.

    :param block: the block, with 36 channels.
    :param classes: how many scores it returns.
    """

    def __init__(self, block: Gate, classes: int = 4) -> None:
        super().__init__()
        self.block, self.score = block, nn.Linear(_CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores, (batch, classes), of pictures (batch, 1, height, width)."""
        copies = x.expand(-1, _CHANNELS, -1, -1)
        return self.score(self.block.attend(copies)[1]["channel"].flatten(1))


def patterns(parts: int, size: int = SIZE) -> Tensor:
    """Draw random patterns of length 1, (parts, size, size), each number from a normal distribution."""
    drawn = torch.randn(parts, size, size)
    return drawn / drawn.flatten(1).norm(dim=1)[:, None, None]


def _frequencies(pairs: Sequence[tuple[int, int]]) -> Reader:
    return Reader(FrequencyChannelAttention(_CHANNELS, reduction=2, frequencies=pairs))


def _random(learned: bool) -> Reader:
    return Reader(Patterns(patterns(len(GRID)), _CHANNELS, learned=learned))


def _learned() -> Reader:
    waves = torch.stack([wave(u, v) for u, v in GRID]).float()
    waves = waves / waves.flatten(1).norm(dim=1)[:, None, None]
    return Reader(Patterns(waves, _CHANNELS, learned=True))


#: The models that are compared: a name, and what builds one.
ARMS: dict[str, Callable[[], Reader]] = {
    "mean": partial(_frequencies, ((0, 0),)),
    "max": lambda: Reader(Max(_CHANNELS)),
    "two lowest": partial(_frequencies, ((0, 0), (0, 1))),
    "nine lowest": partial(_frequencies, GRID),
    "nine random": partial(_random, False),
    "random, learned": partial(_random, True),
    "lowest, learned": _learned,
}
