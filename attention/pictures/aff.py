"""The live picture of attentional feature fusion."""

from typing import Any

from torch import Tensor, nn

from attention.branch.aff import AttentionalFeatureFusion
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, spots, uniform

CHANNELS, SIZE = 2, 7
OPTIONS: dict[str, Any] = {"reduction": 1}


def alone(own: nn.Module, silent: str) -> nn.Module:
    """Return the block with one of its two opinions, (channels, height, width) or (channels,), set to 0."""
    made = like(AttentionalFeatureFusion, own, CHANNELS, **OPTIONS)
    dict(made.named_parameters())[f"rounds.0.{silent}.4.weight"].data.zero_()
    return made


def inputs() -> dict[str, tuple[Tensor, Tensor]]:
    """Return pairs of feature maps."""
    middle, whole = slice(1, 6), slice(None)
    large = bright(CHANNELS, SIZE, (whole, middle, middle))
    small = bright(CHANNELS, SIZE, (whole, 1, 2), (whole, 4, 4), (whole, 5, 1))
    return {
        "large and small": (large, small),
        "small and large": (small, large),
        "spots and even": (spots(CHANNELS, SIZE), uniform(CHANNELS, SIZE)),
        "noise": (noise(CHANNELS, SIZE, 0), noise(CHANNELS, SIZE, 1)),
    }


def picture() -> Picture:
    """Make the picture."""
    own = block("aff", CHANNELS, seed=9, gain=1.5, **OPTIONS)
    return made(
        own,
        inputs(),
        name="AFF",
        variants={"local alone": alone(own, "whole"), "global alone": alone(own, "local")},
        symbols={"x": "X", "y": "Y"},
        equations={
            "L": "norm(<i>W</i><sub>2</sub> ReLU(norm(<i>W</i><sub>1</sub> <i>U</i>)))",
            "h": "ReLU(norm(<i>W</i><sub>3</sub><i>Ū</i>))",
            "g": "norm(<i>W</i><sub>4</sub> <i>h</i>)",
        },
        ranges={"x": (0, 1), "y": (0, 1), "U": (0, 2), "Z": (0, 1)},
        title="Attentional feature fusion",
        about="Weights drawn at random, not trained. Exchange the inputs, and M stays: it is computed from their sum.",
    )
