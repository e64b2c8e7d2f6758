"""The live picture of Efficient Local Attention."""

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, noise

CHANNELS, SIZE = 4, 8
#: What the three middle taps of each channel are; longer strips have two more at each end.
TAPS = [[-0.8, 1.6, -0.8], [1.0, 1.0, 1.0], [0.6, -1.4, 0.6], [-1.2, 0.0, 1.2]]
ENDS = [-0.4, 0.5, 0.3, -0.6]


def picture() -> Picture:
    """Make the picture."""
    longer = [[end, *taps, end] for end, taps in zip(ENDS, TAPS, strict=True)]
    own, five = (
        block("ela", CHANNELS, kernel_size=len(taps[0]), norm_groups=CHANNELS, weights={"conv.weight": taps})
        for taps in (TAPS, longer)
    )
    together = block("ela", CHANNELS, kernel_size=3, norm_groups=1, weights={"conv.weight": TAPS})
    whole = slice(None)
    return made(
        own,
        {
            "one bright row": bright(CHANNELS, SIZE, (whole, 3, whole)),
            "one bright position": bright(CHANNELS, SIZE, (whole, 2, 5)),
            "a diagonal": bright(CHANNELS, SIZE, *((whole, i, i) for i in range(SIZE))),
            "noise": noise(CHANNELS, SIZE),
        },
        name="k = 3",
        variants={"k = 5": five, "one group": together},
        symbols={"conv": "F"},
        equations={
            "yh": "σ(norm(<i>F z<sup>h</sup></i>))",
            "yw": "σ(norm(<i>F z<sup>w</sup></i>))",
        },
        ranges={"x": (0, 1), "zh": (0, 1), "zw": (0, 1), "Y": (0, 1)},
        title="Efficient Local Attention",
        about="Weights chosen by hand, not trained. Each channel is normalised alone, in “one group” all together: "
        "through the mean and the deviation every gate depends a little on means beyond its neighbours.",
    )
