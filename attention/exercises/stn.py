"""The exercises of the chapter on the spatial transformer.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from attention.lab.checks import (
    Exercise,
    Wrong,
    call,
    describe,
    equation,
    expect_close,
    expect_function,
    expect_numbers,
    expect_research,
    expect_tensor,
    expect_truth,
)

__all__ = ["EXERCISES"]


def _one_place(answer: Any) -> None:
    numbers = expect_numbers(answer, (5,), "the five numbers p′₁, p′₂, m, n, y")
    right = _five(1 / 8, 0.0)
    mistakes = [
        (_five(0.0, 1 / 8), "Across comes first, and down second: the first row of the matrix makes p′₁."),
        (_five(-1 / 4, -1 / 2), "That is p, the output pixel's own place. The matrix leads from there to p′."),
        (_five(1 / 8, 1 / 2), "The first row of two pixels lies at p₂ = −½, not at 0."),
        (_five(-1 / 8, 0.0), "Across there is a shift as well: the third column of the matrix is added."),
        (_five(-1 / 8, -1 / 2), "Both have a shift: the third column of the matrix is added."),
        (_five(-1 / 4, 0.0), "You took p₁ as it is; the first row of the matrix changes it."),
        (
            torch.tensor([1 / 8, 0, 27 / 16, 1 / 2, _value(27 / 16, 1 / 2)]),
            "You took −1 and 1 for the centres of the outer pixels; here they are the edges.",
        ),
        (
            torch.tensor([1 / 8, 0, 9 / 4, 1, _value(9 / 4, 1)]),
            "The centre of the first pixel is pixel 0: half a pixel has to be subtracted.",
        ),
        (torch.tensor([1 / 8, 0, 7 / 4, 1 / 2, 4.5]), "The nearer column weighs more: at 7/4, column 2 weighs ¾."),
        (torch.tensor([1 / 8, 0, 7 / 4, 1 / 2, 11.0]), "The weights of the four pixels sum to 1, not to 2."),
    ]
    expect_close(numbers, right, "the five numbers", tolerance=1e-3, reveal=False, mistakes=mistakes)


_U = ((0.0, 8.0, 4.0, 2.0), (4.0, 0.0, 8.0, 6.0))


def _value(m: float, n: float) -> float:
    return sum(
        value * max(0.0, 1 - abs(m - column)) * max(0.0, 1 - abs(n - row))
        for row, values in enumerate(_U)
        for column, value in enumerate(values)
    )


def _five(x: float, y: float) -> Tensor:
    m, n = ((x + 1) * 4 - 1) / 2, ((y + 1) * 2 - 1) / 2
    return torch.tensor([x, y, m, n, _value(m, n)])


def _matrices(n: int) -> Tensor:
    """Draw affine matrices that are far from each other's order."""
    return torch.eye(2, 3) + 0.5 * torch.randn(n, 2, 3)


def _product(outer: Tensor, inner: Tensor) -> Tensor:
    row = inner.new_tensor([0, 0, 1]).expand(len(inner), 1, 3)
    return outer @ torch.cat([inner, row], dim=1)


def _composes(answer: Any) -> None:
    expect_function(answer)
    for dtype, n in ((torch.float32, 4), (torch.float64, 1)):
        first, second = _matrices(n).to(dtype), _matrices(n).to(dtype)
        about = f"two batches of {n} matrices"
        right = _product(first, second)
        shapes = {
            (n, 3, 3): "Leave the row (0, 0, 1) out of the result: shape (batch, 2, 3).",
            (2, 3): "Each image of the batch has a matrix of its own.",
        }
        shapes.pop(tuple(right.shape), None)
        what = f"the matrices for {about}"
        received = expect_tensor(call(answer, first, second, about=about), right, what, shapes=shapes)
        linear = first[:, :, :2] @ second[:, :, :2]
        mistakes = [
            (_product(second, first), "Follow a pixel backwards: the last transformer is the first that it meets."),
            (torch.cat([linear, first[:, :, 2:] + second[:, :, 2:]], 2), "The second shift goes through the first A."),
            (torch.cat([linear, second[:, :, 2:]], 2), "The first matrix has a shift too."),
            (first * second, "That is a product number by number; a matrix product is asked for."),
            (first + second, "Maps follow each other by a matrix product."),
        ]
        expect_close(received, right, what, mistakes=mistakes)


def _read(u: Tensor, m: Tensor, n: Tensor, mode: str = "bilinear", padding: str = "zeros") -> Tensor:
    height, width = u.shape[1:]
    grid = torch.stack([(2 * m + 1) / width - 1, (2 * n + 1) / height - 1], dim=1)
    read = functional.grid_sample(u[None], grid[None, None], mode, padding, align_corners=False)
    return rearrange(read, "1 c 1 p -> c p")


