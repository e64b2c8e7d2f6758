r"""The non-local block: every position receives a weighted mean over all positions, added to what was there."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.functional import max_pool2d, pad, scaled_dot_product_attention

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
from attention.numerics import first_derivatives, full_precision, has_tangent, starting, wide, zeros

__all__ = ["POOLS", "SIMILARITIES", "NonLocal"]

#: The paper's four similarities; the first two are normalised by a softmax, the other two by the number of keys.
SIMILARITIES = ("embedded gaussian", "gaussian", "dot product", "concatenation")
#: Whether max pooling comes before the convolutions of what is looked at, or after them.
POOLS = ("before", "after")

for _function in ("rearrange", "_product", "_ramps"):
    torch.fx.wrap(_function)


class NonLocal(Attention):
    r"""The non-local block, with the paper's four similarities.

    Of $x_i \in \mathbb{R}^C$, the features at position $i$, comes a query $q_i = W_q x_i$. What is looked at are the
    features $\hat x_j$ at $\hat N$ positions: all $N$ of them, or what max pooling leaves. Of each comes a key
    $k_j = W_k \hat x_j$ and a value $v_j = W_v \hat x_j$. All three have $d = C/r$ numbers. (The paper writes
    $\theta(x_i)$, $\phi(x_j)$, $g(x_j)$ for them, $y_i$ for the read $o_i$, $z_i$ for the output and $W_z$ for $W_o$.)

    $$
    \alpha_{ij} = \frac{f(x_i, \hat x_j)}{\mathcal{C}_i}, \qquad
    o_i = \sum_{j=1}^{\hat N} \alpha_{ij}\, v_j, \qquad
    y_i = x_i + \operatorname{BN}(W_o\, o_i)
    $$

    with

    * ``"embedded gaussian"``: $f = e^{q_i^\top k_j}$, $\mathcal{C}_i = \sum_j f$, a softmax;
    * ``"gaussian"``: $f = e^{x_i^\top \hat x_j}$, $\mathcal{C}_i = \sum_j f$;
    * ``"dot product"``: $f = q_i^\top k_j$, $\mathcal{C}_i = \hat N$;
    * ``"concatenation"``: $f = \operatorname{ReLU}(w_f^\top [q_i, k_j])$, $\mathcal{C}_i = \hat N$:

    the paper's equations (1) to (6). The batch normalisation starts with weight 0: a fresh block is the identity.

    ``attend`` computes the matrix of all pairs. ``forward`` is the same function without it: the softmax forms by
    PyTorch's ``scaled_dot_product_attention``; the dot product by associativity,
    $Q (K^\top V)$ for $(Q K^\top) V$ with the vectors as rows, where that is less work. Concatenation gives each query
    a number $a_i$ and each key a number $b_j$, and lets those $j$ through whose $b_j$ is above $-a_i$: the $b_j$ are
    sorted and summed in that order once. The Gaussian and the
    concatenation keep to the matrix where all pairs are fewer numbers than the features they are made from.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which queries, keys and values are narrower than the input; it divides
        ``channels``. The paper uses 2.
    :param similarity: one of the four above. The paper's default is the embedded Gaussian.
    :param subsample: the side of the windows over which the positions that are looked at are max-pooled; 1 is none.
        The paper's trick uses 2.
    :param pool: ``"before"``: $\hat x$ is pooled from $x$, as in the equations and the authors' code; ``"after"``:
        keys and values of all positions are pooled, as the paper puts it in words and most PyTorch code does.
    :param border: whether windows that the border cuts off are kept. Public code drops them; then height and width
        are at least ``subsample``.
    :param scale: whether the similarity of the embedded Gaussian is divided by $\sqrt{d}$. The paper has no such
        factor, the official code does.
    :param norm: whether batch normalisation follows $W_o$. Without it $W_o$ itself starts at 0.
    :param bias: whether the 1 × 1 convolutions add a bias. ``False``, the default, is the paper's equations.
    :raises TypeError: for a ``channels``, ``reduction`` or ``subsample`` that is not a whole number, a ``scale``,
        ``norm``, ``bias`` or ``border`` that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, an unknown
        ``similarity`` or ``pool``, a ``scale`` where nothing is scaled; for an input that is not of shape
        (batch, channels, height, width), or without ``border`` smaller than a window; in training with ``norm``, for a
        single image of one pixel.

    Source: Xiaolong Wang, Ross Girshick, Abhinav Gupta, Kaiming He, *Non-local Neural Networks*, CVPR 2018,
    arXiv 1711.07971, equations (1) to (6) and sections 3.3 and 4.1.

    Differs from the official code: that is ``bias=True, scale=True, subsample=2, border=False``, with initial weights
    of standard deviation 0.01. The best-known PyTorch code is ``bias=True, subsample=2, pool="after", border=False``.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 2,
        similarity: str = "embedded gaussian",
        subsample: int = 1,
        scale: bool = False,
        norm: bool = True,
        bias: bool = False,
        pool: str = "before",
        border: bool = True,
    ) -> None:
        super().__init__()
        channels, reduction, subsample = check_positive(channels=channels, reduction=reduction, subsample=subsample)
        check_flags(scale=scale, norm=norm, bias=bias, border=border)
        check_divides(channels=channels, reduction=reduction)
        if similarity not in SIMILARITIES:
            raise ValueError(f"similarity={similarity!r} is not one of {', '.join(map(repr, SIMILARITIES))}")
        if pool not in POOLS:
            raise ValueError(f"pool={pool!r} is not one of {', '.join(map(repr, POOLS))}")
        if scale and similarity != "embedded gaussian":
            raise ValueError(f"scale=True belongs to similarity='embedded gaussian', not to {similarity!r}")
        self.channels = channels
        self.similarity = similarity
        self.subsample, self.pool, self.border = subsample, pool, border
        inner = channels // reduction
        self.factor = inner**-0.5 if scale else 1.0
        self.maps = {"pairs": _map(similarity, subsample)}
        self.steps = _steps(similarity)
        self.g = nn.Conv2d(channels, inner, 1, bias=bias)
        if similarity != "gaussian":
            self.theta = nn.Conv2d(channels, inner, 1, bias=bias)
            self.phi = nn.Conv2d(channels, inner, 1, bias=bias)
        if similarity == "concatenation":
            self.pair = nn.Linear(2 * inner, 1, bias=False)
        self.out = nn.Conv2d(inner, channels, 1, bias=bias)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        starting(self.norm if norm else self.out, zeros)

    def attend(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], dict[str, Tensor]]:
        """Compute the output literally, with the matrix of all pairs.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output, of the same shape, and the map ``pairs``: (batch, H·W, keys), the weight of the value of
            position $j$ in the sum for position $i$. Its rows sum to 1 for the two Gaussians.
        """
        seen = self._seen(x)
        queries, keys = self._queries_and_keys(x, seen)
        with full_precision(x):
            pairs = self._pairs(*(t.to(wide(t.dtype)) for t in (queries, keys)))
        values = self.step("v", self._late(self.g(seen)))
        with full_precision(x):
            read = self.step("alpha", pairs) @ values.to(pairs.dtype)
        return self._add(self.step("o", read.to(values.dtype)), x), {"pairs": pairs.to(values.dtype)}

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Compute the output without holding the matrix of all pairs, unless that is smaller than what replaces it.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output, of the same shape.
        """
        seen = self._seen(x)
        if self.similarity in ("gaussian", "concatenation") and _small(x, seen):
            return self.attend(x)[0]
        if self.similarity == "concatenation" and _exporting():  # ONNX has no search among sorted numbers
            return self.attend(x)[0]
        queries, keys = self._queries_and_keys(x, seen)
        if has_tangent(queries, keys):  # which the fused kernel cannot carry
            return self.attend(x)[0]
        if self.similarity == "gaussian" and self.pool == "after":
            read = _attention(queries, keys, self._late(self.g(seen)), 1.0)
        elif self.similarity == "gaussian":
            # W_v is linear and the weights sum to 1: the mean of the values is the value of the mean, and all three
            # widths are equal.
            mean = _attention(queries, keys, keys, 1.0)
            read = _positions(self.g(_picture(mean, x)))
        elif self.similarity == "embedded gaussian":
            read = _attention(queries, keys, self._late(self.g(seen)), self.factor)
        elif self.similarity == "dot product":
            read = _product(queries, keys, self._late(self.g(seen)))
        else:
            read = _ramps(queries, keys, self._late(self.g(seen)), self.pair.weight)
        return self._add(read, x)

    def _seen(self, x: Tensor) -> Tensor:
        """Return what is looked at: the input, or what max pooling leaves of it."""
        check_input(x, "b c h w", c=self.channels)
        if not self.border and not isinstance(x, Proxy) and min(x.shape[2:]) < self.subsample:
            raise ValueError(
                f"x: expected height and width of at least subsample={self.subsample}, received shape "
                f"{tuple(x.shape)}; border=True keeps windows that are cut off"
            )
        if self.training and not isinstance(self.norm, nn.Identity):
            check_training(x)
        return self._pooled(x) if self.pool == "before" else x

    def _pooled(self, x: Tensor) -> Tensor:
        return x if self.subsample == 1 else max_pool2d(x, self.subsample, ceil_mode=self.border)

    def _late(self, x: Tensor) -> Tensor:
        """Turn what a convolution made of what is looked at into rows, pooled where the pooling comes after it."""
        return _positions(self._pooled(x) if self.pool == "after" else x)

    def _queries_and_keys(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        if self.similarity == "gaussian":
            return _positions(x), self._late(seen)
        return self.step("q", _positions(self.theta(x))), self.step("k", self._late(self.phi(seen)))

    def _pairs(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compute the factor of each pair, in at least float32."""
        if self.similarity == "concatenation":
            a, b = _halves(queries, keys, self.pair.weight)
            return (rearrange(a, "b i -> b i 1") + rearrange(b, "b j -> b 1 j")).relu() / b.shape[1]
        similarity = queries @ keys.transpose(1, 2)
        if self.similarity == "dot product":
            return similarity / keys.shape[1]
        return (similarity if self.factor == 1 else self.factor * similarity).softmax(dim=2)

    def _add(self, read: Tensor, x: Tensor) -> Tensor:
        y = x + self.norm(self.out(_picture(read, x)))  # in this order the layout in memory stays that of x
        return self.step("y", y)


