r"""Split attention: the output of one grouped convolution in parts, and a softmax that weighs them in each channel."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_input, check_positive, check_training
from attention.numerics import wide

__all__ = ["SplitAttention"]

for _function in ("rearrange", "wide"):
    torch.fx.wrap(_function)


class SplitAttention(Attention):
    r"""The split-attention block of ResNeSt, in place of a 3 × 3 convolution, its normalisation and ReLU.

    A 3 × 3 convolution in $KM$ groups, batch normalisation and ReLU make $M$ *splits* $U_1, \dots, U_M \in
    \mathbb{R}^{C \times H \times W}$; the paper writes $R$, the radix, for $M$. The channels of each split lie in $K$
    *cardinal groups* of $C/K$; with $s^k \in \mathbb{R}^{C/K}$ what $s$ holds of group $k$,

    $$
    s_c = \frac{1}{HW} \sum_{x,y} \sum_{i=1}^{M} U_{i,c}(x, y), \qquad
    z^k = \delta(\mathcal{B}(W^k s^k)), \qquad
    a^k_i = \frac{e^{G^k_i z^k}}{\sum_{j=1}^{M} e^{G^k_j z^k}}, \qquad
    V_c = \sum_{i=1}^{M} a_{i,c}\, U_{i,c}
    $$

    with $W^k \in \mathbb{R}^{d/K \times C/K}$, $G^k_i \in \mathbb{R}^{C/K \times d/K}$, both with a bias, batch
    normalisation $\mathcal{B}$, the ReLU $\delta$ and $d = \max(CM/r, L)$. With a single split there is nothing to
    choose from, and $a^k = \sigma(G^k z^k)$: Squeeze-and-Excitation with a normalisation. The groups share nothing.
    With a stride $t$, $U_i$ and $1/HW$ are of the output's size: $\lceil H/t \rceil$ and $\lceil W/t \rceil$ stand for
    $H$ and $W$.

    The splits lie one behind the other, each with all groups (radix-major), as in the authors' code; the paper's
    $U_{M(k-1)+i}$, group by group, is the same function with the channels in another order.

    :param channels: number of channels $C$ of the input and the output; a multiple of $KM$.
    :param radix: number of splits $M$. The paper uses 2.
    :param cardinality: number of cardinal groups $K$. The paper's ResNeSt-50 has 1.
    :param reduction: the ratio $r$; where it does not divide $CM$, the quotient is rounded down. The paper uses 4.
    :param floor: the smallest width $L$ of $z$, whatever $CM/r$ is.
    :param stride: stride $t$ of the convolution. ResNeSt itself averages over windows instead, outside of this block.
    :raises TypeError: for an argument that is not a whole number; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, ``channels`` that are no multiple of $KM$, a $d$ that is no multiple of
        $K$; for an input that is not of shape (batch, channels, height, width); in training, for a batch of one, as the
        normalisation of $W s$ is over the batch alone.

    Source: Hang Zhang, Chongruo Wu, Zhongyue Zhang, Yi Zhu, Haibin Lin, Zhi Zhang, Yue Sun, Tong He, Jonas Mueller,
    R. Manmatha, Mu Li, Alexander Smola, *ResNeSt: Split-Attention Networks*, CVPR Workshops 2022, arXiv 2004.08955,
    the equations of its split-attention block.

    Differs from the official code: it is the same function, if that is built as in its networks: ``bias=False`` and
    batch normalisation. Its class alone has by default a bias in the convolution and no normalisation. It also takes
    other kernels than 3 × 3, dilations, and another number of channels to put out, which ours does not.
    """

    def __init__(
        self, channels: int, radix: int = 2, cardinality: int = 1, reduction: int = 4, floor: int = 32, stride: int = 1
    ) -> None:
        super().__init__()
        channels, radix, cardinality, reduction, floor, stride = check_positive(
            channels=channels, radix=radix, cardinality=cardinality, reduction=reduction, floor=floor, stride=stride
        )
        if channels % (radix * cardinality):
            raise ValueError(
                f"channels={channels} is not divisible by radix={radix} times cardinality={cardinality}; allowed: "
                f"{radix * cardinality}, {2 * radix * cardinality}, {3 * radix * cardinality}, …"
            )
        hidden = max(channels * radix // reduction, floor)
        if hidden % cardinality:
            raise ValueError(
                f"cardinality={cardinality} does not divide the width max(channels·radix/reduction, floor)={hidden}; "
                f"choose another reduction={reduction} or floor={floor}"
            )
        self.channels, self.radix, self.cardinality = channels, radix, cardinality
        kind = {"kind": "softmax", "sums": (1,)} if radix > 1 else {"kind": "sigmoid"}
        self.maps = {"branch": Map("b m c 1 1", about="how much this channel takes from this split", **kind)}
        self.steps = {
            "U": Step("b m c p q", "split", "the parts of the convolution's output"),
            "s": Step("b c", "fuse", "the mean of each channel of all splits together"),
            "z": Step("b d", "fuse", "the summary from which the choice is made"),
            "a": Step("b m c", "select", "how much each channel takes from each split"),
            "V": Step("b c p q", "select", "the weighted sum of the splits"),
        }
        self.conv = nn.Conv2d(channels, channels * radix, 3, stride, padding=1, groups=cardinality * radix, bias=False)
        self.norm = nn.BatchNorm2d(channels * radix)
        self.fuse = nn.Sequential(nn.Conv2d(channels, hidden, 1, groups=cardinality), nn.BatchNorm2d(hidden), nn.ReLU())
        self.select = nn.Conv2d(hidden, channels * radix, 1, groups=cardinality)

    def split(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch radix channels new_height new_width"]:
        """Run the convolution, and read its output in $M$ parts.

        :param x: (batch, channels, height, width).
        :returns: the splits $U_i$, (batch, radix, channels, height / stride, width / stride), rounded up.
        """
        return rearrange(self.norm(self.conv(x)).relu(), "b (m c) p q -> b m c p q", m=self.radix)

    def weights(
        self, u: Float[Tensor, "batch radix channels height width"]
    ) -> Float[Tensor, "batch radix channels 1 1"]:
        """Compute the weights $a_{i,c}$ of the splits; of two or more they sum to 1 in each channel.

        :param u: the splits, (batch, radix, channels, height, width).
        :returns: (batch, radix, channels, 1, 1).
        """
        total = u.sum((1, 3, 4), dtype=wide(u.dtype))  # b m c p q -> b c
        s = self.step("s", (total / (u.shape[-2] * u.shape[-1])).to(u.dtype))
        z = self.fuse(rearrange(s, "b c -> b c 1 1"))
        self.step("z", rearrange(z, "b d 1 1 -> b d"))
        # Each group of the last layer holds its part of all splits: group by group, and in a group split by split.
        scores = rearrange(self.select(z), "b (k m c) 1 1 -> b m (k c)", k=self.cardinality, m=self.radix)
        a = self.step("a", scores.softmax(dim=1) if self.radix > 1 else scores.sigmoid())
        return rearrange(a, "b m c -> b m c 1 1")

    def attend(self, x: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the splits, their weights and the weighted sum.

        :param x: (batch, channels, height, width).
        :returns: (batch, channels, height / stride, width / stride), rounded up, and the weights as ``"branch"``.
        """
        check_input(x, "b c h w", c=self.channels)
        if self.training:
            check_training(x, "b")  # W s is normalised over the batch alone
        u = self.step("U", self.split(x))
        a = self.weights(u)
        return self.step("V", (a * u).sum(1)), {"branch": a}  # b m c p q -> b c p q
