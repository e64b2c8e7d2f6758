"""Explore an attention map over pairs of positions in the page: move over a picture, see where each position looks."""

from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any

import numpy as np
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from attention.lab.maps.embedded import encode, present, unit_bytes
from attention.lab.maps.panels import heat_colours
from attention.lab.maps.pictures import grey
from attention.lab.style import COLOURS

__all__ = ["explore"]

Size = tuple[int, int]


def explore(
    picture: Tensor,
    attention: Tensor | Mapping[str, Tensor],
    *,
    grid: tuple[int, int] | None = None,
    keys: tuple[int, int] | None = None,
    position: tuple[int, int] | None = None,
    cells: Sequence[Sequence[str]] | None = None,
    about: str = "",
) -> None:
    """Show a picture whose positions can be moved over, each with where it looks; no kernel is needed.

    The picture is shown in grey, the weights of one position over it in colour, scaled by the largest of them, which
    is stated in numbers; a switch gives all positions one scale. A reader moves over the picture, taps it, or steps by
    arrow keys, and chooses among the maps. Where no script runs, the map of the first position is shown. Tag the cell
    ``explorer`` and ``nbval-ignore-output``.

    :param picture: (h, w), (1, h, w) or (3, h, w), with values from 0 to 1.
    :param attention: the weights, none negative, or several such tensors by name. One row for each of the N positions
        that look, one column for each of the M that are looked at, by rows of the grid: (N, M), or
        (rows, columns, rows of keys, columns of keys).
    :param grid: rows and columns of the positions that look; by default a square.
    :param keys: rows and columns of the positions that are looked at; by default the same grid, or a square where
        there are fewer.
    :param position: (row, column) that looks to begin with, from 0; by default the middle.
    :param cells: what each position that looks holds, a short text, by rows; it is written into the picture. A position
        with an empty text is called empty, and shows no map.
    :param about: what is shown, in a sentence: a heading for all readers, and a label for those who do not see it.
    :raises TypeError: for a picture or weights that are no tensors.
    :raises ValueError: for shapes that do not belong together, values that are not allowed, a position that is not on
        the grid or that is empty, and for more data than a page should carry.
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
    at = start[0] * grid[1] + start[1]
    words = _words(cells, grid)
    if words is not None and not words[at]:
        raise ValueError(f"cells is empty at {tuple(start)}, where the explorer begins: give another position")
    described = [_described(name, weights) for name, weights in maps.items()]
    data = {
        "picture": encode(shown),
        "size": shown.shape,
        "grid": grid,
        "keys": keys,
        "start": at,
        "cells": words,
        "palette": encode((heat_colours()(np.arange(256)) * 255).round().astype(np.uint8)),
        "maps": described,
    }
    queries, count = prod(grid), prod(keys)
    first = next(iter(named))
    present(
        "explorer",
        data,
        about=about,
        still=_still(shown, maps[first][at].reshape(keys), grid, start),
        shows=f"Where the position at row {start[0]}, column {start[1]} looks in {first}: most at row "
        f"{described[0]['at'][at] // keys[1]}, column {described[0]['at'][at] % keys[1]} of {keys[0]} by {keys[1]}.",
        instead=f"One map of {' and '.join(named)}: where the framed position looks. To choose among {grid[0]} by "
        f"{grid[1]} positions needs JavaScript; in a notebook, run this cell.",
        reduce=f"It has {len(maps)} × {queries} × {count} weights and a picture of {shown.shape[0]} × "
        f"{shown.shape[1]}, four characters for three: show fewer maps, a coarser grid, fewer keys, or a smaller "
        "picture.",
    )


def _words(cells: Sequence[Sequence[str]] | None, grid: Size) -> list[str] | None:
    """Bring the texts of the positions into one list."""
    if cells is None:
        return None
    shape = {len(row) for row in cells}
    if len(cells) != grid[0] or shape != {grid[1]}:
        raise ValueError(f"cells has {len(cells)} rows of {sorted(shape)} texts; the grid is {grid[0]} × {grid[1]}")
    return [str(each) for row in cells for each in row]


def _still(shown: np.ndarray, weights: Tensor, grid: Size, start: Size) -> np.ndarray:
    """Lay the weights of one position over the grey picture (h, w), as the script does, and frame the position."""
    height, width = shown.shape
    larger = max(1, round(320 / width))
    high, wide = height * larger, width * larger

    def stretched(values: np.ndarray) -> np.ndarray:
        rows, columns = (np.arange(n) * size // n for n, size in zip((high, wide), values.shape, strict=True))
        return values[rows[:, None], columns]

    scaled = (weights / weights.max().clamp(min=torch.finfo(weights.dtype).tiny)).numpy()
    colours = heat_colours()(stretched(scaled))
    opacity = colours[..., 3:]
    pixels = stretched(shown)[..., None] * (1 - opacity) + 255 * colours[..., :3] * opacity
    top, left = (high * start[0] // grid[0], wide * start[1] // grid[1])
    bottom, right = (high * (start[0] + 1) // grid[0], wide * (start[1] + 1) // grid[1])
    frame = np.zeros((high, wide), dtype=bool)
    frame[top:bottom, left:right] = True
    frame[top + 2 : max(bottom - 2, top + 2), left + 2 : max(right - 2, left + 2)] = False
    pixels[frame] = 255 * np.array(to_rgb(COLOURS["block"]))
    return pixels.round().astype(np.uint8)


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
