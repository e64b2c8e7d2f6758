"""The live picture of Squeeze-and-Excitation."""

from einops import rearrange
from torch import Tensor

from attention.channel.se import SqueezeExcitation
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, like, noise, one_bright, said, spots, stripes

CHANNELS, SIZE = 4, 8
WEIGHTS = {
    "reduce.weight": [[1.6, -1.2, 0.6, 0.4], [-0.3, 0.9, 1.5, 0.9]],
    "expand.weight": [[1.1, -0.7], [0.3, 0.9], [-1.2, 0.6], [0.4, -0.9]],
}


class Softmax(SqueezeExcitation):
    """The same block with a softmax for the sigmoid: its gates share out a total of 1."""

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates: (batch, channels, 1, 1)."""
        z = self.step("z", x.mean((2, 3)))
        s = self.step("s", self.expand(self.reduce(z).relu()).softmax(1))
        return rearrange(s, "b c -> b c 1 1")


class Largest(SqueezeExcitation):
    """The same block on the largest number of each channel instead of its mean."""

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates: (batch, channels, 1, 1)."""
        z = self.step("z", x.amax((2, 3)))
        s = self.step("s", self.expand(self.reduce(z).relu()).sigmoid())
        return rearrange(s, "b c -> b c 1 1")


def picture() -> Picture:
    """Make the picture."""
    own = block("se", CHANNELS, reduction=2, weights=WEIGHTS)
    others = {"softmax": Softmax, "max, not mean": Largest}
    uneven = noise(CHANNELS, SIZE).clamp(max=0.95)
    uneven[0, range(CHANNELS), (1, 5, 2, 6), (6, 2, 4, 1)] = 1.0  # one largest number in each channel
    shown = made(
        own,
        {
            "one bright channel": one_bright(CHANNELS, SIZE),
            "spots": spots(CHANNELS, SIZE),
            "stripes": stripes(CHANNELS, SIZE),
            "noise": uneven,
        },
        name="SE",
        variants={name: like(kind, own, CHANNELS, reduction=2) for name, kind in others.items()},
        symbols={"reduce": "W_1", "expand": "W_2"},
        ranges={"x": (0, 1), "z": (0, 1), "y": (0, 1)},
        title="Squeeze-and-Excitation",
        about="Weights chosen by hand, not trained.",
    )
    return said(shown, "max, not mean", {}, {"z": "the largest number of each channel"})
