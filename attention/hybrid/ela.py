r"""ELA: a gate for each row and a gate for each column, from the means of their neighbours, with nothing narrowed."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive

__all__ = ["SIZES", "EfficientLocalAttention"]

#: The four sizes, tiny, base, small and large, as many copies have them.
SIZES: dict[str, dict[str, Any]] = {
    "T": {"kernel_size": 5, "group_width": 1, "norm_groups": 32},
    "B": {"kernel_size": 7, "group_width": 1, "norm_groups": 16},
    "S": {"kernel_size": 5, "group_width": 8, "norm_groups": 16},
    "L": {"kernel_size": 7, "group_width": 8, "norm_groups": 16},
}

torch.fx.wrap("rearrange")


class EfficientLocalAttention(Attention):
    r"""Efficient Local Attention (ELA): gates for rows and for columns, each from a few neighbouring means.

    With $F_h$ and $F_w$ convolutions of $k$ taps along a strip of means, without bias, and $\operatorname{GN}$ a group
    normalisation, of each sample alone,

    $$
    z^h_{ci} = \frac{1}{W} \sum_{j=1}^{W} x_{cij}, \qquad
    z^w_{cj} = \frac{1}{H} \sum_{i=1}^{H} x_{cij}
    $$

    $$
    y^h = \sigma\big(\operatorname{GN}(F_h z^h)\big), \qquad
    y^w = \sigma\big(\operatorname{GN}(F_w z^w)\big), \qquad
    Y_{cij} = x_{cij}\, y^h_{ci}\, y^w_{cj}
    $$

    By default $F_h$ and $F_w$ are one convolution, and one normalisation serves both, as in the best-known copies; the
    paper's own code is not public. Of the four sizes in the copies, :data:`SIZES`, the defaults are B; :meth:`of_size`
    makes a block by the name of its size.

    :param channels: number of channels $C$ of the input and the output.
    :param kernel_size: the number $k$ of taps, odd: 7 in B and L, 5 in T and S.
    :param group_width: how many channels the convolution mixes, a divisor of ``channels``: 1 in T and B, where each
        channel keeps to itself; 8 in S and L.
    :param norm_groups: the number of groups of channels that are normalised together, a divisor of ``channels``: 16,
        but 32 in T.
    :param shared: whether rows and columns have the convolution and the normalisation in common.
    :raises TypeError: for a ``channels``, ``kernel_size``, ``group_width`` or ``norm_groups`` that is not a whole
        number, a ``shared`` that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, an even ``kernel_size``, a ``group_width`` or ``norm_groups`` that does
        not divide ``channels``; for an input that is not of shape (batch, channels, height, width).

    Source: Wei Xu, Yi Wan, *ELA: Efficient Local Attention for Deep Convolutional Neural Networks*, 2024,
    arXiv 2403.01123.

    Differs from the official code: there is none. The four sizes are those of the copies. Many copies agree in these
    sizes; some differ. The best-known copy is the default, B. Others have a convolution and a normalisation for each
    axis (``shared=False``), or a non-linearity before the sigmoid, which the best-known copies do not have.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        group_width: int = 1,
        norm_groups: int = 16,
        shared: bool = True,
    ) -> None:
        super().__init__()
        channels, kernel_size, group_width, norm_groups = check_positive(
            channels=channels, kernel_size=kernel_size, group_width=group_width, norm_groups=norm_groups
        )
        check_flags(shared=shared)
        check_divides(channels=channels, group_width=group_width)
        check_divides(channels=channels, norm_groups=norm_groups)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} is even: no mean is in its middle; allowed: 1, 3, 5, …")
        self.channels, self.shared = channels, bool(shared)
        self.maps = {
            "rows": Map("b c h 1", "sigmoid", about="how much of this row passes, in this channel"),
            "columns": Map("b c 1 w", "sigmoid", about="how much of this column passes, in this channel"),
        }
        self.steps = {
            "zh": Step("b c h", "embed", "the mean of each row", symbol="z^h"),
            "zw": Step("b c w", "embed", "the mean of each column", symbol="z^w"),
            "yh": Step("b c h", "generate", "how much of each row passes", symbol="y^h"),
            "yw": Step("b c w", "generate", "how much of each column passes", symbol="y^w"),
            "Y": Step("b c h w", "scale", "each element times the gates of its row and of its column"),
        }
        taps = {"padding": kernel_size // 2, "groups": channels // group_width, "bias": False}
        self.conv = nn.Conv1d(channels, channels, kernel_size, **taps)
        self.norm = nn.GroupNorm(norm_groups, channels)
        if not shared:
            self.conv_columns = nn.Conv1d(channels, channels, kernel_size, **taps)
            self.norm_columns = nn.GroupNorm(norm_groups, channels)

    @classmethod
    def of_size(cls, channels: int, size: str) -> "EfficientLocalAttention":
        """Make a block of one of the four sizes.

        :param channels: number of channels, a multiple of 32 for T, else of 16.
        :param size: ``"T"``, ``"B"``, ``"S"`` or ``"L"``.
        :raises ValueError: for another size, and as the class.
        """
        if size not in SIZES:
            raise ValueError(f"size={size!r} is not one of {', '.join(SIZES)}")
        return cls(channels, **SIZES[size])

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output and the gates of rows and of columns.

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the output of the same shape, and the maps ``rows`` and ``columns``.
        """
        check_input(x, "b c h w", c=self.channels)
        zh, zw = self.step("zh", x.mean(3)), self.step("zw", x.mean(2))  # b c h w -> b c h, b c w
        yh = self.step("yh", _gate(self.conv, self.norm, zh))
        conv, norm = (self.conv, self.norm) if self.shared else (self.conv_columns, self.norm_columns)
        yw = self.step("yw", _gate(conv, norm, zw))
        rows, columns = rearrange(yh, "b c h -> b c h 1"), rearrange(yw, "b c w -> b c 1 w")
        return self.step("Y", x * rows * columns), {"rows": rows, "columns": columns}


def _gate(conv: nn.Conv1d, norm: nn.GroupNorm, z: Tensor) -> Tensor:
    # The module refuses a single number in a group, in eval mode too: its normalised value is 0.
    return torch.group_norm(conv(z), norm.num_groups, norm.weight, norm.bias, norm.eps).sigmoid()
