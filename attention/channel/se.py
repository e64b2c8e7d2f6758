r"""Squeeze-and-Excitation: every channel's weight is computed from the means of all channels."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Gate, Map, Step, check_divides, check_flags, check_input, check_positive

__all__ = ["SqueezeExcitation"]

torch.fx.wrap("rearrange")


class SqueezeExcitation(Gate):
    r"""Squeeze-and-Excitation (SE): a gate for each channel, computed from the means of all channels.

    With $x_c \in \mathbb{R}^{H \times W}$ the channels of the input and $\delta$ the ReLU,

    $$
    z_c = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} x_c(i, j), \qquad
    s = \sigma(W_2\, \delta(W_1 z)), \qquad
    y_c = s_c\, x_c
    $$

    with $W_1 \in \mathbb{R}^{C/r \times C}$ and $W_2 \in \mathbb{R}^{C \times C/r}$: the paper's equations (2),
    (3) and (4), in which the input is $u$ and the output $\tilde x$.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which the bottleneck is narrower than the input; it divides ``channels``.
        The paper uses 16.
    :param bias: whether the two linear layers add a bias. ``False``, the default, is the paper's equation (3) and
        gives its parameter count $2C^2/r$; ``True`` is the authors' released network and adds $C/r + C$.
    :raises TypeError: for a ``channels`` or ``reduction`` that is not a whole number, a ``bias`` that is not a bool;
        for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``; for an input that
        is not of shape (batch, channels, height, width).

    Source: Jie Hu, Li Shen, Samuel Albanie, Gang Sun, Enhua Wu, *Squeeze-and-Excitation Networks*, CVPR 2018 and
    TPAMI 42(8), 2020, arXiv 1709.01507, equations (2) to (4).

    Differs from the official code: that has biases in both layers (``bias=True``) and writes them as
    1 × 1 convolutions on a 1 × 1 map, which is the same function.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        channels, reduction = check_positive(channels=channels, reduction=reduction)
        check_flags(bias=bias)
        check_divides(channels=channels, reduction=reduction)
        self.channels = channels
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {
            "z": Step("b c", "squeeze", "the mean of each channel"),
            "s": Step("b c", "excite", "how much of each channel passes"),
            "y": Step("b c h w", "scale", "each channel times its gate"),
        }
        self.reduce = nn.Linear(channels, channels // reduction, bias=bias)
        self.expand = nn.Linear(channels // reduction, channels, bias=bias)

    def weights(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the gates $s$, each in (0, 1).

        :param x: the feature maps $x$, (batch, channels, height, width).
        :returns: the gates, (batch, channels, 1, 1).
        """
        check_input(x, "b c h w", c=self.channels)
        z = self.step("z", x.mean((2, 3)))  # b c h w -> b c: squeeze, equation (2)
        s = self.step("s", self.expand(self.reduce(z).relu()).sigmoid())  # excitation, equation (3)
        return rearrange(s, "b c -> b c 1 1")
