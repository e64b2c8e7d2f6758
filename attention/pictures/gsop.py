"""The live picture of global second-order pooling."""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import leaky_relu

from attention.channel.gsop import SecondOrderPooling, _covariance
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, like, said, sloping, stripes

CHANNELS, SIZE, REDUCED = 4, 6, 2
OPTIONS: dict[str, Any] = {"reduced": REDUCED}
MIXED = [[1, 0.3, 0, 0], [0, 0, 1, 0.3]]


class Literal(SecondOrderPooling):
    """The same function, in which each step is computed from the one before."""

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates: (batch, channels, 1, 1)."""
        sigma = self.step("sigma", _covariance(self.step("reduced", self.reduce(x))))
        rows = self.rows(rearrange(self.normalised(sigma), "b i j -> b i j 1"))
        h = self.step("h", rearrange(leaky_relu(rows, self.slope), "b k 1 1 -> b k"))
        s = self.step("s", rearrange(self.expand(rearrange(h, "b k -> b k 1 1")).sigmoid(), "b c 1 1 -> b c"))
        return rearrange(s, "b c -> b c 1 1")


class Variances(Literal):
    """The same block on the variances alone: what two channels have in common is lost."""

    def normalised(self, sigma: Tensor) -> Tensor:
        """Normalise the diagonal, (batch, reduced, reduced)."""
        return super().normalised(sigma * torch.eye(sigma.shape[-1], dtype=sigma.dtype))


def turned(*signs: int) -> Tensor:
    """Return channels that are brighter to the right where their sign is 1, and to the left where it is −1."""
    x = sloping(CHANNELS, SIZE, across=0.8)
    for channel, sign in enumerate(signs):
        x[:, channel] = x[:, channel] if sign > 0 else 1 - x[:, channel]
    return x


def picture() -> Picture:
    """Make the picture."""

    given = {"reduce.0.weight": MIXED, "reduce.0.bias": [0] * REDUCED, "row_norm.running_var": [0.01] * REDUCED}
    own = block("gsop", CHANNELS, seed=7, weights=given, **OPTIONS)
    of_rows = "leaky ReLU(<i>W</i><sub>1</sub> ∗ norm({}) + <i>b</i><sub>1</sub>)"
    shown = made(
        like(Literal, own, CHANNELS, **OPTIONS),
        {
            "all alike": turned(1, 1, 1, 1),
            "two and two": turned(1, 1, -1, -1),
            "in turn": turned(1, -1, 1, -1),
            "stripes": stripes(CHANNELS, SIZE),
        },
        name="covariances",
        variants={"variances alone": like(Variances, own, CHANNELS, **OPTIONS)},
        symbols={"expand": "W_2", "expand.bias": "b_2"},
        equations={
            "reduced": "ReLU(norm(<i>W<sub>r</sub></i> ∗ <i>x</i> + <i>b<sub>r</sub></i>))",
            "sigma": "<i>x</i>′ <i>Ī x</i>′<sup>T</sup>",
            "h": of_rows.format("Σ"),
        },
        ranges={"x": (0, 1), "y": (0, 1)},
        title="Global second-order pooling",
        about="Weights not trained: those of the mixtures chosen by hand, the others drawn at random. In the first "
        "three inputs each channel has the same mean and the same variance.",
    )
    return said(shown, "variances alone", {"h": of_rows.format("diagonal of Σ")})