def _reads_four(answer: Any) -> None:
    expect_function(answer)
    for channels, height, width in ((1, 4, 4), (3, 4, 6), (2, 1, 5)):
        u = torch.randn(channels, height, width, dtype=torch.float64)
        inside = torch.rand(2, 40, dtype=torch.float64)
        far = 3 * torch.randn(2, 40, dtype=torch.float64)
        for where, (m, n) in (
            ("inside", (inside[0] * (width - 1), inside[1] * (height - 1))),
            ("at the centres of pixels", _centres(height, width)),
            ("inside and outside", (width / 2 + far[0], height / 2 + far[1])),
        ):
            about = f"maps of shape {tuple(u.shape)} and places {where}"
            right = _read(u, m, n)
            what = f"the values for {about}"
            shapes = {
                tuple(right.T.shape): "Channels come first: (channels, places).",
                (*right.shape, right.shape[1]): "Give m and n together as indices, not one after the other.",
            }
            shapes.pop(tuple(right.shape), None)
            received = expect_tensor(call(answer, u, m, n, about=about), right, what, shapes=shapes)
            mistakes = [
                (_read(u, m, n, padding="border"), "Outside the map the sum is over nothing: those reads weigh 0."),
                (_read(u, m, n, "nearest"), "That is the nearest pixel. Four pixels share the weight."),
                (_swapped(u, m, n), "m counts columns and n rows: u[:, n, m]."),
            ]
            expect_close(received, right, what, tolerance=1e-6, mistakes=mistakes)
    _reads_no_more(answer)


def _reads_no_more(answer: Any) -> None:
    """Ask for a value from a map in which all pixels but the four around the place are nan."""
    u = torch.full((1, 5, 6), torch.nan, dtype=torch.float64)
    u[:, 1:3, 3:5] = torch.randn(1, 2, 2, dtype=torch.float64)
    m, n = torch.tensor([3.25], dtype=torch.float64), torch.tensor([1.5], dtype=torch.float64)
    received = call(answer, u, m, n, about="a map that is nan but for four pixels, and a place between these")
    if not isinstance(received, Tensor) or not bool(received.isfinite().all()):
        raise Wrong(
            "The values are right. Expected a finite value from a map that is nan but for the four pixels around a "
            f"place, received {describe(received)} that is nan: your function reads more than four.",
            "A weight of 0 does not leave a pixel unread: 0 · nan is nan. Take the four by their indices.",
        )


def _swapped(u: Tensor, m: Tensor, n: Tensor) -> Tensor:
    """Read with the roles of rows and columns confused."""
    return _read(u, n, m)


