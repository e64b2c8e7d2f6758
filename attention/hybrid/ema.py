r"""EMA: in each group of channels, a strip-pooled branch and a 3 × 3 branch say where the other one is heard."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_divides, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["EfficientMultiScaleAttention"]

for _function in ("rearrange", "_cross"):
    torch.fx.wrap(_function)


class EfficientMultiScaleAttention(Attention):
    r"""Efficient Multi-Scale Attention (EMA): one gate of positions for each group of channels.

    The channels are divided into $G$ groups of $k = C/G$, and all groups have the same weights. With $x \in
    \mathbb{R}^{k \times H \times W}$ one group, $\operatorname{GN}$ a normalisation of each channel over its
    positions, and $\operatorname{GAP}$ the mean over positions,

    $$
    z^h_i = \frac{1}{W} \sum_{j} x(i, j), \qquad
    z^w_j = \frac{1}{H} \sum_{i} x(i, j)
    $$
    $$
    x_1 = \operatorname{GN}\big(x \odot \sigma(W_1 z^h + b_1) \odot \sigma(W_1 z^w + b_1)\big), \qquad
    x_2 = W_3 * x + b_3
    $$
    $$
    a_1 = \operatorname{softmax}\big(\operatorname{GAP}(x_1)\big), \qquad
    a_2 = \operatorname{softmax}\big(\operatorname{GAP}(x_2)\big), \qquad
    M = \sigma\big(a_1^\top x_2 + a_2^\top x_1\big), \qquad
    y = x \odot M
    $$

    with $W_1 \in \mathbb{R}^{k \times k}$ for rows and columns alike, a $3 \times 3$ convolution $W_3$ from $k$ to $k$
    channels, and softmaxes over the $k$ channels. The names are ours: the paper tells most of it in words and in a
    figure.

    After $\operatorname{GN}$ the mean of a channel is the shift that was learnt: $a_1$ is the same for every image.

    :param channels: number of channels $C$ of the input and the output.
    :param groups: number of groups $G$, which the official code calls ``factor``; it divides ``channels``. The paper
        uses 32. With as many groups as channels, both softmaxes are of one number, which is 1.
    :raises TypeError: for an argument that is not a whole number; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, ``groups`` that do not divide ``channels``; for an input that is not of
        shape (batch, channels, height, width).

    Source: Daliang Ouyang, Su He, Guozhong Zhang, Mingzhu Luo, Huaiyong Guo, Jian Zhan, Zhijie Huang, *Efficient
    Multi-Scale Attention Module with Cross-Spatial Learning*, ICASSP 2023, arXiv 2305.13563.

    Differs from the official code: in nothing that is computed. It lays the means of rows and columns one behind the
    other for $W_1$; it does not test that ``groups`` divide ``channels``; and it refuses a single group of one pixel.
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        channels, groups = check_positive(channels=channels, groups=groups)
        check_divides(channels=channels, groups=groups)
        self.channels, self.groups = channels, groups
        self.maps = {"space": Map("b g h w", "sigmoid", about="how much of this position passes in this group")}
        self.steps = {
            "zh": Step("(b g) k h 1", "strips", "the mean of each row", symbol="z^h"),
            "zw": Step("(b g) k 1 w", "strips", "the mean of each column", symbol="z^w"),
            "x1": Step("(b g) k h w", "strips", "the input under both gates, normalised", symbol="x_1"),
            "x2": Step("(b g) k h w", "window", "what the 3 × 3 convolution makes of the input", symbol="x_2"),
            "a1": Step("(b g) k", "across", "how much each channel of the second branch counts", symbol="a_1"),
            "a2": Step("(b g) k", "across", "how much each channel of the first branch counts", symbol="a_2"),
            "M": Step("b g h w", "across", "how much of each position passes, in each group"),
            "y": Step("b c h w", "across", "the input times its gate"),
        }
        width = channels // groups
        self.strips = nn.Conv2d(width, width, 1)
        self.window = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(width, width)

    def branches(
        self, x: Float[Tensor, "groups width height width_of_map"]
    ) -> tuple[Float[Tensor, "groups width height width_of_map"], Float[Tensor, "groups width height width_of_map"]]:
        """Compute both branches of all groups.

        :param x: the groups of all samples, one behind the other: (batch · groups, channels / groups, height, width).
        :returns: $x_1$ and $x_2$, of the same shape.
        """
        zh = self.step("zh", x.mean(3, keepdim=True))
        zw = self.step("zw", x.mean(2, keepdim=True))
        gated = x * self.strips(zh).sigmoid() * self.strips(zw).sigmoid()
        # The function behind nn.GroupNorm: the module itself refuses a single group of one pixel.
        x1 = torch.group_norm(gated, self.norm.num_groups, self.norm.weight, self.norm.bias, self.norm.eps)
        return self.step("x1", x1.to(x.dtype)), self.step("x2", self.window(x).to(x.dtype))

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the gate of each group, and the input under it.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output of the same shape, and the map ``space``: (batch, groups, height, width).
        """
        check_input(x, "b c h w", c=self.channels)
        each = rearrange(x, "b (g k) h w -> (b g) k h w", g=self.groups)
        x1, x2 = self.branches(each)
        a1, first = _cross(x1, x2)
        a2, second = _cross(x2, x1)
        self.step("a1", a1)
        self.step("a2", a2)
        gate = (first + second).sigmoid().to(x.dtype)
        gate = self.step("M", rearrange(gate, "(b g) h w -> b g h w", g=self.groups))
        parts = rearrange(x, "b (g k) h w -> b g k h w", g=self.groups)
        y = rearrange(parts * rearrange(gate, "b g h w -> b g 1 h w"), "b g k h w -> b (g k) h w")
        return self.step("y", y), {"space": gate}


def _cross(summary: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Weigh the channels of one branch by the means of the other: return the weights, and the weighted sum."""
    with full_precision(summary):
        a = summary.to(wide(summary.dtype)).mean((2, 3)).softmax(1)
        values = rearrange(other.to(a.dtype), "b k h w -> b k (h w)")
        total = rearrange(a, "b k -> b 1 k") @ values
        return a, rearrange(total, "b 1 (h w) -> b h w", h=other.shape[2])
