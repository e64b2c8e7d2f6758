"""Blocks of published networks that are no mechanism of this package: a control of SE's paper, a variant of SK."""

import torch
from torch import Tensor, nn

__all__ = ["NoSqueeze", "TwoKernels"]


class NoSqueeze(nn.Module):
    """SE without its global mean: the two layers act on every pixel (Hu et al. 2020, Table 16).

    :param channels: channels that come in and go out.
    :param reduction: by how much narrower the bottleneck is.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.expand = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every element by its own pixel's channels.

        :param x: (batch, channels, height, width).
        :returns: the same shape.
        """
        return x * self.expand(self.reduce(x).relu()).sigmoid()


class TwoKernels(nn.Module):
    """SK as in the authors' second repository, implus/PytorchInsight: one dense 3 × 3 branch, one in 32 groups.

    There is neither a dilated branch nor a smallest width of the summary.

    :param channels: channels that come in and go out.
    :param stride: how much smaller height and width become.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride, 1, groups=groups, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for groups in (1, 32)
        )
        narrow = channels // 16
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fuse = nn.Sequential(nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU())
        self.select = nn.Conv2d(narrow, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the two branches in each channel, and add them.

        :param x: (batch, channels, height, width).
        :returns: (batch, channels, height / stride, width / stride), rounded up.
        """
        first, second = (branch(x) for branch in self.branches)
        scores = self.select(self.fuse(self.pool(first + second)))
        weights = torch.stack(scores.chunk(2, dim=1)).softmax(0)
        return weights[0] * first + weights[1] * second