def _centres(height: int, width: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.arange(height).double(), torch.arange(width).double()
    n, m = torch.meshgrid(rows, columns, indexing="ij")
    return m.flatten(), n.flatten()


def _turn(degrees: Tensor, height: float, width: float, sign: int = 1) -> Tensor:
    angle = sign * torch.deg2rad(degrees)
    c, s, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack([c, -s * height / width, zero, s * width / height, c, zero])
    return rearrange(rows, "(i j) b -> b i j", i=2)


def _rotates(answer: Any) -> None:
    expect_function(answer)
    for height, width in ((8, 8), (6, 12), (10, 4)):
        degrees = torch.tensor([0.0, 30.0, -75.0, 160.0])
        about = f"degrees of shape (4,), height={height} and width={width}"
        right = _turn(degrees, height, width)
        shapes = {(2, 3, 4): "The batch comes first: (batch, 2, 3).", (4, 2, 2): "The third column, the shift, is 0."}
        shapes |= {(4, 6): "Make matrices of the six numbers: (batch, 2, 3)."}
        received = expect_tensor(
            call(answer, degrees, height, width, about=about), right, f"the matrices for {about}", shapes=shapes
        )
        radians = torch.rad2deg(degrees)  # degrees taken for radians
        mistakes = [
            (_turn(degrees, height, width, -1), "That turns counter-clockwise: y points down."),
            (_turn(degrees, 1, 1), "Right for square maps. On others this shears: turn in pixels, not in coordinates."),
            (_turn(degrees, width, height), "Height and width are the wrong way round."),
            (_turn(radians, height, width), "The angles are in degrees; cos and sin of torch take radians."),
        ]
        expect_close(received, right, f"the matrices for {about}", mistakes=mistakes)


#: Windows, the bright pixel, the size of the map, and why the answer is what it is.
_TOLD = (
    ([[1.0, 0, 0], [0, 1, 0]], (3, 4), (6, 8), "The identity reads every pixel."),
    ([[1.0, 0, 3], [0, 1, 0]], (3, 4), (6, 8), "The window lies beyond the right edge."),
    ([[0.3, 0, 0], [0, 0.3, 0]], (0, 0), (8, 8), "The window shows the middle only, and the bright pixel is a corner."),
    ([[0.3, 0, 0], [0, 0.3, 0]], (3, 4), (8, 8), "The bright pixel is in the middle of the window."),
    ([[2.5, 0, 0], [0, 2.5, 0]], (4, 4), (9, 9), "The middle pixel of an odd map stays in the middle."),
    ([[4.0, 0, 0], [0, 4, 0]], (2, 2), (9, 9), "A scale of 4 steps over pixels: 4 to the next place."),
    ([[0.5, 0, 0], [0, 0.5, 0.5]], (0, 4), (6, 8), "A positive shift of p′₂ moves the window down."),
    ([[0.5, 0, 0.5], [0, 0.5, 0]], (3, 6), (6, 10), "A positive shift of p′₁ moves the window to the right."),
    ([[0.5, 0, 0], [0, 0.5, -0.5]], (0, 4), (10, 6), "A negative shift of p′₂ moves the window up."),
    ([[0.25, 0, 0.02], [0, 0.25, 0]], (4, 2), (8, 8), "Less than one pixel away is near enough."),
    (
        [[0.9, 0, 0], [0.9, 0, 0]],
        (0, 7),
        (8, 8),
        "One place has to be near in both directions; two places do not make up for it.",
    ),
)


def _near(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Say for each output pixel whether its place is near the bright one across, and whether it is down."""
    grid = functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    m, n = ((grid[..., 0] + 1) * width - 1) / 2, ((grid[..., 1] + 1) * height - 1) / 2
    return (m - bright[1]).abs() < 1, (n - bright[0]).abs() < 1


def _told(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> bool:
    across, down = _near(theta, bright, height, width)
    return bool((across & down).any())


def _told_column_first(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> bool:
    return _told(theta, bright[::-1], height, width)


def _told_by_any(theta: Tensor, bright: tuple[int, int], height: int, width: int) -> bool:
    across, down = _near(theta, bright, height, width)
    return bool((across | down).any())


#: Mistakes that show in all windows together, with the hint that fits them.
_MISTOLD = (
    (_told_column_first, "bright is (row, column): the row is compared with n, which counts down."),
    (_told_by_any, "A place has to be near in both directions, not in one."),
)


def _sees_reach(answer: Any) -> None:
    expect_function(answer)
    asked, given = [], []
    for rows, bright, (height, width), _ in _TOLD:
        about = f"theta={rows}, bright={bright}, height={height} and width={width}"
        arguments = torch.tensor(rows), bright, height, width
        called = call(answer, *arguments, about=about)
        hint = "One answer for the whole window: does any output pixel come near?"
        given.append(expect_truth(called, about, hint))
        asked.append((arguments, about))
    hint = next((hint for wrong, hint in _MISTOLD if given == [wrong(*arguments) for arguments, _ in asked]), "")
    for (arguments, about), received, (*_, why) in zip(asked, given, _TOLD, strict=True):
        if received != (right := _told(*arguments)):
            raise Wrong(f"For {about}: expected {right}, received {received}.", hint or why)


def _reports_research(answer: Any) -> None:
    expect_research(answer, "A control of equal size: give the smaller model more features elsewhere.", "spreads")


_THETA = equation("stn", 1, "θ = W_θ f(x) + b_θ")
_GRID = equation("stn", 2, "p′ = A_θ (p₁, p₂, 1)", "(1)")
_PIXELS = equation("stn", 4, "m = ((p′₁ + 1) W − 1)/2, n = ((p′₂ + 1) H − 1)/2")
_SAMPLE = equation("stn", 5, "y = Σ_i Σ_j x_ij k(m − j) k(n − i) with k(d) = max(0, 1 − |d|)", "(5)")

EXERCISES = (
    Exercise(
        "stn.1",
        "One place by hand",
        f"{_GRID}; {_PIXELS}; and {_SAMPLE}",
        (_one_place,),
        "Write down p first: column 1 of four lies at −¼, row 0 of two at −½.",
        "place, pixel and value, to 0.001.",
    ),
    Exercise(
        "stn.2",
        "Two windows in a row",
        _GRID,
        (_composes,),
        "Write the shift as a third column, and give one of the matrices a third row.",
        "the matrices of the one transformer, for a batch and for a single image, in the dtype that came in.",
    ),
    Exercise(
        "stn.3",
        "Four reads are enough",
        _SAMPLE,
        (_reads_four,),
        "Round down, take the next column and the next row as well, and give each of the four its weight.",
        "the values inside, at the centres of pixels and outside, for one channel and several, for a map of one row; "
        "no pixel is read but the four around a place.",
    ),
    Exercise(
        "stn.4",
        "A turn on a map that is not square",
        f"{_GRID}; and {_PIXELS}",
        (_rotates,),
        "Go from coordinates to pixels, turn there, and come back.",
        "turns by four angles on a square, a wide and a high map; no distance in pixels changes.",
    ),
    Exercise(
        "stn.5",
        "How far may the window be off?",
        equation("stn", 7, "∂y/∂p′₁ = W/2 Σ_i (x_i,j+1 − x_ij) k(n − i)", "(7)"),
        (_sees_reach,),
        "Compute the places of all output pixels, in pixels, and compare them with the bright one.",
        "eleven windows: inside, outside, shifted, and with places that lie more than a pixel apart.",
    ),
    Exercise(
        "stn.6",
        "Teach it to turn",
        _THETA,
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of the spreads that they leave, and a verdict "
        "that follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
