r"""SCSA: gate rows and columns with strips of several lengths, then let the channels attend to one another."""

from collections.abc import Iterable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["GATES", "POOLS", "SpatialChannelSynergisticAttention"]

#: How the map is made smaller before the channels attend to one another.
POOLS = ("average", "maximum", "recombination")
#: What turns numbers into gates.
GATES = ("sigmoid", "softmax")

for _function in ("rearrange", "_attention", "_filled", "_normalised", "_pooled", "_softmax"):
    torch.fx.wrap(_function)


class SpatialChannelSynergisticAttention(Attention):
    r"""Spatial and Channel Synergistic Attention (SCSA): gates for rows and columns, then self-attention of channels.

    *In space:* the channels are divided into as many groups as there are lengths of strips (four: 3, 5, 7, 9).
    $\operatorname{DW}$ moves a strip of each group's length over it, with weights of its own for each channel. Rows and
    columns share $\operatorname{DW}$ with its bias. Each has a group normalisation of its own,
    $\operatorname{GN}^h_4$ and $\operatorname{GN}^w_4$. *In the channels:* what is left is pooled over windows of
    $w \times w$ pixels, normalised together by $\operatorname{GN}_1$, and each channel becomes a vector over the $N$
    windows. With $X \in \mathbb{R}^{C \times H \times W}$ and vectors of scales $s_q, s_k, s_v$,

    $$
    X_H = \frac{1}{W} \sum_{j} X(\cdot, \cdot, j), \qquad
    X_W = \frac{1}{H} \sum_{i} X(\cdot, i, \cdot)
    $$
    $$
    A_H = \sigma\big(\operatorname{GN}^h_4(\operatorname{DW}(X_H))\big), \qquad
    A_W = \sigma\big(\operatorname{GN}^w_4(\operatorname{DW}(X_W))\big), \qquad
    X_s = A_H \odot A_W \odot X
    $$
    $$
    P = \operatorname{GN}_1\big(\operatorname{Pool}_w(X_s)\big), \qquad
    Q = s_q \odot P, \qquad
    K = s_k \odot P, \qquad
    V = s_v \odot P
    $$
    $$
    A = \operatorname{softmax}\Big(\frac{Q K^\top}{\sqrt{C}}\Big) \in \mathbb{R}^{C \times C}, \qquad
    A_c = \sigma\Big(\frac{1}{N} \sum_{n=1}^{N} (A V)_n\Big), \qquad
    \hat X = A_c \odot X_s
    $$

    :param channels: number of channels $C$ of the input and the output; the number of ``kernels`` divides it.
    :param heads: number $m$ of heads; they divide ``channels``. The equations are those of one head, which the paper
        uses. With more, $A$ is $C/m \times C/m$ for each of $m$ heads, and the root is $\sqrt{C/m}$.
    :param window: the side $w$ of the windows in pixels; a map that is smaller is one window. Windows do not overlap.
        Rows and columns at the lower and right border that do not fill a window are left out of $A_c$; on 14 × 12 the
        last five columns. The paper uses 7. With ``None``, all of the map is averaged.
    :param kernels: the lengths of the strips, odd. The paper uses 3, 5, 7 and 9.
    :param pool: ``"average"``, the paper's; ``"maximum"``; or ``"recombination"``: all pixels of a window, of all
        channels, go through one matrix of $C \times C w^2$. The order of these pixels, (channel, row, column), is our
        reading. A map smaller than the window is filled up with zeros then.
    :param gate: ``"sigmoid"`` as above, or ``"softmax"``: over a channel's rows in $A_H$, over its columns in $A_W$,
        and over the channels in $A_c$.
    :param bias: whether queries, keys and values add a bias for each channel.
    :raises TypeError: for a ``channels``, a ``heads``, a ``window`` or one of the ``kernels`` that is not a whole
        number, for ``kernels`` that are not several numbers, for a ``bias`` that is not a bool; for an input that is
        not a floating-point tensor.
    :raises ValueError: for arguments below 1, ``heads`` or a number of ``kernels`` that do not divide ``channels``, no
        ``kernels`` or even ones, an unknown ``pool`` or ``gate``, a ``pool`` other than the average without a
        ``window``; for an input that is not of shape (batch, channels, height, width).

    Source: Yunzhong Si, Huiying Xu, Xinzhong Zhu, Wenhao Zhang, Yao Dong, Yuxing Chen, Hongbo Li, *SCSA: Exploring the
    Synergistic Effects Between Spatial and Channel Attention*, Neurocomputing 634, 2025, arXiv 2407.05128, the
    equations of SMSA and PCSA.

    Differs from the official code: that fails on maps smaller than the window, lacks the function that its
    recombination calls, and has a dropout on $A$, of 0 by default. The defaults are otherwise its function.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        window: int | None = 7,
        kernels: tuple[int, ...] = (3, 5, 7, 9),
        pool: str = "average",
        gate: str = "sigmoid",
        bias: bool = False,
    ) -> None:
        super().__init__()
        channels, heads = check_positive(channels=channels, heads=heads)
        check_flags(bias=bias)
        lengths = _odd(kernels)
        check_divides(channels=channels, heads=heads)
        if channels % len(lengths):
            raise ValueError(f"channels={channels} is not divisible by the number of kernels, {len(lengths)}")
        if window is not None:
            (window,) = check_positive(window=window)
        for name, value, known in (("pool", pool, POOLS), ("gate", gate, GATES)):
            if value not in known:
                raise ValueError(f"{name}={value!r} is not one of {', '.join(known)}")
        if window is None and pool != "average":
            raise ValueError(f"pool={pool!r} needs a window; window=None averages all of the map")
        self.channels, self.heads, self.window, self.pool, self.gate = channels, heads, window, pool, gate
        self.maps = _maps(heads, gate)
        self.steps = _steps()
        width = channels // len(lengths)
        self.strips = nn.ModuleList(nn.Conv1d(width, width, k, padding=k // 2, groups=width) for k in lengths)
        self.norm_rows = nn.GroupNorm(len(lengths), channels)
        self.norm_columns = nn.GroupNorm(len(lengths), channels)
        # A matrix for the pixels of a window is a convolution whose stride is its side.
        if window is not None and pool == "recombination":
            self.recombine = nn.Conv2d(channels, channels, window, window, bias=False)
        self.norm = nn.GroupNorm(1, channels)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1, groups=channels, bias=bias) for _ in range(3))

    def strip_gate(self, z: Float[Tensor, "batch channels places"], norm: nn.GroupNorm) -> Tensor:
        """Compute the gates of rows, or of columns, from their means."""
        width = self.channels // len(self.strips)
        parts = [strip(z[:, i * width : (i + 1) * width]) for i, strip in enumerate(self.strips)]
        moved = torch.cat(parts, dim=1)
        return self._gate(_normalised(moved, norm.num_groups, norm.weight, norm.bias, norm.eps), 2).to(z.dtype)

    def channel_gate(self, x: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, Tensor]:
        """Let the channels attend to one another.

        :param x: what the gates of rows and columns let through.
        :returns: the gate $A_c$, (batch, channels, 1, 1), and the weights $A$, (batch, heads, C/heads, C/heads).
        """
        if self.window is None:
            pooled = x.mean((2, 3), keepdim=True)
        elif self.pool == "recombination":
            pooled = self.recombine(_filled(x, self.window))
        else:
            pooled = _pooled(x, self.window, self.pool)
        norm = self.norm
        p = _normalised(pooled, norm.num_groups, norm.weight, norm.bias, norm.eps).to(x.dtype)
        self.step("P", p)
        q, k, v = (
            self.step(name, rearrange(layer(p), "b (m d) p q -> b m d (p q)", m=self.heads))
            for name, layer in (("Q", self.q), ("K", self.k), ("V", self.v))
        )
        a, mean = _attention(q, k, v, (self.channels // self.heads) ** -0.5)
        gate = self._gate(rearrange(mean, "b m d -> b (m d) 1 1"), 1).to(x.dtype)
        return self.step("Ac", gate), self.step("A", a.to(x.dtype))

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the gates of rows and columns, then that of the channels, and apply them.

        :param x: the feature maps $X$, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``rows``, ``columns``, ``channels`` ($A$) and ``channel``.
        """
        check_input(x, "b c h w", c=self.channels)
        rows = self.strip_gate(self.step("XH", x.mean(3)), self.norm_rows)
        columns = self.strip_gate(self.step("XW", x.mean(2)), self.norm_columns)
        rows = self.step("AH", rearrange(rows, "b c h -> b c h 1"))
        columns = self.step("AW", rearrange(columns, "b c w -> b c 1 w"))
        seen = self.step("Xs", x * rows * columns)
        channel, pairs = self.channel_gate(seen)
        if self.heads == 1:
            pairs = rearrange(pairs, "b 1 c d -> b c d")
        maps = {"rows": rows, "columns": columns, "channels": pairs, "channel": channel}
        return self.step("Y", seen * channel), maps

    def _gate(self, x: Tensor, dim: int) -> Tensor:
        return _softmax(x, dim) if self.gate == "softmax" else x.sigmoid()


