r"""Coordinate Attention: a gate for each row and a gate for each column, of every channel."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_input, check_positive

__all__ = ["CoordinateAttention"]

torch.fx.wrap("rearrange")


class CoordinateAttention(Attention):
    r"""Coordinate Attention: gates for rows and for columns, from means along the other axis.

    With $x \in \mathbb{R}^{C \times H \times W}$ the input,

    $$
    z^h_{ci} = \frac{1}{W} \sum_{j=1}^{W} x_{cij}, \quad
    z^w_{cj} = \frac{1}{H} \sum_{i=1}^{H} x_{cij}, \quad
    f = \delta\big(\operatorname{BN}(F_1 (z^h \,\Vert\, z^w))\big)
    $$

    $$
    g^h = \sigma(F_h f^h), \qquad g^w = \sigma(F_w f^w), \qquad y_{cij} = x_{cij}\, g^h_{ci}\, g^w_{cj}
    $$

    with $F_1 \in \mathbb{R}^{m \times C}$, $F_h, F_w \in \mathbb{R}^{C \times m}$, all with biases, and
    $m = \max(\lfloor C/r \rfloor, 8)$: the paper's equations (4) to (9), with the least width of its code.
    $z^h \Vert z^w$ lists the means of all rows, then of all columns, $H + W$ numbers a channel. $\delta$ is h-swish,
    $\delta(a) = a \min(\max(a + 3, 0), 6)/6$. $f^h$ is the first $H$ entries of $f$, $f^w$ the last $W$. One matrix
    $F_1$ and one normalisation serve rows and columns. The paper calls $\delta$ a non-linear function and writes the
    normalisation in its figure alone; both are here as in its code.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which the bottleneck is narrower than the input; what is left over of
        ``channels`` is dropped. The paper uses 32.
    :param floor: the least width of the bottleneck, however few the channels. The authors' code has 8.
    :raises TypeError: for a ``channels``, ``reduction`` or ``floor`` that is not a whole number; for an input that is
        not a floating-point tensor.
    :raises ValueError: for arguments below 1; for an input that is not of shape (batch, channels, height, width).

    Source: Qibin Hou, Daquan Zhou, Jiashi Feng, *Coordinate Attention for Efficient Mobile Network Design*, CVPR 2021,
    arXiv 2103.02907, equations (4) to (9).

    Differs from the official code: it computes the same. That code has 1 × 1 convolutions over maps of one column where
    ours has them over rows of numbers. It accepts different numbers of input and output channels, but then its last
    product fails.
    """

    def __init__(self, channels: int, reduction: int = 32, floor: int = 8) -> None:
        super().__init__()
        channels, reduction, floor = check_positive(channels=channels, reduction=reduction, floor=floor)
        self.channels = channels
        self.maps = {
            "rows": Map("b c h 1", "sigmoid", about="how much of this row passes, in this channel"),
            "columns": Map("b c 1 w", "sigmoid", about="how much of this column passes, in this channel"),
        }
        self.steps = {
            "zh": Step("b c h", "embed", "the mean of each row", symbol="z^h"),
            "zw": Step("b c w", "embed", "the mean of each column", symbol="z^w"),
            "f": Step("b m l", "generate", "what the bottleneck keeps of each row, and then of each column"),
            "gh": Step("b c h", "generate", "how much of each row passes", symbol="g^h"),
            "gw": Step("b c w", "generate", "how much of each column passes", symbol="g^w"),
            "y": Step("b c h w", "scale", "each element times the gates of its row and of its column"),
        }
        width = max(channels // reduction, floor)
        self.reduce = nn.Conv1d(channels, width, 1)
        self.norm = nn.BatchNorm1d(width)
        self.act = nn.Hardswish()
        self.rows = nn.Conv1d(width, channels, 1)
        self.columns = nn.Conv1d(width, channels, 1)

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output and the gates of rows and of columns.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``rows`` and ``columns``.
        """
        check_input(x, "b c h w", c=self.channels)
        zh, zw = self.step("zh", x.mean(3)), self.step("zw", x.mean(2))  # b c h w -> b c h, b c w
        f = self.step("f", self.act(self.norm(self.reduce(torch.cat([zh, zw], dim=2)))))
        height = x.shape[2]
        gh = self.step("gh", self.rows(f[:, :, :height]).sigmoid())
        gw = self.step("gw", self.columns(f[:, :, height:]).sigmoid())
        rows, columns = rearrange(gh, "b c h -> b c h 1"), rearrange(gw, "b c w -> b c 1 w")
        return self.step("y", x * rows * columns), {"rows": rows, "columns": columns}
