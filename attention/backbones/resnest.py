"""ResNeSt: a residual network whose 3 × 3 convolutions are replaced, and which averages where it used strides."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from attention.backbones.resnet import Convolution, ResNet, as_factory
from attention.backbones.variants import average_shortcuts, deepen_stem
from attention.registry import entry

__all__ = ["POOLS", "resnest", "resnest50"]

#: Where a strided unit averages over 3 × 3 windows: behind the block that replaces the convolution, or before it.
POOLS = ("after", "before")


def resnest(
    layers: Sequence[int],
    convolution: str | Convolution = "resnest",
    *,
    pool: str = "after",
    stem_width: int = 32,
    **options: Any,
) -> ResNet:
    """Build a ResNeSt: bottlenecks with a block in place of the 3 × 3 convolution, a deep stem, means for strides.

    The block has stride 1 everywhere. In units of a larger stride the mean over 3 × 3 windows with that stride comes
    behind it or before it, and the mean over 2 × 2 windows comes before the convolution of the shortcut.

    >>> resnest50()  # ResNeSt-50, 2s1x64d
    >>> resnest50(pool="before")  # the same in its fast form
    >>> block = partial(attention.create, "resnest", radix=4, cardinality=2)
    >>> resnest50(block, pool="before", groups=2, width_per_group=40)  # 4s2x40d: 4 splits, 2 groups, width 40

    :param layers: number of units in each stage.
    :param convolution: a mechanism that replaces a convolution, by name, or what makes its block, called as
        ``convolution(channels, stride=1)``.
    :param pool: one of :data:`POOLS`. ``"before"`` is the authors' fast form: the block then runs on a quarter of the
        pixels.
    :param stem_width: channels of the first two convolutions of the stem; 32 in ResNeSt-50.
    :param options: those of :class:`attention.backbones.resnet.ResNet`. ``groups`` and ``width_per_group`` set how many
        channels the block meets; the block's own groups are options of the block.
    :raises TypeError: for a ``convolution`` that is neither name nor factory, and as ``ResNet`` does.
    :raises ValueError: for a ``pool`` that is not listed, a mechanism that replaces no convolution, and as
        ``ResNet`` does.

    Source: Hang Zhang, Chongruo Wu, Zhongyue Zhang, Yi Zhu, Haibin Lin, Zhi Zhang, Yue Sun, Tong He, Jonas Mueller,
    R. Manmatha, Mu Li, Alexander Smola, *ResNeSt: Split-Attention Networks*, CVPR Workshops 2022, arXiv 2004.08955.
    The fast forms and their names: the authors' code, ablation.md.
    """
    if pool not in POOLS:
        raise ValueError(f"pool={pool!r} is not one of {', '.join(map(repr, POOLS))}")
    make = as_factory(convolution, "convolution")
    if isinstance(convolution, str) and entry(convolution).kind != "branch":
        raise ValueError(f"convolution={convolution!r} is a {entry(convolution).kind} and replaces no convolution")
    network = ResNet(layers, convolution=partial(_averaged, make, pool), **options)
    deepen_stem(network, stem_width)
    average_shortcuts(network)
    return network


def resnest50(convolution: str | Convolution = "resnest", **options: Any) -> ResNet:
    """Build ResNeSt-50: 3, 4, 6 and 3 units in the stages.

    :param convolution: as in :func:`resnest`.
    :param options: those of :func:`resnest`.
    """
    return resnest((3, 4, 6, 3), convolution, **options)


def _averaged(make: Convolution, pool: str, channels: int, *, stride: int) -> nn.Module:
    """Make a block of stride 1, with the mean over 3 × 3 windows beside it where the unit has a larger stride."""
    block = make(channels, stride=1)
    if stride == 1:
        return block
    mean = nn.AvgPool2d(3, stride, padding=1)
    parts = [("block", block), ("pool", mean)]
    return nn.Sequential(OrderedDict(parts if pool == "after" else parts[::-1]))
