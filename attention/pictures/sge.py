"""The live picture of Spatial Group-wise Enhance."""

from torch import nn

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, noise, spots

CHANNELS, SIZE = 4, 6


def picture() -> Picture:
    """Make the picture."""

    def of_groups(groups: int, weight: float = 1.2, bias: float = 0.0) -> nn.Module:
        given = {"weight": [weight] * groups, "bias": [bias] * groups}
        return block("sge", CHANNELS, groups=groups, weights=given)

    low, high = slice(0, 3), slice(3, 6)
    return made(
        of_groups(2),
        {
            "two objects": bright(CHANNELS, SIZE, (0, low, low), (1, low, low), (2, high, high), (3, 4, high)),
            "one bright channel": bright(CHANNELS, SIZE, (1, slice(None), high)),
            "spots": spots(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="two groups",
        variants={"one group": of_groups(1), "at the start": of_groups(2, 0.0, 1.0)},
        symbols={"weight": r"\gamma", "bias": r"\beta"},
        equations={
            "c": "<i>g</i> · <i>x<sub>i</sub></i>",
            "normalised": "(<i>c</i> − <i>μ</i>) / (<i>s</i> + ε), with <i>μ</i> the mean and <i>s</i> the deviation",
        },
        ranges={"x": (0, 1), "y": (0, 1)},
        title="Spatial Group-wise Enhance",
        about="Weights chosen by hand, not trained.",
    )
