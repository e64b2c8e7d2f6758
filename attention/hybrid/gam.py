r"""GAM: two gates for every element, one from its position's channels, one from two large convolutions."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import (
    Attention,
    Map,
    Step,
    check_divides,
    check_flags,
    check_input,
    check_positive,
    check_training,
)

__all__ = ["PADDINGS", "GlobalAttention"]

#: What the convolutions see beyond the border: nothing, or its nearest element.
PADDINGS = ("zeros", "replicate")

torch.fx.wrap("rearrange")


class GlobalAttention(Attention):
    r"""Global Attention Mechanism (GAM): a channel gate and a spatial gate for every element, without any pooling.

    With $\delta$ the ReLU, $W_0 \in \mathbb{R}^{C/r \times C}$ and $W_1 \in \mathbb{R}^{C \times C/r}$ applied to the
    channels of every position, and $f_1$, $f_2$ convolutions of $k \times k$ pixels with $C/r$ channels between them,
    all with biases,

    $$
    M_c = \sigma\big(W_1\, \delta(W_0 F_1 + b_0) + b_1\big), \qquad F_2 = M_c \odot F_1
    $$

    $$
    M_s = \sigma\Big(\operatorname{BN}\big(f_2\, \delta(\operatorname{BN}(f_1 F_2))\big)\Big), \qquad
    F_3 = M_s \odot F_2
    $$

    $F_2$ and $F_3$ are the paper's equations (1) and (2); what $M_c$ and $M_s$ are, it says in words and in figures.
    The sigmoid in $M_c$ rests on descriptions by others: well-known copies have none there.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which both gates are narrower inside; it divides ``channels``. With 16 the
        networks have the sizes that the paper prints; the well-known copies have 4.
    :param kernel_size: the side $k$ of the convolutions in pixels, odd. The paper uses 7.
    :param groups: the groups of both convolutions, a divisor of $C/r$; where there are several, the channels between
        the convolutions are shuffled, so that each group of the second sees all of the first. The paper prints
        ResNet-50 without groups (149.5 M on CIFAR-100) and with them (57 M); ``groups=4`` gives the second. It does not
        say where it shuffles: this is the place of ShuffleNet, from which it has the idea.
    :param channel_sigmoid: whether $M_c$ has its sigmoid. ``False`` is what most well-known copies do: the first gate
        is then any number, and its product with an input of some hundreds may leave the range of float16.
    :param padding: what the convolutions see beyond the border: ``"zeros"``, or the nearest element, ``"replicate"``.
    :raises TypeError: for a ``channels``, ``reduction``, ``kernel_size`` or ``groups`` that is not a whole number, a
        ``channel_sigmoid`` that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, ``groups`` that do not
        divide $C/r$, an even ``kernel_size``, an unknown ``padding``; for an input that is not of shape
        (batch, channels, height, width); in training, for a single image of one pixel.

    Source: Yichao Liu, Zongru Shao, Nico Hoffmann, *Global Attention Mechanism: Retain Information to Enhance
    Channel-Spatial Interactions*, 2021, arXiv 2112.05561, equations (1) and (2).

    Differs from the official code: there is none. A well-known copy is ``reduction=4, channel_sigmoid=False,
    padding="replicate"``; others are the same with ``padding="zeros"``. What well-known copies with groups shuffle is
    $M_s$, so that nearly every channel gets another's gate.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        groups: int = 1,
        channel_sigmoid: bool = True,
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        channels, reduction, kernel_size, groups = check_positive(
            channels=channels, reduction=reduction, kernel_size=kernel_size, groups=groups
        )
        check_flags(channel_sigmoid=channel_sigmoid)
        check_divides(channels=channels, reduction=reduction)
        width = channels // reduction
        check_divides(**{"channels/reduction": width, "groups": groups})
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} is even: no pixel is in its middle; allowed: 1, 3, 5, …")
        if padding not in PADDINGS:
            raise ValueError(f"padding={padding!r} is not one of {', '.join(PADDINGS)}")
        self.channels, self.groups, self.channel_sigmoid = channels, groups, bool(channel_sigmoid)
        kind = "sigmoid" if channel_sigmoid else "real"
        self.maps = {
            "channel": Map("b c h w", kind, about="how much of this element passes, by its position's channels"),
            "space": Map("b c h w", "sigmoid", about="how much of this element passes, by its neighbourhood"),
        }
        self.steps = {
            "Mc": Step("b c h w", "channels", "the gate from the channels of the position", symbol="M_c"),
            "F2": Step("b c h w", "channels", "what the first gate lets through", symbol="F_2"),
            "Ms": Step("b c h w", "positions", "the gate from the neighbourhood", symbol="M_s"),
            "F3": Step("b c h w", "positions", "what both gates let through", symbol="F_3"),
        }
        seen = {"padding": kernel_size // 2, "padding_mode": padding, "groups": groups}
        self.reduce = nn.Linear(channels, width)
        self.expand = nn.Linear(width, channels)
        self.conv1 = nn.Conv2d(channels, width, kernel_size, **seen)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, channels, kernel_size, **seen)
        self.norm2 = nn.BatchNorm2d(channels)

    def channel_gate(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Compute the gate $M_c$ from the channels of each position alone."""
        a = self.expand(self.reduce(rearrange(x, "b c h w -> b h w c")).relu())
        a = rearrange(a, "b h w c -> b c h w")
        return self.step("Mc", a.sigmoid() if self.channel_sigmoid else a)

    def space_gate(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Compute the gate $M_s$ from the neighbourhood of each position, in all channels."""
        a = self.norm1(self.conv1(x)).relu()
        if self.groups > 1:
            a = rearrange(a, "b (g k) h w -> b (k g) h w", g=self.groups)
        return self.step("Ms", self.norm2(self.conv2(a)).sigmoid())

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output, equations (1) and (2), and both gates.

        :param x: the feature maps $F_1$, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``channel`` and ``space``, of the same shape too.
        """
        check_input(x, "b c h w", c=self.channels)
        if self.training:
            check_training(x)
        channel = self.channel_gate(x)
        seen = self.step("F2", x * channel)
        space = self.space_gate(seen)
        return self.step("F3", seen * space), {"channel": channel, "space": space}
