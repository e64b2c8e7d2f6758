r"""Attentional feature fusion: two feature maps are mixed, element by element, instead of added."""

from typing import Any

import torch
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

__all__ = ["AttentionalFeatureFusion", "MultiScaleChannelAttention"]

torch.fx.wrap("_check")


class MultiScaleChannelAttention(nn.Module):
    """The multi-scale channel attention module (MS-CAM), without its sigmoid: a local and a global opinion.

    :param channels: number of channels.
    :param hidden: number of channels between the two 1 × 1 convolutions of each branch.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.local, self.whole = (
            nn.Sequential(
                nn.Conv2d(channels, hidden, 1),
                nn.BatchNorm2d(hidden),
                nn.ReLU(),
                nn.Conv2d(hidden, channels, 1),
                nn.BatchNorm2d(channels),
            )
            for _ in range(2)
        )

    def forward(
        self, u: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch channels 1 1"]]:
        """Compute what each element says of itself, and what the means say of each channel.

        :param u: (batch, channels, height, width).
        :returns: $L(u)$, of the same shape, and $g(u)$, (batch, channels, 1, 1).
        """
        return self.local(u), self.whole(u.mean((2, 3), keepdim=True))


class AttentionalFeatureFusion(Attention):
    r"""Attentional Feature Fusion (AFF) of two feature maps, and its iterative form (iAFF).

    With $X, Y \in \mathbb{R}^{C \times H \times W}$, $\delta$ the ReLU, $\mathcal{B}$ batch normalisation, $\oplus$ the
    addition of one number for each channel to a whole map,

    $$
    U = X + Y, \qquad
    L = \mathcal{B}\big(W_2\, \delta(\mathcal{B}(W_1 U))\big), \qquad
    g = \mathcal{B}\big(W_4\, \delta(\mathcal{B}(W_3\, \bar U))\big), \qquad
    M = \sigma(L \oplus g), \qquad
    Z = M \otimes X + (1 - M) \otimes Y
    $$

    where $\bar U \in \mathbb{R}^C$ is the mean over height and width, $W_1, W_3 \in \mathbb{R}^{C/r \times C}$ and
    $W_2, W_4 \in \mathbb{R}^{C \times C/r}$ are 1 × 1 convolutions with a bias: $L$ and $g$ are the module MS-CAM. Each
    element of the output is a weighted mean: weight $M$ for $X$, $1 - M$ for $Y$.

    The iterative form runs twice. The second round has its own convolutions, and its $U$ is the first round's $Z$.

    :param channels: number of channels $C$ of both inputs and of the output.
    :param reduction: the ratio $r$ by which the bottlenecks are narrower than the input; it divides ``channels``. The
        paper's networks for ImageNet use 16; the class of the authors' code has 4.
    :param iterative: whether the fusion is iterated: iAFF, with twice the parameters.
    :param doubled: whether the output is $2Z$, as in the authors' code for AFF, not in that for iAFF: with $M = 1/2$
        it is the sum $X + Y$ then, not its half.
    :raises TypeError: for a ``channels`` or ``reduction`` that is not a whole number, an ``iterative`` or ``doubled``
        that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``; for inputs that are
        not both of one shape (batch, channels, height, width); in training, for a batch of one, as the normalisation
        behind the mean is over the batch alone.

    Source: Yimian Dai, Fabian Gieseke, Stefan Oehmcke, Yiquan Wu, Kobus Barnard, *Attentional Feature Fusion*, WACV
    2021, arXiv 2009.14082, the equations of MS-CAM, AFF and iAFF.

    Differs from the official code: AFF there is ``doubled=True``, iAFF is ``iterative=True``. The authors' PyTorch port
    of iAFF runs the first global branch twice and never the second; their original, in MXNet, does as this block. To
    use weights that were trained in the port, copy ``global_att`` over ``global_att2`` first.
    """

    def __init__(self, channels: int, reduction: int = 16, iterative: bool = False, doubled: bool = False) -> None:
        super().__init__()
        channels, reduction = check_positive(channels=channels, reduction=reduction)
        check_flags(iterative=iterative, doubled=doubled)
        check_divides(channels=channels, reduction=reduction)
        self.channels, self.doubled = channels, bool(doubled)
        rounds = 2 if iterative else 1
        about = "how much of this element comes from the first input; the rest comes from the second"
        self.maps = {f"fusion_{number}": Map("b c h w", "sigmoid", about=about) for number in range(1, rounds + 1)}
        self.steps = {
            "U": Step("b c h w", "integrate", "what the choice is made from: the sum, or what the first round made"),
            "L": Step("b c h w", "compare", "what each element says of itself"),
            "g": Step("b c 1 1", "compare", "what the means of all channels say of each channel"),
            "M": Step("b c h w", "compare", about),
            "Z": Step("b c h w", "fuse", "the mixture of both inputs"),
        }
        self.rounds = nn.ModuleList(MultiScaleChannelAttention(channels, channels // reduction) for _ in range(rounds))

    def attend(
        self, x: Float[Tensor, "batch channels height width"], y: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the mixture, and the part of the first input in it.

        :param x: one of the feature maps, $X$, (batch, channels, height, width).
        :param y: the other one, $Y$, of the same shape.
        :returns: the output, of the same shape, and the maps ``fusion_1`` and, iterated, ``fusion_2``: $M$ of each
            round, of the same shape. The last one made the output.
        """
        _check(x, y, self.channels)
        if self.training:
            check_training(x, "b")  # g is normalised over the batch alone
        u, maps = x + y, {}
        for number, module in enumerate(self.rounds, 1):
            local, whole = module(self.step("U", u))
            m = self.step("M", (self.step("L", local) + self.step("g", whole)).sigmoid())
            u, maps[f"fusion_{number}"] = self.step("Z", m * x + (1 - m) * y), m
        return 2 * u if self.doubled else u, maps

    def forward(
        self, x: Float[Tensor, "batch channels height width"], y: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Compute the mixture alone.

        :param x: one of the feature maps, (batch, channels, height, width).
        :param y: the other one, of the same shape.
        :returns: what :meth:`attend` returns first.
        """
        return self.attend(x, y)[0]


def _check(x: Any, y: Any, channels: int) -> None:
    """Refuse what is not two feature maps of one shape."""
    check_input(x, "b c h w", c=channels)
    check_input(y, "b c h w", name="y", c=channels)
    batch, _, height, width = x.shape
    check_input(y, "b c h w", name="y", b=batch, c=channels, h=height, w=width)
