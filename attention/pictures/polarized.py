"""The live picture of Polarized Self-Attention."""

from attention.hybrid.polarized import PolarizedSelfAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, one_bright, spots

CHANNELS, SIZE = 4, 6
WEIGHTS = {
    "channel_query.weight": [3, 2, -1, -2],
    "channel_value.weight": [[2, -1, 0.5, -0.5], [-0.5, 0.5, 2, -1.2]],
    "up.weight": [[1, 0.5], [-1, 0.6], [0.4, -1], [-0.5, 1.2]],
    "space_query.weight": [[4, -3, 1, 0], [0, 1, 4, -3]],
    "space_value.weight": [[3, -2, 1.5, -2], [-2, 2, 3, -3]],
}


def picture() -> Picture:
    """Make the picture."""
    own = block("polarized", CHANNELS, weights=WEIGHTS)
    whole = slice(None)
    return made(
        own,
        {
            "spots": spots(CHANNELS, SIZE),
            "one bright position": bright(CHANNELS, SIZE, (whole, 2, 3)),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="parallel",
        variants={
            "in sequence": like(PolarizedSelfAttention, own, CHANNELS, order="sequential"),
            "softmax last": like(PolarizedSelfAttention, own, CHANNELS, space="product"),
        },
        symbols={
            "x": "X",
            "channel_query": "W_q",
            "channel_value": "W_v",
            "up": "W_z",
            "space_query": "W'_q",
            "space_value": "W'_v",
        },
        equations={
            "a": "softmax(<i>W<sub>q</sub>X</i>)",
            "z": "<i>W<sub>v</sub>X a</i><sup>T</sup>",
        },
        ranges={"x": (0, 1)},
        title="Polarized Self-Attention",
        about="Weights chosen by hand, not trained.",
    )
