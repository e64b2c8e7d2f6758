"""The live picture of concurrent Squeeze-and-Excitation."""

from attention.hybrid.scse import ConcurrentSqueezeExcitation
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, one_bright, said, spots

CHANNELS, SIZE = 4, 6
WEIGHTS = {
    "reduce.weight": [[3.2, -2.4, 0, 0.8], [-1.8, 0, 3, 1.2]],
    "expand.weight": [[0.8, -1.4], [-0.9, 1.2], [-1.0, 1.1], [0.5, -1.3]],
    "conv.weight": [2.4, -1.6, 1.8, -2.2],
}


def picture() -> Picture:
    """Make the picture."""
    own = block("scse", CHANNELS, weights=WEIGHTS)
    others = {"max": "max", "product": "multiply"}
    whole = slice(None)
    shown = made(
        own,
        {
            "spots": spots(CHANNELS, SIZE),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "one bright position": bright(CHANNELS, SIZE, (whole, 2, 3)),
            "noise": noise(CHANNELS, SIZE),
        },
        name="sum",
        variants={
            name: like(ConcurrentSqueezeExcitation, own, CHANNELS, combine=kind) for name, kind in others.items()
        },
        symbols={"x": "U", "reduce": "W_2", "expand": "W_1", "conv": "W_{sq}"},
        ranges={"x": (0, 1), "z": (0, 1), "cse": (0, 1), "sse": (0, 1)},
        title="Concurrent Squeeze-and-Excitation",
        about="Weights chosen by hand, not trained.",
    )
    both = "<i>Û</i><sub><i>cSE</i></sub>, <i>Û</i><sub><i>sSE</i></sub>"
    return said(shown, "max", {"y": f"max({both})"})
