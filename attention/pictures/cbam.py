"""The live picture of CBAM."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, noise, one_bright, spots, uniform

CHANNELS, SIZE = 4, 12
WEIGHTS = {
    "reduce.weight": [[2, -1, 0.5, 0.5], [-1, 0.5, 1.5, 1]],
    "expand.weight": [[1, -0.8], [-1.2, 0.6], [0.3, 0.7], [-0.5, -0.6]],
}


def _window(block: Any) -> None:
    """Let the 7 × 7 window answer to what is bright in its middle and dark around: a hat, with two decimals."""
    i = torch.arange(7.0, dtype=torch.float64) - 3
    far = i[:, None] ** 2 + i[None] ** 2
    hat = (torch.exp(-far / 3) - 0.55 * torch.exp(-far / 8)).round(decimals=2)
    block.conv.weight.copy_(torch.stack([1.2 * hat, 2 * hat]).round(decimals=2)[None])


def picture() -> Picture:
    """Make the picture."""

    def one(**options: Any) -> nn.Module:
        return block("cbam", CHANNELS, reduction=2, weights=WEIGHTS, then=_window, **options)

    first = one(order="space-channel")
    for name, zone in (("x1", "positions"), ("y", "channels")):
        first.steps[name] = replace(first.steps[name], zone=zone)
    corner = uniform(CHANNELS, SIZE, 0.1)
    corner[:, :2, 1:4, 2:5] = 0.9
    return made(
        one(),
        {
            "spots": spots(CHANNELS, SIZE, 1.5),
            "a square": corner,
            "one bright channel": one_bright(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="CBAM",
        variants={"positions first": first, "in parallel": one(order="parallel")},
        symbols={"reduce": "W_1", "expand": "W_2", "conv.weight": r"f^{7×7}"},
        ranges={"x": (0, 1), "z": (0, 1), "x1": (0, 1), "y": (0, 1), "t": (0, 1)},
        equations={
            "sch": "σ(<i>W</i><sub>2</sub> <i>h</i><sub>mean</sub> + <i>W</i><sub>2</sub> <i>h</i><sub>max</sub>)"
        },
        panels={"z": ("mean", "max"), "h": ("mean", "max"), "t": ("mean", "max")},
        title="Convolutional Block Attention Module",
        about="Weights chosen by hand, not trained; the 7 × 7 window answers to what is bright in its middle.",
    )
