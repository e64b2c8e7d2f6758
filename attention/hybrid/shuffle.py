r"""Shuffle Attention: half of each group is gated by its means, half by its normalised values, then all is shuffled."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_flags, check_input, check_positive

__all__ = ["ShuffleAttention"]

torch.fx.wrap("rearrange")


class ShuffleAttention(Attention):
    r"""Shuffle Attention (SA): in each group one half is gated by channel, the other by element.

    The channels are cut into $G$ groups, and each group into two halves $X_{k1}$ and $X_{k2}$ of $d = C/2G$ channels.
    With $W_1$, $b_1$, $W_2$, $b_2$ one number for each channel of a half, the same in all groups,

    $$
    s_k = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} X_{k1}(i, j), \qquad
    X'_{k1} = \sigma(W_1 s_k + b_1)\, X_{k1}, \qquad
    X'_{k2} = \sigma(W_2 \operatorname{GN}(X_{k2}) + b_2)\, X_{k2}
    $$

    which are the paper's equations (1) to (3). The halves are put together again, $X' = (X'_{k1} \,\Vert\, X'_{k2})$,
    and the channels shuffled: the first of the front half of all $C$ channels, the first of the back half, the second
    of the front half, and so on,

    $$ y = \operatorname{shuffle}(X'_1 \,\Vert\, \dots \,\Vert\, X'_G) $$

    The normalisation takes each channel of a half alone, over the positions of one sample. At the start $W_1 = W_2 = 0$
    and $b_1 = b_2 = 1$: every gate is $\sigma(1) = 0.73$.

    :param channels: number of channels $C$ of the input and the output.
    :param groups: the number $G$ of groups; ``channels`` is a multiple of $2G$. The paper uses 64.
    :param affine: whether the normalisation has a scale and a shift of its own, as in the authors' code. They do what
        $W_2$ and $b_2$ do already.
    :param shuffle: whether the channels are shuffled at the end. ``False`` is the paper's ablation.
    :raises TypeError: for a ``channels`` or ``groups`` that is not a whole number, an ``affine`` or ``shuffle`` that is
        not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, ``channels`` that are no multiple of $2G$; for an input that is not of
        shape (batch, channels, height, width).

    Source: Qing-Long Zhang, Yu-Bin Yang, *SA-Net: Shuffle Attention for Deep Convolutional Neural Networks*, ICASSP
    2021, arXiv 2102.00240, equations (1) to (3).

    Differs from the official code: in nothing that is computed. Where $2G$ does not divide the channels, that code
    fails: with a division by zero, or later with another error.
    """

    def __init__(self, channels: int, groups: int = 64, affine: bool = True, shuffle: bool = True) -> None:
        super().__init__()
        channels, groups = check_positive(channels=channels, groups=groups)
        check_flags(affine=affine, shuffle=shuffle)
        if channels % (2 * groups):
            if channels % 2:
                raise ValueError(f"channels={channels} is odd, and each group has two halves; allowed: 2, 4, 6, …")
            allowed = ", ".join(str(g) for g in range(1, channels // 2 + 1) if channels % (2 * g) == 0)
            raise ValueError(
                f"half of channels={channels} is not divisible by groups={groups}; allowed for groups: {allowed}: each "
                "group has two halves"
            )
        self.channels, self.groups, self.shuffle = channels, groups, bool(shuffle)
        half = channels // (2 * groups)
        self.maps = {
            "channel": Map("b g d 1 1", "sigmoid", about="how much of this channel passes, in the first half"),
            "element": Map("b g d h w", "sigmoid", about="how much of this element passes, in the second half"),
        }
        self.steps = {
            "s": Step("b g d 1 1", "channels", "the mean of each channel in the groups' first halves"),
            "X1": Step("b g d h w", "channels", "the first halves, gated", symbol="X'_{k1}"),
            "X2": Step("b g d h w", "positions", "the second halves, gated", symbol="X'_{k2}"),
            "y": Step("b c h w", "shuffle", "both halves of all groups, shuffled"),
        }
        self.channel_weight = nn.Parameter(torch.empty(half))
        self.channel_bias = nn.Parameter(torch.empty(half))
        self.element_weight = nn.Parameter(torch.empty(half))
        self.element_bias = nn.Parameter(torch.empty(half))
        self.norm = nn.GroupNorm(half, half, affine=affine)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Let every gate start at $\sigma(1)$, whatever the image."""
        super().reset_parameters()
        for weight in (self.channel_weight, self.element_weight):
            nn.init.zeros_(weight)
        for bias in (self.channel_bias, self.element_bias):
            nn.init.ones_(bias)

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output and the gates of both halves of each group.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``channel`` and ``element``, by group.
        """
        check_input(x, "b c h w", c=self.channels)
        x1, x2 = rearrange(x, "b (g two d) h w -> two b g d h w", g=self.groups, two=2)
        s = self.step("s", x1.mean((3, 4), keepdim=True))  # b g d h w -> b g d 1 1
        channel = (_each(self.channel_weight) * s + _each(self.channel_bias)).sigmoid()
        x1 = self.step("X1", channel * x1)
        # The module refuses a single number, in eval mode too: its normalised value is 0.
        normed = torch.group_norm(
            rearrange(x2, "b g d h w -> (b g) d h w"),
            self.norm.num_groups,
            self.norm.weight,
            self.norm.bias,
            self.norm.eps,
        )
        normed = rearrange(normed, "(b g) d h w -> b g d h w", g=self.groups)
        element = (_each(self.element_weight) * normed + _each(self.element_bias)).sigmoid()
        x2 = self.step("X2", element * x2)
        y = rearrange(torch.cat([x1, x2], dim=2), "b g d h w -> b (g d) h w")
        if self.shuffle:
            y = rearrange(y, "b (two j) h w -> b (j two) h w", two=2)
        return self.step("y", y), {"channel": channel, "element": element}


def _each(values: Tensor) -> Tensor:
    return rearrange(values, "d -> d 1 1")
