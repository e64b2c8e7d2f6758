"""Answers to the exercises on the spatial transformer: right ones, and wrong ones with what they must be told."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from attention.exercises import stn
from tests.exercises.answers import research

EQUATIONS = {
    "stn.1": ("stn-grid", "stn-pixels", "stn-sample"),
    "stn.2": ("stn-grid",),
    "stn.3": ("stn-sample",),
    "stn.4": ("stn-grid", "stn-pixels"),
    "stn.5": ("stn-by-place",),
    "stn.6": ("stn-theta",),
}
PRINTED = {
    "stn.1": (
        r"\tfrac14 = \tfrac18",
        r"\tfrac12 = 0$",
        r"(\tfrac98 \cdot 4 - 1)/2 = \tfrac74",
        r"(1 \cdot 2 - 1)/2 = \tfrac12",
        r"2.5 + 3 = 5.5",
    )
}


def compose(first: Tensor, second: Tensor) -> Tensor:
    row = second.new_tensor([0, 0, 1]).expand(len(second), 1, 3)
    return first @ torch.cat([second, row], dim=1)


def in_parts(first: Tensor, second: Tensor) -> Tensor:
    """Compose the matrices and the shifts by themselves."""
    a, b = first[:, :, :2], second[:, :, :2]
    return torch.cat([a @ b, a @ second[:, :, 2:] + first[:, :, 2:]], dim=2)


def four(u: Tensor, m: Tensor, n: Tensor, inside: bool = True) -> Tensor:
    height, width = u.shape[1:]
    total = torch.zeros(len(u), len(m), dtype=u.dtype)
    for row in (n.floor(), n.floor() + 1):
        for column in (m.floor(), m.floor() + 1):
            weight = (1 - (m - column).abs()) * (1 - (n - row).abs())
            if inside:
                weight = weight * ((row >= 0) & (row < height) & (column >= 0) & (column < width))
            total = total + u[:, row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()] * weight
    return total


def padded(u: Tensor, m: Tensor, n: Tensor) -> Tensor:
    """Read from a map with a black frame."""
    u = functional.pad(u, (1, 1, 1, 1))
    m, n = (m + 1).clamp(0, u.shape[2] - 1), (n + 1).clamp(0, u.shape[1] - 1)
    return four(u, m, n, inside=False)


def all_pixels(u: Tensor, m: Tensor, n: Tensor) -> Tensor:
    """Weigh every pixel of the map, as the chapter's own sampler does."""
    columns, rows = torch.arange(u.shape[2]).to(m), torch.arange(u.shape[1]).to(n)
    across, down = (1 - (m[:, None] - columns).abs()).relu(), (1 - (n[:, None] - rows).abs()).relu()
    return torch.einsum("c h w, p h, p w -> c p", u, down, across)


def rotation(degrees: Tensor, height: float, width: float, sign: int = 1) -> Tensor:
    angle = sign * torch.deg2rad(degrees)
    c, s, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return rearrange([c, -s * height / width, zero, s * width / height, c, zero], "(i j) b -> b i j", i=2)


def by_matrices(degrees: Tensor, height: float, width: float) -> Tensor:
    """Go to pixels, turn, come back."""
    angle = degrees * torch.pi / 180
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    scale = torch.diag(torch.tensor([width / 2, height / 2]))
    return functional.pad(scale.inverse() @ turn @ scale, (0, 1))


def is_told(theta: Tensor, bright: tuple[int, int], height: int, width: int, within: float = 1.0) -> bool:
    grid = functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    m, n = ((grid[..., 0] + 1) * width - 1) / 2, ((grid[..., 1] + 1) * height - 1) / 2
    return bool((((m - bright[1]).abs() < within) & ((n - bright[0]).abs() < within)).any())


