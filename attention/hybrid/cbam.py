r"""CBAM: weigh the channels, then the positions, each time from both the mean and the maximum."""

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
from attention.numerics import starting, zeros

__all__ = ["ORDERS", "ConvolutionalBlockAttention"]

#: In which order the two gates act.
ORDERS = ("channel-space", "space-channel", "parallel")
_STATISTICS = {"mean": torch.mean, "max": torch.amax}

torch.fx.wrap("rearrange")


class ConvolutionalBlockAttention(Attention):
    r"""Convolutional Block Attention Module (CBAM): a gate for each channel, then a gate for each position.

    With $z^{avg}, z^{max} \in \mathbb{R}^C$ the mean and the maximum of $x$ over height and width, $t^{avg}, t^{max}
    \in \mathbb{R}^{H \times W}$ the mean and the maximum of $x'$ over channels, $\delta$ the ReLU and $f^{k \times k}$
    a convolution with padding,

    $$
    s^{ch} = \sigma\big(W_2\, \delta(W_1 z^{avg}) + W_2\, \delta(W_1 z^{max})\big), \quad x' = s^{ch} \odot x, \quad
    s^{pos} = \sigma\big(f^{k \times k}(t^{avg} \,\Vert\, t^{max})\big), \quad y = s^{pos} \odot x'
    $$

    with $W_1 \in \mathbb{R}^{C/r \times C}$ and $W_2 \in \mathbb{R}^{C \times C/r}$: the paper's equations (2), (1) and
    (3), where $x$, $x'$, $y$ are $F$, $F'$, $F''$, the gates are $M_c$ and $M_s$, and the matrices $W_0$ and $W_1$. The
    same two layers serve both statistics, and one map of positions serves all channels.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which the bottleneck is narrower than the input; it divides ``channels``.
    :param kernel_size: the side $k$ of the convolution in pixels, odd. The paper uses 7.
    :param bias: whether the two linear layers add a bias. ``False``, the default, is the paper's equation;
        ``True`` is the authors' code and the network whose size the paper prints. The convolution has none either way.
    :param norm: whether a batch normalisation of one channel follows the convolution, as in the authors' code.
    :param zero_init: whether that normalisation starts with weight 0, as in the network that the authors train:
        every position's gate is then 1/2 at the start, whatever the image.
    :param order: ``"channel-space"`` as above; ``"space-channel"``, where the positions' gate is computed from $x$ and
        the channels' from what it lets through; ``"parallel"``, where both are computed from $x$. The output is $x$
        times both gates every time.
    :param statistics: the two statistics of both gates, in this order, each ``"mean"`` or ``"max"``. ``("max",
        "mean")`` is the order in which the authors' code stacks them for the convolution; a statistic named twice is
        the block that knows this one alone, with as many parameters.
    :raises TypeError: for a ``channels``, ``reduction`` or ``kernel_size`` that is not a whole number, a ``bias``,
        ``norm`` or ``zero_init`` that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, an even
        ``kernel_size``, ``zero_init`` without ``norm``, an unknown ``order`` or ``statistics``; for an input that is
        not of shape (batch, channels, height, width); in training with ``norm``, for a single image of one pixel.

    Source: Sanghyun Woo, Jongchan Park, Joon-Young Lee, In So Kweon, *CBAM: Convolutional Block Attention Module*,
    ECCV 2018, arXiv 1807.06521, equations (1) to (3).

    Differs from the official code: that is ``bias=True, norm=True, zero_init=True, statistics=("max", "mean")``, with
    a momentum of 0.01 in the normalisation where ours has PyTorch's 0.1.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        bias: bool = False,
        norm: bool = False,
        zero_init: bool = False,
        order: str = "channel-space",
        statistics: tuple[str, str] = ("mean", "max"),
    ) -> None:
        super().__init__()
        channels, reduction, kernel_size = check_positive(
            channels=channels, reduction=reduction, kernel_size=kernel_size
        )
        check_flags(bias=bias, norm=norm, zero_init=zero_init)
        check_divides(channels=channels, reduction=reduction)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} is even: no pixel is in its middle; allowed: 1, 3, 5, …")
        if zero_init and not norm:
            raise ValueError("zero_init=True starts the normalisation's weight at 0; it needs norm=True")
        if order not in ORDERS:
            raise ValueError(f"order={order!r} is not one of {', '.join(ORDERS)}")
        if len(statistics) != 2 or not set(statistics) <= set(_STATISTICS):
            raise ValueError(f"statistics={statistics!r} must be two, each one of {', '.join(_STATISTICS)}")
        self.channels, self.order, self.statistics = channels, order, tuple(statistics)
        self.maps = {
            "channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes"),
            "space": Map("b 1 h w", "sigmoid", about="how much of this position passes, in all channels"),
        }
        self.steps = {
            "z": Step("2 b c", "channels", "the mean and the maximum of each channel"),
            "sch": Step("b c 1 1", "channels", "how much of each channel passes", symbol="s^{ch}"),
            "x1": Step("b c h w", "channels", "what the first gate lets through", symbol="x'"),
            "t": Step("b 2 h w", "positions", "the mean and the maximum of each position, over its channels"),
            "spos": Step("b 1 h w", "positions", "how much of each position passes", symbol="s^{pos}"),
            "y": Step("b c h w", "positions", "what both gates let through"),
        }
        self.reduce = nn.Linear(channels, channels // reduction, bias=bias)
        self.expand = nn.Linear(channels // reduction, channels, bias=bias)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()
        if zero_init:
            starting(self.norm, zeros)

    def channel_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the channels' gate $s^{ch}$ from the statistics over positions, equation (2)."""
        z = torch.stack([_STATISTICS[each](x, (2, 3)) for each in self.statistics])  # b c h w -> two b c
        self.step("z", z)
        a = self.expand(self.reduce(z).relu())  # the same layers for both
        return self.step("sch", rearrange(a.sum(0).sigmoid(), "b c -> b c 1 1"))

    def space_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
        """Compute the positions' gate $s^{pos}$ from the statistics over channels, equation (3)."""
        # b c h w -> b two h w. With the axis kept: inductor cannot compile a stack of maps for any height and width.
        t = self.step("t", torch.cat([_STATISTICS[each](x, 1, keepdim=True) for each in self.statistics], dim=1))
        return self.step("spos", self.norm(self.conv(t)).sigmoid())

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output, equation (1) in the order that was chosen, and both gates.

        :param x: the feature maps $x$, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``channel`` and ``space``.
        """
        check_input(x, "b c h w", c=self.channels)
        if self.training and not isinstance(self.norm, nn.Identity):
            check_training(x)
        if self.order == "space-channel":
            space = self.space_gate(x)
            seen = self.step("x1", x * space)
            channel = self.channel_gate(seen)
            return self.step("y", seen * channel), {"channel": channel, "space": space}
        channel = self.channel_gate(x)
        seen = self.step("x1", x * channel)
        space = self.space_gate(x if self.order == "parallel" else seen)
        return self.step("y", seen * space), {"channel": channel, "space": space}