def _small(x: Tensor, seen: Tensor) -> bool:
    """Say whether all pairs are fewer numbers than the features of both sides, as deep in a network.

    Of sizes that are left open, as in an exported graph, nobody knows.
    """
    looking, looked = (t.shape[2] * t.shape[3] for t in (x, seen))
    return isinstance(looking * looked, int) and looking * looked <= x.shape[1] * (looking + looked)


def _exporting() -> bool:
    return getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()  # older ones do not tell them apart


def _map(similarity: str, subsample: int) -> Map:
    dims = "b (h w) (h w)" if subsample == 1 else "b (h w) n"
    if similarity.endswith("gaussian"):
        return Map(dims, "softmax", sums=(2,), about="how much of what the second position offers the first takes")
    return Map(dims, "real", about="the factor, of either sign, with which the first position adds what the second has")


def _steps(similarity: str) -> dict[str, Step]:
    embedded = {
        "q": Step("b (h w) d", "project", "query: what each position looks for"),
        "k": Step("b n d", "project", "key: what each position that is looked at is found by"),
    }
    return {
        **({} if similarity == "gaussian" else embedded),
        "v": Step("b n d", "project", "value: what each position that is looked at gives"),
        "alpha": Step("b (h w) n", "compare", "the weight of each pair: its similarity, normalised", symbol=r"\alpha"),
        "o": Step("b (h w) d", "read", "the weighted mean of the values, for each position"),
        "y": Step("b c h w", "add", "the mean, widened, and added to what was there"),
    }


