"""The live picture of the non-local block."""

from torch import Tensor, nn

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, noise, said, spots, uniform

CHANNELS, SIZE = 2, 5
READ = {"g.weight": [[1, 0.5]], "out.weight": [[0.8], [-0.6]]}
EMBEDDED = {"theta.weight": [[3, -3]], "phi.weight": [[3, -3]]}


def _pairs() -> Tensor:
    """Two kinds of places far from each other: each kind is bright in a channel of its own."""
    x = uniform(CHANNELS, SIZE, 0.1)
    for row, column in ((0, 0), (3, 4), (4, 1)):
        x[0, 0, row, column] = 0.9
    for row, column in ((1, 3), (4, 3)):
        x[0, 1, row, column] = 0.9
    return x


def picture() -> Picture:
    """Make the picture."""

    def one(similarity: str) -> nn.Module:
        embedded = {} if similarity == "gaussian" else EMBEDDED
        return block("non_local", CHANNELS, similarity=similarity, seed=3, gain=1.5, weights=READ | embedded)

    shown = made(
        one("embedded gaussian"),
        {
            "two kinds": _pairs(),
            "spots": spots(CHANNELS, SIZE),
            "all alike": uniform(CHANNELS, SIZE, 0.4),
            "noise": noise(CHANNELS, SIZE),
        },
        name="embedded Gaussian",
        variants={name: one(name.lower()) for name in ("Gaussian", "dot product", "concatenation")},
        symbols={"theta.weight": "W_q", "phi.weight": "W_k", "g.weight": "W_v", "out.weight": "W_o"},
        ranges={"x": (0, 1)},
        title="Non-local block",
        about="Weights chosen by hand, not trained. Each row of α is one position, each column one that it looks at.",
    )
    pairs = "ReLU(<i>w<sub>f</sub></i><sup>T</sup>[<i>q</i>, <i>k</i>]) / 25"
    return said(shown, "concatenation", {"alpha": pairs})
