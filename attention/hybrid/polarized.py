r"""Polarized self-attention: a gate for each channel, and one for each position, each with a softmax inside."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_flags, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["ORDERS", "SPACES", "PolarizedSelfAttention"]

#: How the two gates act.
ORDERS = ("parallel", "sequential")
#: Where the positions' gate has its softmax.
SPACES = ("query", "product", "values")

for _function in ("rearrange", "_product", "_softmax"):
    torch.fx.wrap(_function)


class PolarizedSelfAttention(Attention):
    r"""Polarized Self-Attention (PSA): each gate collapses one axis wholly, and keeps the other one.

    The gate of the channels collapses the positions and keeps half of the channels; the gate of the positions
    collapses the channels and keeps all positions. With $X \in \mathbb{R}^{C \times HW}$, $d = C/2$, a softmax
    $F_{SM}$ over positions in $a$ and over channels in $q$, and the mean over positions $F_{GP}$,

    $$
    a = F_{SM}(W_q X), \qquad
    z = (W_v X)\, a^\top, \qquad
    A^{ch} = \sigma\big(\operatorname{LN}(W_z z)\big), \qquad
    F = A^{ch} \odot X
    $$
    $$
    q = F_{SM}\big(F_{GP}(W'_q X)\big), \qquad
    A^{sp} = \sigma\big(q^\top (W'_v X)\big), \qquad
    Y = F + A^{sp} \odot X
    $$

    with $W_q \in \mathbb{R}^{1 \times C}$, $W_v, W'_q, W'_v \in \mathbb{R}^{d \times C}$ and
    $W_z \in \mathbb{R}^{C \times d}$: the paper's two branches, in parallel. In sequence, the second line is computed
    from $F$ in the place of $X$, and $Y = A^{sp} \odot F$.

    :param channels: number of channels $C$ of the input and the output, even.
    :param order: ``"parallel"`` as above, or ``"sequential"``: the channels' gate first. The paper has both.
    :param norm: whether a layer normalisation over the channels follows $W_z$. The paper has it, the authors' code
        does not.
    :param bottleneck: whether $W_z$ is two layers with biases, a layer normalisation and a ReLU between them, of width
        $C/8$, as in the authors' sequential code; 8 then divides ``channels``.
    :param space: where the positions' gate has its softmax. ``"query"``, the paper's: on the mean query, over channels.
        ``"product"``, the authors' parallel code: on the product $q^\top (W'_v X)$, over positions; no gate is then
        below 1/2. ``"values"``, their sequential code: on $W'_v X$, over positions in each channel.
    :raises TypeError: for a ``channels`` that is not a whole number, a ``norm`` or ``bottleneck`` that is not a bool;
        for an input that is not a floating-point tensor.
    :raises ValueError: for a ``channels`` below 1 or odd, or not divisible by 8 with ``bottleneck``; for an unknown
        ``order`` or ``space``; for an input that is not of shape (batch, channels, height, width).

    Source: Huajun Liu, Fuqiang Liu, Xinyi Fan, Dong Huang, *Polarized Self-Attention: Towards High-quality Pixel-wise
    Regression*, arXiv 2107.00782, 2021, the equations of the two branches and of the two layouts; Neurocomputing, 2022,
    as *Polarized Self-Attention: Towards High-quality Pixel-wise Mapping*.

    Differs from the official code: ``PSA_p`` is ``norm=False, space="product"``; ``PSA_s`` is ``order="sequential",
    norm=False, bottleneck=True, space="values"``. Both start queries and values with Kaiming's normal weights, ours
    with PyTorch's.
    """

    def __init__(
        self,
        channels: int,
        order: str = "parallel",
        norm: bool = True,
        bottleneck: bool = False,
        space: str = "query",
    ) -> None:
        super().__init__()
        (channels,) = check_positive(channels=channels)
        check_flags(norm=norm, bottleneck=bottleneck)
        parts = 8 if bottleneck else 2
        if channels % parts:
            why = " with bottleneck=True" if bottleneck else ""
            raise ValueError(f"channels={channels} is not divisible by {parts}{why}; allowed: {parts}, {2 * parts}, …")
        if order not in ORDERS:
            raise ValueError(f"order={order!r} is not one of {', '.join(ORDERS)}")
        if space not in SPACES:
            raise ValueError(f"space={space!r} is not one of {', '.join(SPACES)}")
        self.channels, self.order, self.space = channels, order, space
        self.maps = {
            "channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes"),
            "space": Map("b 1 h w", "sigmoid", about="how much of this position passes, in all channels"),
        }
        self.steps = {
            "a": Step("b (h w)", "channels", "how much each position counts in the sum"),
            "z": Step("b d", "channels", "the weighted sum over all positions"),
            "Ach": Step("b c 1 1", "channels", "how much of each channel passes", symbol="A^{ch}"),
            "F": Step("b c h w", "channels", "what the channels' gate lets through"),
            "q": Step("b d", "positions", "how much each channel counts in the sum"),
            "Asp": Step("b 1 h w", "positions", "how much of each position passes", symbol="A^{sp}"),
            "Y": Step("b c h w", "positions", "what the two gates let through"),
        }
        half = channels // 2
        self.channel_query = nn.Conv2d(channels, 1, 1, bias=False)
        self.channel_value = nn.Conv2d(channels, half, 1, bias=False)
        self.up = _bottleneck(half, channels) if bottleneck else nn.Linear(half, channels, bias=False)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.space_query = nn.Conv2d(channels, half, 1, bias=False)
        self.space_value = nn.Conv2d(channels, half, 1, bias=False)

    def channel_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the channels' gate: one softmax-weighted sum over positions, widened to all channels."""
        a = self.step("a", _softmax(rearrange(self.channel_query(x), "b 1 h w -> b (h w)"), 1))
        values = rearrange(self.channel_value(x), "b d h w -> b d (h w)")
        z = rearrange(_product(values, rearrange(a, "b n -> b n 1")), "b d 1 -> b d").to(x.dtype)
        gate = self.norm(self.up(self.step("z", z))).sigmoid()
        return self.step("Ach", rearrange(gate, "b c -> b c 1 1"))

    def space_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
        """Compute the positions' gate: at each position one weighted sum over channels."""
        q = self.space_query(x).mean((2, 3))  # b d h w -> b d
        values = rearrange(self.space_value(x), "b d h w -> b d (h w)")
        if self.space == "query":
            q = _softmax(q, 1)
        elif self.space == "values":
            values = _softmax(values, 2)
        s = _product(rearrange(self.step("q", q), "b d -> b 1 d"), values)
        if self.space == "product":
            s = _softmax(s, 2)
        gate = s.sigmoid().to(x.dtype)
        return self.step("Asp", rearrange(gate, "b 1 (h w) -> b 1 h w", h=x.shape[2]))

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute both gates, and the input under them, one beside the other or one after the other.

        :param x: the feature maps $X$, (batch, channels, height, width).
        :returns: the output $Y$ of the same shape, and the maps ``channel`` and ``space``.
        """
        check_input(x, "b c h w", c=self.channels)
        channel = self.channel_gate(x)
        seen = self.step("F", x * channel)
        space = self.space_gate(seen if self.order == "sequential" else x)
        y = seen * space if self.order == "sequential" else seen + x * space
        return self.step("Y", y), {"channel": channel, "space": space}


def _bottleneck(half: int, channels: int) -> nn.Sequential:
    narrow = half // 4
    return nn.Sequential(nn.Linear(half, narrow), nn.LayerNorm(narrow), nn.ReLU(), nn.Linear(narrow, channels))


def _softmax(scores: Tensor, dim: int) -> Tensor:
    with full_precision(scores):
        return scores.to(wide(scores.dtype)).softmax(dim)


def _product(a: Tensor, b: Tensor) -> Tensor:
    with full_precision(a):
        return a.to(wide(a.dtype)) @ b.to(wide(b.dtype))
