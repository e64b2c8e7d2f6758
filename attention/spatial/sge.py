r"""Spatial Group-wise Enhance: in each group of channels, the positions pass that resemble the group's mean vector."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["SpatialGroupEnhance"]

#: What is added to the deviation, so that a map without one is not divided by 0.
EPSILON = 1e-5

for _function in ("rearrange", "wide", "_products"):
    torch.fx.wrap(_function)


class SpatialGroupEnhance(Attention):
    r"""Spatial Group-wise Enhance (SGE): a gate for each position in each group of channels.

    The channels are divided into $G$ groups of $C/G$ neighbours, and all of this happens in each group alone. With
    $x_i \in \mathbb{R}^{C/G}$ the group's vector at position $i$ of $m = HW$,

    $$
    g = \frac{1}{m} \sum_{i=1}^{m} x_i, \qquad
    c_i = g \cdot x_i, \qquad
    \hat c_i = \frac{c_i - \mu}{s + \varepsilon}, \qquad
    a_i = \gamma\, \hat c_i + \beta, \qquad
    \hat x_i = x_i\, \sigma(a_i)
    $$

    with $\mu = \frac{1}{m} \sum_j c_j$, $s^2 = \frac{1}{m} \sum_j (c_j - \mu)^2$, $\varepsilon = 10^{-5}$, and for each
    group a weight $\gamma$, 0 at the start, and a bias $\beta$, 1 at the start. So every gate of a fresh block is
    $\sigma(1) \approx 0.731$, whatever the image.

    :param channels: number of channels $C$ of the input and the output.
    :param groups: number of groups $G$; they divide ``channels``. The paper's networks have 64.
    :param unbiased: whether $s^2$ divides by $m - 1$ in place of $m$, as in the authors' code. On a map of one pixel
        $s = 0$, as in the equations.
    :raises TypeError: for a ``channels`` or ``groups`` that is not a whole number, an ``unbiased`` that is not a bool;
        for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, ``groups`` that do not divide ``channels``; for an input that is not of
        shape (batch, channels, height, width).

    Source: Xiang Li, Xiaolin Hu, Jian Yang, *Spatial Group-wise Enhance: Improving Semantic Feature Learning in
    Convolutional Networks*, arXiv 1905.09646, 2019. ACCV 2022 has a paper on it under another title: Yuxuan Li, Xiang
    Li, Jian Yang, *Spatial Group-wise Enhance: Enhancing Semantic Feature Learning in CNN*.

    Differs from the official code: that is ``unbiased=True``; on a map of one pixel it returns NaN.
    """

    def __init__(self, channels: int, groups: int = 64, unbiased: bool = False) -> None:
        super().__init__()
        channels, groups = check_positive(channels=channels, groups=groups)
        check_flags(unbiased=unbiased)
        check_divides(channels=channels, groups=groups)
        self.channels, self.groups, self.unbiased = channels, groups, bool(unbiased)
        self.maps = {"space": Map("b g h w", "sigmoid", about="how much of this position passes, in this group")}
        self.steps = {
            "g": Step("b g k", "compare", "the mean vector of each group"),
            "c": Step("b g h w", "compare", "how much each position resembles its group's mean vector"),
            "normalised": Step("b g h w", "normalise", "the same, less its mean and over its deviation", r"\hat c"),
            "a": Step("b g h w", "normalise", "the same, scaled and shifted by what each group has learned"),
            "y": Step("b c h w", "scale", "each position times its gate", symbol=r"\hat x"),
        }
        self.weight = nn.Parameter(torch.empty(groups))
        self.bias = nn.Parameter(torch.empty(groups))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Set $\gamma$ to 0 and $\beta$ to 1."""
        super().reset_parameters()
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)

    def weights(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch groups height width"]:
        r"""Compute the gates $\sigma(a)$, each in (0, 1).

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the gates, (batch, groups, height, width).
        """
        check_input(x, "b c h w", c=self.channels)
        g = self.step("g", rearrange(x.mean((2, 3), dtype=wide(x.dtype)), "b (g k) -> b g k", g=self.groups))
        c = self.step("c", _products(g, x))
        centred = c - c.mean((2, 3), keepdim=True)
        # The norm has a gradient where the map has no deviation; the root of a mean of squares has none.
        norm = torch.linalg.vector_norm(centred, dim=(2, 3), keepdim=True)
        m = norm.new_ones(()) * (x.shape[2] * x.shape[3])  # a tensor: in a traced graph, sizes are not Python's numbers
        s = norm / ((m - 1).clamp(min=1) if self.unbiased else m).sqrt()
        c = self.step("normalised", centred / (s + EPSILON))
        gamma, beta = (rearrange(p, "g -> g 1 1") for p in (self.weight, self.bias))
        return self.step("a", gamma * c + beta).sigmoid().to(x.dtype)

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output and the gates.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output, of the same shape, and the gates as ``"space"``: one map for each group.
        """
        gate = self.weights(x)
        y = rearrange(x, "b (g k) h w -> b g k h w", g=self.groups) * rearrange(gate, "b g h w -> b g 1 h w")
        return self.step("y", rearrange(y, "b g k h w -> b (g k) h w")), {"space": gate}


def _products(g: Tensor, x: Tensor) -> Tensor:
    """Take the inner products of each group's vector with that of each of its positions, in at least float32."""
    with full_precision(x):
        vectors = rearrange(x.to(g.dtype), "b (g k) h w -> b g k (h w)", g=g.shape[1])
        c = rearrange(g, "b g k -> b g 1 k") @ vectors
    return rearrange(c, "b g 1 (h w) -> b g h w", h=x.shape[2])
