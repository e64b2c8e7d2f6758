"""The pictures that are tried in a browser: those of the package, each made once, and one with a vector."""

from functools import cache

import torch

from attention import pictures
from attention.encoder_decoder.additive import AdditiveAttention
from attention.lab.live import Picture, picture
from attention.pictures.making import noise, weighted

__all__ = ["made", "scene"]


@cache
def made(name: str) -> Picture:
    """Make a picture of the package, once."""
    return pictures.make(name)


def reader() -> Picture:
    """A picture with a vector among its inputs, and another that gives nothing of it."""
    blocks = [weighted(AdditiveAttention(3, 4, 5), seed) for seed in (0, 1)]
    query = torch.tensor([[0.5, -0.5, 0.2, 0.0]], dtype=torch.float64)
    inputs = {"noise": (noise(3, 4), query), "more noise": (noise(3, 4, 1), -query)}
    return picture(blocks[0], inputs, variants={"other weights": blocks[1]}, name="weights")


def scene(name: str) -> Picture:
    return reader() if name == "a vector" else made(name)
