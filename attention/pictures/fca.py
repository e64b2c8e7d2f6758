"""The live picture of Frequency Channel Attention."""

from math import pi

import torch
from einops import rearrange
from torch import Tensor

from attention.channel.fca import FrequencyChannelAttention, _coefficients, _waves
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, like, sloping

CHANNELS, SIZE = 4, 7
WEIGHTS = {
    "reduce.weight": [[0.6, 1.4, -0.8, 0.7], [0.5, -0.7, 1.2, 0.9]],
    "expand.weight": [[0.3, -0.5], [0.8, -0.6], [-0.7, 0.9], [-0.4, 0.3]],
}
FREQUENCIES = {
    "FcaNet": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "means only": ((0, 0),),
    "finer waves": ((0, 0), (0, 3), (3, 0), (3, 3)),
}


class Literal(FrequencyChannelAttention):
    """The same function in the order of its equations: the layers see the coefficients themselves."""

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates: (batch, channels, 1, 1)."""
        each = zip(zip(*self.frequencies, strict=True), (2, 3), strict=True)
        down, across = (_waves(found, x, axis, None, True, False) for found, axis in each)
        z = self.step("z", SIZE * _coefficients(x, down, across))
        s = self.step("s", self.expand(self.reduce(z).relu()).sigmoid())
        return rearrange(s, "b c -> b c 1 1")


def quarters() -> Tensor:
    """Return bright quarters that face each other: the mean is ½ in each row and in each column."""
    place = torch.arange(SIZE, dtype=torch.float64) - SIZE // 2
    return (0.5 + 0.4 * (place[:, None] * place).sign()).expand(1, CHANNELS, SIZE, SIZE).clone()


def upright() -> Tensor:
    """Return upright stripes of three half waves, whose mean is ½ too."""
    wave = (pi * 3 / SIZE * (torch.arange(SIZE, dtype=torch.float64) + 0.5)).cos()
    return (0.5 + 0.4 * wave).expand(1, CHANNELS, SIZE, SIZE).round(decimals=2)


def picture() -> Picture:
    """Make the picture."""
    own = block("fca", CHANNELS, reduction=2, frequencies=FREQUENCIES["FcaNet"], weights=WEIGHTS)
    blocks = {name: like(Literal, own, CHANNELS, reduction=2, frequencies=pairs) for name, pairs in FREQUENCIES.items()}
    name, *others = blocks
    return made(
        blocks[name],
        {
            "brighter to the left": sloping(CHANNELS, SIZE, across=-0.8),
            "brighter to the top": sloping(CHANNELS, SIZE, down=-0.8),
            "two quarters": quarters(),
            "upright stripes": upright(),
        },
        name=name,
        variants={other: blocks[other] for other in others},
        symbols={"reduce": "W_1", "expand": "W_2"},
        equations={
            "z": "sum<sub><i>ij</i></sub>(<i>x</i> · <i>b<sub>u</sub></i>(<i>i</i>) · <i>b<sub>v</sub></i>(<i>j</i>))",
        },
        ranges={"x": (0, 1), "y": (0, 1)},
        title="Frequency Channel Attention",
        about="Weights chosen by hand, not trained. In all four inputs each channel has the mean ½. The frequencies "
        "are (0, 0), (0, 1), (1, 0) and (1, 1); finer waves have 3 for 1, and “means only” has (0, 0) alone.",
    )