def _maps(heads: int, gate: str) -> dict[str, Map]:
    dims = "b c c" if heads == 1 else "b m d d"
    over = {"rows": (2,), "columns": (3,), "channel": (1,)} if gate == "softmax" else {}
    return {
        "rows": Map("b c h 1", gate, over.get("rows", ()), "how much of this row passes in this channel"),
        "columns": Map("b c 1 w", gate, over.get("columns", ()), "how much of this column passes in this channel"),
        "channels": Map(dims, "softmax", (dims.count(" "),), "how much the first channel takes from the second"),
        "channel": Map("b c 1 1", gate, over.get("channel", ()), "how much of this channel passes"),
    }


def _steps() -> dict[str, Step]:
    return {
        "XH": Step("b c h", "space", "the mean of each row", symbol="X_H"),
        "XW": Step("b c w", "space", "the mean of each column", symbol="X_W"),
        "AH": Step("b c h 1", "space", "how much of each row passes", symbol="A_H"),
        "AW": Step("b c 1 w", "space", "how much of each column passes", symbol="A_W"),
        "Xs": Step("b c h w", "space", "what both gates let through", symbol="X_s"),
        "P": Step("b c p q", "channels", "the windows, normalised"),
        "Q": Step("b m d n", "channels", "what each channel looks for, over the windows"),
        "K": Step("b m d n", "channels", "what each channel is found by"),
        "V": Step("b m d n", "channels", "what each channel gives"),
        "A": Step("b m d d", "channels", "how much each channel takes from each channel of its head"),
        "Ac": Step("b c 1 1", "channels", "how much of each channel passes", symbol="A_c"),
        "Y": Step("b c h w", "channels", "what all gates let through", symbol=r"\hat X"),
    }


