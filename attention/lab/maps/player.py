"""Play a few pictures that change, in the page: what a transformer does to them while it learns."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from attention.lab.maps.embedded import encode, present, unit_bytes

__all__ = ["animate"]


def animate(
    frames: Tensor,
    *,
    captions: Sequence[str],
    labels: Sequence[str] | None = None,
    pairs: bool = False,
    about: str = "",
) -> None:
    """Show pictures that change from frame to frame; they can be played and stepped through, without a kernel.

    It begins with the first frame, at rest, and plays once when asked; for readers who want less motion, the button
    goes on by one frame instead. Tag the cell ``explorer`` and ``nbval-ignore-output``.

    :param frames: (t, n, h, w) or (t, n, 3, h, w), with values from 0 to 1: t frames of n pictures.
    :param captions: what each of the t frames is: ``"step 40"``.
    :param labels: a name for each of the n pictures.
    :param pairs: the second half of the pictures belongs to the first, in the same order: each stands beside its own.
    :param about: what is shown, in a sentence: a heading for all readers.
    :raises TypeError: for frames that are no tensor.
    :raises ValueError: for other shapes, values outside 0 to 1, a wrong number of captions or labels, fewer than two
        frames, an odd number of pictures to pair, and for more data than a page should carry.
    """
    values = unit_bytes(frames, "frames")
    if not (values.ndim == 4 or (values.ndim == 5 and values.shape[2] == 3)):
        raise ValueError(f"frames has shape {tuple(frames.shape)}; expected (t, n, h, w) or (t, n, 3, h, w)")
    count, pictures, *_, height, width = values.shape
    channels = 3 if values.ndim == 5 else 1
    if count < 2:
        raise ValueError("frames has one frame only: there is nothing to play")
    if len(captions) != count:
        raise ValueError(f"captions has {len(captions)} for {count} frames")
    if labels is not None and len(labels) != pictures:
        raise ValueError(f"labels has {len(labels)} names for {pictures} pictures")
    if pairs and pictures % 2:
        raise ValueError(f"pairs: frames has {pictures} pictures, an odd number")
    labels = None if labels is None else [str(each) for each in labels]
    if pairs:
        order = [index for first in range(pictures // 2) for index in (first, first + pictures // 2)]
        values = values[:, order]
        labels = labels and [labels[index] for index in order]
    data = {
        "frames": encode(values),
        "shape": [count, pictures, channels, height, width],
        "captions": [str(each) for each in captions],
        "labels": labels,
        "together": 2 if pairs else 1,
    }
    names = f" of {', '.join(labels)}" if labels else ""
    present(
        "player",
        data,
        about=about,
        still=_still(values[0]),
        shows=f"The first frame, {captions[0]}: pictures{names}.",
        instead=f"The first of {count} frames, from {captions[0]} to {captions[-1]}. To play them needs JavaScript; in "
        "a notebook, run this cell.",
        reduce=f"It has {count} frames of {pictures} pictures, {channels} × {height} × {width} values each, four "
        "characters for three: give fewer frames, fewer or smaller pictures, or grey ones.",
    )


def _still(pictures: np.ndarray) -> np.ndarray:
    """Lay the pictures of one frame side by side, (n, h, w) or (n, 3, h, w), each pixel a small square."""
    colour = pictures if pictures.ndim == 4 else np.repeat(pictures[:, None], 3, axis=1)
    larger = max(1, 96 // max(colour.shape[2:]))
    tiles = colour.repeat(larger, axis=2).repeat(larger, axis=3).transpose(0, 2, 3, 1)
    gap = np.full((tiles.shape[1], 6, 3), 255, dtype=np.uint8)
    row = [part for tile in tiles for part in (tile, gap)][:-1]
    return np.concatenate(row, axis=1)
