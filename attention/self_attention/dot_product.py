"""Scaled dot-product attention: every position takes a mean of all values, weighted by how well their keys match."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive
from attention.numerics import first_derivatives, full_precision, has_tangent, wide

__all__ = ["DotProductAttention"]

torch.fx.wrap("rearrange")


class DotProductAttention(Attention):
    r"""Scaled dot-product self-attention over the positions of a feature map, with any number of heads.

    With $X \in \mathbb{R}^{N \times C}$ the $N = HW$ positions of the input as rows, for each of the $n$ heads

    $$
    Q = X W_Q, \quad K = X W_K, \quad V = X W_V, \qquad
    A = \operatorname{softmax}\Big(\frac{Q K^\top}{\sqrt{d}}\Big), \qquad O = A V
    $$

    with $W_Q, W_K, W_V \in \mathbb{R}^{C \times d}$ and $d = C/n$; the heads' results are concatenated and multiplied
    by $W_O \in \mathbb{R}^{C \times C}$: the paper's equation (1) and section 3.2.2. There is no shortcut and no code
    for positions: shuffle the positions of the input and those of the output are shuffled alike.

    ``forward`` computes the same with PyTorch's ``scaled_dot_product_attention``, which never holds the $N \times N$
    matrix and has no second derivative; ``attend`` does, returns it, and has one.

    :param channels: number of channels $C$ of the input and the output.
    :param heads: number of heads $n$, which divides ``channels``.
    :param bias: whether the four linear layers add a bias. The paper writes none, the default; PyTorch's
        ``MultiheadAttention`` has them.
    :raises TypeError: for a ``channels`` or ``heads`` that is not a whole number, a ``bias`` that is not a bool; for an
        input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, ``heads`` that do not divide ``channels``; for an input that is not of
        shape (batch, channels, height, width).

    Source: Ashish Vaswani, Noam Shazeer, Niki Parmar, Jakob Uszkoreit, Llion Jones, Aidan N. Gomez, Łukasz Kaiser,
    Illia Polosukhin, *Attention Is All You Need*, NIPS 2017, arXiv 1706.03762, equation (1) and section 3.2.2.
    """

    def __init__(self, channels: int, heads: int = 1, bias: bool = False) -> None:
        super().__init__()
        channels, heads = check_positive(channels=channels, heads=heads)
        check_flags(bias=bias)
        check_divides(channels=channels, heads=heads)
        self.channels = channels
        self.heads = heads
        about = "how much of the value at the second position the first takes, for each head"
        self.maps = {"pairs": Map("b n (h w) (h w)", "softmax", sums=(3,), about=about)}
        self.steps = {
            "Q": Step("b n (h w) d", "project", "what each position looks for"),
            "K": Step("b n (h w) d", "project", "what each position is found by"),
            "V": Step("b n (h w) d", "project", "what each position gives"),
            "A": Step("b n (h w) (h w)", "compare", "how much each position takes of each other"),
            "O": Step("b n (h w) d", "read", "the weighted mean of the values, for each position"),
        }
        self.queries = nn.Linear(channels, channels, bias=bias)
        self.keys = nn.Linear(channels, channels, bias=bias)
        self.values = nn.Linear(channels, channels, bias=bias)
        self.out = nn.Linear(channels, channels, bias=bias)

    def attend(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], dict[str, Tensor]]:
        """Compute the output literally, with the matrix of all pairs.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output, of the same shape, and the map ``pairs``: (batch, heads, H·W, H·W), each row of which
            sums to 1.
        """
        q, k, v = self._project(x)
        with full_precision(x):
            similarity = q.to(wide(q.dtype)) @ k.to(wide(k.dtype)).transpose(-1, -2) / q.shape[-1] ** 0.5
            pairs = self.step("A", similarity.softmax(dim=-1).to(q.dtype))
        return self._merge(self.step("O", pairs @ v), x), {"pairs": pairs}

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Compute the output without holding the matrix of all pairs.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output, of the same shape.
        """
        q, k, v = self._project(x)
        if has_tangent(q, k, v):  # which the fused kernel cannot carry
            return self.attend(x)[0]
        return self._merge(first_derivatives(scaled_dot_product_attention(q, k, v), q, k, v), x)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute queries, keys and values, each (batch, heads, positions, channels of a head)."""
        check_input(x, "b c h w", c=self.channels)
        # In one piece: each of the three layers would make, and keep, a copy of its own.
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        project = (self.queries, self.keys, self.values)
        q, k, v = (rearrange(layer(tokens), "b i (n d) -> b n i d", n=self.heads) for layer in project)
        return self.step("Q", q), self.step("K", k), self.step("V", v)

    def _merge(self, read: Tensor, x: Tensor) -> Tensor:
        """Concatenate the heads, mix them, and put the positions back where they were."""
        return rearrange(self.out(rearrange(read, "b n i d -> b i (n d)")), "b (h w) c -> b c h w", h=x.shape[2])
