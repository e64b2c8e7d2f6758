r"""CPCA: weigh the channels first, then give each channel a map of positions of its own."""

from collections.abc import Iterable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive

__all__ = ["ChannelPriorAttention"]

torch.fx.wrap("rearrange")


class ChannelPriorAttention(Attention):
    r"""Channel Prior Convolutional Attention (CPCA): a gate for each channel, then a factor for each of its positions.

    With $z^1, z^2 \in \mathbb{R}^C$ the mean and the maximum of $F$ over height and width, $\delta$ the ReLU,
    $\operatorname{MLP}(z) = W_1\, \delta(W_0 z + b_0) + b_1$ the same two layers for both, and $n$ strips,

    $$
    A_c = \sigma\big(\operatorname{MLP}(z^1) + \operatorname{MLP}(z^2)\big), \qquad
    F_c = A_c \odot F, \qquad
    D_0 = K_5 * F_c
    $$
    $$
    D = D_0 + \sum_{i=1}^{n} K'_i * (K_i * D_0), \qquad
    A_s = W D + b, \qquad
    \hat F = A_s \odot F_c
    $$

    with $W_0 \in \mathbb{R}^{C/r \times C}$, $W \in \mathbb{R}^{C \times C}$ at each position, a depthwise $5 \times 5$
    convolution $K_5$, and depthwise strips $K_i$ of $1 \times k_i$ and $K'_i$ of $k_i \times 1$ pixels. Each depthwise
    convolution adds a bias. $A_s$ is a map for each channel, where CBAM has one for all, and no function bounds it:
    these are factors, not gates.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which the hidden layer of the MLP is narrower than the input; it divides
        ``channels``. The paper's text has 16, the authors' code 4.
    :param strips: the lengths $k_i$ of the $n$ strips in pixels, odd, in any number. The paper uses 7, 11 and 21.
    :param two_sigmoids: whether $A_c = \sigma(\operatorname{MLP}(z^1)) + \sigma(\operatorname{MLP}(z^2))$, between 0
        and 2, as in the authors' code. The paper's text has one sigmoid of the sum.
    :param surround: whether, as in the authors' code, the layer $W$ comes first and last as well: of an input $x$,
        $F = \operatorname{GELU}(W x + b)$, and the output is $W \hat F + b$, with the same $W$ and $b$.
    :raises TypeError: for a ``channels``, a ``reduction`` or one of the ``strips`` that is not a whole number, for
        ``strips`` that are not several numbers; for a ``two_sigmoids`` or ``surround`` that is not a bool; for an
        input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, no ``strips`` or even
        ones; for an input that is not of shape (batch, channels, height, width).

    Source: Hejun Huang, Zuguo Chen, Ying Zou, Ming Lu, Chaoyang Chen, Youzhi Song, Hongqiang Zhang, Feng Yan, *Channel
    prior convolutional attention for medical image segmentation*, Computers in Biology and Medicine 178, 2024,
    arXiv 2306.05196, the equations of CA, SA and of the whole.

    Differs from the official code: that is ``reduction=4, two_sigmoids=True, surround=True``.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        strips: tuple[int, ...] = (7, 11, 21),
        two_sigmoids: bool = False,
        surround: bool = False,
    ) -> None:
        super().__init__()
        channels, reduction = check_positive(channels=channels, reduction=reduction)
        check_flags(two_sigmoids=two_sigmoids, surround=surround)
        check_divides(channels=channels, reduction=reduction)
        self.channels, self.two_sigmoids, self.surround = channels, two_sigmoids, surround
        self.maps = {
            "channel": Map("b c 1 1", "real", about="the factor of this channel, between 0 and 2")
            if two_sigmoids
            else Map("b c 1 1", "sigmoid", about="how much of this channel passes"),
            "space": Map("b c h w", "real", about="the factor, of either sign, of this position in this channel"),
        }
        self.steps = {
            "z": Step("2 b c", "channels", "the mean and the maximum of each channel"),
            "Ac": Step("b c 1 1", "channels", "how much of each channel passes", symbol="A_c"),
            "Fc": Step("b c h w", "channels", "the channel prior: what the gate lets through", symbol="F_c"),
            "D0": Step("b c h w", "positions", "each channel under its window of 5 × 5", symbol="D_0"),
            "D": Step("b c h w", "positions", "the sum of all sizes of window"),
            "As": Step("b c h w", "positions", "the factor of each position in each channel", symbol="A_s"),
            "Y": Step("b c h w", "positions", "the channel prior times the factors", symbol=r"\hat F"),
        }
        self.reduce = nn.Linear(channels, channels // reduction)
        self.expand = nn.Linear(channels // reduction, channels)
        self.window = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.strips = nn.ModuleList(_strip(channels, k) for k in _odd(strips))
        self.mix = nn.Conv2d(channels, channels, 1)

    def channel_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the channels' gate $A_c$ from mean and maximum."""
        z = self.step("z", torch.stack([x.mean((2, 3)), x.amax((2, 3))]))  # b c h w -> two b c
        logits = self.expand(self.reduce(z).relu())  # the same layers for both
        a = logits.sigmoid().sum(0) if self.two_sigmoids else logits.sum(0).sigmoid()
        return self.step("Ac", rearrange(a, "b c -> b c 1 1"))

    def factors(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Compute the factors $A_s$ of all positions in all channels.

        :param x: the channel prior $F_c$, (batch, channels, height, width).
        """
        first = self.step("D0", self.window(x))
        total = first
        for strip in self.strips:
            total = total + strip(first)
        return self.step("As", self.mix(self.step("D", total)))

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the gate, then the factors of what it lets through, and apply both.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``channel`` and ``space``.
        """
        check_input(x, "b c h w", c=self.channels)
        if self.surround:
            x = gelu(self.mix(x))
        channel = self.channel_gate(x)
        seen = self.step("Fc", x * channel)
        space = self.factors(seen)
        y = self.step("Y", seen * space)
        return self.mix(y) if self.surround else y, {"channel": channel, "space": space}


def _strip(channels: int, k: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, (1, k), padding=(0, k // 2), groups=channels),
        nn.Conv2d(channels, channels, (k, 1), padding=(k // 2, 0), groups=channels),
    )


def _odd(strips: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(strips, Iterable):
        raise TypeError(f"strips={strips!r} is one number; give several, such as (7, 11, 21)")
    lengths = [check_positive(**{f"strips[{i}]": k})[0] for i, k in enumerate(strips)]
    if not lengths or any(k % 2 == 0 for k in lengths):
        raise ValueError(f"strips={strips!r} must be one or more odd lengths; allowed: 1, 3, 5, …")
    return tuple(lengths)