def either_direction(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> bool:
    grid = functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    m, n = ((grid[..., 0] + 1) * width - 1) / 2, ((grid[..., 1] + 1) * height - 1) / 2
    return bool(((m - bright[1]).abs() < 1).any() and ((n - bright[0]).abs() < 1).any())


def in_one_direction(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> bool:
    grid = functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    m, n = ((grid[..., 0] + 1) * width - 1) / 2, ((grid[..., 1] + 1) * height - 1) / 2
    return bool((((m - bright[1]).abs() < 1) | ((n - bright[0]).abs() < 1)).any())


def wrong_at(window: int) -> Any:
    """Answer every window right but one."""

    def answer(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> bool:
        rows, *place = stn._TOLD[window][:3]
        here = theta.tolist() == torch.tensor(rows).tolist() and place == [bright, (height, width)]
        return is_told(theta, bright, height, width) != here

    return answer


RIGHT: dict[str, list[Any]] = {
    "stn.1": [[1 / 8, 0, 7 / 4, 1 / 2, 5.5], torch.tensor([0.125, 0, 1.75, 0.5, 5.5])],
    "stn.2": [compose, in_parts],
    "stn.3": [four, padded],
    "stn.4": [rotation, by_matrices],
    "stn.5": [
        is_told,
        lambda *a: torch.tensor(is_told(*a)),
        lambda *a: np.bool_(is_told(*a)),
    ],
    "stn.6": [research.report("spreads")],
}

WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("stn.1", [0, 1 / 8, 1.5, 5 / 8, 4.75], "Across comes first"),
    ("stn.1", [-1 / 4, -1 / 2, 1, 0, 8], "the output pixel's own place"),
    ("stn.1", [1 / 8, 1 / 2, 7 / 4, 1, 6], "The first row of two pixels lies at p₂ = −½"),
    ("stn.1", [-1 / 8, 0, 5 / 4, 1 / 2, 4.5], "Across there is a shift as well"),
    ("stn.1", [-1 / 8, -1 / 2, 5 / 4, 0, 7], "Both have a shift"),
    ("stn.1", [-1 / 4, 0, 1, 1 / 2, 4], "You took p₁ as it is"),
    ("stn.1", [1 / 8, 0, 27 / 16, 1 / 2, 5.375], "centres of the outer pixels"),
    ("stn.1", [1 / 8, 0, 9 / 4, 1, 7.5], "half a pixel has to be subtracted"),
    ("stn.1", [1 / 8, 0, 7 / 4, 1 / 2, 4.5], ("1 of 5 numbers", "look again at [4]", "The nearer column weighs more")),
    ("stn.1", [1 / 8, 0, 7 / 4, 1 / 2, 11], "sum to 1, not to 2"),
    ("stn.1", [1 / 8, 0, 7 / 4], "Expected shape (5,) for the five numbers p′₁, p′₂, m, n, y, received (3,)."),
    ("stn.2", lambda a, b: compose(b, a), "the last transformer is the first that it meets"),
    ("stn.2", lambda a, b: a * b, "number by number"),
    ("stn.2", lambda a, b: a + b, "by a matrix product"),
    (
        "stn.2",
        lambda a, b: torch.cat([a[:, :, :2] @ b[:, :, :2], a[:, :, 2:] + b[:, :, 2:]], 2),
        "goes through the first A",
    ),
    ("stn.2", lambda a, b: torch.cat([a[:, :, :2] @ b[:, :, :2], b[:, :, 2:]], 2), "has a shift too"),
    (
        "stn.2",
        lambda a, b: functional.pad(compose(a, b), (0, 0, 0, 1)),
        ("Expected shape (4, 2, 3)", "received (4, 3, 3)", "Leave the row"),
    ),
    ("stn.2", lambda a, b: compose(a, b)[0], ("received (2, 3)", "a matrix of its own")),
    ("stn.2", lambda a, b: a @ b, "your function raised RuntimeError"),
    ("stn.3", lambda u, m, n: four(u, m, n, inside=False), "those reads weigh 0"),
    ("stn.3", lambda u, m, n: four(u, m, n).T, ("Expected shape (1, 40)", "received (40, 1)", "Channels come first")),
    ("stn.3", lambda u, m, n: four(u, m.round(), n.round()), "the nearest pixel"),
    ("stn.3", lambda u, m, n: four(u, n, m), "m counts columns"),
    ("stn.3", lambda u, m, n: u[:, n.long()][:, :, m.long()], ("received (1, 40, 40)", "together as indices")),
    (
        "stn.3",
        all_pixels,
        ("The values are right. Expected a finite value", "reads more than four", "by their indices"),
    ),
    ("stn.4", lambda d, h, w: rotation(d, h, w, -1), "counter-clockwise"),
    ("stn.4", lambda d, h, w: rotation(d, 1, 1), "this shears"),
    ("stn.4", lambda d, h, w: rotation(d, w, h), "the wrong way round"),
    ("stn.4", lambda d, h, w: rotation(torch.rad2deg(d), h, w), "in degrees"),
    ("stn.4", lambda d, h, w: rotation(d, h, w)[:, :, :2], ("received (4, 2, 2)", "the shift, is 0")),
    ("stn.4", lambda d, h, w: rotation(d, h, w).flatten(1), ("received (4, 6)", "Make matrices of the six numbers")),
    ("stn.4", lambda d, h, w: rotation(d, h, w).movedim(0, 2), ("received (2, 3, 4)", "The batch comes first")),
    ("stn.5", lambda *_: True, ("expected False, received True.", "beyond the right edge")),
    ("stn.5", lambda *_: False, ("expected True, received False.", "The identity reads every pixel")),
    ("stn.5", lambda t, b, h, w: is_told(t, b, h, w, 0.5), "is near enough"),
    ("stn.5", either_direction, ("expected False, received True.", "two places do not make up for it")),
    ("stn.5", lambda t, b, h, w: is_told(t, b[::-1], h, w), "bright is (row, column)"),
    ("stn.5", in_one_direction, "near in both directions, not in one"),
    *(("stn.5", wrong_at(window), stn._TOLD[window][-1]) for window in range(len(stn._TOLD))),
    ("stn.5", lambda t, b, h, w: torch.ones(3), "expected True or False, received Tensor of dtype torch.float32"),
    *research.wrong("stn.6", "A control of equal size", "spreads"),
    (
        "stn.6",
        research.report("spreads", spreads=[30, 22]),
        (
            "Expected spreads to be a dictionary with a list for each of ours and theirs, received list [30, 22].",
            "keep=",
        ),
    ),
    (
        "stn.6",
        research.report("spreads", spreads={"ours": [31.0, 28.0], "theirs": [22.0, 24.0, 20.0]}),
        "Expected spreads of ours to be 3 numbers, one a seed, received list [31.0, 28.0].",
    ),
    (
        "stn.6",
        research.report("spreads", interval=research.report()["interval"]),
        ("Expected the paired 95% interval", "That is the interval of the scores"),
    ),
]
