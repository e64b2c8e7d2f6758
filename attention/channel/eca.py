r"""Efficient Channel Attention: every channel's weight is computed from the means of its few neighbours."""

from math import log2

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Gate, Map, Step, check_input, check_positive

__all__ = ["EfficientChannelAttention", "kernel_size_for"]

torch.fx.wrap("rearrange")


class EfficientChannelAttention(Gate):
    r"""Efficient Channel Attention (ECA): a gate for each channel, from the means of its $k$ neighbours in the list.

    With $x_c \in \mathbb{R}^{H \times W}$ the channels of the input and $m = (k - 1)/2$,

    $$
    z_c = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} x_c(i, j), \qquad
    s_c = \sigma\Big(\sum_{d=-m}^{m} w_d\, z_{c+d}\Big), \qquad
    y_c = s_c\, x_c
    $$

    with $z_c = 0$ outside the list of channels: a convolution along the channels, whose $k$ weights all channels share.
    (The paper writes $y$ for the means and $\omega$ for the gates.) The vector of means is never made shorter. The
    order of the channels matters: a gate sees the neighbours of its channel in the list, and no others. By default
    $k = |\log_2(C)/\gamma + b/\gamma|_{\text{odd}}$, the odd number that is nearest, and of two
    that are equally near the larger one: 3 for 64 channels, 5 for 128 to 1024, 7 for 2048.
    This is the paper's equation (12), says the author (ECANet issue #24).

    :param channels: number of channels $C$ of the input and the output.
    :param kernel_size: the number $k$ of neighbours, the channel itself included; odd. ``None``, the default, computes
        it from the channels. The block has it as ``kernel_size`` either way.
    :param gamma: $\gamma$ of that computation, a whole number from 1. The paper uses 2.
    :param offset: $b$ of that computation, a whole number from 1. The paper uses 1.
    :raises TypeError: for a ``channels``, ``kernel_size``, ``gamma`` or ``offset`` that is not a whole number; for an
        input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, an even ``kernel_size``; for an input that is not of shape
        (batch, channels, height, width).

    Source: Qilong Wang, Banggu Wu, Pengfei Zhu, Peihua Li, Wangmeng Zuo, Qinghua Hu, *ECA-Net: Efficient Channel
    Attention for Deep Convolutional Neural Networks*, CVPR 2020, arXiv 1910.03151.

    Differs from the official code: that takes $k$ as an argument, whatever the channels are, 3 unless something else is
    said (``kernel_size=3``). In the four stages of the released networks $k$ is 3, 5, 5, 7 (ResNet-50) and 3, 3, 5, 7
    (ResNet-152): ECANet issues #46 and #31.
    """

    def __init__(self, channels: int, kernel_size: int | None = None, gamma: int = 2, offset: int = 1) -> None:
        super().__init__()
        channels, gamma, offset = check_positive(channels=channels, gamma=gamma, offset=offset)
        if kernel_size is None:
            kernel_size = kernel_size_for(channels, gamma, offset)
        (kernel_size,) = check_positive(kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} is even: no channel is in its middle; allowed: 1, 3, 5, …")
        self.channels, self.kernel_size = channels, kernel_size
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {
            "z": Step("b c", "squeeze", "the mean of each channel"),
            "s": Step("b c", "excite", "how much of each channel passes"),
            "y": Step("b c h w", "scale", "each channel times its gate"),
        }
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def weights(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        r"""Compute the gates $s$, each in (0, 1).

        :param x: the feature maps $x$, (batch, channels, height, width).
        :returns: the gates, (batch, channels, 1, 1).
        """
        check_input(x, "b c h w", c=self.channels)
        z = self.step("z", x.mean((2, 3)))  # b c h w -> b c
        a = self.conv(rearrange(z, "b c -> b 1 c"))  # the channels are what the convolution runs along
        s = self.step("s", rearrange(a, "b 1 c -> b c").sigmoid())
        return rearrange(s, "b c -> b c 1 1")


def kernel_size_for(channels: int, gamma: int = 2, offset: int = 1) -> int:
    r"""Compute $k = |(\log_2 C + b)/\gamma|_{\text{odd}}$, the odd number that is nearest.

    :param channels: number of channels $C$.
    :param gamma: $\gamma$.
    :param offset: $b$.
    """
    whole = int((log2(channels) + offset) / gamma)
    return whole if whole % 2 else whole + 1
