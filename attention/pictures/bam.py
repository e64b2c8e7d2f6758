"""The live picture of the Bottleneck Attention Module."""

from typing import Any

from attention.hybrid.bam import BottleneckAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, one_bright, spots

CHANNELS, SIZE = 2, 11
OPTIONS: dict[str, Any] = {"reduction": 1}


def picture() -> Picture:
    """Make the picture."""
    own = block("bam", CHANNELS, seed=134, gain=2.0, dilation=2, **OPTIONS)
    whole = slice(None)
    sides = {3: 1, 2: 3, 1: 3, 0: 1}
    layers = [f"<i>f</i><sub>{number}</sub><sup>{side} × {side}</sup>" for number, side in sides.items()]
    return made(
        own,
        {
            "one bright position": bright(CHANNELS, SIZE, (whole, 5, 5)),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "spots": spots(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="d = 2",
        variants={
            "d = 1": like(BottleneckAttention, own, CHANNELS, dilation=1, **OPTIONS),
            "product": like(BottleneckAttention, own, CHANNELS, dilation=2, combine="product", **OPTIONS),
        },
        symbols={
            "x": "F",
            "channel.0": "W_0",
            "channel.0.bias": "b_0",
            "channel.3": "W_1",
            "channel.3.bias": "b_1",
        },
        equations={"Ms": f"norm({' ReLU '.join(layers)}(<i>F</i>))"},
        ranges={"x": (0, 1), "z": (0, 1)},
        title="Bottleneck Attention Module",
        about="Weights drawn at random, not trained.",
    )
