"""Residual units that fuse their branch and their shortcut by a block, where they used to add them."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from attention.backbones.resnet import Basic, Bottleneck, Factory, Residual, ResNet, as_factory, resnet50
from attention.backbones.variants import average_shortcuts, check_network, deepen_stem
from attention.registry import entry

__all__ = ["FusedBasic", "FusedBottleneck", "fuse", "fused_resnet50"]


class _Fused(Residual):
    """A residual unit whose addition is its part ``fusion``."""

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels new_height new_width"]:
        """Fuse the branch with the shortcut, and let a ReLU follow.

        :param x: (batch, in_channels, height, width).
        :returns: (batch, out_channels, height / stride, width / stride), rounded up.
        """
        kept = self._attend("identity", self.shortcut(x))
        added = self._attend("standard", self.branch(self._attend("pre", x)))
        return self._attend("post", self.fusion(added, kept).relu())


class FusedBasic(_Fused, Basic):
    """A basic unit with a fusion in place of its addition; :func:`fuse` makes it."""


class FusedBottleneck(_Fused, Bottleneck):
    """A bottleneck with a fusion in place of its addition; :func:`fuse` makes it."""


_FUSED = {Basic: FusedBasic, Bottleneck: FusedBottleneck}


def fuse(network: ResNet, fusion: str | Factory, stages: Sequence[int] | None = None) -> None:
    """Put a fusion in place of the addition in residual units, as their child ``fusion``.

    The block is called with the branch and the shortcut, in this order, both of the shape that the unit puts out; the
    unit's ReLU comes behind it. Nothing is renamed: a plain network's state dict lacks exactly the keys of the blocks.

    :param network: a residual network; it is changed.
    :param fusion: a mechanism of the kind fusion, by name, or what makes a block for a number of channels.
    :param stages: the stages whose units fuse, counted from 1; by default all.
    :raises TypeError: for a ``network`` that is no ``ResNet``, a ``fusion`` that is neither name nor factory, a
        number in the place of ``stages``.
    :raises ValueError: for a mechanism that fuses nothing, for stages that the network does not have, and for units
        that fuse already.
    """
    check_network(network)
    make = as_factory(fusion, "fusion")
    if isinstance(fusion, str) and entry(fusion).kind != "fusion":
        raise ValueError(f"fusion={fusion!r} is a {entry(fusion).kind} and fuses no two maps; use attention=")
    known = range(1, len(network.stages) + 1)
    stages = known if stages is None else stages
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        raise TypeError(f"stages={stages!r} is not a sequence; for one stage, write ({stages!r},)")
    for stage in stages:
        if stage not in known:
            raise ValueError(f"stages={stage!r} is not one of {', '.join(map(repr, known))}")
    for stage in sorted(set(stages)):
        for unit in network.stages[stage - 1]:
            if type(unit) not in _FUSED:
                raise ValueError(f"stages={stage!r}: its units are of the type {type(unit).__name__} and add nothing")
            unit.fusion = make(unit.out_channels)
            unit.__class__ = _FUSED[type(unit)]  # it keeps its layers and their names; only how it adds changes


def fused_resnet50(
    fusion: str | Factory = "aff",
    fused_stages: Sequence[int] | None = (3, 4),
    *,
    stem_width: int = 32,
    **options: Any,
) -> ResNet:
    """Build AFF-ResNet-50: ResNet-50 with a deep stem, means in its shortcuts, and fusions in its last two stages.

    >>> fused_resnet50(partial(attention.create, "aff", iterative=True))  # iAFF-ResNet-50

    :param fusion: as in :func:`fuse`.
    :param fused_stages: as ``stages`` in :func:`fuse`; the authors' networks for ImageNet fuse in stages 3 and 4.
    :param stem_width: channels of the first two convolutions of the stem.
    :param options: those of :class:`attention.backbones.resnet.ResNet`.
    :raises TypeError: as :func:`fuse` and ``ResNet`` do.
    :raises ValueError: as :func:`fuse` and ``ResNet`` do.

    Source: Yimian Dai, Fabian Gieseke, Stefan Oehmcke, Yiquan Wu, Kobus Barnard, *Attentional Feature Fusion*, WACV
    2021, arXiv 2009.14082, Table 5; stem, shortcuts and stages as in the authors' code, model/classification.py.
    """
    network = resnet50(**options)
    deepen_stem(network, stem_width)
    average_shortcuts(network)
    fuse(network, fusion, fused_stages)
    return network
