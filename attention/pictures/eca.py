"""The live picture of Efficient Channel Attention."""

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, noise, one_bright

CHANNELS, SIZE = 8, 4
#: A channel counts for itself, and its neighbours against it.
KERNELS = {1: [3.0], 3: [-1.5, 3.0, -1.5], 5: [-0.5, -1.0, 3.0, -1.0, -0.5]}


def picture() -> Picture:
    """Make the picture."""
    blocks = {k: block("eca", CHANNELS, kernel_size=k, weights={"conv.weight": taps}) for k, taps in KERNELS.items()}
    everywhere = (slice(None), slice(None))
    return made(
        blocks[3],
        {
            "one bright channel": one_bright(CHANNELS, SIZE, 3),
            "two neighbours": bright(CHANNELS, SIZE, (3, *everywhere), (4, *everywhere)),
            "two far apart": bright(CHANNELS, SIZE, (1, *everywhere), (5, *everywhere)),
            "noise": noise(CHANNELS, SIZE),
        },
        name="k = 3",
        variants={"k = 5": blocks[5], "k = 1": blocks[1]},
        symbols={"conv": "w"},
        weights={"conv.weight": "the kernel, the same for all channels"},
        equations={"s": "σ(<i>w</i> ∗ <i>z</i>)"},
        ranges={"x": (0, 1), "z": (0, 1), "y": (0, 1)},
        title="Efficient Channel Attention",
        about="Weights chosen by hand, not trained: a channel counts for itself, its neighbours against it.",
    )
