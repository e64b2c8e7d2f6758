r"""Spatial transformer: choose a window from the input, and look at the input through it."""

from functools import partial
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from attention.contract import Attention, Map, Step, check_flags, check_input, check_positive
from attention.numerics import full_precision, has_tangent, starting, wide

__all__ = ["SpatialTransformer"]

#: Each transform, and the θ with which it changes nothing.
IDENTITY: dict[str, tuple[float, ...]] = {"affine": (1, 0, 0, 0, 1, 0), "attention": (1, 0, 0)}

for _function in ("rearrange", "wide", "_check_found", "_look", "_targets"):
    torch.fx.wrap(_function)


class SpatialTransformer(Attention):
    r"""Spatial transformer: resample the feature maps through a window that is chosen from them.

    With $x \in \mathbb{R}^{C \times H \times W}$ the input, each pixel of the output lies at a place $p = (p_1, p_2)$,
    across and down, in coordinates from −1 to 1, and shows the place $p'$ of the input:

    $$
    \theta = f_\mathrm{loc}(x), \qquad
    p' = A_\theta \begin{pmatrix} p_1 \\ p_2 \\ 1 \end{pmatrix}, \qquad
    y_c(p) = \sum_n^H \sum_m^W x_c(n, m) \max(0, 1 - |p'_1 - m|) \max(0, 1 - |p'_2 - n|)
    $$

    the paper's equations (1) and (5); in (5) the place is in pixels. Beyond the input's edge all is 0. (The paper
    writes $U$ for the input, $V$ for the output, $(x^t_i, y^t_i)$ for $p$ and $(x^s_i, y^s_i)$ for $p'$.)

    :param localiser: the localisation network but for its last layer: any module from (batch, channels, height, width)
        to (batch, ``features``). The last layer, from there to θ, is the block's own and is called ``head``.
    :param features: how many numbers the localiser returns for an image.
    :param transform: ``"affine"``: $A_\theta$ has six free entries, row by row; ``"attention"``: θ is one scale $s$
        and a shift, $A_\theta = (s, 0, t_x;\; 0, s, t_y)$, equation (2): it crops, zooms and shifts, and turns nothing.
    :param size: (height, width) of the output; by default that of the input.
    :param align_corners: where −1 and 1 lie: ``False``, the default, at the outer edges of the first and the last
        pixel; ``True``, at their centres. It holds for the grid and for the sampler alike.
    :param identity: whether the head starts with weights 0 and the bias that changes nothing. ``False`` starts it as
        any linear layer starts, to see what happens.
    :raises TypeError: for a localiser that is no module or returns no tensor, ``features`` or a ``size`` that are no
        whole numbers, an ``align_corners`` or ``identity`` that is not a bool; for an input that is not a
        floating-point tensor.
    :raises ValueError: for ``features`` or a ``size`` below 1, an unknown transform; for an input that is not of shape
        (batch, channels, height, width); for a localiser that returns another shape than (batch, ``features``).

    Source: Max Jaderberg, Karen Simonyan, Andrew Zisserman, Koray Kavukcuoglu, *Spatial Transformer Networks*, NIPS
    2015, arXiv 1506.02025, equations (1), (2) and (5).

    Differs from the official code: none was published. The paper does not say where −1 and 1 lie; see
    ``align_corners``.
    """

    def __init__(
        self,
        localiser: nn.Module,
        features: int,
        transform: str = "affine",
        size: tuple[int, int] | None = None,
        align_corners: bool = False,
        identity: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(localiser, nn.Module):
            raise TypeError(f"localiser: expected an nn.Module, received {type(localiser).__name__}")
        if transform not in IDENTITY:
            raise ValueError(f"transform={transform!r} is not one of {', '.join(IDENTITY)}")
        (self.features,) = check_positive(features=features)
        check_flags(align_corners=align_corners, identity=identity)
        self.transform, self.align_corners = transform, align_corners
        self.size = size = None if size is None else _sizes(size)
        dims = "b h w 2" if size is None else f"b {size[0]} {size[1]} 2"
        self.maps = {
            "theta": Map("b 2 3", "real", about="the matrix that leads from output to input; scale > 1 shows more"),
            "grid": Map(dims, "real", about="where each output pixel looks: across, then down, from -1 to 1"),
        }
        self.steps = {
            "theta": Step("b k", "localise", "the numbers that the localiser chooses", symbol=r"\theta"),
            "A": Step("b 2 3", "localise", "the matrix that they make", symbol=r"A_\theta"),
            "grid": Step("b p q 2", "grid", "where each output pixel looks: across, then down", symbol="p'"),
            "y": Step("b c p q", "sample", "what it sees there"),
        }
        self.localiser = localiser
        self.head = nn.Linear(self.features, len(IDENTITY[transform]))
        if identity:
            starting(self.head, partial(_changes_nothing, transform))

    def theta(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 2 3"]:
        """Localise: compute the matrix $A_θ$ of each image.

        :param x: the feature maps $x$, (batch, channels, height, width).
        :returns: the matrices, (batch, 2, 3), from output coordinates to input coordinates.
        """
        check_input(x)
        found = self.localiser(x)
        _check_found(found, x, self.features)
        theta = self.step("theta", self.head(found))
        if self.transform == "attention":  # equation (2)
            s, tx, ty = theta.unbind(dim=1)
            theta = torch.stack([s, torch.zeros_like(s), tx, torch.zeros_like(s), s, ty], dim=1)
        return self.step("A", rearrange(theta, "b (i j) -> b i j", i=2))

    def grid(self, theta: Float[Tensor, "batch 2 3"], height: int, width: int) -> Float[Tensor, "batch h w 2"]:
        """Map the centre of each output pixel to the place in the input that it shows, equation (1).

        Coordinates need more digits than bfloat16 has: the grid is at least float32, under autocast too.

        :param theta: the matrices, (batch, 2, 3).
        :param height: of the output.
        :param width: of the output.
        :returns: x and y, from −1 to 1 inside the input, (batch, height, width, 2).
        """
        return self.step("grid", _look(_targets(height, width, theta, self.align_corners), theta))

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels h w"], dict[str, Tensor]]:
        """Compute the output as equation (5) says, every input pixel with its weight, and return θ and the grid."""
        theta = self.theta(x)
        height, width = self.size or x.shape[-2:]
        grid = self.grid(theta, height, width)
        u = x.to(grid.dtype)
        xs, ys = (self._pixels(grid[..., i], n) for i, n in ((0, x.shape[3]), (1, x.shape[2])))
        m, n = (torch.arange(k, device=x.device, dtype=grid.dtype) for k in (x.shape[3], x.shape[2]))
        across = (1 - (rearrange(xs, "b i j -> b i j 1") - m).abs()).relu()  # max(0, 1 − |x − m|)
        down = (1 - (rearrange(ys, "b i j -> b i j 1") - n).abs()).relu()  # max(0, 1 − |y − n|)
        with full_precision(u):
            y = einsum(u, down, across, "b c n m, b i j n, b i j m -> b c i j")
        return self.step("y", y.to(x.dtype)), {"theta": theta, "grid": grid.to(x.dtype)}

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels h w"]:
        """Compute the output alone: the four pixels around each place are read, and no others."""
        theta = self.theta(x)
        height, width = self.size or x.shape[-2:]
        grid = self.grid(theta, height, width)
        if has_tangent(x, grid):  # which the sampler's kernel cannot carry
            return self.attend(x)[0]
        return functional.grid_sample(x.to(grid.dtype), grid, align_corners=self.align_corners).to(x.dtype)

    def _pixels(self, places: Tensor, size: int) -> Tensor:
        """Turn coordinates from −1 to 1 into pixels from 0 to ``size`` − 1."""
        if self.align_corners:
            return (places + 1) * (size - 1) / 2
        return ((places + 1) * size - 1) / 2


def _changes_nothing(transform: str, head: nn.Module) -> None:
    """Let the head compute the one θ that changes nothing, whatever the image."""
    head.weight.zero_()
    head.bias.copy_(torch.tensor(IDENTITY[transform]))


def _sizes(size: tuple[int, int]) -> tuple[int, ...]:
    if not isinstance(size, tuple | list):
        raise TypeError(f"size={size!r} is not (height, width)")
    if len(size) != 2:
        raise ValueError(f"size={size!r} is not (height, width)")
    return check_positive(**{f"size[{i}]": n for i, n in enumerate(size)})


def _check_found(found: Any, x: Tensor, features: int) -> None:
    """Refuse what a localiser returns, if it is not a row of numbers for each image."""
    expected = f"localiser: expected to return shape (batch, features)={(x.shape[0], features)}, received"
    if not isinstance(found, Tensor):
        raise TypeError(f"{expected} {type(found).__name__}")
    if found.ndim != 2 or found.shape[0] != x.shape[0] or found.shape[1] != features:
        raise ValueError(f"{expected} shape {tuple(found.shape)}")


def _targets(height: int, width: int, theta: Tensor, align_corners: bool) -> Tensor:
    """List the centres of the output's pixels as (x, y, 1): (height, width, 3)."""
    like = torch.empty(0, dtype=wide(theta.dtype), device=theta.device)
    y, x = (_centres(n, like, align_corners) for n in (height, width))
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=2)


def _look(target: Tensor, theta: Tensor) -> Tensor:
    """Apply each matrix to each target."""
    with full_precision(theta):
        return einsum(target, theta.to(target.dtype), "h w k, b i k -> b h w i")


def _centres(size: int, like: Tensor, align_corners: bool) -> Tensor:
    """Where the centres of ``size`` pixels lie between −1 and 1."""
    pixels = torch.arange(size, device=like.device, dtype=like.dtype)
    return (2 * pixels - size + 1) / max(size - 1, 1) if align_corners else (2 * pixels + 1) / size - 1
