"""Explore an attention map over pairs of positions in the page: move over a picture, see where each position looks."""

from collections.abc import Mapping
from math import isqrt, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attention.lab.maps.embedded import encode, present, unit_bytes
from attention.lab.maps.panels import heat_colours
from attention.lab.maps.pictures import grey

__all__ = ["explore"]

Size = tuple[int, int]


def explore(
    picture: Tensor,
    attention: Tensor | Mapping[str, Tensor],
    *,
    grid: tuple[int, int] | None = None,
    keys: tuple[int, int] | None = None,
    position: tuple[int, int] | None = None,
    about: str = "",
) -> None:
    """Show a picture whose positions can be moved over, each with where it looks; no kernel is needed.

    The picture is shown in grey, the weights of one position over it in colour, scaled by the largest of them, which
    is stated in numbers. A reader moves over the picture, taps it, or steps by arrow keys, and chooses among the maps.
    Tag the cell ``explorer`` and ``nbval-ignore-output``.

    :param picture: (h, w), (1, h, w) or (3, h, w), with values from 0 to 1.
    :param attention: the weights, none negative, or several such tensors by name. One row for each of the N positions
        that look, one column for each of the M that are looked at, by rows of the grid: (N, M), or
        (rows, columns, rows of keys, columns of keys).
    :param grid: rows and columns of the positions that look; by default a square.
    :param keys: rows and columns of the positions that are looked at; by default the same grid, or a square where
        there are fewer.
    :param position: (row, column) that looks to begin with, from 0; by default the middle.
    :param about: what is shown, in a sentence: a heading for all readers, and a label for those who do not see it.
    :raises TypeError: for a picture or weights that are no tensors.
    :raises ValueError: for shapes that do not belong together, values that are not allowed, a position that is not on
        the grid, and for more data than a page should carry.
    """
    shown = _grey_bytes(picture)
    named = attention if isinstance(attention, Mapping) else {"attention": attention}
    if not named:
        raise ValueError("attention names no map: give at least one")
    maps = {name: _rows(weights, name) for name, weights in named.items()}
    shapes = {name: tuple(each.shape) for name, each in maps.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"the maps differ in shape, but are to be seen on one grid: {shapes}")
    grid, keys = _grids(named, next(iter(shapes.values())), grid, keys)
    start = position or (grid[0] // 2, grid[1] // 2)
    if not (0 <= start[0] < grid[0] and 0 <= start[1] < grid[1]):
        raise ValueError(f"position={position} is not on the grid; allowed: (0, 0) to ({grid[0] - 1}, {grid[1] - 1})")
    data = {
        "picture": encode(shown),
        "size": shown.shape,
        "grid": grid,
        "keys": keys,
        "start": start[0] * grid[1] + start[1],
        "palette": encode((heat_colours()(np.arange(256)) * 255).round().astype(np.uint8)),
        "maps": [_described(name, weights) for name, weights in maps.items()],
    }
    queries, count = prod(grid), prod(keys)
    present(
        "explorer",
        data,
        about=about,
        instead=f"An explorer of {' and '.join(named)} would be here: move over a picture of {grid[0]} by {grid[1]} "
        "positions and see where each of them looks. It needs JavaScript; in a notebook, run this cell.",
        reduce=f"It has {len(maps)} × {queries} × {count} weights and a picture of {shown.shape[0]} × "
        f"{shown.shape[1]}, four characters for three: show fewer maps, a coarser grid, fewer keys, or a smaller "
        "picture.",
    )


def _grey_bytes(picture: Tensor) -> np.ndarray:
    """Turn a picture into bytes (h, w), light enough for a coloured layer over it."""
    values = unit_bytes(picture, "picture")
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise ValueError(f"picture has shape {tuple(picture.shape)}; expected (h, w), (1, h, w) or (3, h, w)")
    pixels = np.moveaxis(np.broadcast_to(values, (3, *values.shape[1:])), 0, 2) / 255
    return (grey(pixels)[..., 0] * 255).round().astype(np.uint8)


def _rows(weights: Any, name: str) -> Tensor:
    """Bring one map to (N, M), in double precision; its shape with four axes is checked against the grid later."""
    if not isinstance(weights, Tensor):
        raise TypeError(f"attention[{name!r}]: expected a tensor, received {type(weights).__name__}")
    if weights.ndim not in (2, 4) or weights.numel() == 0:
        raise ValueError(
            f"attention[{name!r}] has shape {tuple(weights.shape)}; expected (N, M) or "
            "(rows, columns, rows of keys, columns of keys), of one picture and one head"
        )
    weights = weights.detach().cpu().double()
    if not torch.isfinite(weights).all():
        raise ValueError(f"attention[{name!r}] has values that are infinite or no numbers")
    if (low := float(weights.min())) < 0:
        raise ValueError(f"attention[{name!r}] has negative values, down to {low:.3g}; expected weights of 0 or more")
    return weights if weights.ndim == 2 else weights.flatten(2).flatten(0, 1)


def _grids(
    named: Mapping[str, Tensor], shape: tuple[int, ...], grid: Size | None, keys: Size | None
) -> tuple[Size, Size]:
    """Find both grids: those given, those that a map with four axes has, or squares."""
    grid, keys = (size if size is None else tuple(size) for size in (grid, keys))
    four = [tuple(each.shape) for each in named.values() if each.ndim == 4]
    for own in four:
        if (grid or own[:2]) != own[:2] or (keys or own[2:]) != own[2:] or own != four[0]:
            raise ValueError(f"a map has shape {own}, which does not fit grid={grid}, keys={keys} and the other maps")
    if four:
        return four[0][:2], four[0][2:]
    queries, count = shape
    grid = grid or _square(queries, "grid")
    keys = keys or (grid if count == queries else _square(count, "keys"))
    for name, size, expected in (("grid", grid, queries), ("keys", keys, count)):
        if len(size) != 2 or min(size) < 1 or prod(size) != expected:
            raise ValueError(f"{name}={size} has {prod(size)} positions; the maps are {queries} × {count}")
    return grid, keys


def _square(count: int, name: str) -> Size:
    if isqrt(count) ** 2 != count:
        raise ValueError(f"{count} positions form no square: give {name}=(rows, columns)")
    return isqrt(count), isqrt(count)


def _described(name: str, weights: Tensor) -> dict[str, Any]:
    """Scale each row by its largest value to bytes, and compute what is said of it.

    ``peaks`` are the largest weights and ``at`` where they are; ``times`` how many times a row's mean its largest is;
    ``half`` how few positions hold half of a row. ``shares`` tells that rows sum to 1, but those without any weight.
    """
    peaks, at = weights.max(dim=1)
    sums = weights.sum(dim=1)
    scaled = weights / peaks.clamp(min=torch.finfo(weights.dtype).tiny)[:, None]
    held = weights.sort(dim=1, descending=True).values.cumsum(dim=1)
    half = (held < sums[:, None] * (0.5 - 1e-6)).sum(dim=1) + 1
    times = peaks * weights.shape[1] / sums.clamp(min=torch.finfo(weights.dtype).tiny)
    return {
        "name": name,
        "weights": encode((scaled * 255).round().to(torch.uint8).numpy()),
        "shares": bool((((sums - 1).abs() < 0.01) | (peaks == 0)).all()),
        "peaks": [float(f"{value:.3g}") for value in peaks.tolist()],
        "times": [float(f"{value:.4g}") for value in times.tolist()],
        "at": at.tolist(),
        "half": half.tolist(),
    }
