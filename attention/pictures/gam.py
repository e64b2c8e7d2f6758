"""The live picture of the Global Attention Mechanism."""

from typing import Any

from attention.hybrid.gam import GlobalAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, one_bright, spots

CHANNELS, SIZE = 2, 9
OPTIONS: dict[str, Any] = {"reduction": 1, "kernel_size": 3}


def picture() -> Picture:
    """Make the picture."""
    own = block("gam", CHANNELS, seed=124, gain=1.5, **OPTIONS)
    whole = slice(None)
    return made(
        own,
        {
            "one bright position": bright(CHANNELS, SIZE, (whole, 4, 4)),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "spots": spots(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="k = 3",
        variants={
            "k = 5": block("gam", CHANNELS, seed=124, gain=1.5, reduction=1, kernel_size=5),
            "first gate unbounded": like(GlobalAttention, own, CHANNELS, channel_sigmoid=False, **OPTIONS),
        },
        symbols={"x": "F_1", "reduce": "W_0", "expand": "W_1", "reduce.bias": "b_0", "expand.bias": "b_1"},
        equations={"Ms": "σ(norm(<i>f</i><sub>2</sub> ReLU(norm(<i>f</i><sub>1</sub> <i>F</i><sub>2</sub>))))"},
        ranges={"x": (0, 1)},
        title="Global Attention Mechanism",
        about="Weights drawn at random, not trained. The paper’s windows are 7 × 7.",
    )
