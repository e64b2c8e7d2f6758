"""Photographs to look at, and tensors as pictures."""

from importlib.resources import files

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor

__all__ = ["grey", "photographs", "picture"]


def photographs() -> dict[str, Float[Tensor, "3 height width"]]:
    """Load the photographs that ship with the package; all are free of copyright restrictions.

    Where each one comes from is told in ``attention/data/photographs/LICENSE.md``.

    :returns: by name, in alphabetical order, each a tensor (3, height, width) with values from 0 to 1.
    """
    folder = files("attention") / "data" / "photographs"
    found = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".jpg"):
            with path.open("rb") as file, Image.open(file) as image:
                pixels = torch.from_numpy(np.array(image.convert("RGB")))
            found[path.name.removesuffix(".jpg")] = rearrange(pixels, "h w c -> c h w") / 255
    return found


def picture(x: Tensor) -> np.ndarray:
    """Turn one input (channels, height, width) into pixels from 0 to 1 that can be drawn.

    Three channels are taken as red, green and blue; of any other number the mean is drawn, in grey. Values outside
    0 to 1 (a normalised input) are stretched so that the smallest becomes 0 and the largest 1.
    """
    x = x.detach().float().cpu()
    if x.shape[0] != 3:
        x = x.mean(dim=0, keepdim=True)
    low, high = x.min(), x.max()
    if low < 0 or high > 1:
        x = (x - low) / (high - low).clamp(min=torch.finfo(x.dtype).tiny)
    pixels = rearrange(x, "c h w -> h w c").numpy()
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def grey(pixels: np.ndarray) -> np.ndarray:
    """Turn pixels (height, width, 3) into light greys that let a coloured layer on top stand out."""
    luminance = pixels @ np.array([0.299, 0.587, 0.114])  # the weights of ITU-R BT.601
    return np.repeat((0.3 + 0.7 * luminance)[..., None], 3, axis=2)
