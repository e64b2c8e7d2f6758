"""The same objects on larger canvases: moved, turned, scaled, among clutter."""

from dataclasses import replace
from math import log

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from attention.lab.tasks.task import Task

__all__ = ["canvas"]

_PIECE = 8  # side of a piece of clutter, in pixels
_CHUNK = 1000  # images that are placed at once, which bounds the memory


def canvas(
    task: Task,
    size: int = 40,
    *,
    move: float = 1.0,
    turn: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    clutter: int = 0,
    seed: int = 0,
) -> Task:
    """Put each image of a task on a larger, black canvas.

    :param task: a task whose inputs are square images.
    :param size: height and width of the canvas in pixels.
    :param move: how far the object may move, as a share of the free space around it: 0 leaves it in the middle,
        1 lets it lie anywhere inside. Positions are real numbers, drawn uniformly.
    :param turn: largest angle in degrees; angles are drawn uniformly between ``-turn`` and ``turn``.
    :param scale: smallest and largest scale; scales are drawn uniformly in their logarithm. Below
        one half, pixels of the image are skipped, as the sampling is bilinear.
    :param clutter: number of pieces, 8 × 8 pixels, cut from other images of the same split and strewn over the
        canvas, behind the object.
    :param seed: the same seed gives the same canvases.
    :returns: the task with larger inputs, the same targets, and ``placed`` filled in.
    :raises ValueError: for inputs that are not square, an object that does not fit at its largest scale, and
        arguments outside their ranges.
    """
    side = task.train[0].shape[-1]
    low, high = scale
    if task.train[0].shape[-2] != side:
        raise ValueError(f"task: inputs of shape {tuple(task.train[0].shape)} are not square")
    if not 0 < low <= high:
        raise ValueError(f"scale={scale} is not a pair 0 < smallest ≤ largest")
    if high * side > size:
        raise ValueError(f"size={size} is too small for objects of {side} pixels at scale {high:g}")
    if not 0 <= move <= 1:
        raise ValueError(f"move={move} is not between 0 and 1")
    if not 0 <= turn <= 180:
        raise ValueError(f"turn={turn} is not between 0 and 180 degrees")
    if clutter < 0:
        raise ValueError(f"clutter={clutter} is negative")
    # Two generators: the same seed puts objects in the same places, with clutter and without.
    placing, strewing = (torch.Generator().manual_seed(2 * seed + i) for i in range(2))
    splits, placed = {}, []
    for split in ("train", "test"):
        x, y = getattr(task, split)
        where = _places(len(x), side, size, move, turn, scale, placing)
        behind = _clutter(x, size, clutter, strewing)
        splits[split] = (_compose(x, behind, where), y)
        placed.append(where)
    about = f"{task.about} It lies on a canvas of {size} × {size} pixels{_how(move, turn, scale, clutter)}."
    return replace(task, name=f"{task.name} on a canvas", about=about, placed=tuple(placed), **splits)


def _how(move: float, turn: float, scale: tuple[float, float], clutter: int) -> str:
    parts = ["moved"] if move else []
    parts += [f"turned by up to {turn:g}°"] if turn else []
    parts += [f"scaled by {scale[0]:g} to {scale[1]:g}"] if scale != (1.0, 1.0) else []
    parts += [f"among {clutter} pieces of other images"] if clutter else []
    return ", " + ", ".join(parts) if parts else ""


def _places(
    n: int, side: int, size: int, move: float, turn: float, scale: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "samples 4"]:
    """Draw rows, columns, angles and scales."""
    row, column, angle, zoom = torch.rand(4, n, generator=generator)
    scales = torch.exp(log(scale[0]) + zoom * log(scale[1] / scale[0]))
    free = move * (size - scales * side) / 2
    middle = (size - 1) / 2
    places = [middle + free * (2 * row - 1), middle + free * (2 * column - 1), turn * (2 * angle - 1), scales]
    return torch.stack(places, dim=1)


def _compose(x: Tensor, behind: Tensor, where: Tensor) -> Tensor:
    """Lay each object over what is behind it; where the image is black the object is transparent."""
    out = torch.empty_like(behind)
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        both = torch.cat([x[part], (x[part].amax(1, keepdim=True) > 0).float()], dim=1)
        laid = functional.grid_sample(
            both, _grid(where[part].to(x.device), x.shape[-1], behind.shape[-1]), align_corners=False
        )
        out[part] = laid[:, :-1] + (1 - laid[:, -1:]) * behind[part]
    return out.clamp(0, 1)


def _grid(where: Tensor, side: int, size: int) -> Float[Tensor, "samples size size 2"]:
    """For each pixel of the canvas, the place in the image that it shows, in grid_sample's coordinates."""
    row, column, angle, scales = where.unbind(1)
    cos, sin = torch.cos(torch.deg2rad(angle)), torch.sin(torch.deg2rad(angle))
    # Canvas to image: p = R(angle) · (q − centre) / scale, both in units of half their own side.
    ratio = size / (side * scales)
    x0, y0 = (2 * column + 1) / size - 1, (2 * row + 1) / size - 1
    turned = ratio[:, None, None] * torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    shift = -turned @ torch.stack([x0, y0], 1)[:, :, None]
    theta = torch.cat([turned, shift], dim=2)
    return functional.affine_grid(theta, [len(where), 1, size, size], align_corners=False)


def _clutter(x: Tensor, size: int, pieces: int, generator: torch.Generator) -> Tensor:
    """Strew pieces of other images over empty canvases; where two overlap, the brighter pixel stays."""
    n, side = len(x), x.shape[-1]
    out = x.new_zeros(n, x.shape[1], size, size)
    if pieces and n < 2:
        raise ValueError("clutter needs at least two images in each split: pieces come from other images")
    mine, span = torch.arange(n)[:, None, None], torch.arange(min(_PIECE, side, size))

    def corner(limit: int) -> Tensor:
        return torch.randint(limit - len(span) + 1, (n, 1, 1), generator=generator)

    for _ in range(pieces):
        other = (mine + torch.randint(1, n, (n, 1, 1), generator=generator)) % n
        rows, columns = corner(side) + span[:, None], corner(side) + span
        piece = x[other, :, rows, columns]
        rows, columns = corner(size) + span[:, None], corner(size) + span
        out[mine, :, rows, columns] = torch.maximum(out[mine, :, rows, columns], piece)
    return out
