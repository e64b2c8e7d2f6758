r"""Dual attention: positions attend to positions, channels to channels, and both answers are added."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive
from attention.numerics import first_derivatives, full_precision, has_tangent, wide

__all__ = ["PARTS", "DualAttention"]

#: Which of the two modules a block has.
PARTS = ("both", "position", "channel")

for _function in ("rearrange", "_weights"):
    torch.fx.wrap(_function)


class DualAttention(Attention):
    r"""The two modules of the Dual Attention Network (DANet), side by side on one input.

    With $A \in \mathbb{R}^{C \times N}$ the features at the $N = HW$ positions, the answers of the two modules are
    added,

    $$
    y = E^p + E^c
    $$

    * *position:* $s_{ji} = e^{k_i^\top q_j} \big/ \sum_{i'=1}^{N} e^{k_{i'}^\top q_j}$ and
      $E^p_j = \alpha \sum_i s_{ji} v_i + A_j$ for every position $j$, where $k_i, q_j \in \mathbb{R}^{d}$, $d = C/r$,
      and $v_i \in \mathbb{R}^C$ are columns of three 1 × 1 convolutions of $A$, which the paper calls $B$, $C$ and $D$:
      its equations (1) and (2);
    * *channel:* $x_{ji} = e^{A_i \cdot A_j} \big/ \sum_{i'=1}^{C} e^{A_{i'} \cdot A_j}$ and
      $E^c_j = \beta \sum_i x_{ji} A_i + A_j$ for every channel $j$, a row of $A$ now: equations (3) and (4).

    The learnt scales $\alpha$ and $\beta$ start at 0, so each module returns its input at the start. A fresh block with
    both parts returns $2A$, twice its input. In the paper each module stands behind a convolution of its own, which is
    no part of this block.

    ``attend`` computes the matrix of all pairs of positions. ``forward`` is the same function without it, by PyTorch's
    ``scaled_dot_product_attention``. PyTorch's fast CPU kernel needs values as wide as the keys. So the values are
    split into $r$ parts, and the similarities are computed again for each part. This takes $2CN^2$ multiply–adds. The
    equations take $(C + C/r)N^2$.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which keys and queries are narrower than the input; it divides ``channels``,
        where there is a module for positions. The authors' code uses 8. Summaries of the paper give $r = 1$; we could
        not read it.
    :param part: ``"both"`` modules, or one of them: ``"position"``, ``"channel"``; then $y$ is its answer alone.
    :param reverse: whether the channels' similarity counts the other way, as in the authors' code: the softmax is over
        $\max_i (A_i \cdot A_j) - A_i \cdot A_j$, so that a channel takes most from those which are least like it.
    :raises TypeError: for a ``channels`` or ``reduction`` that is not a whole number, a ``reverse`` that is not a bool;
        for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, an unknown ``part``,
        ``reverse`` without channels to compare; for an input that is not of shape (batch, channels, height, width).

    Source: Jun Fu, Jing Liu, Haijie Tian, Yong Li, Yongjun Bao, Zhiwei Fang, Hanqing Lu, *Dual Attention Network for
    Scene Segmentation*, CVPR 2019, arXiv 1809.02983, equations (1) to (4). An earlier version has batch normalisation
    and ReLU behind the convolutions, which the authors corrected.

    Differs from the official code: its channel module is ``reverse=True``. The authors reversed the channels'
    similarity "for improving convergence" (DANet issue #45), and the paper does not mention it. The code holds the two
    modules apart, each with 3 × 3 convolutions before and behind.
    """

    def __init__(self, channels: int, reduction: int = 8, part: str = "both", reverse: bool = False) -> None:
        super().__init__()
        channels, reduction = check_positive(channels=channels, reduction=reduction)
        check_flags(reverse=reverse)
        if part not in PARTS:
            raise ValueError(f"part={part!r} is not one of {', '.join(map(repr, PARTS))}")
        if part != "channel":
            check_divides(channels=channels, reduction=reduction)
        if reverse and part == "position":
            raise ValueError("reverse=True is about the channels' similarity; part='position' has none")
        self.channels, self.reduction, self.part, self.reverse = channels, reduction, part, bool(reverse)
        self.maps, self.steps = {}, {}
        if part != "channel":
            self._declare_position()
            self.queries = nn.Conv2d(channels, channels // reduction, 1)
            self.keys = nn.Conv2d(channels, channels // reduction, 1)
            self.values = nn.Conv2d(channels, channels, 1)
            self.alpha = nn.Parameter(torch.zeros(()))
        if part != "position":
            self._declare_channel()
            self.beta = nn.Parameter(torch.zeros(()))
        self.steps["y"] = Step("b c h w", "sum", "the answers of the modules, added")

    def _declare_position(self) -> None:
        about = "the weight of position $i$ (second axis) in the answer at $j$ (first axis)"
        self.maps["position"] = Map("b (h w) (h w)", "softmax", sums=(2,), about=about)
        self.steps |= {
            "k": Step("b (h w) d", "position", "what each position is found by"),
            "q": Step("b (h w) d", "position", "what each position looks for"),
            "v": Step("b (h w) c", "position", "what each position gives"),
            "s": Step("b (h w) (h w)", "position", about),
            "Ep": Step("b c h w", "position", "each position, and what it took from all", symbol="E^p"),
        }

    def _declare_channel(self) -> None:
        about = "how much of the second channel the first takes"
        self.maps["channel"] = Map("b c c", "softmax", sums=(2,), about=about)
        self.steps |= {
            "x": Step("b c c", "channel", about),
            "Ec": Step("b c h w", "channel", "each channel, and what it took from all", symbol="E^c"),
        }

    def reset_parameters(self) -> None:
        """Draw the convolutions anew, and set the scales to 0."""
        super().reset_parameters()
        with torch.no_grad():
            for scale in (getattr(self, "alpha", None), getattr(self, "beta", None)):
                if scale is not None:
                    scale.zero_()

    def attend(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], dict[str, Tensor]]:
        """Compute the output literally, with the matrix of all pairs of positions.

        :param x: the feature maps $A$, (batch, channels, height, width).
        :returns: the output, of the same shape, and the maps ``position``, (batch, H·W, H·W), and ``channel``,
            (batch, channels, channels), as far as the block has them: row $j$ sums to 1.
        """
        check_input(x, "b c h w", c=self.channels)
        maps, answers = {}, []
        if self.part != "channel":
            k, q, v = self._project(x)
            with full_precision(x):
                s = (q.to(wide(q.dtype)) @ k.to(wide(k.dtype)).transpose(1, 2)).softmax(dim=2)  # s[j, i]
            maps["position"] = self.step("s", s.to(v.dtype))
            answers.append(self._position(maps["position"] @ v, x))
        if self.part != "position":
            answer, maps["channel"] = self._channel(x)
            answers.append(answer)
        return self.step("y", sum(answers[1:], answers[0])), maps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Compute the output without holding the matrix of all pairs of positions.

        :param x: the feature maps $A$, (batch, channels, height, width).
        :returns: the output, of the same shape.
        """
        if self.part == "channel":
            return self.attend(x)[0]
        check_input(x, "b c h w", c=self.channels)
        k, q, v = self._project(x)
        if has_tangent(k, q, v):  # which the fused kernel cannot carry
            return self.attend(x)[0]
        parts = self.reduction
        keys, queries = (rearrange(t, "b i d -> b 1 i d").expand(-1, parts, -1, -1) for t in (k, q))
        values = rearrange(v, "b i (n d) -> b n i d", n=parts)
        mean = first_derivatives(scaled_dot_product_attention(queries, keys, values, scale=1.0), queries, keys, values)
        y = self._position(rearrange(mean, "b n i d -> b i (n d)"), x)
        return y if self.part == "position" else y + self._channel(x)[0]

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, q, v = (
            rearrange(layer(x), "b c h w -> b (h w) c").contiguous() for layer in (self.keys, self.queries, self.values)
        )
        return self.step("k", k), self.step("q", q), self.step("v", v)

    def _position(self, mean: Tensor, x: Tensor) -> Tensor:
        """Scale the weighted means and add them to what was there, equation (2)."""
        return self.step("Ep", x + self.alpha * rearrange(mean, "b (h w) c -> b c h w", h=x.shape[2]))

    def _channel(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute equations (3) and (4)."""
        rows = rearrange(x, "b c h w -> b c (h w)")
        weights = self.step("x", _weights(rows, self.reverse))
        return self.step("Ec", x + self.beta * rearrange(weights @ rows, "b c (h w) -> b c h w", h=x.shape[2])), weights


def _weights(rows: Tensor, reverse: bool) -> Tensor:
    """Compute the softmax over the similarities of each channel, or over how far each is below the largest."""
    with full_precision(rows):
        wider = rows.to(wide(rows.dtype))
        alike = wider @ wider.transpose(1, 2)
        return (-alike if reverse else alike).softmax(dim=2).to(rows.dtype)  # max - alike has the softmax of -alike
