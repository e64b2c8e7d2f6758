"""The live picture of Spatial and Channel Synergistic Attention."""

from typing import Any

from attention.hybrid.scsa import SpatialChannelSynergisticAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, one_bright, said, spots

CHANNELS, SIZE = 4, 8
OPTIONS: dict[str, Any] = {"window": 4, "kernels": (1, 3, 5, 7)}


def picture() -> Picture:
    """Make the picture."""
    own = block("scsa", CHANNELS, seed=15, **OPTIONS)
    whole = slice(None)
    gate = "{0}(norm(DW(<i>X<sub>{1}</sub></i>)))"
    shown = made(
        own,
        {
            "spots": spots(CHANNELS, SIZE),
            "one bright row": bright(CHANNELS, SIZE, (whole, 2, whole)),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="sigmoid",
        variants={"softmax": like(SpatialChannelSynergisticAttention, own, CHANNELS, gate="softmax", **OPTIONS)},
        symbols={"x": "X"},
        equations={
            **{f"A{axis}": gate.format("σ", axis) for axis in "HW"},
            **{key: f"<i>s</i><sub><i>{key.lower()}</i></sub> · <i>P</i>" for key in "QKV"},
            "A": "softmax(<i>QK</i><sup>T</sup>/√<i>C</i>)",
        },
        ranges={"x": (0, 1), "XH": (0, 1), "XW": (0, 1)},
        title="Spatial and Channel Synergistic Attention",
        about="Weights drawn at random, not trained. Strips of 1, 3, 5 and 7, one for each channel; windows of 4 × 4.",
    )
    return said(shown, "softmax", {f"A{axis}": gate.format("softmax", axis) for axis in "HW"})