def _odd(kernels: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(kernels, Iterable):
        raise TypeError(f"kernels={kernels!r} is one number; give several, such as (3, 5, 7, 9)")
    lengths = [check_positive(**{f"kernels[{i}]": k})[0] for i, k in enumerate(kernels)]
    if not lengths or any(k % 2 == 0 for k in lengths):
        raise ValueError(f"kernels={kernels!r} must be one or more odd lengths; allowed: 1, 3, 5, …")
    return tuple(lengths)


def _normalised(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    # The function behind nn.GroupNorm: the module itself refuses a group of one number.
    return torch.group_norm(x, groups, weight, bias, eps)


def _sides(x: Tensor, window: int) -> list[int]:
    """Return the window's sides, cut to the map; of a size that is left open, as in an exported graph, uncut."""
    return [window if isinstance(size, torch.SymInt) else min(window, int(size)) for size in x.shape[2:]]


def _pooled(x: Tensor, window: int, pool: str) -> Tensor:
    sides = _sides(x, window)
    return avg_pool2d(x, sides) if pool == "average" else max_pool2d(x, sides)


def _filled(x: Tensor, window: int) -> Tensor:
    height, width = _sides(x, window)
    return pad(x, (0, window - width, 0, window - height))


def _softmax(x: Tensor, dim: int) -> Tensor:
    with full_precision(x):
        return x.to(wide(x.dtype)).softmax(dim)


def _attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the weights of the channels, and the mean over windows of what they read."""
    with full_precision(v):
        q, k, v = (t.to(wide(t.dtype)) for t in (q, k, v))
        a = (q @ k.transpose(2, 3) * scale).softmax(3)
        return a, (a @ v).mean(3)
