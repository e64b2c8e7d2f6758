"""The live picture of scaled dot-product attention."""

import torch
from torch import Tensor

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, said
from attention.self_attention.dot_product import DotProductAttention

CHANNELS, SIZE = 2, 4
WEIGHTS = {
    "queries.weight": [[2.2, -0.2], [-0.2, 2.2]],
    "keys.weight": [[2.2, -0.2], [-0.2, 2.2]],
    "values.weight": [[1, 0], [0, 1]],
    "out.weight": [[0.8, 0.2], [0.2, 0.8]],
}


class Unscaled(DotProductAttention):
    """The same block without the root of the width below its scores."""

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super()._project(x)
        return q * q.shape[-1] ** 0.5, k, v


def groups(shuffled: bool = False) -> Tensor:
    """Return positions of two kinds: one half of the map is bright in the first channel, the other in the second."""
    x = bright(CHANNELS, SIZE, (0, slice(None), slice(0, 2)), (1, slice(None), slice(2, 4)))
    order = torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(1)) if shuffled else torch.arange(16)
    return x.flatten(2)[:, :, order].reshape(x.shape)


def picture() -> Picture:
    """Make the picture."""
    own = block("dot_product", CHANNELS, weights=WEIGHTS)
    letters = {"queries": "W_Q", "keys": "W_K", "values": "W_V", "out": "W_O"}
    shown = made(
        own,
        {
            "two halves": groups(),
            "the same, shuffled": groups(shuffled=True),
            "one bright position": bright(CHANNELS, SIZE, (slice(None), 1, 2)),
            "noise": noise(CHANNELS, SIZE),
        },
        name="one head",
        variants={
            "two heads": like(DotProductAttention, own, CHANNELS, heads=2),
            "no √d": like(Unscaled, own, CHANNELS),
        },
        symbols={"x": "X", **letters},
        equations={
            **{key: f"<i>X W<sub>{key}</sub></i>" for key in "QKV"},
            "y": "<i>O W<sub>O</sub></i>",
            "A": "softmax(<i>QK</i><sup>T</sup>/√<i>d</i>)",
        },
        ranges={"x": (0, 1), "V": (0, 1), "O": (0, 1), "y": (0, 1)},
        title="Scaled dot-product attention",
        about="Weights chosen by hand, not trained: what is alike attends to each other.",
    )
    return said(shown, "no √d", {"A": "softmax(<i>Q K</i><sup>T</sup>)"})
