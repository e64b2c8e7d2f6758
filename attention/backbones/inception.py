"""GoogLeNet's Inception block, plain or with an attention block behind its concatenation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attention.backbones.resnet import Factory, as_factory
from attention.contract import check_input, check_positive

__all__ = ["InceptionBlock"]


class InceptionBlock(nn.Module):
    """The Inception block: convolutions of three sizes and a pooling side by side, concatenated.

    Every convolution has biases and is followed by a ReLU. With ``attention``, its block acts on the concatenation:
    the SE-Inception module of the SE paper's Figure 2.

    :param in_channels: channels that come in.
    :param c1: channels of the 1 × 1 convolution.
    :param c3: channels of the 1 × 1 reduction and of the 3 × 3 convolution after it.
    :param c5: channels of the 1 × 1 reduction and of the 5 × 5 convolution after it.
    :param pool: channels of the 1 × 1 convolution after the 3 × 3 maximum.
    :param attention: a mechanism's name, or what makes a block for a number of channels; ``None`` for the plain block.
    :raises TypeError: for sizes that are not whole numbers.
    :raises ValueError: for sizes below 1, and a ``c3`` or ``c5`` that is no pair; for an input that is not
        (batch, in_channels, height, width).

    Source: Christian Szegedy, Wei Liu, Yangqing Jia, Pierre Sermanet, Scott Reed, Dragomir Anguelov, Dumitru Erhan,
    Vincent Vanhoucke, Andrew Rabinovich, *Going Deeper with Convolutions*, CVPR 2015, arXiv 1409.4842, Figure 2(b)
    and Table 1.
    """

    def __init__(
        self,
        in_channels: int,
        c1: int,
        c3: tuple[int, int],
        c5: tuple[int, int],
        pool: int,
        attention: str | Factory | None = None,
    ) -> None:
        super().__init__()
        (r3, c3), (r5, c5) = _pair("c3", c3), _pair("c5", c5)
        check_positive(in_channels=in_channels, c1=c1, r3=r3, c3=c3, r5=r5, c5=c5, pool=pool)
        self.in_channels = in_channels
        self.out_channels = c1 + c3 + c5 + pool
        self.branch1 = _convolution(in_channels, c1, 1)
        self.branch3 = nn.Sequential(_convolution(in_channels, r3, 1), _convolution(r3, c3, 3))
        self.branch5 = nn.Sequential(_convolution(in_channels, r5, 1), _convolution(r5, c5, 5))
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), _convolution(in_channels, pool, 1))
        self.attention = None if attention is None else as_factory(attention)(self.out_channels)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        """Compute the four branches, concatenate them, and let the attention block act.

        :param x: (batch, in_channels, height, width).
        :returns: (batch, c1 + c3 + c5 + pool, height, width).
        """
        check_input(x, "b c h w", c=self.in_channels)
        branches = (self.branch1, self.branch3, self.branch5, self.branch_pool)
        joined = torch.cat([branch(x) for branch in branches], dim=1)
        return joined if self.attention is None else self.attention(joined)


def _pair(name: str, sizes: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(sizes, tuple | list) or len(sizes) != 2:
        raise ValueError(f"{name}={sizes!r} is not a pair: channels of the reduction, channels of the convolution")
    return sizes


def _convolution(in_channels: int, out_channels: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, size, padding=size // 2), nn.ReLU())