def _positions(x: Tensor) -> Tensor:
    """Turn a feature map into a row for each position. Fast kernels want each row in one piece."""
    return rearrange(x, "b c h w -> b (h w) c").contiguous()


def _picture(rows: Tensor, x: Tensor) -> Tensor:
    """Put rows back to where the positions are in ``x``."""
    return rearrange(rows, "b (h w) d -> b d h w", h=x.shape[2])


def _attention(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    # With a single head, which PyTorch's kernels ask for as an axis. On a CPU they avoid the matrix only where queries
    # and values have the same width.
    q, k, v = (rearrange(t, "b i d -> b 1 i d") for t in (queries, keys, values))
    return first_derivatives(scaled_dot_product_attention(q, k, v, scale=scale), q, k, v).squeeze(1)


def _product(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Multiply three matrices in the order that takes fewer multiply–adds, and divide by the number of keys.

    Of sizes that are left open, as in an exported graph, the order is the one that never holds all pairs.
    """
    pairs, width = queries.shape[1] * keys.shape[1], queries.shape[2]
    with full_precision(values):
        q, k, v = (t.to(wide(t.dtype)) for t in (queries, keys, values))
        if isinstance(pairs, int) and 2 * pairs < width * (q.shape[1] + k.shape[1]):
            read = q @ k.transpose(1, 2) @ v
        else:
            read = q @ (k.transpose(1, 2) @ v)
    return (read / keys.shape[1]).to(values.dtype)


def _halves(queries: Tensor, keys: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Split the product with $w_f$: one number for each query and one for each key, of which ReLU takes the sum."""
    ours, theirs = weight.to(queries.dtype).chunk(2, dim=1)
    return (queries @ ours.T).squeeze(2), (keys @ theirs.T).squeeze(2)


def _ramps(queries: Tensor, keys: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    r"""Compute $\frac{1}{\hat N} \sum_j \operatorname{ReLU}(a_i + b_j)\, v_j$ for every $i$ without holding all pairs.

    The ReLU lets those $j$ through whose $b_j > -a_i$. With the $j$ sorted by falling $b_j$ these are the first $n_i$,
    and over them the sum is $a_i \sum v_j + \sum b_j v_j$: two running sums, computed once for all $i$.
    """
    with full_precision(values):
        a, b = _halves(*(t.to(wide(t.dtype)) for t in (queries, keys)), weight)
        negated, order = (-b).sort(dim=1)
        chosen = values.to(b.dtype).gather(1, rearrange(order, "b j -> b j 1").expand_as(values))
        both = torch.cat([chosen, -rearrange(negated, "b j -> b j 1") * chosen], dim=2)
        sums = pad(both.cumsum(dim=1), (0, 0, 1, 0))  # the sum over the first 0, 1, 2, … of them
        count = torch.searchsorted(negated.detach(), a.detach())  # n_i: how many of the -b_j are less than a_i
        first = rearrange(count, "b i -> b i 1").expand(-1, -1, sums.shape[2])
        plain, weighted = sums.gather(1, first).chunk(2, dim=2)
        return ((rearrange(a, "b i -> b i 1") * plain + weighted) / b.shape[1]).to(values.dtype)
