"""The live picture of Channel Prior Convolutional Attention."""

from typing import Any

from attention.hybrid.cpca import ChannelPriorAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, one_bright, said, spots

CHANNELS, SIZE = 2, 9
OPTIONS: dict[str, Any] = {"reduction": 1, "strips": (3,)}
LAYERS = {
    "reduce.weight": [[1.5, -0.8], [-0.6, 1.4]],
    "reduce.bias": [0.2, -0.1],
    "expand.weight": [[-1.2, 1.6], [1.4, -1.5]],
    "expand.bias": [0.3, -0.2],
}


def picture() -> Picture:
    """Make the picture."""
    own = block("cpca", CHANNELS, seed=1, gain=1.3, bias=0.1, weights=LAYERS, **OPTIONS)
    shown = made(
        own,
        {
            "one bright position": bright(CHANNELS, SIZE, (0, 4, 4)),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "spots": spots(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="strips of 3",
        variants={
            "3 and 7": block("cpca", CHANNELS, seed=1, gain=1.3, bias=0.1, weights=LAYERS, reduction=1, strips=(3, 7)),
            "two sigmoids": like(ChannelPriorAttention, own, CHANNELS, two_sigmoids=True, **OPTIONS),
        },
        symbols={
            "x": "F",
            "reduce": "W_0",
            "reduce.bias": "b_0",
            "mix": "W",
            "mix.bias": "b",
        },
        equations={
            "Ac": "σ(MLP(<i>z</i><sup>1</sup>) + MLP(<i>z</i><sup>2</sup>))",
            "D0": "<i>K</i><sub>5</sub> ∗ <i>F<sub>c</sub></i>",
            "D": "<i>D</i><sub>0</sub> + <i>K</i>′<sub>1</sub> ∗ (<i>K</i><sub>1</sub> ∗ <i>D</i><sub>0</sub>)",
        },
        ranges={"x": (0, 1), "z": (0, 1)},
        title="Channel Prior Convolutional Attention",
        about="Weights not trained: those of the MLP chosen by hand, the others drawn at random. The paper’s strips "
        "are 7, 11 and 21 pixels long.",
    )
    strip = "<i>K</i>′<sub><i>i</i></sub> ∗ (<i>K<sub>i</sub></i> ∗ <i>D</i><sub>0</sub>)"
    several = f"<i>D</i><sub>0</sub> + sum<sub><i>i</i></sub>({strip})"
    said(shown, "3 and 7", {"D": several})
    return said(shown, "two sigmoids", {"Ac": "σ(MLP(<i>z</i><sup>1</sup>)) + σ(MLP(<i>z</i><sup>2</sup>))"})
