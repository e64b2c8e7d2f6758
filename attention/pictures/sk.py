"""The live picture of the selective kernel."""

from typing import Any

import torch
from torch import nn

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, noise, one_bright, said, spots, stripes

CHANNELS, SIZE = 3, 8


def _by_hand(block: Any) -> None:
    """Let every branch take the mean of its window, and the mean of a channel decide which of them is believed."""
    for kernel in block.kernels:
        kernel[0].weight.fill_(0.11)
    block.fuse[0].weight.copy_(torch.tensor([[4, -2, 0], [-2, 1, 3.0]]))
    wide = torch.tensor([[1.5, -1], [-1, 1.5], [1, 0.5]])
    for branch, matrix in enumerate(block.select):
        matrix.weight.copy_(wide * (branch - (len(block.select) - 1) / 2))


def picture() -> Picture:
    """Make the picture."""

    def one(branches: int) -> nn.Module:
        return block("sk", CHANNELS, branches=branches, groups=CHANNELS, floor=2, then=_by_hand)

    shown = made(
        one(2),
        {
            "spots": spots(CHANNELS, SIZE),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "stripes": stripes(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="two windows",
        variants={"three windows": one(3)},
        symbols={"fuse.0": "W_1"} | {f"select.{m}": f"A^{m + 1}" for m in range(3)},
        ranges={"x": (0, 1), "u": (0, 1), "y": (0, 1)},
        equations={
            "u": "ReLU(norm(<i>K<sup>m</sup></i> ∗ <i>x</i>)), with windows of 3×3 and 5×5",
            "z": "mean<sub><i>hw</i></sub>(sum<sub><i>m</i></sub>(<i>u</i>))",
            "a": "softmax<sub><i>m</i></sub>(<i>A<sup>m</sup> h</i>)",
            "y": "sum<sub><i>m</i></sub>(<i>a</i> · <i>u</i>)",
        },
        title="Selective Kernel",
        about="Weights chosen by hand, not trained: each branch takes the mean of nine pixels of its window.",
    )
    windows = "ReLU(norm(<i>K<sup>m</sup></i> ∗ <i>x</i>)), with windows of 3×3, 5×5 and 7×7"
    return said(shown, "three windows", {"u": windows})
