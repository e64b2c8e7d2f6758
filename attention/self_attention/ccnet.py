r"""Criss-cross attention: each position attends to its row and its column, and in two passes to every position."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["CrissCrossAttention"]

for _function in ("rearrange", "_affinity", "_softmax", "_aggregate"):
    torch.fx.wrap(_function)


class CrissCrossAttention(Attention):
    r"""Recurrent criss-cross attention (RCCA), the module of CCNet: $R$ passes with one set of weights.

    With $X$ the features, the paper's $H$, and $u$ a position, the vectors $\Omega_{i,u} \in \mathbb{R}^{C/r}$ of the
    keys $K$ and $\Phi_{i,u} \in \mathbb{R}^{C}$ of the values $V$ at the positions $i$ of its row and its column, of
    which there are height + width − 1, and its query $Q_u \in \mathbb{R}^{C/r}$,

    $$
    d_{i,u} = Q_u\, \Omega_{i,u}^\top, \qquad
    A_{i,u} = \frac{e^{d_{i,u}}}{\sum_{i'} e^{d_{i',u}}}, \qquad
    X'_u = \sum_i A_{i,u}\, \Phi_{i,u} + X_u
    $$

    where $Q$, $K$ and $V$ are 1 × 1 convolutions of $X$: the paper's equations (1) and (2). The next pass takes $X'$
    for $X$ and the same convolutions. After one pass a position has information from its row and column. After two
    passes it has information from every position.

    The position $u$ lies in its row and in its column, but counts once. The block computes $n$ = height + width scores.
    It sets the score of $u$ in its own column to $-\infty$. The matrix of all pairs is never stored.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which $Q$ and $K$ are narrower than the input; it divides ``channels``. The
        authors' code uses 8.
    :param passes: how often the module is applied, $R$. The paper uses 2.
    :param scale: whether the sum is multiplied by a learnt number $\gamma$ that starts at 0, as in the authors' code:
        a fresh block is the identity then. The paper's equation has no such number.
    :raises TypeError: for a ``channels``, ``reduction`` or ``passes`` that is not a whole number, a ``scale`` that is
        not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``; for an input that is
        not of shape (batch, channels, height, width).

    Source: Zilong Huang, Xinggang Wang, Lichao Huang, Chang Huang, Yunchao Wei, Wenyu Liu, *CCNet: Criss-Cross
    Attention for Semantic Segmentation*, ICCV 2019, arXiv 1811.11721, equations (1) and (2). The version in TPAMI
    45(6), 2023, has more authors: Zilong Huang, Xinggang Wang, Yunchao Wei, Lichao Huang, Humphrey Shi, Wenyu Liu,
    Thomas S. Huang.

    Differs from the official code: one pass of that is ``passes=1, scale=True``.
    """

    def __init__(self, channels: int, reduction: int = 8, passes: int = 2, scale: bool = False) -> None:
        super().__init__()
        channels, reduction, passes = check_positive(channels=channels, reduction=reduction, passes=passes)
        check_flags(scale=scale)
        check_divides(channels=channels, reduction=reduction)
        self.channels, self.passes, self.scale = channels, passes, bool(scale)
        about = (
            "how much the position takes of each of its column, from the top, then of each of its row, from the left"
        )
        self.maps = {
            f"pass_{number}": Map("b (h w) n", "softmax", sums=(2,), about=f"{about}, in pass {number}")
            for number in range(1, passes + 1)
        }
        self.steps = {
            "Q": Step("b m h w", "embed", "what each position looks for"),
            "K": Step("b m h w", "embed", "what each position is found by"),
            "V": Step("b c h w", "embed", "what each position gives"),
            "d": Step("b (h w) n", "compare", "the similarity with each position of its column, then of its row"),
            "A": Step("b (h w) n", "compare", about),
            "X1": Step("b c h w", "read", "the weighted mean of the values, added to what was there", symbol="X'"),
        }
        self.queries = nn.Conv2d(channels, channels // reduction, 1)
        self.keys = nn.Conv2d(channels, channels // reduction, 1)
        self.values = nn.Conv2d(channels, channels, 1)
        if scale:
            self.gamma = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Draw the convolutions anew, and set $\\gamma$ to 0."""
        super().reset_parameters()
        if self.scale:
            with torch.no_grad():
                self.gamma.zero_()

    def attend(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], dict[str, Tensor]]:
        """Compute the output, and the weights of each pass.

        :param x: the feature maps $X$, (batch, channels, height, width).
        :returns: the output, of the same shape, and the maps ``pass_1``, ``pass_2``, …, each (batch, H·W, H + W): for
            every position the weights of its column, where that of itself is 0, then of its row.
        """
        check_input(x, "b c h w", c=self.channels)
        maps = {}
        for number in range(1, self.passes + 1):
            x, maps[f"pass_{number}"] = self._once(x)
        return x, maps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Compute the output, letting go of the weights after each pass.

        :param x: the feature maps $X$, (batch, channels, height, width).
        :returns: the output, of the same shape.
        """
        check_input(x, "b c h w", c=self.channels)
        for _ in range(self.passes):
            x = self._once(x)[0]
        return x

    def _once(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one pass: equations (1) and (2)."""
        q, k = self.step("Q", self.queries(x)), self.step("K", self.keys(x))
        v = self.step("V", self.values(x))
        d = self.step("d", _affinity(q, k))
        a = self.step("A", _softmax(d, v))
        mean = _aggregate(a, v)
        return self.step("X1", x + (self.gamma * mean if self.scale else mean)), a


def _affinity(q: Tensor, k: Tensor) -> Tensor:
    """Compare each query with the keys of its column and of its row, in at least float32; itself once, in the row."""
    with full_precision(q):
        q, k = (t.to(wide(t.dtype)) for t in (q, k))
        column = rearrange(q, "b d h w -> b w h d") @ rearrange(k, "b d i w -> b w d i")
        row = rearrange(q, "b d h w -> b h w d") @ rearrange(k, "b d h i -> b h d i")
        place = torch.arange(q.shape[2], device=q.device)
        itself = rearrange(place, "h -> h 1") == place
        column = column.masked_fill(itself, float("-inf"))
        return rearrange(torch.cat([rearrange(column, "b w h i -> b h w i"), row], dim=3), "b h w n -> b (h w) n")


def _softmax(d: Tensor, like: Tensor) -> Tensor:
    with full_precision(d):
        return d.softmax(dim=2).to(like.dtype)


def _aggregate(a: Tensor, v: Tensor) -> Tensor:
    """Sum the values of the column and of the row, each with its weight."""
    column, row = rearrange(a, "b (h w) n -> b h w n", h=v.shape[2]).split([v.shape[2], v.shape[3]], dim=3)
    above = rearrange(column, "b h w i -> b w h i") @ rearrange(v, "b c i w -> b w i c")
    beside = row @ rearrange(v, "b c h i -> b h i c")
    return rearrange(above, "b w h c -> b c h w") + rearrange(beside, "b h w c -> b c h w")
