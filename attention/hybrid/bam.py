r"""BAM: a score for each channel and a score for each position make one gate for every element."""

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

__all__ = ["COMBINATIONS", "BottleneckAttention"]

#: How the two scores become one: the three ways that the paper compares.
COMBINATIONS = {"sum": torch.add, "product": torch.mul, "max": torch.maximum}

torch.fx.wrap("rearrange")


class BottleneckAttention(Attention):
    r"""Bottleneck Attention Module (BAM): one gate for every element, from a channel branch and a spatial branch.

    With $z \in \mathbb{R}^C$ the mean of $F$ over height and width, $\delta$ the ReLU, $f^{1 \times 1}$ convolutions of
    one pixel and $f^{3 \times 3}$ convolutions whose nine taps lie $d$ pixels apart, all with biases,

    $$
    M_c = \operatorname{BN}\big(W_1\, \delta(W_0 z + b_0) + b_1\big), \quad
    M_s = \operatorname{BN}\big(f^{1 \times 1}_3\, \delta f^{3 \times 3}_2\, \delta f^{3 \times 3}_1\,
    \delta f^{1 \times 1}_0(F)\big)
    $$

    $$
    M = \sigma(M_c + M_s), \qquad F' = F + F \odot M
    $$

    with $W_0 \in \mathbb{R}^{C/r \times C}$, $W_1 \in \mathbb{R}^{C \times C/r}$, and $C/r$ channels between the
    convolutions: the paper's equations (3), (4), (2) and (1). The score $M_c$ of a channel is laid over all positions,
    the score $M_s$ of a position over all channels. The paper writes no $\delta$ in (3) and (4). It calls $W_0$ and
    $W_1$ a multi-layer perceptron. Without $\delta$ they would be one matrix. The authors' code has a ReLU after each
    hidden layer, and so has ours.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which both branches are narrower than the input; it divides ``channels``. The
        paper uses 16.
    :param dilation: the distance $d$ in pixels between the taps of the 3 × 3 convolutions. The paper uses 4.
    :param combine: how $M_c$ and $M_s$ become one score: ``"sum"`` as in the equation, ``"product"`` as in the authors'
        code, or ``"max"``. Under the product two negative scores give a gate above 1/2.
    :param hidden_norm: where batch normalisation stands: ``False``, the default, is the equations, at the end of each
        branch; ``True`` is the authors' code, behind each of the four hidden layers, and none at the end.
    :raises TypeError: for a ``channels``, ``reduction`` or ``dilation`` that is not a whole number, a ``hidden_norm``
        that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, an unknown
        ``combine``; for an input that is not of shape (batch, channels, height, width); in training, for a batch of
        one, whose channel branch would be normalised over one number.

    Source: Jongchan Park, Sanghyun Woo, Joon-Young Lee, In So Kweon, *BAM: Bottleneck Attention Module*, BMVC 2018,
    arXiv 1807.06514, equations (1) to (4).

    Differs from the official code: that is ``combine="product", hidden_norm=True``. It takes the mean over squares of
    the map's height, which is an error or leaves columns out where the map is not a square.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        dilation: int = 4,
        combine: str = "sum",
        hidden_norm: bool = False,
    ) -> None:
        super().__init__()
        channels, reduction, dilation = check_positive(channels=channels, reduction=reduction, dilation=dilation)
        check_flags(hidden_norm=hidden_norm)
        check_divides(channels=channels, reduction=reduction)
        if combine not in COMBINATIONS:
            raise ValueError(f"combine={combine!r} is not one of {', '.join(COMBINATIONS)}")
        self.channels, self.dilation, self.combine = channels, dilation, combine
        self.maps = {"element": Map("b c h w", "sigmoid", about="how much of this element is added to itself")}
        self.steps = {
            "z": Step("b c", "channels", "the mean of each channel"),
            "Mc": Step("b c 1 1", "channels", "the score of each channel", symbol="M_c"),
            "Ms": Step("b 1 h w", "positions", "the score of each position", symbol="M_s"),
            "M": Step("b c h w", "combine", "the gate of each element"),
            "F1": Step("b c h w", "combine", "each element, and as much again as its gate lets through", symbol="F'"),
        }
        width, wide = channels // reduction, {"kernel_size": 3, "padding": dilation, "dilation": dilation}
        self.channel = nn.Sequential(
            *(nn.Linear(channels, width), _norm(nn.BatchNorm1d, width, hidden_norm), nn.ReLU()),
            *(nn.Linear(width, channels), _norm(nn.BatchNorm1d, channels, not hidden_norm)),
        )
        self.space = nn.Sequential(
            *(nn.Conv2d(channels, width, 1), _norm(nn.BatchNorm2d, width, hidden_norm), nn.ReLU()),
            *(nn.Conv2d(width, width, **wide), _norm(nn.BatchNorm2d, width, hidden_norm), nn.ReLU()),
            *(nn.Conv2d(width, width, **wide), _norm(nn.BatchNorm2d, width, hidden_norm), nn.ReLU()),
            *(nn.Conv2d(width, 1, 1), _norm(nn.BatchNorm2d, 1, not hidden_norm)),
        )

    def channel_score(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the score $M_c$ of each channel, equation (3)."""
        z = self.step("z", x.mean((2, 3)))  # b c h w -> b c
        return self.step("Mc", rearrange(self.channel(z), "b c -> b c 1 1"))

    def space_score(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
        """Compute the score $M_s$ of each position, equation (4)."""
        return self.step("Ms", self.space(x))

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output, equation (1), and the gate, equation (2).

        :param x: the feature maps $F$, (batch, channels, height, width).
        :returns: the output and the map ``element``, both of the same shape.
        """
        check_input(x, "b c h w", c=self.channels)
        if self.training:
            check_training(x, "b")
        score = COMBINATIONS[self.combine](self.channel_score(x), self.space_score(x))
        gate = self.step("M", score.sigmoid())
        return self.step("F1", x + x * gate), {"element": gate}


def _norm(kind: type[nn.Module], features: int, here: bool) -> nn.Module:
    return kind(features) if here else nn.Identity()
