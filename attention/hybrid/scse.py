r"""Concurrent Squeeze-and-Excitation: a gate for each channel and a gate for each position, side by side."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_divides, check_flags, check_input, check_positive

__all__ = ["COMBINATIONS", "ConcurrentSqueezeExcitation"]

#: How the two results meet; the last two have one of the gates alone.
COMBINATIONS = ("add", "max", "multiply", "channel", "space")
_MEET = {"add": torch.add, "max": torch.maximum, "multiply": torch.mul}

torch.fx.wrap("rearrange")


class ConcurrentSqueezeExcitation(Attention):
    r"""Concurrent Spatial and Channel Squeeze-and-Excitation (scSE): both gates see the input, and the results meet.

    With $u_c \in \mathbb{R}^{H \times W}$ the channels of the input $U$, $U^{i,j} \in \mathbb{R}^C$ its positions and
    $\delta$ the ReLU,

    $$
    z_c = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} u_c(i, j), \qquad
    \hat z = W_1\, \delta(W_2 z), \qquad
    q = W_{sq} \star U
    $$

    $$
    \hat U_{cSE} = \sigma(\hat z) \odot U, \qquad
    \hat U_{sSE} = \sigma(q) \odot U, \qquad
    \hat U_{scSE} = \hat U_{cSE} + \hat U_{sSE}
    $$

    with $W_2 \in \mathbb{R}^{C/r \times C}$, $W_1 \in \mathbb{R}^{C \times C/r}$, and one weight for each channel in
    $W_{sq}$, a 1 × 1 convolution to one channel. Nothing is pooled before $q$. $\sigma(\hat z_c)$ is the same at all
    positions, $\sigma(q_{i,j})$ in all channels.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which the bottleneck is narrower than the input; it divides ``channels``. The
        paper uses 2.
    :param combine: ``"add"``, the conference paper's sum; ``"max"``, the larger of the two numbers at each place, which
        the journal paper prefers; ``"multiply"``, the product of the two results, in which the input is squared;
        ``"channel"``, $\hat U_{cSE}$ alone (cSE); ``"space"``, $\hat U_{sSE}$ alone (sSE), which has no ``reduction``.
        The journal paper also concatenates both results. That gives $2C$ channels, so it is no option here; compute it
        from the two maps of ``attend``.
    :param bias: whether the linear layers and the convolution add a bias. ``False``, the default, is the equations.
    :raises TypeError: for a ``channels`` or ``reduction`` that is not a whole number, a ``bias`` that is not a bool;
        for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` that does not divide ``channels``, an unknown
        ``combine``; for an input that is not of shape (batch, channels, height, width).

    Source: Abhijit Guha Roy, Nassir Navab, Christian Wachinger, *Concurrent Spatial and Channel 'Squeeze & Excitation'
    in Fully Convolutional Networks*, MICCAI 2018, arXiv 1803.02579; for the other ways to meet, the same authors,
    *Recalibrating Fully Convolutional Networks with Spatial and Channel 'Squeeze & Excitation' Blocks*, IEEE TMI 38(2),
    2019, arXiv 1808.08127.

    Differs from the official code: that is ``combine="max", bias=True``.
    """

    def __init__(self, channels: int, reduction: int = 2, combine: str = "add", bias: bool = False) -> None:
        super().__init__()
        channels, reduction = check_positive(channels=channels, reduction=reduction)
        check_flags(bias=bias)
        if combine not in COMBINATIONS:
            raise ValueError(f"combine={combine!r} is not one of {', '.join(map(repr, COMBINATIONS))}")
        self.channels, self.combine = channels, combine
        self.maps, self.steps = {}, {}
        if combine != "space":
            check_divides(channels=channels, reduction=reduction)
            self.maps["channel"] = Map("b c 1 1", "sigmoid", about="how much of this channel passes, at all positions")
            self.steps["z"] = Step("b c", "channels", "the mean of each channel")
            self.steps["excited"] = Step("b c", "channels", "what the gate of each channel is made of", r"\hat z")
            self.steps["cse"] = Step("b c h w", "channels", "each channel times its gate", r"\hat U_{cSE}")
            self.reduce = nn.Linear(channels, channels // reduction, bias=bias)
            self.expand = nn.Linear(channels // reduction, channels, bias=bias)
        if combine != "channel":
            self.maps["space"] = Map("b 1 h w", "sigmoid", about="how much of this position passes, in all channels")
            self.steps["q"] = Step("b 1 h w", "positions", "what the gate of each position is made of")
            self.steps["sse"] = Step("b c h w", "positions", "each position times its gate", r"\hat U_{sSE}")
            self.conv = nn.Conv2d(channels, 1, 1, bias=bias)
        if len(self.maps) == 2:
            self.steps["y"] = Step("b c h w", "meet", "the two together", r"\hat U_{scSE}")

    def channel_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        r"""Compute the channels' gate $\sigma(\hat z)$ from the means of all channels."""
        z = self.step("z", x.mean((2, 3)))  # b c h w -> b c
        excited = self.step("excited", self.expand(self.reduce(z).relu()))
        return rearrange(excited.sigmoid(), "b c -> b c 1 1")

    def space_gate(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
        r"""Compute the positions' gate $\sigma(q)$, each from the channels at its own position."""
        return self.step("q", self.conv(x)).sigmoid()

    def attend(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch channels height width"], dict[str, Tensor]]:
        """Compute the output and the gates.

        :param x: the feature maps $U$, (batch, channels, height, width).
        :returns: the output, of the same shape, and the maps ``channel`` and ``space``, as far as the block has them.
        """
        check_input(x, "b c h w", c=self.channels)
        maps = {}
        if self.combine != "space":
            maps["channel"] = self.channel_gate(x)
            cse = self.step("cse", x * maps["channel"])
        if self.combine != "channel":
            maps["space"] = self.space_gate(x)
            sse = self.step("sse", x * maps["space"])
        if self.combine == "channel":
            return cse, maps
        if self.combine == "space":
            return sse, maps
        return self.step("y", _MEET[self.combine](cse, sse)), maps
