"""The live picture of Efficient Multi-Scale Attention."""

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, noise, one_bright, spots

CHANNELS, SIZE = 4, 7


def picture() -> Picture:
    """Make the picture."""
    whole = slice(None)
    part = "<i>a</i><sub>{}</sub><sup>T</sup> <i>x</i><sub>{}</sub>"
    first, second = part.format(1, 2), part.format(2, 1)
    return made(
        block("ema", CHANNELS, groups=2, seed=20, gain=1.5),
        {
            "spots": spots(CHANNELS, SIZE),
            "one bright position": bright(CHANNELS, SIZE, (whole, 3, 4)),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="two groups",
        variants={"each channel alone": block("ema", CHANNELS, groups=CHANNELS, seed=20, gain=1.5)},
        symbols={"strips": "W_1", "window": "W_3", "strips.bias": "b_1", "window.bias": "b_3"},
        equations={
            "zh": "mean<sub><i>w</i></sub>(<i>x</i>)",
            "zw": "mean<sub><i>h</i></sub>(<i>x</i>)",
            "a1": "softmax(<i>x̄</i><sub>1</sub>)",
            "a2": "softmax(<i>x̄</i><sub>2</sub>)",
            "M": f"σ({first} + {second})",
        },
        ranges={"x": (0, 1), "zh": (0, 1), "zw": (0, 1), "a1": (0, 1), "a2": (0, 1), "y": (0, 1)},
        title="Efficient Multi-Scale Attention",
        about="Weights drawn at random, not trained. All groups have the same weights. After the normalisation each "
        "mean x̄₁ is 0, so that a₁ is the same for every image.",
    )
