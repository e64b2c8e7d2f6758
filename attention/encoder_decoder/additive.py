r"""Additive attention: a small network scores each position for a query, and the weighted mean of all is read."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_flags, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["AdditiveAttention"]

for _function in ("rearrange", "_read"):
    torch.fx.wrap(_function)


class AdditiveAttention(Attention):
    r"""Additive attention: a query reads from a set of features.

    With $h_j \in \mathbb{R}^C$ the features at position $j = 1, \dots, N$ of what was encoded, and the query $s_{i-1}
    \in \mathbb{R}^q$, which is the decoder's state before it writes word $i$,

    $$
    e_{ij} = v_a^\top \tanh(W_a\, s_{i-1} + U_a\, h_j), \qquad
    \alpha_{ij} = \frac{e^{e_{ij}}}{\sum_{k=1}^{N} e^{e_{ik}}}, \qquad
    c_i = \sum_{j=1}^{N} \alpha_{ij}\, h_j
    $$

    with $W_a \in \mathbb{R}^{d \times q}$, $U_a \in \mathbb{R}^{d \times C}$ and $v_a \in \mathbb{R}^d$: the paper's
    equations (5) and (6), and its appendix A.1.2. What is read, $c_i$, is a mean of the $h_j$ themselves. A sentence of
    $N$ words is a map of height 1 and width $N$. $P = U_a h$ does not depend on the query: over several steps of a
    decoder, :meth:`project` is called once, and :meth:`read` with its result at each step.

    :param channels: number of features $C$ of each position, and of what is read.
    :param query: number of features $q$ of a query.
    :param hidden: width $d$ of the layer in the network that scores. The paper uses 1000 (appendix A.2.3).
    :param several: whether several queries read from the same features: the queries then have shape (batch, reads,
        query), and the output has shape (batch, reads, channels).
    :param bias: whether a bias is added within the tanh, as where both matrices are one layer on $[s_{i-1}, h_j]$.
    :raises TypeError: for a ``channels``, ``query`` or ``hidden`` that is not a whole number, a ``several`` or ``bias``
        that is not a bool; for features or queries that are not a floating-point tensor.
    :raises ValueError: for arguments below 1; for features that are not of shape (batch, channels, height, width), and
        for queries that are not of shape (batch, query), or with ``several`` (batch, reads, query).

    Source: Dzmitry Bahdanau, Kyunghyun Cho, Yoshua Bengio, *Neural Machine Translation by Jointly Learning to Align
    and Translate*, ICLR 2015, arXiv 1409.0473, equations (5) and (6), appendices A.1.2
    (the score) and A.2.3 (the width of its layer).

    Differs from the official code: that is written in Theano. Popular copies add a mask for sentences of different
    lengths, and a dropout of the weights; ours has neither.
    """

    def __init__(
        self, channels: int, query: int, hidden: int = 1000, several: bool = False, bias: bool = False
    ) -> None:
        super().__init__()
        channels, query, hidden = check_positive(channels=channels, query=query, hidden=hidden)
        check_flags(several=several, bias=bias)
        self.channels, self.query, self.several = channels, query, several
        reads = "b r" if several else "b"
        about = "how much of what is read comes from this position"
        self.maps = {"position": Map(f"{reads} (h w)", "softmax", sums=(2 if several else 1,), about=about)}
        self.steps = {
            "P": Step("b (h w) d", "score", "each position as the network sees it"),
            "e": Step(f"{reads} (h w)", "score", "how well each position fits the query"),
            "alpha": Step(f"{reads} (h w)", "read", about, symbol=r"\alpha"),
            "c": Step(f"{reads} c", "read", "the weighted mean of all positions"),
        }
        self.queries = nn.Linear(query, hidden, bias=bias)
        self.keys = nn.Linear(channels, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)

    def project(self, x: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, Tensor]:
        """Prepare the features: what any number of queries has in common.

        :param x: the features, (batch, channels, height, width).
        :returns: the features $h_j$ as rows, (batch, H·W, channels), and $U_a h_j$, (batch, H·W, hidden).
        """
        check_input(x, "b c h w", c=self.channels)
        rows = rearrange(x, "b c h w -> b (h w) c")
        return rows, self.step("P", self.keys(rows))

    def read(self, rows: Tensor, keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Read with one query, or with several.

        :param rows: the features, and
        :param keys: their projections, both from :meth:`project`.
        :param query: (batch, query), or with ``several`` (batch, reads, query).
        :returns: what is read, (batch, channels) or (batch, reads, channels), and the weights of the positions.
        """
        check_input(query, "b r q" if self.several else "b q", name="query", q=self.query, b=rows.shape[0])
        s = self.queries(query if self.several else rearrange(query, "b q -> b 1 q"))
        hidden = (rearrange(s, "b r d -> b r 1 d") + rearrange(keys, "b n d -> b 1 n d")).tanh()
        e = rearrange(self.score(hidden), "b r n 1 -> b r n")
        alpha, c = _read(e, rows)
        if not self.several:
            e, alpha, c = (rearrange(t, "b 1 n -> b n") for t in (e, alpha, c))
        self.step("e", e)
        return self.step("c", c), self.step("alpha", alpha)

    def attend(
        self, x: Float[Tensor, "batch channels height width"], query: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Read from the features.

        :param x: the features, (batch, channels, height, width).
        :param query: the queries, (batch, query), or with ``several`` (batch, reads, query).
        :returns: what is read, (batch, channels) or (batch, reads, channels), and the map ``position``: for each query
            the weights of all positions, row by row.
        """
        c, alpha = self.read(*self.project(x), query)
        return c, {"position": alpha}

    def forward(self, x: Float[Tensor, "batch channels height width"], query: Tensor) -> Tensor:
        """Compute what is read alone.

        :param x: the features, (batch, channels, height, width).
        :param query: the queries, (batch, query), or with ``several`` (batch, reads, query).
        :returns: (batch, channels), or (batch, reads, channels).
        """
        return self.attend(x, query)[0]


def _read(scores: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights and the weighted mean."""
    with full_precision(rows):
        alpha = scores.to(wide(scores.dtype)).softmax(2)
        c = alpha.to(wide(rows.dtype)) @ rows.to(wide(rows.dtype))
    return alpha.to(rows.dtype), c.to(rows.dtype)
