"""The live picture of Shuffle Attention."""

from attention.hybrid.shuffle import ShuffleAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, like, noise, one_bright, said, spots, stripes

CHANNELS, SIZE = 8, 5
WEIGHTS = {
    "channel_weight": [5.0, -4.0],
    "channel_bias": [-2.2, 1.6],
    "element_weight": [1.4, -1.0],
    "element_bias": [0.2, 0.4],
}


def picture() -> Picture:
    """Make the picture."""
    own = block("shuffle", CHANNELS, groups=2, weights=WEIGHTS)
    start = {name: [float("bias" in name)] * 2 for name in WEIGHTS}
    halves = [f"<i>X</i><sub><i>k</i>{half}</sub>" for half in (1, 2)]
    together = "[" + " ; ".join(f"<i>X</i>′<sub><i>k</i>{half}</sub>" for half in (1, 2)) + "]"
    mixed = spots(CHANNELS, SIZE)
    mixed[:, :2] = mixed[:, :2].clamp(min=0.7)
    shown = made(
        own,
        {
            "spots, two channels bright": mixed,
            "one bright channel": one_bright(CHANNELS, SIZE),
            "stripes": stripes(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="SA",
        variants={
            "not shuffled": like(ShuffleAttention, own, CHANNELS, groups=2, shuffle=False),
            "at the start": block("shuffle", CHANNELS, groups=2, weights=start),
        },
        symbols={"x": "X"},
        equations={
            "s": f"mean<sub><i>hw</i></sub>({halves[0]})",
            "X1": f"σ(<i>W</i><sub>1</sub> <i>s</i> + <i>b</i><sub>1</sub>) · {halves[0]}",
            "X2": f"σ(<i>W</i><sub>2</sub> norm({halves[1]}) + <i>b</i><sub>2</sub>) · {halves[1]}",
            "y": f"shuffle{together}",
        },
        ranges={"x": (0, 1), "s": (0, 1), "X1": (0, 1), "X2": (0, 1), "y": (0, 1)},
        title="Shuffle Attention",
        about="Weights chosen by hand, not trained. Two groups of four channels, each with two halves.",
    )
    return said(shown, "not shuffled", {"y": together})
