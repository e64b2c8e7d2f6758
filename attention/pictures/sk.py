"""The live picture of the selective kernel."""

from typing import Any

import torch
from torch import nn

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, noise, one_bright, spots, stripes

CHANNELS, SIZE = 3, 8


def _by_hand(block: Any) -> None:
    """Let every branch take the mean of its window, and the mean of a channel decide which of them is believed."""
    for kernel in block.kernels:
        kernel[0].weight.fill_(0.11)
    block.fuse[0].weight.copy_(torch.tensor([[4, -2, 0], [-2, 1, 3.0]]))
    wide = torch.tensor([[1.5, -1], [-1, 1.5], [0.5, 1]])
    for branch, matrix in enumerate(block.select):
        matrix.weight.copy_(wide * (branch - (len(block.select) - 1) / 2))


def picture() -> Picture:
    """Make the picture."""

    def one(branches: int) -> nn.Module:
        return block("sk", CHANNELS, branches=branches, groups=CHANNELS, floor=2, then=_by_hand)

    return made(
        one(2),
        {
            "spots": spots(CHANNELS, SIZE),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "stripes": stripes(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="two windows",
        variants={"three windows": one(3)},
        symbols={"fuse.0": "W"},
        ranges={"x": (0, 1), "u": (0, 1), "v": (0, 1)},
        equations={
            "u": "ReLU(norm(<i>W</i> ∗ <i>x</i>)), for windows of 3×3 and 5×5 (and 7×7)",
            "s": "mean<sub><i>hw</i></sub>(sum<sub><i>m</i></sub>(<i>u</i>))",
        },
        title="Selective Kernel",
        about="Weights chosen by hand, not trained: each branch takes the mean of nine pixels of its window.",
    )
